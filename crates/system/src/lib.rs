//! The machine, impure: real clock, command runner with timeout, waiting for conditions, network
//! namespaces, cgroups and long-lived child processes.

pub mod cgroup;
mod child;
mod clock;
pub mod command;
pub mod netns;
mod parent;
pub mod process;
mod replace;
pub mod wait;

pub use child::terminate;
pub use clock::SystemClock;
pub use parent::{ParentError, die_with_parent};
pub use replace::replace_file;
