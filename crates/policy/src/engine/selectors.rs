//! Selectors and peers as sets of items.

use indexmap::IndexMap;
use sekisho_manifest::{Operator, Requirement};

use crate::engine::axis::{Axis, ItemKind};
use crate::engine::bits::Bits;
use crate::engine::ids::{Interner, id};
use crate::ir::{Entity, Expr, Extent, PeerMatch, Peers, Scope, Subject, Test};
use crate::matching::{Facts, fits_pattern, holds_unknown, is_below};
use crate::reach::Party;
use crate::{Cluster, Endpoint};

type Postings<K> = IndexMap<K, Vec<u32>, foldhash::fast::FixedState>;

/// Which items have which labels.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Keys and values of labels, by number.
    words: Interner<String>,
    by_namespace: Postings<String>,
    /// By key and value.
    by_label: Postings<(u32, u32)>,
    by_key: Postings<u32>,
    /// All pods and hosts.
    endpoints: Bits,
    /// Host-network pods.
    on_node: Bits,
    /// What has no known address.
    unplaced: Bits,
}

impl Index {
    pub(crate) fn new(axis: &Axis, cluster: &Cluster) -> Self {
        let size = axis.items.len();
        let mut index = Self {
            words: Interner::default(),
            by_namespace: Postings::default(),
            by_label: Postings::default(),
            by_key: Postings::default(),
            endpoints: Bits::none(size),
            on_node: Bits::none(size),
            unplaced: Bits::none(size),
        };
        for (item, at) in axis.items.iter().zip(0..) {
            if item.net.is_none() {
                index.unplaced.insert(at);
            }
            match item.kind {
                ItemKind::Endpoint(endpoint) => {
                    if let Some(endpoint) = cluster.endpoints.get(endpoint) {
                        index.add(at, endpoint);
                    }
                }
                ItemKind::OnNode(_) => index.on_node.insert(at),
                ItemKind::Address | ItemKind::Domain => {}
            }
        }
        index
    }

    fn add(&mut self, at: u32, endpoint: &Endpoint) {
        self.endpoints.insert(at);
        match self.by_namespace.get_mut(&endpoint.namespace) {
            Some(items) => items.push(at),
            None => {
                self.by_namespace.insert(endpoint.namespace.clone(), vec![at]);
            }
        }
        for (key, value) in &endpoint.labels {
            let (key, value) = (self.words.of_text(key), self.words.of_text(value));
            self.by_label.entry((key, value)).or_default().push(at);
            self.by_key.entry(key).or_default().push(at);
        }
    }

    fn with_key(&self, key: &str) -> &[u32] {
        let items = self.words.get(key).and_then(|key| self.by_key.get(&key));
        items.map_or(&[], Vec::as_slice)
    }

    fn with_label(&self, key: &str, value: &str) -> &[u32] {
        let label = self.words.get(key).zip(self.words.get(value));
        label.and_then(|label| self.by_label.get(&label)).map_or(&[], Vec::as_slice)
    }

    fn in_namespace(&self, name: &str) -> &[u32] {
        self.by_namespace.get(name).map_or(&[], Vec::as_slice)
    }
}

/// What selectors are asked about.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) index: &'a Index,
    pub(crate) axis: &'a Axis,
    pub(crate) cluster: &'a Cluster,
}

