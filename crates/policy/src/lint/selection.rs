//! Selectors that match nothing.

use sekisho_manifest::{LabelSelector, PolicyPeer};
use sekisho_model::{Direction, Labels};

use super::code::{PEER_MATCHES_NOTHING, SELECTS_NOTHING};
use super::context::{Context, Place, object_name};
use super::finding::{Finding, Fix, Severity, evidence};
use super::reader::slip;
use crate::ir::{PeerMatch, Peers, Policy, Rule};
use crate::matching::{Facts, is_ordinary};
use crate::{Endpoint, PolicyKind, PolicyName};

const SYSTEM_NAMESPACE: &str = "kube-system";
/// Fields that select the subject, in all kinds.
const SUBJECT_FIELDS: [&str; 4] =
    ["spec.podSelector", "spec.subject", "spec.endpointSelector", "spec.selector"];

/// Path of the field that selects the subject.
pub(crate) fn subject_field(cx: &Context<'_>, policy: &Policy) -> &'static str {
    let document = cx.document(&policy.position);
    let is_there =
        |field: &&&str| document.as_ref().is_some_and(|document| document.field(field).is_some());
    SUBJECT_FIELDS.iter().find(is_there).copied().unwrap_or("spec")
}

/// Policies that select no pod.
pub(crate) fn subjects(cx: &Context<'_>, out: &mut Vec<Finding>) {
    if !cx.knows_workloads() {
        return;
    }
    for (_, policy) in cx.policies() {
        let selects = |endpoint: &Endpoint| {
            policy.subject.matches(&Facts::of(&cx.cluster, endpoint).subject())
        };
        if cx.subjects().any(|(_, endpoint)| selects(endpoint)) {
            continue;
        }
        let field = subject_field(cx, policy);
        let place = cx.place(object_name(&policy.name), &policy.position, field);
        let (message, fix) = selects_nothing(cx, policy, field);
        let mut finding = place.finding(&SELECTS_NOTHING, message, fix);
        finding.evidence = labels_in(cx, &policy.name.namespace);
        out.push(finding);
    }
}

fn selects_nothing(cx: &Context<'_>, policy: &Policy, field: &str) -> (String, Fix) {
    let namespace = &policy.name.namespace;
    if namespace.is_empty() {
        let fix = "correct the selector, or delete the policy";
        return ("selects no pod of the cluster".to_owned(), Fix::words(fix));
    }
    let here: Vec<&Labels> = labels_of(cx, |endpoint| endpoint.namespace == *namespace);
    if here.is_empty() {
        return (
            format!("selects nothing: namespace `{namespace}` has no pod or workload"),
            Fix::words("correct metadata.namespace, or delete the policy"),
        );
    }
    let message = format!("selects no pod of namespace `{namespace}`, so it changes nothing");
    let fix = network_policy(cx, &policy.name).and_then(|own| {
        let document = cx.document(&policy.position)?;
        slip(&document, document.field(field)?, &own.pod_selector, &here)
    });
    match fix {
        Some((written, meant, edit)) => {
            (message, Fix::with(format!("write `{meant}` in place of `{written}`"), Some(edit)))
        }
        None => (message, Fix::words("select labels that its pods carry, or delete the policy")),
    }
}

fn network_policy<'c>(
    cx: &'c Context<'_>,
    name: &PolicyName,
) -> Option<&'c sekisho_manifest::NetworkPolicy> {
    (name.kind == PolicyKind::NetworkPolicy)
        .then(|| {
            let mut all = cx.rules.policies().iter();
            all.find(|one| one.meta.name == name.name && one.meta.namespace == name.namespace)
        })
        .flatten()
}

fn labels_of<'c>(cx: &'c Context<'_>, wanted: impl Fn(&Endpoint) -> bool) -> Vec<&'c Labels> {
    let all = cx.subjects().filter(|(_, endpoint)| wanted(endpoint));
    all.map(|(_, endpoint)| &endpoint.labels).collect()
}

