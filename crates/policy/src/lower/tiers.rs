//! ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy (network-policy-api
//! v1alpha2 and v1alpha1).
//!
//! They isolate nobody, match host-network pods only as nodes, and are tried in order of priority;
//! for equal ones, where the API leaves the order open, by kind and name.

use sekisho_manifest::{
    LabelSelector, Tier as PolicyTier, TierAction, TierPeer, TierPolicy, TierPolicyKind, TierPort,
    TierRule, TierSubject,
};

use super::network_policy::block_extent;
use crate::ir::{
    Action, Expr, PeerMatch, Peers, Policy, PortMatch, Ports, Rank, Rule, Scope, Side, Tier,
};
use crate::{Dialect, PolicyKind, PolicyName};

/// Name of the tier before that of NetworkPolicies.
pub(crate) const ADMIN_TIER: &str = "admin";
/// Name of the tier after that of NetworkPolicies.
pub(crate) const BASELINE_TIER: &str = "baseline";

/// Lowers the policies of one tier, in the order they are asked.
pub(crate) fn lower<'p>(
    policies: impl Iterator<Item = &'p TierPolicy>,
    tier: PolicyTier,
    dialect: Dialect,
) -> Tier {
    let mut own: Vec<_> = policies.filter(|policy| policy.tier == tier).collect();
    own.sort_by_key(|policy| (policy.priority, kind(policy.kind), &policy.meta.name));
    let name = match tier {
        PolicyTier::Admin => ADMIN_TIER,
        PolicyTier::Baseline => BASELINE_TIER,
    };
    Tier {
        name: name.to_owned(),
        policies: own.into_iter().map(|policy| lower_policy(policy, dialect)).collect(),
    }
}

fn kind(kind: TierPolicyKind) -> PolicyKind {
    match kind {
        TierPolicyKind::ClusterNetworkPolicy => PolicyKind::ClusterNetworkPolicy,
        TierPolicyKind::AdminNetworkPolicy => PolicyKind::AdminNetworkPolicy,
        TierPolicyKind::BaselineAdminNetworkPolicy => PolicyKind::BaselineAdminNetworkPolicy,
    }
}

fn lower_policy(policy: &TierPolicy, dialect: Dialect) -> Policy {
    // Without rules a policy says nothing of a direction.
    let side = |rules: &[TierRule]| {
        (!rules.is_empty()).then(|| Side {
            isolates: false,
            rules: rules
                .iter()
                .zip(0..)
                .flat_map(|(rule, at)| lower_rule(rule, at, dialect))
                .collect(),
        })
    };
    Policy {
        name: PolicyName::new(kind(policy.kind), "", &policy.meta.name),
        rank: Some(Rank(f64::from(policy.priority))),
        subject: match &policy.subject {
            TierSubject::Namespaces(namespaces) => Expr::selector(Scope::Namespace, namespaces),
            TierSubject::Pods { namespaces, pods } => both(namespaces, pods),
        },
        ingress: side(&policy.ingress),
        egress: side(&policy.egress),
        position: policy.meta.position.clone(),
    }
}

fn both(namespaces: &LabelSelector, pods: &LabelSelector) -> Expr {
    Expr::selector(Scope::Namespace, namespaces).and(Expr::selector(Scope::Pod, pods))
}

/// One rule, or two if its ports mean something else for some of its peers.
fn lower_rule(rule: &TierRule, index: u32, dialect: Dialect) -> Vec<Rule> {
    let make = |action, peers, ports| Rule {
        action,
        peers,
        ports,
        index,
        name: rule.name.clone(),
        condition: None,
        position: rule.position.clone(),
    };
    if is_unknown(rule) {
        return vec![match rule.action {
            TierAction::Accept => make(Action::Accept, Peers::List(Vec::new()), Ports::ALL),
            TierAction::Deny | TierAction::Pass => make(Action::Deny, Peers::Any, Ports::ALL),
        }];
    }
    let action = match rule.action {
        TierAction::Accept => Action::Accept,
        TierAction::Deny => Action::Deny,
        TierAction::Pass => Action::Pass,
    };
    let peers = |wanted: fn(&TierPeer) -> bool| {
        let some = rule.peers.iter().filter(|peer| wanted(peer));
        Peers::List(some.flat_map(|peer| lower_peer(peer, dialect)).collect())
    };
    let ports = lower_ports(rule.ports.as_deref());
    if !ports.has_names() || !rule.peers.iter().any(has_no_names) {
        return vec![make(action, peers(|_any| true), ports)];
    }
    // API servers with the CEL rule refuse this; on others a named port matches no such peer.
    let numbers: Vec<_> = ports.include.iter().flatten().filter(|port| is_number(port)).collect();
    let numbers = Ports::of(numbers.into_iter().cloned().collect());
    vec![
        make(action, peers(|peer| !has_no_names(peer)), ports),
        make(action, peers(has_no_names), numbers),
    ]
}

/// Whether the rule holds what only a newer API knows, and so fails closed.
fn is_unknown(rule: &TierRule) -> bool {
    rule.peers.contains(&TierPeer::Unknown)
        || rule.ports.as_ref().is_some_and(|ports| ports.contains(&TierPort::Unknown))
}

/// Whether the peer has no named ports.
fn has_no_names(peer: &TierPeer) -> bool {
    match peer {
        TierPeer::Namespaces(_) | TierPeer::Pods { .. } => false,
        TierPeer::Nodes(_) | TierPeer::Networks(_) | TierPeer::DomainNames(_) => true,
        TierPeer::Unknown => true,
    }
}

fn is_number(port: &PortMatch) -> bool {
    !matches!(port, PortMatch::Named { .. })
}

fn lower_peer(peer: &TierPeer, dialect: Dialect) -> Vec<PeerMatch> {
    match peer {
        TierPeer::Namespaces(namespaces) => {
            vec![PeerMatch::Endpoints(Expr::selector(Scope::Namespace, namespaces))]
        }
        TierPeer::Pods { namespaces, pods } => vec![PeerMatch::Endpoints(both(namespaces, pods))],
        TierPeer::Nodes(nodes) => vec![PeerMatch::Nodes(nodes.clone())],
        TierPeer::Networks(nets) => vec![PeerMatch::Networks {
            nets: nets.clone(),
            except: Vec::new(),
            extent: block_extent(dialect),
        }],
        TierPeer::DomainNames(names) => {
            names.iter().map(|name| PeerMatch::Domain(domain(name))).collect()
        }
        TierPeer::Unknown => Vec::new(),
    }
}

/// The name as DNS compares it: case and the dot of the root mean nothing.
fn domain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn lower_ports(ports: Option<&[TierPort]>) -> Ports {
    let Some(ports) = ports else { return Ports::ALL };
    let lowered = ports.iter().filter_map(|port| match port {
        TierPort::Range { protocol, first, last } => {
            // A whole protocol has a form of its own.
            let first = if (*first, *last) == (1, u16::MAX) { 0 } else { *first };
            Some(PortMatch::Range { protocol: *protocol, first, last: *last })
        }
        TierPort::Named(name) => Some(PortMatch::Named { name: name.clone(), protocol: None }),
        TierPort::Unknown => None,
    });
    Ports::of(lowered.collect())
}
