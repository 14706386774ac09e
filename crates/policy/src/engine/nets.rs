//! Address ranges as a forest: which ranges hold an address follows from the smallest that does.
//!
//! CIDRs are nested or disjoint. Numbered in preorder, the ranges inside one are an interval of
//! numbers, so that "is in one of these ranges and none of those" is a comparison of numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::engine::ids::id;

/// Number of the smallest range that holds an address.
pub(crate) type NetId = u32;

#[derive(Clone, Debug)]
pub(crate) struct Nets {
    /// Ascending by address, a range before those inside it; both families have a root that holds
    /// all.
    nets: Vec<IpNet>,
    /// End of the interval of numbers inside each.
    ends: Vec<NetId>,
    /// The smallest range around each, itself for roots.
    parents: Vec<NetId>,
}

impl Nets {
    pub(crate) fn new(named: impl IntoIterator<Item = IpNet>) -> Self {
        let mut nets: Vec<IpNet> = named.into_iter().map(|net| net.trunc()).collect();
        nets.push(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));
        nets.push(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)));
        nets.sort_unstable_by_key(|net| (net.network(), net.prefix_len()));
        nets.dedup();
        let mut ends = vec![0; nets.len()];
        let mut parents = vec![0; nets.len()];
        let mut open: Vec<usize> = Vec::new();
        for (index, net) in nets.iter().enumerate() {
            while let Some(last) = open.last().copied() {
                if nets.get(last).is_some_and(|outer| outer.contains(net)) {
                    break;
                }
                open.pop();
                set(&mut ends, last, id(index));
            }
            set(&mut parents, index, id(open.last().copied().unwrap_or(index)));
            open.push(index);
        }
        for last in open {
            set(&mut ends, last, id(nets.len()));
        }
        Self { nets, ends, parents }
    }

    /// The smallest range that holds the address.
    pub(crate) fn innermost(&self, address: IpAddr) -> NetId {
        let after = self.nets.partition_point(|net| net.network() <= address);
        let mut at = id(after.saturating_sub(1));
        loop {
            let holds = self.nets.get(at as usize).is_none_or(|net| net.contains(&address));
            match self.parents.get(at as usize) {
                Some(parent) if !holds && *parent != at => at = *parent,
                _ => return at,
            }
        }
    }

    /// The numbers of ranges inside `net`, which must be one that was named.
    pub(crate) fn inside(&self, net: &IpNet) -> Range<NetId> {
        let net = net.trunc();
        let key = (net.network(), net.prefix_len());
        let found = self.nets.binary_search_by_key(&key, |net| (net.network(), net.prefix_len()));
        match found {
            Ok(index) => id(index)..self.ends.get(index).copied().unwrap_or_default(),
            Err(_unnamed) => 0..0,
        }
    }

    /// Whether all of these ranges were named.
    pub(crate) fn know(&self, nets: impl IntoIterator<Item = IpNet>) -> bool {
        nets.into_iter().all(|net| !self.inside(&net).is_empty())
    }
}

fn set(list: &mut [NetId], index: usize, value: NetId) {
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_range_is_found_among_neighbours_and_parents() {
        let named = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16", "2001:db8::/32"];
        let nets = Nets::new(named.iter().map(|net| net.parse().unwrap()));
        let inside = |net: &str, address: &str| {
            nets.inside(&net.parse().unwrap()).contains(&nets.innermost(address.parse().unwrap()))
        };
        assert!(inside("10.0.0.0/8", "10.1.2.3") && inside("10.1.2.0/24", "10.1.2.3"));
        assert!(inside("10.0.0.0/8", "10.1.3.1") && !inside("10.1.2.0/24", "10.1.3.1"));
        assert!(!inside("10.1.0.0/16", "10.2.0.1") && inside("10.0.0.0/8", "10.3.0.1"));
        assert!(inside("0.0.0.0/0", "192.0.2.1") && !inside("10.0.0.0/8", "192.0.2.1"));
        assert!(inside("2001:db8::/32", "2001:db8::1") && !inside("::/0", "10.0.0.1"));
        assert!(!nets.know(["10.9.0.0/16".parse().unwrap()]));
        assert!(nets.know(["10.1.0.0/16".parse().unwrap(), "::/0".parse().unwrap()]));
    }
}
