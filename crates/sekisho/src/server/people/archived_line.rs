//! A time line where ClickHouse has a part of history: each part of it is a question of its own.

use std::collections::BTreeSet;

use sekisho_api::{Account, Refusal, TimelineQuestion};
use sekisho_model::{TimeRange, Timestamp, Verdict};
use sekisho_store::Parts;

use super::timeline::Bucket;
use crate::pipeline;
use crate::server::fleet::Fleet;

impl Fleet {
    /// What happened in each of `parts` of the window.
    pub(super) fn archived_line(
        &self,
        account: &Account,
        of: &TimelineQuestion,
        (window, parts): (TimeRange, Parts),
    ) -> Result<Vec<Bucket>, Refusal> {
        let whole = self.seen_all(account, of.map.cluster.as_ref(), window)?;
        // Where nothing was seen, nothing is asked.
        let days: BTreeSet<(Timestamp, u32)> =
            whole.rows.iter().map(|row| (row.day, row.hours)).collect();
        let part = |number: usize| {
            let (at, range) = parts.range(number, window);
            let bucket = match is_touched(&days, range) {
                true => self.bucket(account, of, range)?,
                false => Bucket::default(),
            };
            Ok(Bucket { at, ..bucket })
        };
        (0..parts.count).map(part).collect()
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
