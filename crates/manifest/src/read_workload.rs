//! Reads pods, their containers and probes, and the kinds that make pods.

use std::net::IpAddr;

use sekisho_model::Labels;

use crate::at::{At, nearest, shorten};
use crate::read_meta::{Scope, annotations, labels, read_meta, string};
use crate::read_policy::{read_port_number, read_port_ref, read_protocol, read_selector};
use crate::{
    Container, ContainerPort, LabelSelector, Pod, PodPhase, PodSpec, PodStatus, PodTemplate, Probe,
    ProbeAction, RestartPolicy, Workload, WorkloadKind, check, known,
};

/// The largest count the API takes (int32).
const COUNT_MAX: u32 = i32::MAX.unsigned_abs();

/// Reads a Pod.
pub(crate) fn read_pod(at: &At<'_>) -> Option<Pod> {
    at.check_fields(known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let spec = read_pod_spec(&at.required("spec")?)?;
    let status = at.get("status").map(|at| read_status(&at)).unwrap_or_default();
    Some(Pod { meta, spec, status })
}

/// Reads an object of a kind that makes pods.
pub(crate) fn read_workload(at: &At<'_>, kind: WorkloadKind) -> Option<Workload> {
    at.check_fields(known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let spec = at.required("spec")?;
    if !spec.check_fields(spec_fields(kind)) {
        return None;
    }
    let mut workload = Workload {
        meta,
        kind,
        replicas: 1,
        selector: LabelSelector::default(),
        template: PodTemplate::default(),
        schedule: None,
    };
    match kind {
        WorkloadKind::CronJob => {
            workload.schedule =
                spec.required("schedule").and_then(|at| at.string().map(str::to_owned));
            let job_at = spec.required("jobTemplate")?;
            if !job_at.check_fields(known::TEMPLATE) {
                return None;
            }
            let job = job_at.required("spec")?;
            if !job.check_fields(known::JOB_SPEC) {
                return None;
            }
            workload.replicas = read_count(&job, "parallelism")?;
            workload.template = read_template(&job)?;
        }
        WorkloadKind::Job => {
            workload.replicas = read_count(&spec, "parallelism")?;
            workload.template = read_template(&spec)?;
        }
        WorkloadKind::DaemonSet => {
            workload.template = read_template(&spec)?;
            workload.selector = read_workload_selector(&spec, &workload.template.labels)?;
        }
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::ReplicaSet => {
            workload.replicas = read_count(&spec, "replicas")?;
            workload.template = read_template(&spec)?;
            workload.selector = read_workload_selector(&spec, &workload.template.labels)?;
        }
        WorkloadKind::ReplicationController => {
            workload.replicas = read_count(&spec, "replicas")?;
            workload.template = read_template(&spec)?;
            // A plain map of labels; those of the template if absent.
            let own = spec.get("selector").map(|at| labels(&at));
            workload.selector =
                LabelSelector::of(own.unwrap_or_else(|| workload.template.labels.clone()));
        }
    }
    Some(workload)
}

fn spec_fields(kind: WorkloadKind) -> &'static [&'static str] {
    match kind {
        WorkloadKind::Deployment => known::DEPLOYMENT_SPEC,
        WorkloadKind::StatefulSet => known::STATEFUL_SET_SPEC,
        WorkloadKind::DaemonSet => known::DAEMON_SET_SPEC,
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => known::REPLICA_SET_SPEC,
        WorkloadKind::Job => known::JOB_SPEC,
        WorkloadKind::CronJob => known::CRON_JOB_SPEC,
    }
}

/// The count in field `name`; 1 if absent, None if wrong.
fn read_count(spec: &At<'_>, name: &str) -> Option<u32> {
    spec.get(name).map_or(Some(1), |at| at.int(0, COUNT_MAX))
}

fn read_workload_selector(spec: &At<'_>, template: &Labels) -> Option<LabelSelector> {
    let at = spec.required("selector")?;
    let selector = read_selector(&at)?;
    if selector.is_empty() {
        at.refuse("must not be empty");
    } else if !selector.matches(template) {
        at.refuse("does not select the labels of the template");
    }
    Some(selector)
}

fn read_template(spec: &At<'_>) -> Option<PodTemplate> {
    let at = spec.required("template")?;
    if !at.check_fields(known::TEMPLATE) {
        return None;
    }
    let mut template = PodTemplate::default();
    if let Some(meta) = at.get("metadata")
        && meta.check_fields(known::META)
    {
        template.labels = meta.get("labels").map(|at| labels(&at)).unwrap_or_default();
        template.annotations =
            meta.get("annotations").map(|at| annotations(&at)).unwrap_or_default();
    }
    template.spec = read_pod_spec(&at.required("spec")?)?;
    Some(template)
}

fn read_pod_spec(at: &At<'_>) -> Option<PodSpec> {
    if !at.check_fields(known::POD_SPEC) {
        return None;
    }
    let containers = at.required("containers");
    let account = string(at, "serviceAccountName").or_else(|| string(at, "serviceAccount"));
    let spec = PodSpec {
        node_name: string(at, "nodeName").filter(|name| !name.is_empty()),
        node_selector: at.get("nodeSelector").map(|at| labels(&at)).unwrap_or_default(),
        host_network: at.get("hostNetwork").and_then(|at| at.bool()).unwrap_or(false),
        service_account: account.filter(|name| !name.is_empty()),
        restart_policy: read_restart_policy(at),
        containers: at.list("containers", |item| read_container(item, false)),
        init_containers: at.list("initContainers", |item| read_container(item, true)),
    };
    if let Some(list) = containers
        && list.items().is_empty()
    {
        list.wrong("must hold at least one container");
    }
    Some(spec)
}

fn read_restart_policy(spec: &At<'_>) -> RestartPolicy {
    let Some(at) = spec.get("restartPolicy") else { return RestartPolicy::Always };
    match at.string() {
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        Some("Always") | None => RestartPolicy::Always,
        Some(text) => {
            let help = nearest(text, &["Always", "OnFailure", "Never"]);
            at.wrong_with(
                format!("must be Always, OnFailure or Never, found `{}`", shorten(text)),
                help.map(|name| format!("did you mean `{name}`?")),
            );
            RestartPolicy::Always
        }
    }
}

/// Reads a container; `init` = an init container, which may be a sidecar.
pub(crate) fn read_container(at: &At<'_>, init: bool) -> Option<Container> {
    if !at.check_fields(known::CONTAINER) {
        return None;
    }
    let name_at = at.expected("name");
    let name = name_at.as_ref().and_then(At::string).unwrap_or_default();
    if let (Some(at), Some(message)) = (&name_at, check::dns_label(name)) {
        at.refuse(format!("`{}`: {message}", shorten(name)));
    }
    let strings = |field| at.list(field, |item| item.string().map(str::to_owned));
    Some(Container {
        name: name.to_owned(),
        image: string(at, "image").unwrap_or_default(),
        command: strings("command"),
        args: strings("args"),
        env: at.list("env", read_env).into_iter().flatten().collect(),
        ports: at.list("ports", read_container_port),
        readiness: at.get("readinessProbe").and_then(|at| read_probe(&at)),
        liveness: at.get("livenessProbe").and_then(|at| read_probe(&at)),
        sidecar: init && string(at, "restartPolicy").as_deref() == Some("Always"),
    })
}

/// Reads an environment variable; Some(None) if its value is no literal.
#[expect(clippy::option_option, reason = "wrong, no literal and literal are three things")]
fn read_env(at: &At<'_>) -> Option<Option<(String, String)>> {
    if !at.check_fields(known::ENV) {
        return None;
    }
    let name = at.required("name").and_then(|at| at.string().map(str::to_owned))?;
    if at.get("valueFrom").is_some() {
        return Some(None);
    }
    Some(Some((name, string(at, "value").unwrap_or_default())))
}

fn read_container_port(at: &At<'_>) -> Option<ContainerPort> {
    if !at.check_fields(known::CONTAINER_PORT) {
        return None;
    }
    let name_at = at.get("name");
    let name = name_at.as_ref().and_then(At::string).unwrap_or_default();
    if let (Some(at), false, Some(message)) = (&name_at, name.is_empty(), check::port_name(name)) {
        at.wrong(format!("`{}`: {message}", shorten(name)));
    }
    let protocol = read_protocol(at);
    let port = at.required("containerPort").and_then(|at| read_port_number(&at));
    let host_port = at.get("hostPort").filter(|at| at.lenient_int() != Some(0));
    let host_port = host_port.and_then(|at| read_port_number(&at));
    Some(ContainerPort { name: name.to_owned(), port: port?, protocol: protocol?, host_port })
}

fn read_probe(at: &At<'_>) -> Option<Probe> {
    if !at.check_fields(known::PROBE) {
        return None;
    }
    let actions = ["exec", "httpGet", "tcpSocket", "grpc"];
    if actions.iter().filter(|name| at.get(name).is_some()).count() != 1 {
        at.wrong(format!("must have exactly one of {}", actions.join(", ")));
        return None;
    }
    // 0 stands for the default, except for the delay.
    let number = |name, default| {
        let value = at.get(name).and_then(|at| at.int(0, COUNT_MAX));
        value.filter(|value| *value != 0).unwrap_or(default)
    };
    Some(Probe {
        action: read_action(at)?,
        period_s: number("periodSeconds", 10),
        timeout_s: number("timeoutSeconds", 1),
        initial_delay_s: number("initialDelaySeconds", 0),
        failure_threshold: number("failureThreshold", 3),
    })
}

fn read_action(at: &At<'_>) -> Option<ProbeAction> {
    if let Some(get) = at.get("httpGet") {
        if !get.check_fields(known::HTTP_GET) {
            return None;
        }
        let path = string(&get, "path").filter(|path| !path.is_empty());
        let path = path.unwrap_or_else(|| "/".to_owned());
        return Some(ProbeAction::Http { path, port: read_port_ref(&get.required("port")?)? });
    }
    if let Some(socket) = at.get("tcpSocket") {
        if !socket.check_fields(known::TCP_SOCKET) {
            return None;
        }
        return Some(ProbeAction::Tcp { port: read_port_ref(&socket.required("port")?)? });
    }
    if let Some(grpc) = at.get("grpc") {
        if !grpc.check_fields(known::GRPC) {
            return None;
        }
        return Some(ProbeAction::Grpc { port: read_port_number(&grpc.required("port")?)? });
    }
    let exec = at.get("exec")?;
    if !exec.check_fields(known::EXEC) {
        return None;
    }
    let command = exec.list("command", |item| item.string().map(str::to_owned));
    Some(ProbeAction::Exec { command })
}

/// Reads a status; what is not as expected there is left out without report, because no user
/// wrote it.
fn read_status(at: &At<'_>) -> PodStatus {
    let text = |at: &At<'_>, name: &str| {
        at.get(name).and_then(|at| at.lenient_string().map(str::to_owned)).unwrap_or_default()
    };
    let address = |at: &At<'_>, name: &str| check::address(&text(at, name));
    let list = |name: &str| at.get(name);
    let mut pod_ips: Vec<IpAddr> = Vec::new();
    if let Some(ips) = list("podIPs") {
        pod_ips.extend(ips.lenient_items().iter().filter_map(|item| address(item, "ip")));
    }
    if pod_ips.is_empty() {
        pod_ips.extend(address(at, "podIP"));
    }
    let ready = list("conditions").is_some_and(|conditions| {
        let is_ready =
            |item: &At<'_>| text(item, "type") == "Ready" && text(item, "status") == "True";
        conditions.lenient_items().iter().any(is_ready)
    });
    let restarts = list("containerStatuses").map_or(0, |statuses| {
        let counts = statuses.lenient_items();
        let counts = counts.iter().filter_map(|item| item.get("restartCount")?.lenient_int());
        counts.filter_map(|count| u32::try_from(count).ok()).fold(0, u32::saturating_add)
    });
    let image_ids = ["containerStatuses", "initContainerStatuses"].into_iter().filter_map(list);
    let image_ids = image_ids.flat_map(|statuses| {
        let named = |item: &At<'_>| (text(item, "name"), text(item, "imageID"));
        statuses.lenient_items().iter().map(named).collect::<Vec<_>>()
    });
    PodStatus {
        phase: match text(at, "phase").as_str() {
            "Running" => PodPhase::Running,
            "Succeeded" => PodPhase::Succeeded,
            "Failed" => PodPhase::Failed,
            "Unknown" => PodPhase::Unknown,
            _ => PodPhase::Pending,
        },
        pod_ips,
        host_ip: address(at, "hostIP"),
        ready,
        started: text(at, "startTime").parse().ok(),
        restarts,
        image_ids: image_ids.filter(|(_, image)| !image.is_empty()).collect(),
    }
}
