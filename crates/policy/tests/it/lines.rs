//! `policy decide` lines and explanations.

use proptest::prelude::*;
use sekisho_policy::{Connection, Peer, decide_line, explain};
use serde_json::{Value, json};

use crate::world::{World, policy, policy_named};

fn world() -> World {
    World::with(&[
        policy("{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}]}, {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}"),
        "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: a}, spec: {clusterIP: 10.96.0.1, ports: [{port: 5432}]}}\n".to_owned(),
    ])
}

fn decide(world: &World, line: &Value) -> (Value, bool) {
    let (out, decided) = decide_line(&world.rules, &world.cluster, &line.to_string());
    (serde_json::from_str(&out).unwrap(), decided)
}

fn check(line: Value, verdict: &str) -> Value {
    let (out, decided) = decide(&world(), &line);
    assert_eq!(out["verdict"], verdict, "{out}");
    assert_eq!(decided, verdict != "error");
    out
}

#[test]
fn a_line_keeps_its_fields_and_gains_the_verdict_and_who_decided() {
    let out = check(
        json!({"source": {"pod": "a/web"}, "destination": {"pod": "a/db"}, "protocol": "TCP", "port": 5432, "note": 7}),
        "allowed",
    );
    assert_eq!(out["note"], 7);
    assert_eq!(
        out["ingress"],
        json!({"verdict": "allowed", "decided_by": {"kind": "NetworkPolicy", "policy": "a/p", "rule": 1}, "tier": "network_policy", "reason": "rule"})
    );
    assert_eq!(out["egress"]["decided_by"], Value::Null);
    let out = check(
        json!({"source": {"pod": "b/web"}, "destination": {"workload": "a/db"}, "protocol": "TCP", "port": 5432}),
        "denied",
    );
    assert_eq!(
        out["ingress"]["decided_by"],
        json!({"kind": "NetworkPolicy", "policy": "a/p", "rule": null})
    );
}

#[test]
fn an_address_is_the_pod_or_node_that_has_it() {
    let from = |ip: &str| json!({"source": {"ip": ip}, "destination": {"ip": "10.0.0.2"}, "protocol": "TCP", "port": 5432});
    check(from("10.0.0.1"), "allowed");
    check(from("::ffff:10.0.0.1"), "allowed");
    check(from("10.0.1.1"), "denied");
    check(from("203.0.113.1"), "denied");
    // a/db runs on n2.
    check(from("192.0.2.2"), "allowed");
    check(from("192.0.2.1"), "denied");
    check(
        json!({"source": {"node": "n2"}, "destination": {"pod": "a/db"}, "port": 5432}),
        "allowed",
    );
}

#[test]
fn what_cannot_be_decided_is_an_error_with_its_reason() {
    let db = json!({"pod": "a/db"});
    let cases = [
        (json!({"destination": db, "port": 1}), "`source` is missing"),
        (json!({"source": db, "destination": {"pod": "a/none"}, "port": 1}), "no pod `a/none`"),
        (json!({"source": db, "destination": {"pod": "none"}, "port": 1}), "no pod `none`"),
        (json!({"source": db, "destination": {"node": "none"}, "port": 1}), "no node `none`"),
        (json!({"source": db, "destination": {"workload": "x/y"}, "port": 1}), "no workload"),
        (json!({"source": db, "destination": {"ip": "300.0.0.1"}, "port": 1}), "an IP address"),
        (json!({"source": db, "destination": {}, "port": 1}), "exactly one of"),
        (
            json!({"source": db, "destination": {"pod": "a/db", "ip": "::1"}, "port": 1}),
            "exactly one",
        ),
        (json!({"source": db, "destination": db}), "`port` is missing"),
        (json!({"source": db, "destination": db, "port": 65536}), "`port` must be"),
        (
            json!({"source": db, "destination": db, "port": 1, "protocol": "GRE"}),
            "`protocol` must be",
        ),
        (json!({"source": db, "destination": {"ip": "10.96.0.1"}, "port": 1}), "Service `a/db`"),
        (json!([1]), "not a JSON object"),
    ];
    for (line, reason) in cases {
        let out = check(line, "error");
        assert!(out["reason"].as_str().unwrap().contains(reason), "{out}");
    }
    let (out, decided) = decide_line(&world().rules, &world().cluster, "{nonsense");
    assert!(!decided && out.contains("not a JSON object: "), "{out}");
}

