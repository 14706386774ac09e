//! What people told about labels: what is kept of it.

use sekisho_model::{ClusterName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{DimensionName, TableRow};

/// All that people told: rules, tables, and what they said of single assets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelState {
    /// Grows with every change.
    pub revision: u64,
    /// The rules, as somebody wrote them; empty = the usual dimensions and no rules.
    pub rules: String,
    /// Tables, the oldest first.
    pub imports: Vec<Import>,
    /// What was said of single assets, by cluster, asset and dimension.
    pub by_hand: Vec<ByHand>,
}

/// A table that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// What it is called; another one of this name takes its place.
    pub name: String,
    /// Of which cluster it speaks; None = of all.
    pub cluster: Option<ClusterName>,
    /// Who brought it.
    pub by: String,
    /// When.
    pub time: Timestamp,
    /// What it says.
    pub rows: Vec<TableRow>,
}

/// A value that a person gave to an asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ByHand {
    /// Where the asset is.
    pub cluster: ClusterName,
    /// Its id.
    pub id: String,
    /// The dimension.
    pub dimension: DimensionName,
    /// The value.
    pub value: String,
    /// Who said it.
    pub by: String,
    /// When.
    pub time: Timestamp,
}

impl LabelState {
    /// Whether nobody told anything: Kubernetes alone says what things are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.trim().is_empty() && self.imports.is_empty() && self.by_hand.is_empty()
    }
}
