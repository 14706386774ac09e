//! Rows to draw: a web shop of twenty workloads, and rows at random.

use std::sync::Arc;

use proptest::prelude::*;
use sekisho_model::{
    ClusterName, Completeness, DecidedBy, Direction, EdgeDay, EdgeKey, EdgeMinute, EdgeStats,
    Labels, Party, PartyKind, Process, Protocol, Reporters, ServiceRef, Timestamp, Verdict,
    WorkloadRef,
};

/// 2026-11-23T01:00:00Z.
pub(crate) const START_S: u64 = 1_795_395_600;

pub(crate) fn minute(number: u64) -> Timestamp {
    Timestamp::from_seconds(START_S + number * 60)
}

pub(crate) fn complete() -> Completeness {
    Completeness {
        ratio: 0.998,
        produced: 120_000,
        dropped: 240,
        gaps: vec!["node-2: tcp lost 240 of 60000 records".to_owned()],
    }
}

fn party(kind: PartyKind, namespace: &str, name: &str, owner: &str, pod: &str) -> Party {
    let workload = WorkloadRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: owner.to_owned(),
    };
    let labels = if kind == PartyKind::Pod {
        Labels::from([
            ("app".to_owned(), name.to_owned()),
            ("pod-template-hash".to_owned(), pod.to_owned()),
        ])
    } else {
        Labels::new()
    };
    Party { kind, workload, pod: pod.to_owned(), labels, address: None, dns_name: None }
}

/// A pod, node, host or external by a short name: `shop/cart`, `@node-1`, `%legacy-db`, `!dns.name`.
pub(crate) fn who(short: &str) -> Party {
    if let Some(name) = short.strip_prefix('@') {
        return party(PartyKind::Node, "", name, "Node", "");
    }
    if let Some(name) = short.strip_prefix('%') {
        return party(PartyKind::Host, "hosts", name, "Host", "");
    }
    if let Some(name) = short.strip_prefix('!') {
        return party(PartyKind::External, "", name, "External", "");
    }
    let (namespace, name) = short.split_once('/').unwrap();
    let (name, pod) = name.split_once('#').unwrap_or((name, "1"));
    let owner = match name {
        "postgres" | "redis" => "StatefulSet",
        "nightly-report" => "CronJob",
        _ => "Deployment",
    };
    party(PartyKind::Pod, namespace, name, owner, &format!("{name}-{pod}"))
}

fn process(party: &Party) -> Option<Arc<Process>> {
    let comm = party.workload.name.clone();
    let seen = matches!(party.kind, PartyKind::Pod | PartyKind::Host);
    let exe = format!("/usr/bin/{comm}");
    seen.then(|| Arc::new(Process { exe, comm, uid: 1000, container: None }))
}

pub(crate) fn row(from: &str, to: &str, port: u16, connections: u64) -> EdgeDay {
    let (source, destination) = (who(from), who(to));
    let service = (destination.kind == PartyKind::Pod).then(|| ServiceRef {
        namespace: destination.workload.namespace.clone(),
        name: destination.workload.name.clone(),
        port: 80,
    });
    EdgeDay::from(EdgeMinute {
        minute: minute(0),
        key: EdgeKey {
            source_process: process(&source),
            source: Arc::new(source),
            destination_process: process(&destination),
            destination: Arc::new(destination),
            protocol: if port == 53 { Protocol::Udp } else { Protocol::Tcp },
            port,
            service,
            verdict: Verdict::Allowed,
            decided_by: None,
            direction_inferred: false,
            cluster: ClusterName::default(),
        },
        stats: EdgeStats {
            connections,
            bytes_sent: connections * 512,
            bytes_received: connections * 4_096,
            packets_sent: connections * 6,
            packets_received: connections * 9,
            resets: 0,
            first_seen: minute(0),
            last_seen: minute(0).plus_seconds(59),
            reporters: Reporters { source: true, destination: true, datapath: false },
            loss: false,
        },
    })
}

pub(crate) fn with_verdict(mut row: EdgeDay, verdict: Verdict) -> EdgeDay {
    row.key_mut().verdict = verdict;
    if matches!(verdict, Verdict::Denied | Verdict::WouldDeny) {
        let outside = row.key.destination.kind == PartyKind::External;
        let (subject, direction) = if outside {
            (&row.key.source, Direction::Egress)
        } else {
            (&row.key.destination, Direction::Ingress)
        };
        let policy = format!("{}/{}", subject.workload.namespace, subject.workload.name);
        row.key_mut().decided_by = Some(DecidedBy { policy, rule: None, direction });
    }
    row
}

