//! Questions and answers of evaluation.

use std::fmt;
use std::net::IpAddr;

use sekisho_model::{DecidedBy, Direction, Protocol};
use serde::{Deserialize, Serialize};

use crate::Endpoint;

/// One end of a connection to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer<'a> {
    /// A pod or host.
    Endpoint(&'a Endpoint),
    /// A Kubernetes node (kubelet, host-network pods).
    Node {
        /// Node name.
        name: &'a str,
        /// The address used; None = unknown.
        address: Option<IpAddr>,
    },
    /// Any other address.
    Address(IpAddr),
    /// An external end known by its DNS name only, whatever its addresses; `*.example.com` stands
    /// for names below it that no other rule names.
    Domain(&'a str),
}

/// A new connection, as seen after Service NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// Initiator.
    pub source: Peer<'a>,
    /// Responder.
    pub destination: Peer<'a>,
    /// Address family and address used at the source; None = the first of the endpoint.
    pub source_address: Option<IpAddr>,
    /// The same for the destination.
    pub destination_address: Option<IpAddr>,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination port after NAT; 0 for protocols without ports.
    pub port: u16,
}

/// Kind, namespace and name of a policy; sorted by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyName {
    /// Namespace; empty for kinds of cluster scope.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind.
    #[serde(default)]
    pub kind: PolicyKind,
}

impl PolicyName {
    /// Makes a name; an empty `namespace` for kinds of cluster scope.
    #[must_use]
    pub fn new(kind: PolicyKind, namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned(), kind }
    }
}

/// `namespace/name`, or `name` for kinds of cluster scope.
impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Kind of a policy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum PolicyKind {
    /// networking.k8s.io/v1.
    #[default]
    NetworkPolicy,
    /// policy.networking.k8s.io/v1alpha2.
    ClusterNetworkPolicy,
    /// policy.networking.k8s.io/v1alpha1.
    AdminNetworkPolicy,
    /// policy.networking.k8s.io/v1alpha1.
    BaselineAdminNetworkPolicy,
    /// cilium.io/v2.
    CiliumNetworkPolicy,
    /// cilium.io/v2.
    CiliumClusterwideNetworkPolicy,
    /// NetworkPolicy of projectcalico.org/v3.
    CalicoNetworkPolicy,
    /// GlobalNetworkPolicy of projectcalico.org/v3.
    CalicoGlobalNetworkPolicy,
}

impl PolicyKind {
    /// The kind as its API spells it; Calico's kinds carry the vendor's name, since NetworkPolicy
    /// is also a kind of Kubernetes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::AdminNetworkPolicy => "AdminNetworkPolicy",
            Self::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
            Self::CalicoNetworkPolicy => "CalicoNetworkPolicy",
            Self::CalicoGlobalNetworkPolicy => "CalicoGlobalNetworkPolicy",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why one direction was decided as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The end is no subject of policy (external, node, host-network pod): allowed.
    NotSubject,
    /// A pod reaches itself by its own address: allowed.
    Itself,
    /// The pod's own node reaches it (probes): allowed.
    OwnNode,
    /// No policy that selects the subject in this direction decides: allowed by default.
    NotIsolated,
    /// A rule decides.
    Rule {
        /// The first policy, in the order of its tier, with a rule that matches.
        policy: PolicyName,
        /// Index of the first such rule, from 0.
        rule: u32,
        /// Whether the rule accepts; else it denies.
        #[serde(default = "accepts")]
        accepts: bool,
    },
    /// The subject is isolated and no rule allows: denied.
    NoRule {
        /// The policies that isolate it in this direction, in the order of their tier.
        isolated_by: Vec<PolicyName>,
    },
}

/// Rules that were stored before policies could deny.
fn accepts() -> bool {
    true
}

impl Reason {
    /// Whether the direction is allowed.
    #[must_use]
    pub fn allows(&self) -> bool {
        match self {
            Self::NotSubject | Self::Itself | Self::OwnNode | Self::NotIsolated => true,
            Self::Rule { accepts, .. } => *accepts,
            Self::NoRule { .. } => false,
        }
    }
}

/// The answer for one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionDecision {
    /// Egress of the source, or ingress of the destination.
    pub direction: Direction,
    /// Why.
    pub reason: Reason,
    /// Name of the tier that decided ([`crate::ir::Tier`]); None = no policy had a say.
    #[serde(default)]
    pub tier: Option<String>,
}

impl DirectionDecision {
    /// Whether this direction allows.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.reason.allows()
    }

    /// The policy and rule that decided; None if no policy had a say.
    #[must_use]
    pub fn decided_by(&self) -> Option<DecidedBy> {
        let direction = self.direction;
        match &self.reason {
            Reason::Rule { policy, rule, .. } => {
                Some(DecidedBy { policy: policy.to_string(), rule: Some(*rule), direction })
            }
            Reason::NoRule { isolated_by } => isolated_by.first().map(|policy| DecidedBy {
                policy: policy.to_string(),
                rule: None,
                direction,
            }),
            Reason::NotSubject | Reason::Itself | Reason::OwnNode | Reason::NotIsolated => None,
        }
    }
}

/// The answer for a connection: allowed if both directions allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Egress of the source.
    pub egress: DirectionDecision,
    /// Ingress of the destination.
    pub ingress: DirectionDecision,
}

impl Decision {
    /// Whether the connection is allowed.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.egress.allows() && self.ingress.allows()
    }

    /// Who decided: the denying side (egress first), else the deciding rule of ingress, else of
    /// egress; None if no policy had a say.
    #[must_use]
    pub fn decided_by(&self) -> Option<DecidedBy> {
        if !self.egress.allows() {
            return self.egress.decided_by();
        }
        self.ingress.decided_by().or_else(|| self.egress.decided_by())
    }
}
