//! Who may reach whom: all pairs of ends that policies can tell apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use sekisho_model::Direction;

use crate::ir::{PeerMatch, Peers, Rulebook};
use crate::{Cluster, Endpoint, Pair, Peer, PortSet, RuleSet};

/// Ends that no policy tells apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Pods and hosts, as ascending indices into [`Cluster::endpoints`].
    Endpoints(Vec<usize>),
    /// External addresses: disjoint inclusive ranges, ascending, IPv4 before IPv6.
    Addresses(Vec<(IpAddr, IpAddr)>),
    /// External ends known by DNS name only.
    Domain(String),
}

/// All pairs.
#[derive(Clone, Debug)]
pub struct Reach {
    parties: Vec<Party>,
    ports: Vec<Vec<PortSet>>,
}

impl Reach {
    /// Computes all pairs. Pods of a party are asked about each other, never about themselves; for
    /// dual-stack ends a port is allowed if it is over one family.
    #[must_use]
    pub fn new(rules: &RuleSet, cluster: &Cluster) -> Self {
        Self::of_book(rules.rulebook(), cluster)
    }

    /// Computes all pairs for policies that are already in one shape.
    #[must_use]
    pub fn of_book(rules: &Rulebook, cluster: &Cluster) -> Self {
        let parties = parties(rules, cluster);
        let ports = parties
            .iter()
            .map(|source| {
                parties.iter().map(|other| ports(rules, cluster, source, other)).collect()
            })
            .collect();
        Self { parties, ports }
    }

    /// The ends, pods and hosts first, each group in ascending order.
    #[must_use]
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// What `source` may open to `destination`, both as indices into [`Reach::parties`]; nothing
    /// between two external ends, and for unknown indices.
    #[must_use]
    pub fn ports(&self, source: usize, destination: usize) -> PortSet {
        let row = self.ports.get(source);
        row.and_then(|row| row.get(destination)).cloned().unwrap_or_default()
    }
}

/// Disjoint inclusive ranges of one family that no address range of the policies cuts, ascending.
#[must_use]
pub fn atoms(rules: &RuleSet, ipv6: bool) -> Vec<(IpAddr, IpAddr)> {
    cut(rules.rulebook(), ipv6)
}

fn cut(rules: &Rulebook, ipv6: bool) -> Vec<(IpAddr, IpAddr)> {
    let mut starts = BTreeSet::from([if ipv6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }]);
    for net in networks(rules) {
        if net.addr().is_ipv6() == ipv6 {
            starts.insert(net.network());
            starts.extend(after(net.broadcast()));
        }
    }
    let starts: Vec<IpAddr> = starts.into_iter().collect();
    let last =
        if ipv6 { IpAddr::V6(Ipv6Addr::from(u128::MAX)) } else { IpAddr::V4(Ipv4Addr::BROADCAST) };
    let ends = starts.iter().skip(1).filter_map(|next| before(*next)).chain([last]);
    starts.iter().copied().zip(ends).collect()
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into()))
        }
        IpAddr::V6(address) => {
            u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into()))
        }
    }
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            u32::from(address).checked_sub(1).map(|next| IpAddr::V4(next.into()))
        }
        IpAddr::V6(address) => {
            u128::from(address).checked_sub(1).map(|next| IpAddr::V6(next.into()))
        }
    }
}

/// Every address range that a rule names, exceptions included.
pub(crate) fn networks(book: &Rulebook) -> BTreeSet<IpNet> {
    let mut found = BTreeSet::new();
    for peer in peer_matches(book) {
        visit(peer, &mut |one| {
            if let PeerMatch::Networks { nets, except, .. } = one {
                found.extend(nets.iter().chain(except).copied());
            }
        });
    }
    found
}

/// Every DNS name that a rule names.
pub(crate) fn domains(book: &Rulebook) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for peer in peer_matches(book) {
        visit(peer, &mut |one| {
            if let PeerMatch::Domain(name) = one {
                found.insert(name.clone());
            }
        });
    }
    found
}

fn peer_matches(book: &Rulebook) -> impl Iterator<Item = &PeerMatch> {
    let policies = book.tiers.iter().flat_map(|tier| &tier.policies);
    let sides = policies.flat_map(|policy| {
        [Direction::Ingress, Direction::Egress].into_iter().filter_map(|side| policy.side(side))
    });
    sides.flat_map(|side| &side.rules).flat_map(|rule| match &rule.peers {
        Peers::Any => [].iter(),
        Peers::List(list) => list.iter(),
    })
}

