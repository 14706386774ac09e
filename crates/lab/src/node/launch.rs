//! Starts a pod's first process: network namespace, link, routes, PID namespace.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use sekisho_system::command::{self, CommandError};
use sekisho_system::netns::{self, NetnsError};
use sekisho_system::process;

use crate::protocol::{Network, NodeConfig, PodRun};

const IP_TIMEOUT: Duration = Duration::from_secs(20);
/// The node's end of every pod link has this address, so that pods need no ARP.
const NODE_MAC: &str = "ee:ee:ee:ee:ee:ee";
/// The pods' default gateway; it exists only in their neighbour tables.
const GATEWAY_V4: &str = "169.254.1.1";
const GATEWAY_V6: &str = "fe80::1";

/// A pod's first process could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The network namespace was refused.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Links or routes were refused.
    #[error("set up the network of the pod")]
    Ip(#[from] CommandError),
    /// The PID namespace was refused.
    #[error("make a PID namespace")]
    PidNamespace(#[source] io::Error),
    /// The binary could not be started.
    #[error("start the first process of the pod")]
    Start(#[source] io::Error),
    /// The helper thread ended abnormally.
    #[error("the launching thread ended abnormally")]
    Thread,
}

/// Starts the pod's first process, with pipes on its standard input and output.
///
/// The work is done in a thread of its own because it changes that thread's namespaces: after
/// unshare(CLONE_NEWPID) the next child is PID 1 of a new PID namespace.
pub(crate) fn launch(run: &PodRun, node: &NodeConfig) -> Result<Child, LaunchError> {
    let (owned_run, owned_node) = (run.clone(), node.clone());
    thread::spawn(move || -> Result<Child, LaunchError> {
        if let Network::Own { netns, node_netns, link, v4, v6 } = &owned_run.network {
            netns::unshare_named(netns)?;
            let script = pod_script(link, node_netns, *v4, *v6);
            command::run(&["ip", "-batch", "-"], &script, IP_TIMEOUT)?;
            let script = node_script(link, (*v4, *v6), (owned_node.v4, owned_node.v6));
            netns::within(&owned_node.netns, move || {
                command::run(&["ip", "-batch", "-"], &script, IP_TIMEOUT)
            })??;
        }
        unshare(CloneFlags::CLONE_NEWPID)
            .map_err(|errno| LaunchError::PidNamespace(errno.into()))?;
        process::prepare(&owned_run.program)
            .args(["__lab", "pod"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(LaunchError::Start)
    })
    .join()
    .unwrap_or_else(|_panic| Err(LaunchError::Thread))
}

/// A hardware address made from the pod's IPv4 address, locally administered.
fn pod_mac(v4: Ipv4Addr) -> String {
    let [a, b, c, d] = v4.octets();
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// What the pod's namespace gets: one link, one /32 and /128, all routes by the node.
fn pod_script(link: &str, node_netns: &str, v4: Ipv4Addr, v6: Ipv6Addr) -> String {
    let mac = pod_mac(v4);
    format!(
        "link set lo up
link add eth0 address {mac} type veth peer name {link} address {NODE_MAC} netns {node_netns}
link set eth0 up
address add {v4}/32 dev eth0
address add {v6}/128 dev eth0 nodad
neighbour add {GATEWAY_V4} lladdr {NODE_MAC} dev eth0 nud permanent
neighbour add {GATEWAY_V6} lladdr {NODE_MAC} dev eth0 nud permanent
route add {GATEWAY_V4}/32 dev eth0 scope link
route add default via {GATEWAY_V4} dev eth0 src {v4}
route add default via {GATEWAY_V6} dev eth0 src {v6}
"
    )
}

/// What the node gets: the way to the pod, from the node's own address (probes).
fn node_script(link: &str, pod: (Ipv4Addr, Ipv6Addr), node: (Ipv4Addr, Ipv6Addr)) -> String {
    let (v4, v6) = pod;
    let mac = pod_mac(v4);
    let (node_v4, node_v6) = node;
    format!(
        "link set {link} up
neighbour add {v4} lladdr {mac} dev {link} nud permanent
neighbour add {v6} lladdr {mac} dev {link} nud permanent
route add {v4}/32 dev {link} src {node_v4}
route add {v6}/128 dev {link} src {node_v6}
"
    )
}