fn labels_in(cx: &Context<'_>, namespace: &str) -> Vec<String> {
    evidence(cx.subjects().filter(|(_, endpoint)| endpoint.namespace == namespace).map(
        |(class, endpoint)| {
            let labels: Vec<String> =
                endpoint.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let names: Vec<String> =
                class.workloads.iter().map(super::context::workload_name).collect();
            format!("{} has {}", names.join(", "), labels.join(","))
        },
    ))
}

/// Peers that match no pod.
pub(crate) fn peers(cx: &Context<'_>, out: &mut Vec<Finding>) {
    if !cx.knows_workloads() {
        return;
    }
    for (policy, direction, rule) in cx.rules() {
        let Peers::List(list) = &rule.peers else { continue };
        for (index, peer) in list.iter().enumerate() {
            if let PeerMatch::Endpoints(expr) = peer {
                let matching =
                    |endpoint: &Endpoint| expr.matches(&Facts::of(&cx.cluster, endpoint).subject());
                let mut found = cx.subjects().filter(|(_, endpoint)| matching(endpoint)).peekable();
                let only_host_network = found.peek().is_some()
                    && found.all(|(_, endpoint)| !is_ordinary(cx.dialect(), endpoint));
                if only_host_network || !cx.subjects().any(|(_, endpoint)| matching(endpoint)) {
                    let at = Peer { policy, direction, rule, index };
                    out.extend(unmatched(cx, &at, only_host_network));
                }
            }
        }
    }
}

/// A peer of a rule.
struct Peer<'p> {
    policy: &'p Policy,
    direction: Direction,
    rule: &'p Rule,
    index: usize,
}

fn unmatched(cx: &Context<'_>, at: &Peer<'_>, only_host_network: bool) -> Option<Finding> {
    let place = cx.peer_place(at.policy, at.rule, at.index);
    let code = &PEER_MATCHES_NOTHING;
    if only_host_network {
        return Some(place.finding(
            code,
            "matches only pods on the host's network, which plugins see as their node".to_owned(),
            Fix::words("allow the addresses of the nodes with an ipBlock"),
        ));
    }
    let own = network_policy(cx, &at.policy.name);
    let rules = own.map(|own| match at.direction {
        Direction::Ingress => &own.ingress,
        Direction::Egress => &own.egress,
    });
    let index = usize::try_from(at.rule.index).ok()?;
    let peer = rules.and_then(|rules| rules.get(index)?.peers.get(at.index));
    let Some(PolicyPeer::Pods { namespaces, pods }) = peer else {
        let message = "this peer matches no pod, so the rule does nothing for it".to_owned();
        return Some(place.finding(code, message, Fix::words("correct the selector")));
    };
    let home = &at.policy.name.namespace;
    match namespaces {
        None => Some(in_own_namespace(cx, at, place, (home, pods.as_ref()))),
        Some(namespaces) => in_others(cx, at, place, (namespaces, pods.as_ref())),
    }
}

