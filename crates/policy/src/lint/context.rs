//! What all lints look at: objects, texts, policies in one shape, and the ends that matter.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_manifest::{NetworkPolicy, Object, Position};
use sekisho_model::{Direction, PartyKind, WorkloadRef};

use super::code::Code;
use super::finding::{Finding, Fix, ObjectName, Unchecked};
use super::source::{Document, Sources};
use crate::ir::{Policy, Rule, Rulebook, Tier};
use crate::matching::{Facts, is_ordinary};
use crate::named::Named;
use crate::{Cluster, Dialect, Endpoint, Party, PolicyName, PortSet, Reach, RuleSet, reach};

/// Annotation of policies that were made from recorded traffic.
const EVIDENCE_ANNOTATION: &str = "sekisho.dev/evidence-from";

/// Pods and hosts that no policy tells apart.
pub(crate) struct Class {
    /// Index of one of them in the cluster's endpoints.
    pub(crate) first: usize,
    /// Their workloads, sorted.
    pub(crate) workloads: Vec<WorkloadRef>,
    /// Only the policies that select them, tiers in order.
    pub(crate) book: Rulebook,
}

/// An end that rules may match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    /// A class.
    Class(usize),
    /// An address outside, one for all that no rule tells apart.
    Address(IpAddr),
}

