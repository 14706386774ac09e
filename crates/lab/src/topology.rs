//! The lab's network: a fabric namespace with a bridge, nodes and hosts on it, an internet
//! namespace behind it.
//!
//! Nothing is made in the machine's own namespace: links are created inside the fabric's, with
//! their other ends born in the namespaces they belong to.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use sekisho_system::command::{self, CommandError};
use sekisho_system::netns::{self, NetnsError};

use crate::plan::{self, CLUSTER_V4, CLUSTER_V6, FABRIC, INTERNET, Names};

const IP_TIMEOUT: Duration = Duration::from_secs(30);
/// The table that masquerades and refuses forged sources; Services have one of their own.
const NODE_TABLE: &str = "sekisho_lab_node";

/// The network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// A namespace was refused.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Links, routes or rules were refused.
    #[error("set up namespace `{netns}`")]
    Command {
        /// The namespace.
        netns: String,
        /// Why.
        #[source]
        cause: CommandError,
    },
    /// A kernel setting was refused.
    #[error("set `{setting}` in namespace `{netns}`")]
    Setting {
        /// Path below /proc/sys.
        setting: &'static str,
        /// The namespace.
        netns: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// A member of the fabric: a node or a host.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Name, unique among nodes and hosts.
    pub(crate) name: String,
    /// Its address on the fabric.
    pub(crate) v4: Ipv4Addr,
    /// See `v4`.
    pub(crate) v6: Ipv6Addr,
    /// Node number; None for a host.
    pub(crate) node: Option<u8>,
    /// Addresses beyond those on the fabric (a host's manifest gave them).
    pub(crate) extra: Vec<IpAddr>,
}

/// Makes all namespaces, links and routes; `internet` are the addresses of the internet namespace.
///
/// # Errors
/// [`TopologyError`]; what was made until then stays, for the cleaner.
pub(crate) fn make(
    names: &Names,
    members: &[Member],
    internet: &[IpAddr],
) -> Result<(), TopologyError> {
    for name in ["fabric", "internet"].into_iter().chain(members.iter().map(|it| it.name.as_str()))
    {
        netns::create(&names.netns(name))?;
        apply_settings(&names.netns(name), router_settings())?;
    }
    ip(&names.netns("fabric"), fabric_script(names, members))?;
    ip(&names.netns("internet"), internet_script(members, internet))?;
    for member in members {
        let netns = names.netns(&member.name);
        ip(&netns, member_script(member, members))?;
        if let Some(number) = member.node {
            run_in(&netns, &["nft", "-f", "-"], node_rules(number, members))?;
        }
    }
    Ok(())
}

/// Kernel settings of every namespace but the pods'.
fn router_settings() -> &'static [(&'static str, &'static str)] {
    &[
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        // Strict: a packet must come from where its source is routed to, so pods can't forge one.
        ("net/ipv4/conf/all/rp_filter", "1"),
        ("net/ipv4/conf/default/rp_filter", "1"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
    ]
}

fn apply_settings(
    name: &str,
    settings: &'static [(&'static str, &'static str)],
) -> Result<(), TopologyError> {
    let owned = name.to_owned();
    // /proc/sys/net shows the settings of the namespace of the thread that looks.
    netns::within(&netns::path(name), move || {
        for (setting, value) in settings {
            fs::write(Path::new("/proc/sys").join(setting), value)
                .map_err(|cause| TopologyError::Setting { setting, netns: owned.clone(), cause })?;
        }
        Ok(())
    })?
}

fn ip(netns: &str, script: String) -> Result<(), TopologyError> {
    run_in(netns, &["ip", "-batch", "-"], script)
}

