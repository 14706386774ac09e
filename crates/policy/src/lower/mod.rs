//! Turns policies of each kind into the one shape of [`crate::ir`].

mod all;
mod calico;
mod calico_selector;
mod cilium;
mod cilium_selector;
mod context;
mod network_policy;
mod tiers;

pub(crate) use all::{is_of_vendor, is_used, lower};
