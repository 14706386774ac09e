//! Sums by day over any range, and the merging of segments: always the plain sum of what was
//! recorded, however it lies in files.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use sekisho_model::{EdgeKey, EdgeStats, Flow, TimeRange, Timestamp};
use sekisho_store::{FlowSink, FlowStore, LocalStore, StoreLimits, open_read_only};

use crate::samples::{START_S, by_place, flow, flows, key, sums};

const HOUR_S: u64 = 3_600;
/// Flows lie in the three days from [`START_S`] on.
pub(crate) const SPAN_S: u64 = 72 * HOUR_S;

pub(crate) fn open(folder: &Path) -> LocalStore {
    LocalStore::open(folder, StoreLimits::default()).unwrap().0
}

pub(crate) fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(START_S + second)
}

/// Flows whose 400 seconds are drawn out over days.
pub(crate) fn spread() -> impl Strategy<Value = Vec<Flow>> {
    flows().prop_map(|mut flows| {
        for flow in &mut flows {
            let drawn = |time: Timestamp| at(time.seconds_since(at(0)) * SPAN_S / 400);
            flow.stats.last_seen = drawn(flow.stats.last_seen);
            flow.stats.first_seen = drawn(flow.stats.first_seen).max(flow.stats.last_seen.minute());
        }
        flows
    })
}

/// A range that may begin and end within a minute, an hour or a day, or at the start of one.
pub(crate) fn range() -> impl Strategy<Value = TimeRange> {
    let moment = || {
        let whole = (0..72_u64).prop_map(|hour| hour * HOUR_S);
        prop_oneof![0..SPAN_S, whole]
    };
    (moment(), moment()).prop_map(|(a, b)| TimeRange { from: at(a.min(b)), to: at(a.max(b)) })
}

/// What must be answered by day: hours and sums, from the sums by minute.
fn by_day(
    minutes: &BTreeMap<(Timestamp, EdgeKey), EdgeStats>,
    range: TimeRange,
) -> BTreeMap<(Timestamp, EdgeKey), (u32, EdgeStats)> {
    let mut days: BTreeMap<_, (u32, EdgeStats)> = BTreeMap::new();
    for ((minute, key), stats) in minutes {
        if *minute < range.to && minute.plus_seconds(60) > range.from {
            let hour = 1 << (minute.seconds_since(minute.day()) / HOUR_S);
            days.entry((minute.day(), key.clone()))
                .and_modify(|(hours, sum)| {
                    *hours |= hour;
                    sum.add(stats);
                })
                .or_insert_with(|| (hour, stats.clone()));
        }
    }
    days
}

