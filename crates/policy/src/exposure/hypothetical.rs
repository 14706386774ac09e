//! Pods that do not exist yet: one for each selector of a rule, made so that the selector takes it.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{ContainerPort, Operator, Requirement};
use sekisho_model::{Labels, PartyKind, Protocol, WorkloadRef};

use super::words::words;
use crate::ir::{Expr, PeerMatch, Peers, PortMatch, Rulebook, Scope, Subject, Test, TextOperator};
use crate::{Cluster, Endpoint};

/// Most selectors that are looked at.
const SELECTORS_MAX: usize = 2_000;
/// Most alternatives of one selector that are tried.
const ALTERNATIVES_MAX: usize = 64;
/// Most names of ports that are followed.
const NAMES_MAX: usize = 256;
/// Prefix of the names of what does not exist; no Kubernetes name has a blank.
const PREFIX: &str = "hypothetical ";

/// A pod that might come to be.
pub(super) struct Hypothetical {
    /// Which pods it stands for, in words.
    pub(super) words: String,
    /// Pods that exist already and are taken by the selector.
    pub(super) existing: usize,
    /// Index into [`Cluster::endpoints`] of the cluster with all of them.
    pub(super) endpoint: usize,
}

/// Names of ports and the numbers that stand for them in pods that do not exist.
pub(super) type Names = BTreeMap<u16, String>;

/// A cluster with pods that do not exist.
pub(super) struct Imagined {
    pub(super) cluster: Cluster,
    /// The first stands for a pod without labels in a namespace without any.
    pub(super) hypothetical: Vec<Hypothetical>,
    pub(super) names: Names,
    /// Whether there are more selectors than are looked at.
    pub(super) is_partial: bool,
}

/// Adds a pod for each selector of a rule. Selectors that contradict themselves have none.
pub(super) fn imagine(book: &Rulebook, cluster: &Cluster) -> Imagined {
    let mut imagined = cluster.clone();
    let names = names(book);
    let ports: Vec<ContainerPort> = names
        .iter()
        .flat_map(|(number, name)| {
            [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| ContainerPort {
                name: name.clone(),
                port: *number,
                protocol,
                host_port: None,
            })
        })
        .collect();
    let mut all = Vec::new();
    let exprs = selectors(book);
    for expr in std::iter::once(&Expr::All).chain(exprs.iter().take(SELECTORS_MAX)) {
        let Some(draft) = solve(expr, cluster, all.len()) else { continue };
        let existing = cluster.endpoints.iter().filter(|one| takes(expr, cluster, one)).count();
        let endpoint = imagined.endpoints.len();
        all.push(Hypothetical { words: words(expr), existing, endpoint });
        draft.add(&mut imagined, endpoint, &ports);
    }
    let is_partial = exprs.len() > SELECTORS_MAX;
    Imagined { cluster: imagined, hypothetical: all, names, is_partial }
}

/// The selectors of peers of all rules; not those that take every pod, or none.
fn selectors(book: &Rulebook) -> BTreeSet<Expr> {
    let mut found = BTreeSet::new();
    for policy in book.tiers.iter().flat_map(|tier| &tier.policies) {
        for rule in policy.ingress.iter().chain(&policy.egress).flat_map(|side| &side.rules) {
            let Peers::List(list) = &rule.peers else { continue };
            for peer in list {
                collect(peer, &mut found);
            }
        }
    }
    found.remove(&Expr::All);
    found.remove(&Expr::None);
    found
}

fn collect(peer: &PeerMatch, found: &mut BTreeSet<Expr>) {
    match peer {
        PeerMatch::Endpoints(expr) => {
            found.insert(expr.clone());
        }
        PeerMatch::All(all) => {
            // All of them: one selector of both.
            let mut both = Expr::All;
            for one in all {
                match one {
                    PeerMatch::Endpoints(expr) => both = both.and(expr.clone()),
                    PeerMatch::Not(inner) => {
                        if let PeerMatch::Endpoints(expr) = inner.as_ref() {
                            both = both.and(expr.clone().negated());
                        }
                    }
                    PeerMatch::Networks { .. }
                    | PeerMatch::Nodes(_)
                    | PeerMatch::Domain(_)
                    | PeerMatch::DomainPattern(_)
                    | PeerMatch::Entity(_)
                    | PeerMatch::All(_) => {}
                }
            }
            found.insert(both);
        }
        PeerMatch::Not(inner) => {
            if let PeerMatch::Endpoints(expr) = inner.as_ref() {
                found.insert(expr.clone().negated());
            }
        }
        PeerMatch::Networks { .. }
        | PeerMatch::Nodes(_)
        | PeerMatch::Domain(_)
        | PeerMatch::DomainPattern(_)
        | PeerMatch::Entity(_) => {}
    }
}

