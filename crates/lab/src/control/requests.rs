//! What the command line asks of a running lab.

use sekisho_manifest::{Host, Object, PodTemplate, WorkloadKind};
use sekisho_model::Labels;

use super::cluster::{Cluster, Key, meta_key};
use super::journal::{Change, now};
use super::kubelets::Kubelets;
use super::published::give_addresses;
use super::reconcile::{count_job, ready_of};
use super::{
    ExecInfo, LabStatus, LabelTarget, PodLine, Request, Response, WorkloadStatus, is_internet,
    pods, validate,
};
use crate::protocol::{PodReport, ToKubelet};

/// Answers a request; `Down` is the supervisor's own.
pub(super) fn answer(cluster: &mut Cluster, kubelets: &Kubelets, request: Request) -> Response {
    let done = match request {
        Request::Status => return Response::Status(Box::new(status(cluster))),
        Request::Exec { target } => {
            return exec_info(cluster, &target)
                .map_or_else(|message| Response::Failed { message }, Response::Exec);
        }
        Request::Scale { target, replicas } => scale(cluster, &target, replicas),
        Request::Label { target, set, remove } => label(cluster, &target, &set, &remove),
        Request::Restart { target } => restart(cluster, kubelets, &target),
        Request::Apply { objects } => apply(cluster, kubelets, objects),
        Request::Delete { kind, target } => delete(cluster, kubelets, &kind, &target),
        Request::Down => Ok(()),
    };
    done.map_or_else(|message| Response::Failed { message }, |()| Response::Done)
}

/// Annotation that `kubectl rollout restart` sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Most replicas that a lab is asked for at once.
const REPLICAS_MAX: u32 = 400;

fn key_of(target: &str) -> Result<Key, String> {
    let (namespace, name) =
        target.split_once('/').ok_or_else(|| format!("`{target}` is not `namespace/name`"))?;
    Ok((namespace.to_owned(), name.to_owned()))
}

fn scale(cluster: &mut Cluster, target: &str, replicas: u32) -> Result<(), String> {
    let key = key_of(target)?;
    let workload = cluster.workload(&key).ok_or_else(|| format!("no workload `{target}`"))?;
    let mut workload = workload.clone();
    if matches!(workload.kind, WorkloadKind::DaemonSet | WorkloadKind::Job | WorkloadKind::CronJob)
    {
        return Err(format!("a {} can't be scaled", workload.kind.as_str()));
    }
    if replicas > REPLICAS_MAX {
        return Err(format!("{replicas} replicas; at most {REPLICAS_MAX}"));
    }
    workload.replicas = replicas;
    cluster.put(Object::Workload(workload));
    Ok(())
}

fn label(
    cluster: &mut Cluster,
    target: &LabelTarget,
    set: &Labels,
    remove: &[String],
) -> Result<(), String> {
    let change = |labels: &mut Labels| {
        labels.retain(|key, _| !remove.contains(key));
        labels.extend(set.clone());
    };
    match target {
        LabelTarget::Pod(name) => {
            let key = key_of(name)?;
            if !cluster.pods.contains_key(&key) {
                return Err(format!("no pod `{name}`"));
            }
            cluster.change_pod(&key, |pod| change(&mut pod.meta.labels));
        }
        LabelTarget::Workload(name) => {
            let key = key_of(name)?;
            let workload = cluster.workload(&key).ok_or_else(|| format!("no workload `{name}`"))?;
            let mut workload = workload.clone();
            change(&mut workload.meta.labels);
            change(&mut workload.template.labels);
            if !workload.selector.matches(&workload.template.labels) {
                return Err(format!("the selector of `{name}` would not select its own pods"));
            }
            cluster.put(Object::Workload(workload));
        }
        LabelTarget::Namespace(name) => {
            let key = (String::new(), name.clone());
            let Some(Object::Namespace(namespace)) = cluster.object("Namespace", &key) else {
                return Err(format!("no namespace `{name}`"));
            };
            let mut namespace = namespace.clone();
            change(&mut namespace.meta.labels);
            cluster.put(Object::Namespace(namespace));
        }
        LabelTarget::Host(name) => {
            let key = key_of(name)?;
            let Some(machine) = cluster.machines.get_mut(&key) else {
                return Err(format!("no host `{name}`"));
            };
            change(&mut machine.host.meta.labels);
            let host = Object::Host(machine.host.clone());
            cluster.record(Change::Modified, &host);
        }
    }
    Ok(())
}

