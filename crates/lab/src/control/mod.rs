//! The lab's control plane: objects, reconciler, scheduler, Services, and the socket by which the
//! command line talks to them.

mod cluster;
mod cron;
mod journal;
mod kubelets;
mod pods;
mod published;
mod reconcile;
mod requests;
mod server;
mod services;
mod supervisor;
mod validate;

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use sekisho_manifest::Object;
use sekisho_model::Labels;
use serde::{Deserialize, Serialize};

pub(crate) use supervisor::{Start, Supervisor};
pub use validate::ScenarioError;
pub(crate) use validate::{LAB_DNS, is_internet, validate};

/// A node or host of the lab: where an agent looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabNode {
    /// Name.
    pub name: String,
    /// `node` or `host`.
    pub kind: LabNodeKind,
    /// Path of its network namespace.
    pub netns: PathBuf,
    /// Its cgroup, relative to the cgroup2 mount, with a leading slash.
    pub cgroup: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The ranges of its pods; empty for a host.
    pub pod_cidrs: Vec<IpNet>,
}

/// What a [`LabNode`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabNodeKind {
    /// A Kubernetes node.
    Node,
    /// A VM or plain host outside Kubernetes.
    Host,
}

/// What the command line asks of a running lab; one JSON object a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Status,
    Scale { target: String, replicas: u32 },
    Label { target: LabelTarget, set: Labels, remove: Vec<String> },
    Restart { target: String },
    Apply { objects: Vec<Object> },
    Delete { kind: String, target: String },
    Exec { target: String },
    Down,
}

/// What is labelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelTarget {
    /// A pod, `namespace/name`. A pod whose labels leave its ReplicaSet's selector is released
    /// and replaced, as in Kubernetes.
    Pod(String),
    /// A workload and its template, `namespace/name`: its pods are replaced by ones with the new
    /// labels.
    Workload(String),
    /// A namespace.
    Namespace(String),
    /// A host, `namespace/name`.
    Host(String),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Done,
    Status(Box<LabStatus>),
    Exec(ExecInfo),
    Failed { message: String },
}

/// Where a pod's processes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecInfo {
    /// The pod's first process.
    pub pid: i32,
    /// The cgroup of its first container, as an absolute path.
    pub cgroup: PathBuf,
    /// The binary that can enter it.
    pub program: PathBuf,
}

/// The state of a lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabStatus {
    /// Whether every workload has its ready pods and every host runs.
    pub ready: bool,
    /// Process id of the supervisor.
    pub pid: u32,
    /// Workloads of manifests, sorted by namespace and name.
    pub workloads: Vec<WorkloadStatus>,
    /// Pods and hosts, sorted by namespace and name.
    pub pods: Vec<PodLine>,
    /// What last went wrong outside a pod; empty if nothing.
    pub troubles: Vec<String>,
}

/// A workload's pods, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadStatus {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Pods wanted.
    pub desired: u32,
    /// Pods that are ready (Jobs: that succeeded).
    pub ready: u32,
}

/// A pod or host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodLine {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// Node it runs on; a host's own name.
    pub node: String,
    /// Addresses of both families.
    pub addresses: Vec<IpAddr>,
    /// status.phase, or `Host`.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Restarts of its containers.
    pub restarts: u32,
    /// What last went wrong.
    pub message: Option<String>,
}
