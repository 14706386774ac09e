//! The replay: every recorded edge against the policies in force and the proposed ones.
//!
//! Rows are grouped by identity first (both parties with their labels at that time, protocol,
//! port), so that a day of history costs one decision per identity, not one per row. Identities
//! then fold into edges between workloads, worst class first. New connections are judged: what
//! becomes of established ones when policies change is undefined in NetworkPolicy v1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry;
use sekisho_model::{
    Completeness, DecidedBy, EdgeDay, EdgeStats, Party, Protocol, TimeRange, Verdict,
};
use sekisho_policy::{Cluster, RuleSet};

use crate::judge::{Finding, Judge, Question};
use crate::{EdgeClass, EdgeReport, Summary, VerifiedPolicy, WhatIfReport};

/// Different reasons named for one edge; the rest is counted.
const REASONS_PER_EDGE_MAX: usize = 3;

/// Pointers remembered, so that a history that shares no parties costs no memory per row.
const POINTERS_MAX: usize = 1 << 16;

/// What to replay against what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Policies in force.
    pub current: &'a RuleSet,
    /// All policies that would be in force.
    pub proposed: &'a RuleSet,
    /// Namespaces, endpoints (for named ports) and nodes.
    pub cluster: &'a Cluster,
    /// History; may hold several rows per edge.
    pub history: &'a [EdgeDay],
    /// The window that `history` covers.
    pub window: TimeRange,
    /// Completeness of that history.
    pub completeness: &'a Completeness,
    /// Edges accepted by name, as in [`crate::VerifiedRecord::accepted`].
    pub accepted: &'a [String],
    /// Edges that may be blocked without being accepted by name.
    pub limits: Limits,
}

/// How many edges the proposed policies may cost, and still count as verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Edges that would be blocked.
    pub would_block: u64,
    /// Edges that may be blocked: what was recorded does not tell ([`EdgeReport::may_block`]).
    pub uncertain: u64,
}

impl Limits {
    /// Nothing that works is lost, as far as was recorded.
    pub const NONE: Self = Self { would_block: 0, uncertain: 0 };
    /// Whatever it costs: to see what would be.
    pub const ANY: Self = Self { would_block: u64::MAX, uncertain: u64::MAX };
}

/// The answer.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// For people and machines.
    pub report: WhatIfReport,
    /// The proposed policies, if they block no more than accepted; None otherwise.
    pub verified: Option<VerifiedPolicy>,
}

/// Replays history against the current and the proposed policies.
#[must_use]
pub fn what_if(request: &Request<'_>) -> WhatIf {
    let mut edges = edges_of(request);
    let accepted: BTreeSet<&str> = request.accepted.iter().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    let mut summary = Summary::default();
    for edge in &mut edges {
        summary.count(edge.class);
        let name = edge.name();
        let costs = edge.class == EdgeClass::WouldBlock || edge.may_block;
        if costs && accepted.contains(name.as_str()) {
            edge.accepted = true;
            used.insert(name);
        }
    }
    edges.sort_by(|a, b| order(a).cmp(&order(b)));
    let unused = accepted.iter().filter(|name| !used.contains(**name));
    let mut report = WhatIfReport {
        window: request.window,
        completeness: ratio(request.completeness),
        summary,
        edges,
        accepted_unused: unused.map(|name| (*name).to_owned()).collect(),
        would_block_max: request.limits.would_block,
        uncertain_max: request.limits.uncertain,
        verified: false,
    };
    report.verified = report.would_block_unaccepted() <= request.limits.would_block
        && report.may_block_unaccepted() <= request.limits.uncertain;
    let verified = report.verified.then(|| {
        let accepted = used.into_iter().collect();
        let completeness = report.completeness;
        VerifiedPolicy::of(request.proposed, request.window, completeness, summary, accepted)
    });
    WhatIf { report, verified }
}

/// The ratio as a number from 0 to 1; what is no number is the worst.
fn ratio(completeness: &Completeness) -> f64 {
    if completeness.ratio.is_nan() { 0.0 } else { completeness.ratio.clamp(0.0, 1.0) }
}

/// The order of edges in a report.
fn order(edge: &EdgeReport) -> (EdgeClass, &str, &str, Protocol, u16) {
    (edge.class, &edge.source, &edge.destination, edge.protocol, edge.port)
}

/// Numbers parties: by pointer, because stores share them, then by value, because not all do.
#[derive(Default)]
struct Parties<'a> {
    by_pointer: IndexMap<*const Party, usize, foldhash::fast::FixedState>,
    by_value: BTreeMap<&'a Party, usize>,
}

impl<'a> Parties<'a> {
    fn number(&mut self, party: &'a Arc<Party>) -> usize {
        let pointer = Arc::as_ptr(party);
        if let Some(number) = self.by_pointer.get(&pointer) {
            return *number;
        }
        let next = self.by_value.len();
        let number = *self.by_value.entry(party.as_ref()).or_insert(next);
        if self.by_pointer.len() < POINTERS_MAX {
            self.by_pointer.insert(pointer, number);
        }
        number
    }

    /// The parties, each at its number.
    fn into_list(self) -> Vec<&'a Party> {
        let mut list: Vec<(usize, &Party)> =
            self.by_value.into_iter().map(|(party, number)| (number, party)).collect();
        list.sort_unstable_by_key(|(number, _)| *number);
        list.into_iter().map(|(_, party)| party).collect()
    }
}

/// All that a decision may depend on. The parties are numbers of [`Parties`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    source: usize,
    destination: usize,
    protocol: Protocol,
    port: u16,
    inferred: bool,
    verdict: Verdict,
}

/// Source, destination, protocol and port of a reported edge.
type EdgeName = (String, String, Protocol, u16);

