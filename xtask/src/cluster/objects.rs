//! What a cluster holds from the start: its nodes and its DNS.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::plan::{NODES, Plan};
use super::{node, process};
use crate::run;

/// From the workspace's root; the address of the service is filled in.
const DNS: &str = "testing/cluster/dns.yaml";

/// Makes the objects of the nodes, before the kubelets do.
///
/// # Errors
/// If the API server refuses.
pub(crate) fn nodes(plan: &Plan) -> Result<()> {
    for number in 1..=NODES {
        let file = plan.path(node::name(number)).join("node.json");
        apply(plan, &file, &serde_json::to_string(&node::object(plan, number))?)?;
    }
    Ok(())
}

/// Makes the cluster's DNS.
///
/// # Errors
/// If the API server refuses.
pub(crate) fn dns(plan: &Plan, root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join(DNS)).with_context(|| format!("read {DNS}"))?;
    let text = text.replace("DNS_SERVICE", &plan.dns_service().to_string());
    apply(plan, &plan.path("dns.yaml"), &text)
}

/// Waits until the nodes are ready and DNS answers.
///
/// # Errors
/// If it takes longer than a minute.
pub(crate) fn await_ready(plan: &Plan) -> Result<()> {
    let waits = [
        ["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s"].as_slice(),
        &["rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=60s"],
    ];
    waits.iter().try_for_each(|wait| run::quietly(process::kubectl(plan).args(*wait)))
}

fn apply(plan: &Plan, file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    run::quietly(process::kubectl(plan).args(["create", "--filename"]).arg(file))
}
