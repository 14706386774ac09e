//! External ends: which ranges of addresses and domains rows name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::End;
use crate::{Party, PortSet, Reach};

/// Inclusive.
pub(crate) type Range = (IpAddr, IpAddr);

/// External ends and the parties they belong to.
#[derive(Clone, Debug)]
pub(crate) struct Externals {
    /// Disjoint ranges, ascending, IPv4 before IPv6.
    ranges: Vec<(Range, usize)>,
    domains: Vec<(String, usize)>,
}

impl Externals {
    /// Reads them off the parties; IPv6 only if asked for.
    pub(crate) fn of(reach: &Reach, ipv6: bool) -> Self {
        let mut externals = Self { ranges: Vec::new(), domains: Vec::new() };
        for (party, ends) in reach.parties().iter().enumerate() {
            match ends {
                Party::Endpoints(_) => {}
                Party::Addresses(list) => {
                    let wanted = list.iter().filter(|(first, _)| ipv6 || first.is_ipv4());
                    externals.ranges.extend(wanted.map(|range| (*range, party)));
                }
                Party::Domain(name) => externals.domains.push((name.clone(), party)),
            }
        }
        externals.ranges.sort_unstable();
        externals
    }

    /// What external ends may do with something, `ports` telling it for a party: neighbouring
    /// ranges that may do the same are put together. Ends that may do nothing are left out.
    pub(crate) fn rows(&self, ports: impl Fn(usize) -> PortSet) -> Vec<(End, PortSet)> {
        let mut merged: Vec<(Range, PortSet)> = Vec::new();
        for (range, party) in &self.ranges {
            let set = ports(*party);
            match merged.last_mut() {
                Some((last, same)) if *same == set && after(last.1) == Some(range.0) => {
                    last.1 = range.1;
                }
                _ => merged.push((*range, set)),
            }
        }
        let ranges = merged.into_iter().map(|(range, set)| (End::Addresses(range.0, range.1), set));
        let domains =
            self.domains.iter().map(|(name, party)| (End::Domain(name.clone()), ports(*party)));
        ranges.chain(domains).filter(|(_, set)| !set.is_empty()).collect()
    }

    /// The same for ranges that are given and not put together.
    pub(crate) fn rows_cut(
        &self,
        ranges: &[Range],
        ports: impl Fn(usize) -> PortSet,
    ) -> Vec<(End, PortSet)> {
        let rows = ranges.iter().filter_map(|range| {
            let set = ports(self.party_at(range.0)?);
            (!set.is_empty()).then_some((End::Addresses(range.0, range.1), set))
        });
        rows.collect()
    }

    fn party_at(&self, address: IpAddr) -> Option<usize> {
        let after = self.ranges.partition_point(|((first, _), _)| *first <= address);
        let ((_, last), party) = self.ranges.get(after.checked_sub(1)?)?;
        (*last >= address).then_some(*party)
    }
}

/// The next address of the same family.
pub(crate) fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            u32::from(address).checked_add(1).map(|next| IpAddr::V4(Ipv4Addr::from(next)))
        }
        IpAddr::V6(address) => {
            u128::from(address).checked_add(1).map(|next| IpAddr::V6(Ipv6Addr::from(next)))
        }
    }
}

/// The previous address of the same family.
pub(crate) fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            u32::from(address).checked_sub(1).map(|next| IpAddr::V4(Ipv4Addr::from(next)))
        }
        IpAddr::V6(address) => {
            u128::from(address).checked_sub(1).map(|next| IpAddr::V6(Ipv6Addr::from(next)))
        }
    }
}

/// Disjoint ranges that together are what `whole` is and that no bound of `inner` crosses.
pub(crate) fn cut(whole: Range, inner: &[Range]) -> Vec<Range> {
    let mut starts: Vec<IpAddr> = vec![whole.0];
    for (first, last) in inner {
        starts.push(*first);
        starts.extend(after(*last));
    }
    starts.retain(|start| *start >= whole.0 && *start <= whole.1);
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).filter_map(|next| before(*next)).chain([whole.1]);
    starts.iter().copied().zip(ends).collect()
}
