//! Which verdict holds at which protocol and port, in the form that chains and maps take.

use std::collections::BTreeMap;

use sekisho_model::Protocol;
use sekisho_policy::{IcmpVersion, PortSet};

/// What happens to a connection in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// No policy has a say: on to the other direction.
    Default,
    /// The decision of this id allows: counted, on to the other direction.
    Allow(u32),
    /// The decision of this id denies: counted, logged, dropped.
    Deny(u32),
}

/// A protocol that is told apart as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whole {
    Tcp,
    Udp,
    Sctp,
    IcmpV4,
    IcmpV6,
}

/// For one peer: every protocol and port with its verdict, disjoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortTable {
    /// Inclusive ranges of ports with a verdict that differs from `other`.
    pub(crate) ports: Vec<(Whole, u16, u16, Verdict)>,
    /// Inclusive ranges of ICMP types, likewise.
    pub(crate) icmp: Vec<(Whole, u16, u16, Verdict)>,
    /// Protocols that one verdict covers whole, likewise.
    pub(crate) protocols: BTreeMap<Whole, Verdict>,
    /// Verdict for everything not named above.
    pub(crate) other: Verdict,
}

impl Whole {
    const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Sctp, Self::IcmpV4, Self::IcmpV6];

    /// As nft calls the protocol.
    pub(crate) fn nft(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::IcmpV4 => "icmp",
            Self::IcmpV6 => "ipv6-icmp",
        }
    }

    /// As nft calls the header that holds the type of a message; None = it has ports instead.
    pub(crate) fn nft_type(self) -> Option<&'static str> {
        match self {
            Self::Tcp | Self::Udp | Self::Sctp => None,
            Self::IcmpV4 => Some("icmp type"),
            Self::IcmpV6 => Some("icmpv6 type"),
        }
    }

    /// The highest port or type.
    fn last(self) -> u16 {
        match self {
            Self::Tcp | Self::Udp | Self::Sctp => u16::MAX,
            Self::IcmpV4 | Self::IcmpV6 => u8::MAX.into(),
        }
    }

    /// The ports or types of this protocol in `set`. Port 0, which no set holds and no socket has,
    /// is where port 1 is.
    fn ranges(self, set: &PortSet) -> Vec<(u16, u16)> {
        let icmp = |version| set.intersection(&PortSet::icmp(version, None)).ranges(Protocol::Icmp);
        let ports = |protocol| {
            let ranges = set.ranges(protocol).into_iter();
            ranges.map(|(low, high)| (if low == 1 { 0 } else { low }, high)).collect()
        };
        match self {
            Self::Tcp => ports(Protocol::Tcp),
            Self::Udp => ports(Protocol::Udp),
            Self::Sctp => ports(Protocol::Sctp),
            Self::IcmpV4 => icmp(IcmpVersion::V4),
            Self::IcmpV6 => icmp(IcmpVersion::V6),
        }
    }
}

impl PortTable {
    /// The table with one verdict for everything.
    pub(crate) fn all(verdict: Verdict) -> Self {
        Self { ports: Vec::new(), icmp: Vec::new(), protocols: BTreeMap::new(), other: verdict }
    }

    /// Makes the table of disjoint sets that together are everything.
    pub(crate) fn of(shares: &[(&PortSet, Verdict)]) -> Self {
        let other = shares.iter().find(|(set, _)| set.has_other_protocols());
        let mut table = Self::all(other.map_or(Verdict::Default, |(_, verdict)| *verdict));
        for whole in Whole::ALL {
            table.add(whole, &line(whole, shares));
        }
        table
    }

    /// The verdict for everything, if there is only one.
    pub(crate) fn only(&self) -> Option<Verdict> {
        let plain = self.ports.is_empty() && self.icmp.is_empty() && self.protocols.is_empty();
        plain.then_some(self.other)
    }

