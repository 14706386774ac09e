//! Who may reach whom: all pairs of ends that policies can tell apart.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use sekisho_model::{Direction, Protocol};

use crate::engine::tables::ClassTable;
use crate::engine::{Engine, PortId};
use crate::ir::{Policy, Rulebook};
use crate::named::Named;
use crate::{Cluster, PolicyName, PortSet, RuleSet};

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
    engine: Engine,
}

/// A party in some address families, and its classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Reach::parties`].
    pub party: usize,
    /// Whether it uses IPv4 here.
    pub ipv4: bool,
    /// Whether it uses IPv6 here.
    pub ipv6: bool,
    /// Class as a subject of egress; None = no subject of policy, allowed everything.
    pub egress_class: Option<u32>,
    /// Class as a subject of ingress, likewise.
    pub ingress_class: Option<u32>,
    /// Column as a destination, towards which egress is decided.
    pub egress_column: u32,
    /// Column as a source, from which ingress is decided.
    pub ingress_column: u32,
}

/// Parties that may all do the same with each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rectangle {
    /// Initiators, as ascending indices into [`Reach::parties`].
    pub sources: Vec<usize>,
    /// Responders, likewise.
    pub destinations: Vec<usize>,
    /// What every source may open to every destination; never empty.
    pub ports: PortSet,
}

impl Reach {
    /// Computes all pairs. Pods of a party are asked about each other, never about themselves; for
    /// dual-stack ends a port is allowed if it is over one family. That a node always reaches its
    /// own pods is left out.
    #[must_use]
    pub fn new(rules: &RuleSet, cluster: &Cluster) -> Self {
        Self::of_book(rules.rulebook(), cluster)
    }

    /// Computes all pairs for policies that are already in one shape.
    #[must_use]
    pub fn of_book(rules: &Rulebook, cluster: &Cluster) -> Self {
        Self { engine: Engine::new(rules, cluster) }
    }

    /// The ends, pods and hosts first, each group in ascending order.
    #[must_use]
    pub fn parties(&self) -> &[Party] {
        &self.engine.axis.parties
    }

    /// Whether a policy says anything in one direction about subjects of a class of [`Place`]. If none
    /// does, they may do everything, whatever the other end and the port.
    #[must_use]
    pub fn speaks_of(&self, direction: Direction, class: u32) -> bool {
        self.engine.side(direction).compiled.speaks_of(class)
    }

    /// What `source` may open to `destination`, both as indices into [`Reach::parties`]; nothing
    /// between two external ends, and for unknown indices.
    #[must_use]
    pub fn ports(&self, source: usize, destination: usize) -> PortSet {
        self.engine.cells(source, destination).fold(PortSet::none(), |set, (egress, ingress)| {
            let set_of = |id| self.engine.ports.set(id);
            set.union(&set_of(egress).intersection(set_of(ingress)))
        })
    }

