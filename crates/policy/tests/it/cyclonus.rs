//! Verdicts that another policy engine computed (Cyclonus): all must agree.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use sekisho_manifest::{ContainerPort, Object, parse};
use sekisho_model::{Labels, PartyKind, WorkloadRef};
use sekisho_policy::{Cluster, Connection, Endpoint, Peer, RuleSet};
use serde_json::Value;

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn endpoint(pod: &Value) -> Endpoint {
    let (namespace, name) = (text(pod, "Namespace"), text(pod, "Name"));
    let ports = pod["Containers"].as_array().unwrap().iter().map(|container| ContainerPort {
        name: text(container, "PortName"),
        port: u16::try_from(container["Port"].as_u64().unwrap()).unwrap(),
        protocol: text(container, "Protocol").parse().unwrap(),
        host_port: None,
    });
    Endpoint {
        workload: WorkloadRef {
            namespace: namespace.clone(),
            name: name.clone(),
            kind: "Pod".to_owned(),
        },
        kind: PartyKind::Pod,
        labels: serde_json::from_value(pod["Labels"].clone()).unwrap(),
        // One pod of the corpus has no address yet, but a word in its place.
        addresses: text(pod, "IP").parse().into_iter().collect(),
        ports: ports.collect(),
        host_network: false,
        node: None,
        service_account: None,
        namespace,
        name,
    }
}

fn rule_set(step: &Value) -> RuleSet {
    let policies = step["policies"].as_array().cloned().unwrap_or_default();
    let mut list = serde_json::Map::new();
    list.insert("apiVersion".into(), "networking.k8s.io/v1".into());
    list.insert("kind".into(), "NetworkPolicyList".into());
    list.insert("items".into(), policies.into());
    let objects = parse("cases.json", &Value::Object(list).to_string()).unwrap();
    RuleSet::new(objects.into_iter().map(|object| match object {
        Object::NetworkPolicy(policy) => policy,
        other => panic!("{other:?}"),
    }))
}

fn cluster(step: &Value) -> Cluster {
    let namespaces: BTreeMap<String, Labels> =
        serde_json::from_value(step["namespaces"].clone()).unwrap();
    let endpoints = step["pods"].as_array().unwrap().iter().map(endpoint).collect();
    Cluster { namespaces, endpoints, ..Cluster::default() }
}

/// Compares the verdicts of a step; returns how many there are.
fn check(name: &str, step: &Value, wrong: &mut Vec<String>) -> usize {
    let (rules, cluster) = (rule_set(step), cluster(step));
    let find = |id: &Value| {
        let (namespace, pod) = id.as_str().unwrap().split_once('/').unwrap();
        cluster.endpoint_of_pod(namespace, pod).unwrap()
    };
    let rows = step["expected"].as_array().unwrap();
    for row in rows {
        let (source, destination) = (find(&row[0]), find(&row[1]));
        let connection = |destination| Connection {
            source: Peer::Endpoint(source),
            destination: Peer::Endpoint(destination),
            source_address: None,
            destination_address: None,
            protocol: row[2].as_str().unwrap().parse().unwrap(),
            port: u16::try_from(row[3].as_u64().unwrap()).unwrap(),
        };
        // The corpus judges a pod's talk with itself by policy, as if it were another pod just like
        // it; the specification exempts it.
        let twin = Endpoint { name: format!("{}-twin", destination.name), ..destination.clone() };
        let is_same = source.is(destination);
        if is_same {
            assert!(rules.decide(&cluster, &connection(destination)).allows(), "{name}: {row}");
        }
        let judged = if is_same { &twin } else { destination };
        let allowed = rules.decide(&cluster, &connection(judged)).allows();
        let expected = match row[5].as_str().unwrap() {
            "allowed" => true,
            "blocked" => false,
            other => panic!("verdict {other}"),
        };
        if allowed != expected {
            wrong.push(format!("{name}: {row}"));
        }
    }
    rows.len()
}

#[test]
fn every_verdict_of_the_cyclonus_corpus_agrees() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpora/policy/cyclonus/cases.json.gz");
    let Ok(file) = File::open(&path) else {
        println!("not run: no corpus at {}", path.display());
        return;
    };
    let mut json = String::new();
    GzDecoder::new(file).read_to_string(&mut json).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&json).unwrap();
    let (mut compared, mut wrong) = (0, Vec::new());
    for case in &cases {
        for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let name = format!("{} step {index}", text(case, "description"));
            compared += check(&name, step, &mut wrong);
        }
    }
    println!("{} cases: {compared} verdicts compared", cases.len());
    wrong.truncate(20);
    assert!(wrong.is_empty(), "differ:\n{}", wrong.join("\n"));
}