/// The kind that owns the pods of a workload of that kind.
fn pod_owner(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "ReplicaSet",
        WorkloadKind::CronJob => "Job",
        other => other.as_str(),
    }
}

/// Names of the direct owners of a workload's pods.
fn owned_names(cluster: &Cluster, kind: &str, owner_kind: &str, key: &Key) -> Vec<String> {
    if kind == owner_kind {
        return vec![key.1.clone()];
    }
    let owned = |meta: &sekisho_manifest::Meta| {
        meta.namespace == key.0
            && meta.owner.as_ref().is_some_and(|it| it.kind == kind && it.name == key.1)
    };
    cluster.workloads().filter(|it| owned(&it.meta)).map(|it| it.meta.name.clone()).collect()
}

/// All pods of a workload, sorted.
fn workload_pods(cluster: &Cluster, key: &Key) -> Vec<Key> {
    let Some(workload) = cluster.workload(key) else { return Vec::new() };
    let owner_kind = pod_owner(workload.kind);
    owned_names(cluster, workload.kind.as_str(), owner_kind, key)
        .iter()
        .flat_map(|owner| cluster.pods_of(owner_kind, &key.0, owner))
        .collect()
}

/// A pod or host: its containers are restarted. A workload: its pods are replaced.
fn restart(cluster: &mut Cluster, kubelets: &Kubelets, target: &str) -> Result<(), String> {
    let key = key_of(target)?;
    if let Some(live) = cluster.pods.get(&key) {
        let node = live.pod.spec.node_name.clone().unwrap_or_default();
        kubelets.send(&node, ToKubelet::Restart { uid: live.pod.meta.uid.clone() });
        return Ok(());
    }
    if let Some(machine) = cluster.machines.get(&key) {
        kubelets.send(&machine.kubelet, ToKubelet::Restart { uid: machine.uid.clone() });
        return Ok(());
    }
    let workload =
        cluster.workload(&key).ok_or_else(|| format!("no pod, host or workload `{target}`"))?;
    let mut workload = workload.clone();
    if matches!(workload.kind, WorkloadKind::Job | WorkloadKind::CronJob) {
        return Err(format!("a {} can't be restarted", workload.kind.as_str()));
    }
    // As `kubectl rollout restart`: the template changes, and with it all pods, one by one where
    // the kind does so.
    workload.template.annotations.insert(RESTARTED_AT.to_owned(), now().to_string());
    cluster.put(Object::Workload(workload));
    Ok(())
}

fn apply(cluster: &mut Cluster, kubelets: &Kubelets, objects: Vec<Object>) -> Result<(), String> {
    let bare = cluster.pods.values().filter(|live| live.pod.meta.owner.is_none());
    let bare = bare.map(|live| Object::Pod(live.pod.clone()));
    let mut all: Vec<Object> = cluster.objects().cloned().chain(bare).collect();
    all.retain(|old| {
        let same = |new: &Object| {
            (new.kind(), &new.meta().namespace, &new.meta().name)
                == (old.kind(), &old.meta().namespace, &old.meta().name)
        };
        !objects.iter().any(same)
    });
    all.extend(objects.iter().cloned());
    validate(&all)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    if objects.iter().any(|object| matches!(object, Object::Host(_) | Object::Node(_))) {
        return Err("hosts and nodes can't be added to a running lab".to_owned());
    }
    for object in objects {
        add(cluster, kubelets, object);
    }
    Ok(())
}

