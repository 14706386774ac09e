//! What evaluation needs to know of a cluster: namespaces, endpoints and nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_manifest::{ContainerPort, Service};
use sekisho_model::{Labels, PartyKind, WorkloadRef};
use serde::{Deserialize, Serialize};

/// The state of a cluster at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Namespace -> labels, `kubernetes.io/metadata.name` included.
    pub namespaces: BTreeMap<String, Labels>,
    /// Pods and hosts, sorted by namespace and name.
    pub endpoints: Vec<Endpoint>,
    /// Node -> its addresses.
    pub nodes: BTreeMap<String, Vec<IpAddr>>,
    /// Services, sorted by namespace and name.
    pub services: Vec<Service>,
}

/// A pod or host: a subject of policy. For a workload whose pods are not listed (plain manifests)
/// one endpoint stands for all its pods: it has no address, and `name` is the workload's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Namespace.
    pub namespace: String,
    /// Pod or host name.
    pub name: String,
    /// Topmost known owner (a lone pod or host owns itself).
    pub workload: WorkloadRef,
    /// Pod or Host.
    pub kind: PartyKind,
    /// Labels.
    pub labels: Labels,
    /// Addresses of both families; empty = none (yet).
    pub addresses: Vec<IpAddr>,
    /// Ports of containers and sidecars.
    pub ports: Vec<ContainerPort>,
    /// hostNetwork pods are no subjects and count as their node when they are peers.
    pub host_network: bool,
    /// Node the pod runs on.
    pub node: Option<String>,
}
