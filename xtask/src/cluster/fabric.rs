//! The wires: a namespace per node and one between them (`hub`), which is also the cluster's way
//! out.
//!
//! ```text
//! host skcN 172.30.N.1 --+
//! node1 eth0       .11 --+-- hub: bridge, .254 = everybody's router, and a server "outside"
//! node2 eth0       .12 --+
//! ```
//!
//! Nothing is forwarded by the host, so its own firewall and its sysctls are neither asked nor
//! changed. Pods are routed, not bridged or tunnelled: each range of pods is a route via its node.

use std::time::Duration;

use anyhow::{Context, Result};
use sekisho_system::{command, netns};

use super::plan::{Family, HOST, NODES, Plan, ROUTER};

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
    forward(&hub)?;
    for number in 1..=NODES {
        let own = node(plan, number);
        ip(&own, &node_script(plan, number, &hub))?;
        ip(&hub, &format!("link set node{number} master bridge up\n"))?;
        forward(&own)?;
        masquerade(plan, number, &own)?;
    }
    Ok(())
}

fn hub_script(plan: &Plan) -> String {
    let mut script = String::from(
        "link set lo up\n\
         link add bridge type bridge\n\
         link set bridge up\n",
    );
    for family in Family::ALL {
        script.push_str(&address(plan, family, ROUTER, "bridge"));
        let (outside, bits) = (plan.outside(family), family.bits());
        script.push_str(&format!("address add {outside}/{bits} dev lo\n"));
    }
    script + &pod_routes(plan, None)
}

fn host_script(plan: &Plan, link: &str, hub: &str) -> String {
    let mut script = format!(
        "link add {link} type veth peer name {link}h netns {hub}\n\
         link set {link} up\n"
    );
    for family in Family::ALL {
        script.push_str(&address(plan, family, HOST, link));
    }
    script + &pod_routes(plan, None)
}

fn node_script(plan: &Plan, number: u8, hub: &str) -> String {
    let mut script = format!(
        "link set lo up\n\
         link add eth0 type veth peer name node{number} netns {hub}\n\
         link set eth0 up\n"
    );
    for family in Family::ALL {
        script.push_str(&address(plan, family, 10 + number, "eth0"));
        let (all, router) = (family.everything(), plan.end(family, ROUTER));
        script.push_str(&format!("route add {all} via {router}\n"));
    }
    script + &pod_routes(plan, Some(number))
}

/// `nodad`: all addresses are given out here, and waiting for objections would take a second.
fn address(plan: &Plan, family: Family, end: u8, link: &str) -> String {
    let (address, bits) = (plan.end(family, end), family.fabric_bits());
    let flag = if family == Family::V6 { " nodad" } else { "" };
    format!("address add {address}/{bits} dev {link}{flag}\n")
}

/// Routes to the pods of each node but `own`.
fn pod_routes(plan: &Plan, own: Option<u8>) -> String {
    let mut script = String::new();
    for number in (1..=NODES).filter(|number| Some(*number) != own) {
        for family in Family::ALL {
            let (pods, via) = (plan.node_pods(family, number), plan.end(family, 10 + number));
            script.push_str(&format!("route add {pods} via {via}\n"));
        }
    }
    script
}

/// Pods leave the cluster under their node's address, as with most CNIs.
fn masquerade(plan: &Plan, number: u8, namespace: &str) -> Result<()> {
    let rule = |family, word| {
        format!(
            "{word} saddr {} {word} daddr != {{ {}, {}, {} }} masquerade",
            plan.node_pods(family, number),
            plan.pods(family),
            plan.fabric(family),
            plan.services(family)
        )
    };
    let script = format!(
        "table inet fixture {{\n\
           chain postrouting {{\n\
             type nat hook postrouting priority srcnat; policy accept;\n\
             {}\n\
             {}\n\
           }}\n\
         }}\n",
        rule(Family::V4, "ip"),
        rule(Family::V6, "ip6")
    );
    let nft = ["ip", "netns", "exec", namespace, "nft", "-f", "-"];
    command::run(&nft, &script, LIMIT).with_context(|| format!("nft in {namespace}"))?;
    Ok(())
}

/// Makes a namespace a router: packets of pods pass it.
fn forward(namespace: &str) -> Result<()> {
    for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        let path = format!("/proc/sys/{key}");
        let write = netns::within(&netns::path(namespace), move || std::fs::write(path, "1"))?;
        write.with_context(|| format!("set {key} in {namespace}"))?;
    }
    Ok(())
}

fn ip(namespace: &str, script: &str) -> Result<()> {
    batch(&["ip", "-netns", namespace, "-batch", "-"], script)
}

fn batch(argv: &[&str], script: &str) -> Result<()> {
    command::run(argv, script, LIMIT)
        .with_context(|| format!("`{}`:\n{script}", argv.join(" ")))?;
    Ok(())
}
