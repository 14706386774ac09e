//! All addresses, cut where rules or the cluster tell them apart, each with its columns.
//!
//! The policy engine says which column an end is in; a pod or host is its own addresses, a node
//! and the pods on its network are the node's, everything else is an external range.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_model::{Direction, Labels, PartyKind, WorkloadRef};
use sekisho_policy::ir::Rulebook;
use sekisho_policy::{Cluster, Endpoint, Party, Place, Reach};

use crate::address::{Family, Range};
use crate::compile::CompileError;
use crate::scope::{Scope, ScopeKind};

/// What an address is for the rules of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    /// Column of the engine.
    Engine(u32),
    /// The node that the subjects run on, as an index into [`Space::own_node`]: some rules tell it
    /// from other nodes, so no column of the engine holds it.
    OwnNode(usize),
}

/// Addresses that are one thing for all rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Atom {
    pub(crate) range: Range,
    /// As destinations.
    pub(crate) egress: Column,
    /// As sources.
    pub(crate) ingress: Column,
}

/// The engine's answers about one place, by address.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) reach: Reach,
    /// Addresses of the node that the subjects run on; none for a host.
    pub(crate) own_node: Vec<IpAddr>,
    /// Party of each endpoint of the cluster.
    party_of: Vec<usize>,
    /// The first place of each party.
    places: Vec<Place>,
    v4: Vec<Atom>,
    v6: Vec<Atom>,
}

impl Atom {
    pub(crate) fn column(&self, direction: Direction) -> Column {
        match direction {
            Direction::Egress => self.egress,
            Direction::Ingress => self.ingress,
        }
    }
}

impl Space {
    /// # Errors
    /// [`CompileError::AddressShared`].
    pub(crate) fn new(
        book: &Rulebook,
        cluster: &Cluster,
        scope: &Scope,
    ) -> Result<Self, CompileError> {
        let with_nodes = add_nodes(cluster);
        let owners = owners(&with_nodes)?;
        let reach = Reach::of_book(book, &with_nodes);
        let mut party_of = vec![0; with_nodes.endpoints.len()];
        for (number, party) in reach.parties().iter().enumerate() {
            let Party::Endpoints(members) = party else { continue };
            for member in members {
                if let Some(slot) = party_of.get_mut(*member) {
                    *slot = number;
                }
            }
        }
        let mut places: Vec<Place> = reach.places().collect();
        places.dedup_by_key(|place| place.party);
        let (own_node, v4, v6) = (Vec::new(), Vec::new(), Vec::new());
        let mut space = Self { reach, own_node, party_of, places, v4, v6 };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (address, owner) in owners {
            let atom = space.point(address, owner, &with_nodes, scope);
            match Family::of(address) {
                Family::V4 => v4.extend(atom),
                Family::V6 => v6.extend(atom),
            }
        }
        space.v4 = overlay(space.external(Family::V4), v4);
        space.v6 = overlay(space.external(Family::V6), v6);
        Ok(space)
    }

    pub(crate) fn atoms(&self, family: Family) -> &[Atom] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Class of the endpoint with this index in the cluster: the same at all its addresses. None =
    /// no subject.
    pub(crate) fn class_of(&self, endpoint: usize, direction: Direction) -> Option<u32> {
        let party = *self.party_of.get(endpoint)?;
        let at = self.places.binary_search_by_key(&party, |place| place.party).ok()?;
        let place = self.places.get(at)?;
        match direction {
            Direction::Egress => place.egress_class,
            Direction::Ingress => place.ingress_class,
        }
    }

    /// The atom of an address that belongs to an endpoint.
    fn point(
        &mut self,
        address: IpAddr,
        owner: usize,
        cluster: &Cluster,
        scope: &Scope,
    ) -> Option<Atom> {
        let range = Range::single(address);
        let endpoint = cluster.endpoints.get(owner)?;
        let own = scope.kind == ScopeKind::Node
            && endpoint.host_network
            && endpoint.node.as_deref() == Some(&scope.node);
        let (egress, ingress) = if own {
            self.own_node.push(address);
            let column = Column::OwnNode(self.own_node.len() - 1);
            (column, column)
        } else {
            let party = *self.party_of.get(owner)?;
            let place = self.reach.place_at(party, address)?;
            (Column::Engine(place.egress_column), Column::Engine(place.ingress_column))
        };
        Some(Atom { range, egress, ingress })
    }

