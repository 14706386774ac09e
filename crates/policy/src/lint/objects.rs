//! Names given twice, and pods and namespaces that no policy protects.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{Object, Position};
use sekisho_model::Direction;

use super::code::{
    DUPLICATE_NAME, HOST_NETWORK_POD, NAMESPACE_WITHOUT_POLICY, WORKLOAD_NOT_ISOLATED,
};
use super::context::{Context, Place, object_name, object_name_of, workload_name, workload_names};
use super::finding::{Finding, Fix, ObjectName, Severity, evidence};
use super::selection::subject_field;
use crate::PolicyKind;
use crate::matching::{Facts, is_ordinary};

/// Policies of one kind, namespace and name: the later replaces the earlier.
pub(crate) fn duplicates(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let mut seen: BTreeMap<(&str, &str, &str), &Position> = BTreeMap::new();
    for object in cx.objects {
        if !is_policy(object) {
            continue;
        }
        let meta = object.meta();
        let key = (object.kind(), meta.namespace.as_str(), meta.name.as_str());
        if let Some(first) = seen.insert(key, &meta.position) {
            let place = cx.place(object_name_of(object), &meta.position, "metadata.name");
            out.push(place.finding(
                &DUPLICATE_NAME,
                format!(
                    "the same name stands in {}:{}; applying both leaves only the one applied last",
                    first.file, first.line
                ),
                Fix::words("give one of them another name, or delete the one that is outdated"),
            ));
        }
    }
}

/// Whether an object is a policy of any kind.
pub(crate) fn is_policy(object: &Object) -> bool {
    let kind = object.kind();
    (kind.ends_with("NetworkPolicy") || kind == "CiliumClusterwideNetworkPolicy")
        && !matches!(object, Object::Other(_))
}

/// Policies that select pods on the host's network.
pub(crate) fn host_network(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for (_, policy) in cx.policies() {
        if policy.name.kind != PolicyKind::NetworkPolicy {
            continue;
        }
        let (ordinary, on_host): (Vec<_>, Vec<_>) = cx
            .subjects()
            .filter(|(_, endpoint)| {
                policy.subject.matches(&Facts::of(&cx.cluster, endpoint).subject())
            })
            .partition(|(_, endpoint)| is_ordinary(cx.dialect(), endpoint));
        if on_host.is_empty() {
            continue;
        }
        let field = subject_field(cx, policy);
        let place = cx.place(object_name(&policy.name), &policy.position, field);
        let mut finding = place.finding(
            &HOST_NETWORK_POD,
            "selects pods with hostNetwork: true, to which plugins apply no NetworkPolicy"
                .to_owned(),
            Fix::words(
                "take hostNetwork off the pods, or protect their nodes by other means (firewall, \
                 host policies of the plugin)",
            ),
        );
        if !ordinary.is_empty() {
            // A policy for a whole namespace can hardly leave them out.
            finding.severity = Severity::Note;
        }
        finding.evidence = evidence(workload_names(on_host.into_iter().map(|(class, _)| class)));
        out.push(finding);
    }
}

/// Namespaces and workloads that everybody may reach.
pub(crate) fn unprotected(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let mut open: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut closed: BTreeSet<&str> = BTreeSet::new();
    for (class, endpoint) in cx.ordinary() {
        let says = |policy: &crate::ir::Policy| policy.side(Direction::Ingress).is_some();
        if class.book.tiers.iter().flat_map(|tier| &tier.policies).any(says) {
            closed.insert(&endpoint.namespace);
        } else {
            let names = open.entry(&endpoint.namespace).or_default();
            names.extend(class.workloads.iter().map(workload_name));
        }
    }
    for (namespace, workloads) in open {
        // The cluster's own namespaces are seldom in the hands of those who write policies.
        if matches!(namespace, "kube-system" | "kube-public" | "kube-node-lease") {
            continue;
        }
        let place = namespace_place(cx, namespace);
        let snippet = format!(
            "add a policy that denies by default, and allow what is needed: `kind: NetworkPolicy`, \
             `metadata: {{name: default-deny, namespace: {namespace}}}`, `spec: {{podSelector: {{}}, \
             policyTypes: [Ingress]}}`"
        );
        let (code, message) = if closed.contains(namespace) {
            let message = "no policy selects these workloads for ingress: all may reach them";
            (&WORKLOAD_NOT_ISOLATED, message)
        } else {
            let message = "no policy protects this namespace: all may reach its pods";
            (&NAMESPACE_WITHOUT_POLICY, message)
        };
        let mut finding = place.finding(code, message.to_owned(), Fix::words(snippet));
        finding.evidence = evidence(workloads);
        out.push(finding);
    }
}

/// The namespace's own object, else the first object in it.
fn namespace_place(cx: &Context<'_>, namespace: &str) -> Place {
    let own = cx.objects.iter().find(
        |object| matches!(object, Object::Namespace(object) if object.meta.name == namespace),
    );
    let workload = || {
        cx.objects.iter().find(|object| {
            matches!(object, Object::Workload(_) | Object::Pod(_) | Object::Host(_))
                && object.meta().namespace == namespace
        })
    };
    let position = own.or_else(workload).map(|object| object.meta().position.clone());
    let object = ObjectName {
        kind: "Namespace".to_owned(),
        namespace: String::new(),
        name: namespace.to_owned(),
    };
    Place { object, position: position.unwrap_or_default(), field: String::new() }
}
