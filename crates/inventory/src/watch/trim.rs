//! From an object of the API server to ours: cut to what is used, then read by the one parser.
//!
//! Pods, Services, nodes and templates are cut to a list of fields, so that a newer release with
//! fields of its own is read all the same. Policies are not: one with a field that we don't know is
//! refused, because it may mean something else than what we would make of it.

use kube::core::ApiResource;
use kube::core::ObjectMeta;
use sekisho_manifest::{Meta, Object, OtherObject, OwnerRef, read};
use sekisho_model::Timestamp;
use serde_json::{Map, Value, json};

use super::kinds::{Form, Served};
use super::raw::Raw;

/// Annotations of a pod that somebody asks for.
const POD_ANNOTATIONS: &[&str] =
    &["kubernetes.io/config.mirror", "prometheus.io/scrape", "prometheus.io/port"];
/// Annotations that only repeat the object.
const REPEATING: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 300;

/// Reads an object.
///
/// # Errors
/// What the parser can't understand: field and reason.
pub(crate) fn object(served: &Served, raw: Raw) -> Result<Object, String> {
    if served.form == Form::Link {
        return Ok(link(&served.resource, &raw.metadata));
    }
    let text = Value::Object(cut(served, raw)).to_string();
    let reading = read("", &text);
    if let Some(error) = reading.errors.first() {
        let field = if error.field.is_empty() { "the object" } else { error.field.as_str() };
        let reason = format!("{field}: {}", error.message);
        return Err(reason.chars().take(REASON_CHARS_MAX).collect());
    }
    let mut objects = reading.objects;
    let mut object = objects.pop().ok_or_else(|| "the object is empty".to_owned())?;
    // Where it stood in a text that nobody sees.
    object.meta_mut().position = Default::default();
    Ok(object)
}

/// An object of which nobody asks more than who owns it.
fn link(resource: &ApiResource, meta: &ObjectMeta) -> Object {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true));
    let owner = controller.or(if let [only] = owners { Some(only) } else { None });
    Object::Other(OtherObject {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
        meta: Meta {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            owner: owner
                .map(|owner| OwnerRef { kind: owner.kind.clone(), name: owner.name.clone() }),
            created: meta
                .creation_timestamp
                .as_ref()
                .and_then(|time| nanos(time.0.as_nanosecond())),
            ..Meta::default()
        },
    })
}

fn nanos(time: i128) -> Option<Timestamp> {
    u64::try_from(time).ok().map(Timestamp::from_nanos)
}

/// The object as JSON, without what is not used.
fn cut(served: &Served, raw: Raw) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("apiVersion".to_owned(), json!(served.resource.api_version));
    out.insert("kind".to_owned(), json!(served.resource.kind));
    out.insert("metadata".to_owned(), metadata(served.form, raw.metadata));
    let Raw { spec, specs, status, address_type, endpoints, ports, .. } = raw;
    let (spec, status) = match served.form {
        Form::Bare | Form::Link => (Value::Null, Value::Null),
        Form::Pod => (pod_spec(spec), pod_status(status)),
        Form::Template => (template_spec(spec), Value::Null),
        Form::Service => (service_spec(spec), pick(status, &["loadBalancer"])),
        Form::Slice => {
            put_slice(&mut out, address_type, endpoints, ports);
            (Value::Null, Value::Null)
        }
        Form::Node => (pick(spec, &["podCIDR", "podCIDRs"]), pick(status, &["addresses"])),
        Form::Spec => (spec, Value::Null),
    };
    for (name, value) in [("spec", spec), ("specs", specs), ("status", status)] {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    }
    out
}

