//! Who is in the cluster, as np-guard/netpol-analyzer sees it.

use std::collections::BTreeMap;

use sekisho_manifest::{Object, Pod, Workload};
use sekisho_model::{PartyKind, WorkloadRef};

use crate::cluster::name_with_kind;
use crate::{Cluster, Endpoint};

/// Reads the cluster off its objects: every pod whatever its phase, as one of its direct owner;
/// and every workload that has a template, whether or not its pods are listed too.
#[must_use]
pub fn cluster(objects: &[Object]) -> Cluster {
    let mut cluster = Cluster::from_objects(objects);
    let hosts = cluster.endpoints.iter().filter(|endpoint| endpoint.kind == PartyKind::Host);
    let mut endpoints: Vec<Endpoint> = hosts.cloned().collect();
    let mut pods = BTreeMap::new();
    let mut templates = BTreeMap::new();
    for object in objects {
        match object {
            // A later object of the same name replaces an earlier one.
            Object::Pod(pod) => {
                let endpoint = pod_endpoint(pod);
                pods.insert((endpoint.namespace.clone(), endpoint.name.clone()), endpoint);
            }
            Object::Workload(workload) => {
                let endpoint = template_endpoint(workload);
                templates.insert(endpoint.workload.clone(), endpoint);
            }
            Object::Namespace(_)
            | Object::Node(_)
            | Object::Service(_)
            | Object::EndpointSlice(_)
            | Object::NetworkPolicy(_)
            | Object::TierPolicy(_)
            | Object::Exposure(_)
            | Object::ServiceAccount(_)
            | Object::Cilium(_)
            | Object::Calico(_)
            | Object::Host(_)
            | Object::Other(_) => {}
        }
    }
    for mut endpoint in templates.into_values() {
        let key = (endpoint.namespace.clone(), endpoint.name.clone());
        // Two kinds of workloads may share a name, and so may a workload and a pod.
        if pods.contains_key(&key) {
            endpoint.name = name_with_kind(&endpoint.workload);
        }
        pods.insert((endpoint.namespace.clone(), endpoint.name.clone()), endpoint);
    }
    endpoints.extend(pods.into_values());
    endpoints.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    cluster.endpoints = endpoints;
    cluster
}

fn pod_endpoint(pod: &Pod) -> Endpoint {
    let owner = pod.meta.owner.as_ref().filter(|owner| owner.kind != "Node");
    let (name, kind) = match owner {
        Some(owner) if owner.kind.is_empty() => (&owner.name, "Pod"),
        Some(owner) => (&owner.name, owner.kind.as_str()),
        None => (&pod.meta.name, "Pod"),
    };
    Endpoint {
        namespace: pod.meta.namespace.clone(),
        name: pod.meta.name.clone(),
        workload: workload(&pod.meta.namespace, name, kind),
        kind: PartyKind::Pod,
        labels: pod.meta.labels.clone(),
        addresses: pod.status.pod_ips.iter().map(|address| address.to_canonical()).collect(),
        ports: pod.spec.ports().cloned().collect(),
        host_network: pod.spec.host_network,
        node: pod.spec.node_name.clone(),
        service_account: pod.spec.service_account.clone(),
    }
}

fn template_endpoint(of: &Workload) -> Endpoint {
    let own = workload(&of.meta.namespace, &of.meta.name, of.kind.as_str());
    Endpoint {
        namespace: own.namespace.clone(),
        name: own.name.clone(),
        workload: own,
        kind: PartyKind::Pod,
        labels: of.template.labels.clone(),
        addresses: Vec::new(),
        ports: of.template.spec.ports().cloned().collect(),
        host_network: of.template.spec.host_network,
        node: None,
        service_account: of.template.spec.service_account.clone(),
    }
}

fn workload(namespace: &str, name: &str, kind: &str) -> WorkloadRef {
    WorkloadRef { namespace: namespace.to_owned(), name: name.to_owned(), kind: kind.to_owned() }
}
