//! The cluster that the edges are of: a pod, its replica set and its namespace for each workload.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use sekisho_model::{EdgeKey, Party, Timestamp};
use serde_json::{Value, json};

/// Writes the lines of a watch.
pub(crate) fn write(path: &Path, keys: &[EdgeKey], start_s: u64) -> anyhow::Result<()> {
    let parties = keys.iter().flat_map(|key| [&key.source, &key.destination]);
    let pods: BTreeMap<&str, &Party> =
        parties.map(|party| (party.pod.as_str(), party.as_ref())).collect();
    let mut objects = BTreeMap::new();
    for pod in pods.values() {
        let namespace = &pod.workload.namespace;
        objects.insert(format!("0/{namespace}"), namespace_of(namespace));
        objects.insert(format!("1/{}", pod.pod), replica_set(pod));
        objects.insert(format!("2/{}", pod.pod), pod_of(pod));
    }
    let time = Timestamp::from_seconds(start_s).to_string();
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for object in objects.values() {
        writeln!(file, "{}", json!({ "time": time, "type": "ADDED", "object": object }))?;
    }
    Ok(file.flush()?)
}

fn namespace_of(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name, "uid": name, "labels": { "kubernetes.io/metadata.name": name }
        },
    })
}

fn replica_set(pod: &Party) -> Value {
    let (name, namespace) = (&pod.workload.name, &pod.workload.namespace);
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{name}-set"), "namespace": namespace, "uid": format!("{name}-set"),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": name,
                "controller": true,
            }],
        },
        "spec": {
            "selector": { "matchLabels": pod.labels },
            "template": {
                "metadata": { "labels": pod.labels },
                "spec": { "containers": [{ "name": "main", "image": "service:1" }] },
            },
        },
    })
}

fn pod_of(pod: &Party) -> Value {
    let set = format!("{}-set", pod.workload.name);
    let address = pod.address.map(|address| address.to_string()).unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.pod, "namespace": pod.workload.namespace, "uid": pod.pod,
            "labels": pod.labels,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": set,
                "controller": true,
            }],
        },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "main", "image": "service:1" }] },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
        },
    })
}
