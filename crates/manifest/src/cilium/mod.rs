//! Cilium's own kinds (cilium.io/v2): CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and
//! CiliumCIDRGroup.
//!
//! Source: cilium/cilium, pkg/policy/api (Cilium 1.19, and what 1.18 still took).

mod icmp;
mod json;
mod known;
mod policy;
mod read;
mod read_ports;
mod read_rule;
mod selector;

pub use policy::{
    Authentication, CidrGroup, CidrRule, CidrSource, CiliumObject, Condition, DomainMatch, Entity,
    IcmpFamily, IcmpField, IcmpRule, Peers, Policy, PolicyScope, PortProtocol, PortRule, Protocol,
    Rule, RuleSpec, ServiceMatch, Subject,
};
pub use selector::{EndpointSelector, LabelSource, LabelTest};

pub(crate) use json::{VERSION, content};
pub(crate) use read::{KINDS, read_cilium};
