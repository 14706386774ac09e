//! Cluster-wide policies in tiers: ClusterNetworkPolicy, and the two kinds that came before it.
//!
//! Source: kubernetes-sigs/network-policy-api, apis/v1alpha2 (and v1beta1, which differs in how
//! addresses must be written) for ClusterNetworkPolicy, apis/v1alpha1 for AdminNetworkPolicy and
//! BaselineAdminNetworkPolicy. All three say the same things, so they are one type here.

use ipnet::IpNet;
use sekisho_model::Protocol;
use serde::{Deserialize, Serialize};

use crate::{LabelSelector, Meta, Position};

/// A policy of the Admin or Baseline tier.
///
/// Unlike NetworkPolicy it isolates nobody: traffic that no rule matches goes on to the next
/// policy, and after the last one to the next tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierPolicy {
    /// Metadata; cluster-wide, so without a namespace.
    pub meta: Meta,
    /// Which of the three kinds it was written as.
    pub kind: TierPolicyKind,
    /// spec.tier; AdminNetworkPolicy is Admin, BaselineAdminNetworkPolicy is Baseline.
    pub tier: Tier,
    /// spec.priority, 0 to 1000, the lowest first; which of two equal ones is first is undefined.
    /// 0 in BaselineAdminNetworkPolicy, of which there is only one.
    pub priority: u16,
    /// spec.subject: the pods it is about; pods on the host's network never are.
    pub subject: TierSubject,
    /// spec.ingress, the first match decides.
    pub ingress: Vec<TierRule>,
    /// spec.egress, the first match decides.
    pub egress: Vec<TierRule>,
}

/// The kinds of policies in tiers (policy.networking.k8s.io).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TierPolicyKind {
    /// ClusterNetworkPolicy, v1alpha2 and v1beta1.
    ClusterNetworkPolicy,
    /// AdminNetworkPolicy, v1alpha1.
    AdminNetworkPolicy,
    /// BaselineAdminNetworkPolicy, v1alpha1.
    BaselineAdminNetworkPolicy,
}

impl TierPolicyKind {
    /// The kind as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::AdminNetworkPolicy => "AdminNetworkPolicy",
            Self::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
        }
    }
}

/// Tiers around that of NetworkPolicy, in the order of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// Before NetworkPolicy.
    Admin,
    /// After NetworkPolicy, and only for pods that no NetworkPolicy selects in that direction.
    Baseline,
}

impl Tier {
    /// The tier as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Baseline => "Baseline",
        }
    }
}

/// spec.subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TierSubject {
    /// namespaces: all pods of these namespaces.
    Namespaces(LabelSelector),
    /// pods: these pods of these namespaces.
    Pods {
        /// namespaceSelector; empty = all.
        namespaces: LabelSelector,
        /// podSelector; empty = all.
        pods: LabelSelector,
    },
}

/// spec.ingress[] or spec.egress[].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRule {
    /// name; empty if absent.
    pub name: String,
    /// action.
    pub action: TierAction,
    /// from or to; never empty in a policy that was read without error.
    pub peers: Vec<TierPeer>,
    /// protocols (ports in v1alpha1); None = all traffic, ICMP included.
    pub ports: Option<Vec<TierPort>>,
    /// Where the rule stands.
    pub position: Position,
}

/// action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TierAction {
    /// Let in or out; nothing further is asked in this direction. `Allow` in v1alpha1.
    Accept,
    /// Drop; nothing further is asked.
    Deny,
    /// Skip the rest of this tier and ask the next one.
    Pass,
}

impl TierAction {
    /// The action as ClusterNetworkPolicy spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "Accept",
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        }
    }
}

/// from[] or to[] of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TierPeer {
    /// namespaces: all pods of these namespaces but those on the host's network.
    Namespaces(LabelSelector),
    /// pods: these pods of these namespaces but those on the host's network.
    Pods {
        /// namespaceSelector; empty = all.
        namespaces: LabelSelector,
        /// podSelector; empty = all.
        pods: LabelSelector,
    },
    /// nodes (egress only): the addresses in the status of these nodes.
    Nodes(LabelSelector),
    /// networks (egress only): address ranges, which match pods too; host bits masked off.
    Networks(Vec<IpNet>),
    /// domainNames (egress of action Accept only), as written; `*.` stands for one or more labels.
    DomainNames(Vec<String>),
    /// No field that we know, as when a newer API has more. The whole rule then fails closed: with
    /// action Accept it matches nothing, with Deny or Pass it denies everything.
    Unknown,
}

/// protocols[] of a rule (ports[] in v1alpha1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TierPort {
    /// Destination ports of one protocol, both ends included; 1 to 65535 = all.
    Range {
        /// The protocol.
        protocol: Protocol,
        /// The first port, from 1.
        first: u16,
        /// The last port, not below the first.
        last: u16,
    },
    /// A port of the destination pod by name, of whatever protocol it has there.
    Named(String),
    /// No field that we know; the rule fails closed as with [`TierPeer::Unknown`].
    Unknown,
}
