//! Who is in the cluster, as np-guard/netpol-analyzer sees it.

use std::collections::BTreeSet;

use sekisho_manifest::{Object, Pod, Workload};
use sekisho_model::{PartyKind, WorkloadRef};

use crate::{Cluster, Endpoint};

/// Reads the cluster off its objects: every pod whatever its phase, as one of its direct owner;
/// and every workload that has a template, whether or not its pods are listed too.
#[must_use]
pub fn cluster(objects: &[Object]) -> Cluster {
    let mut cluster = Cluster::from_objects(objects);
    let hosts = cluster.endpoints.iter().filter(|endpoint| endpoint.kind == PartyKind::Host);
    let mut endpoints: Vec<Endpoint> = hosts.cloned().collect();
    let mut names = BTreeSet::new();
    for object in objects {
        let endpoint = match object {
            Object::Pod(pod) => pod_endpoint(pod),
            Object::Workload(workload) => template_endpoint(workload, &names),
            Object::Namespace(_)
            | Object::Node(_)
            | Object::Service(_)
            | Object::NetworkPolicy(_)
            | Object::TierPolicy(_)
            | Object::Exposure(_)
            | Object::ServiceAccount(_)
            | Object::Cilium(_)
            | Object::Calico(_)
            | Object::Host(_)
            | Object::Other(_) => continue,
        };
        let key = (endpoint.namespace.clone(), endpoint.name.clone());
        if !names.insert(key) {
            // A later object of the same name replaces an earlier one.
            endpoints
                .retain(|one| (&one.namespace, &one.name) != (&endpoint.namespace, &endpoint.name));
        }
        endpoints.push(endpoint);
    }
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

fn template_endpoint(of: &Workload, taken: &BTreeSet<(String, String)>) -> Endpoint {
    let own = workload(&of.meta.namespace, &of.meta.name, of.kind.as_str());
    let is_taken = taken.contains(&(own.namespace.clone(), own.name.clone()));
    // Two kinds of workloads may share a name, and so may a workload and a pod.
    let name = if is_taken { format!("{} ({})", own.name, own.kind) } else { own.name.clone() };
    Endpoint {
        namespace: own.namespace.clone(),
        name,
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
