//! Memory stays bounded whatever the traffic, and nothing is folded silently.

use std::net::IpAddr;
use std::sync::Arc;

use sekisho_model::{Flow, Party, TimeRange, Timestamp};
use sekisho_store::{FlowSink, FlowStore, LocalStore, StoreLimits};

use crate::samples::{START_S, flow, key};

fn recorded(limits: StoreLimits, flows: &[Flow]) -> (LocalStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = LocalStore::open(folder.path(), limits).unwrap();
    store.record(flows, &[]);
    (store, folder)
}

fn sent(store: &LocalStore) -> u64 {
    store.scan(&TimeRange::ALL.into()).unwrap().iter().map(|row| row.stats.bytes_sent).sum()
}

#[test]
fn a_port_scan_folds_into_one_visible_edge_and_keeps_its_sums() {
    let limits = StoreLimits { edges_per_source_minute_max: 16, ..StoreLimits::default() };
    let scan: Vec<Flow> = (0..60_000).map(|port| flow(key("evil", "db", port), 0, 1)).collect();
    let (mut store, _folder) = recorded(limits, &scan);
    assert_eq!(store.status().hot_rows, 17);
    assert_eq!(store.status().folded, 60_000 - 16);
    let rows = store.scan(&TimeRange::ALL.into()).unwrap();
    let other = rows.iter().find(|row| row.key.destination.id() == "other[Other]").unwrap();
    assert_eq!((other.stats.connections, other.key.port), (60_000 - 16, 0));
    assert_eq!(other.key.source.id(), "shop/evil[Deployment]");
    assert_eq!(sent(&store), 60_000);
    // The scan of one source takes nothing from the others.
    let honest: Vec<Flow> = (0..16).map(|port| flow(key("cart", "db", port), 0, 1)).collect();
    store.record(&honest, &[]);
    assert_eq!(store.status().folded, 60_000 - 16);
    // The count outlives the generation.
    store.rotate(b"").unwrap();
    assert_eq!((store.status().folded, sent(&store)), (60_000 - 16, 60_016));
}

#[test]
fn known_edges_go_on_counting_when_a_source_is_over_its_budget() {
    let limits = StoreLimits { edges_per_source_minute_max: 2, ..StoreLimits::default() };
    let ports = [1, 2, 3, 1, 2, 3];
    let flows: Vec<Flow> = ports.map(|port| flow(key("a", "b", port), 0, 1)).into();
    let (store, _folder) = recorded(limits, &flows);
    let connections: Vec<(u16, u64)> = store
        .scan(&TimeRange::ALL.into())
        .unwrap()
        .iter()
        .map(|row| (row.key.port, row.stats.connections))
        .collect();
    assert_eq!(connections, [(0, 2), (1, 2), (2, 2)]);
}

#[test]
fn a_new_minute_has_a_new_budget() {
    let limits = StoreLimits { edges_per_source_minute_max: 2, ..StoreLimits::default() };
    let flows: Vec<Flow> =
        (0..8_u16).map(|n| flow(key("a", "b", n), u64::from(n / 2) * 60, 1)).collect();
    let (store, _folder) = recorded(limits, &flows);
    assert_eq!((store.status().folded, store.status().hot_rows), (0, 8));
}

#[test]
fn many_source_addresses_fold_at_the_destination_they_share() {
    let limits = StoreLimits { edges_per_destination_minute_max: 10, ..StoreLimits::default() };
    let from = |n: u32| {
        let mut key = key("a", "web", 443);
        key.source = Arc::new(Party::external(IpAddr::from(n.to_be_bytes()), None));
        flow(key, 0, 1)
    };
    let flows: Vec<Flow> = (0..5_000).map(from).collect();
    let (store, _folder) = recorded(limits, &flows);
    assert_eq!((store.status().hot_rows, store.status().folded), (11, 4_990));
    let rows = store.scan(&TimeRange::ALL.into()).unwrap();
    let other = rows.iter().find(|row| row.key.source.id() == "other[Other]").unwrap();
    assert_eq!(
        (other.key.destination.id().as_str(), other.key.port),
        ("shop/web[Deployment]", 443)
    );
}

