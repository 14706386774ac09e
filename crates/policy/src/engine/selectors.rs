//! Selectors and peers as sets of items.

use indexmap::IndexMap;
use sekisho_manifest::{Operator, Requirement};
use sekisho_model::Labels;

use crate::Cluster;
use crate::engine::axis::{Axis, ItemKind};
use crate::engine::bits::Bits;
use crate::engine::ids::id;
use crate::ir::{Entity, Expr, PeerMatch, Peers, Reach, Scope, Subject, Test};
use crate::matching::{Facts, fits_pattern, is_below};
use crate::reach::Party;

type Postings<'a, K> = IndexMap<K, Vec<u32>, foldhash::fast::FixedState>;
type Labelled<'a> = Postings<'a, (Scope, &'a str, &'a str)>;

/// Which items have which labels.
pub(crate) struct Index<'a> {
    axis: &'a Axis,
    cluster: &'a Cluster,
    facts: Vec<(u32, Facts<'a>)>,
    by_namespace: Postings<'a, &'a str>,
    by_label: Labelled<'a>,
    by_key: Postings<'a, (Scope, &'a str)>,
    /// All pods and hosts.
    endpoints: Bits,
    /// Host-network pods.
    on_node: Bits,
}

impl<'a> Index<'a> {
    pub(crate) fn new(axis: &'a Axis, cluster: &'a Cluster) -> Self {
        let size = axis.items.len();
        let mut index = Self {
            axis,
            cluster,
            facts: Vec::with_capacity(size),
            by_namespace: Postings::default(),
            by_label: Labelled::default(),
            by_key: Postings::default(),
            endpoints: Bits::none(size),
            on_node: Bits::none(size),
        };
        for (item, at) in axis.items.iter().zip(0..) {
            match item.kind {
                ItemKind::Endpoint(endpoint) => index.add(at, endpoint),
                ItemKind::OnNode(_) => index.on_node.insert(at),
                ItemKind::Address | ItemKind::Domain => {}
            }
        }
        index
    }

    fn add(&mut self, at: u32, endpoint: usize) {
        let Some(endpoint) = self.cluster.endpoints.get(endpoint) else { return };
        self.endpoints.insert(at);
        self.by_namespace.entry(&endpoint.namespace).or_default().push(at);
        self.add_labels(at, Scope::Pod, &endpoint.labels);
        self.facts.push((at, Facts::of(self.cluster, endpoint)));
    }

    fn add_labels(&mut self, at: u32, scope: Scope, labels: &'a Labels) {
        for (key, value) in labels {
            self.by_label.entry((scope, key, value)).or_default().push(at);
            self.by_key.entry((scope, key)).or_default().push(at);
        }
    }

    fn none(&self) -> Bits {
        Bits::none(self.axis.items.len())
    }

    fn of(&self, items: Option<&Vec<u32>>) -> Bits {
        let mut set = self.none();
        for item in items.into_iter().flatten() {
            set.insert(*item);
        }
        set
    }

    /// The pods and hosts that an expression selects.
    pub(crate) fn select(&self, expr: &Expr) -> Bits {
        match expr {
            Expr::All => self.endpoints.clone(),
            Expr::None => self.none(),
            Expr::Not(inner) => {
                let mut set = self.endpoints.clone();
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
            _ => all.iter().fold(self.endpoints.clone(), |mut set, one| {
                set.intersect(&self.select(one));
                set
            }),
        }
    }

    fn holds(&self, item: u32, all: &[Expr]) -> bool {
        let found = self.facts.binary_search_by_key(&item, |(at, _)| *at);
        let facts = found.ok().and_then(|index| self.facts.get(index));
        facts.is_some_and(|(_, facts)| {
            let subject = facts.subject();
            all.iter().all(|one| one.matches(&subject))
        })
    }

    /// The items that can be selected at most, where a list of them is at hand.
    fn candidates<'s>(&'s self, expr: &'s Expr) -> Option<&'s [u32]> {
        match expr {
            Expr::Test(Test::Namespace(name)) => Some(listed(self.by_namespace.get(name.as_str()))),
            Expr::Test(Test::Label(Scope::Pod, requirement)) => {
                let key = requirement.key.as_str();
                match (requirement.operator, requirement.values.as_slice()) {
                    (Operator::In, [value]) => {
                        Some(listed(self.by_label.get(&(Scope::Pod, key, value.as_str()))))
                    }
                    (Operator::In | Operator::Exists, _) => {
                        Some(listed(self.by_key.get(&(Scope::Pod, key))))
                    }
                    (Operator::NotIn | Operator::DoesNotExist, _) => None,
                }
            }
            Expr::None => Some(EMPTY),
            Expr::All
            | Expr::Not(_)
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Test(Test::Label(..) | Test::Text(..) | Test::ServiceAccount(_)) => None,
        }
    }

    fn test(&self, test: &Test) -> Bits {
        match test {
            Test::Namespace(name) => self.of(self.by_namespace.get(name.as_str())),
            Test::Label(Scope::Pod, requirement) => self.labelled(requirement),
            Test::Label(Scope::Namespace, requirement) => {
                let mut set = self.none();
                for (namespace, items) in &self.by_namespace {
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
        let with_key = || self.of(self.by_key.get(&(Scope::Pod, key)));
        let with_value = || {
            requirement.values.iter().fold(self.none(), |mut set, value| {
                let items = self.by_label.get(&(Scope::Pod, key, value.as_str()));
                items.into_iter().flatten().for_each(|item| set.insert(*item));
                set
            })
        };
        let without = |some: Bits| {
            let mut set = self.endpoints.clone();
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
        for (at, facts) in &self.facts {
            if passes(&facts.subject()) {
                set.insert(*at);
            }
        }
        set
    }

    /// The other ends a rule speaks about.
    pub(crate) fn peers(&self, peers: &Peers) -> Bits {
        match peers {
            Peers::Any => Bits::all(self.axis.items.len()),
            Peers::List(list) => list.iter().fold(self.none(), |mut set, one| {
                set.union(&self.peer(one));
                set
            }),
        }
    }

    fn peer(&self, peer: &PeerMatch) -> Bits {
        match peer {
            PeerMatch::Endpoints(expr) => self.select(expr),
            PeerMatch::Networks { nets, except, reach } => {
                let mut set = self.in_nets(nets);
                set.subtract(&self.in_nets(except));
                match reach {
                    Reach::Anything => {}
                    Reach::NotEndpoints => set.subtract(&self.endpoints),
                    Reach::OutsideCluster => {
                        set.subtract(&self.endpoints);
                        set.subtract(&self.on_node);
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
        let mut inside = self.endpoints.clone();
        inside.union(&self.on_node);
        match entity {
            Entity::World => inside.complement(),
            Entity::Cluster => inside,
            // Which node is a pod's own is not told apart here: host-network pods count as remote.
            Entity::Host => self.none(),
            Entity::RemoteNode => self.on_node.clone(),
        }
    }
}

const EMPTY: &[u32] = &[];

fn listed(items: Option<&Vec<u32>>) -> &[u32] {
    items.map_or(EMPTY, Vec::as_slice)
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
    pub(crate) fn intern(&mut self, peers: &Peers, index: &Index<'_>) -> u32 {
        if let Some(known) = self.numbers.get(peers) {
            return *known;
        }
        let number = id(self.sets.len());
        self.sets.push(index.peers(peers));
        self.numbers.insert(peers.clone(), number);
        number
    }

    /// Adds a set that stands for no peer list.
    pub(crate) fn push(&mut self, set: Bits) -> u32 {
        self.sets.push(set);
        id(self.sets.len() - 1)
    }
}
