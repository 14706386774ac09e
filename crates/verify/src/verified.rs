//! Policies that were verified against history.

use sekisho_manifest::NetworkPolicy;
use sekisho_model::TimeRange;
use sekisho_policy::RuleSet;
use serde::{Deserialize, Serialize};

use crate::Summary;

/// Policies that `what_if` found to break no more than was accepted. Can't be made otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedPolicy {
    pub(crate) record: VerifiedRecord,
    pub(crate) rules: RuleSet,
}

/// The stored form of a [`VerifiedPolicy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedRecord {
    /// All policies in force once applied (not only the changed ones).
    pub policies: Vec<NetworkPolicy>,
    /// History that was replayed.
    pub window: TimeRange,
    /// Completeness of that history, 0 to 1.
    pub completeness: f64,
    /// Counts of the report.
    pub summary: Summary,
    /// Edges that would be blocked and were accepted by name: `source -> destination:port/proto`.
    pub accepted: Vec<String>,
    /// Version of sekisho that verified.
    pub version: String,
    /// SHA-256 over all of the above, hex.
    pub digest: String,
}

/// A stored record is not what was verified.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The digest does not match the content: it was edited or damaged.
    #[error("digest of the verified record is `{found}`, its content gives `{computed}`")]
    Digest {
        /// In the record.
        found: String,
        /// Of the content.
        computed: String,
    },
    /// It was verified by another version of sekisho, whose evaluation may differ.
    #[error("record was verified by sekisho {found}, this is {this}: verify again")]
    Version {
        /// In the record.
        found: String,
        /// This program's.
        this: String,
    },
}

impl VerifiedPolicy {
    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The stored form.
    #[must_use]
    pub fn record(&self) -> &VerifiedRecord {
        &self.record
    }
}
