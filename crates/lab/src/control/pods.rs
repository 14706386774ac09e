//! Pods: made from templates, placed on nodes, given to kubelets, followed to their end.

use std::fs;
use std::net::IpAddr;

use sekisho_manifest::{Meta, Object, OwnerRef, Pod, PodPhase, PodSpec, PodStatus, PodTemplate};

use super::cluster::{Cluster, Key, LivePod, Machine};
use super::journal::{Change, now};
use super::kubelets::Kubelets;
use crate::plan::{self, DNS_SERVICE, POD_FIRST, POD_LAST};
use crate::protocol::{Network, PodReport, PodRun, ToKubelet};

/// Seconds from SIGTERM to SIGKILL; short, for a lab.
const GRACE_S: u32 = 3;

/// A new random uid, as API servers give them.
pub(super) fn new_uid() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    text.trim().to_owned()
}

/// Makes a pod of a template, places it, and gives it to its node's kubelet.
pub(super) fn create(
    cluster: &mut Cluster,
    kubelets: &Kubelets,
    name: Key,
    template: &PodTemplate,
    owner: Option<OwnerRef>,
) {
    let mut pod = Pod {
        meta: Meta {
            name: name.1.clone(),
            namespace: name.0.clone(),
            uid: new_uid(),
            labels: template.labels.clone(),
            annotations: template.annotations.clone(),
            owner,
            created: Some(now()),
            ..Meta::default()
        },
        spec: template.spec.clone(),
        status: PodStatus::default(),
    };
    let Some((node, index)) = place(cluster, &pod) else {
        cluster.trouble(format!("pod `{}/{}`: no node has room for it", name.0, name.1));
        return;
    };
    let Some(state) = cluster.nodes.get_mut(node) else { return };
    let (v4, v6) = if pod.spec.host_network {
        plan::node_addresses(state.number)
    } else {
        state.last_index = index;
        plan::pod_addresses(state.number, index)
    };
    pod.spec.node_name = Some(state.public.name.clone());
    pod.status.pod_ips = vec![v4.into(), v6.into()];
    pod.status.host_ip = Some(plan::node_addresses(state.number).0.into());
    let run = pod_run(cluster, &pod);
    cluster.record(Change::Added, &Object::Pod(pod.clone()));
    if let Some(node) = &pod.spec.node_name {
        kubelets.send(node, ToKubelet::Run(Box::new(run)));
    }
    let report = PodReport::default();
    cluster.pods.insert(name, LivePod { pod, index, stopping: false, report });
}

