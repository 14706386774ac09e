//! The replay: every recorded edge against the policies in force and the proposed ones.
//!
//! Rows are grouped by identity first (both parties with their labels at that time, protocol,
//! port), so that a day of history costs one decision per identity, not one per row. Identities
//! then fold into edges between workloads, worst class first. New connections are judged: what
//! becomes of established ones when policies change is undefined in NetworkPolicy v1.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Completeness, EdgeDay, EdgeStats, Party, Protocol, TimeRange};
use sekisho_policy::{Cluster, RuleSet};

use crate::identities::{Identities, Identity, Names};
use crate::judge::{Finding, Judge, Judgement, Question};
use crate::{EdgeClass, EdgeReport, Summary, VerifiedPolicy, WhatIfReport};

/// Different reasons named for one edge; the rest is counted.
const REASONS_PER_EDGE_MAX: usize = 3;

/// As [`Request::unchanged_max`]: the report lists every edge.
pub const UNCHANGED_ALL: u64 = u64::MAX;

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
    /// Unchanged edges that the report lists at most; it counts them all. They are most of a history,
    /// and hardly anybody reads why nothing happens to them.
    pub unchanged_max: u64,
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
    let Replayed { mut edges, summary } = replay(request);
    let accepted: BTreeSet<&str> = request.accepted.iter().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    let costs = |edge: &EdgeReport| edge.class == EdgeClass::WouldBlock || edge.may_block;
    for edge in edges.iter_mut().filter(|edge| !accepted.is_empty() && costs(edge)) {
        let name = edge.name();
        if accepted.contains(name.as_str()) {
            edge.accepted = true;
            used.insert(name);
        }
    }
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

/// What a replay found.
struct Replayed {
    /// In the order of a report, without the unchanged ones beyond what was asked for.
    edges: Vec<EdgeReport>,
    /// Counts of all.
    summary: Summary,
}

/// An identity, what it belongs to, and what was judged of it.
struct Judged<'a> {
    edge: EdgeKey,
    identity: &'a Identity,
    stats: &'a EdgeStats,
    judgement: Judgement,
    class: EdgeClass,
}

fn replay(request: &Request<'_>) -> Replayed {
    let Identities { parties, rows } = Identities::of(request.history);
    let rules = (request.current, request.proposed);
    let mut judge = Judge::new(rules, request.cluster, &parties);
    let names = Names::of(&parties);
    let mut judged: Vec<Judged<'_>> = Vec::with_capacity(rows.len());
    for (identity, stats) in &rows {
        let Some(question) = question(&parties, identity, stats) else { continue };
        let judgement = judge.judge(&question, (identity.source, identity.destination));
        let class = judge.class(&judgement, identity.verdict);
        judged.push(Judged { edge: edge_of(&names, identity), identity, stats, judgement, class });
    }
    judged.sort_by_key(|one| one.edge);
    let mut summary = Summary::default();
    let mut edges: Vec<(EdgeClass, &[Judged<'_>])> = Vec::new();
    for edge in judged.chunk_by(|one, next| one.edge == next.edge) {
        // The worst of the edge's identities; no chunk is empty.
        let Some(class) = edge.iter().map(|one| one.class).min() else { continue };
        summary.count(class);
        if class != EdgeClass::Unchanged || summary.unchanged <= request.unchanged_max {
            edges.push((class, edge));
        }
    }
    // Stable: those of a class stay in the order of their names.
    edges.sort_by_key(|(class, _)| *class);
    let report = |(_, edge): (EdgeClass, &[Judged<'_>])| report(edge, &judge, (&parties, &names));
    Replayed { edges: edges.into_iter().filter_map(report).collect(), summary }
}

/// What is asked of an identity; None never, as its numbers come from the list itself.
fn question<'a>(
    parties: &[&'a Party],
    identity: &Identity,
    stats: &'a EdgeStats,
) -> Option<Question<'a>> {
    Some(Question {
        source: parties.get(identity.source)?,
        destination: parties.get(identity.destination)?,
        protocol: identity.protocol,
        port: identity.port,
        inferred: identity.inferred,
        verdict: identity.verdict,
        stats,
    })
}

/// The edge that an identity belongs to.
fn edge_of(names: &Names, identity: &Identity) -> EdgeKey {
    EdgeKey {
        source: names.number(identity.source),
        destination: names.number(identity.destination),
        protocol: identity.protocol,
        port: identity.port,
    }
}
/// A reported edge, its ends as places of [`Names`]: in the order of a report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EdgeKey {
    source: usize,
    destination: usize,
    protocol: Protocol,
    port: u16,
}

/// An edge in the report's words; None only for an edge without identities.
fn report(
    edge: &[Judged<'_>],
    judge: &Judge<'_>,
    (parties, names): (&[&Party], &Names),
) -> Option<EdgeReport> {
    let mut findings: BTreeMap<Finding, u64> = BTreeMap::new();
    let mut sum: Option<EdgeStats> = None;
    for one in edge {
        let question = question(parties, one.identity, one.stats)?;
        let finding = judge.finding(&one.judgement, &question);
        let connections = findings.entry(finding).or_default();
        *connections = connections.saturating_add(one.stats.connections);
        match &mut sum {
            Some(sum) => sum.add(one.stats),
            None => sum = Some(one.stats.clone()),
        }
    }
    let stats = sum?;
    let class = findings.keys().map(|finding| finding.class).min()?;
    let mut worst: Vec<(&Finding, u64)> = findings
        .iter()
        .filter(|(finding, _)| finding.class == class)
        .map(|(finding, connections)| (finding, *connections))
        .collect();
    // The most used identity speaks for the edge; the finding itself breaks ties.
    worst.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let (first, _) = *worst.first()?;
    let key = edge.first()?.edge;
    Some(EdgeReport {
        source: names.name(key.source),
        destination: names.name(key.destination),
        protocol: key.protocol,
        port: key.port,
        class,
        before: first.before.to_owned(),
        after: first.after.to_owned(),
        decided_by: first.decided_by.clone(),
        connections: stats.connections,
        first_seen: stats.first_seen,
        last_seen: stats.last_seen,
        reason: reason(&worst, findings.len(), &stats),
        may_block: may_block(&findings),
        accepted: false,
    })
}

/// Whether an edge with these findings may be blocked.
fn may_block(findings: &BTreeMap<Finding, u64>) -> bool {
    // Where one pod of the workload is known to get through, so will those that come after the
    // ones that are gone; and what would be blocked for sure is told as that.
    let is_settled = |finding: &Finding| match finding.class {
        EdgeClass::WouldBlock => true,
        EdgeClass::NewlyAllowed | EdgeClass::Unchanged => finding.after == "allowed",
        EdgeClass::Uncertain => false,
    };
    findings.keys().any(|finding| finding.may_block) && !findings.keys().any(is_settled)
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
