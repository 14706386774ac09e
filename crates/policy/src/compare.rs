//! Whether one set of policies allows no more than another, with a connection that shows it if not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_manifest::{ContainerPort, Operator, Requirement};
use sekisho_model::{Direction, Labels, PartyKind, Protocol, WorkloadRef};

use crate::ir::{Expr, PeerMatch, Peers, PortMatch, Rulebook, Scope, Subject, Test};
use crate::{Cluster, Endpoint, Party, PortSet, Reach, RuleSet};

/// Kind of the workload of a pod that does not exist and might.
pub const ANY_POD: &str = "AnyPod";
/// Pods that might exist and are asked about; more selectors than this are left out, with
/// [`Comparison::complete`] false.
const ANY_PODS_MAX: usize = 2_000;
/// Witnesses that are kept of each side.
pub const WITNESSES_MAX: usize = 20;
/// Numbers that named ports of pods that might exist get, from this on.
const NAMED_PORT_FIRST: u16 = 20_000;

/// How two sets of policies stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Both allow the same.
    Equal,
    /// The first allows less than the second, and nothing else.
    Subset,
    /// The first allows more than the second, and all that it allows.
    Superset,
    /// Each allows something that the other does not.
    Neither,
}

impl Relation {
    /// The relation as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Subset => "subset",
            Self::Superset => "superset",
            Self::Neither => "neither",
        }
    }
}

/// Connections that one set allows and the other does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witness {
    /// Initiator.
    pub source: String,
    /// Responder.
    pub destination: String,
    /// The protocols and ports.
    pub ports: PortSet,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How the first stands to the second.
    pub relation: Relation,
    /// What only the first allows, at most [`WITNESSES_MAX`].
    pub only_first: Vec<Witness>,
    /// What only the second allows, likewise.
    pub only_second: Vec<Witness>,
    /// Pairs of ends with something that only the first allows.
    pub first_pairs: u64,
    /// The same for the second.
    pub second_pairs: u64,
    /// False if there were too many selectors to ask about all pods that might exist.
    pub complete: bool,
}

/// Compares two sets of policies over the same cluster.
///
/// With `any_pods` it asks, beside the pods of the cluster, about one pod that might exist for each
/// selector of either set, and one that no selector names.
#[must_use]
pub fn compare(first: &RuleSet, second: &RuleSet, cluster: &Cluster, any_pods: bool) -> Comparison {
    let mut cluster = cluster.clone();
    let mut complete = true;
    if any_pods {
        complete = add_any_pods(&mut cluster, [first.rulebook(), second.rulebook()]);
    }
    let joint = Rulebook {
        tiers: first.rulebook().tiers.iter().chain(&second.rulebook().tiers).cloned().collect(),
        dialect: first.dialect(),
    };
    let axis = Reach::of_book(&joint, &cluster);
    let sides = [Side::new(first, &cluster), Side::new(second, &cluster)];
    let places = sides.each_ref().map(|side| {
        axis.parties().iter().map(|party| side.place(party)).collect::<Vec<Option<usize>>>()
    });
    let mut result = Comparison {
        relation: Relation::Equal,
        only_first: Vec::new(),
        only_second: Vec::new(),
        first_pairs: 0,
        second_pairs: 0,
        complete,
    };
    let [one, other] = &sides;
    let [at_one, at_other] = &places;
    for (source, (from_one, from_other)) in at_one.iter().zip(at_other).enumerate() {
        for (destination, (to_one, to_other)) in at_one.iter().zip(at_other).enumerate() {
            let left = one.ports(*from_one, *to_one);
            let right = other.ports(*from_other, *to_other);
            if left == right {
                continue;
            }
            let name = |index: usize| {
                axis.parties()
                    .get(index)
                    .map(|party| party_name(&cluster, party))
                    .unwrap_or_default()
            };
            let witness = |ports: PortSet| Witness {
                source: name(source),
                destination: name(destination),
                ports,
            };
            keep(&mut result.only_first, &mut result.first_pairs, left.minus(&right), witness);
            keep(&mut result.only_second, &mut result.second_pairs, right.minus(&left), witness);
        }
    }
    result.relation = match (result.first_pairs, result.second_pairs) {
        (0, 0) => Relation::Equal,
        (0, _) => Relation::Subset,
        (_, 0) => Relation::Superset,
        (_, _) => Relation::Neither,
    };
    result
}

