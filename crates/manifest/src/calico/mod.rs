//! Calico's own kinds (projectcalico.org/v3, and crd.projectcalico.org/v1 where they are stored):
//! NetworkPolicy, GlobalNetworkPolicy, NetworkSet, GlobalNetworkSet and Tier.
//!
//! Staged policies are checked and then count as kinds we do not read, because they never take
//! effect. Source: projectcalico/calico, api/pkg/apis/projectcalico/v3 and libcalico-go.

mod json;
mod known;
mod parse_selector;
mod policy;
mod read;
mod read_rule;
mod selector;

pub use policy::{
    CalicoObject, DefaultAction, Entity, IcmpMatch, IpVersion, NetworkSet, Order, Policy,
    PolicyScope, Port, Protocol, Rule, RuleAction, ServiceAccountMatch, ServiceMatch, Tier,
};
pub use selector::{Selector, SelectorError};

pub(crate) use json::{VERSION, spec};
pub(crate) use read::{KINDS, is_staged, read_calico};
