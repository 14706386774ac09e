//! Turns policies of each kind into the one shape of [`crate::ir`].

mod network_policy;
mod tiers;

use sekisho_manifest::{NetworkPolicy, Object, Tier as PolicyTier};

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
pub(crate) fn lower(policies: &[NetworkPolicy], others: &[Object], dialect: Dialect) -> Rulebook {
    let network_policies =
        policies.iter().map(|policy| network_policy::lower(policy, dialect)).collect();
    let in_tiers = |tier| {
        let policies = others.iter().filter_map(|object| match object {
            Object::TierPolicy(policy) => Some(policy),
            _other => None,
        });
        tiers::lower(policies, tier, dialect)
    };
    let mut tiers = vec![
        in_tiers(PolicyTier::Admin),
        Tier { name: NETWORK_POLICY_TIER.to_owned(), policies: network_policies },
        in_tiers(PolicyTier::Baseline),
    ];
    tiers.retain(|tier| !tier.policies.is_empty());
    Rulebook { tiers, dialect }
}