fn keep(
    list: &mut Vec<Witness>,
    pairs: &mut u64,
    ports: PortSet,
    witness: impl Fn(PortSet) -> Witness,
) {
    if ports.is_empty() {
        return;
    }
    *pairs += 1;
    if list.len() < WITNESSES_MAX {
        list.push(witness(ports));
    }
}

/// One set's answers, and where its ends are.
struct Side {
    reach: Reach,
    by_endpoint: BTreeMap<usize, usize>,
    /// First address of each range of addresses outside, with its party.
    by_address: BTreeMap<IpAddr, usize>,
    by_domain: BTreeMap<String, usize>,
}

impl Side {
    fn new(rules: &RuleSet, cluster: &Cluster) -> Self {
        let reach = Reach::new(rules, cluster);
        let (mut by_endpoint, mut by_address) = (BTreeMap::new(), BTreeMap::new());
        let mut by_domain = BTreeMap::new();
        for (index, party) in reach.parties().iter().enumerate() {
            match party {
                Party::Endpoints(all) => by_endpoint.extend(all.iter().map(|one| (*one, index))),
                Party::Addresses(ranges) => {
                    by_address.extend(ranges.iter().map(|(first, _)| (*first, index)));
                }
                Party::Domain(name) => {
                    by_domain.insert(name.clone(), index);
                }
            }
        }
        Self { reach, by_endpoint, by_address, by_domain }
    }

    /// The party of this set that holds a party of the finer axis. A name that this set does not
    /// know is reached by none of its rules.
    fn place(&self, party: &Party) -> Option<usize> {
        match party {
            Party::Endpoints(all) => self.by_endpoint.get(all.first()?).copied(),
            Party::Addresses(ranges) => {
                let (first, _) = ranges.first()?;
                let same = |address: &IpAddr| address.is_ipv4() == first.is_ipv4();
                let below = self.by_address.range(..=*first).next_back();
                below.filter(|(address, _)| same(address)).map(|(_, index)| *index)
            }
            Party::Domain(name) => self.by_domain.get(name).copied(),
        }
    }

    fn ports(&self, source: Option<usize>, destination: Option<usize>) -> PortSet {
        match (source, destination) {
            (Some(source), Some(destination)) => self.reach.ports(source, destination),
            (None, _) | (_, None) => PortSet::none(),
        }
    }
}

fn party_name(cluster: &Cluster, party: &Party) -> String {
    match party {
        Party::Endpoints(all) => all
            .first()
            .and_then(|index| cluster.endpoints.get(*index))
            .map(|endpoint| match endpoint.workload.kind.as_str() {
                ANY_POD => any_pod_name(endpoint),
                kind => {
                    format!("{}/{}[{kind}]", endpoint.workload.namespace, endpoint.workload.name)
                }
            })
            .unwrap_or_default(),
        Party::Addresses(ranges) => ranges
            .first()
            .map(
                |(first, last)| {
                    if first == last { first.to_string() } else { format!("{first}-{last}") }
                },
            )
            .unwrap_or_default(),
        Party::Domain(name) => name.clone(),
    }
}

fn any_pod_name(endpoint: &Endpoint) -> String {
    let labels: Vec<String> =
        endpoint.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    match labels.as_slice() {
        [] => format!("{}/any pod", endpoint.namespace),
        labels => format!("{}/any pod with {}", endpoint.namespace, labels.join(",")),
    }
}

