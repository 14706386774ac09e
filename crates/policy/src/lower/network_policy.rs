//! NetworkPolicy v1 (Kubernetes v1.34, NetworkPolicySpec).

use sekisho_manifest::{LabelSelector, NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule, PortRef};

use crate::ir::{
    Action, Expr, Extent, PeerMatch, Peers, Policy, PortMatch, Ports, Rule, Scope, Side,
};
use crate::{Dialect, PolicyKind, PolicyName};

/// Lowers a policy.
pub(crate) fn lower(policy: &NetworkPolicy, dialect: Dialect) -> Policy {
    let side = |isolates: bool, rules: &[PolicyRule]| {
        isolates.then(|| Side {
            isolates: true,
            rules: rules
                .iter()
                .zip(0..)
                .map(|(rule, at)| lower_rule(policy, rule, at, dialect))
                .collect(),
        })
    };
    Policy {
        name: PolicyName::new(PolicyKind::NetworkPolicy, &policy.meta.namespace, &policy.meta.name),
        rank: None,
        subject: Expr::namespace(&policy.meta.namespace)
            .and(Expr::selector(Scope::Pod, &policy.pod_selector)),
        ingress: side(policy.isolates_ingress, &policy.ingress),
        egress: side(policy.isolates_egress, &policy.egress),
        position: policy.meta.position.clone(),
    }
}

fn lower_rule(policy: &NetworkPolicy, rule: &PolicyRule, index: u32, dialect: Dialect) -> Rule {
    let peers = if rule.peers.is_empty() {
        Peers::Any
    } else {
        Peers::List(rule.peers.iter().map(|peer| lower_peer(policy, peer, dialect)).collect())
    };
    let ports = if rule.ports.is_empty() {
        Ports::ALL
    } else {
        Ports::of(rule.ports.iter().map(lower_port).collect())
    };
    Rule {
        action: Action::Accept,
        peers,
        ports,
        index,
        name: String::new(),
        condition: None,
        position: rule.position.clone(),
    }
}

fn lower_peer(policy: &NetworkPolicy, peer: &PolicyPeer, dialect: Dialect) -> PeerMatch {
    match peer {
        PolicyPeer::Pods { namespaces, pods } => {
            let namespace = match namespaces {
                None => Expr::namespace(&policy.meta.namespace),
                Some(selector) => Expr::selector(Scope::Namespace, selector),
            };
            let pods = pods
                .as_ref()
                .map_or(Expr::All, |pods: &LabelSelector| Expr::selector(Scope::Pod, pods));
            PeerMatch::Endpoints(namespace.and(pods))
        }
        PolicyPeer::IpBlock { cidr, except } => PeerMatch::Networks {
            nets: vec![*cidr],
            except: except.clone(),
            extent: block_extent(dialect),
        },
    }
}

/// What an `ipBlock` can match.
pub(crate) fn block_extent(dialect: Dialect) -> Extent {
    match (dialect.ip_block_matches_pods(), dialect.ip_block_matches_nodes()) {
        (true, _) => Extent::Anything,
        (false, true) => Extent::NotEndpoints,
        (false, false) => Extent::OutsideCluster,
    }
}

fn lower_port(port: &PolicyPort) -> PortMatch {
    let protocol = port.protocol;
    match &port.port {
        None => PortMatch::Range { protocol, first: 0, last: u16::MAX },
        Some(PortRef::Number(first)) => {
            PortMatch::Range { protocol, first: *first, last: port.end_port.unwrap_or(*first) }
        }
        Some(PortRef::Name(name)) => {
            PortMatch::Named { name: name.clone(), protocol: Some(protocol) }
        }
    }
}
