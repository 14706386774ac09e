//! A node: containerd, kubelet and kube-proxy in the node's namespaces, and what they are told.
//!
//! Settings that are not upstream's defaults, and why:
//! - cgroups of version 1 (`failCgroupV1: false`, `cgroupfs`): where a machine has version 1's
//!   controllers, the kubelet must take them.
//! - `restrict_oom_score_adj`, `oomScoreAdj: 0`: lowering a score needs CAP_SYS_RESOURCE, which a
//!   test machine may lack.
//! - thresholds of eviction and of image collection off: how full the test machine's disk is, is
//!   not the cluster's business.
//! - CNI plugin `ptp`: a pod's link ends in the node, so each packet of a pod is routed and passes
//!   the node's forward hook, where policies would be enforced. It enforces nothing itself. A
//!   bridge would keep traffic between two pods of a node away from that hook.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::control::flag;
use super::plan::{Family, NODES, Plan, ROUTER};
use super::process::{self, Component, HOLDER, Ready};
use super::{clean, fabric, hold};
use crate::run;

/// The image of the process that keeps a pod's namespaces.
pub(crate) const PAUSE: &str = "registry.k8s.io/pause:sekisho";

/// Where Debian's containernetworking-plugins has its programs.
const CNI_PROGRAMS: &str = "/usr/lib/cni";

/// Where containerd listens, in the node's own /run.
pub(crate) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Until a node's namespaces and mounts are made.
const HOLD_LIMIT: Duration = Duration::from_secs(10);

/// The name of a node's object and host.
pub(crate) fn name(number: u8) -> String {
    format!("node{number}")
}

/// What keeps the node's namespaces.
pub(crate) fn holder(number: u8) -> Component {
    Component {
        name: name(number),
        node: None,
        argv: vec![HOLDER.to_owned()],
        ready: Ready::InNode(number, "/run/node"),
    }
}

/// The container runtime of a node.
pub(crate) fn containerd(plan: &Plan, number: u8) -> Component {
    let argv = vec!["containerd".to_owned(), flag("config", file(plan, number, "containerd.toml"))];
    component("containerd", number, argv, Ready::InNode(number, CONTAINERD))
}

/// What runs on a node besides, in the order in which it can start.
pub(crate) fn components(plan: &Plan, number: u8) -> Vec<Component> {
    vec![kubelet(plan, number), proxy(plan, number)]
}

fn kubelet(plan: &Plan, number: u8) -> Component {
    let argv = vec![
        plan.text("bin/kubelet"),
        flag("config", file(plan, number, "kubelet.json")),
        flag("kubeconfig", plan.text(format!("kubelet{number}.kubeconfig"))),
        flag("hostname-override", name(number)),
        flag("node-ip", Family::both(|family| plan.end(family, 10 + number))),
    ];
    let ready = Ready::Answers(format!("https://{}:10250", plan.node(number)), "/healthz");
    component("kubelet", number, argv, ready)
}

fn proxy(plan: &Plan, number: u8) -> Component {
    let argv =
        vec![plan.text("bin/kube-proxy"), flag("config", file(plan, number, "kube-proxy.json"))];
    let ready = Ready::Answers(format!("http://{}:10256", plan.node(number)), "/livez");
    component("kube-proxy", number, argv, ready)
}

fn component(program: &str, number: u8, argv: Vec<String>, ready: Ready) -> Component {
    let name = format!("{}-{program}", name(number));
    Component { name, node: Some(number), argv, ready }
}

/// Makes the nodes' folders, configuration and cgroups, and starts what holds their namespaces.
///
/// # Errors
/// If something can't be written or made.
pub(crate) fn prepare(plan: &Plan) -> Result<()> {
    fabric::make(plan)?;
    for number in 1..=NODES {
        folders(plan, number)?;
        configure(plan, number)?;
        groups(plan, number)?;
        let holder = holder(number);
        let child = process::hold(plan, &holder, &fabric::node(plan, number))?;
        process::await_ready(plan, &holder, child, HOLD_LIMIT)?;
    }
    Ok(())
}

/// The object of a node as `up` makes it before the kubelet finds it: only so is the range of its
/// pods the one that its CNI gives out.
pub(crate) fn object(plan: &Plan, number: u8) -> Value {
    let pods = Family::ALL.map(|family| plan.node_pods(family, number));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name(number), "labels": { "kubernetes.io/hostname": name(number) } },
        "spec": { "podCIDR": pods.first(), "podCIDRs": pods },
    })
}

/// A file of a node's folder.
fn file(plan: &Plan, number: u8, file: &str) -> String {
    plan.text(format!("{}/{file}", name(number)))
}