fn run_in(name: &str, argv: &[&'static str], script: String) -> Result<(), TopologyError> {
    let argv = argv.to_vec();
    netns::within(&netns::path(name), move || command::run(&argv, &script, IP_TIMEOUT))?
        .map_err(|cause| TopologyError::Command { netns: name.to_owned(), cause })?;
    Ok(())
}

/// Appends one line to a script.
macro_rules! line {
    ($script:expr, $($text:tt)*) => {{
        // Writing to a String can't fail.
        let _infallible: Result<(), std::fmt::Error> = writeln!($script, $($text)*);
    }};
}

fn fabric_script(names: &Names, members: &[Member]) -> String {
    let (v4, v6) = FABRIC;
    let mut script = String::new();
    line!(script, "link set lo up");
    line!(script, "link add fabric0 type bridge stp_state 0 forward_delay 0");
    line!(script, "link set fabric0 up");
    line!(script, "address add {v4}/24 dev fabric0");
    line!(script, "address add {v6}/64 dev fabric0 nodad");
    for (index, member) in members.iter().enumerate() {
        let netns = names.netns(&member.name);
        line!(script, "link add port{index} type veth peer name uplink netns {netns}");
        line!(script, "link set port{index} master fabric0 up");
        for address in &member.extra {
            line!(script, "route add {address} via {}", gateway(member, *address));
        }
    }
    for number in members.iter().filter_map(|member| member.node) {
        let (node4, node6) = plan::node_addresses(number);
        let [pods4, pods6] = plan::pod_cidrs(number);
        line!(script, "route add {pods4} via {node4}");
        line!(script, "route add {pods6} via {node6}");
    }
    let internet = names.netns("internet");
    line!(script, "link add internet0 type veth peer name uplink netns {internet}");
    line!(script, "link set internet0 up");
    line!(script, "address add 172.19.0.1/30 dev internet0");
    line!(script, "address add fd00:172:19::1/64 dev internet0 nodad");
    for range in INTERNET {
        let via = if range.contains(':') { "fd00:172:19::2" } else { "172.19.0.2" };
        line!(script, "route add {range} via {via}");
    }
    script
}

fn internet_script(members: &[Member], addresses: &[IpAddr]) -> String {
    let mut script = String::new();
    line!(script, "link set lo up");
    line!(script, "link set uplink up");
    line!(script, "address add 172.19.0.2/30 dev uplink");
    line!(script, "address add fd00:172:19::2/64 dev uplink nodad");
    // Nodes and hosts only: pods are not routed from outside, their nodes masquerade for them.
    line!(script, "route add 172.18.0.0/24 via 172.19.0.1");
    line!(script, "route add fd00:172:18::/64 via fd00:172:19::1");
    for address in members.iter().flat_map(|member| &member.extra) {
        let via = if address.is_ipv6() { "fd00:172:19::1" } else { "172.19.0.1" };
        line!(script, "route add {address} via {via}");
    }
    for address in addresses {
        line!(script, "address add {address} dev lo");
    }
    script
}

fn member_script(member: &Member, members: &[Member]) -> String {
    let (fabric4, fabric6) = FABRIC;
    let mut script = String::new();
    line!(script, "link set lo up");
    line!(script, "link set uplink up");
    line!(script, "address add {}/24 dev uplink", member.v4);
    line!(script, "address add {}/64 dev uplink nodad", member.v6);
    for address in &member.extra {
        line!(script, "address add {address} dev uplink");
    }
    // A host with an address of its own speaks from it.
    let source = |is_v6: bool| {
        let own = member.extra.iter().find(|address| address.is_ipv6() == is_v6);
        own.map(|address| format!(" src {address}")).unwrap_or_default()
    };
    let (source4, source6) = (source(false), source(true));
    line!(script, "route add default via {fabric4}{source4}");
    line!(script, "route add default via {fabric6}{source6}");
    for other in members.iter().filter(|other| other.name != member.name) {
        if let Some(number) = other.node {
            let [pods4, pods6] = plan::pod_cidrs(number);
            line!(script, "route add {pods4} via {}{source4}", other.v4);
            line!(script, "route add {pods6} via {}{source6}", other.v6);
        }
        for address in &other.extra {
            line!(script, "route add {address} via {}", gateway(other, *address));
        }
    }
    if let Some(number) = member.node {
        // Or packets to a pod that is gone would go round between node and fabric.
        let [pods4, pods6] = plan::pod_cidrs(number);
        line!(script, "route add unreachable {pods4}");
        line!(script, "route add unreachable {pods6}");
    }
    script
}

fn gateway(member: &Member, address: IpAddr) -> IpAddr {
    if address.is_ipv6() { member.v6.into() } else { member.v4.into() }
}

/// Masquerades what leaves the cluster, and drops forged IPv6 sources of pods, for which the
/// kernel has no rp_filter.
fn node_rules(number: u8, members: &[Member]) -> String {
    let [pods4, pods6] = plan::pod_cidrs(number);
    let (mut cluster4, mut cluster6) = (CLUSTER_V4.to_owned(), CLUSTER_V6.to_owned());
    for address in members.iter().flat_map(|member| &member.extra) {
        let cluster = if address.is_ipv6() { &mut cluster6 } else { &mut cluster4 };
        cluster.push_str(&format!(", {address}"));
    }
    format!(
        "table ip {NODE_TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pods4} ip daddr != {{ {cluster4} }} masquerade
  }}
}}
table ip6 {NODE_TABLE} {{
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname \"pod*\" ip6 saddr != fe80::/10 ip6 saddr != :: fib saddr . iif oif missing drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip6 saddr {pods6} ip6 daddr != {{ {cluster6} }} masquerade
  }}
}}
"
    )
}
