//! What a record of another tool says of a connection, before anybody asks who its ends are.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_model::{
    DecidedBy, Labels, PartyKind, Process, Protocol, ServiceRef, Timestamp, Verdict, WorkloadRef,
};

/// A connection, or a part of one, as another tool tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The initiator; with [`Orientation::Packets`] the sender.
    pub source: End,
    /// The responder; with [`Orientation::Packets`] the receiver.
    pub destination: End,
    /// Whether source and destination are those of the connection.
    pub orientation: Orientation,
    /// Protocol.
    pub protocol: Protocol,
    /// What became of it.
    pub verdict: Verdict,
    /// Who decided, if the record says so.
    pub decided_by: Option<DecidedBy>,
    /// First moment covered.
    pub start: Timestamp,
    /// Last moment covered; not before `start`.
    pub end: Timestamp,
    /// How many connections began.
    pub connections: Count,
    /// Bytes and packets.
    pub sums: Sums,
    /// True if it ended by reset or was refused.
    pub reset: bool,
    /// The Service it went through, if the record names it.
    pub service: Option<ServiceRef>,
    /// The address and port that the source asked for, where they are known and others than the
    /// destination's: of a Service, mostly.
    pub asked: Option<SocketAddr>,
    /// Who wrote the record: a node, a network interface. Two that see the same connection both tell
    /// of its bytes, so those of the first one count. Empty = there is one only.
    pub observer: String,
    /// Which end the observer stands at, if the record says so.
    pub side: Side,
}

/// Whether source and destination are those of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// The source began the connection.
    Initiator,
    /// The destination began it: what is told is an answer.
    Responder,
    /// The record tells one direction of packets, and not who began.
    Packets,
}

/// Which end an observer stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// At the record's source.
    Source,
    /// At the record's destination.
    Destination,
    /// Between them, or not said.
    Between,
}

/// How many connections began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// As many as the record says.
    Told(u64),
    /// One, unless a record of the same addresses and ports came shortly before.
    ByTuple,
}

/// Bytes and packets, from the source's view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Bytes from source to destination.
    pub bytes_sent: u64,
    /// Bytes from destination to source.
    pub bytes_received: u64,
    /// Packets from source to destination.
    pub packets_sent: u64,
    /// Packets from destination to source.
    pub packets_received: u64,
}

/// One end, as far as the record tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Its address, after NAT.
    pub address: Option<IpAddr>,
    /// Its port, after NAT; 0 if there is none.
    pub port: u16,
    /// Who it is, if the record says so; shared by records that say the same. Otherwise the inventory is
    /// asked by address.
    pub identity: Option<Arc<Identity>>,
    /// The DNS name by which it was asked for.
    pub dns_name: Option<String>,
    /// The process behind the socket.
    pub process: Option<Process>,
}

/// Who an end is, in the words of the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Pod, Node, Service or External; nothing else is believed.
    pub kind: PartyKind,
    /// Namespace; empty for nodes and externals.
    pub namespace: String,
    /// Name of the pod, node, Service or external. A `*` at its end stands for pods of one name,
    /// which the record put together.
    pub name: String,
    /// The topmost owner, if the record names it.
    pub workload: Option<WorkloadRef>,
    /// Labels of a pod.
    pub labels: Labels,
}

/// What a piece of input gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A connection.
    Record(Box<Record>),
    /// The tool says that it lost records.
    Lost {
        /// When, if it is told.
        at: Option<Timestamp>,
        /// How many; at least 1.
        records: u64,
    },
    /// Understood, and nothing of ours: why, in a few words that are the same for all alike.
    Skipped(&'static str),
}

/// Why a piece of input was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Reject {
    /// Names field and reason. Few different texts, so that rejects can be counted by it.
    pub reason: String,
}

impl Reject {
    /// Makes one.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