impl World<'_> {
    fn none(&self) -> Bits {
        Bits::none(self.axis.items.len())
    }

    fn of(&self, items: &[u32]) -> Bits {
        let mut set = self.none();
        items.iter().for_each(|item| set.insert(*item));
        set
    }

    fn endpoint(&self, item: u32) -> Option<&Endpoint> {
        match self.axis.items.get(item as usize)?.kind {
            ItemKind::Endpoint(index) => self.cluster.endpoints.get(index),
            ItemKind::OnNode(_) | ItemKind::Address | ItemKind::Domain => None,
        }
    }

    /// The pods and hosts that an expression selects.
    pub(crate) fn select(&self, expr: &Expr) -> Bits {
        match expr {
            Expr::All => self.index.endpoints.clone(),
            Expr::None => self.none(),
            Expr::Not(inner) => {
                let mut set = self.index.endpoints.clone();
                set.subtract(&self.select(inner));
                set
            }
            Expr::And(all) => self.select_all(all),
            Expr::Or(any) => any.iter().fold(self.none(), |mut set, one| {
                set.union(&self.select(one));
                set
            }),
            Expr::Test(test) => self.test(test),
        }
    }

    /// What all expressions select: the shortest list of candidates, asked for the rest.
    fn select_all(&self, all: &[Expr]) -> Bits {
        let shortest = all
            .iter()
            .enumerate()
            .filter_map(|(index, one)| Some((self.candidates(one)?, index)))
            .min_by_key(|(items, _)| items.len());
        match shortest {
            Some((items, _)) if items.len() * SHORT < self.axis.items.len() => {
                let mut set = self.none();
                for item in items {
                    if self.holds(*item, all) {
                        set.insert(*item);
                    }
                }
                set
            }
            _ => all.iter().fold(self.index.endpoints.clone(), |mut set, one| {
                set.intersect(&self.select(one));
                set
            }),
        }
    }

    fn holds(&self, item: u32, all: &[Expr]) -> bool {
        self.endpoint(item).is_some_and(|endpoint| {
            let facts = Facts::of(self.cluster, endpoint);
            let subject = facts.subject();
            all.iter().all(|one| one.matches(&subject))
        })
    }

    /// The items that can be selected at most, where a list of them is at hand.
    fn candidates(&self, expr: &Expr) -> Option<&[u32]> {
        match expr {
            Expr::Test(Test::Namespace(name)) => Some(self.index.in_namespace(name)),
            Expr::Test(Test::Label(Scope::Pod, requirement)) => {
                let key = requirement.key.as_str();
                match (requirement.operator, requirement.values.as_slice()) {
                    (Operator::In, [value]) => Some(self.index.with_label(key, value)),
                    (Operator::In | Operator::Exists, _) => Some(self.index.with_key(key)),
                    (Operator::NotIn | Operator::DoesNotExist, _) => None,
                }
            }
            Expr::None => Some(&[]),
            Expr::All
            | Expr::Not(_)
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Test(Test::Label(..) | Test::Text(..) | Test::ServiceAccount(_)) => None,
        }
    }

    fn test(&self, test: &Test) -> Bits {
        match test {
            Test::Namespace(name) => self.of(self.index.in_namespace(name)),
            Test::Label(Scope::Pod, requirement) => self.labelled(requirement),
            Test::Label(Scope::Namespace, requirement) => {
                let mut set = self.none();
                for (namespace, items) in &self.index.by_namespace {
                    if requirement.matches(&self.cluster.labels_of_namespace(namespace)) {
                        items.iter().for_each(|item| set.insert(*item));
                    }
                }
                set
            }
            Test::Label(Scope::ServiceAccount, _) | Test::Text(..) | Test::ServiceAccount(_) => {
                let expr = Expr::Test(test.clone());
                self.scan(|subject| expr.matches(subject))
            }
        }
    }

    fn labelled(&self, requirement: &Requirement) -> Bits {
        let key = requirement.key.as_str();
        let with_key = || self.of(self.index.with_key(key));
        let with_value = || {
            requirement.values.iter().fold(self.none(), |mut set, value| {
                let items = self.index.with_label(key, value);
                items.iter().for_each(|item| set.insert(*item));
                set
            })
        };
        let without = |some: Bits| {
            let mut set = self.index.endpoints.clone();
            set.subtract(&some);
            set
        };
        match requirement.operator {
            Operator::In => with_value(),
            Operator::NotIn => without(with_value()),
            Operator::Exists => with_key(),
            Operator::DoesNotExist => without(with_key()),
        }
    }

    fn scan(&self, passes: impl Fn(&Subject<'_>) -> bool) -> Bits {
        let mut set = self.none();
        for at in self.index.endpoints.iter() {
            let Some(endpoint) = self.endpoint(at) else { continue };
            if passes(&Facts::of(self.cluster, endpoint).subject()) {
                set.insert(at);
            }
        }
        set
    }

    /// The other ends a rule speaks about.
    pub(crate) fn peers(&self, peers: &Peers) -> Bits {
        match peers {
            Peers::Any => Bits::all(self.axis.items.len()),
            Peers::List(list) => {
                let sets = list.iter().map(|one| self.peer(one));
                let union = |mut set: Bits, one: Bits| {
                    set.union(&one);
                    set
                };
                sets.reduce(union).unwrap_or_else(|| self.none())
            }
        }
    }

    fn peer(&self, peer: &PeerMatch) -> Bits {
        match peer {
            PeerMatch::Endpoints(expr) => self.select(expr),
            PeerMatch::Networks { nets, except, extent } => {
                let mut set = self.in_nets(nets);
                set.subtract(&self.in_nets(except));
                if holds_unknown(nets, except) {
                    set.union(&self.index.unplaced);
                }
                match extent {
                    Extent::Anything => {}
                    Extent::NotEndpoints => set.subtract(&self.index.endpoints),
                    Extent::OutsideCluster => {
                        set.subtract(&self.index.endpoints);
                        set.subtract(&self.index.on_node);
                    }
                }
                set
            }
            PeerMatch::Nodes(selector) => self.nodes(|node| {
                let labels = self.cluster.node_labels.get(node);
                labels.is_some_and(|labels| selector.matches(labels))
                    || (selector.is_empty() && self.cluster.nodes.contains_key(node))
            }),
            PeerMatch::Domain(pattern) => self.domains(|name| is_below(name, pattern)),
            PeerMatch::DomainPattern(pattern) => self.domains(|name| fits_pattern(name, pattern)),
            PeerMatch::Entity(entity) => self.entity(*entity),
            PeerMatch::All(all) => {
                all.iter().fold(Bits::all(self.axis.items.len()), |mut set, one| {
                    set.intersect(&self.peer(one));
                    set
                })
            }
            PeerMatch::Not(inner) => self.peer(inner).complement(),
        }
    }

    fn in_nets(&self, nets: &[ipnet::IpNet]) -> Bits {
        let mut set = self.none();
        for net in nets {
            let inside = self.axis.nets.inside(net);
            let start = self.axis.by_net.partition_point(|(at, _)| *at < inside.start);
            let items = self.axis.by_net.iter().skip(start);
            items.take_while(|(at, _)| *at < inside.end).for_each(|(_, item)| set.insert(*item));
        }
        set
    }

    fn nodes(&self, wanted: impl Fn(&str) -> bool) -> Bits {
        let mut set = self.none();
        for (item, at) in self.axis.items.iter().zip(0..) {
            let ItemKind::OnNode(endpoint) = item.kind else { continue };
            let endpoint = self.cluster.endpoints.get(endpoint);
            if endpoint.is_some_and(|one| wanted(one.node.as_deref().unwrap_or_default())) {
                set.insert(at);
            }
        }
        set
    }

    fn domains(&self, wanted: impl Fn(&str) -> bool) -> Bits {
        let mut set = self.none();
        for (party, span) in self.axis.parties.iter().zip(&self.axis.spans) {
            if matches!(party, Party::Domain(name) if wanted(name)) {
                span.clone().for_each(|item| set.insert(item));
            }
        }
        set
    }

    fn entity(&self, entity: Entity) -> Bits {
        let mut inside = self.index.endpoints.clone();
        inside.union(&self.index.on_node);
        match entity {
            Entity::World => inside.complement(),
            Entity::Cluster => inside,
            // Which node is a pod's own is not told apart here: host-network pods count as remote.
            Entity::Host => self.none(),
            Entity::RemoteNode => self.index.on_node.clone(),
        }
    }
}

/// How many times shorter than all items a list is that is worth asking one by one.
const SHORT: usize = 16;

/// A set of items by number, each distinct peer list once.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerSets {
    numbers: IndexMap<Peers, u32, foldhash::fast::FixedState>,
    pub(crate) sets: Vec<Bits>,
}

impl PeerSets {
    pub(crate) fn intern(&mut self, peers: &Peers, world: World<'_>) -> u32 {
        if let Some(known) = self.numbers.get(peers) {
            return *known;
        }
        let number = id(self.sets.len());
        self.sets.push(world.peers(peers));
        self.numbers.insert(peers.clone(), number);
        number
    }

    /// Adds a set that stands for no peer list.
    pub(crate) fn push(&mut self, set: Bits) -> u32 {
        self.sets.push(set);
        id(self.sets.len() - 1)
    }
}
