//! The wires: a namespace per node and one between them (`hub`), which is also the cluster's way
//! out.
//!
//! ```text
//! host skcN 172.30.N.1 --+
//! node1 eth0      .11 ---+-- hub: bridge, .254 = everybody's router, and a server "outside"
//! node2 eth0      .12 ---+
//! ```
//!
//! Nothing is forwarded by the host, so its own firewall and its sysctls are neither asked nor
//! changed. Pods are routed, not bridged or tunnelled: each range of pods is a route via its node.

use std::time::Duration;

use anyhow::{Context, Result};
use sekisho_system::{command, netns};

use super::plan::{NODES, Plan};

const LIMIT: Duration = Duration::from_secs(10);

/// The namespace of a node.
pub(crate) fn node(plan: &Plan, node: u8) -> String {
    format!("{}-node{node}", plan.name())
}

/// The namespace between the nodes.
pub(crate) fn hub(plan: &Plan) -> String {
    format!("{}-hub", plan.name())
}

/// Makes the namespaces, links, addresses and routes.
///
/// # Errors
/// If `ip` or `nft` refuses.
pub(crate) fn make(plan: &Plan) -> Result<()> {
    let hub = hub(plan);
    netns::create(&hub)?;
    for number in 1..=NODES {
        netns::create(&node(plan, number))?;
    }
    ip(&hub, &hub_script(plan))?;
    let name = plan.name();
    batch(&["ip", "-batch", "-"], &host_script(plan, &name, &hub))?;
    ip(&hub, &format!("link set {name}h master bridge up\n"))?;
    sysctl(&hub, "net/ipv4/ip_forward")?;
    for number in 1..=NODES {
        let own = node(plan, number);
        ip(&own, &node_script(plan, number, &hub))?;
        ip(&hub, &format!("link set node{number} master bridge up\n"))?;
        sysctl(&own, "net/ipv4/ip_forward")?;
        masquerade(plan, number, &own)?;
    }
    Ok(())
}

fn hub_script(plan: &Plan) -> String {
    let mut script = format!(
        "link set lo up\n\
         link add bridge type bridge\n\
         link set bridge up\n\
         address add {}/24 dev bridge\n\
         address add {}/32 dev lo\n",
        plan.router(),
        plan.outside()
    );
    script.push_str(&pod_routes(plan, None));
    script
}

fn host_script(plan: &Plan, link: &str, hub: &str) -> String {
    format!(
        "link add {link} type veth peer name {link}h netns {hub}\n\
         link set {link} up\n\
         address add {}/24 dev {link}\n{}",
        plan.host(),
        pod_routes(plan, None)
    )
}

fn node_script(plan: &Plan, number: u8, hub: &str) -> String {
    format!(
        "link set lo up\n\
         link add eth0 type veth peer name node{number} netns {hub}\n\
         link set eth0 up\n\
         address add {}/24 dev eth0\n\
         route add default via {}\n{}",
        plan.node(number),
        plan.router(),
        pod_routes(plan, Some(number))
    )
}

/// Routes to the pods of each node but `own`.
fn pod_routes(plan: &Plan, own: Option<u8>) -> String {
    let others = (1..=NODES).filter(|number| Some(*number) != own);
    let route =
        |number| format!("route add {} via {}\n", plan.node_pods(number), plan.node(number));
    others.map(route).collect()
}

/// Pods leave the cluster under their node's address, as with most CNIs.
fn masquerade(plan: &Plan, number: u8, namespace: &str) -> Result<()> {
    let script = format!(
        "table ip fixture {{\n\
           chain postrouting {{\n\
             type nat hook postrouting priority srcnat; policy accept;\n\
             ip saddr {} ip daddr != {{ {}, {}, {} }} masquerade\n\
           }}\n\
         }}\n",
        plan.node_pods(number),
        plan.pods(),
        plan.fabric(),
        plan.services()
    );
    let nft = ["ip", "netns", "exec", namespace, "nft", "-f", "-"];
    command::run(&nft, &script, LIMIT).with_context(|| format!("nft in {namespace}"))?;
    Ok(())
}

fn sysctl(namespace: &str, key: &str) -> Result<()> {
    let path = format!("/proc/sys/{key}");
    let write = netns::within(&netns::path(namespace), move || std::fs::write(path, "1"))?;
    write.with_context(|| format!("set {key} in {namespace}"))
}

fn ip(namespace: &str, script: &str) -> Result<()> {
    batch(&["ip", "-netns", namespace, "-batch", "-"], script)
}

fn batch(argv: &[&str], script: &str) -> Result<()> {
    command::run(argv, script, LIMIT)
        .with_context(|| format!("`{}`:\n{script}", argv.join(" ")))?;
    Ok(())
}