/// Takes an object of a manifest into the cluster.
pub(super) fn add(cluster: &mut Cluster, kubelets: &Kubelets, mut object: Object) {
    let key = meta_key(object.meta());
    if let Object::Pod(pod) = object {
        // Of a pod that is there nothing but labels could change, and those have a request.
        if !cluster.pods.contains_key(&key) {
            let template = PodTemplate {
                labels: pod.meta.labels,
                annotations: pod.meta.annotations,
                spec: pod.spec,
            };
            pods::create(cluster, kubelets, key, &template, None);
        }
        return;
    }
    let former = cluster.object(object.kind(), &key).map(|old| old.meta().clone());
    let (uid, created) = match former {
        Some(old) => (old.uid, old.created),
        None => (pods::new_uid(), Some(now())),
    };
    let meta = match &mut object {
        Object::Namespace(it) => &mut it.meta,
        Object::Workload(it) => &mut it.meta,
        Object::Service(it) => {
            give_addresses(cluster, it);
            &mut it.meta
        }
        Object::EndpointSlice(it) => &mut it.meta,
        Object::NetworkPolicy(it) => &mut it.meta,
        Object::TierPolicy(it) => &mut it.meta,
        Object::Exposure(it) => it.meta_mut(),
        Object::ServiceAccount(it) => &mut it.meta,
        Object::Cilium(it) => it.meta_mut(),
        Object::Calico(it) => it.meta_mut(),
        Object::Node(it) => &mut it.meta,
        // Pods are made above, hosts come another way, and the rest is not ours.
        Object::Pod(_) | Object::Host(_) | Object::Other(_) => return,
    };
    (meta.uid, meta.created) = (uid, created);
    cluster.put(object);
}

fn delete(
    cluster: &mut Cluster,
    kubelets: &Kubelets,
    kind: &str,
    target: &str,
) -> Result<(), String> {
    let key = key_of(target)?;
    if kind == "Pod" {
        if !cluster.pods.contains_key(&key) {
            return Err(format!("no pod `{target}`"));
        }
        pods::stop(cluster, kubelets, &key);
        return Ok(());
    }
    if !cluster.remove(kind, &key) {
        return Err(format!("no {kind} `{target}`"));
    }
    if kind == "Namespace" {
        empty(cluster, kubelets, &key.1);
    }
    Ok(())
}

/// Deletes all that is in a namespace: without it nothing of that would be valid.
fn empty(cluster: &mut Cluster, kubelets: &Kubelets, namespace: &str) {
    let inside: Vec<(String, Key)> = cluster
        .objects()
        .filter(|object| object.meta().namespace == namespace)
        .map(|object| (object.kind().to_owned(), meta_key(object.meta())))
        .collect();
    for (kind, key) in inside {
        cluster.remove(&kind, &key);
    }
    let pods: Vec<Key> = cluster.pods.keys().filter(|key| key.0 == namespace).cloned().collect();
    for key in pods {
        pods::stop(cluster, kubelets, &key);
    }
}

fn exec_info(cluster: &Cluster, target: &str) -> Result<ExecInfo, String> {
    let key = key_of(target)?;
    if let Some(machine) = cluster.machines.get(&key) {
        let run = pods::machine_run(cluster, machine);
        return exec_info_of(cluster, target, &machine.report, &run.cgroup, &machine.host);
    }
    let mut candidates = vec![key.clone()];
    candidates.extend(workload_pods(cluster, &key));
    let live = candidates
        .iter()
        .filter_map(|key| cluster.pods.get(key))
        .find(|live| live.is_active() && live.report.pid.is_some());
    let Some(live) = live else {
        let known = cluster.pods.contains_key(&key) || cluster.workload(&key).is_some();
        let why = if known { "has no running pod" } else { "is no pod, host or workload" };
        return Err(format!("`{target}` {why}"));
    };
    let node = live.pod.spec.node_name.clone().unwrap_or_default();
    let folder =
        cluster.cgroup_root.join(node).join("pods").join(format!("pod{}", live.pod.meta.uid));
    let host = Host { containers: live.pod.spec.containers.clone(), ..Host::default() };
    exec_info_of(cluster, target, &live.report, &folder, &host)
}