fn metadata(form: Form, meta: ObjectMeta) -> Value {
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.remove(REPEATING);
    match form {
        Form::Pod => annotations.retain(|key, _| POD_ANNOTATIONS.contains(&key.as_str())),
        Form::Template | Form::Node | Form::Service | Form::Slice => annotations.clear(),
        Form::Bare | Form::Link | Form::Spec => {}
    }
    let owners: Vec<Value> = meta
        .owner_references
        .unwrap_or_default()
        .iter()
        .map(|owner| {
            json!({"kind": owner.kind, "name": owner.name,
                "controller": owner.controller.unwrap_or(false)})
        })
        .collect();
    let mut out = Map::new();
    let texts = [("name", meta.name), ("namespace", meta.namespace), ("uid", meta.uid)];
    for (name, value) in texts {
        if let Some(value) = value {
            out.insert(name.to_owned(), Value::String(value));
        }
    }
    if let Some(labels) = meta.labels.filter(|labels| !labels.is_empty()) {
        out.insert("labels".to_owned(), json!(labels));
    }
    if !annotations.is_empty() {
        out.insert("annotations".to_owned(), json!(annotations));
    }
    if !owners.is_empty() {
        out.insert("ownerReferences".to_owned(), Value::Array(owners));
    }
    if let Some(time) = meta.creation_timestamp {
        out.insert("creationTimestamp".to_owned(), json!(time.0.to_string()));
    }
    Value::Object(out)
}

/// Addresses and ports of a slice, whose fields stand at the top.
fn put_slice(out: &mut Map<String, Value>, kind: Value, endpoints: Value, ports: Value) {
    let endpoints = each(endpoints, |endpoint| pick(endpoint, &["addresses"]));
    let ports = each(ports, |port| pick(port, &["name", "protocol", "port"]));
    let fields = [("addressType", kind), ("endpoints", endpoints), ("ports", ports)];
    out.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

/// The named fields of an object; null stays null.
fn pick(value: Value, names: &[&str]) -> Value {
    let Value::Object(mut fields) = value else { return value };
    fields.retain(|name, value| names.contains(&name.as_str()) && !value.is_null());
    Value::Object(fields)
}

/// Applies `change` to the field `name`, if it is there.
fn within(value: &mut Value, name: &str, change: impl FnOnce(Value) -> Value) {
    if let Some(field) = value.get_mut(name) {
        *field = change(field.take());
    }
}

/// Applies `change` to each item of a list.
fn each(value: Value, change: impl Fn(Value) -> Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(change).collect()),
        other => other,
    }
}

fn pod_spec(spec: Value) -> Value {
    let mut spec = pick(
        spec,
        &[
            "nodeName",
            "hostNetwork",
            "serviceAccountName",
            "serviceAccount",
            "restartPolicy",
            "containers",
            "initContainers",
        ],
    );
    within(&mut spec, "containers", |list| each(list, container));
    within(&mut spec, "initContainers", |list| each(sidecars(list), container));
    spec
}

/// Addresses and times, and which image each container has: a tag may mean another one tomorrow.
fn pod_status(status: Value) -> Value {
    const STATUSES: [&str; 2] = ["containerStatuses", "initContainerStatuses"];
    let plain = ["phase", "podIP", "podIPs", "hostIP", "startTime"];
    let mut status = pick(status, &[&plain[..], &STATUSES].concat());
    for name in STATUSES {
        within(&mut status, name, |list| each(list, |one| pick(one, &["name", "imageID"])));
    }
    status
}

/// Init containers that go on running: the others have no ports when anybody could call them.
fn sidecars(list: Value) -> Value {
    let Value::Array(mut items) = list else { return list };
    items.retain(|item| item.get("restartPolicy").and_then(Value::as_str) == Some("Always"));
    Value::Array(items)
}

fn container(container: Value) -> Value {
    let mut container = pick(container, &["name", "image", "ports", "restartPolicy"]);
    within(&mut container, "ports", |list| {
        each(list, |port| pick(port, &["name", "containerPort", "protocol", "hostPort"]))
    });
    container
}

