//! The what-if report (the JSON of `sekisho verify`).

use sekisho_model::{DecidedBy, Protocol, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

/// What a change of policy means for an edge of recorded history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeClass {
    /// Allowed before, denied after.
    WouldBlock,
    /// Denied before, allowed after.
    NewlyAllowed,
    /// Can't be decided from what was recorded; `reason` says why.
    Uncertain,
    /// Same before and after.
    Unchanged,
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
    /// Class.
    pub class: EdgeClass,
    /// `allowed`, `denied` or `unknown` under the current policies.
    pub before: String,
    /// The same under the proposed ones.
    pub after: String,
    /// Who decides under the proposed policies.
    pub decided_by: Option<DecidedBy>,
    /// Connections in the window.
    pub connections: u64,
    /// First seen in the window.
    pub first_seen: Timestamp,
    /// Last seen in the window.
    pub last_seen: Timestamp,
    /// In words, for people.
    pub reason: String,
}

/// Counts of edges by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Edges that would be blocked.
    pub would_block: u64,
    /// Edges that would be newly allowed.
    pub newly_allowed: u64,
    /// Edges that stay as they are.
    pub unchanged: u64,
    /// Edges that can't be decided.
    pub uncertain: u64,
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
}
