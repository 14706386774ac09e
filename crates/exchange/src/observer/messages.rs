//! The messages of Hubble's Observer API, by hand: no compiler of schemas in the build.
//!
//! Field numbers are those of cilium v1.20 `api/v1/{flow/flow,observer/observer,relay/relay}.proto`
//! and of `grpc.health.v1`; fields that neither end needs are left out, and skipped as protobuf has it.
//! Names and meanings are as there.

#![expect(
    missing_docs,
    reason = "fields are called and mean what they do in the protos named above"
)]

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `google.protobuf.BoolValue`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BoolValue {
    #[prost(bool, tag = "1")]
    pub value: bool,
}

/// `google.protobuf.UInt32Value`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UInt32Value {
    #[prost(uint32, tag = "1")]
    pub value: u32,
}

/// `google.protobuf.FieldMask`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FieldMask {
    #[prost(string, repeated, tag = "1")]
    pub paths: Vec<String>,
}

/// `flow.Flow`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Flow {
    #[prost(message, optional, tag = "1")]
    pub time: Option<Time>,
    /// One of [`verdict`].
    #[prost(int32, tag = "2")]
    pub verdict: i32,
    #[prost(uint32, tag = "3")]
    pub drop_reason: u32,
    #[prost(message, optional, tag = "5")]
    pub ip: Option<Ip>,
    #[prost(message, optional, tag = "6")]
    pub l4: Option<Layer4>,
    #[prost(message, optional, tag = "8")]
    pub source: Option<Endpoint>,
    #[prost(message, optional, tag = "9")]
    pub destination: Option<Endpoint>,
    /// `FlowType`: 1 = layers 3 and 4, 2 = layer 7, 3 = a socket.
    #[prost(int32, tag = "10")]
    pub kind: i32,
    #[prost(string, tag = "11")]
    pub node_name: String,
    #[prost(string, repeated, tag = "13")]
    pub source_names: Vec<String>,
    #[prost(string, repeated, tag = "14")]
    pub destination_names: Vec<String>,
    #[prost(message, optional, tag = "19")]
    pub event_type: Option<EventType>,
    #[prost(message, optional, tag = "20")]
    pub source_service: Option<Service>,
    #[prost(message, optional, tag = "21")]
    pub destination_service: Option<Service>,
    /// One of [`direction`].
    #[prost(int32, tag = "22")]
    pub traffic_direction: i32,
    /// `TraceObservationPoint`.
    #[prost(int32, tag = "24")]
    pub trace_observation_point: i32,
    /// `DropReason`.
    #[prost(int32, tag = "25")]
    pub drop_reason_desc: i32,
    #[prost(message, optional, tag = "26")]
    pub is_reply: Option<BoolValue>,
    #[prost(string, tag = "34")]
    pub uuid: String,
    #[prost(message, optional, tag = "41")]
    pub emitter: Option<Emitter>,
    #[prost(message, repeated, tag = "21001")]
    pub egress_allowed_by: Vec<Policy>,
    #[prost(message, repeated, tag = "21002")]
    pub ingress_allowed_by: Vec<Policy>,
    #[prost(message, repeated, tag = "21004")]
    pub egress_denied_by: Vec<Policy>,
    #[prost(message, repeated, tag = "21005")]
    pub ingress_denied_by: Vec<Policy>,
    #[prost(string, tag = "100000")]
    pub summary: String,
}

/// `flow.Verdict`.
pub mod verdict {
    pub const UNKNOWN: i32 = 0;
    pub const FORWARDED: i32 = 1;
    pub const DROPPED: i32 = 2;
    pub const ERROR: i32 = 3;
    pub const AUDIT: i32 = 4;
    pub const REDIRECTED: i32 = 5;
    pub const TRACED: i32 = 6;
    pub const TRANSLATED: i32 = 7;
}

/// `flow.TrafficDirection`.
pub mod direction {
    pub const UNKNOWN: i32 = 0;
    pub const INGRESS: i32 = 1;
    pub const EGRESS: i32 = 2;
}

/// `flow.DropReason`, the two that a policy gives.
pub mod drop_reason {
    pub const POLICY_DENIED: i32 = 133;
    pub const POLICY_DENY: i32 = 181;
}

/// `CiliumEventType.type` (cilium pkg/monitor/api, MessageType*).
pub mod event {
    pub const DROP: i32 = 1;
    pub const TRACE: i32 = 4;
    pub const POLICY_VERDICT: i32 = 5;
}

/// `flow.TraceObservationPoint`, and what `CiliumEventType.sub_type` says of the same points (cilium
/// pkg/monitor/api, Trace*).
pub mod point {
    pub const TO_ENDPOINT: i32 = 101;
    pub const TO_ENDPOINT_SUB_TYPE: i32 = 0;
    pub const FROM_ENDPOINT: i32 = 5;
    pub const FROM_ENDPOINT_SUB_TYPE: i32 = 5;
}

