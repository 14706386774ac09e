//! Our flows in Hubble's words.
//!
//! Hubble tells of packets at points of a node, we tell of connections that were seen at their ends:
//! each of ours is one flow, told from the end that saw it. Nothing is made up: what we don't know of
//! (flags, endpoint ids, layer 7, the policy that allowed) stays empty.

use std::hash::BuildHasher as _;
use std::net::SocketAddr;

use sekisho_model::{
    ClusterName, DecidedBy, Direction, Dropped, Flow, Party, PartyKind, Process, Protocol,
    Timestamp, Verdict,
};

use super::messages::{
    self, BoolValue, Endpoint, EventType, GetFlowsResponse, Icmp, Ip, Layer4, Layer4Protocol,
    LostEvent, Policy, Ports, Service, Tcp, TcpFlags, Time, Told, Workload, direction, drop_reason,
    event, point, verdict,
};

/// `FlowType.L3_L4`.
const LAYERS_3_AND_4: i32 = 1;
/// `LostEventSource.HUBBLE_RING_BUFFER`.
const RING: i32 = 3;
/// Numbers of identities that Cilium reserves (cilium pkg/identity, reserved identities).
const HOST: u32 = 1;
const WORLD: u32 = 2;
const UNMANAGED: u32 = 3;
const REMOTE_NODE: u32 = 6;
/// Ours begin here: above those that Cilium gives to clusters and to addresses.
const IDENTITY_MIN: u32 = 1 << 30;

/// Where the end stands that a flow is told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stand<'a> {
    /// In a pod: namespace and name.
    Pod(&'a str, &'a str),
    /// At a node or host, by name.
    Node(&'a str),
    /// Nobody knows.
    Unknown,
}

/// The end that `flow` is told from: the source, if it was seen there or neither end says, else the
/// destination.
#[must_use]
pub fn stand(flow: &Flow) -> Stand<'_> {
    let own = match way(flow) {
        Direction::Egress => &flow.key.source,
        Direction::Ingress => &flow.key.destination,
    };
    match own.kind {
        PartyKind::Pod => Stand::Pod(&own.workload.namespace, &own.pod),
        PartyKind::Node | PartyKind::Host => Stand::Node(&own.workload.name),
        PartyKind::Service | PartyKind::External | PartyKind::Unknown => Stand::Unknown,
    }
}

/// Who decided stands where he decided; otherwise the source tells, if anybody was there.
fn way(flow: &Flow) -> Direction {
    if let Some(decided) = &flow.key.decided_by {
        return decided.direction;
    }
    let ours =
        |party: &Party| matches!(party.kind, PartyKind::Pod | PartyKind::Host | PartyKind::Node);
    let reporters = flow.stats.reporters;
    let at_source = reporters.source || !reporters.destination;
    if at_source && ours(&flow.key.source) { Direction::Egress } else { Direction::Ingress }
}

/// `flow` as Hubble tells it, from the node `node` (without its cluster; empty = nobody knows).
#[must_use]
pub fn flow(flow: &Flow, node: &str) -> messages::Flow {
    let key = &flow.key;
    let way = way(flow);
    let (event_type, seen_at) = event_of(key.verdict, way);
    let reason = if key.verdict == Verdict::Denied { drop_reason::POLICY_DENIED } else { 0 };
    let mut told = messages::Flow {
        time: Some(instant(flow.stats.last_seen)),
        verdict: match key.verdict {
            Verdict::Allowed => verdict::FORWARDED,
            Verdict::Denied => verdict::DROPPED,
            Verdict::WouldDeny => verdict::AUDIT,
            Verdict::Unknown => verdict::UNKNOWN,
        },
        drop_reason: u32::try_from(reason).unwrap_or(0),
        drop_reason_desc: reason,
        l4: Some(Layer4 { protocol: Some(layer_4(flow)) }),
        source: Some(endpoint(&key.source, &key.cluster, node)),
        destination: Some(endpoint(&key.destination, &key.cluster, node)),
        kind: LAYERS_3_AND_4,
        node_name: full_name(&key.cluster, node),
        source_names: key.source.dns_name.iter().cloned().collect(),
        destination_names: key.destination.dns_name.iter().cloned().collect(),
        event_type: Some(event_type),
        destination_service: key.service.as_ref().map(|service| Service {
            name: service.name.clone(),
            namespace: service.namespace.clone(),
        }),
        traffic_direction: direction_of(way),
        trace_observation_point: seen_at,
        // Not said is: nobody knows which end began.
        is_reply: (!key.direction_inferred).then_some(BoolValue { value: false }),
        summary: summary(flow),
        ..addressed(flow.source, flow.destination)
    };
    if let Some(decided) = &key.decided_by {
        let list = match decided.direction {
            Direction::Egress => &mut told.egress_denied_by,
            Direction::Ingress => &mut told.ingress_denied_by,
        };
        list.push(policy(decided));
    }
    told
}

