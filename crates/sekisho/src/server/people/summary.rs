//! What matters first.

use std::collections::BTreeSet;

use sekisho_api::{Account, MapQuestion, Refusal};
use sekisho_map::{GlyphState, Grouping};
use sekisho_model::{PartyKind, TimeRange, Timestamp, Verdict};
use serde::Serialize;

use crate::pipeline;
use crate::server::fleet::Fleet;
use crate::server::service::{SILENT_S, now};

/// An edge is new if it was not seen in so many days before the window.
const NEW_DAYS: u64 = 7;
const DAY_S: u64 = 86_400;

/// The state of a cluster in figures.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    window: TimeRange,
    completeness: f64,
    gaps: Vec<String>,
    workloads: Workloads,
    connections: Connections,
    /// Edges by workload in the window, and those of them that were not seen in the week before.
    edges: u64,
    new_edges: u64,
    agents: Agents,
    /// Policies enforced and staged: their revisions; 0 = none.
    revision: u64,
    staged: u64,
    /// What is wrong, each with what to do; empty for who sees some namespaces only.
    problems: Vec<String>,
    /// What to do next, most urgent first.
    next: Vec<Next>,
}

/// Workloads by what policies select them.
#[derive(Debug, Default, Serialize)]
struct Workloads {
    total: u64,
    no_policy: u64,
    staged: u64,
    enforced: u64,
}

/// Connections that began in the window.
#[derive(Debug, Default, Serialize)]
struct Connections {
    allowed: u64,
    would_deny: u64,
    denied: u64,
    unknown: u64,
}

#[derive(Debug, Default, Serialize)]
struct Agents {
    total: u64,
    healthy: u64,
}

/// A thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Next {
    kind: Kind,
    /// How many it is about.
    count: u64,
}

/// What there may be to do, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Problems that `status` tells.
    Problems,
    /// Agents that are silent.
    Agents,
    /// Parts of history that are missing.
    Gaps,
    /// Connections that policies in force denied: is one of them needed?
    Denied,
    /// Connections that staged policies would deny.
    WouldDeny,
    /// Staged policies that would deny nothing: apply them.
    Apply,
    /// Workloads without a policy: recommend.
    Recommend,
    /// New edges to look at.
    NewEdges,
}

impl Fleet {
    /// The summary of a cluster.
    pub(super) fn summary(&self, account: &Account, of: &MapQuestion) -> Result<Summary, Refusal> {
        let member = self.pick(of.cluster.as_ref())?;
        let of = MapQuestion { grouping: Grouping::Workload, ..of.clone() };
        let history = self.seen(account, of.cluster.as_ref(), of.range)?;
        let map = pipeline::build(&history, &self.options(account, &of, &history));
        let mut connections = Connections::default();
        for edge in &map.edges {
            let sum = match edge.verdict {
                Verdict::Allowed => &mut connections.allowed,
                Verdict::WouldDeny => &mut connections.would_deny,
                Verdict::Denied => &mut connections.denied,
                Verdict::Unknown => &mut connections.unknown,
            };
            *sum = sum.saturating_add(edge.connections);
        }
        let mut workloads = Workloads::default();
        for (id, state) in self.workload_states(&of, &history)? {
            let namespace = id.split_once('/').map_or("", |(own, _)| own);
            let is_asked = of.namespaces.is_empty() || of.namespaces.contains(namespace);
            if !account.has(namespace) || !is_asked {
                continue;
            }
            workloads.total += 1;
            match state {
                GlyphState::Enforced => workloads.enforced += 1,
                GlyphState::Staged => workloads.staged += 1,
                GlyphState::NoPolicy => workloads.no_policy += 1,
                GlyphState::External | GlyphState::Unknown => {}
            }
        }
        let status = member.status();
        let silent_s = |last: Timestamp| now().seconds_since(last);
        let healthy = status
            .agents
            .iter()
            .filter(|agent| silent_s(agent.last_heard) < SILENT_S && agent.report.error.is_empty());
        let agents = Agents { total: status.agents.len() as u64, healthy: healthy.count() as u64 };
        let problems = match account.namespaces {
            None => status.problems,
            Some(_) => Vec::new(),
        };
        let mut summary = Summary {
            window: map.window,
            completeness: map.completeness.ratio,
            gaps: map.completeness.gaps.clone(),
            workloads,
            connections,
            edges: map.edges.len() as u64,
            new_edges: self.new_edges(account, &of, &map)?,
            agents,
            revision: status.revision,
            staged: status.staged,
            problems,
            next: Vec::new(),
        };
        summary.next = summary.next();
        Ok(summary)
    }

    /// Edges of the map that were not seen in the week before.
    fn new_edges(
        &self,
        account: &Account,
        of: &MapQuestion,
        map: &sekisho_map::Map,
    ) -> Result<u64, Refusal> {
        let from = map.window.from;
        let before = TimeRange { from: from.minus_seconds(NEW_DAYS * DAY_S), to: from };
        let earlier = self.map(account, &MapQuestion { range: before, ..of.clone() })?;
        let key = |edge: &sekisho_map::MapEdge| {
            (edge.source.clone(), edge.destination.clone(), edge.protocol, edge.port)
        };
        let known: BTreeSet<_> = earlier.edges.iter().map(key).collect();
        let is_external = |id: &str| {
            map.nodes.iter().any(|node| node.id == id && node.party == PartyKind::External)
        };
        let new = map.edges.iter().filter(|edge| !known.contains(&key(edge)));
        // Who asks from outside is somebody else each time.
        Ok(new.filter(|edge| !is_external(&edge.source)).count() as u64)
    }
}

impl Summary {
    fn next(&self) -> Vec<Next> {
        let silent = self.agents.total - self.agents.healthy;
        let is_staged_clean = self.staged > 0 && self.connections.would_deny == 0;
        let all = [
            (Kind::Problems, self.problems.len() as u64),
            (Kind::Agents, silent),
            (Kind::Gaps, self.gaps.len() as u64),
            (Kind::Denied, self.connections.denied),
            (Kind::WouldDeny, self.connections.would_deny),
            (Kind::Apply, u64::from(is_staged_clean)),
            (Kind::Recommend, self.workloads.no_policy),
            (Kind::NewEdges, self.new_edges),
        ];
        let some = all.into_iter().filter(|(_, count)| *count > 0);
        some.map(|(kind, count)| Next { kind, count }).collect()
    }
}
