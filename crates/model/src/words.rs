//! The smallest words of the field: protocol, direction, verdict, and who decided.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport protocol, as in IP protocol numbers (IANA) 6, 17, 132, 1 and 58.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// IP protocol 6.
    #[serde(rename = "TCP")]
    Tcp,
    /// IP protocol 17.
    #[serde(rename = "UDP")]
    Udp,
    /// IP protocol 132.
    #[serde(rename = "SCTP")]
    Sctp,
    /// IP protocol 1 (IPv4) or 58 (IPv6).
    #[serde(rename = "ICMP")]
    Icmp,
}

/// A text names no protocol we know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not one of TCP, UDP, SCTP, ICMP")]
pub struct ProtocolError(String);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
        })
    }
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_str() {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            "SCTP" => Ok(Self::Sctp),
            "ICMP" => Ok(Self::Icmp),
            _ => Err(ProtocolError(text.to_owned())),
        }
    }
}

/// The direction of a rule or decision, from the subject's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the subject; the subject is the destination.
    Ingress,
    /// From the subject; the subject is the source.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// What the kernel did with a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Forwarded: packets reached the destination's socket, or nothing of ours stopped them.
    Allowed,
    /// Dropped by a policy in force.
    Denied,
    /// Forwarded, but a staged policy would drop it.
    WouldDeny,
    /// Not known: attempted, and nobody saw what became of it.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::WouldDeny => "would_deny",
            Self::Unknown => "unknown",
        })
    }
}

/// The policy and rule that made a decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DecidedBy {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// Index of the rule in the policy's list of that direction, from 0; None = denied because the
    /// policy isolates and no rule allows.
    pub rule: Option<u32>,
    /// Which side decided.
    pub direction: Direction,
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "{} {}[{rule}]", self.policy, self.direction),
            None => write!(f, "{} {} (no rule allows)", self.policy, self.direction),
        }
    }
}
