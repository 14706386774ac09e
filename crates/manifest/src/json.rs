//! Writes objects as Kubernetes JSON.

use serde_json::{Map, Value, json};

use sekisho_model::{Labels, Timestamp};

use crate::{
    Container, ContainerPort, EndpointSlice, Host, LabelSelector, Meta, NetworkPolicy, Node,
    Object, Operator, OwnerRef, Pod, PodPhase, PodSpec, PodTemplate, PolicyPeer, PolicyPort,
    PolicyRule, PortRef, Probe, ProbeAction, RestartPolicy, Service, Workload, WorkloadKind,
    json_exposure, json_tier,
};
use crate::{calico, cilium};

/// Writes an object as one line of Kubernetes JSON, without a newline.
///
/// [`crate::parse`] reads an equal object back (positions and comments aside) if the object is one
/// that parsing can give: names valid, a namespace on namespaced kinds, the name label on
/// namespaces, counts and defaults applied.
#[must_use]
pub fn to_json(object: &Object) -> String {
    let (version, spec, status) = match object {
        Object::Namespace(_) => ("v1", None, None),
        Object::Node(node) => ("v1", Some(node_spec(node)), Some(node_status(node))),
        Object::Pod(pod) => ("v1", Some(pod_spec(&pod.spec)), Some(pod_status(pod))),
        Object::Workload(workload) => {
            (workload_version(workload.kind), Some(workload_spec(workload)), None)
        }
        Object::Service(service) => ("v1", Some(service_spec(service)), service_status(service)),
        Object::EndpointSlice(_) => ("discovery.k8s.io/v1", None, None),
        Object::NetworkPolicy(policy) => ("networking.k8s.io/v1", Some(policy_spec(policy)), None),
        Object::TierPolicy(policy) => {
            (json_tier::version(policy.kind), Some(json_tier::spec(policy)), None)
        }
        Object::Exposure(exposure) => {
            (json_exposure::version(exposure), Some(json_exposure::spec(exposure)), None)
        }
        Object::ServiceAccount(_) => ("v1", None, None),
        Object::Cilium(_) => (cilium::VERSION, None, None),
        Object::Calico(object) => (calico::VERSION, Some(calico::spec(object)), None),
        Object::Host(host) => ("sekisho.dev/v1alpha1", Some(host_spec(host)), None),
        Object::Other(other) => (other.api_version.as_str(), None, None),
    };
    let mut out = Fields::default();
    out.put("apiVersion", version);
    let kind = match object {
        Object::Calico(object) => object.kind(),
        _other => object.kind(),
    };
    out.put("kind", kind);
    out.put("metadata", meta(object.meta()));
    out.put_some("spec", spec);
    out.put_some("status", status);
    if let Object::EndpointSlice(slice) = object {
        put_slice(&mut out, slice);
    }
    if let Object::Cilium(object) = object {
        let (name, content) = cilium::content(object);
        out.put(name, content);
    }
    out.done().to_string()
}

/// A JSON object in the making; empty values are left out.
#[derive(Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(crate) fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    pub(crate) fn put_text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.put(name, value);
        }
    }

    pub(crate) fn put_list(&mut self, name: &str, values: Vec<Value>) {
        if !values.is_empty() {
            self.put(name, values);
        }
    }

    pub(crate) fn put_labels(&mut self, name: &str, labels: &Labels) {
        if !labels.is_empty() {
            self.put(name, json!(labels));
        }
    }

    pub(crate) fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn meta(meta: &Meta) -> Value {
    let mut out = Fields::default();
    out.put("name", meta.name.as_str());
    out.put_text("namespace", &meta.namespace);
    out.put_text("uid", &meta.uid);
    out.put_labels("labels", &meta.labels);
    out.put_labels("annotations", &meta.annotations);
    out.put_list("ownerReferences", meta.owner.iter().map(owner).collect());
    out.put_some("creationTimestamp", meta.created.map(time));
    out.put_some("deletionTimestamp", meta.deleted.map(time));
    out.done()
}

fn owner(owner: &OwnerRef) -> Value {
    json!({"kind": owner.kind, "name": owner.name, "controller": true})
}

/// RFC 3339 with as many digits as the time has.
fn time(time: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time.nanos()))
        .map_or_else(|_out_of_range| time.to_string(), |exact| exact.to_string())
}

fn node_spec(node: &Node) -> Value {
    let mut out = Fields::default();
    out.put_list("podCIDRs", node.pod_cidrs.iter().map(|cidr| json!(cidr.to_string())).collect());
    out.done()
}

fn node_status(node: &Node) -> Value {
    let mut out = Fields::default();
    let addresses = node.addresses.iter();
    out.put_list(
        "addresses",
        addresses.map(|address| json!({"type": "InternalIP", "address": address})).collect(),
    );
    out.done()
}

fn host_spec(host: &Host) -> Value {
    let mut out = Fields::default();
    out.put_list("addresses", host.addresses.iter().map(|address| json!(address)).collect());
    out.put_list(
        "containers",
        host.containers.iter().map(|container| container_json(container, false)).collect(),
    );
    out.done()
}