/// Names of ports in rules, each with a number that no rule speaks about alone.
fn names(book: &Rulebook) -> Names {
    let mut wanted = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for policy in book.tiers.iter().flat_map(|tier| &tier.policies) {
        for rule in policy.ingress.iter().chain(&policy.egress).flat_map(|side| &side.rules) {
            for port in rule.ports.include.iter().flatten().chain(&rule.ports.exclude) {
                match port {
                    PortMatch::Range { first, last, .. } => {
                        // Neighbours too: what a name adds must stand alone.
                        taken.extend([*first, first.saturating_sub(1), first.saturating_add(1)]);
                        taken.extend([*last, last.saturating_sub(1), last.saturating_add(1)]);
                    }
                    PortMatch::Named { name, .. } => {
                        wanted.insert(name.clone());
                    }
                    PortMatch::Icmp { .. } | PortMatch::OtherProtocols => {}
                }
            }
        }
    }
    let free = (1..u16::MAX - 1).rev().step_by(2).filter(|number| !taken.contains(number));
    free.zip(wanted.into_iter().take(NAMES_MAX)).collect()
}

fn takes(expr: &Expr, cluster: &Cluster, endpoint: &Endpoint) -> bool {
    let namespace_labels = cluster.namespace_labels(&endpoint.namespace);
    let accounts = cluster.service_accounts.get(&endpoint.namespace);
    let account = endpoint.service_account.as_deref();
    let none = Labels::new();
    expr.matches(&Subject {
        namespace: &endpoint.namespace,
        namespace_labels: &namespace_labels,
        labels: &endpoint.labels,
        service_account: account,
        service_account_labels: account
            .and_then(|name| accounts.and_then(|all| all.get(name)))
            .unwrap_or(&none),
    })
}

/// A pod in the making.
#[derive(Clone, Default)]
struct Draft {
    /// None = a namespace of its own.
    namespace: Option<String>,
    namespace_labels: Labels,
    labels: Labels,
    account: Option<String>,
    account_labels: Labels,
}

impl Draft {
    fn add(self, cluster: &mut Cluster, number: usize, ports: &[ContainerPort]) {
        let namespace = self.namespace.unwrap_or_else(|| format!("{PREFIX}{number}"));
        if !cluster.namespaces.contains_key(&namespace) {
            cluster.namespaces.insert(namespace.clone(), self.namespace_labels);
        }
        let account = self.account.unwrap_or_else(|| format!("{PREFIX}{number}"));
        let accounts = cluster.service_accounts.entry(namespace.clone()).or_default();
        accounts.entry(account.clone()).or_insert(self.account_labels);
        let name = format!("{PREFIX}{number}");
        cluster.endpoints.push(Endpoint {
            namespace: namespace.clone(),
            name: name.clone(),
            workload: WorkloadRef { namespace, name, kind: "Pod".to_owned() },
            kind: PartyKind::Pod,
            labels: self.labels,
            addresses: Vec::new(),
            ports: ports.to_vec(),
            host_network: false,
            node: None,
            service_account: Some(account),
        });
    }

    fn scope(&mut self, scope: Scope) -> &mut Labels {
        match scope {
            Scope::Pod => &mut self.labels,
            Scope::Namespace => &mut self.namespace_labels,
            Scope::ServiceAccount => &mut self.account_labels,
        }
    }
}

