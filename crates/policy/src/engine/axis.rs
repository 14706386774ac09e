//! The ends of connections that policies can tell apart, in one row.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::ops::Range;

use indexmap::IndexMap;
use ipnet::IpNet;
use sekisho_model::{Labels, Protocol, WorkloadRef};

use crate::engine::ids::{Interner, id};
use crate::engine::nets::{NetId, Nets};
use crate::matching::is_ordinary;
use crate::named::Named;
use crate::reach::{Party, cut};
use crate::{Cluster, Dialect, Endpoint};

/// An end with the addresses it uses that are in the same ranges. A dual-stack pod is two items if
/// some range tells its addresses apart.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// [`V4`], [`V6`] or both.
    pub(crate) families: u8,
    /// The smallest range that holds the addresses; None = addresses are unknown.
    pub(crate) net: Option<NetId>,
    /// What kind of end it is.
    pub(crate) kind: ItemKind,
    /// Number of the names it gives to its ports, in [`Axis::names`].
    pub(crate) names: u32,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// Pods or hosts like the one with this index in [`Cluster::endpoints`].
    Endpoint(usize),
    /// Host-network pods, which count as their node, like the one with this index.
    OnNode(usize),
    /// External addresses.
    Address,
    /// An external end known by name only.
    Domain,
}

pub(crate) const V4: u8 = 1;
pub(crate) const V6: u8 = 2;

/// Names of ports: name, protocol, number; sorted.
pub(crate) type PortNames = Vec<(String, Protocol, u16)>;

#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) parties: Vec<Party>,
    pub(crate) items: Vec<Item>,
    /// The items of each party.
    pub(crate) spans: Vec<Range<u32>>,
    /// The party of each item.
    pub(crate) party_of: Vec<usize>,
    pub(crate) names: Interner<PortNames>,
    pub(crate) nets: Nets,
    /// Items by the smallest range that holds them.
    pub(crate) by_net: Vec<(NetId, u32)>,
    /// Parties of pods and hosts by the hash of what tells them apart.
    by_hash: IndexMap<u64, Vec<usize>, foldhash::fast::FixedState>,
}

/// What tells pods and hosts apart. Pods of two workloads are never one party, so that a party has
/// one name.
type Key<'a> = (&'a WorkloadRef, &'a Labels, Option<&'a str>, Option<Option<&'a str>>, (u32, u32));

/// Families and smallest ranges of addresses.
type Places = Vec<(u8, Option<NetId>)>;