fn exec_info_of(
    cluster: &Cluster,
    target: &str,
    report: &PodReport,
    cgroup: &std::path::Path,
    containers: &Host,
) -> Result<ExecInfo, String> {
    let pid = report.pid.filter(|_| report.running);
    let pid = pid.ok_or_else(|| format!("`{target}` does not run"))?;
    let first = containers.containers.first().map(|it| it.name.as_str()).unwrap_or("pause");
    Ok(ExecInfo { pid, cgroup: cgroup.join(first), program: cluster.program.clone() })
}

/// The state of the lab.
pub(super) fn status(cluster: &Cluster) -> LabStatus {
    let workloads: Vec<WorkloadStatus> = cluster
        .workloads()
        .filter(|workload| workload.meta.owner.is_none())
        .map(|workload| {
            let key = meta_key(&workload.meta);
            let kind = workload.kind.as_str();
            let (desired, ready) = match workload.kind {
                WorkloadKind::CronJob => (0, 0),
                WorkloadKind::Job => {
                    let done = count_job(cluster, workload).succeeded;
                    (workload.replicas, u32::try_from(done).unwrap_or(u32::MAX))
                }
                WorkloadKind::DaemonSet => {
                    (u32::try_from(cluster.nodes.len()).unwrap_or(0), ready_of(cluster, kind, &key))
                }
                _ => {
                    let owner = pod_owner(workload.kind);
                    let owners = owned_names(cluster, kind, owner, &key);
                    let ready = |name: String| ready_of(cluster, owner, &(key.0.clone(), name));
                    (workload.replicas, owners.into_iter().map(ready).sum())
                }
            };
            let kind = kind.to_owned();
            WorkloadStatus { namespace: key.0, name: key.1, kind, desired, ready }
        })
        .collect();
    let pods = pod_lines(cluster);
    let served = workloads.iter().all(|it| it.kind == "Job" || it.ready >= it.desired);
    let machines = cluster
        .machines
        .values()
        .all(|machine| machine.report.ready || machine.host.containers.is_empty());
    let bare = cluster
        .pods
        .values()
        .filter(|live| live.pod.meta.owner.is_none() && live.is_active())
        .all(|live| live.pod.status.ready);
    LabStatus {
        ready: served && machines && bare,
        pid: std::process::id(),
        workloads,
        pods,
        troubles: cluster.troubles.iter().cloned().collect(),
    }
}

fn pod_lines(cluster: &Cluster) -> Vec<PodLine> {
    let pods = cluster.pods.values().map(|live| PodLine {
        namespace: live.pod.meta.namespace.clone(),
        name: live.pod.meta.name.clone(),
        node: live.pod.spec.node_name.clone().unwrap_or_default(),
        addresses: live.pod.status.pod_ips.clone(),
        phase: if live.stopping {
            "Terminating".to_owned()
        } else {
            format!("{:?}", live.pod.status.phase)
        },
        ready: live.pod.status.ready,
        restarts: live.pod.status.restarts,
        message: live.report.message.clone(),
    });
    let hosts = cluster.machines.values().filter(|machine| !is_internet(&machine.host));
    let hosts = hosts.map(|machine| PodLine {
        namespace: machine.host.meta.namespace.clone(),
        name: machine.host.meta.name.clone(),
        node: machine.kubelet.clone(),
        addresses: machine.host.addresses.clone(),
        phase: "Host".to_owned(),
        ready: machine.report.ready,
        restarts: machine.report.restarts,
        message: machine.report.message.clone(),
    });
    pods.chain(hosts).collect()
}
