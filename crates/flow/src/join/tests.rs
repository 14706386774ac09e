//! Claims of the joiner: the lab they are made in; each file below has those about one idea.

mod agents;
mod denials;
mod ends;
mod properties;

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_model::{
    ClusterName, DecidedBy, Direction, HookCounters, Labels, Party, Protocol, ServiceRef,
    SocketRole, WorkloadRef,
};

use super::*;
use crate::ServiceTarget;

/// 10.244.0.0/16 holds pods named by their address, 10.244.99.x ones that nobody knows, 172.18.x
/// nodes; 10.96.0.10 is a Service with 10.244.2.1 and 10.244.2.2 behind it.
struct Lab;

const VIP: &str = "10.96.0.10:80";

fn party(kind: PartyKind, name: &str, address: Option<IpAddr>) -> Arc<Party> {
    let pod = if kind == PartyKind::Pod { name.to_owned() } else { String::new() };
    let namespace = if kind == PartyKind::Pod { "shop" } else { "" };
    let workload = WorkloadRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: format!("{kind:?}"),
    };
    Arc::new(Party { kind, workload, pod, labels: Labels::new(), address, dns_name: None })
}

impl Directory for Lab {
    fn party_of_cgroup(&self, node: &str, cgroup: &str, _: Timestamp) -> Option<Arc<Party>> {
        match cgroup.strip_prefix("/pod/") {
            Some(ip) => Some(party(PartyKind::Pod, ip, ip.parse().ok())),
            None if cgroup == "/kubelet" => Some(party(PartyKind::Node, node, None)),
            None => None,
        }
    }

    fn party_of_address(&self, ip: IpAddr, name: Option<&str>, _: Timestamp) -> Arc<Party> {
        let text = ip.to_string();
        let kind = match () {
            () if text.starts_with("10.244.99.") => PartyKind::Unknown,
            () if text.starts_with("10.244.") => PartyKind::Pod,
            () if text.starts_with("172.18.") => PartyKind::Node,
            () => return Arc::new(Party::external(ip, name.map(str::to_owned))),
        };
        party(kind, &text, Some(ip))
    }

    fn service_at(&self, at: SocketAddr, _: Protocol, _: Timestamp) -> Option<ServiceTarget> {
        let backend = |ip: &str| format!("{ip}:8080").parse().unwrap();
        (at.to_string() == VIP).then(|| ServiceTarget {
            service: ServiceRef { namespace: "shop".to_owned(), name: "cart".to_owned(), port: 80 },
            backends: vec![backend("10.244.2.1"), backend("10.244.2.2")],
        })
    }
}

fn ms(ms: u64) -> Timestamp {
    Timestamp::from_nanos(1_000_000_000_000_000 + ms * 1_000_000)
}

fn half(id: u64, role: SocketRole, local: &str, remote: &str) -> HalfFlow {
    let local: SocketAddr = local.parse().unwrap();
    HalfFlow {
        id,
        role,
        role_inferred: false,
        protocol: Protocol::Tcp,
        local,
        remote: remote.parse().unwrap(),
        cgroup: format!("/pod/{}", local.ip().to_canonical()),
        process: Some(Process {
            exe: format!("/bin/{id}"),
            comm: "x".to_owned(),
            uid: 0,
            container: None,
        }),
        remote_name: None,
        opened: ms(0),
        seen: ms(100),
        first: true,
        last: true,
        outcome: Outcome::Established,
        reset: false,
        bytes_sent: if role == SocketRole::Source { 10 } else { 700 },
        bytes_received: if role == SocketRole::Source { 700 } else { 10 },
        packets_sent: 3,
        packets_received: 3,
    }
}

const A: &str = "10.244.1.1:40000";
const B: &str = "10.244.2.1:8080";

fn from_a() -> HalfFlow {
    half(1, SocketRole::Source, A, B)
}

fn at_b() -> HalfFlow {
    half(2, SocketRole::Destination, B, A)
}

fn denial(source: &str, destination: &str, audit: bool) -> DenyRecord {
    DenyRecord {
        time: ms(0),
        protocol: Protocol::Tcp,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        decided_by: DecidedBy {
            policy: "shop/deny".to_owned(),
            rule: None,
            direction: Direction::Ingress,
        },
        audit,
    }
}

/// A joiner with the lab and everything it gave.
struct Test {
    joiner: Joiner,
    sequences: BTreeMap<String, u64>,
    flows: Vec<Flow>,
}

impl Test {
    fn new(limits: JoinLimits) -> Self {
        Self {
            joiner: Joiner::new(limits, ClusterName::default()),
            sequences: BTreeMap::new(),
            flows: Vec::new(),
        }
    }

    fn batch(&mut self, node: &str, at_ms: u64, halves: Vec<Half>) -> Batch {
        let sequence = self.sequences.entry(node.to_owned()).or_default();
        *sequence += 1;
        Batch {
            node: node.to_owned(),
            epoch: ms(0),
            sequence: *sequence,
            time: ms(at_ms),
            halves,
            counters: Vec::new(),
            shed: 0,
        }
    }

    fn push(&mut self, node: &str, at_ms: u64, halves: Vec<Half>) {
        let batch = self.batch(node, at_ms, halves);
        assert!(self.joiner.push(batch, &Lab, &mut self.flows));
    }

    fn advance(&mut self, at_ms: u64) {
        self.joiner.advance(ms(at_ms), &Lab, &mut self.flows);
    }

    /// What was given since the last look, as `source -> destination verdict connections bytes`.
    fn told(&mut self) -> Vec<String> {
        let flows = std::mem::take(&mut self.flows);
        flows.iter().map(tell).collect()
    }
}

fn tell(flow: &Flow) -> String {
    let key = &flow.key;
    let stats = &flow.stats;
    let mut text = format!(
        "{} -> {}:{} {} {}x {}/{}",
        key.source,
        key.destination,
        key.port,
        key.verdict,
        stats.connections,
        stats.bytes_sent,
        stats.bytes_received
    );
    if let Some(service) = &key.service {
        text += &format!(" via {}", service.name);
    }
    if key.direction_inferred {
        text += " inferred";
    }
    text
}

const A_TO_B: &str = "shop/10.244.1.1[Pod] -> shop/10.244.2.1[Pod]:8080 allowed 1x 10/700";

/// Sums of flows: connections, the four counters, resets.
fn sums(flows: &[Flow]) -> [u64; 6] {
    let mut sums = [0; 6];
    for flow in flows {
        let it = &flow.stats;
        let counts = [
            it.connections,
            it.bytes_sent,
            it.bytes_received,
            it.packets_sent,
            it.packets_received,
            it.resets,
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sums
}
