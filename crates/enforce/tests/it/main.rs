//! Enforcement in the real kernel: namespaces joined by veth pairs, real sockets, real nftables.
//! Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helpers fail by panicking, as tests do"
)]

mod compile;
mod deny;
mod established;
mod lifecycle;
mod model;
mod poke;
mod policies;
mod sctp;
mod tiers;
mod topology;
mod truth;
