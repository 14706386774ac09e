//! Pods and what makes them.

use std::fmt;
use std::net::IpAddr;

use sekisho_model::{Labels, Protocol, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{LabelSelector, Meta};

/// A port by number or by name (Kubernetes IntOrString).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PortRef {
    /// 1 to 65535.
    Number(u16),
    /// The name of a container port.
    Name(String),
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// v1 Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Metadata.
    pub meta: Meta,
    /// spec.
    pub spec: PodSpec,
    /// status.
    pub status: PodStatus,
}

/// spec of a Pod, the part we use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSpec {
    /// nodeName.
    pub node_name: Option<String>,
    /// nodeSelector.
    pub node_selector: Labels,
    /// hostNetwork.
    pub host_network: bool,
    /// serviceAccountName.
    pub service_account: Option<String>,
    /// restartPolicy; Always if absent.
    pub restart_policy: RestartPolicy,
    /// containers.
    pub containers: Vec<Container>,
    /// initContainers; those with restartPolicy Always are sidecars (`Container::sidecar`).
    pub init_containers: Vec<Container>,
}

impl PodSpec {
    /// Ports of containers and sidecars, in order.
    pub fn ports(&self) -> impl Iterator<Item = &ContainerPort> {
        let sidecars = self.init_containers.iter().filter(|container| container.sidecar);
        self.containers.iter().chain(sidecars).flat_map(|container| &container.ports)
    }
}

/// spec.restartPolicy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Restart whenever it ends.
    #[default]
    Always,
    /// Restart when it fails.
    OnFailure,
    /// Do not restart.
    Never,
}

/// status of a Pod, the part we use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// phase.
    pub phase: PodPhase,
    /// podIPs; empty = none yet.
    pub pod_ips: Vec<IpAddr>,
    /// hostIP.
    pub host_ip: Option<IpAddr>,
    /// Condition Ready is True.
    pub ready: bool,
    /// startTime.
    pub started: Option<Timestamp>,
    /// Sum of containerStatuses[].restartCount.
    pub restarts: u32,
    /// containerStatuses[] and initContainerStatuses[]: name and imageID of those that have one.
    pub image_ids: Vec<(String, String)>,
}

/// status.phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Not started.
    #[default]
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well; the address is given up.
    Succeeded,
    /// All containers ended, one badly; the address is given up.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// A container, the part we use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// name.
    pub name: String,
    /// image.
    pub image: String,
    /// command.
    pub command: Vec<String>,
    /// args.
    pub args: Vec<String>,
    /// env with literal values, in order.
    pub env: Vec<(String, String)>,
    /// ports.
    pub ports: Vec<ContainerPort>,
    /// readinessProbe.
    pub readiness: Option<Probe>,
    /// livenessProbe.
    pub liveness: Option<Probe>,
    /// True for an init container with restartPolicy Always.
    pub sidecar: bool,
}

/// ports[] of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPort {
    /// name; empty if absent.
    pub name: String,
    /// containerPort.
    pub port: u16,
    /// protocol; TCP if absent.
    pub protocol: Protocol,
    /// hostPort.
    pub host_port: Option<u16>,
}

/// A probe issued by the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What to do.
    pub action: ProbeAction,
    /// periodSeconds; 10 if absent.
    pub period_s: u32,
    /// timeoutSeconds; 1 if absent.
    pub timeout_s: u32,
    /// initialDelaySeconds; 0 if absent.
    pub initial_delay_s: u32,
    /// failureThreshold; 3 if absent.
    pub failure_threshold: u32,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAction {
    /// httpGet: a status from 200 to 399 is success.
    Http {
        /// path; `/` if absent.
        path: String,
        /// port.
        port: PortRef,
    },
    /// tcpSocket: a connection is success.
    Tcp {
        /// port.
        port: PortRef,
    },
    /// exec: exit code 0 is success.
    Exec {
        /// command.
        command: Vec<String>,
    },
    /// grpc, read but not issued by the lab.
    Grpc {
        /// port.
        port: u16,
    },
}

/// Kinds that make pods from a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// apps/v1.
    Deployment,
    /// apps/v1.
    StatefulSet,
    /// apps/v1.
    DaemonSet,
    /// apps/v1.
    ReplicaSet,
    /// v1.
    ReplicationController,
    /// batch/v1.
    Job,
    /// batch/v1.
    CronJob,
}

impl WorkloadKind {
    /// The kind as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }
}

/// Anything that makes pods from a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Metadata.
    pub meta: Meta,
    /// Kind.
    pub kind: WorkloadKind,
    /// spec.replicas, or spec.parallelism for Jobs; 1 if absent. Without meaning for DaemonSets.
    pub replicas: u32,
    /// spec.selector; empty for Jobs and CronJobs.
    pub selector: LabelSelector,
    /// spec.template (CronJob: spec.jobTemplate.spec.template).
    pub template: PodTemplate,
    /// CronJob spec.schedule.
    pub schedule: Option<String>,
}

/// spec.template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodTemplate {
    /// metadata.labels.
    pub labels: Labels,
    /// metadata.annotations.
    pub annotations: Labels,
    /// spec.
    pub spec: PodSpec,
}
