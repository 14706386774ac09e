//! Sets of addresses of one family as sorted, disjoint ranges of integers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

/// An inclusive range of addresses of one family, as integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) low: u128,
    pub(crate) high: u128,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// All addresses of the family.
    pub(crate) fn all(self) -> Range {
        match self {
            Self::V4 => Range { low: 0, high: u128::from(u32::MAX) },
            Self::V6 => Range { low: 0, high: u128::MAX },
        }
    }

    /// The family of `address`, once an IPv4-mapped IPv6 address is seen as the IPv4 it is.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The nft type of an address.
    pub(crate) fn nft_type(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
        }
    }

    /// The nft name of the header.
    pub(crate) fn nft_header(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// `4` or `6`, as the last letter of names.
    pub(crate) fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }

    /// The address that `value` stands for; bits beyond the family are ignored.
    pub(crate) fn address(self, value: u128) -> IpAddr {
        let bytes = value.to_be_bytes();
        match self {
            Self::V4 => {
                let [.., a, b, c, d] = bytes;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            Self::V6 => IpAddr::V6(Ipv6Addr::from(bytes)),
        }
    }
}

impl Range {
    /// The range that holds only `address`.
    pub(crate) fn single(address: IpAddr) -> Self {
        let value = integer(address);
        Self { low: value, high: value }
    }

    /// The range of a CIDR block.
    pub(crate) fn block(block: IpNet) -> Self {
        match block {
            IpNet::V4(block) => Self {
                low: block.network().to_bits().into(),
                high: block.broadcast().to_bits().into(),
            },
            IpNet::V6(block) => {
                Self { low: block.network().to_bits(), high: block.broadcast().to_bits() }
            }
        }
    }

    /// Whether the range holds one address only.
    pub(crate) fn is_single(self) -> bool {
        self.low == self.high
    }

    /// As nft writes it.
    pub(crate) fn text(self, family: Family) -> String {
        let low = family.address(self.low);
        if self.is_single() {
            return low.to_string();
        }
        format!("{low}-{}", family.address(self.high))
    }
}

/// The integer of an address in its own family.
pub(crate) fn integer(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The family of a CIDR block.
pub(crate) fn block_family(block: &IpNet) -> Family {
    match block {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

/// Sorts `ranges` and joins those that overlap. Neighbours stay apart: a lone address is found
/// faster by a hash, and comes and goes without its neighbours.
pub(crate) fn normalise(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.low <= last.high => {
                last.high = last.high.max(range.high);
            }
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

/// The parts of `whole` that none of `holes` covers, sorted.
pub(crate) fn subtract(whole: Range, holes: Vec<Range>) -> Vec<Range> {
    let mut parts = Vec::new();
    let mut next = whole.low;
    for hole in normalise(holes) {
        if hole.high < next {
            continue;
        }
        if hole.low > whole.high {
            break;
        }
        if hole.low > next {
            parts.push(Range { low: next, high: hole.low - 1 });
        }
        if hole.high >= whole.high {
            return parts;
        }
        next = hole.high + 1;
    }
    parts.push(Range { low: next, high: whole.high });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Range {
        Range::block(text.parse().unwrap())
    }

    fn check(whole: &str, holes: &[&str], expected: &[&str]) {
        let parts = subtract(block(whole), holes.iter().map(|hole| block(hole)).collect());
        let family = block_family(&whole.parse().unwrap());
        let texts: Vec<_> = parts.into_iter().map(|part| part.text(family)).collect();
        assert_eq!(texts, expected, "{whole} minus {holes:?}");
    }

    #[test]
    fn except_leaves_what_no_hole_covers() {
        check("10.0.0.0/24", &[], &["10.0.0.0-10.0.0.255"]);
        check("10.0.0.0/24", &["10.0.0.0/25"], &["10.0.0.128-10.0.0.255"]);
        check("10.0.0.0/24", &["10.0.0.128/25"], &["10.0.0.0-10.0.0.127"]);
        check("10.0.0.0/30", &["10.0.0.1/32", "10.0.0.2/32"], &["10.0.0.0", "10.0.0.3"]);
        check("0.0.0.0/0", &["255.255.255.255/32"], &["0.0.0.0-255.255.255.254"]);
        check("10.0.0.0/24", &["10.0.0.0/24"], &[]);
        check("::/0", &["8000::/1"], &["::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
    }

    #[test]
    fn ranges_that_overlap_are_joined_and_neighbours_are_not() {
        let joined =
            normalise(vec![block("10.0.0.4/30"), block("10.0.0.0/29"), block("10.0.0.8/29")]);
        assert_eq!(joined, [block("10.0.0.0/29"), block("10.0.0.8/29")]);
        let all = normalise(vec![Family::V6.all(), block("::/1")]);
        assert_eq!(all, [Family::V6.all()]);
    }
}