    /// The sets of ports, by number, that egress of `source` and ingress of `destination` allow, for
    /// each two of their addresses that can meet. Equal numbers stand for equal sets.
    pub(crate) fn cells(
        &self,
        source: usize,
        destination: usize,
    ) -> impl Iterator<Item = (PortId, PortId)> + '_ {
        self.engine.cells(source, destination)
    }

    /// What one direction alone lets `source` open to `destination`: the policies of the source
    /// (egress) or of the destination (ingress).
    pub(crate) fn one_direction(
        &self,
        source: usize,
        destination: usize,
        direction: Direction,
    ) -> PortSet {
        let cells = self.engine.cells(source, destination);
        cells.fold(PortSet::none(), |set, (egress, ingress)| {
            let id = match direction {
                Direction::Egress => egress,
                Direction::Ingress => ingress,
            };
            set.union(self.engine.ports.set(id))
        })
    }

    /// Whether `source` may open this connection to `destination`; port 0 stands for the protocol
    /// as a whole.
    #[must_use]
    pub fn allows(&self, source: usize, destination: usize, protocol: Protocol, port: u16) -> bool {
        self.engine.cells(source, destination).any(|(egress, ingress)| {
            self.engine.ports.set(egress).contains(protocol, port)
                && self.engine.ports.set(ingress).contains(protocol, port)
        })
    }

    /// What the policies of one direction let a party do with anybody but itself, or only with
    /// external ends: the union over all others. Nothing for an unknown index.
    #[must_use]
    pub fn anyone(&self, party: usize, direction: Direction, outside: bool) -> PortSet {
        self.engine.anyone(party, direction, outside)
    }

    /// Everything that is allowed, in few words: sources that may do the same are put together,
    /// and so are, for these, destinations. Disjoint and sorted.
    ///
    /// A party with one pod is asked about another pod just like it where it meets itself.
    #[must_use]
    pub fn rectangles(&self) -> Vec<Rectangle> {
        self.engine.rectangles()
    }

    /// Each party once for each address family that policies tell apart there, with the classes it
    /// is in. Two subjects of one class are allowed the same; two others in one column are seen
    /// alike by every rule of that direction. So one pair per class and column answers for all.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.engine.places()
    }

    /// The place of a party where it uses `address`, one of its own; None if it is not.
    #[must_use]
    pub fn place_at(&self, party: usize, address: IpAddr) -> Option<Place> {
        self.engine.place_at(party, address)
    }

    /// Whether `source` may open this connection to `destination`, in constant time; port 0 stands
    /// for the protocol as a whole. The pair must be two ends of one address family; that a pod
    /// reaches itself and a node its own pods is for the caller to know.
    #[must_use]
    pub fn allows_at(
        &self,
        source: &Place,
        destination: &Place,
        protocol: Protocol,
        port: u16,
    ) -> bool {
        let (egress, ingress) = self.engine.cell(source, destination);
        self.engine.ports.set(egress).contains(protocol, port)
            && self.engine.ports.set(ingress).contains(protocol, port)
    }

    /// What the subjects of a class ([`Place::egress_class`], [`Place::ingress_class`]) may do,
    /// with who decides. `book` must be the one this was made of; None for unknown classes.
    #[must_use]
    pub fn class_table(
        &self,
        book: &Rulebook,
        direction: Direction,
        class: u32,
    ) -> Option<ClassTable> {
        self.engine.class_table(book, direction, class)
    }

    /// Takes up a pod that came to be (or was relabelled: [`Reach::leave`] first): the endpoint
    /// with this index, appended to the cluster that this was computed for. In time that does not
    /// depend on the size of the cluster.
    ///
    /// False if no pod is just like it (workload, labels, ports, ranges that hold its addresses):
    /// then all is to be computed anew.
    pub fn join(&mut self, cluster: &Cluster, index: usize) -> bool {
        self.engine.join(cluster, index)
    }

    /// Drops a pod that is gone: the endpoint with this index. A party may be left without pods;
    /// its answers are then about pods like the one that was there last, and `cluster` must keep
    /// that one.
    pub fn leave(&mut self, cluster: &Cluster, index: usize) {
        self.engine.leave(cluster, index);
    }

    /// What changes if one policy is put, replaced or removed: every pair of parties at most once.
    /// `cluster` must be the one this was computed for.
    ///
    /// None if the new version names address ranges or DNS names that no policy named before:
    /// then parties themselves change, and all is to be computed anew.
    #[must_use]
    pub fn what_if(&self, cluster: &Cluster, edit: &Edit<'_>) -> Option<Vec<Change>> {
        self.engine.edit(cluster, edit)
    }

    /// The number of ordered pairs of parties between which anything is allowed, of all pairs.
    #[must_use]
    pub fn connected_pairs(&self) -> u64 {
        self.engine.connected_pairs()
    }
}

/// One policy that is put, replaced or removed.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// Index of its tier in [`Rulebook::tiers`].
    pub tier: usize,
    /// What it is called; the policies of this name leave the tier.
    pub name: &'a PolicyName,
    /// The new version, already lowered (two halves for Cilium); empty = it is removed. In a tier
    /// with an order it stands at its rank, before others of equal rank and later names.
    pub policies: &'a [Policy],
}

/// What two groups of parties may do before and after an edit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Initiators, as ascending indices into [`Reach::parties`].
    pub sources: Vec<usize>,
    /// Responders, likewise.
    pub destinations: Vec<usize>,
    /// What every source may open to every destination before.
    pub before: PortSet,
    /// And after.
    pub after: PortSet,
}

/// Disjoint inclusive ranges of one family that no address range of the policies cuts, ascending.
#[must_use]
pub fn atoms(rules: &RuleSet, ipv6: bool) -> Vec<(IpAddr, IpAddr)> {
    cut(&Named::in_book(rules.rulebook()).networks, ipv6)
}

pub(crate) fn cut(networks: &[IpNet], ipv6: bool) -> Vec<(IpAddr, IpAddr)> {
    let mut starts = BTreeSet::from([if ipv6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }]);
    for net in networks.iter().filter(|net| net.addr().is_ipv6() == ipv6) {
        starts.insert(net.network());
        starts.extend(after(net.broadcast()));
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
