//! Connections by time and verdict.

use std::collections::BTreeSet;

use sekisho_api::{Account, Refusal, TimelineQuestion};
use sekisho_model::{TimeRange, Timestamp, Verdict};
use serde::Serialize;

use crate::pipeline;
use crate::server::fleet::Fleet;
use crate::server::service::now;

const MINUTE_S: u64 = 60;
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
struct Bucket {
    at: Timestamp,
    allowed: u64,
    would_deny: u64,
    denied: u64,
    unknown: u64,
    /// True if records of that time were lost, or a node was silent.
    lost: bool,
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
        let whole = self.seen_all(account, of.map.cluster.as_ref(), of.map.range)?;
        // An open end is now; an open start is the first that was seen.
        let from = if of.map.range.from == Timestamp::EPOCH {
            whole.window.from
        } else {
            of.map.range.from
        };
        let to = of.map.range.to.min(now());
        let count = of.buckets as u64;
        let step_s = step(to.seconds_since(from).max(1), count);
        let first = from.nanos() / 1_000_000_000 / step_s * step_s;
        let mut buckets = Vec::new();
        // Where nothing was seen, nothing is asked.
        let days: BTreeSet<(Timestamp, u32)> =
            whole.rows.iter().map(|row| (row.day, row.hours)).collect();
        let mut start = Timestamp::from_seconds(first);
        while start < to {
            let range = TimeRange { from: start.max(from), to: start.plus_seconds(step_s).min(to) };
            buckets.push(match is_touched(&days, range) {
                true => self.bucket(account, of, range)?,
                false => Bucket { at: start, ..Bucket::default() },
            });
            if let Some(last) = buckets.last_mut() {
                last.at = start;
            }
            start = start.plus_seconds(step_s);
        }
        Ok(Timeline { window: TimeRange { from, to }, step_s, buckets })
    }

    fn bucket(
        &self,
        account: &Account,
        of: &TimelineQuestion,
        range: TimeRange,
    ) -> Result<Bucket, Refusal> {
        let history = self.seen_all(account, of.map.cluster.as_ref(), range)?;
        let map = pipeline::build(&history, &self.options(account, &of.map, &history));
        let is_wanted =
            |wanted: &Option<String>, id: &str| wanted.as_ref().is_none_or(|own| own == id);
        let mut bucket = Bucket { lost: map.completeness.ratio < 1.0, ..Bucket::default() };
        for edge in &map.edges {
            if !is_wanted(&of.source, &edge.source)
                || !is_wanted(&of.destination, &edge.destination)
            {
                continue;
            }
            let sum = match edge.verdict {
                Verdict::Allowed => &mut bucket.allowed,
                Verdict::WouldDeny => &mut bucket.would_deny,
                Verdict::Denied => &mut bucket.denied,
                Verdict::Unknown => &mut bucket.unknown,
            };
            *sum = sum.saturating_add(edge.connections);
            bucket.lost |= edge.loss;
        }
        Ok(bucket)
    }
}

/// Whether an hour of `range` is among the hours in which something was seen.
fn is_touched(days: &BTreeSet<(Timestamp, u32)>, range: TimeRange) -> bool {
    days.iter().any(|(day, hours)| {
        (0..24).any(|hour| {
            let start = day.plus_seconds(hour * 3_600);
            hours & (1 << hour) != 0 && start < range.to && start.plus_seconds(3_600) > range.from
        })
    })
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
    fn only_hours_in_which_something_was_seen_are_asked() {
        let day = Timestamp::from_seconds(86_400);
        let days = [(day, 1 << 3)].into();
        let range = |from_s: u64, to_s: u64| TimeRange {
            from: day.plus_seconds(from_s),
            to: day.plus_seconds(to_s),
        };
        assert!(is_touched(&days, range(3 * 3_600, 3 * 3_600 + 60)));
        assert!(is_touched(&days, range(0, 86_400)));
        assert!(!is_touched(&days, range(4 * 3_600, 86_400)));
        assert!(!is_touched(&days, range(0, 3 * 3_600)));
    }
}
