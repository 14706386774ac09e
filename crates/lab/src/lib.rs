//! A cluster made of network namespaces on one machine, from ordinary Kubernetes manifests.
//!
//! A pod has its own network, mount, PID, UTS and IPC namespaces, a cgroup, a routed /32 and /128
//! address, and its own /etc/resolv.conf; its containers are host programs by `command` and `args`,
//! where `sekisho` stands for the running binary. Nodes are namespaces routed to each other, each
//! with a kubelet process that starts and probes pods; Services are nftables DNAT in every node.
//! Nothing is made in the machine's own network namespace.
//!
//! The running binary starts itself anew for kubelets and pods, so its main function calls
//! [`internal_main`] first. When the supervisor ends, however it ends, a janitor process removes
//! every namespace, cgroup, process and file of the lab.

mod attack;
mod cleanup;
pub mod client;
mod control;
mod data;
mod exec;
mod internal;
mod lab;
mod node;
mod plan;
mod protocol;
mod shop;
mod topology;
mod workload;

pub use attack::{Attack, AttackError, AttackOutcome, attacks, run_attack};
pub use cleanup::{CleanupError, clean_leftovers};
pub use control::{
    ExecInfo, LabNode, LabNodeKind, LabStatus, LabelTarget, PodLine, ScenarioError, WorkloadStatus,
};
pub use exec::{ExecError, ExecOutput, exec, exec_captured};
pub use internal::internal_main;
pub use lab::{DEFAULT_STATE_DIR, Lab, LabError, LabOptions};
pub use plan::{HOSTS_MAX, NODES_MAX};
pub use shop::{CallGraph, Edge, ShopError, callgraph, shop};
pub use topology::TopologyError;
pub use workload::workload_main;

/// The lab's shared files as pods see them.
pub(crate) const SHARED_INSIDE: &str = "/srv/lab";
/// DNS zone: a JSON object of name -> addresses.
pub(crate) const ZONE_FILE: &str = "zone.json";
/// Pods to scrape: a JSON list of pod and address.
pub(crate) const TARGETS_FILE: &str = "targets.json";