    /// The external ranges of a family: together all its addresses, ascending.
    fn external(&self, family: Family) -> Vec<Atom> {
        let mut atoms = Vec::new();
        for place in self.reach.places() {
            let Some(Party::Addresses(ranges)) = self.reach.parties().get(place.party) else {
                continue;
            };
            let own = ranges.iter().filter(|(first, _)| first.is_ipv4() == (family == Family::V4));
            atoms.extend(own.map(|(first, last)| Atom {
                range: Range { low: bits(*first), high: bits(*last) },
                egress: Column::Engine(place.egress_column),
                ingress: Column::Engine(place.ingress_column),
            }));
        }
        atoms.sort_unstable();
        atoms
    }
}

/// The integer of an address of a range, whose family is as written.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// `points` in place of what `ranges` say of their addresses; both ascending, points disjoint.
fn overlay(ranges: Vec<Atom>, points: Vec<Atom>) -> Vec<Atom> {
    let mut atoms = Vec::with_capacity(ranges.len() + 2 * points.len());
    let mut points = points.into_iter().peekable();
    for around in ranges {
        let mut next = Some(around.range.low);
        while let Some(point) = points.next_if(|point| point.range.low <= around.range.high) {
            let at = point.range.low;
            if let Some(low) = next.filter(|low| *low < at) {
                atoms.push(Atom { range: Range { low, high: at - 1 }, ..around });
            }
            atoms.push(point);
            next = at.checked_add(1);
        }
        if let Some(low) = next.filter(|low| *low <= around.range.high) {
            atoms.push(Atom { range: Range { low, high: around.range.high }, ..around });
        }
    }
    atoms
}

/// The cluster with a pod on the network of each node: what reaches a node's address reaches what
/// such a pod is to policies.
fn add_nodes(cluster: &Cluster) -> Cow<'_, Cluster> {
    let nodes = cluster.nodes.iter().filter(|(_, addresses)| !addresses.is_empty());
    let mut added = nodes.map(|(name, _)| on_node(name)).peekable();
    if added.peek().is_none() {
        return Cow::Borrowed(cluster);
    }
    let mut cluster = cluster.clone();
    cluster.endpoints.extend(added);
    Cow::Owned(cluster)
}

fn on_node(name: &str) -> Endpoint {
    let workload =
        WorkloadRef { namespace: String::new(), name: name.to_owned(), kind: "Node".to_owned() };
    Endpoint {
        namespace: String::new(),
        name: name.to_owned(),
        workload,
        kind: PartyKind::Node,
        labels: Labels::new(),
        addresses: Vec::new(),
        ports: Vec::new(),
        host_network: true,
        node: Some(name.to_owned()),
        service_account: None,
    }
}

/// Who has each address, as an index into the endpoints. Pods of the host's network have their
/// node's, or their own if the node's are not known; a pod or host of that address comes first.
fn owners(cluster: &Cluster) -> Result<BTreeMap<IpAddr, usize>, CompileError> {
    let mut owners: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (index, endpoint) in cluster.endpoints.iter().enumerate() {
        if !endpoint.host_network {
            continue;
        }
        let node = endpoint.node.as_ref().and_then(|node| cluster.nodes.get(node));
        let known = node.filter(|addresses| !addresses.is_empty());
        for address in known.unwrap_or(&endpoint.addresses) {
            owners.entry(address.to_canonical()).or_insert(index);
        }
    }
    let mut members: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (index, endpoint) in cluster.endpoints.iter().enumerate() {
        for address in endpoint.addresses.iter().filter(|_| !endpoint.host_network) {
            let address = address.to_canonical();
            let other = members.insert(address, index).and_then(|at| cluster.endpoints.get(at));
            if let Some(other) = other.filter(|other| !other.is(endpoint)) {
                let (first, second) = (title(other), title(endpoint));
                return Err(CompileError::AddressShared { address, first, second });
            }
        }
    }
    owners.append(&mut members);
    Ok(owners)
}

fn title(endpoint: &Endpoint) -> String {
    format!("{}/{}", endpoint.namespace, endpoint.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(low: u128, high: u128, column: u32) -> Atom {
        let column = Column::Engine(column);
        Atom { range: Range { low, high }, egress: column, ingress: column }
    }

    #[test]
    fn points_replace_what_ranges_say_of_them() {
        let ranges = vec![atom(0, 9, 1), atom(10, 10, 2), atom(11, u128::MAX, 3)];
        let points =
            vec![atom(0, 0, 7), atom(5, 5, 7), atom(10, 10, 7), atom(u128::MAX, u128::MAX, 8)];
        let expected = [
            atom(0, 0, 7),
            atom(1, 4, 1),
            atom(5, 5, 7),
            atom(6, 9, 1),
            atom(10, 10, 7),
            atom(11, u128::MAX - 1, 3),
            atom(u128::MAX, u128::MAX, 8),
        ];
        assert_eq!(overlay(ranges.clone(), points), expected);
        assert_eq!(overlay(ranges.clone(), Vec::new()), ranges);
    }
}
