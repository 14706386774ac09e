//! All kinds together, in the order they are asked.

use sekisho_manifest::{NetworkPolicy, Object, Tier as PolicyTier};

use super::context::Context;
use super::{calico, cilium, network_policy, tiers};
use crate::Dialect;
use crate::ir::{Rulebook, Tier};

/// Name of the tier of NetworkPolicies.
const NETWORK_POLICY_TIER: &str = "network_policy";

/// Whether an object other than a NetworkPolicy is a policy, or, if there are any of Cilium or
/// Calico, something those refer to.
pub(crate) fn is_used(object: &Object, vendors: bool) -> bool {
    match object {
        Object::TierPolicy(_) | Object::Cilium(_) | Object::Calico(_) => true,
        Object::Namespace(_) | Object::Service(_) => vendors,
        Object::Node(_)
        | Object::Pod(_)
        | Object::Workload(_)
        | Object::NetworkPolicy(_)
        | Object::Exposure(_)
        | Object::EndpointSlice(_)
        | Object::ServiceAccount(_)
        | Object::Host(_)
        | Object::Other(_) => false,
    }
}

/// Whether an object is of Cilium or Calico.
pub(crate) fn is_of_vendor(object: &Object) -> bool {
    matches!(object, Object::Cilium(_) | Object::Calico(_))
}

/// Lowers all policies. Tiers stand in the order they are asked; tiers without policies are left
/// out.
pub(crate) fn lower(policies: &[NetworkPolicy], others: &[Object], dialect: Dialect) -> Rulebook {
    let network_policies = policies.iter().map(|policy| network_policy::lower(policy, dialect));
    let in_tiers = |tier| {
        let policies = others.iter().filter_map(|object| match object {
            Object::TierPolicy(policy) => Some(policy),
            _other => None,
        });
        tiers::lower(policies, tier, dialect)
    };
    let context = Context::of(others);
    let cilium = cilium::lower(&context);
    let mut union = cilium.denying;
    union.extend(network_policies);
    union.extend(cilium.allowing);
    let mut tiers = calico::arrange(
        &context,
        in_tiers(PolicyTier::Admin),
        Tier { name: NETWORK_POLICY_TIER.to_owned(), policies: union },
        in_tiers(PolicyTier::Baseline),
    );
    tiers.retain(|tier| !tier.policies.is_empty());
    Rulebook { tiers, dialect }
}
