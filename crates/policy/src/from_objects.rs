//! Reads the state of a cluster off its objects.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use sekisho_manifest::{
    ContainerPort, EndpointSlice, Host, Node, Object, OtherObject, OwnerRef, Pod, PodPhase,
    Service, Workload, WorkloadKind,
};
use sekisho_model::{Labels, PartyKind, WorkloadRef};

use crate::cluster::{default_labels, name_with_kind};
use crate::owners::{Owner, Owners, reference, top_of, top_of_pod};
use crate::{Cluster, Endpoint, OutsideBackend};

/// Service account of pods that name none (Kubernetes v1.34, admission plugin ServiceAccount).
const DEFAULT_SERVICE_ACCOUNT: &str = "default";
/// Kinds that the watch of a live cluster keeps only name and owner of.
const LINK_KINDS: &[(&str, &str)] = &[("apps/v1", "ReplicaSet"), ("batch/v1", "Job")];

impl Cluster {
    /// Reads the state of a cluster off its objects; a later object of the same name replaces an
    /// earlier one.
    ///
    /// Pods belong to their topmost owner, as far as `ownerReferences` lead. Pods that ended
    /// (Succeeded, Failed) have given up their address and are left out. A workload without live
    /// pods becomes one endpoint without address, made from its template. Namespaces that only
    /// other objects name get the label that every namespace carries.
    #[must_use]
    pub fn from_objects(objects: &[Object]) -> Self {
        Self::from_shared(&objects.iter().collect::<Vec<_>>())
    }

    /// The same as [`Cluster::from_objects`], of objects that others hold, too: only what the
    /// cluster keeps is copied.
    #[must_use]
    pub fn from_shared(objects: &[&Object]) -> Self {
        let listed = Listed::of(objects);
        let pods = objects.iter().filter_map(|object| {
            let Object::Pod(pod) = object else { return None };
            Some(pod_endpoint(pod, &listed))
        });
        Self::build(objects, &listed, pods)
    }

    /// The same as [`Cluster::from_objects`], of a list that is not needed afterwards: what pods
    /// hold is moved, which takes half the memory.
    #[must_use]
    pub fn from_owned(mut objects: Vec<Object>) -> Self {
        let listed = Listed::of(&objects.iter().collect::<Vec<_>>());
        let pods: Vec<Endpoint> = objects
            .iter_mut()
            .filter_map(|object| {
                let Object::Pod(pod) = object else { return None };
                Some(taken_endpoint(pod, &listed))
            })
            .collect();
        Self::build(&objects.iter().collect::<Vec<_>>(), &listed, pods)
    }

    /// `pods` = the endpoints of the pods among `objects`, in their order.
    fn build(
        objects: &[&Object],
        listed: &Listed,
        pods: impl IntoIterator<Item = Endpoint>,
    ) -> Self {
        let mut pods = pods.into_iter();
        let mut cluster = Self::default();
        let mut endpoints = Vec::new();
        let mut services = BTreeMap::new();
        let mut slices: BTreeMap<(String, String), Vec<&EndpointSlice>> = BTreeMap::new();
        for object in objects {
            match object {
                Object::Namespace(namespace) => {
                    let mut labels = default_labels(&namespace.meta.name);
                    labels.extend(namespace.meta.labels.clone());
                    cluster.namespaces.insert(namespace.meta.name.clone(), labels);
                }
                Object::Node(node) => cluster.add_node(node),
                Object::Pod(pod) => {
                    endpoints.extend(pods.next().map(|endpoint| (endpoint, is_alive(pod))));
                }
                Object::Host(host) => endpoints.push((host_endpoint(host), true)),
                Object::Service(service) => {
                    let key = (service.meta.namespace.clone(), service.meta.name.clone());
                    services.insert(key, service.clone());
                }
                Object::ServiceAccount(account) => {
                    let namespace = account.meta.namespace.clone();
                    let accounts = cluster.service_accounts.entry(namespace).or_default();
                    accounts.insert(account.meta.name.clone(), account.meta.labels.clone());
                }
                Object::EndpointSlice(slice) => {
                    if let Some(service) = slice.service() {
                        let key = (slice.meta.namespace.clone(), service.to_owned());
                        slices.entry(key).or_default().push(slice);
                    }
                }
                Object::Workload(_)
                | Object::NetworkPolicy(_)
                | Object::TierPolicy(_)
                | Object::Exposure(_)
                | Object::Cilium(_)
                | Object::Calico(_)
                | Object::Other(_) => {}
            }
        }
        cluster.endpoints = latest(endpoints);
        add_templates(objects, listed, &mut cluster.endpoints);
        cluster.outside_backends = outside_backends(&services, &slices);
        cluster.services = services.into_values().collect();
        cluster.add_implied(objects);
        cluster
    }

