//! What evaluation needs to know of a cluster: namespaces, endpoints and nodes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_manifest::{ContainerPort, Service};
use sekisho_model::{Labels, PartyKind, Protocol, WorkloadRef};
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
    /// Node -> its labels.
    #[serde(default)]
    pub node_labels: BTreeMap<String, Labels>,
    /// Namespace -> service account -> its labels.
    #[serde(default)]
    pub service_accounts: BTreeMap<String, BTreeMap<String, Labels>>,
    /// Namespace -> Service without a selector -> who its EndpointSlices say stands behind it,
    /// sorted. The API server itself is one.
    #[serde(default)]
    pub outside_backends: BTreeMap<String, BTreeMap<String, Vec<OutsideBackend>>>,
}

/// An address behind a port of a Service that selects no pods (discovery.k8s.io/v1 EndpointSlice).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutsideBackend {
    /// Port of the Service.
    pub service_port: u16,
    /// Protocol of both ports.
    pub protocol: Protocol,
    /// Address behind it.
    pub address: IpAddr,
    /// Port there.
    pub port: u16,
}

impl Cluster {
    /// Who stands behind a port of a Service that selects no pods; nobody if that is not known.
    pub fn outside_backends(
        &self,
        namespace: &str,
        service: &str,
        protocol: Protocol,
        port: u16,
    ) -> impl Iterator<Item = &OutsideBackend> {
        let all = self.outside_backends.get(namespace).and_then(|services| services.get(service));
        all.into_iter()
            .flatten()
            .filter(move |one| one.service_port == port && one.protocol == protocol)
    }
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
    /// Service account the pod runs as, in its own namespace.
    #[serde(default)]
    pub service_account: Option<String>,
}

/// Label that every namespace carries (Kubernetes v1.34, NamespaceDefaultLabelName).
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Cluster {
    /// The labels of a namespace. One that is not known has only the label that every namespace
    /// carries, `kubernetes.io/metadata.name`.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &str) -> Labels {
        self.labels_of_namespace(namespace).into_owned()
    }

    pub(crate) fn labels_of_namespace(&self, namespace: &str) -> Cow<'_, Labels> {
        match self.namespaces.get(namespace) {
            Some(labels) => Cow::Borrowed(labels),
            None => Cow::Owned(default_labels(namespace)),
        }
    }

    /// The pod `name`; None if there is none that is alive.
    #[must_use]
    pub fn endpoint_of_pod(&self, namespace: &str, name: &str) -> Option<&Endpoint> {
        let wanted = |endpoint: &Endpoint| {
            endpoint.kind == PartyKind::Pod
                && endpoint.namespace == namespace
                && endpoint.name == name
        };
        let start = self.endpoints.partition_point(|endpoint| {
            (endpoint.namespace.as_str(), endpoint.name.as_str()) < (namespace, name)
        });
        let near =
            self.endpoints.get(start..).unwrap_or_default().iter().take(2).find(|e| wanted(e));
        // A cluster that was put together by hand may not be sorted.
        near.or_else(|| self.endpoints.iter().find(|endpoint| wanted(endpoint)))
    }

    /// The first endpoint of the workload `name` of any kind, hosts included.
    #[must_use]
    pub fn endpoint_of_workload(&self, namespace: &str, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.belongs_to(namespace, name))
    }

    /// All endpoints of the workload `name` of any kind, hosts included, by name.
    pub fn endpoints_of_workload<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints.iter().filter(move |endpoint| endpoint.belongs_to(namespace, name))
    }

    /// The pod or host that has the address; never a host-network pod, whose address is its
    /// node's. IPv4-mapped IPv6 addresses count as IPv4. Takes time linear in the endpoints.
    #[must_use]
    pub fn endpoint_at(&self, address: IpAddr) -> Option<&Endpoint> {
        let address = address.to_canonical();
        self.endpoints.iter().find(|endpoint| {
            !endpoint.host_network
                && endpoint.addresses.iter().any(|own| own.to_canonical() == address)
        })
    }

    /// The node that has the address.
    #[must_use]
    pub fn node_at(&self, address: IpAddr) -> Option<&str> {
        let address = address.to_canonical();
        let has = |own: &Vec<IpAddr>| own.iter().any(|own| own.to_canonical() == address);
        self.nodes.iter().find(|(_, own)| has(own)).map(|(name, _)| name.as_str())
    }
}

impl Endpoint {
    fn belongs_to(&self, namespace: &str, name: &str) -> bool {
        self.workload.namespace == namespace && self.workload.name == name
    }

    /// Whether both are the same pod or host.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.namespace == other.namespace && self.name == other.name
    }

    /// Whether this endpoint stands for all pods of a workload whose pods are not listed. Such pods
    /// reach each other through policy, unlike a pod that reaches itself.
    #[must_use]
    pub fn stands_for_many(&self) -> bool {
        let is_workload =
            self.name == self.workload.name || self.name == name_with_kind(&self.workload);
        self.addresses.is_empty()
            && is_workload
            && !matches!(self.workload.kind.as_str(), "Pod" | "Host")
    }
}

/// What the endpoint of a workload is called if something else in its namespace has its name.
pub(crate) fn name_with_kind(workload: &WorkloadRef) -> String {
    format!("{} ({})", workload.name, workload.kind)
}

/// The labels of a namespace whose object is not known.
pub(crate) fn default_labels(namespace: &str) -> Labels {
    Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), namespace.to_owned())])
}
