//! Decodes the records of `bpf/include/sekisho_event.h`.
//!
//! The structs mirror that header and the sizes are asserted on both sides; fields are read at
//! their offsets from plain bytes, so that a short or foreign record is an error and never a fault.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub(crate) const VERSION: u8 = 1;
pub(crate) const KIND_SOCKET: u8 = 1;
pub(crate) const KIND_DNS: u8 = 2;
pub(crate) const KIND_EXEC: u8 = 3;
pub(crate) const KIND_TASK: u8 = 4;
pub(crate) const KIND_EXIT: u8 = 5;
pub(crate) const KIND_CGROUP: u8 = 6;
pub(crate) const KIND_DROP: u8 = 7;

pub(crate) const PHASE_CONNECTING: u8 = 1;
pub(crate) const PHASE_OPEN: u8 = 2;
pub(crate) const PHASE_SAMPLE: u8 = 3;
pub(crate) const PHASE_CLOSED: u8 = 4;
pub(crate) const ROLE_SOURCE: u8 = 1;
pub(crate) const ROLE_DESTINATION: u8 = 2;

pub(crate) const DIRECTION_INGRESS: u8 = 1;
pub(crate) const DIRECTION_EGRESS: u8 = 2;

pub(crate) const FLAG_ESTABLISHED: u8 = 0x01;
pub(crate) const FLAG_RESET: u8 = 0x02;
pub(crate) const FLAG_ROLE_INFERRED: u8 = 0x04;
pub(crate) const FLAG_CUT: u8 = 0x10;

