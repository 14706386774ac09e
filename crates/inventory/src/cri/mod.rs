//! The containers of a node, as its runtime tells them: what the agent knows without any right on
//! the Kubernetes API.

mod containers;
mod messages;
mod runtime;

pub use containers::{ContainerCounts, Containers};
pub use runtime::{CRI_SOCKETS, ContainerRuntime, CriError, FoundContainer, pinned};
