//! Objects and what they have in common.

use std::net::IpAddr;

use sekisho_model::{Labels, Protocol, Timestamp};
use serde::{Deserialize, Serialize};

use crate::calico::CalicoObject;
use crate::cilium::CiliumObject;
use crate::{
    Container, EndpointSlice, Exposure, NetworkPolicy, Pod, PortRef, ServiceAccount, TierPolicy,
    Workload,
};

/// Where a thing stands in its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// File as the user named it; empty if the object was not read from a file.
    pub file: String,
    /// Line from 1; 0 = unknown.
    pub line: u32,
    /// Column from 1; 0 = unknown.
    pub column: u32,
}

/// metadata (Kubernetes ObjectMeta, the part we use).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// metadata.name.
    pub name: String,
    /// metadata.namespace; `default` if a namespaced object gave none, empty for cluster scope.
    pub namespace: String,
    /// metadata.uid; empty in manifests.
    pub uid: String,
    /// metadata.labels.
    pub labels: Labels,
    /// metadata.annotations.
    pub annotations: Labels,
    /// metadata.ownerReferences with `controller: true` (or the only one).
    pub owner: Option<OwnerRef>,
    /// metadata.creationTimestamp.
    pub created: Option<Timestamp>,
    /// metadata.deletionTimestamp.
    pub deleted: Option<Timestamp>,
    /// Where the object stands in its text.
    pub position: Position,
}

/// metadata.ownerReferences[] (the controller).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRef {
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner, in the same namespace.
    pub name: String,
}

/// A Kubernetes object we know, or the name of one that we do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// v1 Namespace.
    Namespace(Namespace),
    /// v1 Node.
    Node(Node),
    /// v1 Pod.
    Pod(Pod),
    /// Anything with a pod template.
    Workload(Workload),
    /// v1 Service.
    Service(Service),
    /// discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// networking.k8s.io/v1 NetworkPolicy.
    NetworkPolicy(NetworkPolicy),
    /// ClusterNetworkPolicy, AdminNetworkPolicy or BaselineAdminNetworkPolicy.
    TierPolicy(TierPolicy),
    /// Ingress, OpenShift Route, or an object of the Gateway API.
    Exposure(Exposure),
    /// v1 ServiceAccount.
    ServiceAccount(ServiceAccount),
    /// A policy of Cilium, or what those refer to.
    Cilium(CiliumObject),
    /// A policy or tier of Calico, or what those refer to.
    Calico(CalicoObject),
    /// sekisho.dev/v1alpha1 Host: a VM or plain host under policy.
    Host(Host),
    /// A kind we do not read: skipped by users of the list, with a count.
    Other(OtherObject),
}

impl Object {
    /// The object's metadata.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Namespace(object) => &object.meta,
            Self::Node(object) => &object.meta,
            Self::Pod(object) => &object.meta,
            Self::Workload(object) => &object.meta,
            Self::Service(object) => &object.meta,
            Self::EndpointSlice(object) => &object.meta,
            Self::NetworkPolicy(object) => &object.meta,
            Self::TierPolicy(object) => &object.meta,
            Self::Exposure(object) => object.meta(),
            Self::ServiceAccount(object) => &object.meta,
            Self::Cilium(object) => object.meta(),
            Self::Calico(object) => object.meta(),
            Self::Host(object) => &object.meta,
            Self::Other(object) => &object.meta,
        }
    }

    /// The object's metadata, to be changed.
    #[must_use]
    pub fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Namespace(object) => &mut object.meta,
            Self::Node(object) => &mut object.meta,
            Self::Pod(object) => &mut object.meta,
            Self::Workload(object) => &mut object.meta,
            Self::Service(object) => &mut object.meta,
            Self::EndpointSlice(object) => &mut object.meta,
            Self::NetworkPolicy(object) => &mut object.meta,
            Self::TierPolicy(object) => &mut object.meta,
            Self::Exposure(object) => object.meta_mut(),
            Self::ServiceAccount(object) => &mut object.meta,
            Self::Cilium(object) => object.meta_mut(),
            Self::Calico(object) => object.meta_mut(),
            Self::Host(object) => &mut object.meta,
            Self::Other(object) => &mut object.meta,
        }
    }

    /// The object's kind, as its API spells it; but `CalicoNetworkPolicy` for Calico's
    /// NetworkPolicy, so that no two kinds have one name.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Namespace(_) => "Namespace",
            Self::Node(_) => "Node",
            Self::Pod(_) => "Pod",
            Self::Workload(object) => object.kind.as_str(),
            Self::Service(_) => "Service",
            Self::EndpointSlice(_) => "EndpointSlice",
            Self::NetworkPolicy(_) => "NetworkPolicy",
            Self::TierPolicy(object) => object.kind.as_str(),
            Self::Exposure(object) => object.kind(),
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::Cilium(object) => object.kind(),
            Self::Calico(object) if object.kind() == "NetworkPolicy" => "CalicoNetworkPolicy",
            Self::Calico(object) => object.kind(),
            Self::Host(_) => "Host",
            Self::Other(object) => &object.kind,
        }
    }
}