fn visit<'p>(peer: &'p PeerMatch, see: &mut impl FnMut(&'p PeerMatch)) {
    see(peer);
    match peer {
        PeerMatch::All(all) => all.iter().for_each(|one| visit(one, see)),
        PeerMatch::Not(inner) => visit(inner, see),
        PeerMatch::Endpoints(_)
        | PeerMatch::Networks { .. }
        | PeerMatch::Nodes(_)
        | PeerMatch::Domain(_)
        | PeerMatch::Entity(_) => {}
    }
}

fn parties(rules: &Rulebook, cluster: &Cluster) -> Vec<Party> {
    let nets: Vec<IpNet> = networks(rules).into_iter().collect();
    let holding = |address: IpAddr| -> Vec<usize> {
        let holds = |(index, net): (usize, &IpNet)| net.contains(&address).then_some(index);
        nets.iter().enumerate().filter_map(holds).collect()
    };
    let mut classes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, endpoint) in cluster.endpoints.iter().enumerate() {
        let ranges: BTreeSet<_> = endpoint
            .addresses
            .iter()
            .map(|address| (address.is_ipv6(), holding(address.to_canonical())))
            .collect();
        let ports: BTreeSet<_> =
            endpoint.ports.iter().map(|port| (&port.name, port.protocol, port.port)).collect();
        // Pods of two workloads are never one party, so that a party has one name.
        let key = (
            &endpoint.workload,
            &endpoint.labels,
            &endpoint.service_account,
            endpoint.host_network.then_some(&endpoint.node),
            (ranges, ports),
        );
        classes.entry(key).or_default().push(index);
    }
    let mut external: BTreeMap<_, Vec<(IpAddr, IpAddr)>> = BTreeMap::new();
    for ipv6 in [false, true] {
        for (first, last) in cut(rules, ipv6) {
            external.entry((ipv6, holding(first))).or_default().push((first, last));
        }
    }
    let mut endpoints: Vec<Party> = classes.into_values().map(Party::Endpoints).collect();
    endpoints.sort();
    let mut addresses: Vec<Party> = external.into_values().map(Party::Addresses).collect();
    addresses.sort();
    let domains = domains(rules).into_iter().map(Party::Domain);
    endpoints.into_iter().chain(addresses).chain(domains).collect()
}

fn ports(rules: &Rulebook, cluster: &Cluster, source: &Party, other: &Party) -> PortSet {
    let first = |party: &Party| match party {
        Party::Endpoints(all) => all.first().and_then(|index| cluster.endpoints.get(*index)),
        Party::Addresses(_) | Party::Domain(_) => None,
    };
    // Within a party the second pod stands for the others.
    let twin = (source == other).then(|| first(source).map(twin)).flatten();
    let (Some(from), Some(to)) = (ends(cluster, source, None), ends(cluster, other, twin.as_ref()))
    else {
        return PortSet::none();
    };
    if !matches!(source, Party::Endpoints(_)) && !matches!(other, Party::Endpoints(_)) {
        return PortSet::none();
    }
    let mut open = PortSet::none();
    for (source, source_address) in &from {
        for (destination, destination_address) in &to {
            let families =
                (source_address.map(|a| a.is_ipv6()), destination_address.map(|a| a.is_ipv6()));
            if matches!(families, (Some(a), Some(b)) if a != b) {
                continue;
            }
            let pair = Pair {
                source: *source,
                destination: *destination,
                source_address: *source_address,
                destination_address: *destination_address,
            };
            open = open.union(&rules.decide_pair(cluster, &pair).allowed());
        }
    }
    open
}

/// Another pod just like this one.
fn twin(endpoint: &Endpoint) -> Endpoint {
    Endpoint { name: format!("{}-twin", endpoint.name), ..endpoint.clone() }
}

/// One end for each address that an end may use; None = nobody.
fn ends<'a>(
    cluster: &'a Cluster,
    party: &'a Party,
    twin: Option<&'a Endpoint>,
) -> Option<Vec<(Peer<'a>, Option<IpAddr>)>> {
    Some(match party {
        Party::Endpoints(all) => {
            let endpoint = match twin {
                Some(twin) => twin,
                None => cluster.endpoints.get(*all.first()?)?,
            };
            if endpoint.addresses.is_empty() {
                vec![(Peer::Endpoint(endpoint), None)]
            } else {
                let addresses = endpoint.addresses.iter();
                addresses.map(|address| (Peer::Endpoint(endpoint), Some(*address))).collect()
            }
        }
        Party::Addresses(ranges) => {
            let (first, _) = ranges.first()?;
            vec![(Peer::Address(*first), Some(*first))]
        }
        Party::Domain(name) => vec![(Peer::Domain(name), None)],
    })
}
