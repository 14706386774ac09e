//! Windows of history: which nodes belong to one, and where an open one ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_api::{Snapshot, SnapshotQuery, Step};
use sekisho_exchange::is_import;
use sekisho_inventory::Inventory;
use sekisho_manifest::Object;
use sekisho_model::{ClusterName, EdgeDay, LossMinute, TimeRange, Timestamp};
use sekisho_policy::RuleSet;
use sekisho_store::{FlowStore, Question, ScanError, Wanted};

use super::damage::{self, Damaged};
use super::losses::SERVER;

/// A node, and the first and last time it was heard.
pub(crate) type Heard = (String, Timestamp, Timestamp);

/// Nodes that should have reported in `range`: those of `losses` and the given agents. What the
/// server says of itself makes no node.
pub(crate) fn expected_nodes(
    range: TimeRange,
    losses: &[LossMinute],
    agents: &[Heard],
) -> Vec<Heard> {
    let mut heard: BTreeMap<String, (Timestamp, Timestamp)> = BTreeMap::new();
    let by_agents = losses.iter().filter(|row| row.hook != SERVER);
    let rows = by_agents.map(|row| (&row.node, row.minute, row.minute));
    let agents = agents.iter().map(|(node, first, last)| (node, *first, *last));
    for (node, first, last) in rows.chain(agents) {
        let span = heard.entry(node.clone()).or_insert((first, last));
        *span = (span.0.min(first), span.1.max(last));
    }
    let inside = heard.into_iter().filter(|(_, (first, _))| *first < range.to);
    inside.map(|(name, (first, last))| (name, first, last)).collect()
}

/// Cuts an open-ended window to what is there: from the first row, or what is known to be the first
/// of all, to `end`.
fn cut(
    range: TimeRange,
    rows: &[EdgeDay],
    (oldest, end): (Option<Timestamp>, Timestamp),
) -> TimeRange {
    let first = rows.iter().map(|row| row.stats.first_seen).chain(oldest).min().unwrap_or(end);
    let to = range.to.min(end);
    TimeRange { from: range.from.max(first).min(to), to }
}

/// Where an open window ends: now, if anybody watches. History that was only imported ends with the
/// last minute that was.
fn end(losses: &[LossMinute], agents: &[Heard], now: Timestamp) -> Timestamp {
    let imported = agents.is_empty() && losses.iter().all(|row| is_import(&row.node));
    let last = losses.iter().map(|row| row.minute.plus_seconds(60)).max();
    last.filter(|_| imported).map_or(now, |last| last.min(now))
}

/// What a window is cut out of.
pub(crate) struct Sources<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) store: &'a dyn FlowStore,
    pub(crate) inventory: &'a Inventory,
    pub(crate) agents: &'a [Heard],
    pub(crate) damaged: &'a [Damaged],
}

/// Everything that map, recommend and verify need, but for the answer of the store, which takes long.
pub(crate) struct Asked {
    rows: Rows,
    range: TimeRange,
    losses: Vec<LossMinute>,
    damaged: Vec<Damaged>,
    agents: Vec<Heard>,
    /// Where an open window ends.
    end: Timestamp,
    /// The first minute of history, where some rows only are asked for.
    oldest: Option<Timestamp>,
    objects: Vec<Arc<Object>>,
    cluster: ClusterName,
}

enum Rows {
    /// By day: read later.
    Asked(Box<Question>),
    /// By minute.
    Read(Vec<EdgeDay>),
}

/// What `query` asks of a store.
pub(crate) fn wanted(query: &SnapshotQuery) -> Wanted {
    Wanted { range: query.range, filter: query.filter.clone(), newest: query.newest }
}

/// Asks for a window.
pub(crate) fn ask(
    sources: &Sources<'_>,
    query: &SnapshotQuery,
    now: Timestamp,
) -> Result<Asked, ScanError> {
    let range = query.range;
    let wanted = wanted(query);
    let losses = sources.store.losses(range)?;
    let end = end(&losses, sources.agents, now);
    let rows = match query.step {
        Step::Day => Rows::Asked(Box::new(sources.store.question(&wanted)?)),
        Step::Minute => {
            Rows::Read(sources.store.scan(&wanted)?.into_iter().map(EdgeDay::from).collect())
        }
    };
    let is_whole = wanted == Wanted::from(range);
    Ok(Asked {
        rows,
        range,
        damaged: sources.damaged.to_vec(),
        agents: sources.agents.to_vec(),
        objects: match query.objects {
            true => sources.inventory.shared_at(range.to.min(end)),
            false => Vec::new(),
        },
        oldest: sources.store.status().oldest.filter(|_| !is_whole),
        cluster: sources.cluster.clone(),
        losses,
        end,
    })
}

impl Asked {
    /// Reads the history; policies in force are the caller's to add.
    pub(crate) fn answer(self) -> Result<Snapshot, ScanError> {
        let Self { range, mut losses, damaged, agents, cluster, objects, .. } = self;
        let mut rows = match self.rows {
            Rows::Asked(question) => question.answer()?,
            Rows::Read(rows) => rows,
        };
        // Stored by minutes, asked by seconds: an edge that began after the end is no part of it.
        rows.retain(|row| row.stats.first_seen < range.to && row.stats.last_seen >= range.from);
        let window = cut(range, &rows, (self.oldest, self.end));
        losses.extend(damage::losses((&cluster, &damaged), range, window.from));
        let nodes = expected_nodes(window, &losses, &agents);
        let current = RuleSet::default();
        Ok(Snapshot { cluster, window, rows, losses, nodes, objects, current, verified: None })
    }
}