pub(crate) struct Context<'a> {
    pub(crate) objects: &'a [Object],
    pub(crate) sources: Sources<'a>,
    pub(crate) cluster: Cluster,
    pub(crate) rules: RuleSet,
    pub(crate) classes: Vec<Class>,
    externals: OnceCell<Vec<IpAddr>>,
    reach: OnceCell<(Reach, BTreeMap<usize, usize>)>,
    unchecked: RefCell<Vec<Unchecked>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(objects: &'a [Object], sources: Sources<'a>, dialect: Dialect) -> Self {
        let cluster = Cluster::from_objects(objects);
        let rules = RuleSet::from_objects(objects, dialect);
        let classes = classes(&cluster, rules.rulebook());
        Self {
            objects,
            sources,
            cluster,
            rules,
            classes,
            externals: OnceCell::new(),
            reach: OnceCell::new(),
            unchecked: RefCell::new(Vec::new()),
        }
    }

    /// Notes that `codes` were not looked for everywhere.
    pub(crate) fn leave_out(&self, codes: &[&'static Code], why: String) {
        let note = Unchecked { codes: codes.to_vec(), why };
        let mut all = self.unchecked.borrow_mut();
        if !all.contains(&note) {
            all.push(note);
        }
    }

    /// What was left out so far.
    pub(crate) fn unchecked(&self) -> Vec<Unchecked> {
        self.unchecked.borrow().clone()
    }

    /// What policies of one direction let a class do with anybody, or with external ends only.
    pub(crate) fn anyone(&self, class: &Class, direction: Direction, outside: bool) -> PortSet {
        let (reach, parties) = self.reach.get_or_init(|| {
            let reach = Reach::new(&self.rules, &self.cluster);
            let mut parties = BTreeMap::new();
            for (party, members) in reach.parties().iter().enumerate() {
                if let Party::Endpoints(all) = members {
                    parties.extend(all.iter().map(|one| (*one, party)));
                }
            }
            (reach, parties)
        });
        let Some(party) = parties.get(&class.first).copied() else { return PortSet::none() };
        let others = reach.anyone(party, direction, outside);
        // Pods of one workload are others to each other: members of a cluster that elect a leader.
        let has_peers = self.endpoint(class).is_some_and(Endpoint::stands_for_many);
        if outside || !has_peers {
            return others;
        }
        others.union(&reach.one_direction(party, party, direction))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.rules.dialect()
    }

    /// Whether the files tell of workloads at all; without them nothing can be said about what
    /// selectors match.
    pub(crate) fn knows_workloads(&self) -> bool {
        !self.cluster.endpoints.is_empty()
    }

    pub(crate) fn endpoint(&self, class: &Class) -> Option<&Endpoint> {
        self.cluster.endpoints.get(class.first)
    }

    /// The classes with the endpoint that stands for them.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = (&Class, &Endpoint)> {
        self.classes.iter().filter_map(|class| Some((class, self.endpoint(class)?)))
    }

    /// Those that policies speak about.
    pub(crate) fn ordinary(&self) -> impl Iterator<Item = (&Class, &Endpoint)> {
        self.subjects().filter(|(_, endpoint)| is_ordinary(self.dialect(), endpoint))
    }

    /// One address for all outside that no address range of the policies tells apart; none that
    /// belongs to a pod, host or node.
    pub(crate) fn externals(&self) -> &[IpAddr] {
        self.externals.get_or_init(|| {
            let nets = Named::in_book(self.rules.rulebook()).networks;
            let mut known: BTreeMap<(bool, Vec<usize>), IpAddr> = BTreeMap::new();
            for ipv6 in [false, true] {
                for (first, last) in reach::atoms(&self.rules, ipv6) {
                    let held = |(index, net): (usize, &ipnet::IpNet)| {
                        net.contains(&first).then_some(index)
                    };
                    let key = (ipv6, nets.iter().enumerate().filter_map(held).collect());
                    let free = [last, first].into_iter().find(|address| !self.is_inside(*address));
                    known.entry(key).or_insert(free.unwrap_or(last));
                }
            }
            known.into_values().collect()
        })
    }

    pub(crate) fn is_inside(&self, address: IpAddr) -> bool {
        self.cluster.endpoint_at(address).is_some() || self.cluster.node_at(address).is_some()
    }

    /// All ends, classes first.
    pub(crate) fn far_ends(&self) -> Vec<Far> {
        let externals = self.externals().iter().copied().map(Far::Address);
        (0..self.classes.len()).map(Far::Class).chain(externals).collect()
    }

    /// Every policy with its tier.
    pub(crate) fn policies(&self) -> impl Iterator<Item = (&Tier, &Policy)> {
        let tiers = self.rules.rulebook().tiers.iter();
        tiers.flat_map(|tier| tier.policies.iter().map(move |policy| (tier, policy)))
    }

    /// Every rule of every policy.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&Policy, Direction, &Rule)> {
        self.policies().flat_map(|(_, policy)| {
            [Direction::Ingress, Direction::Egress].into_iter().flat_map(move |direction| {
                let rules = policy.side(direction).map(|side| side.rules.as_slice());
                rules.unwrap_or_default().iter().map(move |rule| (policy, direction, rule))
            })
        })
    }

    /// The NetworkPolicies as they are written, duplicates included.
    pub(crate) fn network_policies(&self) -> impl Iterator<Item = &'a NetworkPolicy> + use<'a> {
        self.objects.iter().filter_map(|object| match object {
            Object::NetworkPolicy(policy) => Some(policy),
            _other => None,
        })
    }

    /// Whether the policy was made from recorded traffic: what it lacks was not needed, and what
    /// it has twice is evidence.
    pub(crate) fn is_recommended(&self, name: &PolicyName) -> bool {
        self.rules.policies().iter().any(|policy| {
            policy.meta.name == name.name
                && policy.meta.namespace == name.namespace
                && policy.meta.annotations.contains_key(EVIDENCE_ANNOTATION)
        })
    }

    /// The classes that a policy selects and that policies speak about.
    pub(crate) fn selected<'c>(
        &'c self,
        policy: &'c Policy,
    ) -> impl Iterator<Item = (&'c Class, &'c Endpoint)> {
        self.ordinary().filter(|(_, endpoint)| {
            policy.subject.matches(&Facts::of(&self.cluster, endpoint).subject())
        })
    }

    /// Where a rule stands: position and field path.
    pub(crate) fn rule_place(&self, policy: &Policy, rule: &Rule) -> Place {
        let document = self.sources.document(&policy.position);
        let field = document
            .and_then(|document| document.at(&rule.position).map(|spot| spot.field))
            .unwrap_or_default();
        Place { object: object_name(&policy.name), position: rule.position.clone(), field }
    }

    /// Where a field of a policy stands.
    pub(crate) fn place(&self, object: ObjectName, position: &Position, field: &str) -> Place {
        let found = self.sources.document(position).map(|document| document.position(field));
        let position = found.unwrap_or_else(|| position.clone());
        Place { object, position, field: field.to_owned() }
    }

    pub(crate) fn document(&self, position: &Position) -> Option<Document<'a>> {
        self.sources.document(position)
    }
}

