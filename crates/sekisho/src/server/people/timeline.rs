//! Connections by time and verdict.

use std::collections::BTreeMap;

use sekisho_api::{Account, Refusal, Snapshot, SnapshotQuery, Step, TimelineQuestion};
use sekisho_map::{ExpectedNode, MapOptions, ends};
use sekisho_model::{EdgeKey, LossMinute, TimeRange, Timestamp, Verdict};
use sekisho_store::{Counted, Parts};
use serde::Serialize;

use crate::pipeline::{self, History};
use crate::server::fleet::Fleet;
use crate::server::service::{ClusterServer, now};

const MINUTE_S: u64 = 60;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Lengths of a bucket that people can read, seconds; whole minutes, as history is stored.
const STEPS_S: [u64; 13] =
    [60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800];

/// A time line.
#[derive(Debug, Serialize)]
pub(super) struct Timeline {
    window: TimeRange,
    /// Length of a bucket, seconds.
    step_s: u64,
    buckets: Vec<Bucket>,
}

/// Connections that began in one part of the window.
#[derive(Debug, Default, Serialize)]
pub(super) struct Bucket {
    pub(super) at: Timestamp,
    pub(super) allowed: u64,
    pub(super) would_deny: u64,
    pub(super) denied: u64,
    pub(super) unknown: u64,
    /// True if records of that time were lost, or a node was silent.
    pub(super) lost: bool,
}

/// The shortest step of which at most `count` cover `seconds`.
fn step(seconds: u64, count: u64) -> u64 {
    let fits = |step: &&u64| seconds.div_ceil(**step) <= count;
    let day_s = STEPS_S.last().copied().unwrap_or(MINUTE_S);
    STEPS_S.iter().find(fits).copied().unwrap_or_else(|| {
        // Whole weeks.
        seconds.div_ceil(count).div_ceil(day_s) * day_s
    })
}

impl Fleet {
    /// The time line that is asked for.
    pub(super) fn timeline(
        &self,
        account: &Account,
        of: &TimelineQuestion,
    ) -> Result<Timeline, Refusal> {
        let members: Vec<&ClusterServer> = match &of.map.cluster {
            Some(_) => vec![self.pick(of.map.cluster.as_ref())?],
            None => self.members().map(AsRef::as_ref).collect(),
        };
        // What there is beside rows.
        let all = SnapshotQuery::of(of.map.range);
        let outline = SnapshotQuery { step: Step::Minute, newest: Some(0), ..all };
        let outlines: Result<Vec<_>, _> = members.iter().map(|it| it.snapshot(&outline)).collect();
        let outlines = outlines?;
        let heard: Vec<Heard> = outlines.iter().map(Heard::of).collect();
        let history = History::of_all(outlines);
        // An open end is now; an open start is the first that was seen.
        let from = if of.map.range.from == Timestamp::EPOCH {
            history.window.from
        } else {
            of.map.range.from
        };
        let window = TimeRange { from, to: of.map.range.to.min(now()) };
        let parts = parts(window, of.buckets);
        let options = self.options(account, &of.map, &history);
        let mut class = |key: &EdgeKey| {
            let is_wanted = account.sees(key) && is_between(of, &options, key);
            is_wanted.then(|| class_of(key.verdict))
        };
        let mut sums = vec![BTreeMap::new(); parts.count];
        for member in members {
            let Some(told) = member.series(&window.into(), parts, &mut class)? else {
                let buckets = self.archived_line(account, of, (window, parts))?;
                return Ok(Timeline { window, step_s: parts.step_s, buckets });
            };
            for (sums, told) in sums.iter_mut().zip(told) {
                for (class, counted) in told {
                    let sum: &mut Counted = sums.entry(class).or_default();
                    sum.connections = sum.connections.saturating_add(counted.connections);
                    sum.loss |= counted.loss;
                }
            }
        }
        let bucket = |(part, sums): (usize, &BTreeMap<usize, Counted>)| {
            let (at, range) = parts.range(part, window);
            let mut bucket = bucket(at, sums);
            bucket.lost |= heard.iter().any(|heard| heard.lost(range));
            bucket
        };
        let buckets = sums.iter().enumerate().map(bucket).collect();
        Ok(Timeline { window, step_s: parts.step_s, buckets })
    }
}

