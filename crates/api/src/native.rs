//! What travels about native enforcement: policies as objects of the cluster.

use serde::{Deserialize, Serialize};

use sekisho_model::{DecidedBy, Protocol, Timestamp};

/// Who enforces a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Our agents, with nftables.
    #[default]
    Datapath,
    /// The cluster's network plugin, from objects that the server applies.
    Native,
}

impl Enforcement {
    /// One word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Datapath => "datapath",
            Self::Native => "native",
        }
    }
}

/// Which object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectName {
    /// Kind; `CalicoNetworkPolicy` for Calico's NetworkPolicy.
    pub kind: String,
    /// Namespace; empty if it has none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What became of one object in an apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeStep {
    /// Kind, namespace and name as text.
    pub object: String,
    /// `create`, `update`, `unchanged`, `conflict`, `prune` or `foreign`.
    pub step: String,
    /// Fields that change, or who manages an object in the way.
    pub detail: String,
}

/// What an apply or rollback did in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeReport {
    /// Address of the API server.
    pub server: String,
    /// All objects that hold policy, in the order in which they were handled.
    pub steps: Vec<NativeStep>,
    /// Why nothing came into force, each with what to do; empty = it did.
    pub errors: Vec<String>,
    /// Changes that were made and taken back because a later one failed.
    pub undone: u64,
    /// Objects that are neither as before nor known to be as wanted; empty = nothing is half
    /// applied.
    pub half_applied: Vec<String>,
    /// Kinds and objects that could not be read, and why.
    pub unreadable: Vec<String>,
}

/// A difference between the cluster and the revision in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Kind, namespace and name as text.
    pub object: String,
    /// `edited`, `deleted`, `taken`, `stray`, `foreign_added`, `foreign_changed` or
    /// `foreign_removed`.
    pub kind: String,
    /// Fields that differ.
    pub fields: Vec<String>,
    /// Who did it (metadata.managedFields[].manager); empty = the API server does not know.
    pub manager: String,
    /// When; None = the API server does not know.
    pub time: Option<Timestamp>,
    /// Connections that it allows and the revision does not: `source -> destination: ports`.
    pub opens: Vec<String>,
    /// Connections that the revision allows and it does not.
    pub closes: Vec<String>,
    /// Connections beyond those named.
    pub more: u64,
}

/// Traffic that policies deny and the kernel let pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contradiction {
    /// Workload that connected.
    pub source: String,
    /// Workload that answered.
    pub destination: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination port.
    pub port: u16,
    /// Policy and rule that deny it.
    pub denied_by: Option<DecidedBy>,
    /// Why, in words.
    pub reason: String,
    /// Nodes of both ends, where known.
    pub nodes: Vec<String>,
    /// One of the connections: `address:port -> address:port`.
    pub example: String,
    /// Connections seen.
    pub connections: u64,
    /// First of them.
    pub first_seen: Timestamp,
    /// Last of them.
    pub last_seen: Timestamp,
}

/// The state of native enforcement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeStatus {
    /// Address of the API server.
    pub server: String,
    /// When the cluster was last compared with the revision in force.
    pub checked: Option<Timestamp>,
    /// Why the last comparison failed; empty = it did not.
    pub error: String,
    /// Our objects in the cluster.
    pub objects: u64,
    /// Policies that others made.
    pub foreign: u64,
    /// Differences.
    pub drift: Vec<DriftReport>,
    /// Differences beyond those listed.
    pub drift_more: u64,
    /// Objects put right without being asked, since the start; only if that is configured.
    pub repaired: u64,
    /// Our objects that are not put right any more for a while, because somebody changed them back
    /// each time: which, by whom, until when.
    pub contested: Vec<String>,
    /// Traffic of the last 15 minutes that the policies in force deny.
    pub not_enforced: Vec<Contradiction>,
    /// Connections of that kind since the start.
    pub not_enforced_total: u64,
    /// Traffic of the last 15 minutes that the staged policies would deny.
    pub would_deny: Vec<Contradiction>,
    /// Flows that were not judged because there were too many.
    pub unjudged: u64,
    /// Kinds and objects that could not be read, and why.
    pub unreadable: Vec<String>,
}