/// `flow.IP`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ip {
    #[prost(string, tag = "1")]
    pub source: String,
    #[prost(string, tag = "2")]
    pub destination: String,
    /// 1 = IPv4, 2 = IPv6.
    #[prost(int32, tag = "3")]
    pub ip_version: i32,
}

/// `flow.Layer4`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Layer4 {
    #[prost(oneof = "Layer4Protocol", tags = "1, 2, 3, 4, 5")]
    pub protocol: Option<Layer4Protocol>,
}

/// `flow.Layer4.protocol`; VRRP and IGMP are none that a policy speaks of.
#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub enum Layer4Protocol {
    #[prost(message, tag = "1")]
    Tcp(Tcp),
    #[prost(message, tag = "2")]
    Udp(Ports),
    #[prost(message, tag = "3")]
    Icmpv4(Icmp),
    #[prost(message, tag = "4")]
    Icmpv6(Icmp),
    #[prost(message, tag = "5")]
    Sctp(Ports),
}

/// `flow.TCP`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Tcp {
    #[prost(uint32, tag = "1")]
    pub source_port: u32,
    #[prost(uint32, tag = "2")]
    pub destination_port: u32,
    #[prost(message, optional, tag = "3")]
    pub flags: Option<TcpFlags>,
}

/// `flow.TCPFlags`, those that say something of a connection.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TcpFlags {
    #[prost(bool, tag = "2")]
    pub syn: bool,
    #[prost(bool, tag = "3")]
    pub rst: bool,
    #[prost(bool, tag = "5")]
    pub ack: bool,
}

/// `flow.UDP` and `flow.SCTP`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Ports {
    #[prost(uint32, tag = "1")]
    pub source_port: u32,
    #[prost(uint32, tag = "2")]
    pub destination_port: u32,
}

/// `flow.ICMPv4` and `flow.ICMPv6`, of which our records know neither type nor code.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Icmp {}

/// `flow.Endpoint`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Endpoint {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(uint32, tag = "2")]
    pub identity: u32,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, repeated, tag = "4")]
    pub labels: Vec<String>,
    #[prost(string, tag = "5")]
    pub pod_name: String,
    #[prost(message, repeated, tag = "6")]
    pub workloads: Vec<Workload>,
    #[prost(string, tag = "7")]
    pub cluster_name: String,
}

/// `flow.Workload`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Workload {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub kind: String,
}

/// `flow.CiliumEventType`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct EventType {
    /// One of [`event`].
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(int32, tag = "2")]
    pub sub_type: i32,
}

/// `flow.Service`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Service {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
}

/// `flow.Emitter`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Emitter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `flow.Policy`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Policy {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "5")]
    pub kind: String,
}

/// `flow.FlowFilter`, the fields that our records answer ([`crate::observer::Filters`]).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FlowFilter {
    #[prost(string, repeated, tag = "1")]
    pub source_ip: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub source_pod: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub destination_ip: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub destination_pod: Vec<String>,
    #[prost(int32, repeated, tag = "5")]
    pub verdict: Vec<i32>,
    #[prost(message, repeated, tag = "6")]
    pub event_type: Vec<EventTypeFilter>,
    #[prost(string, repeated, tag = "7")]
    pub source_fqdn: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub destination_fqdn: Vec<String>,
    #[prost(string, repeated, tag = "10")]
    pub source_label: Vec<String>,
    #[prost(string, repeated, tag = "11")]
    pub destination_label: Vec<String>,
    #[prost(string, repeated, tag = "12")]
    pub protocol: Vec<String>,
    #[prost(string, repeated, tag = "13")]
    pub source_port: Vec<String>,
    #[prost(string, repeated, tag = "14")]
    pub destination_port: Vec<String>,
    #[prost(bool, repeated, tag = "15")]
    pub reply: Vec<bool>,
    #[prost(string, repeated, tag = "16")]
    pub source_service: Vec<String>,
    #[prost(string, repeated, tag = "17")]
    pub destination_service: Vec<String>,
    #[prost(uint32, repeated, tag = "19")]
    pub source_identity: Vec<u32>,
    #[prost(uint32, repeated, tag = "20")]
    pub destination_identity: Vec<u32>,
    #[prost(string, repeated, tag = "24")]
    pub node_name: Vec<String>,
    #[prost(int32, repeated, tag = "25")]
    pub ip_version: Vec<i32>,
    #[prost(message, repeated, tag = "26")]
    pub source_workload: Vec<Workload>,
    #[prost(message, repeated, tag = "27")]
    pub destination_workload: Vec<Workload>,
    #[prost(int32, repeated, tag = "30")]
    pub traffic_direction: Vec<i32>,
    #[prost(int32, repeated, tag = "33")]
    pub drop_reason_desc: Vec<i32>,
    #[prost(string, repeated, tag = "37")]
    pub source_cluster_name: Vec<String>,
    #[prost(string, repeated, tag = "38")]
    pub destination_cluster_name: Vec<String>,
}

