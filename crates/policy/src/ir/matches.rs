//! What rules say of the other end and of ports.

use ipnet::IpNet;
use sekisho_manifest::LabelSelector;
use sekisho_model::Protocol;

use super::Expr;
use crate::IcmpVersion;

/// The other ends a rule speaks about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// Any, external ones and nodes included.
    Any,
    /// Those that match one of the list; empty = none.
    List(Vec<PeerMatch>),
}

/// A condition on the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerMatch {
    /// Pods and hosts; host-network pods only if the dialect takes them for ordinary ones.
    Endpoints(Expr),
    /// Addresses.
    Networks {
        /// In one of these.
        nets: Vec<IpNet>,
        /// And in none of these.
        except: Vec<IpNet>,
        /// What can match by its address.
        extent: Extent,
    },
    /// Nodes and the host-network pods on them, by the labels of the node.
    Nodes(LabelSelector),
    /// A DNS name: `example.com`, or `*.example.com` for any number of labels below it. Matches
    /// only [`crate::Peer::Domain`], since answers change with time.
    Domain(String),
    /// DNS names, in Cilium's way: `*` stands for any characters within one label, a leading `**.`
    /// for any number of labels, `*` alone for every name. Matches as [`PeerMatch::Domain`] does.
    DomainPattern(String),
    /// A class of ends (Cilium).
    Entity(Entity),
    /// All of these.
    All(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
}

/// What an address range can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// Everything that has the address.
    Anything,
    /// All but pods and hosts.
    NotEndpoints,
    /// Neither pods and hosts nor nodes.
    OutsideCluster,
}

/// A class of ends (Cilium `fromEntities`, `toEntities`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// Outside the cluster.
    World,
    /// Pods, hosts and nodes.
    Cluster,
    /// The node that the subject runs on.
    Host,
    /// The other nodes.
    RemoteNode,
}

/// The protocols and destination ports a rule speaks about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// One of these; None = everything, ICMP and other protocols included.
    pub include: Option<Vec<PortMatch>>,
    /// None of these.
    pub exclude: Vec<PortMatch>,
}

impl Ports {
    /// Everything.
    pub const ALL: Self = Self { include: None, exclude: Vec::new() };

    /// One of `include`.
    #[must_use]
    pub fn of(include: Vec<PortMatch>) -> Self {
        Self { include: Some(include), exclude: Vec::new() }
    }

    /// Whether a port is given by name.
    #[must_use]
    pub fn has_names(&self) -> bool {
        let all = self.include.iter().flatten().chain(&self.exclude);
        all.into_iter().any(|one| matches!(one, PortMatch::Named { .. }))
    }
}

/// A condition on protocol and destination port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// Ports `first` to `last`, inclusive; a protocol as a whole is 0 to 65535.
    Range {
        /// Protocol.
        protocol: Protocol,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// A port that the destination pod names; nothing where it does not.
    Named {
        /// Name of a container port.
        name: String,
        /// Protocol of that port; None = any.
        protocol: Option<Protocol>,
    },
    /// ICMP messages.
    Icmp {
        /// Version; None = both.
        version: Option<IcmpVersion>,
        /// Type; None = all.
        kind: Option<u8>,
    },
    /// All IP protocols but TCP, UDP, SCTP and ICMP.
    OtherProtocols,
}
