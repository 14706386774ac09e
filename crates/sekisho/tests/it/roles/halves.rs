//! A cluster of two nodes, and what its agents would report of connections between them.

use std::net::SocketAddr;

use sekisho_base::Clock;
use sekisho_model::{
    Batch, Half, HalfFlow, HookCounters, Outcome, Process, Protocol, SocketRole, Timestamp,
};
use sekisho_system::SystemClock;

/// Pods on node-a that connect; one port space each.
const CLIENTS: u64 = 8;
const PORTS: u64 = 50_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

/// The cluster's watch lines: two nodes, eight clients on node-a, one database on node-b.
pub(crate) fn journal() -> String {
    let added = |object: serde_json::Value| {
        let line = serde_json::json!({
            "time": "2020-01-01T00:00:00Z", "type": "ADDED", "object": object
        });
        format!("{line}\n")
    };
    let pod = |name: &str, node: &str, ip: &str| {
        added(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "podIP": ip},
        }))
    };
    let node = |name: &str, ip: &str| {
        added(serde_json::json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name},
            "status": {"addresses": [{"type": "InternalIP", "address": ip}]},
        }))
    };
    let nodes = [node("node-a", "10.0.250.1"), node("node-b", "10.0.250.2")];
    let clients = (0..CLIENTS).map(|n| pod(&format!("client-{n}"), "node-a", &client_ip(n)));
    nodes.into_iter().chain(clients).chain([pod("db", "node-b", "10.0.2.1")]).collect()
}

fn client_ip(number: u64) -> String {
    format!("10.0.1.{}", number + 1)
}

/// Both ends of connection `number`: as node-a and as node-b see it.
pub(crate) fn both_ends(number: u64) -> [Half; 2] {
    let port = 10_000 + number / CLIENTS % PORTS;
    let source: SocketAddr = format!("{}:{port}", client_ip(number % CLIENTS)).parse().unwrap();
    let destination: SocketAddr = "10.0.2.1:5432".parse().unwrap();
    let seen = now();
    let end = |role, local, remote, comm: &str| {
        Half::Flow(HalfFlow {
            id: number + 1,
            role,
            role_inferred: false,
            protocol: Protocol::Tcp,
            local,
            remote,
            cgroup: String::new(),
            process: Some(Process {
                exe: format!("/usr/bin/{comm}"),
                comm: comm.to_owned(),
                uid: 1_000,
                container: None,
            }),
            remote_name: None,
            opened: seen,
            seen,
            first: true,
            last: true,
            outcome: Outcome::Established,
            reset: false,
            bytes_sent: 100,
            bytes_received: 100,
            packets_sent: 2,
            packets_received: 2,
        })
    };
    [
        end(SocketRole::Source, source, destination, "client"),
        end(SocketRole::Destination, destination, source, "db"),
    ]
}

/// Makes the batches of one agent.
pub(crate) struct FakeAgent {
    node: &'static str,
    epoch: Timestamp,
    sequence: u64,
    produced: u64,
}

impl FakeAgent {
    pub(crate) fn new(node: &'static str) -> Self {
        Self { node, epoch: now(), sequence: 0, produced: 0 }
    }

    /// The next batch.
    pub(crate) fn batch(&mut self, halves: Vec<Half>) -> Batch {
        self.sequence += 1;
        self.produced += halves.len() as u64;
        Batch {
            node: self.node.to_owned(),
            epoch: self.epoch,
            sequence: self.sequence,
            time: now(),
            halves,
            counters: vec![HookCounters {
                hook: "tcp".to_owned(),
                produced: self.produced,
                delivered: self.produced,
                dropped: 0,
            }],
            shed: 0,
        }
    }
}

/// The two agents, and the connections they saw so far.
pub(crate) struct Pair {
    pub(crate) a: FakeAgent,
    pub(crate) b: FakeAgent,
    pub(crate) connections: u64,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self { a: FakeAgent::new("node-a"), b: FakeAgent::new("node-b"), connections: 0 }
    }

    /// The next batch of each, with both ends of `count` connections.
    pub(crate) fn batches(&mut self, count: u64) -> [Batch; 2] {
        let numbers = self.connections..self.connections + count;
        self.connections += count;
        let (a, b) = numbers.map(both_ends).map(|[a, b]| (a, b)).unzip();
        [self.a.batch(a), self.b.batch(b)]
    }
}