/// Packets that a kernel dropped for a reason of its own, as Hubble tells drops. Its reasons are
/// Cilium's, which know none of the kernel's: the summary has it.
#[must_use]
pub fn kernel_drop(dropped: &Dropped) -> messages::Flow {
    let key = &dropped.key;
    let (cluster, node) = (&dropped.cluster, dropped.node.as_str());
    let (from, to) = (dropped.source, dropped.destination);
    let l4 = key.protocol.map(|protocol| protocol_of(protocol, from, to, None));
    messages::Flow {
        time: Some(instant(dropped.stats.last_seen)),
        verdict: verdict::DROPPED,
        l4: l4.map(|protocol| Layer4 { protocol: Some(protocol) }),
        source: Some(endpoint(&key.source, cluster, node)),
        destination: Some(endpoint(&key.destination, cluster, node)),
        kind: LAYERS_3_AND_4,
        node_name: full_name(cluster, node),
        event_type: Some(EventType { kind: event::DROP, sub_type: 0 }),
        destination_service: key.service.as_ref().map(|service| Service {
            name: service.name.clone(),
            namespace: service.namespace.clone(),
        }),
        traffic_direction: dropped.direction.map_or(direction::UNKNOWN, direction_of),
        summary: format!(
            "{} packets dropped by the kernel: {}",
            dropped.stats.packets_sent, dropped.drop_reason
        ),
        ..addressed(from, to)
    }
}

/// What a reader that was overtaken missed, at `at`.
#[must_use]
pub fn lost(records: u64, at: Timestamp, node: &str) -> GetFlowsResponse {
    let event = LostEvent { source: RING, num_events_lost: records, first: None, last: None };
    let told = Some(Told::Lost(event));
    GetFlowsResponse { told, node_name: node.to_owned(), time: Some(instant(at)) }
}

