//! What the kernel told an agent, decoded from `bpf/include/sekisho_event.h` and from nftables' log.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{DecidedBy, Direction, Process, Protocol, Timestamp};

/// One record from the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A process executed a program (tp_btf sched_process_exec), or was found running at start.
    Exec(ProcessExec),
    /// A process ended (tp_btf sched_process_exit of a thread-group leader).
    Exit {
        /// When.
        time: Timestamp,
        /// Thread-group id in the initial pid namespace.
        pid: u32,
    },
    /// A socket changed or was sampled.
    Socket(SocketEvent),
    /// A DNS answer reached a socket of this node.
    Dns(DnsAnswer),
    /// nftables dropped, or would have dropped, the first packet of a connection.
    Denied(DenyRecord),
    /// The kernel dropped packets for a reason of its own.
    Dropped(DropRecord),
}

/// A program start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessExec {
    /// When.
    pub time: Timestamp,
    /// Thread-group id in the initial pid namespace.
    pub pid: u32,
    /// Parent's thread-group id.
    pub parent: u32,
    /// cgroup v2 path relative to the cgroup2 mount, e.g. `/sekisho-lab/node-1/pods/pod<uid>/app`.
    pub cgroup: String,
    /// The program.
    pub process: Process,
}

/// Which side of a connection a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketRole {
    /// It initiated (`connect`, or the first UDP datagram was sent).
    Source,
    /// It responded (`accept`, or the first UDP datagram was received).
    Destination,
}

/// Where in its life a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketPhase {
    /// A SYN was sent; no answer yet (TCP sources only).
    Connecting,
    /// Established (TCP), or first datagram seen (UDP).
    Open,
    /// Still open: a periodic or start-up sample.
    Sample,
    /// Closed, or idle for the UDP timeout; the last record of this socket.
    Closed,
}

/// A record about one connected socket (or one UDP 5-tuple of a socket).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketEvent {
    /// When.
    pub time: Timestamp,
    /// Identifies the connection on this kernel: the socket cookie for TCP, a hash of cookie and
    /// 5-tuple for UDP. Never reused while the kernel runs.
    pub id: u64,
    /// Protocol: Tcp or Udp here.
    pub protocol: Protocol,
    /// Which side.
    pub role: SocketRole,
    /// True if the role was guessed (the connection was older than the agent and no listener on
    /// the local port told which side we are).
    pub role_inferred: bool,
    /// Where in its life.
    pub phase: SocketPhase,
    /// Local address as the socket sees it. IPv4-mapped IPv6 is given as IPv4.
    pub local: SocketAddr,
    /// Remote address as the socket sees it (before NAT at the source).
    pub remote: SocketAddr,
    /// Owning process: the connecting one, or the listening one for accepted sockets; 0 = unknown.
    pub pid: u32,
    /// cgroup v2 path of the socket, as in [`ProcessExec::cgroup`]; empty = unknown.
    pub cgroup: String,
    /// Totals since the connection began: payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Packets (TCP segments, UDP datagrams) sent.
    pub packets_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// TCP: it was ever established. UDP: a datagram was received.
    pub established: bool,
    /// Closed by reset, or the connect attempt failed.
    pub reset: bool,
}

/// A DNS answer: a name, and the addresses it gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsAnswer {
    /// When.
    pub time: Timestamp,
    /// cgroup v2 path of the socket that asked; empty = unknown.
    pub cgroup: String,
    /// The question's name, lower case, no trailing dot.
    pub name: String,
    /// Addresses of A and AAAA records, CNAMEs followed. Empty = NXDOMAIN or no data.
    pub addresses: Vec<IpAddr>,
    /// Smallest time to live of the records, seconds.
    pub ttl_s: u32,
    /// True if the message was cut at our capture length, so that addresses may be missing.
    pub truncated: bool,
}

/// A policy's drop, seen by the agent that enforces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyRecord {
    /// When.
    pub time: Timestamp,
    /// Protocol.
    pub protocol: Protocol,
    /// Source after NAT as the filter saw it.
    pub source: SocketAddr,
    /// Destination after Service NAT.
    pub destination: SocketAddr,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// True: a staged policy only marked it.
    pub audit: bool,
}

/// The mark (skb->mark) that our nftables rules give a packet right before they drop it, so that the
/// observer of kernel drops can leave it out: it is told already, as a denial. The packet ends
/// there, so nobody else ever reads the mark.
pub const POLICY_DROP_MARK: u32 = 0x5e15_d0d0;

/// Packets of one 5-tuple that the kernel dropped for one reason, summed over about a second
/// (tracepoint skb/kfree_skb).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRecord {
    /// The last of them.
    pub time: Timestamp,
    /// The first of them.
    pub first: Timestamp,
    /// Protocol; None = another one, or the headers could not be read.
    pub protocol: Option<Protocol>,
    /// Source as in the packet. Port 0 = it has none or was not read; address `::` = not read.
    pub source: SocketAddr,
    /// Destination as in the packet.
    pub destination: SocketAddr,
    /// On its way into (ingress) or out of (egress) a socket of ours; None = no socket was found:
    /// forwarded, or before the kernel looked for one.
    pub direction: Option<Direction>,
    /// The kernel's name of the reason without its prefix, e.g. `NO_SOCKET` (enum skb_drop_reason);
    /// a number in hexadecimal if it has no name.
    pub reason: String,
    /// How many.
    pub packets: u64,
    /// cgroup v2 path of the socket, or of the network namespace's first process; empty = unknown.
    pub cgroup: String,
}

/// Cumulative counters of one kernel hook since the agent started.
/// Invariant: produced = delivered + dropped once the ring is drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCounters {
    /// Hook, e.g. `tcp_state`, `udp`, `dns`, `exec`, `deny`.
    pub hook: String,
    /// Records the hook wanted to emit.
    pub produced: u64,
    /// Records user space decoded.
    pub delivered: u64,
    /// Records lost, for any cause (ring full, map full, log overrun).
    pub dropped: u64,
}
