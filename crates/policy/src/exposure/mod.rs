//! Exposure: what pods that do not exist yet could reach or be reached by.
//!
//! The list of allowed connections tells what today's pods may do. A policy that lets a selector in
//! also lets in every pod that will carry these labels: [`Exposure`] asks each workload's policies
//! about one imagined pod per selector of a rule, and about a pod that no selector singles out.

mod analysis;
mod hypothetical;
mod print;
pub(crate) mod words;

pub use analysis::{Exposure, ExposureRow, PotentialPeer};