/// The parts of a window, `count` at most.
fn parts(window: TimeRange, count: usize) -> Parts {
    let seconds = window.to.seconds_since(window.from).max(1);
    let step_s = step(seconds, count as u64);
    let first = window.from.nanos() / NANOS_PER_SECOND / step_s * step_s;
    let from = Timestamp::from_seconds(first);
    let last = window.to.nanos().saturating_sub(1) / NANOS_PER_SECOND;
    let count = last.checked_sub(first).map_or(0, |seconds| seconds / step_s + 1);
    Parts { from, step_s, count: usize::try_from(count).unwrap_or(usize::MAX) }
}

/// Whether an edge is among those that are asked for.
fn is_between(of: &TimelineQuestion, options: &MapOptions, key: &EdgeKey) -> bool {
    if of.source.is_none() && of.destination.is_none() {
        return options.shows(key);
    }
    let Some(ends) = ends(options, key) else { return false };
    let wanted = [&of.source, &of.destination];
    ends.iter().zip(wanted).all(|(id, wanted)| wanted.as_ref().is_none_or(|own| own == id))
}

/// The class of edges with a verdict.
fn class_of(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Allowed => 0,
        Verdict::WouldDeny => 1,
        Verdict::Denied => 2,
        Verdict::Unknown => 3,
    }
}

fn bucket(at: Timestamp, sums: &BTreeMap<usize, Counted>) -> Bucket {
    let of = |verdict| sums.get(&class_of(verdict)).map_or(0, |counted| counted.connections);
    Bucket {
        at,
        allowed: of(Verdict::Allowed),
        would_deny: of(Verdict::WouldDeny),
        denied: of(Verdict::Denied),
        unknown: of(Verdict::Unknown),
        lost: sums.values().any(|counted| counted.loss),
    }
}

/// What was heard of the nodes of a cluster.
struct Heard {
    window: TimeRange,
    losses: Vec<LossMinute>,
    nodes: Vec<ExpectedNode>,
}

impl Heard {
    fn of(outline: &Snapshot) -> Self {
        let nodes = pipeline::expected_nodes(&outline.nodes);
        Self { window: outline.window, losses: outline.losses.clone(), nodes }
    }

    /// Whether something of `range` was lost, or some node was silent in it.
    fn lost(&self, range: TimeRange) -> bool {
        // What was before the first that was seen is no gap.
        let range = TimeRange { from: range.from.max(self.window.from), ..range };
        if range.from >= range.to {
            return false;
        }
        let is_in = |loss: &&LossMinute| {
            loss.minute < range.to && loss.minute.plus_seconds(MINUTE_S) > range.from
        };
        let losses: Vec<LossMinute> = self.losses.iter().filter(is_in).cloned().collect();
        sekisho_map::completeness(&losses, &self.nodes, range).ratio < 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_as_short_as_fits_and_whole_minutes() {
        assert_eq!(step(3_600, 60), 60);
        assert_eq!(step(3_601, 60), 120);
        assert_eq!(step(86_400, 60), 1_800);
        assert_eq!(step(1, 60), 60);
        let years_s = 10 * 365 * 86_400;
        assert!(years_s / step(years_s, 60) <= 60);
        assert_eq!(step(years_s, 60) % 604_800, 0);
    }

    #[test]
    fn parts_hold_the_window_and_no_more() {
        let range = |from, to| TimeRange {
            from: Timestamp::from_seconds(from),
            to: Timestamp::from_seconds(to),
        };
        let of = |from, to, count| {
            let parts = parts(range(from, to), count);
            (parts.from.nanos() / NANOS_PER_SECOND, parts.step_s, parts.count)
        };
        assert_eq!(of(3_600, 7_200, 60), (3_600, 60, 60));
        assert_eq!(of(3_599, 7_201, 60), (3_480, 120, 32));
        assert_eq!(of(86_400, 2 * 86_400, 24), (86_400, 3_600, 24));
        assert_eq!(of(60, 60, 5), (60, 60, 0), "an empty window has none");
    }
}