fn folders(plan: &Plan, number: u8) -> Result<()> {
    let own = hold::OWN.iter().map(|path| path.trim_start_matches('/'));
    for folder in own.chain(["cni"]) {
        let path = file(plan, number, folder);
        fs::create_dir_all(&path).with_context(|| format!("create {path}"))?;
    }
    Ok(())
}

fn configure(plan: &Plan, number: u8) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = file(plan, number, name);
        fs::write(&path, text).with_context(|| format!("write {path}"))
    };
    let pretty = |value: &Value| serde_json::to_string_pretty(value).context("print JSON");
    write("containerd.toml", containerd_config(plan, number))?;
    write("cni/10-fixture.conflist", pretty(&cni_config(plan, number))?)?;
    write("kubelet.json", pretty(&kubelet_config(plan, number))?)?;
    write("kube-proxy.json", pretty(&proxy_config(plan, number))?)?;
    // Nobody listens there: names outside the cluster are not resolved.
    write("resolv.conf", format!("nameserver {}\n", plan.end(Family::V4, ROUTER)))
}

fn containerd_config(plan: &Plan, number: u8) -> String {
    let cni = file(plan, number, "cni");
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{CONTAINERD}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PROGRAMS}"
conf_dir = "{cni}"
"#
    )
}

fn cni_config(plan: &Plan, number: u8) -> Value {
    let range = |family| json!([{ "subnet": plan.node_pods(family, number) }]);
    let route = |family: Family| json!({ "dst": family.everything() });
    json!({
        "cniVersion": "1.0.0",
        "name": "fixture",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": Family::ALL.map(range),
                    "routes": Family::ALL.map(route),
                    "dataDir": "/run/cni-addresses",
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        ],
    })
}

fn kubelet_config(plan: &Plan, number: u8) -> Value {
    let address = plan.node(number);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": plan.text("pki/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": plan.text(format!("pki/node{number}.crt")),
        "tlsPrivateKeyFile": plan.text(format!("pki/node{number}.key")),
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [plan.dns_service()],
        "resolvConf": file(plan, number, "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}/node{number}", plan.name()),
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": ["none"],
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "protectKernelDefaults": false,
        "makeIPTablesUtilChains": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": {
            "imagefs.available": "0%", "memory.available": "0%",
            "nodefs.available": "0%", "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}

fn proxy_config(plan: &Plan, number: u8) -> Value {
    let address = plan.node(number);
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": plan.text("kube-proxy.kubeconfig") },
        "mode": "nftables",
        "hostnameOverride": name(number),
        "bindAddress": address,
        "healthzBindAddress": format!("{address}:10256"),
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": Family::both(|family| plan.pods(family)),
        "oomScoreAdj": 0,
        // Limits of conntrack belong to the machine, not to a network namespace.
        "conntrack": {
            "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
        },
    })
}

/// The cgroups (v1) in which the kubelet makes its pods'; it does not make their root itself.
fn groups(plan: &Plan, number: u8) -> Result<()> {
    for hierarchy in clean::hierarchies() {
        let path = hierarchy.join(plan.name()).join(name(number));
        fs::create_dir_all(&path).with_context(|| format!("create cgroup {}", path.display()))?;
        for key in ["cpuset.cpus", "cpuset.mems"] {
            inherit(&hierarchy, plan, number, key)?;
        }
    }
    Ok(())
}

/// A new cpuset is empty, and nothing can join it, until it is told processors and memory.
fn inherit(hierarchy: &Path, plan: &Plan, number: u8, key: &str) -> Result<()> {
    let Ok(value) = fs::read_to_string(hierarchy.join(key)) else { return Ok(()) };
    let own = hierarchy.join(plan.name());
    for folder in [own.clone(), own.join(name(number))] {
        let file = folder.join(key);
        fs::write(&file, &value).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Gives all nodes the images in a tar.
///
/// # Errors
/// If containerd refuses it.
pub(crate) fn import(plan: &Plan, tar: &Path) -> Result<()> {
    let mut children = Vec::new();
    for number in 1..=NODES {
        let holder = process::holder(plan, number)?;
        let mut ctr = run::command("nsenter");
        ctr.args(["--mount", "--target", &holder.to_string()]);
        ctr.args(["ctr", "--namespace", "k8s.io", "images", "import"]).arg(tar);
        ctr.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        children.push(ctr.spawn().context("start `nsenter`")?);
    }
    for child in children {
        let output = child.wait_with_output().context("wait for `ctr`")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`ctr images import {}`: {}", tar.display(), said.trim_end());
        }
    }
    Ok(())
}