/// Begins every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) hook: u8,
    pub(crate) flags: u8,
    pub(crate) pid: u32,
    pub(crate) time_ns: u64,
    pub(crate) cgroup_id: u64,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Socket {
    pub(crate) header: Header,
    pub(crate) id: u64,
    pub(crate) start_ns: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    pub(crate) local: [u8; 16],
    pub(crate) remote: [u8; 16],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) protocol: u8,
    pub(crate) role: u8,
    pub(crate) phase: u8,
    pub(crate) pad: u8,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Dns {
    pub(crate) header: Header,
    pub(crate) captured: u16,
    pub(crate) length: u16,
    pub(crate) pad: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Task {
    pub(crate) header: Header,
    pub(crate) parent: u32,
    pub(crate) uid: u32,
    pub(crate) comm: [u8; 16],
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Drop {
    pub(crate) header: Header,
    pub(crate) first_ns: u64,
    pub(crate) packets: u64,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
    pub(crate) direction: u8,
    pub(crate) pad: u16,
    pub(crate) reason: u32,
    pub(crate) pad_end: u32,
}

/// What begins both an exec and a cgroup record's path, after their heads.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct PathLength {
    used: u16,
    pad: [u16; 3],
}

const PATH_MAX: usize = 1024;
const DNS_LARGE: usize = 1232;
const EXEC_PATH_AT: usize = size_of::<Task>() + size_of::<PathLength>();
const CGROUP_PATH_AT: usize = size_of::<Header>() + size_of::<PathLength>();

const _: () = assert!(size_of::<Header>() == 24);
const _: () = assert!(size_of::<Socket>() == 112);
const _: () = assert!(size_of::<Drop>() == 88);
const _: () = assert!(size_of::<Dns>() == 32);
const _: () = assert!(size_of::<Dns>() + DNS_LARGE == 1264);
const _: () = assert!(size_of::<Task>() == 48);
const _: () = assert!(EXEC_PATH_AT + PATH_MAX == 1080);
const _: () = assert!(CGROUP_PATH_AT + PATH_MAX == 1056);
const _: () = assert!(offset_of!(PathLength, used) == 0 && offset_of!(PathLength, pad) == 2);

/// A decoded record; borrows what is long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    Socket(Socket),
    Dns(Dns, &'a [u8]),
    /// The path's parts, last first, each NUL-terminated.
    Exec(Task, &'a [u8]),
    Task(Task),
    Exit(Task),
    /// The folder's path from the root of its hierarchy.
    Cgroup(Header, &'a [u8]),
    Drop(Drop),
}

/// Decodes one record; None if it is not one of this version.
pub(crate) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let header = Header::read(bytes)?;
    if header.version != VERSION {
        return None;
    }
    match header.kind {
        KIND_SOCKET => Socket::read(bytes).map(Record::Socket),
        KIND_DNS => {
            let dns = Dns::read(bytes)?;
            let payload = bytes.get(size_of::<Dns>()..)?.get(..usize::from(dns.captured))?;
            Some(Record::Dns(dns, payload))
        }
        KIND_EXEC => {
            Some(Record::Exec(Task::read(bytes)?, path(bytes, size_of::<Task>(), EXEC_PATH_AT)?))
        }
        KIND_TASK => Task::read(bytes).map(Record::Task),
        KIND_EXIT => Task::read(bytes).map(Record::Exit),
        KIND_CGROUP => {
            Some(Record::Cgroup(header, path(bytes, size_of::<Header>(), CGROUP_PATH_AT)?))
        }
        KIND_DROP => Drop::read(bytes).map(Record::Drop),
        _ => None,
    }
}

/// The hook that a record names, even if the rest can't be decoded.
pub(crate) fn hook_of(bytes: &[u8]) -> Option<u8> {
    bytes.get(offset_of!(Header, hook)).copied()
}

fn path(bytes: &[u8], length_at: usize, path_at: usize) -> Option<&[u8]> {
    let used = u16::from_ne_bytes(take(bytes, length_at)?);
    bytes.get(path_at..)?.get(..usize::from(used))
}

/// Joins the parts of an executable's path; empty if there are none.
pub(crate) fn join_path(parts: &[u8], cut: bool) -> String {
    let mut text = String::new();
    if cut {
        text.push_str("/...");
    }
    for part in parts.split(|byte| *byte == 0).rev().filter(|part| !part.is_empty()) {
        text.push('/');
        text.push_str(&String::from_utf8_lossy(part));
    }
    text
}

/// Text up to the first NUL.
pub(crate) fn c_text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// An address as the model wants it: IPv4-mapped as IPv4.
pub(crate) fn address(octets: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(), port)
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            version: *bytes.get(offset_of!(Self, version))?,
            kind: *bytes.get(offset_of!(Self, kind))?,
            hook: *bytes.get(offset_of!(Self, hook))?,
            flags: *bytes.get(offset_of!(Self, flags))?,
            pid: u32::from_ne_bytes(take(bytes, offset_of!(Self, pid))?),
            time_ns: u64::from_ne_bytes(take(bytes, offset_of!(Self, time_ns))?),
            cgroup_id: u64::from_ne_bytes(take(bytes, offset_of!(Self, cgroup_id))?),
        })
    }
}

impl Socket {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            header: Header::read(bytes)?,
            id: u64::from_ne_bytes(take(bytes, offset_of!(Self, id))?),
            start_ns: u64::from_ne_bytes(take(bytes, offset_of!(Self, start_ns))?),
            bytes_sent: u64::from_ne_bytes(take(bytes, offset_of!(Self, bytes_sent))?),
            bytes_received: u64::from_ne_bytes(take(bytes, offset_of!(Self, bytes_received))?),
            packets_sent: u64::from_ne_bytes(take(bytes, offset_of!(Self, packets_sent))?),
            packets_received: u64::from_ne_bytes(take(bytes, offset_of!(Self, packets_received))?),
            local: take(bytes, offset_of!(Self, local))?,
            remote: take(bytes, offset_of!(Self, remote))?,
            local_port: u16::from_ne_bytes(take(bytes, offset_of!(Self, local_port))?),
            remote_port: u16::from_ne_bytes(take(bytes, offset_of!(Self, remote_port))?),
            protocol: *bytes.get(offset_of!(Self, protocol))?,
            role: *bytes.get(offset_of!(Self, role))?,
            phase: *bytes.get(offset_of!(Self, phase))?,
            pad: *bytes.get(offset_of!(Self, pad))?,
        })
    }

    /// TCP: the id as it is. UDP: a hash of cookie, 5-tuple and start, since one socket has many
    /// flows and one 5-tuple may come back after it was idle.
    pub(crate) fn connection_id(&self, udp: bool) -> u64 {
        if !udp {
            return self.id;
        }
        let mut hash = Fnv::new();
        hash.add(&self.id.to_ne_bytes());
        hash.add(&self.start_ns.to_ne_bytes());
        hash.add(&self.local);
        hash.add(&self.remote);
        hash.add(&self.local_port.to_ne_bytes());
        hash.add(&self.remote_port.to_ne_bytes());
        hash.0
    }
}