/// A pod that `expr` takes; None if none was found, as for selectors that contradict themselves.
fn solve(expr: &Expr, cluster: &Cluster, number: usize) -> Option<Draft> {
    let mut alternatives = vec![Draft::default()];
    satisfy(expr, true, cluster, &mut alternatives);
    alternatives.into_iter().find(|draft| {
        let own = format!("{PREFIX}{number}");
        let namespace = draft.namespace.clone().unwrap_or(own.clone());
        let known = cluster.namespaces.get(&namespace);
        expr.matches(&Subject {
            namespace: &namespace,
            namespace_labels: known.unwrap_or(&draft.namespace_labels),
            labels: &draft.labels,
            service_account: Some(draft.account.as_deref().unwrap_or(&own)),
            service_account_labels: &draft.account_labels,
        })
    })
}

/// Makes drafts that are (or, if not `wanted`, are not) taken, as far as simple choices go.
fn satisfy(expr: &Expr, wanted: bool, cluster: &Cluster, drafts: &mut Vec<Draft>) {
    match (expr, wanted) {
        (Expr::All | Expr::None, _) => {}
        (Expr::Not(inner), wanted) => satisfy(inner, !wanted, cluster, drafts),
        (Expr::And(all), true) | (Expr::Or(all), false) => {
            // What is asked for comes before what must be absent.
            for one in all {
                satisfy(one, wanted, cluster, drafts);
            }
        }
        (Expr::Or(any), true) | (Expr::And(any), false) => {
            let before = std::mem::take(drafts);
            for one in any {
                let mut some = before.clone();
                satisfy(one, wanted, cluster, &mut some);
                drafts.append(&mut some);
                drafts.truncate(ALTERNATIVES_MAX);
            }
        }
        (Expr::Test(test), wanted) => choose(test, wanted, cluster, drafts),
    }
}

fn choose(test: &Test, wanted: bool, cluster: &Cluster, drafts: &mut Vec<Draft>) {
    match (test, wanted) {
        (Test::Namespace(name), true) => {
            for draft in drafts {
                draft.namespace = Some(name.clone());
                draft.namespace_labels = cluster.namespace_labels(name);
            }
        }
        (Test::ServiceAccount(name), true) => {
            for draft in drafts {
                draft.account = Some(name.clone());
            }
        }
        (Test::Namespace(_) | Test::ServiceAccount(_), false) => {}
        (Test::Label(scope, requirement), wanted) => {
            let before = std::mem::take(drafts);
            for value in values(requirement, wanted) {
                let set = before.iter().cloned().map(|mut draft| {
                    draft.scope(*scope).insert(requirement.key.clone(), value.clone());
                    draft
                });
                drafts.extend(set);
                drafts.truncate(ALTERNATIVES_MAX);
            }
            if drafts.is_empty() {
                *drafts = before;
            }
            in_known_namespace(*scope, requirement, cluster, drafts);
        }
        (Test::Text(scope, text), true) => {
            for draft in drafts {
                let value = draft.scope(*scope).entry(text.key.clone()).or_default();
                match text.operator {
                    TextOperator::StartsWith => value.insert_str(0, &text.text),
                    TextOperator::Contains | TextOperator::EndsWith => value.push_str(&text.text),
                }
            }
        }
        (Test::Text(..), false) => {}
    }
}

/// Values of which one makes the requirement hold; none = the label is better absent.
fn values(requirement: &Requirement, wanted: bool) -> Vec<String> {
    let other = || vec![PREFIX.trim_end().to_owned()];
    match (requirement.operator, wanted) {
        (Operator::In, true) | (Operator::NotIn, false) => requirement.values.clone(),
        (Operator::Exists, true) | (Operator::DoesNotExist, false) => other(),
        (Operator::In | Operator::Exists, false)
        | (Operator::NotIn | Operator::DoesNotExist, true) => Vec::new(),
    }
}

/// A namespace that is asked for by its name is that namespace.
fn in_known_namespace(
    scope: Scope,
    requirement: &Requirement,
    cluster: &Cluster,
    drafts: &mut [Draft],
) {
    if scope != Scope::Namespace || requirement.key != "kubernetes.io/metadata.name" {
        return;
    }
    for draft in drafts {
        let Some(name) = draft.namespace_labels.get(&requirement.key).cloned() else { continue };
        if cluster.namespaces.contains_key(&name) {
            draft.namespace_labels = cluster.namespace_labels(&name);
        }
        draft.namespace = Some(name);
    }
}
