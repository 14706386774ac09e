//! Policies that were verified against history, and their stored form.
//!
//! The digest protects against damage and against editing by hand, so that no policy is enforced
//! that was not replayed. It is no signature: who can write the store can also compute a digest.

use std::fmt::Write as _;

use sekisho_manifest::calico::CalicoObject;
use sekisho_manifest::cilium::CiliumObject;
use sekisho_manifest::{NetworkPolicy, Object};
use sekisho_model::TimeRange;
use sekisho_policy::{Dialect, RuleSet};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Summary;

/// The version whose evaluation this program holds.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Policies that `what_if` found to break no more than was accepted. Can't be made otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedPolicy {
    record: VerifiedRecord,
    rules: RuleSet,
}

/// The stored form of a [`VerifiedPolicy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedRecord {
    /// All NetworkPolicies in force once applied (not only the changed ones).
    pub policies: Vec<NetworkPolicy>,
    /// All policies of other kinds, and what they refer to.
    #[serde(default)]
    pub others: Vec<Object>,
    /// How they were read.
    #[serde(default)]
    pub dialect: Dialect,
    /// History that was replayed.
    pub window: TimeRange,
    /// Completeness of that history, 0 to 1.
    pub completeness: f64,
    /// Counts of the report.
    pub summary: Summary,
    /// Edges that would be blocked and were accepted by name, sorted:
    /// `source -> destination:port/proto`, e.g.
    /// `shop/cart[Deployment] -> shop/redis[StatefulSet]:6379/TCP`.
    pub accepted: Vec<String>,
    /// Version of sekisho that verified.
    pub version: String,
    /// SHA-256 over the JSON of all of the above, hex.
    pub digest: String,
}

/// A stored record is not what was verified.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
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
    /// Makes one of a replay that was found good.
    pub(crate) fn of(
        rules: &RuleSet,
        window: TimeRange,
        completeness: f64,
        summary: Summary,
        accepted: Vec<String>,
    ) -> Self {
        let mut record = VerifiedRecord {
            policies: rules.policies().to_vec(),
            others: rules.others().to_vec(),
            dialect: rules.dialect(),
            window,
            completeness,
            summary,
            accepted,
            version: VERSION.to_owned(),
            digest: String::new(),
        };
        record.digest = record.computed_digest();
        Self { record, rules: rules.clone() }
    }

    /// Takes a stored record back, if it is what `what_if` of this version made.
    ///
    /// # Errors
    /// [`RestoreError::Digest`] if the content was changed, [`RestoreError::Version`] if another
    /// version of sekisho verified it.
    pub fn restore(record: VerifiedRecord) -> Result<Self, RestoreError> {
        let computed = record.computed_digest();
        if record.digest != computed {
            return Err(RestoreError::Digest { found: record.digest, computed });
        }
        if record.version != VERSION {
            let this = VERSION.to_owned();
            return Err(RestoreError::Version { found: record.version, this });
        }
        let rules = record.rules();
        Ok(Self { record, rules })
    }

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

impl VerifiedRecord {
    /// The policies, ready to be asked.
    #[must_use]
    pub fn rules(&self) -> RuleSet {
        let policies = self.policies.iter().cloned().map(Object::NetworkPolicy);
        let all: Vec<Object> = policies.chain(self.others.iter().cloned()).collect();
        RuleSet::from_objects(&all, self.dialect)
    }

    /// The number of policies of all kinds; what they refer to does not count.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        let is_policy = |object: &&Object| {
            matches!(
                object,
                Object::TierPolicy(_)
                    | Object::Cilium(CiliumObject::Policy(_))
                    | Object::Calico(CalicoObject::Policy(_))
            )
        };
        self.policies.len() + self.others.iter().filter(is_policy).count()
    }

    /// The digest of the content, hex.
    ///
    /// Covers what survives being stored as JSON: times in milliseconds, and completeness to a
    /// millionth, because a float may come back from a parser changed in its last bit.
    fn computed_digest(&self) -> String {
        let completeness = format!("{:.6}", self.completeness);
        let content = (
            &self.policies,
            self.window,
            completeness,
            self.summary,
            &self.accepted,
            &self.version,
        );
        let mut text = serde_json::to_vec(&content)
            .expect("all map keys here are strings, and writing to memory does not fail");
        // What records had before policies of other kinds has no part of its own.
        if !self.others.is_empty() || self.dialect != Dialect::default() {
            let more = serde_json::to_vec(&(&self.others, self.dialect))
                .expect("all map keys here are strings, and writing to memory does not fail");
            text.extend(more);
        }
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(&text) {
            write!(hex, "{byte:02x}").expect("writing to a String does not fail");
        }
        hex
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_must_be_verified_again() {
        let rules = RuleSet::default();
        let mut record =
            VerifiedPolicy::of(&rules, TimeRange::ALL, 1.0, Summary::default(), Vec::new()).record;
        assert!(VerifiedPolicy::restore(record.clone()).is_ok());
        record.version = "0.0.1".to_owned();
        record.digest = record.computed_digest();
        let error = VerifiedPolicy::restore(record).unwrap_err();
        assert!(matches!(error, RestoreError::Version { .. }), "{error}");
    }
}
