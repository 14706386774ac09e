//! Reads the state of a cluster off its objects.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{Host, Node, Object, OwnerRef, Pod, PodPhase, Workload, WorkloadKind};
use sekisho_model::{Labels, PartyKind, WorkloadRef};

use crate::cluster::default_labels;
use crate::{Cluster, Endpoint};

/// Owners that are followed upwards; real chains have two.
const OWNER_STEPS_MAX: usize = 8;
/// Digits at the end of the name of a CronJob's Job: minutes since 1970.
const CRON_SUFFIX_DIGITS_MIN: usize = 8;
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// namespace, name, kind: what tells endpoints apart, in their order.
type EndpointKey = (String, String, PartyKind);

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
        let owners = Owners::of(objects);
        let mut cluster = Self::default();
        let mut endpoints = BTreeMap::new();
        let mut services = BTreeMap::new();
        for object in objects {
            match object {
                Object::Namespace(namespace) => {
                    let mut labels = default_labels(&namespace.meta.name);
                    labels.extend(namespace.meta.labels.clone());
                    cluster.namespaces.insert(namespace.meta.name.clone(), labels);
                }
                Object::Node(node) => cluster.add_node(node),
                Object::Pod(pod) => {
                    let endpoint = pod_endpoint(pod, &owners);
                    if is_alive(pod) {
                        endpoints.insert(key(&endpoint), endpoint);
                    } else {
                        endpoints.remove(&key(&endpoint));
                    }
                }
                Object::Host(host) => {
                    let endpoint = host_endpoint(host);
                    endpoints.insert(key(&endpoint), endpoint);
                }
                Object::Service(service) => {
                    let key = (service.meta.namespace.clone(), service.meta.name.clone());
                    services.insert(key, service.clone());
                }
                Object::Workload(_)
                | Object::NetworkPolicy(_)
                | Object::TierPolicy(_)
                | Object::Exposure(_)
                | Object::ServiceAccount(_)
                | Object::Other(_) => {}
            }
        }
        add_templates(objects, &owners, &mut endpoints);
        cluster.endpoints = endpoints.into_values().collect();
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
    fn add_implied(&mut self, objects: &[Object]) {
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

fn key(endpoint: &Endpoint) -> EndpointKey {
    (endpoint.namespace.clone(), endpoint.name.clone(), endpoint.kind)
}

fn is_alive(pod: &Pod) -> bool {
    match pod.status.phase {
        PodPhase::Succeeded | PodPhase::Failed => false,
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => true,
    }
}

fn pod_endpoint(pod: &Pod, owners: &Owners) -> Endpoint {
    Endpoint {
        namespace: pod.meta.namespace.clone(),
        name: pod.meta.name.clone(),
        workload: owners.top_of_pod(pod),
        kind: PartyKind::Pod,
        labels: pod.meta.labels.clone(),
        addresses: pod.status.pod_ips.iter().map(|address| address.to_canonical()).collect(),
        ports: pod.spec.ports().cloned().collect(),
        host_network: pod.spec.host_network,
        node: pod.spec.node_name.clone(),
        service_account: pod.spec.service_account.clone(),
    }
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

fn reference(namespace: &str, name: &str, kind: &str) -> WorkloadRef {
    WorkloadRef { namespace: namespace.to_owned(), name: name.to_owned(), kind: kind.to_owned() }
}

/// Adds one endpoint for each topmost workload that no live pod belongs to.
fn add_templates(
    objects: &[Object],
    owners: &Owners,
    endpoints: &mut BTreeMap<EndpointKey, Endpoint>,
) {
    let alive: BTreeSet<WorkloadRef> =
        endpoints.values().map(|endpoint| endpoint.workload.clone()).collect();
    for object in objects {
        let Object::Workload(workload) = object else { continue };
        let own = reference(&workload.meta.namespace, &workload.meta.name, workload.kind.as_str());
        let top = owners.top(own.clone(), &Labels::new());
        let retired = workload.kind == WorkloadKind::ReplicaSet && workload.replicas == 0;
        // An owner that is listed itself speaks for what it owns.
        if alive.contains(&top) || (top != own && (owners.is_listed(&top) || retired)) {
            continue;
        }
        let endpoint = template_endpoint(workload, top);
        endpoints.entry(key(&endpoint)).or_insert(endpoint);
    }
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
        service_account: workload.template.spec.service_account.clone(),
    }
}

/// Who owns what.
struct Owners {
    /// Each listed workload, with its owner.
    owner_of: BTreeMap<WorkloadRef, Option<OwnerRef>>,
}

impl Owners {
    fn of(objects: &[Object]) -> Self {
        let workloads = objects.iter().filter_map(|object| {
            let Object::Workload(workload) = object else { return None };
            let meta = &workload.meta;
            let own = reference(&meta.namespace, &meta.name, workload.kind.as_str());
            Some((own, meta.owner.clone()))
        });
        Self { owner_of: workloads.collect() }
    }

    fn is_listed(&self, workload: &WorkloadRef) -> bool {
        self.owner_of.contains_key(workload)
    }

    fn top_of_pod(&self, pod: &Pod) -> WorkloadRef {
        let namespace = &pod.meta.namespace;
        match &pod.meta.owner {
            // A static pod is owned by its node, which is no workload.
            Some(owner) if owner.kind != "Node" => {
                let kind = if owner.kind.is_empty() { "Pod" } else { &owner.kind };
                self.top(reference(namespace, &owner.name, kind), &pod.meta.labels)
            }
            _ => reference(namespace, &pod.meta.name, "Pod"),
        }
    }

    /// Follows owners upwards from `first`. `labels` are those of the pod that asks: they tell the
    /// Deployment of a ReplicaSet that is not listed.
    fn top(&self, first: WorkloadRef, labels: &Labels) -> WorkloadRef {
        let mut top = first;
        for _ in 0..OWNER_STEPS_MAX {
            let next = match self.owner_of.get(&top) {
                Some(Some(owner)) => Some(reference(&top.namespace, &owner.name, &owner.kind)),
                Some(None) => None,
                None => self.guess(&top, labels),
            };
            match next {
                Some(next) if next != top => top = next,
                _ => break,
            }
        }
        top
    }

    /// The owner of a workload that is not listed, told from its name.
    fn guess(&self, workload: &WorkloadRef, labels: &Labels) -> Option<WorkloadRef> {
        match workload.kind.as_str() {
            "ReplicaSet" => {
                let hash = labels.get(TEMPLATE_HASH_LABEL)?;
                let name = workload.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
                (!name.is_empty()).then(|| reference(&workload.namespace, name, "Deployment"))
            }
            "Job" => {
                let (name, digits) = workload.name.rsplit_once('-')?;
                let timed = digits.len() >= CRON_SUFFIX_DIGITS_MIN
                    && digits.bytes().all(|c| c.is_ascii_digit());
                // The name alone proves nothing: only a CronJob that is there is believed.
                let cron = reference(&workload.namespace, name, "CronJob");
                (timed && self.is_listed(&cron)).then_some(cron)
            }
            _ => None,
        }
    }
}