fn service_spec(service: &Service) -> Value {
    let mut out = Fields::default();
    out.put("type", service.service_type.as_str());
    if service.headless {
        out.put("clusterIP", "None");
    }
    let mut ips: Vec<Value> = service.cluster_ips.iter().map(|ip| json!(ip)).collect();
    if service.headless && !ips.is_empty() {
        ips.push(json!("None"));
    }
    out.put_list("clusterIPs", ips);
    out.put_labels("selector", &service.selector);
    let ports = service.ports.iter().map(|port| {
        let mut out = Fields::default();
        out.put_text("name", &port.name);
        out.put("protocol", port.protocol.to_string());
        out.put("port", port.port);
        out.put("targetPort", port_ref(&port.target_port));
        out.put_some("nodePort", port.node_port);
        out.done()
    });
    out.put_list("ports", ports.collect());
    out.put_some("externalName", service.external_name.as_deref());
    out.put_list("externalIPs", service.external_ips.iter().map(|ip| json!(ip)).collect());
    let ranges = service.source_ranges.iter().map(|net| json!(net.to_string()));
    out.put_list("loadBalancerSourceRanges", ranges.collect());
    if service.external_local {
        out.put("externalTrafficPolicy", "Local");
    }
    out.done()
}

fn put_slice(out: &mut Fields, slice: &EndpointSlice) {
    let is_v6 = slice.addresses.first().is_some_and(std::net::IpAddr::is_ipv6);
    out.put("addressType", if is_v6 { "IPv6" } else { "IPv4" });
    let endpoint = |address: &std::net::IpAddr| json!({"addresses": [address]});
    out.put_list("endpoints", slice.addresses.iter().map(endpoint).collect());
    let ports = slice.ports.iter().map(|port| {
        let mut out = Fields::default();
        out.put_text("name", &port.name);
        out.put("protocol", port.protocol.to_string());
        out.put("port", port.port);
        out.done()
    });
    out.put_list("ports", ports.collect());
}

fn service_status(service: &Service) -> Option<Value> {
    let ips = &service.load_balancer_ips;
    let ingress: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    (!ingress.is_empty()).then(|| json!({"loadBalancer": {"ingress": ingress}}))
}

pub(crate) fn port_ref(port: &PortRef) -> Value {
    match port {
        PortRef::Number(number) => json!(number),
        PortRef::Name(name) => json!(name),
    }
}

pub(crate) fn selector(selector: &LabelSelector) -> Value {
    let mut out = Fields::default();
    out.put_labels("matchLabels", &selector.match_labels);
    let expressions = selector.match_expressions.iter().map(|requirement| {
        let operator = match requirement.operator {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
        };
        let mut out = Fields::default();
        out.put("key", requirement.key.as_str());
        out.put("operator", operator);
        out.put_list("values", requirement.values.iter().map(|value| json!(value)).collect());
        out.done()
    });
    out.put_list("matchExpressions", expressions.collect());
    out.done()
}

fn policy_spec(policy: &NetworkPolicy) -> Value {
    let mut out = Fields::default();
    out.put("podSelector", selector(&policy.pod_selector));
    let types = [(policy.isolates_ingress, "Ingress"), (policy.isolates_egress, "Egress")];
    let types = types.iter().filter(|(isolates, _)| *isolates).map(|(_, name)| json!(name));
    out.put_list("policyTypes", types.collect());
    out.put_list("ingress", policy.ingress.iter().map(|rule| rule_json(rule, "from")).collect());
    out.put_list("egress", policy.egress.iter().map(|rule| rule_json(rule, "to")).collect());
    out.done()
}

fn rule_json(rule: &PolicyRule, peers: &str) -> Value {
    let mut out = Fields::default();
    out.put_list(peers, rule.peers.iter().map(peer).collect());
    out.put_list("ports", rule.ports.iter().map(policy_port).collect());
    out.done()
}

fn peer(peer: &PolicyPeer) -> Value {
    let mut out = Fields::default();
    match peer {
        PolicyPeer::Pods { namespaces: None, pods: None } => out.put("podSelector", json!({})),
        PolicyPeer::Pods { namespaces, pods } => {
            out.put_some("namespaceSelector", namespaces.as_ref().map(selector));
            out.put_some("podSelector", pods.as_ref().map(selector));
        }
        PolicyPeer::IpBlock { cidr, except } => {
            let mut block = Fields::default();
            block.put("cidr", cidr.to_string());
            block.put_list("except", except.iter().map(|net| json!(net.to_string())).collect());
            out.put("ipBlock", block.done());
        }
    }
    out.done()
}

fn policy_port(port: &PolicyPort) -> Value {
    let mut out = Fields::default();
    out.put("protocol", port.protocol.to_string());
    out.put_some("port", port.port.as_ref().map(port_ref));
    out.put_some("endPort", port.end_port);
    out.done()
}