#[test]
fn the_hot_tier_never_grows_past_its_rows() {
    let limits = StoreLimits { hot_rows_max: 100, ..StoreLimits::default() };
    let flows: Vec<Flow> =
        (0..2_000).map(|n| flow(key(&format!("w{n}"), &format!("v{n}"), 80), 0, 1)).collect();
    let (mut store, _folder) = recorded(limits, &flows);
    assert!(store.wants_rotation());
    assert_eq!((store.status().hot_rows, sent(&store)), (101, 2_000));
    store.rotate(b"").unwrap();
    assert!(!store.wants_rotation());
    assert_eq!(sent(&store), 2_000);
}

#[test]
fn retention_removes_by_age_then_by_size_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = LocalStore::open(folder.path(), StoreLimits::default()).unwrap();
    for hour in 0..5 {
        store.record(&[flow(key("a", "b", 80), hour * 3_600, 1)], &[]);
        store.rotate(b"").unwrap();
    }
    let now = Timestamp::from_seconds(START_S + 5 * 3_600);
    assert_eq!(store.apply_retention(now, 9 * 3_600, u64::MAX).unwrap(), 0);
    assert_eq!(store.apply_retention(now, 3 * 3_600 + 60, u64::MAX).unwrap(), 2);
    assert_eq!(sent(&store), 3);
    let oldest = Timestamp::from_seconds(START_S + 2 * 3_600);
    assert_eq!(store.status().oldest, Some(oldest));
    let bytes = store.status().bytes;
    assert_eq!(store.apply_retention(now, 9 * 3_600, bytes - 1).unwrap(), 1);
    assert_eq!(store.apply_retention(now, 9 * 3_600, 0).unwrap(), 2);
    // What is hot has no segment yet, and stays.
    store.record(&[flow(key("a", "b", 80), 0, 1)], &[]);
    assert_eq!(store.apply_retention(now, 0, 0).unwrap(), 0);
    assert_eq!(sent(&store), 1);
    drop(store);
    let (store, _) = LocalStore::open(folder.path(), StoreLimits::default()).unwrap();
    assert_eq!(store.status().segments, 0);
}

#[test]
fn a_segment_from_the_far_future_does_not_live_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = LocalStore::open(folder.path(), StoreLimits::default()).unwrap();
    let years = 40 * 365 * 86_400;
    store.record(&[flow(key("a", "b", 80), 0, 1), flow(key("a", "b", 80), years, 1)], &[]);
    store.rotate(b"").unwrap();
    let now = Timestamp::from_seconds(START_S + 3_600);
    assert_eq!(store.apply_retention(now, 7_200, u64::MAX).unwrap(), 0);
    assert_eq!(store.apply_retention(now.plus_seconds(7_200), 7_200, u64::MAX).unwrap(), 1);
}

#[test]
fn a_scan_of_more_minutes_than_can_be_held_is_refused_and_days_are_told_all_the_same() {
    let limits = StoreLimits { scanned_rows_max: 4, ..StoreLimits::default() };
    let minutes: Vec<Flow> = (0..5).map(|at| flow(key("a", "db", 5432), at * 60, 1)).collect();
    let (mut store, _folder) = recorded(limits, &minutes[..4]);
    assert_eq!(sent(&store), 4);
    store.record(&minutes[4..], &[]);
    for _ in ["in memory", "sealed"] {
        let error = store.scan(&TimeRange::ALL.into()).unwrap_err().to_string();
        assert!(error.contains("more than 4 rows of minutes: ask for a shorter one"), "{error}");
        assert_eq!(store.edges(&TimeRange::ALL.into()).unwrap()[0].stats.bytes_sent, 5);
        store.rotate(b"").unwrap();
    }
    let end = Timestamp::from_seconds(START_S + 180);
    assert_eq!(store.scan(&TimeRange { from: Timestamp::EPOCH, to: end }.into()).unwrap().len(), 3);
}
