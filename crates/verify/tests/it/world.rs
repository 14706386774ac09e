//! A small cluster, its policies as YAML, and rows of history.

use std::net::IpAddr;
use std::sync::Arc;

use sekisho_manifest::{ContainerPort, Object, parse};
use sekisho_model::{
    ClusterName, Completeness, EdgeDay, EdgeKey, EdgeMinute, EdgeStats, Labels, Party, PartyKind,
    Protocol, TimeRange, Timestamp, Verdict, WorkloadRef,
};
use sekisho_policy::{Cluster, Endpoint, RuleSet};
use sekisho_verify::{EdgeReport, Request, WhatIf, what_if};

/// A cluster with `web`, `db` and `other` in namespace `a`, `client` in namespace `b`.
pub(crate) fn cluster() -> Cluster {
    let pod = |namespace: &str, name: &str, last: u8| Endpoint {
        namespace: namespace.to_owned(),
        name: format!("{name}-0"),
        workload: workload(namespace, name),
        kind: PartyKind::Pod,
        labels: Labels::from([("app".to_owned(), name.to_owned())]),
        addresses: vec![IpAddr::from([10, 0, 0, last])],
        ports: vec![ContainerPort {
            name: "http".to_owned(),
            port: 8080,
            protocol: Protocol::Tcp,
            host_port: None,
        }],
        host_network: false,
        node: Some("node-1".to_owned()),
        service_account: None,
    };
    Cluster {
        nodes: [("node-1".to_owned(), vec![IpAddr::from([172, 18, 0, 2])])].into(),
        endpoints: vec![
            pod("a", "db", 1),
            pod("a", "other", 2),
            pod("a", "web", 3),
            pod("b", "client", 4),
        ],
        ..Cluster::default()
    }
}

pub(crate) fn workload(namespace: &str, name: &str) -> WorkloadRef {
    WorkloadRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: "Deployment".to_owned(),
    }
}

/// The party of a pod of `cluster`, by workload name.
pub(crate) fn pod(cluster: &Cluster, name: &str) -> Party {
    let endpoint = cluster.endpoints.iter().find(|of| of.workload.name == name).unwrap();
    Party {
        kind: PartyKind::Pod,
        workload: endpoint.workload.clone(),
        pod: endpoint.name.clone(),
        labels: endpoint.labels.clone(),
        address: endpoint.addresses.first().copied(),
        dns_name: None,
    }
}

/// A party that is no pod.
pub(crate) fn named(kind: PartyKind, namespace: &str, name: &str, word: &str) -> Party {
    Party {
        kind,
        workload: WorkloadRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            kind: word.to_owned(),
        },
        pod: String::new(),
        labels: Labels::new(),
        address: None,
        dns_name: None,
    }
}

/// Ten answered connections on TCP 8080.
pub(crate) fn row(source: Party, destination: Party) -> EdgeDay {
    let first_seen = Timestamp::from_seconds(1_795_392_060);
    EdgeDay::from(EdgeMinute {
        minute: first_seen,
        key: EdgeKey {
            source: Arc::new(source),
            source_process: None,
            destination: Arc::new(destination),
            destination_process: None,
            protocol: Protocol::Tcp,
            port: 8080,
            service: None,
            verdict: Verdict::Allowed,
            decided_by: None,
            direction_inferred: false,
            cluster: ClusterName::default(),
        },
        stats: EdgeStats {
            connections: 10,
            bytes_received: 100,
            first_seen,
            last_seen: first_seen.plus_seconds(60),
            ..EdgeStats::default()
        },
    })
}

/// Policies of namespace `a`, from the `spec` of each in YAML flow style.
pub(crate) fn rules(specs: &[&str]) -> RuleSet {
    let one = |(number, spec): (usize, &&str)| {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{name: p{number}, namespace: a}}\nspec: {spec}\n"
        );
        let Some(Object::NetworkPolicy(policy)) = parse("p.yaml", &text).unwrap().pop() else {
            panic!("no policy in {text}");
        };
        policy
    };
    RuleSet::new(specs.iter().enumerate().map(one))
}

/// A namespace that lets nothing in or out.
pub(crate) const DENY: &str = "{podSelector: {}, policyTypes: [Ingress, Egress]}";
/// Lets `web` into `db`, on the port named http.
pub(crate) const WEB_TO_DB: &str = "{podSelector: {matchLabels: {app: db}}, policyTypes: \
     [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}]}";
/// Lets `web` out to anywhere.
pub(crate) const WEB_OUT: &str =
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{}]}";

pub(crate) fn window() -> TimeRange {
    let from = Timestamp::from_nanos(1_795_392_000_123_456_789);
    TimeRange { from, to: from.plus_seconds(3600) }
}

pub(crate) fn complete() -> Completeness {
    Completeness { ratio: 1.0 / 3.0, produced: 3, dropped: 2, gaps: Vec::new() }
}

pub(crate) fn replay(
    cluster: &Cluster,
    history: &[EdgeDay],
    current: &RuleSet,
    proposed: &RuleSet,
) -> WhatIf {
    replay_short(cluster, history, (current, proposed), sekisho_verify::UNCHANGED_ALL)
}

/// The same, with so many unchanged edges listed at most.
pub(crate) fn replay_short(
    cluster: &Cluster,
    history: &[EdgeDay],
    (current, proposed): (&RuleSet, &RuleSet),
    unchanged_max: u64,
) -> WhatIf {
    what_if(&Request {
        current,
        proposed,
        cluster,
        history,
        window: window(),
        completeness: &complete(),
        accepted: &[],
        limits: sekisho_verify::Limits::NONE,
        unchanged_max,
    })
}

/// The only edge of a replay of one row.
pub(crate) fn judge(row: EdgeDay, current: &[&str], proposed: &[&str]) -> EdgeReport {
    judge_in(&cluster(), row, current, proposed)
}

pub(crate) fn judge_in(
    cluster: &Cluster,
    row: EdgeDay,
    current: &[&str],
    proposed: &[&str],
) -> EdgeReport {
    let answer = replay(cluster, &[row], &rules(current), &rules(proposed));
    let [edge] = answer.report.edges.as_slice() else { panic!("one edge expected") };
    edge.clone()
}