/// Lists that many pods share, by number.
#[derive(Default)]
struct Lists<'a> {
    places: Interner<Places>,
    names: Interner<Vec<(&'a str, Protocol, u16)>>,
    /// Room to put a list together in.
    scratch: (Places, Vec<(&'a str, Protocol, u16)>),
}

impl Axis {
    pub(crate) fn new(dialect: Dialect, cluster: &Cluster, named: &Named) -> Self {
        let mut axis = Self {
            parties: Vec::new(),
            items: Vec::new(),
            spans: Vec::new(),
            party_of: Vec::new(),
            names: Interner::default(),
            nets: Nets::new(named.networks.iter().copied()),
            by_net: Vec::new(),
            by_hash: IndexMap::default(),
        };
        axis.names.intern(PortNames::new());
        axis.add_endpoints(dialect, cluster);
        axis.add_addresses(&named.networks);
        for name in &named.domains {
            let item = Self::item(ItemKind::Domain, V4 | V6, None);
            axis.add(Party::Domain(name.clone()), vec![item]);
        }
        let net_of = |(item, at): (&Item, u32)| item.net.map(|net| (net, at));
        axis.by_net = axis.items.iter().zip(0..).filter_map(net_of).collect();
        axis.by_net.sort_unstable();
        axis
    }

    fn item(kind: ItemKind, families: u8, net: Option<NetId>) -> Item {
        Item { families, net, kind, names: 0 }
    }

    fn add(&mut self, party: Party, items: Vec<Item>) {
        let start = id(self.items.len());
        self.items.extend(items);
        self.party_of.resize(self.items.len(), self.parties.len());
        self.spans.push(start..id(self.items.len()));
        self.parties.push(party);
    }

    fn add_endpoints(&mut self, dialect: Dialect, cluster: &Cluster) {
        let mut lists = Lists::default();
        let mut classes: IndexMap<Key<'_>, Vec<usize>, foldhash::fast::FixedState> =
            IndexMap::default();
        let mut before: Option<(&Endpoint, Key<'_>, usize)> = None;
        for (index, endpoint) in cluster.endpoints.iter().enumerate() {
            // Pods of one workload mostly stand side by side: those need no search by hash.
            let alike =
                before.filter(|(one, ..)| differ_in_address_at_most(dialect, one, endpoint));
            let key = match alike {
                Some((_, (.., (_, names)), _)) => {
                    let places = self.places((dialect, cluster), endpoint, &mut lists);
                    with_lists(dialect, endpoint, (places, names))
                }
                None => self.key((dialect, cluster), endpoint, &mut lists),
            };
            let class = match alike {
                Some((_, known, class)) if known.4 == key.4 => class,
                Some(_) | None => {
                    let entry = classes.entry(key);
                    let class = entry.index();
                    entry.or_default();
                    class
                }
            };
            if let Some((_, members)) = classes.get_index_mut(class) {
                members.push(index);
            }
            before = Some((endpoint, key, class));
        }
        for (key, members) in classes {
            let (places, names) = key.4;
            let Some(first) = members.first().copied() else { continue };
            let ordinary =
                cluster.endpoints.get(first).is_some_and(|one| is_ordinary(dialect, one));
            let kind = if ordinary { ItemKind::Endpoint(first) } else { ItemKind::OnNode(first) };
            let names = lists.names.value(names).map_or(&[][..], Vec::as_slice).iter();
            let names = names.map(|(name, protocol, port)| ((*name).to_owned(), *protocol, *port));
            let names = self.names.intern(names.collect());
            let item = |(families, net): &(u8, Option<NetId>)| Item {
                names,
                ..Self::item(kind, *families, *net)
            };
            let places = lists.places.value(places).map_or(&[][..], Vec::as_slice);
            let items = places.iter().map(item).collect();
            let hash = hash_of(&key);
            self.by_hash.entry(hash).or_default().push(self.parties.len());
            self.add(Party::Endpoints(members), items);
        }
    }

    /// The party of pods just like this one, whether it is among them or not.
    pub(crate) fn party_like(
        &self,
        (dialect, cluster): (Dialect, &Cluster),
        endpoint: &Endpoint,
    ) -> Option<usize> {
        let mut lists = Lists::default();
        let key = self.key((dialect, cluster), endpoint, &mut lists);
        let alike = |party: &&usize| {
            let Some(Party::Endpoints(members)) = self.parties.get(**party) else { return false };
            let first = members.first().and_then(|first| cluster.endpoints.get(*first));
            let mut own = Lists::default();
            first.is_some_and(|first| {
                self.key((dialect, cluster), first, &mut own) == key
                    && own.places.iter().eq(lists.places.iter())
                    && own.names.iter().eq(lists.names.iter())
            })
        };
        self.by_hash.get(&hash_of(&key))?.iter().find(alike).copied()
    }

    fn key<'a>(
        &self,
        (dialect, cluster): (Dialect, &'a Cluster),
        endpoint: &'a Endpoint,
        lists: &mut Lists<'a>,
    ) -> Key<'a> {
        let ordinary = is_ordinary(dialect, endpoint);
        let names = &mut lists.scratch.1;
        names.clear();
        let named = endpoint.ports.iter().filter(|port| ordinary && !port.name.is_empty());
        names.extend(named.map(|port| (port.name.as_str(), port.protocol, port.port)));
        names.sort_unstable();
        names.dedup();
        let names = lists.names.of_list(names);
        let places = self.places((dialect, cluster), endpoint, lists);
        with_lists(dialect, endpoint, (places, names))
    }

    /// The number of the places of an endpoint.
    fn places(
        &self,
        (dialect, cluster): (Dialect, &Cluster),
        endpoint: &Endpoint,
        lists: &mut Lists<'_>,
    ) -> u32 {
        let places = &mut lists.scratch.0;
        self.place(addresses(dialect, cluster, endpoint), places);
        lists.places.of_list(places)
    }

    /// Puts the families and smallest ranges of some addresses into `places`; families in one
    /// range are put together.
    fn place(&self, addresses: &[IpAddr], places: &mut Places) {
        places.clear();
        if addresses.is_empty() {
            places.push((V4 | V6, None));
        }
        for address in addresses {
            let address = address.to_canonical();
            let family = if address.is_ipv4() { V4 } else { V6 };
            let net = Some(self.nets.innermost(address));
            match places.iter_mut().find(|(_, known)| *known == net) {
                Some((families, _)) => *families |= family,
                None => places.push((family, net)),
            }
        }
        places.sort_unstable_by_key(|(_, net)| *net);
    }

    fn add_addresses(&mut self, networks: &[IpNet]) {
        let mut external: BTreeMap<NetId, Vec<(IpAddr, IpAddr)>> = BTreeMap::new();
        for ipv6 in [false, true] {
            for (first, last) in cut(networks, ipv6) {
                external.entry(self.nets.innermost(first)).or_default().push((first, last));
            }
        }
        let mut external: Vec<_> = external.into_iter().collect();
        external.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        for (net, ranges) in external {
            let ipv4 = ranges.first().is_some_and(|(first, _)| first.is_ipv4());
            let item = Self::item(ItemKind::Address, if ipv4 { V4 } else { V6 }, Some(net));
            self.add(Party::Addresses(ranges), vec![item]);
        }
    }
}

/// What tells an endpoint apart, with the numbers of its lists: places and names.
fn with_lists(dialect: Dialect, endpoint: &Endpoint, lists: (u32, u32)) -> Key<'_> {
    let ordinary = is_ordinary(dialect, endpoint);
    (
        &endpoint.workload,
        &endpoint.labels,
        endpoint.service_account.as_deref(),
        (!ordinary).then_some(endpoint.node.as_deref()),
        lists,
    )
}

/// Whether two endpoints have equal keys but for the numbers of their places.
fn differ_in_address_at_most(dialect: Dialect, one: &Endpoint, other: &Endpoint) -> bool {
    one.host_network == other.host_network
        && (is_ordinary(dialect, one) || one.node == other.node)
        && one.ports == other.ports
        && one.service_account == other.service_account
        && one.labels == other.labels
        && one.workload == other.workload
}

/// A hash of what tells pods apart, but for the numbers of lists, which only mean something
/// together with the lists.
fn hash_of((workload, labels, account, node, _): &Key<'_>) -> u64 {
    foldhash::fast::FixedState::default().hash_one((workload, labels, account, node))
}

/// The addresses an endpoint uses. A host-network pod uses those of its node.
pub(crate) fn addresses<'a>(
    dialect: Dialect,
    cluster: &'a Cluster,
    endpoint: &'a Endpoint,
) -> &'a [IpAddr] {
    let of_node = endpoint.node.as_deref().and_then(|node| cluster.nodes.get(node));
    match of_node {
        Some(own) if !is_ordinary(dialect, endpoint) && !own.is_empty() => own,
        _ => &endpoint.addresses,
    }
}