fn told(
    store: &impl FlowStore,
    range: TimeRange,
) -> BTreeMap<(Timestamp, EdgeKey), (u32, EdgeStats)> {
    let rows = store.edges(&range.into()).unwrap();
    let count = rows.len();
    let rows = rows.into_iter().map(|row| {
        let key = EdgeKey::clone(&row.key);
        ((row.day, key), (row.hours, row.stats))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    assert_eq!(rows.len(), count, "an edge comes twice on one day");
    rows
}

/// Merges until nothing is left to merge.
pub(crate) fn merge_all(store: &mut LocalStore, now: Timestamp) {
    while let Some(compaction) = store.compaction(now) {
        store.adopt(compaction.run().unwrap()).unwrap();
        store.remove_replaced().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_by_day_is_the_plain_sum_before_and_after_any_merging(
        batches in prop::collection::vec(spread(), 1..5),
        ranges in prop::collection::vec(range(), 1..5),
        merged_at in 0..2 * SPAN_S,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let mut all = Vec::new();
        for flows in batches {
            store.record(&flows, &[]);
            all.extend(flows);
            store.rotate(b"").unwrap();
        }
        let plain = sums(&all);
        let check = |store: &LocalStore| {
            for range in ranges.iter().chain([&TimeRange::ALL]) {
                prop_assert_eq!(&told(store, *range), &by_day(&plain, *range));
            }
            prop_assert_eq!(&by_place(store.scan(&TimeRange::ALL.into()).unwrap()), &plain);
            Ok(())
        };
        check(&store)?;
        // Some may be merged by now, then all.
        merge_all(&mut store, at(merged_at));
        check(&store)?;
        merge_all(&mut store, at(10 * SPAN_S));
        check(&store)?;
        drop(store);
        check(&open(folder.path()))?;
    }

    #[test]
    fn what_is_still_in_memory_counts_with_what_is_sealed(
        flows in spread(), sealed in any::<Index>(), range in range(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let (early, late) = flows.split_at(sealed.index(flows.len() + 1));
        store.record(early, &[]);
        store.rotate(b"").unwrap();
        store.record(late, &[]);
        prop_assert_eq!(told(&store, range), by_day(&sums(&flows), range));
    }
}

/// One flow for each of these hours, each in a segment of its own.
fn by_hours(folder: &Path, hours: &[u64]) -> LocalStore {
    let mut store = open(folder);
    for hour in hours {
        store.record(&[flow(key("web", "db", 5432), hour * HOUR_S, 1)], &[]);
        store.rotate(b"").unwrap();
    }
    store
}

fn segments(store: &LocalStore) -> usize {
    store.status().segments
}

#[test]
fn an_hour_is_merged_when_it_is_over_and_a_day_when_windows_of_a_day_have_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = by_hours(folder.path(), &[0, 0, 0, 1, 1, 30]);
    merge_all(&mut store, at(HOUR_S));
    assert_eq!(segments(&store), 6, "late flows may still come");
    merge_all(&mut store, at(2 * HOUR_S));
    assert_eq!(segments(&store), 4);
    merge_all(&mut store, at(47 * HOUR_S));
    assert_eq!(segments(&store), 3);
    merge_all(&mut store, at(50 * HOUR_S));
    assert_eq!(segments(&store), 2);
    let hours =
        told(&store, TimeRange::ALL).into_values().map(|(hours, stats)| (hours, stats.connections));
    assert_eq!(hours.collect::<Vec<_>>(), [(0b11, 5), (1 << 6, 1)]);
}

#[test]
fn a_merge_whose_part_went_meanwhile_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = by_hours(folder.path(), &[0, 0, 1]);
    let compacted = store.compaction(at(2 * HOUR_S)).unwrap().run().unwrap();
    // Retention takes everything but the newest.
    assert_eq!(store.apply_retention(at(HOUR_S + 120), HOUR_S, u64::MAX).unwrap(), 2);
    store.adopt(compacted).unwrap();
    assert_eq!((segments(&store), told(&store, TimeRange::ALL).len()), (1, 1));
    drop(store);
    assert_eq!(segments(&open(folder.path())), 1);
}

#[test]
fn readers_see_the_merged_segment_or_its_parts_and_never_both() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = by_hours(folder.path(), &[0, 0]);
    let connections = || {
        let (reader, _) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
        let rows = told(&reader, TimeRange::ALL).into_values();
        rows.map(|(_, stats)| stats.connections).sum::<u64>()
    };
    let (early, _) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
    let compacted = store.compaction(at(2 * HOUR_S)).unwrap().run().unwrap();
    assert_eq!(connections(), 2, "written, not adopted");
    store.adopt(compacted).unwrap();
    assert_eq!(connections(), 2, "adopted, parts still there");
    assert_eq!(told(&early, TimeRange::ALL).len(), 1, "who listed the parts can still read them");
    assert_eq!(store.remove_replaced().unwrap(), 2);
    assert_eq!(connections(), 2, "parts gone");
}

#[test]
fn a_question_is_answered_as_of_when_it_was_asked_and_a_file_that_went_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = by_hours(folder.path(), &[0, 1]);
    store.record(&[flow(key("web", "db", 5432), 2 * HOUR_S, 1)], &[]);
    let connections = |rows: Vec<sekisho_model::EdgeDay>| -> u64 {
        rows.iter().map(|row| row.stats.connections).sum()
    };
    let (kept, gone) = (
        store.question(&TimeRange::ALL.into()).unwrap(),
        store.question(&TimeRange::ALL.into()).unwrap(),
    );
    store.record(&[flow(key("web", "db", 5432), 2 * HOUR_S, 1)], &[]);
    store.rotate(b"").unwrap();
    assert_eq!(connections(kept.answer().unwrap()), 3);
    store.apply_retention(at(HOUR_S + 120), HOUR_S, u64::MAX).unwrap();
    assert!(gone.answer().unwrap_err().is_gone());
    assert_eq!(connections(store.edges(&TimeRange::ALL.into()).unwrap()), 3);
}

#[test]
fn a_damaged_part_stops_a_merge_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = by_hours(folder.path(), &[0, 0]);
    let minutes = folder.path().join(format!("segments/{:020}-{:020}.minutes.parquet", 2, 2));
    let whole = std::fs::read(&minutes).unwrap();
    std::fs::write(&minutes, &whole[..whole.len() / 2]).unwrap();
    let error = store.compaction(at(2 * HOUR_S)).unwrap().run().unwrap_err();
    assert!(error.to_string().contains("00001-00000000000000000002.edges.parquet"), "{error}");
    let count = std::fs::read_dir(folder.path().join("segments")).unwrap().count();
    assert_eq!(count, 4, "no part and no draft of the merged one");
    std::fs::write(&minutes, &whole).unwrap();
    assert_eq!(told(&store, TimeRange::ALL).len(), 1);
}

#[test]
fn a_segment_whose_minutes_are_gone_is_set_aside_by_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    drop(by_hours(folder.path(), &[0]));
    let path = folder.path().join(format!("segments/{:020}-{:020}.minutes.parquet", 1, 1));
    std::fs::remove_file(path).unwrap();
    let store = open(folder.path());
    assert_eq!((segments(&store), store.status().damaged.len()), (0, 1));
    assert!(store.status().degraded.unwrap().contains("damaged segment"));
}
