//! Writes policies in tiers as Kubernetes JSON.

use serde_json::{Value, json};

use crate::json::{Fields, selector};
use crate::{
    LabelSelector, TierAction, TierPeer, TierPolicy, TierPolicyKind, TierPort, TierRule,
    TierSubject,
};

/// The apiVersion that a kind is written in.
pub(crate) fn version(kind: TierPolicyKind) -> &'static str {
    match kind {
        TierPolicyKind::ClusterNetworkPolicy => "policy.networking.k8s.io/v1alpha2",
        TierPolicyKind::AdminNetworkPolicy | TierPolicyKind::BaselineAdminNetworkPolicy => {
            "policy.networking.k8s.io/v1alpha1"
        }
    }
}

/// The spec of a policy.
pub(crate) fn spec(policy: &TierPolicy) -> Value {
    let mut out = Fields::default();
    match policy.kind {
        TierPolicyKind::ClusterNetworkPolicy => {
            out.put("tier", policy.tier.as_str());
            out.put("priority", policy.priority);
        }
        TierPolicyKind::AdminNetworkPolicy => out.put("priority", policy.priority),
        TierPolicyKind::BaselineAdminNetworkPolicy => {}
    }
    out.put(
        "subject",
        match &policy.subject {
            TierSubject::Namespaces(namespaces) => json!({"namespaces": selector(namespaces)}),
            TierSubject::Pods { namespaces, pods } => json!({"pods": pods_json(namespaces, pods)}),
        },
    );
    let rules = |rules: &[TierRule], peers| {
        rules.iter().map(|item| rule(item, peers, policy.kind)).collect()
    };
    out.put_list("ingress", rules(&policy.ingress, "from"));
    out.put_list("egress", rules(&policy.egress, "to"));
    out.done()
}

fn pods_json(namespaces: &LabelSelector, pods: &LabelSelector) -> Value {
    json!({"namespaceSelector": selector(namespaces), "podSelector": selector(pods)})
}

fn rule(rule: &TierRule, peers: &str, kind: TierPolicyKind) -> Value {
    let is_cluster = kind == TierPolicyKind::ClusterNetworkPolicy;
    let mut out = Fields::default();
    out.put_text("name", &rule.name);
    let action = match rule.action {
        TierAction::Accept if !is_cluster => "Allow",
        TierAction::Accept | TierAction::Deny | TierAction::Pass => rule.action.as_str(),
    };
    out.put("action", action);
    out.put(peers, rule.peers.iter().map(peer).collect::<Vec<_>>());
    if let Some(ports) = &rule.ports {
        let write = if is_cluster { match_json } else { admin_port };
        let name = if is_cluster { "protocols" } else { "ports" };
        out.put(name, ports.iter().map(write).collect::<Vec<_>>());
    }
    out.done()
}

fn peer(peer: &TierPeer) -> Value {
    match peer {
        TierPeer::Namespaces(namespaces) => json!({"namespaces": selector(namespaces)}),
        TierPeer::Pods { namespaces, pods } => json!({"pods": pods_json(namespaces, pods)}),
        TierPeer::Nodes(nodes) => json!({"nodes": selector(nodes)}),
        TierPeer::Networks(nets) => {
            json!({"networks": nets.iter().map(ToString::to_string).collect::<Vec<_>>()})
        }
        TierPeer::DomainNames(names) => json!({"domainNames": names}),
        TierPeer::Unknown => json!({}),
    }
}

/// protocols[] of ClusterNetworkPolicy.
fn match_json(port: &TierPort) -> Value {
    match port {
        TierPort::Range { protocol, first, last } => {
            let destination = if first == last {
                json!({"number": first})
            } else {
                json!({"range": {"start": first, "end": last}})
            };
            let name = protocol.to_string().to_ascii_lowercase();
            json!({name: {"destinationPort": destination}})
        }
        TierPort::Named(name) => json!({"destinationNamedPort": name}),
        TierPort::Unknown => json!({}),
    }
}

/// ports[] of the v1alpha1 kinds.
fn admin_port(port: &TierPort) -> Value {
    match port {
        TierPort::Range { protocol, first, last } if first == last => {
            json!({"portNumber": {"protocol": protocol.to_string(), "port": first}})
        }
        TierPort::Range { protocol, first, last } => json!({
            "portRange": {"protocol": protocol.to_string(), "start": first, "end": last}
        }),
        TierPort::Named(name) => json!({"namedPort": name}),
        TierPort::Unknown => json!({}),
    }
}
