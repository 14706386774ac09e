//! networking.k8s.io/v1 NetworkPolicy.

use ipnet::IpNet;
use sekisho_model::Protocol;
use serde::{Deserialize, Serialize};

use crate::{LabelSelector, Meta, PortRef, Position};

/// A NetworkPolicy, defaults applied (Kubernetes v1.34, NetworkPolicySpec).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    /// Metadata.
    pub meta: Meta,
    /// spec.podSelector; empty selects all pods of the namespace.
    pub pod_selector: LabelSelector,
    /// Whether policyTypes (given or defaulted) holds Ingress.
    pub isolates_ingress: bool,
    /// Whether policyTypes (given or defaulted) holds Egress.
    pub isolates_egress: bool,
    /// spec.ingress; ignored unless `isolates_ingress`.
    pub ingress: Vec<PolicyRule>,
    /// spec.egress; ignored unless `isolates_egress`.
    pub egress: Vec<PolicyRule>,
}

/// spec.ingress[] or spec.egress[].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// from or to; empty = any peer, external ones and nodes included.
    pub peers: Vec<PolicyPeer>,
    /// ports; empty = all ports of all protocols.
    pub ports: Vec<PolicyPort>,
    /// Where the rule stands.
    pub position: Position,
    /// Lines of comment to print above the rule; parsing leaves it empty.
    pub comment: Vec<String>,
}

/// from[] or to[].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyPeer {
    /// namespaceSelector and podSelector.
    Pods {
        /// None = the policy's own namespace; Some(empty) = all namespaces.
        namespaces: Option<LabelSelector>,
        /// None = all pods of those namespaces (same as Some(empty)).
        pods: Option<LabelSelector>,
    },
    /// ipBlock.
    IpBlock {
        /// cidr, host bits masked off.
        cidr: IpNet,
        /// except, each inside cidr.
        except: Vec<IpNet>,
    },
}

/// ports[] of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyPort {
    /// protocol; TCP if absent.
    pub protocol: Protocol,
    /// port; None = all ports of the protocol.
    pub port: Option<PortRef>,
    /// endPort, inclusive; only with a numeric port, and not below it.
    pub end_port: Option<u16>,
}