/// A peer without namespaceSelector.
fn in_own_namespace(
    cx: &Context<'_>,
    at: &Peer<'_>,
    place: Place,
    (home, pods): (&str, Option<&LabelSelector>),
) -> Finding {
    let everything = LabelSelector::default();
    let pods = pods.unwrap_or(&everything);
    let message = format!(
        "matches no pod of namespace `{home}`; without namespaceSelector no other is searched"
    );
    let document = cx.document(&at.policy.position);
    let node = document.as_ref().and_then(|document| document.field(&place.field));
    let selector = node.and_then(|node| node.get("podSelector"));
    let mended = document.as_ref().zip(selector).and_then(|(document, selector)| {
        slip(document, selector, pods, &labels_of(cx, |endpoint| endpoint.namespace == home))
    });
    if let Some((written, meant, edit)) = mended {
        let text = format!("write `{meant}` in place of `{written}`");
        return place.finding(&PEER_MATCHES_NOTHING, message, Fix::with(text, Some(edit)));
    }
    let mut elsewhere: Vec<&str> = cx
        .ordinary()
        .filter(|(_, endpoint)| !pods.is_empty() && pods.matches(&endpoint.labels))
        .map(|(_, endpoint)| endpoint.namespace.as_str())
        .collect();
    elsewhere.sort_unstable();
    elsewhere.dedup();
    let fix = match elsewhere.as_slice() {
        [] => Fix::words("select labels that its pods carry, or delete the peer"),
        [one] => {
            let entry = format!(
                "namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {one}}}}}"
            );
            let edit = document
                .as_ref()
                .zip(node)
                .and_then(|(document, node)| document.add_entry(node, "podSelector", &entry));
            Fix::with(format!("such pods are in namespace `{one}`: name it in the same item"), edit)
        }
        several => Fix::words(format!(
            "such pods are in namespaces {}: add a namespaceSelector to the same item",
            several.join(", ")
        )),
    };
    place.finding(&PEER_MATCHES_NOTHING, message, fix)
}

/// A peer with namespaceSelector.
fn in_others(
    cx: &Context<'_>,
    at: &Peer<'_>,
    place: Place,
    (namespaces, pods): (&LabelSelector, Option<&LabelSelector>),
) -> Option<Finding> {
    let document = cx.document(&at.policy.position);
    let node = document.as_ref().and_then(|document| document.field(&place.field));
    let mend = |field: &str, selector: &LabelSelector, known: &[&Labels]| {
        let document = document.as_ref()?;
        slip(document, node?.get(field)?, selector, known)
    };
    let matching: Vec<&String> = cx
        .cluster
        .namespaces
        .iter()
        .filter(|(_, labels)| namespaces.matches(labels))
        .map(|(name, _)| name)
        .collect();
    let written = |(written, meant, edit)| {
        Fix::with(format!("write `{meant}` in place of `{written}`"), Some(edit))
    };
    if matching.is_empty() && is_system(namespaces) {
        return None;
    }
    if matching.is_empty() {
        let known: Vec<&Labels> = cx.cluster.namespaces.values().collect();
        let mended = mend("namespaceSelector", namespaces, &known).map(written);
        let message = "no namespace in these files matches the namespaceSelector".to_owned();
        let code = &PEER_MATCHES_NOTHING;
        return Some(match mended {
            Some(fix) => place.finding(code, message, fix),
            // It may well be in files that were not given.
            None => Finding {
                severity: Severity::Note,
                ..place.finding(
                    code,
                    message,
                    Fix::words("give the namespace's manifests too, or correct the selector"),
                )
            },
        });
    }
    let inside = labels_of(cx, |endpoint| matching.iter().any(|name| **name == endpoint.namespace));
    let names: Vec<&str> = matching.iter().map(|name| name.as_str()).collect();
    let none_known = inside.is_empty();
    if none_known && is_system(namespaces) {
        return None;
    }
    let fix = pods
        .and_then(|pods| mend("podSelector", pods, &inside))
        .map_or_else(|| Fix::words("correct the selector, or delete the peer"), written);
    let mut finding = place.finding(
        &PEER_MATCHES_NOTHING,
        format!("matches no pod of {}", names_of(&names)),
        fix,
    );
    if none_known {
        finding.severity = Severity::Note;
        finding.fix = Fix::words("give the manifests of its workloads too");
    }
    Some(finding)
}

/// The cluster's own namespace is seldom in the files, and DNS there in nearly every policy.
fn is_system(namespaces: &LabelSelector) -> bool {
    namespaces.matches(&crate::cluster::default_labels(SYSTEM_NAMESPACE))
}

fn names_of(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(shown.len());
    let word = if names.len() == 1 { "namespace" } else { "namespaces" };
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{word} {}{tail}", shown.join(", "))
}
