//! The cluster's processes. Each component runs in a cgroup of its own (v2) below the cluster's:
//! so it is found without files of process ids, which lie after a kill, and everything that it
//! started ends with it.

use std::fs::{self, OpenOptions};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sekisho_system::{cgroup, wait};

use super::plan::Plan;
use crate::run;

/// The addresses are this machine's own.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Something that runs as long as the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    /// Name of its cgroup and log: `kube-apiserver`, `node1-kubelet`.
    pub(crate) name: String,
    /// The node it runs on; none is the host.
    pub(crate) node: Option<u8>,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// When it is of use.
    pub(crate) ready: Ready,
}

impl Component {
    /// The name of its program's file.
    pub(crate) fn program(&self) -> String {
        let first = self.argv.first().map(Path::new).and_then(Path::file_name);
        first.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// How to see that a component is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// An HTTP GET of the URL's path says 200: server, path.
    Answers(String, &'static str),
    /// The file or socket is there, as the node sees it.
    InNode(u8, &'static str),
}

/// The cgroup (v2) of everything in the cluster.
///
/// # Errors
/// If no cgroup v2 hierarchy is mounted.
pub(crate) fn group(plan: &Plan) -> Result<PathBuf> {
    Ok(cgroup::mount_point()?.join(plan.name()))
}

/// Starts a component; it outlives us.
///
/// # Errors
/// If its log or cgroup can't be made, or we can't be started again.
pub(crate) fn start(plan: &Plan, component: &Component) -> Result<Child> {
    let node = match component.node {
        Some(node) => holder(plan, node)?.to_string(),
        None => "-".to_owned(),
    };
    let mut words = vec![node];
    words.extend(component.argv.iter().cloned());
    again(plan, &component.name, "launch", &words)
}

/// Starts what holds a node's namespaces.
///
/// # Errors
/// As [`start`].
pub(crate) fn hold(plan: &Plan, component: &Component, namespace: &str) -> Result<Child> {
    let words = [namespace.to_owned(), component.name.clone(), plan.text(&component.name)];
    again(plan, &component.name, "hold", &words)
}

/// Starts this program again as `cluster VERB CGROUP WORDS`, with a cgroup and a log of its own.
fn again(plan: &Plan, name: &str, verb: &str, words: &[String]) -> Result<Child> {
    let own = group(plan)?.join(name);
    cgroup::create(&own)?;
    let path = plan.log(name);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("open {}", path.display()))?;
    let mut launch = run::command("/proc/self/exe");
    launch.args(["cluster", verb]).arg(own).args(words);
    launch.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    launch.spawn().with_context(|| format!("start {name}"))
}

/// Starts a component and waits until it is of use.
///
/// # Errors
/// With the end of its log, if it ends or is not ready within `limit`.
pub(crate) fn bring_up(plan: &Plan, component: &Component, limit: Duration) -> Result<()> {
    let child = start(plan, component)?;
    await_ready(plan, component, child, limit)
}

/// Waits until a component that was started is of use.
///
/// # Errors
/// As [`bring_up`].
pub(crate) fn await_ready(
    plan: &Plan,
    component: &Component,
    mut child: Child,
    limit: Duration,
) -> Result<()> {
    let ended = wait::until(limit, || {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(Some(status));
        }
        is_ready(plan, &component.ready).then_some(None)
    });
    let trouble = match ended {
        Some(None) => return Ok(()),
        Some(Some(status)) => format!("ended with {status}"),
        None => format!("is not ready after {} s", limit.as_secs()),
    };
    let log = plan.log(&component.name);
    bail!("{} {trouble}; the end of {}:\n{}", component.name, log.display(), tail(&log))
}

/// Whether a component is of use right now.
pub(crate) fn is_ready(plan: &Plan, ready: &Ready) -> bool {
    match ready {
        Ready::InNode(node, path) => holder(plan, *node)
            .is_ok_and(|pid| Path::new(&format!("/proc/{pid}/root{path}")).exists()),
        Ready::Answers(server, path) => {
            // kubectl costs a tenth of a second: asked only when there is somebody to answer.
            if !listens(server) {
                return false;
            }
            let mut kubectl = kubectl(plan);
            kubectl.args(["--request-timeout=5s", "--server", server, "get", "--raw", path]);
            run::works(&mut kubectl)
        }
    }
}

/// Whether somebody accepts connections at a URL's address and port.
fn listens(url: &str) -> bool {
    let address = url.split_once("://").and_then(|(_, rest)| rest.parse().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_ok())
}

/// Our kubectl with the administrator's rights.
pub(crate) fn kubectl(plan: &Plan) -> std::process::Command {
    let mut kubectl = run::command(&plan.kubectl().to_string_lossy());
    // Nobody's ~/.kube is read or written.
    kubectl.env("HOME", &plan.state).env("KUBECONFIG", plan.admin()).env("KUBERC", "off");
    kubectl
}

/// The process id of a component: the process of its cgroup whose program it is.
pub(crate) fn pid(plan: &Plan, component: &str, program: &str) -> Option<u32> {
    let procs = group(plan).ok()?.join(component).join("cgroup.procs");
    let text = fs::read_to_string(procs).ok()?;
    text.lines().filter_map(|line| line.parse().ok()).find(|pid: &u32| is_program(*pid, program))
}

/// A process in a node's namespaces: the one that holds them or, if that was killed, another.
///
/// # Errors
/// If there is none.
pub(crate) fn holder(plan: &Plan, node: u8) -> Result<u32> {
    let others = ["kubelet", "containerd", "kube-proxy"];
    let other = |program: &&str| pid(plan, &format!("node{node}-{program}"), program);
    pid(plan, &format!("node{node}"), HOLDER)
        .or_else(|| others.iter().find_map(other))
        .with_context(|| format!("node{node} is not up: nothing holds its namespaces"))
}

/// What keeps a node's namespaces: it does nothing else.
pub(crate) const HOLDER: &str = "sleep";

fn is_program(pid: u32, program: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    Path::new(String::from_utf8_lossy(first).as_ref()).file_name().is_some_and(|n| n == program)
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    const LINES: usize = 15;
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}