/// Chooses the node with the fewest pods of the same owner, then with the fewest pods, and a free
/// host number there. Numbers are reused as late as possible.
fn place(cluster: &Cluster, pod: &Pod) -> Option<(usize, u8)> {
    let on = |name: &str, live: &LivePod| live.pod.spec.node_name.as_deref() == Some(name);
    let fits = |name: &str, labels: &sekisho_model::Labels| {
        pod.spec.node_name.as_deref().is_none_or(|wanted| wanted == name)
            && pod.spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let mut candidates: Vec<(usize, usize, usize)> = Vec::new();
    for (position, node) in cluster.nodes.iter().enumerate() {
        let name = &node.public.name;
        if fits(name, &node.labels) {
            let there = || cluster.pods.values().filter(|live| on(name, live));
            let siblings = there().filter(|live| live.pod.meta.owner == pod.meta.owner).count();
            candidates.push((siblings, there().count(), position));
        }
    }
    candidates.sort_unstable();
    candidates.into_iter().find_map(|(_, _, position)| {
        let node = cluster.nodes.get(position)?;
        if pod.spec.host_network {
            return Some((position, 0));
        }
        let used: Vec<u8> = cluster
            .pods
            .values()
            .filter(|live| on(&node.public.name, live))
            .map(|live| live.index)
            .collect();
        let after = (node.last_index.max(POD_FIRST - 1) + 1)..=POD_LAST;
        let free = after.chain(POD_FIRST..=POD_LAST).find(|index| !used.contains(index))?;
        Some((position, free))
    })
}

/// All that a kubelet needs to run a pod.
fn pod_run(cluster: &Cluster, pod: &Pod) -> PodRun {
    let node = pod.spec.node_name.clone().unwrap_or_default();
    let network = match pod.status.pod_ips.as_slice() {
        [IpAddr::V4(v4), IpAddr::V6(v6)] if !pod.spec.host_network => Network::Own {
            netns: cluster.names.pod_netns(&pod.meta.uid),
            node_netns: cluster.names.netns(&node),
            link: plan::pod_link(&pod.meta.uid),
            v4: *v4,
            v6: *v6,
        },
        _ => Network::Node,
    };
    let cgroup = cluster.cgroup_root.join(&node).join("pods").join(format!("pod{}", pod.meta.uid));
    run_of(cluster, &pod.meta, &pod.spec, (network, cgroup), &pod.status.pod_ips)
}

/// All that a kubelet needs to run a host's processes.
pub(super) fn machine_run(cluster: &Cluster, machine: &Machine) -> PodRun {
    let host = &machine.host;
    let mut spec = PodSpec { containers: host.containers.clone(), ..PodSpec::default() };
    spec.node_name = Some(host.meta.name.clone());
    let folder = if machine.kubelet == host.meta.name { "system" } else { &host.meta.name };
    let cgroup = cluster.cgroup_root.join(&machine.kubelet).join(folder);
    let meta = Meta { uid: machine.uid.clone(), ..host.meta.clone() };
    run_of(cluster, &meta, &spec, (Network::Node, cgroup), &host.addresses)
}

fn run_of(
    cluster: &Cluster,
    meta: &Meta,
    spec: &PodSpec,
    (network, cgroup): (Network, std::path::PathBuf),
    addresses: &[IpAddr],
) -> PodRun {
    let Meta { uid, name, namespace, .. } = meta;
    let first = addresses.first().map(ToString::to_string).unwrap_or_default();
    let mut hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    hosts.extend(addresses.iter().map(|address| format!("{address} {name}\n")));
    let node = spec.node_name.clone().unwrap_or_default();
    // Its UTS namespace is its own, but on the host's network its name is the node's.
    let hostname = if spec.host_network { node.clone() } else { name.clone() };
    let env = [
        ("HOSTNAME", hostname.clone()),
        ("POD_NAME", name.clone()),
        ("POD_NAMESPACE", namespace.clone()),
        ("POD_IP", first),
        ("NODE_NAME", node),
        ("SEKISHO_LAB_SHARED", crate::SHARED_INSIDE.to_owned()),
    ];
    PodRun {
        uid: uid.clone(),
        hostname,
        network,
        cgroup,
        folder: cluster.state.pod(uid),
        shared: cluster.state.shared(),
        log_prefix: cluster.state.logs().join(format!("{namespace}_{name}")),
        program: cluster.program.clone(),
        resolv_conf: resolv_conf(namespace),
        hosts,
        env: env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        restart_policy: spec.restart_policy,
        init_containers: spec.init_containers.clone(),
        containers: spec.containers.clone(),
    }
}

/// As kubelets write it for dnsPolicy ClusterFirst.
fn resolv_conf(namespace: &str) -> String {
    format!(
        "search {namespace}.svc.cluster.local svc.cluster.local cluster.local
nameserver {DNS_SERVICE}
options ndots:5 timeout:2 attempts:2
"
    )
}

/// Tells a pod to end; it is removed when its kubelet says it is gone.
pub(super) fn stop(cluster: &mut Cluster, kubelets: &Kubelets, key: &Key) {
    let Some(live) = cluster.pods.get_mut(key) else { return };
    if live.stopping {
        return;
    }
    live.stopping = true;
    let uid = live.pod.meta.uid.clone();
    let node = live.pod.spec.node_name.clone().unwrap_or_default();
    let is_gone = live.report.gone;
    cluster.change_pod(key, |pod| {
        pod.meta.deleted = Some(now());
        pod.status.ready = false;
    });
    if is_gone {
        forget(cluster, key);
    } else {
        kubelets.send(&node, ToKubelet::Stop { uid, grace_s: GRACE_S });
    }
}

/// Removes a pod whose processes are gone.
fn forget(cluster: &mut Cluster, key: &Key) {
    if let Some(live) = cluster.pods.remove(key) {
        cluster.record(Change::Deleted, &Object::Pod(live.pod));
    }
}

/// Takes a kubelet's report into the pod's or host's state.
pub(super) fn take_report(cluster: &mut Cluster, report: PodReport) {
    if let Some(machine) = cluster.machines.values_mut().find(|it| it.uid == report.uid) {
        machine.report = report;
        return;
    }
    let found = cluster.pods.iter_mut().find(|(_, live)| live.pod.meta.uid == report.uid);
    let Some((key, live)) = found else { return };
    let key = key.clone();
    live.report = report.clone();
    let stopping = live.stopping;
    let was_finished = matches!(live.pod.status.phase, PodPhase::Succeeded | PodPhase::Failed);
    cluster.change_pod(&key, |pod| {
        let status = &mut pod.status;
        status.ready = report.ready && !stopping;
        status.restarts = report.restarts;
        if report.running {
            status.phase = PodPhase::Running;
            status.started.get_or_insert_with(now);
        }
        // The phase says that the address is given up, so it waits for the removal.
        if report.gone && !was_finished {
            let well = report.ended == Some(true) || (stopping && report.ended.is_none());
            status.phase = if well { PodPhase::Succeeded } else { PodPhase::Failed };
        }
    });
    if report.gone && stopping {
        forget(cluster, &key);
    }
}
