//! Packets that the kernel dropped: which reasons count, what they are called, how often each came.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray};
use sekisho_model::POLICY_DROP_MARK;

use crate::btf::{self, KfreeSkb};

const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";
const INITIAL_NETNS: &str = "/proc/1/ns/net";
/// As `DROP_REASONS` in bpf/lib/drop.h: the last index is shared by all that are beyond it.
const REASONS_MAX: u32 = 512;
/// First number of a reason that a subsystem defines by itself (linux include/net/dropreason.h).
const SUBSYSTEM_SHIFT: u32 = 16;
const NO_SUCH_REASON: u32 = u32::MAX;

/// Reasons by which nobody loses anything. A name that this kernel lacks is of no consequence.
const HARMLESS: &[&str] = &[
    // No drop at all, or the kernel does not say: it frees plenty of packets that did their work.
    "NOT_DROPPED_YET",
    "SKB_CONSUMED",
    "NOT_SPECIFIED",
    // Reached the socket, which was closed before the program read it; with TCP, the last FIN.
    "QUEUE_PURGE",
    "SOCKET_CLOSE",
    "TCP_CLOSE",
    // A signal that did its work, although it carries no data.
    "TCP_RESET",
    // Came twice: the receiver has it already.
    "TCP_OLD_DATA",
    "TCP_OLD_SEQUENCE",
    "TCP_OLD_ACK",
    "TCP_OFOMERGE",
    "DUP_FRAG",
    // Seen in promiscuous mode, meant for another machine.
    "OTHERHOST",
    // A copy for a packet socket; the packet went on.
    "PACKET_SOCK_ERROR",
    // Unix sockets.
    "UNIX_DISCONNECT",
    "UNIX_SKIP_OOB",
];

/// What this kernel says about drops.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons {
    kernel: KfreeSkb,
}

/// What the programs must know before they are loaded: read-only variables of bpf/.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Globals {
    pub(crate) no_socket: u32,
    pub(crate) netfilter: u32,
    pub(crate) tells_socket: u8,
    pub(crate) initial_netns: u32,
    pub(crate) node_netns: u32,
    pub(crate) policy_mark: u32,
}

impl Reasons {
    /// Asks the running kernel; without an answer no reason is known.
    pub(crate) fn of_kernel() -> Self {
        let bytes = std::fs::read(KERNEL_TYPES).unwrap_or_default();
        Self { kernel: btf::kfree_skb(&bytes).unwrap_or_default() }
    }

    /// Why drops can't be observed; None if they can.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        if self.kernel.arguments < 2 {
            return Some("the kernel has no tracepoint skb/kfree_skb");
        }
        if self.kernel.arguments < 3 || self.kernel.reasons.is_empty() {
            return Some("the kernel tells no reason (linux 5.17 and newer do)");
        }
        None
    }

    /// Whether a drop names the socket that should have had the packet.
    pub(crate) fn tells_socket(&self) -> bool {
        self.kernel.arguments >= 4
    }

    /// The read-only variables; `node_netns` is the inode number of the node's namespace, 0 = none.
    pub(crate) fn globals(&self, node_netns: u32) -> Globals {
        Globals {
            no_socket: self.number_of("NO_SOCKET"),
            netfilter: self.number_of("NETFILTER_DROP"),
            tells_socket: u8::from(self.tells_socket()),
            initial_netns: netns_number(Path::new(INITIAL_NETNS)).unwrap_or(0),
            node_netns,
            policy_mark: POLICY_DROP_MARK,
        }
    }

    fn number_of(&self, name: &str) -> u32 {
        let found = self.kernel.reasons.iter().find(|(_, reason)| *reason == name);
        found.map_or(NO_SUCH_REASON, |(number, _)| *number)
    }

    /// The kernel's name, e.g. `NO_SOCKET`; the number in hexadecimal if it has none.
    pub(crate) fn name(&self, number: u32) -> String {
        match self.kernel.reasons.get(&number) {
            Some(name) => name.clone(),
            None => format!("0x{number:x}"),
        }
    }

    /// Tells the kernel programs which reasons are harmless. Errors are the kernel's words.
    pub(crate) fn arm(&self, ebpf: &mut Ebpf) -> Result<(), String> {
        let map = ebpf.map_mut("drop_harmless").ok_or("`drop_harmless` is not in the object")?;
        let mut map: Array<_, u8> = Array::try_from(map).map_err(|error| error.to_string())?;
        for name in HARMLESS {
            let number = self.number_of(name);
            if number < REASONS_MAX - 1 {
                map.set(number, 1, 0).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// The inode number of a network namespace's file.
pub(crate) fn netns_number(path: &Path) -> std::io::Result<u32> {
    let number = std::fs::metadata(path)?.ino();
    u32::try_from(number).map_err(std::io::Error::other)
}

/// The exact number of packets per reason since the start.
pub(crate) struct DropCounts {
    kernel: PerCpuArray<MapData, u64>,
    last: BTreeMap<String, u64>,
}

impl DropCounts {
    pub(crate) fn new(kernel: PerCpuArray<MapData, u64>) -> Self {
        Self { kernel, last: BTreeMap::new() }
    }

    /// Reads them anew. One that can't be read stays as it was.
    pub(crate) fn refresh(&mut self, reasons: &Reasons) {
        let last = REASONS_MAX - 1;
        let core = reasons.kernel.reasons.range(..last);
        let named = core.map(|(number, name)| (*number, name.clone()));
        // What a subsystem defines has a name in its own module only.
        let other = format!("SUBSYSTEM_0x{:x}_AND_ABOVE", 1_u32 << SUBSYSTEM_SHIFT);
        for (number, name) in named.chain([(last, other)]) {
            let Ok(values) = self.kernel.get(&number, 0) else { continue };
            let sum = values.iter().fold(0_u64, |sum, value| sum.saturating_add(*value));
            if sum > 0 {
                self.last.insert(name, sum);
            }
        }
    }

    /// As last read, by name.
    pub(crate) fn known(&self) -> Vec<(String, u64)> {
        self.last.iter().map(|(name, count)| (name.clone(), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_reasons_is_said_to_have_none() {
        let mut reasons = Reasons::default();
        assert!(reasons.missing().is_some());
        reasons.kernel.arguments = 3;
        reasons.kernel.reasons.insert(3, "NO_SOCKET".to_owned());
        assert_eq!((reasons.missing(), reasons.tells_socket()), (None, false));
        assert_eq!(
            (reasons.name(3), reasons.name(0x10001)),
            ("NO_SOCKET".into(), "0x10001".into())
        );
        assert_eq!(reasons.globals(0).netfilter, NO_SUCH_REASON);
    }
}
