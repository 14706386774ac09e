//! How much of the truth we hold.

use serde::{Deserialize, Serialize};

use crate::{ClusterName, Timestamp};

/// What one hook of one node produced and lost in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossMinute {
    /// Start of the minute.
    pub minute: Timestamp,
    /// The cluster that the node is of.
    pub cluster: ClusterName,
    /// Node or host.
    pub node: String,
    /// Hook, or `agent` for reports shed by the agent's own queue, or `server` for the server's.
    pub hook: String,
    /// Records produced in that minute.
    pub produced: u64,
    /// Records lost in that minute.
    pub dropped: u64,
}

/// An honest figure on how complete an answer is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completeness {
    /// 0 to 1: (produced - dropped) / produced, times the share of node-minutes of the window in
    /// which the agent reported. 1 if the window is empty of nodes is never claimed: then 0.
    pub ratio: f64,
    /// Records produced in the window.
    pub produced: u64,
    /// Records lost in the window.
    pub dropped: u64,
    /// Nodes that lost records or were silent for part of the window, with the reason, sorted.
    pub gaps: Vec<String>,
}
