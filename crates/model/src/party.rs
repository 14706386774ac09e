//! Who stands at one end of a flow.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Labels of a Kubernetes object: key -> value, sorted by key.
pub type Labels = BTreeMap<String, String>;

/// A workload: the topmost known owner of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// Namespace; hosts and VMs live in one of their own.
    pub namespace: String,
    /// Name of the owner.
    pub name: String,
    /// Kubernetes kind (`Deployment`, `Pod`, ...) or `Host`.
    pub kind: String,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}[{}]", self.namespace, self.name, self.kind)
    }
}

/// What kind of thing an end of a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// A pod; `workload` names its topmost owner.
    Pod,
    /// A Service address whose backend nobody saw.
    Service,
    /// A VM or plain host with an agent (kind `Host`): a subject of policy like a pod.
    Host,
    /// A Kubernetes node itself (kubelet, host-network pods).
    Node,
    /// An address outside the cluster.
    External,
    /// An address inside the cluster's ranges that nobody could name at that time.
    Unknown,
}

/// One end of a flow, resolved at the time of the flow. Old flows keep old identities.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Party {
    /// What it is.
    pub kind: PartyKind,
    /// The owner. For Node: namespace "", kind `Node`. For External: namespace "", kind
    /// `External`, name = the DNS name asked for, else the address. For Service: kind `Service`.
    pub workload: WorkloadRef,
    /// Pod name; empty unless `kind` is Pod.
    pub pod: String,
    /// Labels at that time (of the pod or host); empty for the rest.
    pub labels: Labels,
    /// The address used on this end, after NAT; None if unknown.
    pub address: Option<IpAddr>,
    /// The DNS name the source asked for to get the address (External destinations).
    pub dns_name: Option<String>,
}

impl Party {
    /// Makes an external party of `address`, named by `dns_name` if given.
    #[must_use]
    pub fn external(address: IpAddr, dns_name: Option<String>) -> Self {
        let name = dns_name.clone().unwrap_or_else(|| address.to_string());
        Self {
            kind: PartyKind::External,
            workload: WorkloadRef { namespace: String::new(), name, kind: "External".to_owned() },
            pod: String::new(),
            labels: Labels::new(),
            address: Some(address),
            dns_name,
        }
    }

    /// The party's stable id at workload level, e.g. `shop/cart[Deployment]`, `node-1[Node]`,
    /// `payments.example[External]`.
    #[must_use]
    pub fn id(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.workload.namespace.is_empty() {
            write!(f, "{}[{}]", self.workload.name, self.workload.kind)
        } else {
            write!(f, "{}", self.workload)
        }
    }
}

/// A process at one end of a flow, without its pid: the pid would make every restart a new edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Absolute path of the executable in the process's own mount namespace; may be empty when the
    /// process ended before it could be read.
    pub exe: String,
    /// The process's `comm` (at most 15 bytes, linux v6.18 TASK_COMM_LEN).
    pub comm: String,
    /// Numeric user id.
    pub uid: u32,
    /// The container it runs in; None if it is in none, or nobody asked the runtime.
    pub container: Option<Container>,
}

/// A container, as its runtime tells it. The image is a part of who connects: the same program of
/// another image is another edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Container {
    /// Name in the pod's spec.
    pub name: String,
    /// Reference that never means another image: `name@sha256:...`, or as much as the runtime says.
    pub image: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.exe.is_empty() { &self.comm } else { &self.exe })
    }
}

/// The Service through which a flow went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceRef {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// Service port number, before NAT.
    pub port: u16,
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.name, self.port)
    }
}
