//! Which rule decides at which protocol and port: the first of an ordered list of port sets.

use std::collections::BTreeMap;

use sekisho_model::Protocol;

/// Protocols and ports that one rule allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PortSet {
    /// Everything, protocols without ports included.
    All,
    /// Inclusive ranges of ports; ICMP counts as its port 0.
    Some(Vec<(Protocol, u16, u16)>),
}

/// For one peer: every protocol and port with the decision that allows it, disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortTable {
    /// Inclusive ranges with a decision that differs from `protocols` and `other`.
    pub(crate) ports: Vec<(Protocol, u16, u16, u32)>,
    /// Protocols that one decision covers whole.
    pub(crate) protocols: BTreeMap<Protocol, u32>,
    /// Decision for everything not named above; None = nothing else is allowed.
    pub(crate) other: Option<u32>,
}

impl PortTable {
    /// Makes the table in which the first set that holds a point decides it.
    pub(crate) fn first_match(sets: &[(&PortSet, u32)]) -> Self {
        let other = sets.iter().find(|(set, _)| matches!(set, PortSet::All)).map(|(_, id)| *id);
        let mut table = Self { other, ..Self::default() };
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp] {
            table.add(protocol, &line(protocol, sets));
        }
        table
    }

    /// Adds the decisions along one protocol's ports, leaving out what `other` says already.
    fn add(&mut self, protocol: Protocol, line: &[(u16, u16, u32)]) {
        match line {
            [(0, u16::MAX, decision)] => {
                if self.other != Some(*decision) {
                    self.protocols.insert(protocol, *decision);
                }
            }
            pieces => {
                for (low, high, decision) in pieces {
                    if self.other != Some(*decision) {
                        self.ports.push((protocol, *low, *high, *decision));
                    }
                }
            }
        }
    }

    /// Whether every range is a single port, so that a hash can hold them.
    pub(crate) fn is_exact(&self) -> bool {
        self.ports.iter().all(|(_, low, high, _)| low == high)
    }
}

/// The decisions along the ports of `protocol`: sorted, disjoint, neighbours joined.
fn line(protocol: Protocol, sets: &[(&PortSet, u32)]) -> Vec<(u16, u16, u32)> {
    let mut ranges: Vec<(u32, u32, u32)> = Vec::new();
    for (set, decision) in sets {
        match set {
            PortSet::All => {
                ranges.push((0, u32::from(u16::MAX), *decision));
                break;
            }
            PortSet::Some(list) => {
                let same = list.iter().filter(|(of, ..)| *of == protocol);
                ranges.extend(same.map(|(_, lo, hi)| (u32::from(*lo), u32::from(*hi), *decision)));
            }
        }
    }
    let mut cuts: Vec<u32> = ranges.iter().flat_map(|(lo, hi, _)| [*lo, *hi + 1]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces: Vec<(u16, u16, u32)> = Vec::new();
    for pair in cuts.windows(2) {
        let [low, next] = pair else { continue };
        let Some((_, _, decision)) = ranges.iter().find(|(lo, hi, _)| lo <= low && low <= hi)
        else {
            continue;
        };
        let (Ok(low), Ok(high)) = (u16::try_from(*low), u16::try_from(next - 1)) else { continue };
        match pieces.last_mut() {
            Some(last) if last.2 == *decision && last.1.checked_add(1) == Some(low) => {
                last.1 = high
            }
            Some(_) | None => pieces.push((low, high, *decision)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Tcp, Udp};

    fn some(list: &[(Protocol, u16, u16)]) -> PortSet {
        PortSet::Some(list.to_vec())
    }

    #[test]
    fn the_first_set_that_holds_a_port_decides_it() {
        let first = some(&[(Tcp, 80, 90)]);
        let second = some(&[(Tcp, 85, 100), (Udp, 53, 53)]);
        let table = PortTable::first_match(&[(&first, 1), (&second, 2)]);
        assert_eq!(table.ports, [(Tcp, 80, 90, 1), (Tcp, 91, 100, 2), (Udp, 53, 53, 2)]);
        assert_eq!(table.other, None);
    }

    #[test]
    fn what_a_later_rule_for_everything_says_needs_no_element() {
        let first = some(&[(Tcp, 80, 80)]);
        let table = PortTable::first_match(&[(&first, 1), (&PortSet::All, 2), (&first, 3)]);
        assert_eq!(table.ports, [(Tcp, 80, 80, 1)]);
        assert_eq!(table.other, Some(2));
        assert!(table.protocols.is_empty());
    }

    #[test]
    fn all_ports_of_a_protocol_are_no_ports_of_another() {
        let first = some(&[(Tcp, 0, 8), (Tcp, 9, 65535)]);
        let table = PortTable::first_match(&[(&first, 1)]);
        assert_eq!(table.protocols, BTreeMap::from([(Tcp, 1)]));
        assert_eq!((table.ports.len(), table.other), (0, None));
    }
}