/// A time in protobuf's form.
#[must_use]
pub fn instant(at: Timestamp) -> Time {
    let (seconds, nanos) = (at.nanos() / 1_000_000_000, at.nanos() % 1_000_000_000);
    Time {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

fn full_name(cluster: &ClusterName, node: &str) -> String {
    if node.is_empty() { String::new() } else { format!("{cluster}/{node}") }
}

fn addressed(from: SocketAddr, to: SocketAddr) -> messages::Flow {
    let ip_version = if from.is_ipv4() { 1 } else { 2 };
    let (source, destination) = (from.ip().to_string(), to.ip().to_string());
    messages::Flow { ip: Some(Ip { source, destination, ip_version }), ..messages::Flow::default() }
}

fn event_of(verdict: Verdict, way: Direction) -> (EventType, i32) {
    let event = |kind, sub_type| EventType { kind, sub_type };
    match (verdict, way) {
        (Verdict::Denied, _) => (event(event::DROP, drop_reason::POLICY_DENIED), 0),
        (Verdict::WouldDeny, _) => (event(event::POLICY_VERDICT, 0), 0),
        (Verdict::Allowed | Verdict::Unknown, Direction::Egress) => {
            (event(event::TRACE, point::FROM_ENDPOINT_SUB_TYPE), point::FROM_ENDPOINT)
        }
        (Verdict::Allowed | Verdict::Unknown, Direction::Ingress) => {
            (event(event::TRACE, point::TO_ENDPOINT_SUB_TYPE), point::TO_ENDPOINT)
        }
    }
}

fn direction_of(way: Direction) -> i32 {
    match way {
        Direction::Egress => direction::EGRESS,
        Direction::Ingress => direction::INGRESS,
    }
}

fn layer_4(flow: &Flow) -> Layer4Protocol {
    // A connection that began sent a SYN, and one that was reset a RST; more is not known.
    let flags =
        TcpFlags { syn: flow.stats.connections > 0, rst: flow.stats.resets > 0, ack: false };
    let known = (flags.syn || flags.rst).then_some(flags);
    protocol_of(flow.key.protocol, flow.source, flow.destination, known)
}

fn protocol_of(
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
    flags: Option<TcpFlags>,
) -> Layer4Protocol {
    let (source_port, destination_port) = (from.port().into(), to.port().into());
    let ports = Ports { source_port, destination_port };
    match protocol {
        Protocol::Tcp => Layer4Protocol::Tcp(Tcp { source_port, destination_port, flags }),
        Protocol::Udp => Layer4Protocol::Udp(ports),
        Protocol::Sctp => Layer4Protocol::Sctp(ports),
        Protocol::Icmp if from.is_ipv4() => Layer4Protocol::Icmpv4(Icmp {}),
        Protocol::Icmp => Layer4Protocol::Icmpv6(Icmp {}),
    }
}

fn endpoint(party: &Party, cluster: &ClusterName, node: &str) -> Endpoint {
    let workload = &party.workload;
    let owner = Workload { name: workload.name.clone(), kind: workload.kind.clone() };
    let reserved = |identity, name: &str| Endpoint {
        identity,
        labels: vec![format!("reserved:{name}")],
        cluster_name: cluster.to_string(),
        ..Endpoint::default()
    };
    match party.kind {
        PartyKind::Pod | PartyKind::Host => {
            let label = |(key, value): (&String, &String)| format!("k8s:{key}={value}");
            let mut labels: Vec<String> = party.labels.iter().map(label).collect();
            // Cilium gives each pod its namespace as a label, and Hubble UI looks for it.
            labels.push(format!("k8s:io.kubernetes.pod.namespace={}", workload.namespace));
            labels.sort();
            Endpoint {
                identity: identity(party),
                namespace: workload.namespace.clone(),
                pod_name: party.pod.clone(),
                workloads: if workload.kind == "Pod" { Vec::new() } else { vec![owner] },
                labels,
                ..reserved(0, "")
            }
        }
        PartyKind::Node if workload.name == node => {
            Endpoint { workloads: vec![owner], ..reserved(HOST, "host") }
        }
        PartyKind::Node => {
            Endpoint { workloads: vec![owner], ..reserved(REMOTE_NODE, "remote-node") }
        }
        PartyKind::External => reserved(WORLD, "world"),
        PartyKind::Service | PartyKind::Unknown => reserved(UNMANAGED, "unmanaged"),
    }
}

/// A number for the labels of a workload, the same in all flows: what Hubble UI puts together by.
fn identity(party: &Party) -> u32 {
    let words = (&party.workload, &party.labels);
    let hash = foldhash::fast::FixedState::default().hash_one(words);
    IDENTITY_MIN | (u32::try_from(hash >> 34).unwrap_or(0))
}

fn policy(decided: &DecidedBy) -> Policy {
    let (namespace, name) = decided.policy.split_once('/').unwrap_or(("", &decided.policy));
    Policy { name: name.to_owned(), namespace: namespace.to_owned(), kind: String::new() }
}

/// What Hubble has no fields for, in one line.
fn summary(flow: &Flow) -> String {
    let stats = &flow.stats;
    let program = |process: &Option<std::sync::Arc<Process>>| {
        process.as_ref().map_or_else(|| "?".to_owned(), |process| process.comm.clone())
    };
    let mut text = format!("{} B sent, {} B received", stats.bytes_sent, stats.bytes_received);
    let key = &flow.key;
    if key.source_process.is_some() || key.destination_process.is_some() {
        let (from, to) = (program(&key.source_process), program(&key.destination_process));
        text.push_str(&format!("; {from} -> {to}"));
    }
    if let Some(decided) = &key.decided_by {
        text.push_str(&format!("; {decided}"));
    }
    if key.direction_inferred {
        text.push_str("; direction inferred");
    }
    sekisho_base::harmless(&text)
}
