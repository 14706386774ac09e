//! What travels about the images of workloads: policies were verified for those that ran then.

use sekisho_model::Timestamp;
use serde::{Deserialize, Serialize};

/// The images of one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadImages {
    /// e.g. `shop/cart[Deployment]`.
    pub workload: String,
    /// Images of the containers of its running pods, `name@sha256:...` or as much as the kubelet
    /// says; sorted.
    pub images: Vec<String>,
}

/// The images that ran when the policies in force were verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedImages {
    /// The revision.
    pub revision: u64,
    /// Those of the workloads that its policies select.
    pub images: Vec<WorkloadImages>,
}

/// A workload runs an image that it did not run then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageChange {
    /// e.g. `shop/cart[Deployment]`.
    pub workload: String,
    /// Its images then.
    pub before: Vec<String>,
    /// Its images now.
    pub after: Vec<String>,
    /// When the first of the pods that run now with a new image started.
    pub since: Timestamp,
}

/// The workloads whose images changed since the revision in force was verified, and what they did
/// since, replayed against that revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReview {
    /// The revision; a staged one if none is enforced.
    pub revision: u64,
    /// When this was looked at.
    pub checked: Timestamp,
    /// Workloads; empty = all run what they ran.
    pub changes: Vec<ImageChange>,
    /// Edges of theirs since the change that the revision denies, whether they were stopped or are
    /// only audited.
    pub would_block: u64,
    /// Edges of theirs since the change that nobody saw in the history before.
    pub new_edges: u64,
    /// Names of the edges that are denied, the first few.
    pub blocked: Vec<String>,
}
