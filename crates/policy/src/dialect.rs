//! Where network plugins and analysers read the same policies differently.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How policies are read. The specification leaves points open, and not every plugin follows it;
/// each method of this type is one such point.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// The API documents (Kubernetes v1.34, network-policy-api v0.2.0).
    #[default]
    Spec,
    /// Calico.
    Calico,
    /// Cilium.
    Cilium,
    /// OVN-Kubernetes.
    Ovn,
    /// Antrea.
    Antrea,
    /// kube-network-policies, the implementation of the Kubernetes network group.
    KubeNetworkPolicies,
    /// np-guard/netpol-analyzer, an analyser.
    NpGuard,
    /// mattfenwick/cyclonus, a conformance tester with an engine of its own.
    Cyclonus,
}

impl Dialect {
    /// All dialects, the specification first.
    pub const ALL: [Self; 8] = [
        Self::Spec,
        Self::Calico,
        Self::Cilium,
        Self::Ovn,
        Self::Antrea,
        Self::KubeNetworkPolicies,
        Self::NpGuard,
        Self::Cyclonus,
    ];

    /// The name used on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Calico => "calico",
            Self::Cilium => "cilium",
            Self::Ovn => "ovn",
            Self::Antrea => "antrea",
            Self::KubeNetworkPolicies => "kube-network-policies",
            Self::NpGuard => "np-guard",
            Self::Cyclonus => "cyclonus",
        }
    }

    /// Whether an `ipBlock` matches pods by their addresses. The specification says that blocks
    /// should be external and lets pods match; Cilium knows pods by identity only, and np-guard
    /// takes pods and blocks for disjoint.
    #[must_use]
    pub fn ip_block_matches_pods(self) -> bool {
        match self {
            Self::Cilium | Self::NpGuard => false,
            Self::Spec
            | Self::Calico
            | Self::Ovn
            | Self::Antrea
            | Self::KubeNetworkPolicies
            | Self::Cyclonus => true,
        }
    }

    /// Whether an `ipBlock` matches the addresses of nodes. Cilium gives nodes identities of their
    /// own (unless `policy-cidr-match-mode: nodes` is set).
    #[must_use]
    pub fn ip_block_matches_nodes(self) -> bool {
        self != Self::Cilium
    }

    /// Whether host-network pods count as ordinary pods, as subjects and as peers. Plugins see the
    /// node's address; analysers that read manifests alone do not look at the field.
    #[must_use]
    pub fn host_network_is_ordinary(self) -> bool {
        matches!(self, Self::NpGuard | Self::Cyclonus)
    }

    /// Whether a pod's connection to itself is judged by policy. The specification exempts it.
    #[must_use]
    pub fn judges_itself(self) -> bool {
        self == Self::Cyclonus
    }

    /// Whether a named port of an egress rule stands for every number that any pod gives the name,
    /// instead of the numbers of the destination pod.
    #[must_use]
    pub fn egress_names_are_cluster_wide(self) -> bool {
        self == Self::Cilium
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text names no dialect.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{0}` is not one of spec, calico, cilium, ovn, antrea, kube-network-policies, np-guard, \
     cyclonus"
)]
pub struct DialectError(String);

impl FromStr for Dialect {
    type Err = DialectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|dialect| dialect.as_str() == text);
        found.ok_or_else(|| DialectError(text.to_owned()))
    }
}