/// What a finding is about, and where.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) object: ObjectName,
    pub(crate) position: Position,
    pub(crate) field: String,
}

impl Place {
    /// A finding here, of the severity of its code.
    pub(crate) fn finding(self, code: &'static Code, message: String, fix: Fix) -> Finding {
        Finding {
            code,
            severity: code.severity,
            object: self.object,
            position: self.position,
            field: self.field,
            message,
            evidence: Vec::new(),
            fix,
        }
    }
}

pub(crate) fn object_name(name: &PolicyName) -> ObjectName {
    ObjectName {
        kind: name.kind.as_str().to_owned(),
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

pub(crate) fn object_name_of(object: &Object) -> ObjectName {
    let meta = object.meta();
    ObjectName {
        kind: object.kind().to_owned(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
    }
}

/// `namespace/name[Kind]`.
pub(crate) fn workload_name(workload: &WorkloadRef) -> String {
    format!("{}/{}[{}]", workload.namespace, workload.name, workload.kind)
}

/// Names of workloads, sorted, each once.
pub(crate) fn workload_names<'c>(classes: impl IntoIterator<Item = &'c Class>) -> Vec<String> {
    let names: BTreeSet<String> =
        classes.into_iter().flat_map(|class| &class.workloads).map(workload_name).collect();
    names.into_iter().collect()
}

pub(crate) fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn classes(cluster: &Cluster, book: &Rulebook) -> Vec<Class> {
    let nets = Named::in_book(book).networks;
    let mut groups: BTreeMap<_, (usize, BTreeSet<WorkloadRef>)> = BTreeMap::new();
    for (index, endpoint) in cluster.endpoints.iter().enumerate() {
        let held = |address: &IpAddr| {
            let held = |(index, net): (usize, &ipnet::IpNet)| {
                net.contains(&address.to_canonical()).then_some(index)
            };
            (address.is_ipv6(), nets.iter().enumerate().filter_map(held).collect::<Vec<_>>())
        };
        let ranges: BTreeSet<_> = endpoint.addresses.iter().map(held).collect();
        let ports: BTreeSet<_> =
            endpoint.ports.iter().map(|port| (&port.name, port.protocol, port.port)).collect();
        let node = endpoint.host_network.then_some(&endpoint.node);
        let key = (
            (&endpoint.namespace, endpoint.kind == PartyKind::Pod),
            &endpoint.labels,
            &endpoint.service_account,
            node,
            (ranges, ports),
        );
        let (_, workloads) = groups.entry(key).or_insert_with(|| (index, BTreeSet::new()));
        workloads.insert(endpoint.workload.clone());
    }
    groups
        .into_values()
        .map(|(first, workloads)| Class {
            first,
            workloads: workloads.into_iter().collect(),
            book: cluster
                .endpoints
                .get(first)
                .map_or_else(Rulebook::default, |endpoint| about(cluster, book, endpoint)),
        })
        .collect()
}

/// The policies that select an endpoint, tiers in order.
pub(crate) fn about(cluster: &Cluster, book: &Rulebook, endpoint: &Endpoint) -> Rulebook {
    let facts = Facts::of(cluster, endpoint);
    let subject = facts.subject();
    let tiers = book.tiers.iter().filter_map(|tier| {
        let selecting = tier.policies.iter().filter(|policy| policy.subject.matches(&subject));
        let policies: Vec<Policy> = selecting.cloned().collect();
        (!policies.is_empty()).then(|| Tier { name: tier.name.clone(), policies })
    });
    Rulebook { tiers: tiers.collect(), dialect: book.dialect }
}
