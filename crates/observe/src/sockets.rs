//! Runs the kernel's iterators: the socket walk (seed, sample) and the sweeps of tables.

use std::io::{ErrorKind, Read};

use aya::Ebpf;
use aya::maps::{Array, MapData};
use aya::programs::Iter;
use sekisho_base::error_chain;

use crate::wire;

/// Which walk, as `enum pass` in bpf/hooks/sockets.bpf.c.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass {
    Listeners = 1,
    Connections = 2,
    Sample = 3,
}

const RECORD: usize = size_of::<wire::Socket>();
/// Longest read of a walk: 64 KiB of records.
const BUFFER: usize = RECORD * 585;

/// The control map of the walk.
pub(crate) struct Walks {
    control: Array<MapData, [u32; 2]>,
    round: u32,
}

impl Walks {
    pub(crate) fn new(control: Array<MapData, [u32; 2]>) -> Self {
        Self { control, round: 0 }
    }

    /// Walks all sockets once; each record goes to `take`.
    ///
    /// Errors are the text of what failed; records taken before stay taken.
    pub(crate) fn walk(
        &mut self,
        ebpf: &mut Ebpf,
        pass: Pass,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), String> {
        // 0 means "never sampled" in the kernel.
        self.round = self.round.checked_add(1).unwrap_or(1);
        let pass = u32::from(pass as u8);
        self.control.set(0, [pass, self.round], 0).map_err(|error| error_chain(&error))?;
        read_iterator(ebpf, "sockets", take)
    }
}

/// Runs a sweep of a table, `udp_sweep` or `drop_sweep`; its records come by the rings.
pub(crate) fn sweep(ebpf: &mut Ebpf, program: &str) -> Result<(), String> {
    read_iterator(ebpf, program, &mut |_| {})
}

fn read_iterator(ebpf: &mut Ebpf, name: &str, take: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or("not in the object")?;
    let program: &mut Iter = program.try_into().map_err(|error| error_chain(&error))?;
    let link = program.attach().map_err(|error| error_chain(&error))?;
    let link = program.take_link(link).map_err(|error| error_chain(&error))?;
    let mut file = link.into_file().map_err(|error| error_chain(&error))?;
    let mut buffer = vec![0_u8; BUFFER];
    let mut filled = 0_usize;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        match file.read(room) {
            Ok(0) => return Ok(()),
            Ok(count) => filled = filled.saturating_add(count),
            // The kernel gives control back after a million sockets (bpf_seq_read, EAGAIN).
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error.to_string()),
        }
        // A read may end within a record; its rest comes with the next one.
        let (records, rest) = buffer.get(..filled).unwrap_or_default().as_chunks::<RECORD>();
        records.iter().for_each(|record| take(record));
        let (at, left) = (records.len().saturating_mul(RECORD), rest.len());
        buffer.copy_within(at..at.saturating_add(left), 0);
        filled = left;
    }
}
