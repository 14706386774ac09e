//! How much of the truth a window holds: what was lost, and which nodes were silent.
//!
//! ratio = delivered share of the kernel's records x delivered share of each later stage (agent
//! queue, server queue) x share of node-minutes that have a report. Stages multiply because each
//! sees only what the one before let through; adding their counts would dilute a loss.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Completeness, LossMinute, TimeRange, Timestamp};

const NANOS_PER_MINUTE: u64 = 60_000_000_000;
/// Stages after the kernel, by the `hook` name their losses are filed under.
const LATER_STAGES: [&str; 2] = ["agent", "server"];

/// A node or host from which reports are expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedNode {
    /// Name, as in [`LossMinute::node`].
    pub name: String,
    /// When its agent was to report: from joining to leaving. [`TimeRange::ALL`] if not known.
    pub active: TimeRange,
}

impl ExpectedNode {
    /// A node that is expected to report all the time.
    #[must_use]
    pub fn always(name: &str) -> Self {
        Self { name: name.to_owned(), active: TimeRange::ALL }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    produced: u64,
    dropped: u64,
}

impl Count {
    fn add(&mut self, loss: &LossMinute) {
        self.produced = self.produced.saturating_add(loss.produced);
        self.dropped = self.dropped.saturating_add(loss.dropped);
    }
}

/// Says how complete `window` is, from what the hooks produced and lost and who was silent.
///
/// A minute counts as covered by a node if any of its hooks reported for it, even 0 records.
/// Minutes that the window covers only in part are not held against a node unless the window holds
/// no whole one. If `expected` is empty the nodes that reported stand in for it, and a gap says so.
#[must_use]
pub fn completeness(
    losses: &[LossMinute],
    expected: &[ExpectedNode],
    window: TimeRange,
) -> Completeness {
    let inside: Vec<&LossMinute> = losses.iter().filter(|loss| overlaps(loss, window)).collect();
    let mut reported: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut hooks: BTreeMap<(&str, &str), Count> = BTreeMap::new();
    for loss in &inside {
        let minute = loss.minute.nanos() / NANOS_PER_MINUTE;
        // The server speaks about itself: its report does not prove that an agent is alive.
        if loss.hook != "server" {
            reported.entry(&loss.node).or_default().insert(minute);
        }
        hooks.entry((&loss.node, &loss.hook)).or_default().add(loss);
    }
    let mut gaps = loss_gaps(&hooks);
    let window = closed(window, &reported);
    let share = coverage(expected, &reported, window, &mut gaps);
    gaps.sort();
    let total = hooks.values().fold(Count::default(), |mut sum, count| {
        sum.produced = sum.produced.saturating_add(count.produced);
        sum.dropped = sum.dropped.saturating_add(count.dropped);
        sum
    });
    Completeness {
        ratio: (delivered(&hooks) * share).clamp(0.0, 1.0),
        produced: total.produced,
        dropped: total.dropped,
        gaps,
    }
}

fn overlaps(loss: &LossMinute, window: TimeRange) -> bool {
    let start = loss.minute.nanos();
    start < window.to.nanos() && start.saturating_add(NANOS_PER_MINUTE) > window.from.nanos()
}

/// Product over the stages of (produced - dropped) / produced.
fn delivered(hooks: &BTreeMap<(&str, &str), Count>) -> f64 {
    let stage_sum = |wanted: &dyn Fn(&str) -> bool| {
        let of_stage = hooks.iter().filter(|((_, hook), _)| wanted(hook));
        of_stage.fold((0.0, 0.0), |(produced, dropped), (_, count)| {
            (produced + count.produced as f64, dropped + count.dropped as f64)
        })
    };
    let (kernel_produced, kernel_dropped) = stage_sum(&|hook| !LATER_STAGES.contains(&hook));
    let mut ratio = share_left(kernel_produced, kernel_dropped);
    for stage in LATER_STAGES {
        let (produced, dropped) = stage_sum(&|hook| hook == stage);
        // A stage that counts only what it lost got at most what the kernel produced.
        let produced = if produced < dropped { produced.max(kernel_produced) } else { produced };
        ratio *= share_left(produced, dropped);
    }
    ratio
}

fn share_left(produced: f64, dropped: f64) -> f64 {
    if dropped == 0.0 {
        1.0
    } else if produced <= dropped {
        0.0
    } else {
        (produced - dropped) / produced
    }
}

fn loss_gaps(hooks: &BTreeMap<(&str, &str), Count>) -> Vec<String> {
    let lossy = hooks.iter().filter(|(_, count)| count.dropped > 0);
    lossy
        .map(|((node, hook), count)| {
            format!("{node}: {hook} lost {} of {} records", count.dropped, count.produced)
        })
        .collect()
}

/// Replaces open ends of a window by the first and last minute that anybody reported.
fn closed(window: TimeRange, reported: &BTreeMap<&str, BTreeSet<u64>>) -> TimeRange {
    let minutes = || reported.values().flatten().copied();
    let (Some(first), Some(last)) = (minutes().min(), minutes().max()) else { return window };
    let at = |minute: u64| Timestamp::from_nanos(minute.saturating_mul(NANOS_PER_MINUTE));
    TimeRange {
        from: if window.from == Timestamp::EPOCH { at(first) } else { window.from },
        to: if window.to == Timestamp::MAX { at(last.saturating_add(1)) } else { window.to },
    }
}

/// Share of expected node-minutes that have a report; appends who was silent to `gaps`.
fn coverage(
    expected: &[ExpectedNode],
    reported: &BTreeMap<&str, BTreeSet<u64>>,
    window: TimeRange,
    gaps: &mut Vec<String>,
) -> f64 {
    if expected.is_empty() && reported.is_empty() {
        gaps.push("no agent reported".to_owned());
        return 0.0;
    }
    if expected.is_empty() {
        gaps.push("list of nodes not known: a node that never reported is not missed".to_owned());
    }
    let (mut covered_sum, mut minutes_sum) = (0_u64, 0_u64);
    let none = BTreeSet::new();
    let mut count = |name: &str, minutes: (u64, u64)| {
        let minutes_expected = minutes.1.saturating_sub(minutes.0);
        let seen = reported.get(name).unwrap_or(&none);
        let covered = seen.range(minutes.0..minutes.1.max(minutes.0)).count() as u64;
        covered_sum = covered_sum.saturating_add(covered);
        minutes_sum = minutes_sum.saturating_add(minutes_expected);
        if covered < minutes_expected {
            let silent = minutes_expected - covered;
            gaps.push(format!("{name}: silent for {silent} of {minutes_expected} minutes"));
        }
    };
    let mut known = BTreeSet::new();
    for node in expected {
        known.insert(node.name.as_str());
        if let Some(minutes) = expected_minutes(window, node.active) {
            count(&node.name, minutes);
        }
    }
    for (node, minutes) in reported.iter().filter(|(node, _)| !known.contains(*node)) {
        // When an unlisted node came and went is not known: only holes within its reports count.
        if let (Some(first), Some(last)) = (minutes.first(), minutes.last()) {
            count(node, (*first, last.saturating_add(1)));
        }
    }
    if minutes_sum == 0 {
        gaps.push("no node was expected to report in this window".to_owned());
        return 0.0;
    }
    covered_sum as f64 / minutes_sum as f64
}

/// The minutes (half-open, counted from the epoch) of `window` in which a node active in `active`
/// owes a report; None if the two do not meet.
fn expected_minutes(window: TimeRange, active: TimeRange) -> Option<(u64, u64)> {
    let from = window.from.max(active.from).nanos();
    let to = window.to.min(active.to).nanos();
    if from >= to {
        return None;
    }
    let whole = (from.div_ceil(NANOS_PER_MINUTE), to / NANOS_PER_MINUTE);
    if whole.0 < whole.1 {
        return Some(whole);
    }
    Some((from / NANOS_PER_MINUTE, to.div_ceil(NANOS_PER_MINUTE)))
}
