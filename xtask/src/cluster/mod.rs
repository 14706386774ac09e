//! `cargo xtask cluster`: a real Kubernetes on this machine, for the tests and for trying things.
//!
//! The upstream programs, built from testing/cluster/, run as they are: a control plane on the
//! host, and nodes that are a network, mount and host-name namespace each, with a containerd of
//! their own. testing/cluster/README.md says what is where and why.

mod binary;
mod certificates;
mod clean;
mod control;
mod fabric;
mod hold;
mod images;
mod index;
mod launch;
mod limits;
mod node;
mod objects;
mod operate;
mod plan;
mod process;
mod suite;
mod up;
mod verb;

pub(crate) use binary::{helm, hubble};
pub(crate) use suite::{run as suite, with_control_plane};
pub(crate) use verb::run;
