//! Kernel events of one cgroup v2 subtree: loads bpf/, reads ring buffers, gives
//! [`sekisho_model::Event`]s.
//!
//! Fails open: what the kernel refuses is a missing [`Tier`], what does not fit is dropped and
//! counted in [`sekisho_model::HookCounters`]. Nothing is pinned: dropping the [`Observer`], or
//! killing its process, detaches everything.

mod boot_clock;
mod btf;
mod cgroups;
mod counters;
mod dns;
mod doctor;
mod drops;
mod observer;
mod privilege;
mod processes;
mod programs;
mod rings;
mod sockets;
mod tier;
mod wire;

pub use dns::{DnsMessage, DnsMessageError, parse_answer};
pub use doctor::doctor;
pub use observer::{Observer, ObserverOptions, PollError};
pub use programs::StartError;
pub use tier::{Tier, TierStatus};
