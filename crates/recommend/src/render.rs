//! The proposal as YAML to apply, and as JSON for programs.

use std::fmt::Write as _;

use sekisho_manifest::{
    LabelSelector, NetworkPolicy, Object, Operator, PolicyPeer, PolicyPort, PolicyRule, PortRef,
    TierPolicy, print_policy, print_tier_policy, to_json,
};
use serde_json::{Map, Value, json};

use crate::history::one_line;
use crate::proposal::{Note, Proposal, RecommendedPolicy};

/// All policies as YAML documents, each with its evidence as comments; notes come first.
#[must_use]
pub fn yaml(proposal: &Proposal) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        // Writing to a String does not fail.
        let _ignored = writeln!(text, "# {}", one_line(words));
    };
    line(&format!(
        "Recommended by Sekisho from history {} to {}, {:.1} % complete.",
        proposal.window.from,
        proposal.window.to,
        // Rounded down: 100.0 % is said of nothing less.
        (proposal.completeness * 1_000.0).floor() / 10.0
    ));
    line("Check with `sekisho verify` before you apply it.");
    for words in &proposal.words {
        line(words);
    }
    for of in &proposal.not_native {
        line(&format!("not native: {} (instead: {})", of.what, of.instead));
    }
    for note in &proposal.notes {
        line(&format!("{}: {}: {}", word(note), note.subject, note.text));
    }
    for policy in &proposal.cluster_policies {
        text.push_str("---\n");
        text.push_str(&print_tier_policy(policy));
    }
    for policy in proposal.all() {
        text.push_str("---\n");
        let of = proposal.policies.iter().find(|recommended| recommended.policy == *policy);
        if let Some(recommended) = of {
            confidence(recommended, &mut text);
        }
        text.push_str(&print_policy(policy));
    }
    text
}

/// The kind of a note in words for people.
fn word(note: &Note) -> &'static str {
    use crate::NoteKind;
    match note.kind {
        NoteKind::LeftOut => "left out",
        NoteKind::Merged => "merged",
        NoteKind::Wide => "beware",
        NoteKind::AlwaysAllowed => "always allowed",
        NoteKind::NoPolicy => "no policy",
        NoteKind::Gone => "gone",
        NoteKind::Existing => "in force",
    }
}

fn confidence(recommended: &RecommendedPolicy, text: &mut String) {
    let confidence = &recommended.confidence;
    let _ignored = writeln!(text, "# Confidence {:.2}:", confidence.score);
    for reason in &confidence.reasons {
        let _ignored = writeln!(text, "# - {}", one_line(reason));
    }
}

/// The proposal as one JSON object, two spaces per level, with a final newline. Policies are in
/// the form of the Kubernetes API, ready for `kubectl apply`.
#[must_use]
pub fn json(proposal: &Proposal) -> String {
    let policies: Vec<Value> = proposal
        .policies
        .iter()
        .map(|of| {
            json!({
                "policy": kubernetes(&of.policy),
                "workloads": of.workloads,
                "rules": of.rules,
                "confidence": of.confidence,
            })
        })
        .collect();
    let default_deny: Vec<Value> = proposal.default_deny.iter().map(kubernetes).collect();
    let cluster_policies: Vec<Value> = proposal.cluster_policies.iter().map(cluster_wide).collect();
    let object = json!({
        "template": proposal.template,
        "words": proposal.words,
        "not_native": proposal.not_native,
        "cluster_policies": cluster_policies,
        "window": proposal.window,
        "completeness": proposal.completeness,
        "default_deny": default_deny,
        "policies": policies,
        "notes": proposal.notes,
    });
    format!("{object:#}\n")
}

/// A policy of the whole cluster as the Kubernetes API writes it.
fn cluster_wide(policy: &TierPolicy) -> Value {
    let text = to_json(&Object::TierPolicy(policy.clone()));
    serde_json::from_str(&text).unwrap_or_default() // What it writes is JSON.
}

/// A policy as the Kubernetes API writes it.
fn kubernetes(policy: &NetworkPolicy) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(policy.meta.name));
    metadata.insert("namespace".to_owned(), json!(policy.meta.namespace));
    for (field, labels) in
        [("labels", &policy.meta.labels), ("annotations", &policy.meta.annotations)]
    {
        if !labels.is_empty() {
            metadata.insert(field.to_owned(), json!(labels));
        }
    }
    let mut types = Vec::new();
    let mut spec = Map::new();
    spec.insert("podSelector".to_owned(), selector(&policy.pod_selector));
    let sides = [
        (policy.isolates_ingress, "Ingress", "ingress", "from", &policy.ingress),
        (policy.isolates_egress, "Egress", "egress", "to", &policy.egress),
    ];
    for (isolates, name, field, peers, rules) in sides {
        if isolates {
            types.push(name);
        }
        if !rules.is_empty() {
            let rules: Vec<Value> = rules.iter().map(|of| rule(of, peers)).collect();
            spec.insert(field.to_owned(), Value::Array(rules));
        }
    }
    spec.insert("policyTypes".to_owned(), json!(types));
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    })
}

fn rule(rule: &PolicyRule, peers: &str) -> Value {
    let mut object = Map::new();
    if !rule.peers.is_empty() {
        let list: Vec<Value> = rule.peers.iter().map(peer).collect();
        object.insert(peers.to_owned(), Value::Array(list));
    }
    if !rule.ports.is_empty() {
        let ports: Vec<Value> = rule.ports.iter().map(port).collect();
        object.insert("ports".to_owned(), Value::Array(ports));
    }
    Value::Object(object)
}

fn peer(peer: &PolicyPeer) -> Value {
    match peer {
        PolicyPeer::Pods { namespaces, pods } => {
            let mut object = Map::new();
            if let Some(namespaces) = namespaces {
                object.insert("namespaceSelector".to_owned(), selector(namespaces));
            }
            if let Some(pods) = pods {
                object.insert("podSelector".to_owned(), selector(pods));
            }
            Value::Object(object)
        }
        PolicyPeer::IpBlock { cidr, except } if except.is_empty() => {
            json!({"ipBlock": {"cidr": cidr}})
        }
        PolicyPeer::IpBlock { cidr, except } => {
            json!({"ipBlock": {"cidr": cidr, "except": except}})
        }
    }
}

fn port(port: &PolicyPort) -> Value {
    let mut object = Map::new();
    object.insert("protocol".to_owned(), json!(port.protocol));
    let value = port.port.as_ref().map(|port| match port {
        PortRef::Number(number) => json!(number),
        PortRef::Name(name) => json!(name),
    });
    if let Some(value) = value {
        object.insert("port".to_owned(), value);
    }
    if let Some(end) = port.end_port {
        object.insert("endPort".to_owned(), json!(end));
    }
    Value::Object(object)
}

fn selector(selector: &LabelSelector) -> Value {
    let mut object = Map::new();
    if !selector.match_labels.is_empty() {
        object.insert("matchLabels".to_owned(), json!(selector.match_labels));
    }
    let requirement = |of: &sekisho_manifest::Requirement| {
        let operator = match of.operator {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
        };
        let mut object = Map::new();
        object.insert("key".to_owned(), json!(of.key));
        object.insert("operator".to_owned(), json!(operator));
        if !of.values.is_empty() {
            object.insert("values".to_owned(), json!(of.values));
        }
        Value::Object(object)
    };
    if !selector.match_expressions.is_empty() {
        let list: Vec<Value> = selector.match_expressions.iter().map(requirement).collect();
        object.insert("matchExpressions".to_owned(), Value::Array(list));
    }
    Value::Object(object)
}
