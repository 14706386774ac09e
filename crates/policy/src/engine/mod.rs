//! The fast engine behind [`crate::Reach`].
//!
//! Ends become items ([`axis`]), selectors and address ranges sets of items ([`selectors`],
//! [`nets`]), sets of ports numbers ([`port_ids`]). In each direction, subjects that the same
//! policies select share a row ([`compile`], [`rows`]), and other ends that no rule tells apart
//! share a column ([`columns`]). A cell of the matrix of all pairs is the intersection of one cell
//! of egress and one of ingress.

pub(crate) mod axis;
mod bits;
mod build;
mod columns;
mod compile;
mod edit;
mod ids;
mod nets;
mod pairs;
mod port_ids;
mod rows;
mod selectors;
pub(crate) mod tables;

pub(crate) use build::{Engine, Side};
pub(crate) use port_ids::PortId;