    fn add_node(&mut self, node: &Node) {
        let addresses = node.addresses.iter().map(|address| address.to_canonical()).collect();
        self.nodes.insert(node.meta.name.clone(), addresses);
        self.node_labels.insert(node.meta.name.clone(), node.meta.labels.clone());
    }

    /// Adds the namespaces and nodes that other objects name.
    fn add_implied(&mut self, objects: &[&Object]) {
        for object in objects {
            let namespace = &object.meta().namespace;
            if !namespace.is_empty() && !self.namespaces.contains_key(namespace) {
                self.namespaces.insert(namespace.clone(), default_labels(namespace));
            }
            if let Object::Pod(Pod { spec, status, .. }) = object
                && let Some(node) = &spec.node_name
                && let Some(address) = status.host_ip
                && !self.nodes.contains_key(node)
            {
                self.nodes.insert(node.clone(), vec![address.to_canonical()]);
            }
        }
    }
}

/// What tells endpoints apart, in their order.
fn key(endpoint: &Endpoint) -> (&str, &str, PartyKind) {
    (&endpoint.namespace, &endpoint.name, endpoint.kind)
}

/// The last of each endpoint, if that is alive; in order.
fn latest(mut endpoints: Vec<(Endpoint, bool)>) -> Vec<Endpoint> {
    // Stable, so that a later one of the same key stays behind an earlier one.
    endpoints.sort_by(|(a, _), (b, _)| key(a).cmp(&key(b)));
    endpoints.dedup_by(|later, kept| {
        let same = key(&later.0) == key(&kept.0);
        if same {
            mem::swap(later, kept);
        }
        same
    });
    endpoints.into_iter().filter_map(|(endpoint, alive)| alive.then_some(endpoint)).collect()
}

fn is_alive(pod: &Pod) -> bool {
    match pod.status.phase {
        PodPhase::Succeeded | PodPhase::Failed => false,
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => true,
    }
}

fn pod_endpoint(pod: &Pod, listed: &Listed) -> Endpoint {
    Endpoint {
        namespace: pod.meta.namespace.clone(),
        name: pod.meta.name.clone(),
        workload: top_of_pod(pod, listed),
        kind: PartyKind::Pod,
        labels: pod.meta.labels.clone(),
        addresses: pod.status.pod_ips.iter().map(|address| address.to_canonical()).collect(),
        ports: pod.spec.ports().cloned().collect(),
        host_network: pod.spec.host_network,
        node: pod.spec.node_name.clone(),
        service_account: Some(account_of(pod.spec.service_account.as_deref())),
    }
}

/// The same as [`pod_endpoint`], but takes from the pod what nobody else will ask it for.
fn taken_endpoint(pod: &mut Pod, listed: &Listed) -> Endpoint {
    let workload = top_of_pod(pod, listed);
    let sidecars = mem::take(&mut pod.spec.init_containers).into_iter().filter(|c| c.sidecar);
    let containers = mem::take(&mut pod.spec.containers).into_iter().chain(sidecars);
    let mut ports: Vec<ContainerPort> = containers.flat_map(|container| container.ports).collect();
    ports.shrink_to_fit();
    Endpoint {
        namespace: pod.meta.namespace.clone(),
        name: mem::take(&mut pod.meta.name),
        workload,
        kind: PartyKind::Pod,
        labels: mem::take(&mut pod.meta.labels),
        addresses: pod.status.pod_ips.iter().map(|address| address.to_canonical()).collect(),
        ports,
        host_network: pod.spec.host_network,
        node: pod.spec.node_name.clone(),
        service_account: Some(account_of(pod.spec.service_account.as_deref())),
    }
}

/// The service account of a pod; one that names none runs as `default`.
fn account_of(given: Option<&str>) -> String {
    given.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_SERVICE_ACCOUNT).to_owned()
}

fn host_endpoint(host: &Host) -> Endpoint {
    let meta = &host.meta;
    Endpoint {
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        workload: reference(&meta.namespace, &meta.name, "Host"),
        kind: PartyKind::Host,
        labels: meta.labels.clone(),
        addresses: host.addresses.iter().map(|address| address.to_canonical()).collect(),
        ports: host.containers.iter().flat_map(|container| container.ports.clone()).collect(),
        host_network: false,
        node: None,
        service_account: None,
    }
}

