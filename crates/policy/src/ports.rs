//! Sets of protocols and ports, exactly.
//!
//! Protocols stand one behind the other on one line of points, so that a set is a sorted list of
//! disjoint intervals: TCP, UDP and SCTP with ports 1 to 65535 each, ICMP and ICMPv6 with types 0
//! to 255 each, and one point for all other IP protocols together.

use std::fmt;

use sekisho_model::Protocol;

/// First and last point of an interval on the line.
type Interval = (u32, u32);

/// Points that each protocol with ports takes; point 0 of each (port 0) is in no set.
const STRIDE: u32 = 1 << 16;
/// First point of ICMP types; ICMPv6 types follow.
const ICMP_START: u32 = 3 * STRIDE + 1;
/// Types of each ICMP version.
const ICMP_TYPES: u32 = 256;
/// The point of all protocols that have no place of their own.
const OTHER: u32 = ICMP_START + 2 * ICMP_TYPES;
/// Everything, in canonical form.
const ALL: [Interval; 4] = [
    (1, STRIDE - 1),
    (STRIDE + 1, 2 * STRIDE - 1),
    (2 * STRIDE + 1, 3 * STRIDE - 1),
    (ICMP_START, OTHER),
];

/// A set of (protocol, port) points in canonical form: equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet(Vec<Interval>);

/// Version of ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpVersion {
    /// ICMP for IPv4.
    V4,
    /// ICMP for IPv6.
    V6,
}

impl PortSet {
    /// Nothing, as a constant.
    pub(crate) const EMPTY: Self = Self(Vec::new());

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every port of every protocol, ICMP and all other protocols included.
    #[must_use]
    pub fn all() -> Self {
        Self(ALL.to_vec())
    }

    /// Every port of TCP, UDP and SCTP, the protocols that NetworkPolicy names.
    #[must_use]
    pub fn all_transport() -> Self {
        Self(ALL.iter().take(3).copied().collect())
    }

    /// Ports `first` to `last` (inclusive) of a protocol; for ICMP every type of both versions,
    /// whatever the ports. Empty if `first` is above `last`; port 0 is left out.
    #[must_use]
    pub fn range(protocol: Protocol, first: u16, last: u16) -> Self {
        let start = match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => STRIDE,
            Protocol::Sctp => 2 * STRIDE,
            Protocol::Icmp => return Self(vec![(ICMP_START, OTHER - 1)]),
        };
        let (first, last) = (u32::from(first.max(1)), u32::from(last));
        if first > last { Self::none() } else { Self(vec![(start + first, start + last)]) }
    }

    /// All ports of a protocol.
    #[must_use]
    pub fn protocol(protocol: Protocol) -> Self {
        Self::range(protocol, 1, u16::MAX)
    }

    /// ICMP messages of one version and type; None = of every type.
    #[must_use]
    pub fn icmp(version: IcmpVersion, kind: Option<u8>) -> Self {
        let start = match version {
            IcmpVersion::V4 => ICMP_START,
            IcmpVersion::V6 => ICMP_START + ICMP_TYPES,
        };
        match kind {
            Some(kind) => Self(vec![(start + u32::from(kind), start + u32::from(kind))]),
            None => Self(vec![(start, start + ICMP_TYPES - 1)]),
        }
    }

    /// All IP protocols but TCP, UDP, SCTP, ICMP and ICMPv6.
    #[must_use]
    pub fn other_protocols() -> Self {
        Self(vec![(OTHER, OTHER)])
    }

    /// Whether there is nothing in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set is [`PortSet::all`].
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0 == ALL
    }

    /// Whether a connection with this protocol and port is in the set. Port 0 (and any port of
    /// ICMP) stands for the protocol as a whole.
    #[must_use]
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        let wanted = match (protocol, port) {
            (Protocol::Icmp, _) | (_, 0) => Self::protocol(protocol),
            (_, port) => Self::range(protocol, port, port),
        };
        wanted.0.iter().all(|(first, last)| self.covers(*first, *last))
    }

    fn covers(&self, first: u32, last: u32) -> bool {
        let after = self.0.partition_point(|interval| interval.0 <= first);
        let holder = after.checked_sub(1).and_then(|index| self.0.get(index));
        holder.is_some_and(|interval| last <= interval.1)
    }

    /// Everything in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut merged = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.0 <= b.0 => left.next(),
                (Some(_), None) => left.next(),
                (_, Some(_)) => right.next(),
                (None, None) => break,
            };
            if let Some(next) = next {
                push_merged(&mut merged, *next);
            }
        }
        Self(merged)
    }

    /// Everything in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut common = Vec::new();
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                common.push((first, last));
            }
            if a.1 <= b.1 {
                left.next()
            } else {
                right.next()
            };
        }
        Self(common)
    }

    /// Everything in this set that is not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut holes = other.0.iter().peekable();
        for interval in &self.0 {
            let mut first = interval.0;
            while holes.peek().is_some_and(|hole| hole.1 < first) {
                holes.next();
            }
            let mut overlapping = holes.clone();
            while let Some(hole) = overlapping.next_if(|hole| hole.0 <= interval.1) {
                if first < hole.0 {
                    rest.push((first, hole.0 - 1));
                }
                first = hole.1 + 1;
            }
            if first <= interval.1 {
                rest.push((first, interval.1));
            }
        }
        Self(rest)
    }

    /// Whether everything in this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|(first, last)| other.covers(*first, *last))
    }

    /// The ports of a protocol as inclusive ranges, ascending; for ICMP the types, of both versions
    /// united.
    #[must_use]
    pub fn ranges(&self, protocol: Protocol) -> Vec<(u16, u16)> {
        let part = |start: u32, points: u32| {
            let end = start + points - 1;
            self.0.iter().filter(move |interval| interval.0 <= end && interval.1 >= start).map(
                move |interval| {
                    let place = |point: u32| {
                        u16::try_from(point.clamp(start, end) - start).unwrap_or(u16::MAX)
                    };
                    (place(interval.0), place(interval.1))
                },
            )
        };
        match protocol {
            Protocol::Tcp => part(0, STRIDE).collect(),
            Protocol::Udp => part(STRIDE, STRIDE).collect(),
            Protocol::Sctp => part(2 * STRIDE, STRIDE).collect(),
            Protocol::Icmp => {
                let mut types: Vec<_> = part(ICMP_START, ICMP_TYPES)
                    .chain(part(ICMP_START + ICMP_TYPES, ICMP_TYPES))
                    .collect();
                types.sort_unstable();
                types.dedup();
                types
            }
        }
    }

    /// Whether protocols without a place of their own (neither TCP, UDP, SCTP nor ICMP) are in it.
    #[must_use]
    pub fn has_other_protocols(&self) -> bool {
        self.covers(OTHER, OTHER)
    }
}