    /// Adds the verdicts along one protocol's ports, leaving out what `other` says already.
    fn add(&mut self, whole: Whole, line: &[(u16, u16, Verdict)]) {
        if let [(0, high, verdict)] = line
            && *high == whole.last()
        {
            if self.other != *verdict {
                self.protocols.insert(whole, *verdict);
            }
            return;
        }
        let list = if whole.nft_type().is_some() { &mut self.icmp } else { &mut self.ports };
        let differing = line.iter().filter(|(.., verdict)| self.other != *verdict);
        list.extend(differing.map(|(low, high, verdict)| (whole, *low, *high, *verdict)));
    }

    /// Whether every range is a single port, so that a hash can hold them.
    pub(crate) fn is_exact(&self) -> bool {
        self.ports.iter().all(|(_, low, high, _)| low == high)
    }
}

/// The verdicts along the ports of a protocol: sorted, disjoint, neighbours joined.
fn line(whole: Whole, shares: &[(&PortSet, Verdict)]) -> Vec<(u16, u16, Verdict)> {
    let mut ranges: Vec<(u16, u16, Verdict)> = Vec::new();
    for (set, verdict) in shares {
        ranges.extend(whole.ranges(set).into_iter().map(|(low, high)| (low, high, *verdict)));
    }
    ranges.sort_unstable();
    let mut joined: Vec<(u16, u16, Verdict)> = Vec::new();
    for (low, high, verdict) in ranges {
        match joined.last_mut() {
            Some(last) if last.2 == verdict && last.1.checked_add(1) == Some(low) => last.1 = high,
            Some(_) | None => joined.push((low, high, verdict)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Verdict = Verdict::Allow(1);
    const B: Verdict = Verdict::Allow(2);
    const D: Verdict = Verdict::Deny(3);

    fn table(shares: &[(PortSet, Verdict)], rest: Verdict) -> PortTable {
        let named = shares.iter().fold(PortSet::none(), |set, (one, _)| set.union(one));
        let rest = (PortSet::all().minus(&named), rest);
        let all: Vec<_> = shares.iter().chain([&rest]).map(|(set, of)| (set, *of)).collect();
        PortTable::of(&all)
    }

    #[test]
    fn what_the_rest_says_needs_no_element() {
        let web = PortSet::range(Protocol::Tcp, 80, 90);
        let table = table(&[(web, A), (PortSet::range(Protocol::Udp, 53, 53), D)], D);
        assert_eq!(table.ports, [(Whole::Tcp, 80, 90, A)]);
        assert!(table.protocols.is_empty() && table.other == D && table.only().is_none());
        assert_eq!(PortTable::all(A).only(), Some(A));
    }

    #[test]
    fn a_whole_protocol_is_one_entry_and_not_another_protocols() {
        let table = table(&[(PortSet::protocol(Protocol::Tcp), A)], D);
        assert_eq!(table.protocols, BTreeMap::from([(Whole::Tcp, A)]));
        assert!(table.ports.is_empty());
    }

    #[test]
    fn port_zero_goes_with_port_one() {
        let all_but =
            PortSet::protocol(Protocol::Tcp).minus(&PortSet::range(Protocol::Tcp, 80, 80));
        let table = table(&[(PortSet::range(Protocol::Tcp, 80, 80), A), (all_but, B)], D);
        let (low, high) = ((Whole::Tcp, 0, 79, B), (Whole::Tcp, 81, 65535, B));
        assert_eq!(table.ports, [low, (Whole::Tcp, 80, 80, A), high]);
    }

    #[test]
    fn one_icmp_type_of_one_version_is_told_apart() {
        let echo = PortSet::icmp(IcmpVersion::V4, Some(8));
        let table = table(&[(echo, A), (PortSet::icmp(IcmpVersion::V6, None), B)], D);
        assert_eq!(table.icmp, [(Whole::IcmpV4, 8, 8, A)]);
        assert_eq!(table.protocols, BTreeMap::from([(Whole::IcmpV6, B)]));
    }

    #[test]
    fn other_protocols_have_the_verdict_of_their_share() {
        let table = table(&[(PortSet::other_protocols(), A)], D);
        assert_eq!(table.other, A);
        assert_eq!(table.protocols.len(), 5);
        assert!(table.protocols.values().all(|verdict| *verdict == D));
    }
}
