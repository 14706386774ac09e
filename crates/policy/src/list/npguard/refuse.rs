//! Input that np-guard/netpol-analyzer refuses, since its meaning would be ambiguous.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{
    LabelSelector, NetworkPolicy, Object, PolicyPeer, PortRef, Position, TierPeer, TierPolicy,
    TierPolicyKind, TierSubject,
};
use sekisho_model::{Labels, WorkloadRef};

use crate::ir::{Expr, PeerMatch, Peers, Policy, Subject};
use crate::{Cluster, Endpoint, RuleSet};

const LABEL_VALUE_CHARS_MAX: usize = 63;

/// Checks objects of which that tool would make no list.
///
/// # Errors
/// Why, in one sentence that names the objects.
pub fn check(objects: &[Object], rules: &RuleSet, cluster: &Cluster) -> Result<(), String> {
    check_names(objects)?;
    check_priorities(objects)?;
    check_selectors(objects)?;
    check_named_ports(rules, cluster)?;
    check_owners(rules, cluster)
}

/// Two policies or namespaces of one kind and name.
fn check_names(objects: &[Object]) -> Result<(), String> {
    let mut known = BTreeMap::new();
    for object in objects {
        if !matches!(
            object,
            Object::NetworkPolicy(_) | Object::TierPolicy(_) | Object::Namespace(_)
        ) {
            continue;
        }
        let meta = object.meta();
        let key = (object.kind(), &meta.namespace, &meta.name);
        if let Some(first) = known.insert(key, &meta.position) {
            return Err(format!(
                "{}: {} `{}` is already defined {}",
                at(&meta.position),
                object.kind(),
                meta.name,
                at(first)
            ));
        }
    }
    Ok(())
}

/// Two AdminNetworkPolicies of equal priority; their order would be undefined.
fn check_priorities(objects: &[Object]) -> Result<(), String> {
    let mut known: BTreeMap<u16, &str> = BTreeMap::new();
    for object in objects {
        let Object::TierPolicy(policy) = object else { continue };
        if policy.kind != TierPolicyKind::AdminNetworkPolicy {
            continue;
        }
        let name = policy.meta.name.as_str();
        if let Some(other) = known.insert(policy.priority, name) {
            return Err(format!(
                "{}: AdminNetworkPolicies `{other}` and `{name}` have the same priority {}: which \
                 comes first is undefined",
                at(&policy.meta.position),
                policy.priority
            ));
        }
    }
    Ok(())
}

/// Selectors of policies with values that no label can have.
fn check_selectors(objects: &[Object]) -> Result<(), String> {
    for object in objects {
        let selectors = match object {
            Object::NetworkPolicy(policy) => network_policy_selectors(policy),
            Object::TierPolicy(policy) => tier_policy_selectors(policy),
            Object::Namespace(_)
            | Object::Node(_)
            | Object::Pod(_)
            | Object::Workload(_)
            | Object::Service(_)
            | Object::EndpointSlice(_)
            | Object::Exposure(_)
            | Object::ServiceAccount(_)
            | Object::Host(_)
            | Object::Cilium(_)
            | Object::Calico(_)
            | Object::Other(_) => continue,
        };
        for selector in selectors {
            let equal = selector.match_labels.iter();
            let listed = selector.match_expressions.iter();
            let listed =
                listed.flat_map(|one| one.values.iter().map(move |value| (&one.key, value)));
            if let Some((key, value)) =
                equal.chain(listed).find(|(_, value)| !is_label_value(value))
            {
                let meta = object.meta();
                return Err(format!(
                    "{}: {} `{}` has a selector with the invalid value `{value}` of label `{key}`",
                    at(&meta.position),
                    object.kind(),
                    meta.name
                ));
            }
        }
    }
    Ok(())
}

fn network_policy_selectors(policy: &NetworkPolicy) -> Vec<&LabelSelector> {
    let rules = policy.ingress.iter().chain(&policy.egress);
    let peers = rules.flat_map(|rule| &rule.peers).flat_map(|peer| match peer {
        PolicyPeer::Pods { namespaces, pods } => [namespaces.as_ref(), pods.as_ref()],
        PolicyPeer::IpBlock { .. } => [None, None],
    });
    [&policy.pod_selector].into_iter().chain(peers.flatten()).collect()
}

fn tier_policy_selectors(policy: &TierPolicy) -> Vec<&LabelSelector> {
    let subject = match &policy.subject {
        TierSubject::Namespaces(selector) => vec![selector],
        TierSubject::Pods { namespaces, pods } => vec![namespaces, pods],
    };
    let rules = policy.ingress.iter().chain(&policy.egress);
    let peers = rules.flat_map(|rule| &rule.peers).flat_map(|peer| match peer {
        TierPeer::Namespaces(selector) | TierPeer::Nodes(selector) => vec![selector],
        TierPeer::Pods { namespaces, pods } => vec![namespaces, pods],
        TierPeer::Networks(_) | TierPeer::DomainNames(_) | TierPeer::Unknown => Vec::new(),
    });
    subject.into_iter().chain(peers).collect()
}

