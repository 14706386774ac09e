//! Kernel events to connections to flows with identity and process.
//!
//! Two machines, both pure and driven by the times in their input: the agent's [`Assembler`] turns
//! events into halves, the server's [`Joiner`] turns halves of all agents into flows. [`FlowFilter`] says which of them
//! somebody wants to see.

mod address;
mod assemble;
mod counts;
mod directory;
mod dropped;
mod filter;
mod join;

pub use assemble::{ATTEMPT_HELD_S, Assembler, AssemblerCounters, AssemblerLimits, OPEN_HELD_S};
pub use directory::{Directory, ServiceTarget};
pub use dropped::identify;
pub use filter::{FlowFilter, VerdictFilter, VerdictFilterError};
pub use join::{JoinCheckpoint, JoinLimits, JoinStats, Joiner};