/// Adds a pod for each selector; false if there were too many.
fn add_any_pods(cluster: &mut Cluster, books: [&Rulebook; 2]) -> bool {
    let mut selectors: BTreeSet<Expr> = BTreeSet::new();
    let mut names: BTreeSet<(String, Protocol)> = BTreeSet::new();
    for policy in books.iter().flat_map(|book| &book.tiers).flat_map(|tier| &tier.policies) {
        selectors.insert(policy.subject.clone());
        let sides = [Direction::Ingress, Direction::Egress].map(|side| policy.side(side));
        for rule in sides.into_iter().flatten().flat_map(|side| &side.rules) {
            if let Peers::List(peers) = &rule.peers {
                selectors.extend(peers.iter().filter_map(|peer| match peer {
                    PeerMatch::Endpoints(expr) => Some(expr.clone()),
                    _other => None,
                }));
            }
            for port in rule.ports.include.iter().flatten() {
                if let PortMatch::Named { name, protocol } = port {
                    names.insert((name.clone(), protocol.unwrap_or(Protocol::Tcp)));
                }
            }
        }
    }
    let ports: Vec<ContainerPort> = (NAMED_PORT_FIRST..)
        .zip(names)
        .map(|(port, (name, protocol))| ContainerPort { name, port, protocol, host_port: None })
        .collect();
    let mut pods: BTreeSet<(String, Labels)> = BTreeSet::new();
    for namespace in cluster.namespaces.keys() {
        pods.insert((namespace.clone(), Labels::new()));
    }
    pods.insert(("any-namespace".to_owned(), Labels::new()));
    for selector in &selectors {
        pods.extend(example(cluster, selector));
    }
    let complete = pods.len() <= ANY_PODS_MAX;
    for (index, (namespace, labels)) in pods.into_iter().take(ANY_PODS_MAX).enumerate() {
        let name = format!("any-pod-{index}");
        cluster.endpoints.push(Endpoint {
            workload: WorkloadRef {
                namespace: namespace.clone(),
                name: name.clone(),
                kind: ANY_POD.to_owned(),
            },
            namespace,
            name,
            kind: PartyKind::Pod,
            labels,
            addresses: Vec::new(),
            ports: ports.clone(),
            host_network: false,
            node: None,
            service_account: None,
        });
    }
    cluster.endpoints.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    complete
}

/// A pod that a selector selects: namespace and labels; None where none is found easily.
fn example(cluster: &mut Cluster, selector: &Expr) -> Option<(String, Labels)> {
    let (mut own, mut around) = (Labels::new(), Labels::new());
    let mut namespace = None;
    collect(selector, &mut own, &mut around, &mut namespace);
    let metadata_name = around.get("kubernetes.io/metadata.name").cloned();
    let fits = |(_, labels): &(&String, &Labels)| {
        around.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let known = || cluster.namespaces.iter().find(fits).map(|(name, _)| name.clone());
    let name = namespace.or(metadata_name).or_else(known).unwrap_or_else(|| {
        let mut parts: Vec<String> =
            around.iter().map(|(key, value)| format!("{key}={value}")).collect();
        parts.insert(0, "any-namespace".to_owned());
        parts.join(",")
    });
    if !cluster.namespaces.contains_key(&name) {
        let mut labels = cluster.namespace_labels(&name);
        labels.extend(around);
        cluster.namespaces.insert(name.clone(), labels);
    }
    let namespace_labels = cluster.namespace_labels(&name);
    let nothing = Labels::new();
    let subject = Subject {
        namespace: &name,
        namespace_labels: &namespace_labels,
        labels: &own,
        service_account: None,
        service_account_labels: &nothing,
    };
    selector.matches(&subject).then_some((name, own))
}

/// The labels that a selector asks for, the first choice where it leaves one.
fn collect(expr: &Expr, own: &mut Labels, around: &mut Labels, namespace: &mut Option<String>) {
    match expr {
        Expr::And(all) => all.iter().for_each(|one| collect(one, own, around, namespace)),
        Expr::Or(any) => any.iter().take(1).for_each(|one| collect(one, own, around, namespace)),
        Expr::Test(Test::Namespace(name)) => *namespace = Some(name.clone()),
        Expr::Test(Test::Label(Scope::Pod, requirement)) => ask(requirement, own),
        Expr::Test(Test::Label(Scope::Namespace, requirement)) => ask(requirement, around),
        Expr::Test(
            Test::Label(Scope::ServiceAccount, _) | Test::ServiceAccount(_) | Test::Text(..),
        )
        | Expr::All
        | Expr::None
        | Expr::Not(_) => {}
    }
}

fn ask(requirement: &Requirement, labels: &mut Labels) {
    match requirement.operator {
        Operator::In => {
            let value = requirement.values.first().cloned().unwrap_or_default();
            labels.insert(requirement.key.clone(), value);
        }
        Operator::Exists => {
            labels.entry(requirement.key.clone()).or_insert_with(|| "any".to_owned());
        }
        Operator::NotIn | Operator::DoesNotExist => {}
    }
}