/// The shop: a frontend, its services, their data, a cron job, a scraper, a DNS, a VM, the internet.
pub(crate) fn shop() -> Vec<EdgeDay> {
    let calls: [(&str, &str, u16, u64); 33] = [
        ("!203.0.113.7", "shop/frontend#1", 8080, 9_120),
        ("!203.0.113.7", "shop/frontend#2", 8080, 9_088),
        ("shop/frontend#1", "shop/cart", 7070, 6_102),
        ("shop/frontend#2", "shop/cart", 7070, 6_007),
        ("shop/frontend#1", "shop/catalogue", 3550, 15_300),
        ("shop/frontend#1", "shop/currency", 7000, 11_870),
        ("shop/frontend#1", "shop/recommendation", 8080, 5_410),
        ("shop/frontend#1", "shop/ad", 9555, 4_120),
        ("shop/frontend#1", "shop/checkout", 5050, 910),
        ("shop/frontend#1", "shop/shipping", 50051, 1_200),
        ("shop/checkout", "shop/cart", 7070, 1_820),
        ("shop/checkout", "shop/catalogue", 3550, 2_730),
        ("shop/checkout", "shop/currency", 7000, 2_700),
        ("shop/checkout", "shop/shipping", 50051, 905),
        ("shop/checkout", "shop/email", 8080, 903),
        ("shop/checkout", "payments/payment", 50051, 902),
        ("shop/recommendation", "shop/catalogue", 3550, 5_400),
        ("shop/cart", "data/redis", 6379, 420),
        ("shop/catalogue", "data/postgres", 5432, 310),
        ("shop/shipping", "data/postgres", 5432, 60),
        ("payments/payment", "payments/ledger", 8443, 900),
        ("payments/ledger", "%legacy-db", 1521, 12),
        ("payments/payment", "!api.payments.example", 443, 899),
        ("shop/email", "!smtp.mail.example", 587, 903),
        ("batch/nightly-report", "data/postgres", 5432, 1),
        ("batch/nightly-report", "%legacy-db", 1521, 1),
        ("monitoring/prometheus", "shop/frontend#1", 9090, 240),
        ("monitoring/prometheus", "shop/cart", 9090, 240),
        ("monitoring/prometheus", "shop/checkout", 9090, 240),
        ("monitoring/prometheus", "payments/payment", 9090, 240),
        ("monitoring/prometheus", "data/postgres", 9187, 240),
        ("monitoring/prometheus", "data/redis", 9121, 240),
        ("monitoring/prometheus", "%legacy-db", 9100, 240),
    ];
    let mut rows: Vec<EdgeDay> =
        calls.iter().map(|(from, to, port, count)| row(from, to, *port, *count)).collect();
    rows.push(with_verdict(row("shop/recommendation", "data/postgres", 5432, 37), Verdict::Denied));
    rows.push(with_verdict(row("shop/recommendation", "!198.51.100.23", 443, 4), Verdict::Denied));
    rows.push(with_verdict(row("shop/ad", "data/redis", 6379, 18), Verdict::WouldDeny));
    rows.push(with_verdict(row("shop/ad", "!ads.partner.example", 443, 3), Verdict::Unknown));
    for pod in ["shop/frontend#1", "shop/cart", "shop/checkout", "payments/payment"] {
        rows.push(row(pod, "kube-system/coredns", 53, 700));
        rows.push(row("@node-1", pod, 8080, 60));
    }
    rows
}

fn verdict() -> impl Strategy<Value = Verdict> {
    use Verdict::{Allowed, Denied, Unknown, WouldDeny};
    prop::sample::select(vec![Allowed, Denied, WouldDeny, Unknown])
}

/// Rows among few parties, so that edges repeat and form cycles.
pub(crate) fn rows() -> impl Strategy<Value = Vec<EdgeDay>> {
    let names = ["a/x", "a/y#1", "a/y#2", "b/x", "b/z", "@n", "%vm", "!e.example", "!192.0.2.1"];
    let name = || prop::sample::select(names.to_vec());
    let one = (name(), name(), 1..4_u16, 0..9_u64, 0..5_u64, verdict(), any::<bool>());
    let one = one.prop_map(|(from, to, port, count, at, verdict, guessed)| {
        let mut row = with_verdict(row(from, to, port, count), verdict);
        row.day = minute(at).day();
        (row.stats.first_seen, row.stats.last_seen) = (minute(at), minute(at).plus_seconds(count));
        row.key_mut().direction_inferred = guessed;
        row.stats.loss = count == 8;
        row
    });
    prop::collection::vec(one, 0..60)
}