/// v1 Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Metadata; labels always carry `kubernetes.io/metadata.name` after parsing.
    pub meta: Meta,
}

/// v1 Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Metadata.
    pub meta: Meta,
    /// status.addresses of type InternalIP and ExternalIP.
    pub addresses: Vec<IpAddr>,
    /// spec.podCIDRs.
    pub pod_cidrs: Vec<ipnet::IpNet>,
}

/// A VM or plain host (`apiVersion: sekisho.dev/v1alpha1`, `kind: Host`): a subject of
/// NetworkPolicy through its labels, in the namespace that holds it.
///
/// ```yaml
/// apiVersion: sekisho.dev/v1alpha1
/// kind: Host
/// metadata: {name: legacy-db, namespace: hosts, labels: {app: legacy-db}}
/// spec:
///   addresses: [192.0.2.10]     # may be left out in the lab, which then gives one
///   containers: [...]           # lab only: processes to run, as in a Pod
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Metadata.
    pub meta: Meta,
    /// spec.addresses.
    pub addresses: Vec<IpAddr>,
    /// spec.containers: ports name what listens; `command` is run by the lab.
    pub containers: Vec<Container>,
}

/// v1 Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Metadata.
    pub meta: Meta,
    /// spec.type; `ClusterIP` if absent.
    pub service_type: String,
    /// spec.clusterIPs; empty = none given or headless (see `headless`).
    pub cluster_ips: Vec<IpAddr>,
    /// spec.clusterIP is `None`.
    pub headless: bool,
    /// spec.selector; empty = endpoints are managed by hand.
    pub selector: Labels,
    /// spec.ports.
    pub ports: Vec<ServicePort>,
    /// spec.externalName.
    pub external_name: Option<String>,
    /// spec.externalIPs, of any type of Service.
    #[serde(default)]
    pub external_ips: Vec<IpAddr>,
    /// status.loadBalancer.ingress[].ip, or spec.loadBalancerIP if there is none.
    #[serde(default)]
    pub load_balancer_ips: Vec<IpAddr>,
    /// spec.loadBalancerSourceRanges of a LoadBalancer; empty = all may come.
    #[serde(default)]
    pub source_ranges: Vec<ipnet::IpNet>,
    /// spec.externalTrafficPolicy is `Local`: traffic from outside keeps its source address, and
    /// goes only to pods of the node where it arrives.
    #[serde(default)]
    pub external_local: bool,
}

/// spec.ports[] of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// name; empty if absent.
    pub name: String,
    /// protocol; TCP if absent.
    pub protocol: Protocol,
    /// port.
    pub port: u16,
    /// targetPort; `port` if absent.
    pub target_port: PortRef,
    /// nodePort.
    pub node_port: Option<u16>,
}

/// An object of a kind we do not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherObject {
    /// apiVersion.
    pub api_version: String,
    /// kind.
    pub kind: String,
    /// Metadata, as far as it is there.
    pub meta: Meta,
}
