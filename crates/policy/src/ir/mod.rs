//! Policies of every kind in one shape: tiers of policies, policies of rules.
//!
//! Evaluation of one direction of a connection, for the subject (source for egress, destination
//! for ingress):
//! 1. Tiers are asked in order. In a tier only the policies count that select the subject and
//!    speak about the direction.
//! 2. Their rules are tried in order, policy by policy; the first that matches peer and port
//!    decides: Accept and Deny for good, Pass leaves the tier.
//! 3. If none matches and one of these policies isolates, the connection is denied; if none
//!    isolates, the next tier is asked.
//! 4. What no tier decided is accepted.
//!
//! NetworkPolicies are policies that isolate and whose rules all accept, so that their order does
//! not matter. A connection is allowed if both directions accept it.

mod expr;

use ipnet::IpNet;
use sekisho_manifest::{LabelSelector, Position};
use sekisho_model::{Direction, Protocol};

use crate::{Dialect, IcmpVersion, PolicyName};

pub use expr::{Expr, Scope, Subject, Test, TextOperator, TextTest};

/// All policies of a cluster, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    /// In the order they are asked.
    pub tiers: Vec<Tier>,
    /// How the policies were read.
    pub dialect: Dialect,
}

/// Policies that are asked together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Name in answers: `admin`, `network_policy`, `baseline`, or the name of a Calico tier.
    pub name: String,
    /// In the order they are asked; equal ranks stand in order of kind and name.
    pub policies: Vec<Policy>,
}

/// A policy, or the half of a Cilium policy that denies or allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Kind and name.
    pub name: PolicyName,
    /// Place in the tier; None = order has no meaning (NetworkPolicy). Two policies of a tier with
    /// equal ranks that select the same subject are an ambiguity.
    pub rank: Option<Rank>,
    /// Which pods and hosts it selects.
    pub subject: Expr,
    /// What it says of ingress; None = nothing, so that it does not select in this direction.
    pub ingress: Option<Side>,
    /// The same for egress.
    pub egress: Option<Side>,
    /// Where the policy stands.
    pub position: Position,
}

/// A place in an order, lowest first: a priority or Calico's `order` (a float there).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rank(pub f64);

impl Eq for Rank {}

/// One direction of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Whether what no rule of the tier matches is denied.
    pub isolates: bool,
    /// In the order they are tried.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What happens to what matches.
    pub action: Action,
    /// Which other ends match.
    pub peers: Peers,
    /// Which protocols and destination ports match.
    pub ports: Ports,
    /// Index in the list of the policy that holds it, from 0.
    pub index: u32,
    /// Name the rule was given; empty if none.
    pub name: String,
    /// What else must hold for an Accept that ports and addresses can't tell, e.g. `HTTP rules`;
    /// the rule counts as if it did.
    pub condition: Option<String>,
    /// Where the rule stands.
    pub position: Position,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Accept for good, in this direction.
    Accept,
    /// Deny for good.
    Deny,
    /// Leave the rest of the tier out.
    Pass,
}

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
        reach: Reach,
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
pub enum Reach {
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

impl Policy {
    /// What the policy says of a direction.
    #[must_use]
    pub fn side(&self, direction: Direction) -> Option<&Side> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }
}
