//! What one agent says about one end of a connection, and the batch it travels in.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{DenyRecord, DropRecord, HookCounters, Process, Protocol, SocketRole, Timestamp};

/// What became of a connection attempt, as this end knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Attempted; no answer yet, or none ever came.
    Attempted,
    /// Established (TCP) or answered (UDP), or seen by the responder.
    Established,
    /// Refused or reset before it was established.
    Refused,
}

/// One end of one connection, as deltas since the previous report of the same `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfFlow {
    /// Connection id, unique per agent epoch ([`crate::SocketEvent::id`]).
    pub id: u64,
    /// Which end this is.
    pub role: SocketRole,
    /// True if the role was guessed.
    pub role_inferred: bool,
    /// Protocol.
    pub protocol: Protocol,
    /// Local address as the socket sees it.
    pub local: SocketAddr,
    /// Remote address as the socket sees it (before NAT at the source).
    pub remote: SocketAddr,
    /// cgroup v2 path of the socket; empty = unknown. The inventory turns it into a pod or host.
    pub cgroup: String,
    /// Process at this end, if known.
    pub process: Option<Process>,
    /// DNS name that this cgroup asked for to get the remote address (sources only).
    pub remote_name: Option<String>,
    /// When the connection began (or was first seen).
    pub opened: Timestamp,
    /// When this report was made; reports of one id ascend.
    pub seen: Timestamp,
    /// True on the first report of this id.
    pub first: bool,
    /// True on the last report of this id.
    pub last: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// True if it ended by reset.
    pub reset: bool,
    /// Payload bytes sent since the previous report.
    pub bytes_sent: u64,
    /// Payload bytes received since the previous report.
    pub bytes_received: u64,
    /// Packets sent since the previous report.
    pub packets_sent: u64,
    /// Packets received since the previous report.
    pub packets_received: u64,
}

/// One line of an agent's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Half {
    /// An end of a connection.
    Flow(HalfFlow),
    /// A policy's drop (or would-drop).
    Denied(DenyRecord),
    /// Packets that the kernel dropped for a reason of its own.
    Dropped(DropRecord),
}

/// What an agent sends at once. The server acknowledges a batch when it is durable; the agent
/// resends what is not acknowledged, so `(node, epoch, sequence)` identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Node or host the agent watches.
    pub node: String,
    /// When this agent process started: sequences restart with it.
    pub epoch: Timestamp,
    /// Position in the epoch, from 1, without gaps.
    pub sequence: u64,
    /// When the batch was closed.
    pub time: Timestamp,
    /// Reports, in order of observation.
    pub halves: Vec<Half>,
    /// Cumulative counters at that time, one per hook.
    pub counters: Vec<HookCounters>,
    /// Reports the agent had to shed since its start because its own queue was full.
    pub shed: u64,
}
