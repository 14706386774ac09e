//! What goes in comes out: exactly, merged, by range.

use proptest::prelude::*;
use sekisho_model::{ClusterName, EdgeKey, LossMinute, TimeRange, Timestamp};
use sekisho_store::{FlowSink, FlowStore, LocalStore, StoreLimits, open_read_only};

use crate::samples::{START_S, by_place, flow, flows, key, sums};

fn open(folder: &std::path::Path) -> LocalStore {
    LocalStore::open(folder, StoreLimits::default()).unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_scan_of_all_time_is_the_sum_of_what_was_recorded(
        batches in prop::collection::vec((flows(), any::<bool>()), 1..5),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let mut all = Vec::new();
        for (flows, rotate) in batches {
            store.record(&flows, &[]);
            all.extend(flows);
            if rotate {
                store.rotate(b"").unwrap();
            }
        }
        let expected = sums(&all);
        prop_assert_eq!(&by_place(store.scan(&TimeRange::ALL.into()).unwrap()), &expected);
        // And after everything went through Parquet and another process.
        store.rotate(b"").unwrap();
        drop(store);
        let (store, _) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
        prop_assert_eq!(&by_place(store.scan(&TimeRange::ALL.into()).unwrap()), &expected);
    }

    #[test]
    fn a_range_returns_exactly_the_minutes_that_overlap_it(
        flows in flows(), from in 0..400_u64, seconds in 0..200_u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let (early, late) = flows.split_at(flows.len() / 2);
        store.record(early, &[]);
        store.rotate(b"").unwrap();
        store.record(late, &[]);
        let range = TimeRange {
            from: Timestamp::from_seconds(START_S + from),
            to: Timestamp::from_seconds(START_S + from + seconds),
        };
        let mut expected = sums(&flows);
        expected.retain(|(minute, _), _| {
            *minute < range.to && minute.plus_seconds(60) > range.from
        });
        prop_assert_eq!(by_place(store.scan(&range.into()).unwrap()), expected);
    }
}

#[test]
fn rows_come_sorted_by_source_destination_port_minute() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let edges = [("cart", "redis", 6379), ("ad", "redis", 80), ("cart", "db", 5432)];
    for (source, destination, port) in edges {
        store.record(&[flow(key(source, destination, port), 70, 1)], &[]);
        store.rotate(b"").unwrap();
        store.record(&[flow(key(source, destination, port), 0, 1)], &[]);
    }
    let rows = store.scan(&TimeRange::ALL.into()).unwrap();
    let names: Vec<String> = rows
        .iter()
        .map(|row| {
            let (source, destination) = (&row.key.source.workload, &row.key.destination.workload);
            format!(
                "{} {} {}",
                source.name,
                destination.name,
                row.minute.seconds_since(Timestamp::from_seconds(START_S),)
            )
        })
        .collect();
    let expected =
        ["ad redis 0", "ad redis 60", "cart db 0", "cart db 60", "cart redis 0", "cart redis 60"];
    assert_eq!(names, expected);
}

#[test]
fn edges_and_losses_of_two_clusters_never_fold_into_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let of = |name: &str| EdgeKey { cluster: name.parse().unwrap(), ..key("cart", "db", 5432) };
    let loss = |name: &str, dropped| LossMinute {
        minute: Timestamp::from_seconds(START_S),
        cluster: name.parse().unwrap(),
        node: "node-1".to_owned(),
        hook: "tcp".to_owned(),
        produced: 10,
        dropped,
    };
    let flows = [flow(of("east"), 1, 10), flow(of("west"), 1, 20), flow(of("east"), 2, 5)];
    store.record(&flows, &[loss("east", 1), loss("west", 2)]);
    for _ in 0..2 {
        let rows = store.scan(&TimeRange::ALL.into()).unwrap();
        let rows = rows.iter().map(|row| (row.key.cluster.as_str(), row.stats.bytes_sent));
        assert_eq!(rows.collect::<Vec<_>>(), [("east", 15), ("west", 20)]);
        let losses = store.losses(TimeRange::ALL).unwrap();
        let losses = losses.iter().map(|row| (row.cluster.as_str(), row.dropped));
        assert_eq!(losses.collect::<Vec<_>>(), [("east", 1), ("west", 2)]);
        store.rotate(b"").unwrap();
    }
}

#[test]
fn losses_are_summed_over_segments_and_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let loss = |second: u64, node: &str, dropped: u64| LossMinute {
        minute: Timestamp::from_seconds(START_S + second),
        cluster: ClusterName::default(),
        node: node.to_owned(),
        hook: "tcp".to_owned(),
        produced: 100,
        dropped,
    };
    store.record(&[], &[loss(0, "node-1", 1), loss(0, "node-2", 0)]);
    store.rotate(b"").unwrap();
    store.record(&[], &[loss(0, "node-1", 2), loss(60, "node-1", 4)]);
    let all: Vec<(String, u64, u64)> = store
        .losses(TimeRange::ALL)
        .unwrap()
        .into_iter()
        .map(|loss| (loss.node, loss.produced, loss.dropped))
        .collect();
    let row = |node: &str, produced, dropped| (node.to_owned(), produced, dropped);
    assert_eq!(all, [row("node-1", 200, 3), row("node-2", 100, 0), row("node-1", 100, 4)]);
    let second_minute = TimeRange {
        from: Timestamp::from_seconds(START_S + 60),
        to: Timestamp::from_seconds(START_S + 61),
    };
    assert_eq!(store.losses(second_minute).unwrap().len(), 1);
}
