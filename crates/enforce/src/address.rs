//! Sets of addresses of one family as sorted, disjoint ranges of integers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