/// Whether a label may have this value (Kubernetes v1.34, apimachinery IsValidLabelValue).
fn is_label_value(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= LABEL_VALUE_CHARS_MAX
        && is_end(text.chars().next())
        && is_end(text.chars().last())
        && text.chars().all(is_inner)
}

/// Named ports in egress rules that reach addresses: they have no names.
fn check_named_ports(rules: &RuleSet, cluster: &Cluster) -> Result<(), String> {
    for policy in rules.policies().iter().filter(|policy| policy.isolates_egress) {
        let selects = |endpoint: &Endpoint| {
            endpoint.namespace == policy.meta.namespace
                && policy.pod_selector.matches(&endpoint.labels)
        };
        if !cluster.endpoints.iter().any(selects) {
            continue;
        }
        for rule in &policy.egress {
            let is_block = |peer: &PolicyPeer| matches!(peer, PolicyPeer::IpBlock { .. });
            let reaches_addresses = rule.peers.is_empty() || rule.peers.iter().any(is_block);
            let named = rule.ports.iter().find_map(|port| match &port.port {
                Some(PortRef::Name(name)) => Some(name),
                Some(PortRef::Number(_)) | None => None,
            });
            if let Some(name) = named.filter(|_| reaches_addresses) {
                return Err(format!(
                    "{}: NetworkPolicy `{}/{}` allows the named port `{name}` towards addresses, \
                     which have no named ports",
                    at(&rule.position),
                    policy.meta.namespace,
                    policy.meta.name
                ));
            }
        }
    }
    Ok(())
}

/// Pods of one owner with labels that differ, and a policy that tells them apart by these.
fn check_owners(rules: &RuleSet, cluster: &Cluster) -> Result<(), String> {
    let mut owners: BTreeMap<&WorkloadRef, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &cluster.endpoints {
        let pods = owners.entry(&endpoint.workload).or_default();
        if pods.iter().all(|pod| pod.labels != endpoint.labels) {
            pods.push(endpoint);
        }
    }
    for (owner, pods) in owners {
        let [first, others @ ..] = pods.as_slice() else { continue };
        for other in others {
            if let Some(policy) = telling_apart(rules, cluster, first, other) {
                return Err(format!(
                    "pods `{}` and `{}` of the same owner `{owner}` have different labels ({}), \
                     and {} `{}` tells them apart: {}",
                    first.name,
                    other.name,
                    differing(&first.labels, &other.labels),
                    policy.name.kind,
                    policy.name,
                    "there is no one answer for the owner",
                ));
            }
        }
    }
    Ok(())
}

fn telling_apart<'r>(
    rules: &'r RuleSet,
    cluster: &Cluster,
    first: &Endpoint,
    other: &Endpoint,
) -> Option<&'r Policy> {
    let namespace_labels = cluster.namespace_labels(&first.namespace);
    let none = Labels::new();
    let subject = |endpoint| Subject {
        namespace: &first.namespace,
        namespace_labels: &namespace_labels,
        labels: labels(endpoint),
        service_account: None,
        service_account_labels: &none,
    };
    let (one, two) = (subject(first), subject(other));
    let tells = |expr: &Expr| expr.matches(&one) != expr.matches(&two);
    let policies = rules.rulebook().tiers.iter().flat_map(|tier| &tier.policies);
    let mut policies = policies.filter(|policy| {
        let sides = policy.ingress.iter().chain(&policy.egress);
        let peers = sides.flat_map(|side| &side.rules).flat_map(|rule| match &rule.peers {
            Peers::Any => [].iter(),
            Peers::List(list) => list.iter(),
        });
        tells(&policy.subject) || peers.into_iter().any(|peer| any_expr(peer, &tells))
    });
    policies.next()
}

fn labels(endpoint: &Endpoint) -> &Labels {
    &endpoint.labels
}

fn any_expr(peer: &PeerMatch, tells: &impl Fn(&Expr) -> bool) -> bool {
    match peer {
        PeerMatch::Endpoints(expr) => tells(expr),
        PeerMatch::All(all) => all.iter().any(|one| any_expr(one, tells)),
        PeerMatch::Not(inner) => any_expr(inner, tells),
        PeerMatch::Networks { .. }
        | PeerMatch::Nodes(_)
        | PeerMatch::Domain(_)
        | PeerMatch::DomainPattern(_)
        | PeerMatch::Entity(_) => false,
    }
}

/// Keys whose values differ.
fn differing(one: &Labels, two: &Labels) -> String {
    let keys: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let differing: Vec<&str> =
        keys.into_iter().filter(|key| one.get(*key) != two.get(*key)).map(String::as_str).collect();
    differing.join(", ")
}

fn at(position: &Position) -> String {
    format!("{}:{}", position.file, position.line)
}
