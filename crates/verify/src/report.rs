//! The what-if report (the JSON of `sekisho verify`).

use std::fmt;

use sekisho_model::{DecidedBy, Protocol, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

/// What a change of policy means for an edge of recorded history, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeClass {
    /// Works today, denied after.
    WouldBlock,
    /// Denied before, allowed after.
    NewlyAllowed,
    /// Can't be decided from what was recorded; `reason` says why.
    Uncertain,
    /// Same before and after, or attempts that no one answered: nothing that works is lost.
    Unchanged,
}

impl EdgeClass {
    /// The word used in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WouldBlock => "would_block",
            Self::NewlyAllowed => "newly_allowed",
            Self::Uncertain => "uncertain",
            Self::Unchanged => "unchanged",
        }
    }
}

impl fmt::Display for EdgeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One edge of the report. Source and destination are workload ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// e.g. `shop/cart[Deployment]`.
    pub source: String,
    /// e.g. `shop/redis[StatefulSet]`.
    pub destination: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Port after NAT.
    pub port: u16,
    /// Class; the worst of the edge's identities (pods of a workload may differ in labels).
    pub class: EdgeClass,
    /// `allowed`, `denied` or `unknown` under the current policies.
    pub before: String,
    /// The same under the proposed ones.
    pub after: String,
    /// Who decides under the proposed policies.
    pub decided_by: Option<DecidedBy>,
    /// Connections in the window, of the whole edge.
    pub connections: u64,
    /// First seen in the window.
    pub first_seen: Timestamp,
    /// Last seen in the window.
    pub last_seen: Timestamp,
    /// In words, for people.
    pub reason: String,
    /// True if packets got through, and there is a way to read the record in which the current
    /// policies allow them and the proposed ones don't.
    #[serde(default)]
    pub may_block: bool,
    /// True if the edge would or may be blocked and that was accepted by name.
    #[serde(default)]
    pub accepted: bool,
}

impl EdgeReport {
    /// The edge's name, as [`crate::Request::accepted`] takes it:
    /// `source -> destination:port/proto`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} -> {}:{}/{}", self.source, self.destination, self.port, self.protocol)
    }
}

/// Counts of edges by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Edges that would be blocked, accepted ones included.
    pub would_block: u64,
    /// Edges that would be newly allowed.
    pub newly_allowed: u64,
    /// Edges that stay as they are.
    pub unchanged: u64,
    /// Edges that can't be decided.
    pub uncertain: u64,
}

impl Summary {
    /// Counts one edge.
    pub(crate) fn count(&mut self, class: EdgeClass) {
        match class {
            EdgeClass::WouldBlock => self.would_block += 1,
            EdgeClass::NewlyAllowed => self.newly_allowed += 1,
            EdgeClass::Uncertain => self.uncertain += 1,
            EdgeClass::Unchanged => self.unchanged += 1,
        }
    }
}

/// The whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhatIfReport {
    /// History that was replayed.
    pub window: TimeRange,
    /// Completeness of that history, 0 to 1.
    pub completeness: f64,
    /// Counts.
    pub summary: Summary,
    /// Edges: would_block first, then newly_allowed, uncertain, unchanged; each by source,
    /// destination, protocol, port.
    pub edges: Vec<EdgeReport>,
    /// Names given as accepted that no edge which would be blocked has (misspelt or not needed).
    #[serde(default)]
    pub accepted_unused: Vec<String>,
    /// Edges that may be blocked without being accepted by name.
    #[serde(default)]
    pub would_block_max: u64,
    /// Edges that nobody knows whether they would be blocked, and that may be so without being
    /// accepted by name.
    #[serde(default)]
    pub uncertain_max: u64,
    /// Whether the proposed policies count as verified.
    #[serde(default)]
    pub verified: bool,
}

impl WhatIfReport {
    /// Edges that may be blocked and were not accepted by name.
    #[must_use]
    pub fn may_block_unaccepted(&self) -> u64 {
        let unaccepted = |edge: &&EdgeReport| edge.may_block && !edge.accepted;
        self.edges.iter().filter(unaccepted).map(|_edge| 1).sum()
    }

    /// Edges that would be blocked and were not accepted by name.
    #[must_use]
    pub fn would_block_unaccepted(&self) -> u64 {
        let unaccepted = |edge: &&EdgeReport| edge.class == EdgeClass::WouldBlock && !edge.accepted;
        self.edges.iter().filter(unaccepted).map(|_edge| 1).sum()
    }
}
