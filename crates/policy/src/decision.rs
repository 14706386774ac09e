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

/// `namespace/name` of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
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
    /// No policy selects the subject in this direction: allowed.
    NotIsolated,
    /// A rule allows.
    Rule {
        /// The first policy (by namespace, name) with a rule that allows.
        policy: PolicyName,
        /// Index of the first such rule, from 0.
        rule: u32,
    },
    /// The subject is isolated and no rule allows: denied.
    NoRule {
        /// The policies that isolate it in this direction, sorted.
        isolated_by: Vec<PolicyName>,
    },
}

/// The answer for one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionDecision {
    /// Egress of the source, or ingress of the destination.
    pub direction: Direction,
    /// Why.
    pub reason: Reason,
}

impl DirectionDecision {
    /// Whether this direction allows.
    #[must_use]
    pub fn allows(&self) -> bool {
        !matches!(self.reason, Reason::NoRule { .. })
    }

    /// The policy and rule that decided; None if no policy had a say.
    #[must_use]
    pub fn decided_by(&self) -> Option<DecidedBy> {
        let direction = self.direction;
        match &self.reason {
            Reason::Rule { policy, rule } => {
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