/// Adds one endpoint for each topmost workload that no live pod belongs to.
fn add_templates(objects: &[&Object], listed: &Listed, endpoints: &mut Vec<Endpoint>) {
    let alive: BTreeSet<&WorkloadRef> =
        endpoints.iter().map(|endpoint| &endpoint.workload).collect();
    let mut found = Templates::new();
    for object in objects {
        let Object::Workload(workload) = object else { continue };
        let own = reference(&workload.meta.namespace, &workload.meta.name, workload.kind.as_str());
        let top = top_of(own.clone(), &Labels::new(), listed);
        let retired = workload.kind == WorkloadKind::ReplicaSet && workload.replicas == 0;
        // An owner that is listed itself speaks for what it owns.
        if alive.contains(&top) || (top != own && (listed.owner_of.contains_key(&top) || retired)) {
            continue;
        }
        let mut endpoint = template_endpoint(workload, top);
        let is_other = |one: &Endpoint| one.workload != endpoint.workload;
        if found_in(endpoints, &found, &endpoint).is_some_and(is_other) {
            endpoint.name = name_with_kind(&endpoint.workload);
        }
        if found_in(endpoints, &found, &endpoint).is_none() {
            found.insert((endpoint.namespace.clone(), endpoint.name.clone()), endpoint);
        }
    }
    endpoints.extend(found.into_values());
    endpoints.sort_by(|a, b| key(a).cmp(&key(b)));
}

/// Endpoints made from templates, by namespace and name.
type Templates = BTreeMap<(String, String), Endpoint>;

/// The one of the sorted `endpoints`, or of the templates, that has the key of `wanted`.
fn found_in<'a>(
    endpoints: &'a [Endpoint],
    templates: &'a Templates,
    wanted: &Endpoint,
) -> Option<&'a Endpoint> {
    let index = endpoints.binary_search_by(|known| key(known).cmp(&key(wanted)));
    let template = || templates.get(&(wanted.namespace.clone(), wanted.name.clone()));
    index.ok().and_then(|index| endpoints.get(index)).or_else(template)
}

fn template_endpoint(workload: &Workload, top: WorkloadRef) -> Endpoint {
    Endpoint {
        namespace: workload.meta.namespace.clone(),
        name: top.name.clone(),
        workload: top,
        kind: PartyKind::Pod,
        labels: workload.template.labels.clone(),
        addresses: Vec::new(),
        ports: workload.template.spec.ports().cloned().collect(),
        host_network: workload.template.spec.host_network,
        node: None,
        service_account: Some(account_of(workload.template.spec.service_account.as_deref())),
    }
}

fn link_kind(link: &OtherObject) -> (&str, &str) {
    (&link.api_version, &link.kind)
}

/// The workloads of a list.
struct Listed {
    /// Each with its owner.
    owner_of: BTreeMap<WorkloadRef, Option<OwnerRef>>,
}

impl Listed {
    fn of(objects: &[&Object]) -> Self {
        let workloads = objects.iter().filter_map(|object| {
            let (meta, kind) = match object {
                Object::Workload(workload) => (&workload.meta, workload.kind.as_str()),
                // Of a live ReplicaSet or Job only name and owner are known: it leads upwards, and
                // is no subject of its own.
                Object::Other(link) if LINK_KINDS.contains(&link_kind(link)) => {
                    (&link.meta, link.kind.as_str())
                }
                _no_link => return None,
            };
            let own = reference(&meta.namespace, &meta.name, kind);
            Some((own, meta.owner.clone()))
        });
        Self { owner_of: workloads.collect() }
    }
}

impl Owners for Listed {
    fn owner_of(&self, workload: &WorkloadRef) -> Owner<'_> {
        match self.owner_of.get(workload) {
            Some(Some(owner)) => Owner::Object(owner),
            Some(None) => Owner::Nobody,
            None => Owner::Unknown,
        }
    }
}

/// Who stands behind the Services that select no pods.
fn outside_backends(
    services: &BTreeMap<(String, String), Service>,
    slices: &BTreeMap<(String, String), Vec<&EndpointSlice>>,
) -> BTreeMap<String, BTreeMap<String, Vec<OutsideBackend>>> {
    let mut found: BTreeMap<String, BTreeMap<String, Vec<OutsideBackend>>> = BTreeMap::new();
    for (key, slices) in slices {
        let Some(service) = services.get(key).filter(|service| service.selector.is_empty()) else {
            continue;
        };
        let mut backends: Vec<OutsideBackend> = Vec::new();
        for slice in slices {
            for own in &slice.ports {
                let of = service
                    .ports
                    .iter()
                    .find(|port| port.name == own.name && port.protocol == own.protocol);
                let Some(of) = of else { continue };
                backends.extend(slice.addresses.iter().map(|address| OutsideBackend {
                    service_port: of.port,
                    protocol: own.protocol,
                    address: address.to_canonical(),
                    port: own.port,
                }));
            }
        }
        backends.sort_unstable();
        backends.dedup();
        found.entry(key.0.clone()).or_default().insert(key.1.clone(), backends);
    }
    found
}