fn pod_spec(spec: &PodSpec) -> Value {
    let mut out = Fields::default();
    out.put_some("nodeName", spec.node_name.as_deref());
    out.put_labels("nodeSelector", &spec.node_selector);
    if spec.host_network {
        out.put("hostNetwork", true);
    }
    out.put_some("serviceAccountName", spec.service_account.as_deref());
    let restart = match spec.restart_policy {
        RestartPolicy::Always => "Always",
        RestartPolicy::OnFailure => "OnFailure",
        RestartPolicy::Never => "Never",
    };
    out.put("restartPolicy", restart);
    let containers = spec.containers.iter().map(|container| container_json(container, false));
    out.put("containers", containers.collect::<Vec<_>>());
    let init = spec.init_containers.iter().map(|container| container_json(container, true));
    out.put_list("initContainers", init.collect());
    out.done()
}

fn container_json(container: &Container, init: bool) -> Value {
    let strings = |texts: &[String]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let mut out = Fields::default();
    out.put("name", container.name.as_str());
    out.put_text("image", &container.image);
    out.put_list("command", strings(&container.command));
    out.put_list("args", strings(&container.args));
    let env = container.env.iter().map(|(name, value)| json!({"name": name, "value": value}));
    out.put_list("env", env.collect());
    out.put_list("ports", container.ports.iter().map(container_port).collect());
    out.put_some("readinessProbe", container.readiness.as_ref().map(probe));
    out.put_some("livenessProbe", container.liveness.as_ref().map(probe));
    if init && container.sidecar {
        out.put("restartPolicy", "Always");
    }
    out.done()
}

fn container_port(port: &ContainerPort) -> Value {
    let mut out = Fields::default();
    out.put_text("name", &port.name);
    out.put("containerPort", port.port);
    out.put("protocol", port.protocol.to_string());
    out.put_some("hostPort", port.host_port);
    out.done()
}

fn probe(probe: &Probe) -> Value {
    let mut out = Fields::default();
    match &probe.action {
        ProbeAction::Http { path, port } => {
            out.put("httpGet", json!({"path": path, "port": port_ref(port)}));
        }
        ProbeAction::Tcp { port } => out.put("tcpSocket", json!({"port": port_ref(port)})),
        ProbeAction::Exec { command } => out.put("exec", json!({"command": command})),
        ProbeAction::Grpc { port } => out.put("grpc", json!({"port": port})),
    }
    out.put("periodSeconds", probe.period_s);
    out.put("timeoutSeconds", probe.timeout_s);
    out.put("initialDelaySeconds", probe.initial_delay_s);
    out.put("failureThreshold", probe.failure_threshold);
    out.done()
}

fn pod_status(pod: &Pod) -> Value {
    let status = &pod.status;
    let phase = match status.phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
        PodPhase::Unknown => "Unknown",
    };
    let mut out = Fields::default();
    out.put("phase", phase);
    out.put_some("podIP", status.pod_ips.first().map(ToString::to_string));
    out.put_list("podIPs", status.pod_ips.iter().map(|ip| json!({"ip": ip})).collect());
    out.put_some("hostIP", status.host_ip.map(|ip| ip.to_string()));
    let ready = if status.ready { "True" } else { "False" };
    out.put("conditions", json!([{"type": "Ready", "status": ready}]));
    out.put_some("startTime", status.started.map(time));
    let mut containers: Vec<Value> =
        status.image_ids.iter().map(|(name, id)| json!({"name": name, "imageID": id})).collect();
    if status.restarts > 0 {
        // The sum of all containers, which is all that we keep.
        let name = pod.spec.containers.first().map_or("", |container| &container.name);
        containers.push(json!({"name": name, "restartCount": status.restarts}));
    }
    out.put_list("containerStatuses", containers);
    out.done()
}

fn workload_version(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet => "apps/v1",
        WorkloadKind::ReplicationController => "v1",
        WorkloadKind::Job | WorkloadKind::CronJob => "batch/v1",
    }
}

fn workload_spec(workload: &Workload) -> Value {
    let mut out = Fields::default();
    out.put("template", template(&workload.template));
    match workload.kind {
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::ReplicaSet => {
            out.put("replicas", workload.replicas);
            out.put("selector", selector(&workload.selector));
        }
        WorkloadKind::DaemonSet => out.put("selector", selector(&workload.selector)),
        WorkloadKind::ReplicationController => {
            out.put("replicas", workload.replicas);
            out.put("selector", json!(workload.selector.match_labels));
        }
        WorkloadKind::Job => out.put("parallelism", workload.replicas),
        WorkloadKind::CronJob => {
            out.put("parallelism", workload.replicas);
            let mut cron = Fields::default();
            cron.put("schedule", workload.schedule.as_deref().unwrap_or_default());
            cron.put("jobTemplate", json!({"spec": out.done()}));
            return cron.done();
        }
    }
    out.done()
}

fn template(template: &PodTemplate) -> Value {
    let mut meta = Fields::default();
    meta.put_labels("labels", &template.labels);
    meta.put_labels("annotations", &template.annotations);
    json!({"metadata": meta.done(), "spec": pod_spec(&template.spec)})
}
