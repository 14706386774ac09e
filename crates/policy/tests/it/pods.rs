//! Traps 36-47: pods and nodes that are special.

use crate::world::{World, errors, policy, policy_named};
use sekisho_policy::Reason;

fn pod(name: &str, status: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: a, labels: {{app: {name}}}}}\nspec: {{containers: [{{name: m}}]}}\nstatus: {status}\n"
    )
}

// 36
#[test]
fn host_network_pods_are_no_subjects_of_policy() {
    let world =
        World::with(&[policy_named("b", "p", "{podSelector: {}, policyTypes: [Ingress, Egress]}")]);
    world
        .allows(&["c/web b/agent 80", "b/agent c/web 80", "203.0.113.1 b/agent 80"])
        .denies(&["c/web b/web 80", "b/web c/web 80"]);
    assert_eq!(world.decide("c/web b/agent 80").ingress.reason, Reason::NotSubject);
}

// 36
#[test]
fn host_network_pods_are_peers_by_the_addresses_of_their_node_only() {
    // a/db runs on n2, so that n1 is not its own node.
    World::policy("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}")
        .denies(&["b/agent a/db 80"])
        .allows(&["b/web a/db 80"]);
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}")
        .allows(&["b/agent a/db 80"])
        .denies(&["b/web a/db 80"]);
    World::policy("{policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}")
        .denies(&["a/web b/agent 8080"])
        .allows(&["a/web b/web 8080"]);
}

// 37
#[test]
fn the_own_node_always_reaches_its_pods_and_other_nodes_do_not() {
    let world = World::policy("{podSelector: {}}");
    world
        .allows(&["node:n1 a/web 80", "node:n1@192.0.2.1 a/web 80", "192.0.2.1 a/web 80"])
        .allows(&["b/agent a/web 80", "node:n2 a/db 80"])
        .denies(&["node:n2 a/web 80", "192.0.2.2 a/web 80", "b/agent a/db 80"]);
    assert_eq!(world.decide("node:n1 a/web 80").ingress.reason, Reason::OwnNode);
}

// 37: the API exempts what the node sends, not what the pod sends to its node.
#[test]
fn a_pod_reaches_its_own_node_only_by_a_rule() {
    World::policy("{policyTypes: [Egress]}")
        .denies(&["a/web node:n1 10250", "a/web 192.0.2.1 10250"]);
    World::policy("{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}")
        .allows(&["a/web node:n1 10250", "a/web 192.0.2.1 10250"]);
}

// 38
#[test]
fn a_pod_always_reaches_itself_and_not_another_pod_just_like_it() {
    let world = World::policy("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    world.allows(&["a/web a/web 80"]).denies(&["a/web a/db 80", "b/web a/web 80"]);
    assert_eq!(world.decide("a/web a/web 80").ingress.reason, Reason::Itself);
}

// 40
#[test]
fn pods_that_ended_match_nothing_and_their_address_may_be_anothers() {
    let world = World::with(&[
        pod("old", "{phase: Succeeded, podIP: 10.0.0.7}"),
        pod("broken", "{phase: Failed, podIP: 10.0.0.6}"),
        pod("new", "{phase: Running, podIP: 10.0.0.7}"),
        policy("{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: new}}}]}]}"),
    ]);
    assert!(world.cluster.endpoint_of_pod("a", "old").is_none());
    assert!(world.cluster.endpoint_at("10.0.0.6".parse().unwrap()).is_none());
    assert_eq!(world.cluster.endpoint_at("10.0.0.7".parse().unwrap()).unwrap().name, "new");
    world.allows(&["a/new a/web 80"]).denies(&["10.0.0.6 a/web 80"]);
}

// 40
#[test]
fn pending_and_terminating_pods_still_count() {
    let terminating = pod("leaving", "{phase: Running, podIP: 10.0.0.7}")
        .replace("namespace: a,", "namespace: a, deletionTimestamp: 2026-01-01T00:00:00Z,");
    World::with(&[
        pod("coming", "{phase: Pending}"),
        terminating,
        policy("{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: coming}}}, {podSelector: {matchLabels: {app: leaving}}}]}]}"),
    ])
    .allows(&["a/coming a/web 80", "a/leaving a/web 80"])
    .denies(&["a/db a/web 80"]);
    // Whatever address it gets, it is in the range of all.
    World::with(&[
        pod("coming", "{phase: Pending}"),
        policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"),
    ])
    .allows(&["a/coming a/web 80", "a/db a/web 80"]);
    // A pod without an address is in no range that leaves any out.
    for block in ["{cidr: 10.0.0.0/8}", "{cidr: 0.0.0.0/0, except: [192.0.2.0/24]}"] {
        World::with(&[
            pod("coming", "{phase: Pending}"),
            policy(&format!("{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {block}}}]}}]}}")),
        ])
        .denies(&["a/coming a/web 80"])
        .allows(&["a/db a/web 80"]);
    }
}

// 43
#[test]
fn the_answer_depends_on_who_opens_the_connection() {
    World::policy("{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}], policyTypes: [Ingress, Egress]}")
        .allows(&["a/web a/db 5432"])
        .denies(&["a/db a/web 5432"]);
}

// 44
#[test]
fn pods_of_one_owner_with_different_labels_are_judged_each_by_its_own() {
    let owned = |name: &str, version: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: a, labels: {{version: {version}}}, ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: set, uid: u, controller: true}}]}}\nspec: {{containers: [{{name: m}}]}}\nstatus: {{podIP: 10.0.0.5}}\n"
        )
    };
    let world = World::with(&[
        owned("set-0", "one"),
        owned("set-1", "two"),
        policy("{podSelector: {matchLabels: {version: one}}}"),
    ]);
    world.denies(&["b/web a/set-0 80"]).allows(&["b/web a/set-1 80"]);
    assert_eq!(world.cluster.endpoints_of_workload("a", "set").count(), 2);
}

// 45
#[test]
fn a_changed_label_of_a_pod_or_namespace_changes_the_answer_at_once() {
    let mut world = World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}",
    );
    world.allows(&["b/web a/web 80"]).denies(&["c/web a/web 80"]);
    let labels = world.cluster.namespaces.get_mut("b").unwrap();
    labels.insert("team".to_owned(), "red".to_owned());
    world.denies(&["b/web a/web 80"]);
    let labels = world.cluster.namespaces.get_mut("c").unwrap();
    labels.insert("team".to_owned(), "blue".to_owned());
    world.allows(&["c/web a/web 80"]);
}

#[test]
fn hosts_are_subjects_and_peers_by_their_labels() {
    let host = "apiVersion: sekisho.dev/v1alpha1
kind: Host
metadata: {name: legacy, namespace: hosts, labels: {app: legacy}}
spec: {addresses: [192.0.2.10]}
";
    World::with(&[
        host.to_owned(),
        policy_named("hosts", "p", "{podSelector: {matchLabels: {app: legacy}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}}]}]}"),
        policy("{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: legacy}}}]}]}"),
    ])
    .allows(&["a/web hosts/legacy 5432", "hosts/legacy a/db 80"])
    .denies(&["b/web hosts/legacy 5432", "b/web a/db 80"]);
}

#[test]
fn a_policy_of_a_wrong_shape_is_refused() {
    assert!(
        errors(&policy("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}"))
            .contains("may not stand together")
    );
    World::policy("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {}}]}]}")
        .allows(&["b/web a/web 80"]);
}
