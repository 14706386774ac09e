//! The templates of segmentation: what each asks, what it makes, what native policy cannot say.
//!
//! [`catalogue`] describes them, [`settings`] reads what a person chose against what was seen, and
//! one file for each family makes the policies. Deny rules, and allow rules that isolate nobody, are
//! ClusterNetworkPolicies: NetworkPolicy has no word for either.

mod access;
mod baseline;
mod block;
mod build;
pub mod catalogue;
pub(crate) mod choices;
mod entries;
mod guard;
mod outward;
mod separate;
pub(crate) mod settings;

pub(crate) use build::{Build, Built};
pub(crate) use separate::borders;