/// `flow.EventTypeFilter`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct EventTypeFilter {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(bool, tag = "2")]
    pub match_sub_type: bool,
    #[prost(int32, tag = "3")]
    pub sub_type: i32,
}

/// `observer.GetFlowsRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetFlowsRequest {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(bool, tag = "3")]
    pub follow: bool,
    /// Encoded [`FlowFilter`]s: as bytes, so that a field that is not known is seen and not skipped.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub blacklist: Vec<Vec<u8>>,
    /// As `blacklist`.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub whitelist: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "7")]
    pub since: Option<Time>,
    #[prost(message, optional, tag = "8")]
    pub until: Option<Time>,
    #[prost(bool, tag = "9")]
    pub first: bool,
    #[prost(message, optional, tag = "10")]
    pub field_mask: Option<FieldMask>,
    /// `GetFlowsRequest.Experimental`; nothing of it is known here.
    #[prost(bytes = "vec", tag = "999")]
    pub experimental: Vec<u8>,
    /// `google.protobuf.Any`; nothing of it is known here.
    #[prost(bytes = "vec", tag = "150000")]
    pub extensions: Vec<u8>,
}

/// `observer.GetFlowsResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetFlowsResponse {
    #[prost(oneof = "Told", tags = "1, 2, 3")]
    pub told: Option<Told>,
    #[prost(string, tag = "1000")]
    pub node_name: String,
    #[prost(message, optional, tag = "1001")]
    pub time: Option<Time>,
}

/// `observer.GetFlowsResponse.response_types`.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Told {
    #[prost(message, tag = "1")]
    Flow(Box<Flow>),
    #[prost(message, tag = "2")]
    NodeStatus(NodeStatusEvent),
    #[prost(message, tag = "3")]
    Lost(LostEvent),
}

/// `flow.LostEvent`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LostEvent {
    /// `LostEventSource`: 3 = the ring of flows.
    #[prost(int32, tag = "1")]
    pub source: i32,
    #[prost(uint64, tag = "2")]
    pub num_events_lost: u64,
    #[prost(message, optional, tag = "4")]
    pub first: Option<Time>,
    #[prost(message, optional, tag = "5")]
    pub last: Option<Time>,
}

/// `relay.NodeStatusEvent`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeStatusEvent {
    /// One of [`node_state`].
    #[prost(int32, tag = "1")]
    pub state_change: i32,
    #[prost(string, repeated, tag = "2")]
    pub node_names: Vec<String>,
    #[prost(string, tag = "3")]
    pub message: String,
}

/// `relay.NodeState`.
pub mod node_state {
    pub const CONNECTED: i32 = 1;
    pub const UNAVAILABLE: i32 = 2;
    pub const GONE: i32 = 3;
    pub const ERROR: i32 = 4;
}

/// A message without a field that is asked for: questions that say nothing, and answers never given.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Empty {}

/// `observer.ServerStatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServerStatusResponse {
    #[prost(uint64, tag = "1")]
    pub num_flows: u64,
    #[prost(uint64, tag = "2")]
    pub max_flows: u64,
    #[prost(uint64, tag = "3")]
    pub seen_flows: u64,
    #[prost(uint64, tag = "4")]
    pub uptime_ns: u64,
    #[prost(message, optional, tag = "5")]
    pub num_connected_nodes: Option<UInt32Value>,
    #[prost(message, optional, tag = "6")]
    pub num_unavailable_nodes: Option<UInt32Value>,
    #[prost(string, repeated, tag = "7")]
    pub unavailable_nodes: Vec<String>,
    #[prost(string, tag = "8")]
    pub version: String,
    /// Flows a second.
    #[prost(double, tag = "9")]
    pub flows_rate: f64,
}

/// `observer.GetNodesResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetNodesResponse {
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<Node>,
}

/// `observer.Node`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Node {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub address: String,
    /// One of [`node_state`].
    #[prost(int32, tag = "4")]
    pub state: i32,
    #[prost(uint64, tag = "6")]
    pub uptime_ns: u64,
}

/// `observer.GetNamespacesResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetNamespacesResponse {
    #[prost(message, repeated, tag = "1")]
    pub namespaces: Vec<Namespace>,
}

/// `observer.Namespace`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct Namespace {
    #[prost(string, tag = "1")]
    pub cluster: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthCheckResponse {
    /// 1 = serving, 2 = not.
    #[prost(int32, tag = "1")]
    pub status: i32,
}
