//! Kernel events to connections to flows with identity and process.
//!
//! Two machines, both pure and driven by the times in their input: the agent's [`Assembler`] turns
//! events into halves, the server's [`Joiner`] turns halves of all agents into flows.

mod assemble;
mod directory;
mod join;

pub use assemble::{Assembler, AssemblerLimits};
pub use directory::{Directory, ServiceTarget};
pub use join::{JoinCheckpoint, JoinLimits, Joiner};
