//! A set of policies, ready to be asked.

use sekisho_manifest::NetworkPolicy;
use serde::{Deserialize, Serialize};

/// NetworkPolicies by namespace and name; a later one of the same name replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSet {
    policies: Vec<NetworkPolicy>,
}

impl RuleSet {
    /// Makes a set of `policies`, sorted by namespace and name.
    #[must_use]
    pub fn new(policies: impl IntoIterator<Item = NetworkPolicy>) -> Self {
        let mut by_name = std::collections::BTreeMap::new();
        for policy in policies {
            by_name.insert((policy.meta.namespace.clone(), policy.meta.name.clone()), policy);
        }
        Self { policies: by_name.into_values().collect() }
    }

    /// The policies, sorted by namespace and name.
    #[must_use]
    pub fn policies(&self) -> &[NetworkPolicy] {
        &self.policies
    }
}