/// What is known of one reported edge.
#[derive(Default)]
struct Edge {
    findings: BTreeMap<Finding, u64>,
    stats: Option<EdgeStats>,
}

fn edges_of(request: &Request<'_>) -> Vec<EdgeReport> {
    let mut parties = Parties::default();
    let mut rows: IndexMap<Identity, EdgeStats, foldhash::fast::FixedState> = IndexMap::default();
    for row in request.history {
        let identity = Identity {
            source: parties.number(&row.key.source),
            destination: parties.number(&row.key.destination),
            protocol: row.key.protocol,
            port: row.key.port,
            inferred: row.key.direction_inferred,
            verdict: row.key.verdict,
        };
        match rows.entry(identity) {
            Entry::Occupied(mut known) => known.get_mut().add(&row.stats),
            Entry::Vacant(new) => _ = new.insert(row.stats.clone()),
        }
    }
    let parties = parties.into_list();
    let rules = (request.current, request.proposed);
    let mut judge = Judge::new(rules, request.cluster, &parties);
    let names = Names::of(&parties);
    let mut edges: IndexMap<EdgeKey, Edge, foldhash::fast::FixedState> = IndexMap::default();
    for (identity, stats) in &rows {
        let (Some(source), Some(destination)) =
            (parties.get(identity.source), parties.get(identity.destination))
        else {
            continue; // Numbers come from the list itself, so there is no such row.
        };
        let question = Question {
            source,
            destination,
            protocol: identity.protocol,
            port: identity.port,
            inferred: identity.inferred,
            verdict: identity.verdict,
            stats,
        };
        let finding = judge.judge(&question, (identity.source, identity.destination));
        let key = EdgeKey {
            source: names.number(identity.source),
            destination: names.number(identity.destination),
            protocol: identity.protocol,
            port: identity.port,
        };
        edges.entry(key).or_default().add(finding, stats);
    }
    edges.into_iter().filter_map(|(key, edge)| edge.report(names.edge(key))).collect()
}

/// The names of parties in reports, each once: pods of one workload share theirs.
struct Names {
    number_of: Vec<usize>,
    names: Vec<String>,
}

impl Names {
    fn of(parties: &[&Party]) -> Self {
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut names = Vec::new();
        let mut number = |party: &&Party| {
            let name = party.id();
            *numbers.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() - 1
            })
        };
        let number_of = parties.iter().map(&mut number).collect();
        Self { number_of, names }
    }

    fn number(&self, party: usize) -> usize {
        self.number_of.get(party).copied().unwrap_or_default()
    }

    fn edge(&self, key: EdgeKey) -> EdgeName {
        let name = |number: usize| self.names.get(number).cloned().unwrap_or_default();
        (name(key.source), name(key.destination), key.protocol, key.port)
    }
}

/// A reported edge, its ends as numbers of [`Names`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct EdgeKey {
    source: usize,
    destination: usize,
    protocol: Protocol,
    port: u16,
}

impl Edge {
    fn add(&mut self, finding: Finding, stats: &EdgeStats) {
        let connections = self.findings.entry(finding).or_default();
        *connections = connections.saturating_add(stats.connections);
        match &mut self.stats {
            Some(sum) => sum.add(stats),
            None => self.stats = Some(stats.clone()),
        }
    }

    /// The edge in the report's words; None only for an edge without rows.
    fn report(self, name: EdgeName) -> Option<EdgeReport> {
        let (source, destination, protocol, port) = name;
        let stats = self.stats?;
        let class = self.findings.keys().map(|finding| finding.class).min()?;
        let mut worst: Vec<(&Finding, u64)> = self
            .findings
            .iter()
            .filter(|(finding, _)| finding.class == class)
            .map(|(finding, connections)| (finding, *connections))
            .collect();
        // The most used identity speaks for the edge; the finding itself breaks ties.
        worst.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let (first, _) = *worst.first()?;
        let reason = reason(&worst, self.findings.len(), &stats);
        // Where one pod of the workload is known to get through, so will those that come after the
        // ones that are gone; and what would be blocked for sure is told as that.
        let is_settled = |finding: &Finding| match finding.class {
            EdgeClass::WouldBlock => true,
            EdgeClass::NewlyAllowed | EdgeClass::Unchanged => finding.after == "allowed",
            EdgeClass::Uncertain => false,
        };
        let may_block = self.findings.keys().any(|finding| finding.may_block)
            && !self.findings.keys().any(is_settled);
        let decided_by: Option<DecidedBy> = first.decided_by.clone();
        Some(EdgeReport {
            source,
            destination,
            protocol,
            port,
            class,
            before: first.before.to_owned(),
            after: first.after.to_owned(),
            decided_by,
            connections: stats.connections,
            first_seen: stats.first_seen,
            last_seen: stats.last_seen,
            reason,
            may_block,
            accepted: false,
        })
    }
}

/// The reasons of the worst findings, and how much of the edge they speak for.
fn reason(worst: &[(&Finding, u64)], findings: usize, stats: &EdgeStats) -> String {
    let mut texts: Vec<&str> = Vec::new();
    for (finding, _) in worst {
        if !texts.contains(&finding.reason.as_str()) {
            texts.push(&finding.reason);
        }
    }
    let more = texts.len().saturating_sub(REASONS_PER_EDGE_MAX);
    texts.truncate(REASONS_PER_EDGE_MAX);
    let mut text = texts.join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more reasons"));
    }
    if worst.len() < findings {
        let part = worst.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        text = format!("{part} of {} connections: {text}", stats.connections);
    }
    if stats.loss {
        text.push_str("; records were lost while this was counted");
    }
    text
}
