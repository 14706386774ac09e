//! The answers of the Observer API that are no streams.

use std::collections::BTreeSet;

use sekisho_exchange::observer::messages::{
    GetNamespacesResponse, GetNodesResponse, Namespace, Node, ServerStatusResponse, UInt32Value,
    node_state,
};
use sekisho_model::{Flow, Timestamp};

use crate::{AGENT_SILENT_S, AgentStatus, Refusal, Service, Status};

/// Flows that are read at once.
const PAGE: usize = 1_024;
/// Namespaces are those of flows of so long ago, seconds (Hubble's: an hour).
const NAMESPACES_S: u64 = 3_600;
/// The rate is that of so long, seconds (Hubble's: a minute).
const RATE_S: u64 = 60;

/// `ServerStatus`.
pub(super) fn server_status(service: &dyn Service) -> Result<ServerStatusResponse, Refusal> {
    let status = service.status();
    let sum = |of: fn(&Status) -> u64| status.all().map(of).fold(0, u64::saturating_add);
    let agents = || status.all().flat_map(|one| one.agents.iter().map(move |agent| (one, agent)));
    let (up, away): (Vec<_>, Vec<_>) =
        agents().partition(|(one, agent)| is_connected(agent, one.time));
    let since = status.time.minus_seconds(RATE_S);
    let mut recent = 0_u64;
    each_since(service, since, |_cluster, _flow| recent += 1)?;
    let number =
        |count: usize| Some(UInt32Value { value: u32::try_from(count).unwrap_or(u32::MAX) });
    Ok(ServerStatusResponse {
        num_flows: sum(|one| one.flows_held),
        max_flows: sum(|one| one.flows_held_max),
        seen_flows: sum(|one| one.flows),
        uptime_ns: status.time.nanos_since(status.started),
        num_connected_nodes: number(up.len()),
        num_unavailable_nodes: number(away.len()),
        unavailable_nodes: away.iter().map(|(one, agent)| node_name(one, agent)).collect(),
        version: format!("sekisho {}", status.version),
        flows_rate: recent as f64 / RATE_S as f64,
    })
}

/// `GetNodes`: the nodes whose agents reported.
pub(super) fn nodes(service: &dyn Service) -> GetNodesResponse {
    let status = service.status();
    let node = |one: &Status, agent: &AgentStatus| Node {
        name: node_name(one, agent),
        version: agent.report.version.clone(),
        address: String::new(),
        state: match is_connected(agent, one.time) {
            true => node_state::CONNECTED,
            false => node_state::UNAVAILABLE,
        },
        uptime_ns: one.time.nanos_since(agent.epoch),
    };
    let all = status.all().flat_map(|one| one.agents.iter().map(move |agent| node(one, agent)));
    GetNodesResponse { nodes: all.collect() }
}

/// `GetNamespaces`: those of the flows of the last hour, as far as they are in memory.
pub(super) fn namespaces(service: &dyn Service) -> Result<GetNamespacesResponse, Refusal> {
    let since = service.status().time.minus_seconds(NAMESPACES_S);
    let mut seen = BTreeSet::new();
    each_since(service, since, |cluster, flow| {
        for party in [&flow.key.source, &flow.key.destination] {
            let namespace = &party.workload.namespace;
            if !namespace.is_empty() {
                let (cluster, namespace) = (cluster.to_owned(), namespace.clone());
                seen.insert(Namespace { cluster, namespace });
            }
        }
    })?;
    Ok(GetNamespacesResponse { namespaces: seen.into_iter().collect() })
}

/// Calls `see` with each flow in memory that is as late as `since`, newest pages first.
fn each_since(
    service: &dyn Service,
    since: Timestamp,
    mut see: impl FnMut(&str, &Flow),
) -> Result<(), Refusal> {
    for cluster in service.clusters() {
        let mut hi = service.flows(Some(&cluster), u64::MAX, 0)?.cursor;
        while hi > 0 {
            let lo = hi.saturating_sub(PAGE as u64);
            let count = usize::try_from(hi - lo).unwrap_or(PAGE);
            let page = service.flows(Some(&cluster), lo, count)?;
            let recent = page.flows.iter().filter(|flow| flow.stats.last_seen >= since);
            let mut any = false;
            for flow in recent {
                any = true;
                see(cluster.as_str(), flow);
            }
            // Older pages hold older ones, and what fell out of memory holds none.
            if !any || page.missed > 0 {
                break;
            }
            hi = lo;
        }
    }
    Ok(())
}

fn is_connected(agent: &AgentStatus, now: Timestamp) -> bool {
    now.seconds_since(agent.last_heard) < AGENT_SILENT_S
}

fn node_name(status: &Status, agent: &AgentStatus) -> String {
    format!("{}/{}", status.cluster_name, agent.node)
}