fn template_spec(spec: Value) -> Value {
    let mut spec =
        pick(spec, &["replicas", "selector", "template", "parallelism", "schedule", "jobTemplate"]);
    within(&mut spec, "template", template);
    within(&mut spec, "jobTemplate", |job| {
        let mut job = pick(job, &["spec"]);
        within(&mut job, "spec", |spec| {
            let mut spec = pick(spec, &["parallelism", "template"]);
            within(&mut spec, "template", template);
            spec
        });
        job
    });
    spec
}

fn template(template: Value) -> Value {
    let mut template = pick(template, &["metadata", "spec"]);
    within(&mut template, "metadata", |meta| pick(meta, &["labels"]));
    within(&mut template, "spec", pod_spec);
    template
}

fn service_spec(spec: Value) -> Value {
    let mut spec = pick(
        spec,
        &[
            "type",
            "clusterIP",
            "clusterIPs",
            "selector",
            "ports",
            "externalName",
            "externalIPs",
            "loadBalancerIP",
            "loadBalancerSourceRanges",
            "externalTrafficPolicy",
        ],
    );
    within(&mut spec, "ports", |list| {
        each(list, |port| pick(port, &["name", "protocol", "port", "targetPort", "nodePort"]))
    });
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(group: &str, version: &str, kind: &str, form: Form) -> Served {
        let api_version =
            if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
        };
        Served { resource, form }
    }

    fn read_as(served: &Served, json: Value) -> Result<Object, String> {
        object(served, serde_json::from_value(json).unwrap())
    }

    fn live_pod() -> Value {
        json!({"metadata": {"name": "cart-7d4b9c-x", "namespace": "shop", "uid": "u1",
                "resourceVersion": "77", "labels": {"app": "cart"},
                "annotations": {"kubernetes.io/config.mirror": "m1", "x.example/y": "z"},
                "managedFields": [{"manager": "kubelet", "operation": "Update"}],
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                    "name": "cart-7d4b9c", "uid": "u2", "controller": true,
                    "blockOwnerDeletion": true}],
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "node-1", "fieldOfTheFuture": {"a": 1}, "containers": [
                {"name": "app", "image": "cart:1", "command": ["cart", "--password=secret"],
                    "env": [{"name": "TOKEN", "value": "secret"}], "newKnob": true,
                    "ports": [{"name": "web", "containerPort": 8080, "newKnob": true}]}]},
            "status": {"phase": "Running", "podIP": "10.244.1.5", "observedFuture": 1,
                "podIPs": [{"ip": "10.244.1.5"}, {"ip": "fd00:10:244:1::5"}],
                "hostIP": "172.18.0.2", "hostIPs": [{"ip": "172.18.0.2"}],
                "containerStatuses": [{"name": "app", "imageID": "cart@sha256:01", "ready": true}],
                "startTime": "2026-01-01T00:00:01Z"}})
    }

    #[test]
    fn a_pod_keeps_what_names_it_and_no_secret_and_fields_of_the_future_do_not_hide_it() {
        let object = read_as(&served("", "v1", "Pod", Form::Pod), live_pod()).unwrap();
        let Object::Pod(pod) = &object else { panic!("{object:?}") };
        assert_eq!(pod.status.pod_ips.len(), 2, "dual stack");
        assert_eq!(pod.meta.owner.as_ref().unwrap().name, "cart-7d4b9c");
        assert_eq!(pod.meta.annotations.len(), 1, "only the mirror's uid");
        assert_eq!(pod.spec.containers[0].ports[0].port, 8080);
        assert!(pod.status.started.is_some());
        assert_eq!(pod.status.image_ids, [("app".to_owned(), "cart@sha256:01".to_owned())]);
        let text = sekisho_manifest::to_json(&object);
        assert!(!text.contains("secret") && !text.contains("managedFields"), "{text}");
    }

    #[test]
    fn a_policy_with_a_field_that_we_do_not_know_is_refused_by_name_and_one_without_is_read() {
        let kind = served("networking.k8s.io", "v1", "NetworkPolicy", Form::Spec);
        let policy =
            |spec: Value| json!({"metadata": {"name": "a", "namespace": "shop"}, "spec": spec});
        let unknown = policy(json!({"podSelector": {}, "denyEverythingAfter": 5}));
        let error = read_as(&kind, unknown).unwrap_err();
        assert!(error.contains("spec.denyEverythingAfter"), "{error}");
        let known = policy(json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        assert!(matches!(read_as(&kind, known), Ok(Object::NetworkPolicy(_))));
    }

    #[test]
    fn a_deployment_keeps_labels_and_ports_of_its_template() {
        let deployment = json!({"metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "cart"}},
                "strategy": {"type": "RollingUpdate"}, "newKnob": 3,
                "template": {"metadata": {"labels": {"app": "cart"}, "creationTimestamp": null},
                    "spec": {"containers": [{"name": "app", "image": "cart:1",
                        "env": [{"name": "TOKEN", "value": "secret"}],
                        "ports": [{"containerPort": 8080}]}]}}}});
        let object = read_as(&served("apps", "v1", "Deployment", Form::Template), deployment);
        let Ok(Object::Workload(workload)) = &object else { panic!("{object:?}") };
        assert_eq!(workload.template.labels["app"], "cart");
        assert_eq!(workload.template.spec.ports().count(), 1);
        assert!(!sekisho_manifest::to_json(object.as_ref().unwrap()).contains("secret"));
    }

    #[test]
    fn a_cron_job_a_service_and_a_node_are_read() {
        let cron = json!({"metadata": {"name": "backup", "namespace": "shop"},
            "spec": {"schedule": "* * * * *", "suspend": false, "jobTemplate": {"spec": {
                "backoffLimit": 1, "template": {"spec": {"restartPolicy": "Never",
                    "containers": [{"name": "a", "image": "i"}]}}}}}});
        let object = read_as(&served("batch", "v1", "CronJob", Form::Template), cron);
        assert!(matches!(object, Ok(Object::Workload(_))), "{object:?}");
        let service = json!({"metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                "selector": {"app": "cart"}, "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "targetPort": "web", "protocol": "TCP", "newKnob": 1}]},
            "status": {"loadBalancer": {}}});
        let object = read_as(&served("", "v1", "Service", Form::Service), service);
        let Ok(Object::Service(service)) = &object else { panic!("{object:?}") };
        assert_eq!(service.cluster_ips.len(), 1);
        let node = json!({"metadata": {"name": "node-1"}, "spec": {"podCIDR": "10.244.1.0/24",
                "podCIDRs": ["10.244.1.0/24"], "taints": []},
            "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.11"}],
                "images": [{"names": ["x"], "sizeBytes": 1}]}});
        let object = read_as(&served("", "v1", "Node", Form::Node), node);
        let Ok(Object::Node(node)) = &object else { panic!("{object:?}") };
        assert_eq!((node.addresses.len(), node.pod_cidrs.len()), (1, 1));
    }

    #[test]
    fn a_replica_set_leads_to_its_controller_and_not_to_another_owner() {
        let set = json!({"metadata": {"name": "cart-7d4b9c", "namespace": "shop",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"},
                {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "cart",
                    "uid": "2", "controller": true}]}});
        let object = read_as(&served("apps", "v1", "ReplicaSet", Form::Link), set).unwrap();
        assert_eq!(object.meta().owner.as_ref().unwrap().kind, "Rollout");
        assert_eq!(object.kind(), "ReplicaSet");
    }

    #[test]
    fn what_is_no_pod_is_refused_and_does_not_panic() {
        let pod = served("", "v1", "Pod", Form::Pod);
        for json in [
            json!({}),
            json!({"metadata": {"name": "a"}, "spec": 3}),
            json!({"metadata": {"name": "a"}, "spec": {"containers": {"a": 1}}}),
            json!({"metadata": {"name": "a"}, "spec": {"containers": [7]}}),
        ] {
            assert!(read_as(&pod, json.clone()).is_err(), "{json}");
        }
        assert!(read_as(&pod, live_pod()).is_ok());
    }
}
