//! Flows with both ends known, and the minute-wise sums that are stored.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ClusterName, DecidedBy, Party, Process, Protocol, ServiceRef, Timestamp, Verdict};

/// What makes two connections the same edge. Never holds an ephemeral port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeKey {
    /// The initiator.
    pub source: Arc<Party>,
    /// Process at the source, if an agent saw it.
    pub source_process: Option<Arc<Process>>,
    /// The responder, after NAT.
    pub destination: Arc<Party>,
    /// Process at the destination, if an agent saw it.
    pub destination_process: Option<Arc<Process>>,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination port, after NAT (the port that policy speaks about).
    pub port: u16,
    /// The Service it went through, if any.
    pub service: Option<ServiceRef>,
    /// What the kernel did.
    pub verdict: Verdict,
    /// Who decided, for Denied and WouldDeny.
    pub decided_by: Option<DecidedBy>,
    /// True if source and destination are only a guess (the connection's start was missed and no
    /// listener told).
    pub direction_inferred: bool,
    /// The cluster whose agents saw it. Names and addresses of both ends mean something only there.
    pub cluster: ClusterName,
}

/// Which ends reported a flow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Reporters {
    /// The agent at the source.
    pub source: bool,
    /// The agent at the destination.
    pub destination: bool,
    /// The datapath that enforces (deny records).
    pub datapath: bool,
}

impl Reporters {
    /// The union of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            source: self.source || other.source,
            destination: self.destination || other.destination,
            datapath: self.datapath || other.datapath,
        }
    }
}

/// Sums over connections of one edge. Sent and received are from the source's view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeStats {
    /// Connections that began.
    pub connections: u64,
    /// Payload bytes from source to destination.
    pub bytes_sent: u64,
    /// Payload bytes from destination to source.
    pub bytes_received: u64,
    /// Packets from source to destination.
    pub packets_sent: u64,
    /// Packets from destination to source.
    pub packets_received: u64,
    /// Connections that ended by reset or were refused.
    pub resets: u64,
    /// Earliest moment covered.
    pub first_seen: Timestamp,
    /// Latest moment covered.
    pub last_seen: Timestamp,
    /// Which ends reported.
    pub reporters: Reporters,
    /// True if a reporter lost records while this was summed.
    pub loss: bool,
}

impl EdgeStats {
    /// Adds `other`: sums saturate, times widen, flags join.
    pub fn add(&mut self, other: &Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
        self.packets_sent = self.packets_sent.saturating_add(other.packets_sent);
        self.packets_received = self.packets_received.saturating_add(other.packets_received);
        self.resets = self.resets.saturating_add(other.resets);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.reporters = self.reporters.union(other.reporters);
        self.loss |= other.loss;
    }
}

/// One connection (or one report period of a long one), both ends joined.
///
/// A long connection yields several flows; only the first has `stats.connections == 1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The edge it belongs to.
    pub key: EdgeKey,
    /// Source address and ephemeral port as the destination saw them.
    pub source: SocketAddr,
    /// Destination address and port after NAT.
    pub destination: SocketAddr,
    /// When the connection began.
    pub opened: Timestamp,
    /// Counts of this record; `stats.last_seen` is its time.
    pub stats: EdgeStats,
}

/// The stored unit: one edge in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeMinute {
    /// Start of the minute.
    pub minute: Timestamp,
    /// The edge.
    pub key: EdgeKey,
    /// Sums of that minute.
    pub stats: EdgeStats,
}

/// The unit of answers: one edge over one day, or over the part of it that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeDay {
    /// The edge.
    pub key: Arc<EdgeKey>,
    /// Start of the day, UTC.
    pub day: Timestamp,
    /// The hours of the day in which it was seen: bit 0 is 00:00 to 01:00 UTC, bit 23 the last.
    pub hours: u32,
    /// Sums of that time.
    pub stats: EdgeStats,
}

impl EdgeDay {
    /// The edge, to be changed: of its own from then on.
    pub fn key_mut(&mut self) -> &mut EdgeKey {
        Arc::make_mut(&mut self.key)
    }
}

impl From<EdgeMinute> for EdgeDay {
    fn from(row: EdgeMinute) -> Self {
        let (day, hour) = (row.minute.day(), row.minute.hour_of_day());
        Self { key: Arc::new(row.key), day, hours: 1 << hour, stats: row.stats }
    }
}