impl Dns {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            header: Header::read(bytes)?,
            captured: u16::from_ne_bytes(take(bytes, offset_of!(Self, captured))?),
            length: u16::from_ne_bytes(take(bytes, offset_of!(Self, length))?),
            pad: u32::from_ne_bytes(take(bytes, offset_of!(Self, pad))?),
        })
    }
}

impl Drop {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            header: Header::read(bytes)?,
            first_ns: u64::from_ne_bytes(take(bytes, offset_of!(Self, first_ns))?),
            packets: u64::from_ne_bytes(take(bytes, offset_of!(Self, packets))?),
            source: take(bytes, offset_of!(Self, source))?,
            destination: take(bytes, offset_of!(Self, destination))?,
            source_port: u16::from_ne_bytes(take(bytes, offset_of!(Self, source_port))?),
            destination_port: u16::from_ne_bytes(take(bytes, offset_of!(Self, destination_port))?),
            protocol: *bytes.get(offset_of!(Self, protocol))?,
            direction: *bytes.get(offset_of!(Self, direction))?,
            pad: u16::from_ne_bytes(take(bytes, offset_of!(Self, pad))?),
            reason: u32::from_ne_bytes(take(bytes, offset_of!(Self, reason))?),
            pad_end: u32::from_ne_bytes(take(bytes, offset_of!(Self, pad_end))?),
        })
    }
}

impl Task {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            header: Header::read(bytes)?,
            parent: u32::from_ne_bytes(take(bytes, offset_of!(Self, parent))?),
            uid: u32::from_ne_bytes(take(bytes, offset_of!(Self, uid))?),
            comm: take(bytes, offset_of!(Self, comm))?,
        })
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// FNV-1a, 64 bits: stable, and without the random keys of the standard hasher.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_parts_of_a_path_are_joined_from_the_root() {
        assert_eq!(join_path(b"dash\0bin\0usr\0", false), "/usr/bin/dash");
        assert_eq!(join_path(b"", false), "");
        assert_eq!(join_path(b"x\0", true), "/.../x");
    }

    #[test]
    fn a_mapped_address_is_given_as_ipv4() {
        let mut octets = [0; 16];
        octets[10..].copy_from_slice(&[255, 255, 192, 0, 2, 7]);
        assert_eq!(address(octets, 53).to_string(), "192.0.2.7:53");
        assert_eq!(address([0; 16], 1).to_string(), "[::]:1");
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let mut bytes = vec![0; 112];
        bytes[1] = KIND_SOCKET;
        assert!(decode(&bytes).is_none());
        bytes[0] = VERSION;
        assert!(decode(&bytes).is_some());
        assert!(decode(&bytes[..111]).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..1400),
            kind in 0u8..9,
        ) {
            let mut bytes = bytes;
            if let [version, the_kind, ..] = bytes.as_mut_slice() {
                *version = VERSION;
                *the_kind = kind;
            }
            if let Some(Record::Exec(_, parts)) = decode(&bytes) {
                join_path(parts, true);
            }
        }
    }
}
