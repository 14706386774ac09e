//! Packets that the kernel dropped, with both ends known.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ClusterName, Direction, EdgeStats, Party, Protocol, ServiceRef};

/// Where the packets came from and went, named as in [`crate::EdgeKey`], so that a reader of flows
/// finds the same things in the same places. Not a connection: an answer's source is the responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedKey {
    /// Who sent them.
    pub source: Arc<Party>,
    /// Whom they were for.
    pub destination: Arc<Party>,
    /// Protocol; None = another one, or not read.
    pub protocol: Option<Protocol>,
    /// Destination port; 0 = none.
    pub port: u16,
    /// The Service that the destination address belongs to, if any.
    pub service: Option<ServiceRef>,
    /// Always the same word, beside those of [`crate::Verdict`].
    pub verdict: DroppedVerdict,
}

/// The verdict of packets that no policy of ours denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DroppedVerdict {
    /// Dropped by the kernel for a reason of its own.
    Dropped,
}

/// Packets of one 5-tuple that a node's kernel dropped for one reason within about a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Ends.
    pub key: DroppedKey,
    /// The kernel's name of the reason without its prefix, e.g. `NO_SOCKET`: enum skb_drop_reason
    /// of the node's kernel.
    pub drop_reason: String,
    /// On their way into or out of a socket of the node; None = no socket was found.
    pub direction: Option<Direction>,
    /// The cluster that the node is of.
    pub cluster: ClusterName,
    /// Node or host that dropped them.
    pub node: String,
    /// Source as in the packet; address `::` = not read.
    pub source: SocketAddr,
    /// Destination as in the packet.
    pub destination: SocketAddr,
    /// `packets_sent`, `first_seen` and `last_seen` tell; the rest stays at zero, since this is no
    /// connection.
    pub stats: EdgeStats,
}
