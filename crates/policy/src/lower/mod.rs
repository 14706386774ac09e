//! Turns policies of each kind into the one shape of [`crate::ir`].

mod network_policy;

use sekisho_manifest::{NetworkPolicy, Object};

use crate::Dialect;
use crate::ir::{Rulebook, Tier};

/// Name of the tier of NetworkPolicies.
pub(crate) const NETWORK_POLICY_TIER: &str = "network_policy";

/// Whether an object other than a NetworkPolicy is a policy, or something policies refer to.
pub(crate) fn is_used(object: &Object) -> bool {
    matches!(object, Object::TierPolicy(_))
}

/// Lowers all policies. Tiers stand in the order they are asked; tiers without policies are left
/// out.
pub(crate) fn lower(policies: &[NetworkPolicy], _others: &[Object], dialect: Dialect) -> Rulebook {
    let network_policies =
        policies.iter().map(|policy| network_policy::lower(policy, dialect)).collect();
    let mut tiers = vec![Tier { name: NETWORK_POLICY_TIER.to_owned(), policies: network_policies }];
    tiers.retain(|tier| !tier.policies.is_empty());
    Rulebook { tiers, dialect }
}
