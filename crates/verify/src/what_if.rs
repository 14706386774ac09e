//! The replay.

use sekisho_model::{Completeness, EdgeMinute, TimeRange};
use sekisho_policy::{Cluster, RuleSet};

use crate::{VerifiedPolicy, WhatIfReport};

/// What to replay against what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Policies in force.
    pub current: &'a RuleSet,
    /// All policies that would be in force.
    pub proposed: &'a RuleSet,
    /// Namespaces, endpoints (for named ports) and nodes.
    pub cluster: &'a Cluster,
    /// History; may hold several rows per edge.
    pub history: &'a [EdgeMinute],
    /// The window that `history` covers.
    pub window: TimeRange,
    /// Completeness of that history.
    pub completeness: &'a Completeness,
    /// Edges accepted by name, as in [`crate::VerifiedRecord::accepted`].
    pub accepted: &'a [String],
    /// Edges that may be blocked without being accepted by name; normally 0.
    pub would_block_max: u64,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// For people and machines.
    pub report: WhatIfReport,
    /// The proposed policies, if they block no more than accepted; None otherwise.
    pub verified: Option<VerifiedPolicy>,
}

/// Replays history against the current and the proposed policies.
#[must_use]
pub fn what_if(request: &Request<'_>) -> WhatIf {
    // SKELETON: being written.
    let summary = crate::Summary::default();
    let report = WhatIfReport {
        window: request.window,
        completeness: request.completeness.ratio,
        summary,
        edges: Vec::new(),
    };
    WhatIf { report, verified: None }
}
