//! Enforcement in the real kernel: namespaces joined by veth pairs, real sockets, real nftables.
//! Needs root.

mod compile;
mod deny;
mod established;
mod lifecycle;
mod poke;
mod policies;
mod topology;
mod truth;