/// Appends an interval that starts no earlier than the last one, joining neighbours. The missing
/// port 0 keeps protocols apart.
fn push_merged(merged: &mut Vec<Interval>, next: Interval) {
    match merged.last_mut() {
        Some(last) if next.0 <= last.1.saturating_add(1) => last.1 = last.1.max(next.1),
        _ => merged.push(next),
    }
}

/// `all`, `none`, or protocols with their ranges: `TCP 80,443,8000-8010; UDP all`.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        let mut parts = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp] {
            if self.contains(protocol, 0) {
                parts.push(format!("{protocol} all"));
                continue;
            }
            let ranges: Vec<String> = self
                .ranges(protocol)
                .iter()
                .map(
                    |(first, last)| {
                        if first == last { first.to_string() } else { format!("{first}-{last}") }
                    },
                )
                .collect();
            if !ranges.is_empty() {
                parts.push(format!("{protocol} {}", ranges.join(",")));
            }
        }
        if self.has_other_protocols() {
            parts.push("other protocols".to_owned());
        }
        f.write_str(&if parts.is_empty() { "none".to_owned() } else { parts.join("; ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_ranges_become_one() {
        let joined =
            PortSet::range(Protocol::Tcp, 80, 81).union(&PortSet::range(Protocol::Tcp, 82, 82));
        assert_eq!(joined, PortSet::range(Protocol::Tcp, 80, 82));
        assert_eq!(joined.to_string(), "TCP 80-82");
    }

    #[test]
    fn all_protocols_together_are_all() {
        let mut all = PortSet::other_protocols();
        for protocol in [Protocol::Icmp, Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
            assert!(!all.is_all());
            all = all.union(&PortSet::protocol(protocol));
        }
        assert!(all.is_all());
        assert_eq!(all, PortSet::all());
        assert!(PortSet::all_transport().is_subset(&all) && !PortSet::all_transport().is_all());
    }

    #[test]
    fn edges_of_protocols_do_not_touch() {
        let tcp = PortSet::range(Protocol::Tcp, 65535, 65535);
        let udp = PortSet::range(Protocol::Udp, 1, 1);
        let both = tcp.union(&udp);
        assert_eq!(both.ranges(Protocol::Tcp), [(65535, 65535)]);
        assert_eq!(both.ranges(Protocol::Udp), [(1, 1)]);
        assert!(both.contains(Protocol::Tcp, 65535) && !both.contains(Protocol::Udp, 2));
    }

    #[test]
    fn port_zero_stands_for_the_whole_protocol() {
        assert!(PortSet::protocol(Protocol::Tcp).contains(Protocol::Tcp, 0));
        assert!(!PortSet::range(Protocol::Tcp, 0, 65534).contains(Protocol::Tcp, 0));
    }

    #[test]
    fn one_icmp_type_is_not_icmp() {
        let echo = PortSet::icmp(IcmpVersion::V4, Some(8));
        assert!(!echo.contains(Protocol::Icmp, 0) && !echo.is_empty());
        let both =
            PortSet::icmp(IcmpVersion::V4, None).union(&PortSet::icmp(IcmpVersion::V6, None));
        assert!(both.contains(Protocol::Icmp, 0));
        assert_eq!(both, PortSet::protocol(Protocol::Icmp));
    }

    #[test]
    fn minus_splits_intervals() {
        let rest = PortSet::range(Protocol::Tcp, 1, 100).minus(
            &PortSet::range(Protocol::Tcp, 10, 20).union(&PortSet::range(Protocol::Tcp, 50, 200)),
        );
        assert_eq!(rest.to_string(), "TCP 1-9,21-49");
        assert!(PortSet::all().minus(&PortSet::all()).is_empty());
        assert_eq!(PortSet::all().minus(&PortSet::none()), PortSet::all());
    }
}
