//! Edges of history: who talked to whom, how much, when first and when last.

use std::cmp::Reverse;
use std::sync::Arc;

use sekisho_api::{Account, HistoryPlace, HistoryQuestion, Refusal, SnapshotQuery};
use sekisho_model::{EdgeDay, EdgeKey, EdgeStats, TimeRange, Timestamp};
use serde::Serialize;

use crate::server::fleet::Fleet;
use crate::server::service::now;

/// A page of edges.
#[derive(Debug, Serialize)]
pub(super) struct Past {
    window: TimeRange,
    completeness: f64,
    gaps: Vec<String>,
    /// Edges that are asked for, on this page and all others.
    total: usize,
    edges: Vec<Edge>,
    /// Ask with `after=` this for more; None = these are the last.
    next: Option<String>,
}

/// An edge, and its sums over the window.
#[derive(Debug, Serialize)]
struct Edge {
    key: Arc<EdgeKey>,
    stats: EdgeStats,
}

impl Fleet {
    /// The page that is asked for.
    pub(super) fn past_edges(
        &self,
        account: &Account,
        of: &HistoryQuestion,
    ) -> Result<Past, Refusal> {
        // What comes from now on is not for the pages after this one.
        let range = TimeRange { from: of.range.from, to: of.range.to.min(now()) };
        let query = SnapshotQuery {
            cluster: of.cluster.clone(),
            filter: of.filter.clone(),
            objects: false,
            ..SnapshotQuery::of(range)
        };
        let history = self.looked_up(account, &query)?;
        let mut edges = sums(&history.rows);
        let total = edges.len();
        let next = page(&mut edges, of, range.to);
        Ok(Past {
            window: history.window,
            completeness: history.completeness.ratio,
            gaps: history.completeness.gaps,
            total,
            edges,
            next: next.map(|place| place.to_string()),
        })
    }
}

/// The edges of `days`, of which those of one edge are neighbours.
fn sums(days: &[EdgeDay]) -> Vec<Edge> {
    let sum = |days: &[EdgeDay]| {
        let (first, rest) = days.split_first()?;
        let mut stats = first.stats.clone();
        rest.iter().for_each(|day| stats.add(&day.stats));
        Some(Edge { key: Arc::clone(&first.key), stats })
    };
    days.chunk_by(|one, next| one.key == next.key).filter_map(sum).collect()
}

/// Leaves of `edges` those of the page, in order; says where it ends if there are more.
fn page(edges: &mut Vec<Edge>, of: &HistoryQuestion, to: Timestamp) -> Option<HistoryPlace> {
    let value = |edge: &Edge| of.order.of(&edge.stats);
    if let Some(place) = of.after {
        edges.retain(|edge| value(edge) <= place.value);
    }
    edges.sort_by(|a, b| (Reverse(value(a)), &a.key).cmp(&(Reverse(value(b)), &b.key)));
    let given = |at: u64| of.after.filter(|place| place.value == at).map_or(0, |place| place.given);
    if let Some(place) = of.after {
        let same = edges.iter().take_while(|edge| value(edge) == place.value).count();
        edges.drain(..place.given.min(same));
    }
    if edges.len() <= of.limit {
        return None;
    }
    edges.truncate(of.limit);
    let last = edges.last().map(value)?;
    let same = edges.iter().rev().take_while(|edge| value(edge) == last).count();
    Some(HistoryPlace { to, value: last, given: same.saturating_add(given(last)) })
}
