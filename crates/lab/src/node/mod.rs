//! What runs on a node: its kubelet, and in every pod a first process that starts the containers.

mod kubelet;
mod launch;
mod pod_init;
mod pod_watch;
mod probe;
mod surroundings;

pub(crate) use kubelet::kubelet_main;
pub(crate) use pod_init::pod_main;
pub(crate) use surroundings::PATH;