#[test]
fn pods_of_a_workload_whose_verdicts_differ_must_be_named() {
    let pod = |name: &str, version: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: a, labels: {{version: {version}}}, ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: set, uid: u, controller: true}}]}}, spec: {{containers: [{{name: m}}]}}}}\n"
        )
    };
    let world = World::with(&[
        pod("set-0", "one"),
        pod("set-1", "two"),
        policy("{podSelector: {matchLabels: {version: one}}, ingress: [{ports: [{port: 80}]}]}"),
    ]);
    let to = |port: u16| json!({"source": {"pod": "b/web"}, "destination": {"workload": "a/set"}, "port": port});
    assert_eq!(decide(&world, &to(80)).0["verdict"], "allowed");
    let (out, decided) = decide(&world, &to(81));
    assert!(!decided && out["reason"].as_str().unwrap().contains("name a pod"), "{out}");
}

#[test]
fn a_workload_is_asked_about_its_other_pods_and_not_about_each_pod_itself() {
    let pod = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: a, labels: {{app: set}}, ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: set, uid: u, controller: true}}]}}, spec: {{containers: [{{name: m}}]}}}}\n"
        )
    };
    let line =
        json!({"source": {"workload": "a/set"}, "destination": {"workload": "a/set"}, "port": 80});
    let deny = || policy("{podSelector: {}}");
    let world = World::with(&[pod("set-0"), pod("set-1"), deny()]);
    assert_eq!(decide(&world, &line).0["verdict"], "denied");
    let world = World::with(&[pod("set-0"), deny()]);
    assert_eq!(decide(&world, &line).0["verdict"], "allowed");
}

fn explained(world: &World, source: (&str, &str), destination: (&str, &str), port: u16) -> String {
    let find =
        |(namespace, name)| Peer::Endpoint(world.cluster.endpoint_of_pod(namespace, name).unwrap());
    let connection = Connection {
        source: find(source),
        destination: find(destination),
        source_address: None,
        destination_address: None,
        protocol: sekisho_model::Protocol::Tcp,
        port,
    };
    explain(&world.rules, &world.cluster, &connection).to_string()
}

#[test]
fn explanations_name_the_policy_the_rule_and_the_line() {
    let text = policy_named(
        "a",
        "db",
        "\n  podSelector: {matchLabels: {app: db}}\n  ingress:\n    - ports: [{port: 1}]\n    - from: [{podSelector: {matchLabels: {app: web}}}]\n      ports: [{port: 5432}]",
    );
    let pods = "---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a, labels: {app: web}}, spec: {containers: [{name: m}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: a, labels: {app: db}}, spec: {containers: [{name: m}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: job, namespace: b}, spec: {containers: [{name: m}]}}
";
    let world = World::of(&format!("{text}{pods}"));
    let all = [
        explained(&world, ("a", "web"), ("a", "db"), 5432),
        explained(&world, ("b", "job"), ("a", "db"), 5432),
        explained(&world, ("a", "web"), ("a", "db"), 80),
        explained(&world, ("a", "db"), ("a", "db"), 80),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_makes_it_panic_and_each_gets_one_line_of_json(line in "\\PC*") {
        let world = World::of("{apiVersion: v1, kind: Namespace, metadata: {name: a}}");
        let (out, _) = decide_line(&world.rules, &world.cluster, &line);
        prop_assert!(!out.contains('\n'));
        prop_assert!(serde_json::from_str::<Value>(&out).is_ok());
    }
}
