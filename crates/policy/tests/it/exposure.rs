//! Exposure: pods that do not exist yet.

use sekisho_model::{Direction, Protocol};
use sekisho_policy::exposure::{Exposure, ExposureRow};
use sekisho_policy::list::Focus;

use crate::world::World;

const CLUSTER: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: red}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: a, labels: {app: db}}, spec: {containers: [{name: m}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a, labels: {app: web}}, spec: {containers: [{name: m}]}}
---
";

fn rows(policies: &str) -> Vec<ExposureRow> {
    let world = World::of(&format!("{CLUSTER}{policies}"));
    Exposure::new(&world.rules, &world.cluster, &Focus::default()).rows
}

/// `peer: ports` of the rows of `a/db` in one direction.
fn of_db(policies: &str, direction: Direction) -> Vec<String> {
    let own = rows(policies)
        .into_iter()
        .filter(|row| row.workload.to_string() == "a/db[Pod]" && row.direction == direction);
    own.map(|row| {
        let peer = row.peer.map_or("any".to_owned(), |peer| peer.words);
        let names: Vec<String> = row.names.into_iter().map(|(_, name)| name).collect();
        format!("{peer}: {} {}", row.ports, names.join(","))
    })
    .collect()
}

fn network_policy(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: a}}, spec: {{podSelector: {{matchLabels: {{app: db}}}}, {spec}}}}}\n"
    )
}

#[test]
fn without_policies_any_pod_may_do_everything() {
    let rows = rows("");
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.ports.is_all() && !row.is_protected && row.peer.is_none()));
}

#[test]
fn a_selector_opens_to_pods_that_do_not_exist_and_no_others() {
    let policy = network_policy(
        "ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchExpressions: [{key: app, operator: In, values: [x, z]}, {key: app, operator: NotIn, values: [x]}]}}], ports: [{port: 1}]}]",
    );
    assert_eq!(
        of_db(&policy, Direction::Ingress),
        ["app in (x,z),app!=x in namespaces with team=blue: TCP 1 "]
    );
}

#[test]
fn what_is_open_to_any_pod_is_told_once() {
    let policy = network_policy(
        "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 1}]}, {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}]}]",
    );
    assert_eq!(of_db(&policy, Direction::Ingress), ["any: TCP 1 "]);
}

#[test]
fn a_negative_selector_is_not_any_pod() {
    let policy = network_policy(
        "ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [x]}]}}]}]",
    );
    assert_eq!(of_db(&policy, Direction::Ingress), ["app!=x in namespace a: all "]);
}

#[test]
fn a_deny_for_some_pods_is_an_exception() {
    let policy = "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: g}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{name: off-limits, action: Deny, from: [{namespaces: {matchLabels: {env: test}}}]}]}}";
    let rows = of_db(policy, Direction::Ingress);
    assert_eq!(rows, ["any: all ", "any pod in namespaces with env=test: none "]);
}

#[test]
fn named_ports_of_pods_that_do_not_exist_are_told_by_name() {
    let policy = network_policy(
        "policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: http}, {port: 80}]}]",
    );
    assert_eq!(of_db(&policy, Direction::Egress), ["any pod in namespace a: TCP 80 http"]);
}

#[test]
fn policies_that_would_select_the_new_pod_itself_are_not_asked() {
    let policy = network_policy("ingress: [{from: [{podSelector: {matchLabels: {app: new}}}]}]")
        + "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: a}, spec: {podSelector: {matchLabels: {app: new}}, policyTypes: [Egress]}}";
    assert_eq!(of_db(&policy, Direction::Ingress), ["app=new in namespace a: all "]);
}

#[test]
fn pods_that_exist_are_counted() {
    let policy = network_policy("ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]");
    let rows = rows(&policy);
    let row = rows.iter().find(|row| row.peer.is_some()).unwrap();
    assert_eq!(row.peer.as_ref().unwrap().existing, 1);
    assert!(row.is_protected && row.ports.contains(Protocol::Tcp, 1));
}
