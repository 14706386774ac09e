//! What the supervisor, the kubelets and the pods' first processes say to each other: one JSON
//! object a line over pipes.

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use sekisho_manifest::{Container, RestartPolicy};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest line accepted, in bytes: a pod's description is far shorter.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a kubelet must know of its node; the first line it reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeConfig {
    /// Node or host name.
    pub(crate) name: String,
    /// Path of the node's network namespace.
    pub(crate) netns: PathBuf,
    /// The cgroup for the kubelet itself, as an absolute path.
    pub(crate) cgroup: PathBuf,
    /// The node's addresses: what it uses towards its own pods.
    pub(crate) v4: Ipv4Addr,
    /// See `v4`.
    pub(crate) v6: Ipv6Addr,
}

/// Orders to a kubelet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ToKubelet {
    /// Starts a pod.
    Run(Box<PodRun>),
    /// Ends a pod: SIGTERM, and SIGKILL after the grace.
    Stop {
        /// metadata.uid.
        uid: String,
        /// Seconds between the two signals.
        grace_s: u32,
    },
    /// Ends all containers of a pod; its restartPolicy decides what comes then.
    Restart {
        /// metadata.uid.
        uid: String,
    },
    /// Replaces the node's Service tables.
    Services {
        /// A complete nft script.
        script: String,
    },
}

/// Reports of a kubelet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromKubelet {
    /// The kubelet is in its namespace and cgroup, and takes orders.
    Up,
    /// A pod changed.
    Pod(PodReport),
    /// The Service tables could not be replaced; the former ones are in force.
    ServicesFailed {
        /// Why.
        message: String,
    },
    /// The kubelet can't work and ends.
    Failed {
        /// Why.
        message: String,
    },
}

/// The state of a pod as its kubelet sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodReport {
    /// metadata.uid.
    pub(crate) uid: String,
    /// The pod's first process, seen from the machine; None before the start and after the end.
    pub(crate) pid: Option<i32>,
    /// At least one container runs.
    pub(crate) running: bool,
    /// All containers run and their readiness probes succeed.
    pub(crate) ready: bool,
    /// Restarts of all containers.
    pub(crate) restarts: u32,
    /// All containers ended: whether all ended well.
    pub(crate) ended: Option<bool>,
    /// Processes, links and folders of the pod are removed.
    pub(crate) gone: bool,
    /// What last went wrong.
    pub(crate) message: Option<String>,
}

/// A pod to run, with all decisions made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PodRun {
    /// metadata.uid.
    pub(crate) uid: String,
    /// Host name inside the pod.
    pub(crate) hostname: String,
    /// Its network.
    pub(crate) network: Network,
    /// The cgroup that holds one cgroup per container, as an absolute path.
    pub(crate) cgroup: PathBuf,
    /// A folder of its own for mounts and /tmp.
    pub(crate) folder: PathBuf,
    /// Folder that is seen inside as /srv/lab.
    pub(crate) shared: PathBuf,
    /// File name prefix for the containers' output.
    pub(crate) log_prefix: PathBuf,
    /// The binary that is seen inside as /srv/sekisho.
    pub(crate) program: PathBuf,
    /// Text of /etc/resolv.conf.
    pub(crate) resolv_conf: String,
    /// Text of /etc/hosts.
    pub(crate) hosts: String,
    /// Environment for all containers.
    pub(crate) env: Vec<(String, String)>,
    /// When containers are started again.
    pub(crate) restart_policy: RestartPolicy,
    /// Run before the others: one after the other to their end, sidecars excepted.
    pub(crate) init_containers: Vec<Container>,
    /// The pod's work.
    pub(crate) containers: Vec<Container>,
}

/// The network of a pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Network {
    /// A namespace of its own, routed by its node.
    Own {
        /// Name of the namespace.
        netns: String,
        /// Name of the pod node's namespace.
        node_netns: String,
        /// Name of the link's end in the node.
        link: String,
        /// The pod's address.
        v4: Ipv4Addr,
        /// The pod's address.
        v6: Ipv6Addr,
    },
    /// The kubelet's own namespace: host network, VM processes.
    Node,
}

/// Orders to a pod's first process, after the [`PodRun`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// Ends the pod.
    Stop {
        /// Seconds from SIGTERM to SIGKILL.
        grace_s: u32,
    },
    /// Ends one container, or all; the restart policy decides what comes then.
    Restart {
        /// Container; None = all.
        container: Option<String>,
    },
    /// Runs a probe command beside a container.
    Exec {
        /// Number by which the answer is known.
        id: u64,
        /// Container whose cgroup it runs in.
        container: String,
        /// Command line.
        argv: Vec<String>,
        /// Seconds after which it is killed.
        timeout_s: u32,
    },
}

/// Reports of a pod's first process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// A container runs.
    Started {
        /// Container.
        container: String,
    },
    /// A container ended or could not be started.
    Ended {
        /// Container.
        container: String,
        /// Exit code, 128 + signal, or 127 if it could not be started.
        code: i32,
        /// Times it will have been started again.
        restarts: u32,
        /// Why it could not be started.
        message: Option<String>,
    },
    /// All containers ended for good.
    Done {
        /// Whether all ended with 0.
        success: bool,
    },
    /// A probe command ended.
    ExecDone {
        /// As in [`ToInit::Exec`].
        id: u64,
        /// Exit code.
        code: i32,
    },
    /// Something went wrong that does not end the pod.
    Trouble {
        /// What.
        message: String,
    },
    /// The pod's surroundings could not be made.
    Failed {
        /// Why.
        message: String,
    },
}

/// Writes `message` as one line and flushes.
pub(crate) fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads one line as a message; None at the end.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let count = io::Read::take(&mut *from, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if count == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_one_by_one_until_the_end() {
        let mut bytes = Vec::new();
        send(&mut bytes, &FromInit::Done { success: true }).unwrap();
        send(&mut bytes, &FromInit::ExecDone { id: 7, code: 1 }).unwrap();
        let mut from = bytes.as_slice();
        assert!(matches!(receive(&mut from).unwrap(), Some(FromInit::Done { success: true })));
        assert!(matches!(receive(&mut from).unwrap(), Some(FromInit::ExecDone { id: 7, .. })));
        assert!(receive::<FromInit>(&mut from).unwrap().is_none());
        assert!(receive::<FromInit>(&mut b"nonsense\n".as_slice()).is_err());
    }
}
