//! Filters: whatever files are left unread, the answer is all of history, filtered.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;
use sekisho_flow::{FlowFilter, VerdictFilter};
use sekisho_model::{EdgeKey, Flow, Party, TimeRange};
use sekisho_store::{Counted, FlowSink, FlowStore, LocalStore, Parts, Wanted};

use crate::merging::{SPAN_S, at, merge_all, open, range, spread};
use crate::samples::{flow, key};

/// The words of a filter for some end of an edge, by a number of 0 to 8.
fn end_filter(filter: &mut FlowFilter, which: usize, key: &EdgeKey) {
    let workload =
        |party: &Party| Some(format!("{}/{}", party.workload.namespace, party.workload.name));
    let (source, destination) = (&key.source, &key.destination);
    match which {
        0 => filter.from_workload = workload(source),
        1 => filter.to_workload = Some(destination.workload.name.clone()),
        2 => filter.workload = workload(destination),
        3 => filter.from_namespace = Some(source.workload.namespace.clone()),
        4 => filter.to_namespace = Some(destination.workload.namespace.clone()),
        5 => filter.namespace = Some(source.workload.namespace.clone()),
        6 => filter.from_pod = Some(source.pod.chars().take(2).collect()),
        7 => filter.pod = Some(format!("{}/{}", destination.workload.namespace, destination.pod)),
        _ => filter.to_fqdn.clone_from(&destination.dns_name),
    }
}

/// A filter with words of `key`, so that it often takes something.
pub(crate) fn filter(which: &[usize], key: &EdgeKey) -> FlowFilter {
    let mut filter = FlowFilter::default();
    for which in which {
        match which {
            9 => filter.verdict = Some(VerdictFilter::Only(key.verdict)),
            10 => filter.verdict = Some(VerdictFilter::Dropped),
            11 => filter.to_port = Some(key.port),
            12 => filter.protocol = Some(key.protocol),
            13 => filter.decided_by = key.decided_by.as_ref().map(|by| by.policy.clone()),
            14 => filter.process = key.source_process.as_ref().map(|own| own.comm.clone()),
            15 => filter.to_ip = key.destination.address,
            16 => filter.workload = Some("nobody".to_owned()),
            end => end_filter(&mut filter, *end, key),
        }
    }
    filter
}

fn check(store: &LocalStore, wanted: &Wanted) -> Result<(), TestCaseError> {
    let all = Wanted::from(wanted.range);
    let mut days = store.edges(&all).unwrap();
    days.retain(|row| wanted.filter.takes_edge(&row.key));
    prop_assert_eq!(store.edges(wanted).unwrap(), days);
    let mut minutes = store.scan(&all).unwrap();
    minutes.retain(|row| wanted.filter.takes_edge(&row.key));
    let by_minute = Wanted { newest: None, ..wanted.clone() };
    prop_assert_eq!(&store.scan(&by_minute).unwrap(), &minutes);
    // The newest: those that were seen when the last of them was are all there.
    let newest = store.scan(wanted).unwrap();
    let mut seen: Vec<_> = minutes.iter().map(|row| row.stats.last_seen).collect();
    seen.sort_unstable();
    let count = wanted.newest.unwrap_or(usize::MAX).min(seen.len());
    match count.checked_sub(1) {
        None => prop_assert!(newest.is_empty()),
        Some(last) => {
            let from = seen[seen.len() - 1 - last];
            minutes.retain(|row| row.stats.last_seen >= from);
            prop_assert_eq!(newest, minutes);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_filtered_answer_is_the_whole_answer_filtered(
        batches in prop::collection::vec(spread(), 1..5),
        which in prop::collection::vec(0..17_usize, 0..4),
        pick in any::<Index>(),
        newest in prop::option::of(0..12_usize),
        range in prop_oneof![range(), Just(TimeRange::ALL)],
        merged_at in 0..2 * SPAN_S,
    ) {
        let keys: Vec<EdgeKey> = batches.iter().flatten().map(|flow: &Flow| flow.key.clone()).collect();
        prop_assume!(!keys.is_empty());
        let wanted = Wanted { range, filter: filter(&which, pick.get(&keys)), newest };
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        for flows in batches {
            check(&store, &wanted)?;
            store.rotate(b"").unwrap();
            store.record(&flows, &[]);
        }
        check(&store, &wanted)?;
        merge_all(&mut store, at(merged_at));
        check(&store, &wanted)?;
        // With no key in memory.
        drop(store);
        check(&open(folder.path()), &wanted)?;
    }
}

/// What a series must tell: connections by part and port.
fn parts_of(
    store: &LocalStore,
    (wanted, parts): (&Wanted, Parts),
) -> Vec<BTreeMap<usize, Counted>> {
    let mut sums = vec![BTreeMap::<usize, Counted>::new(); parts.count];
    for row in store.scan(&Wanted { newest: None, ..wanted.clone() }).unwrap() {
        let since = row.minute.nanos().checked_sub(parts.from.nanos());
        let part = since.map(|nanos| (nanos / 1_000_000_000 / parts.step_s) as usize);
        let Some(sums) = part.and_then(|part| sums.get_mut(part)) else { continue };
        if row.key.port.is_multiple_of(3) {
            continue;
        }
        let sum = sums.entry(usize::from(row.key.port % 3)).or_default();
        sum.connections = sum.connections.saturating_add(row.stats.connections);
        sum.loss |= row.stats.loss;
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_series_is_the_sum_of_its_minutes(
        batches in prop::collection::vec(spread(), 1..4),
        which in prop::collection::vec(0..17_usize, 0..2),
        pick in any::<Index>(),
        range in prop_oneof![range(), Just(TimeRange::ALL)],
        (start, step_min, count) in (0..72_u64, prop::sample::select(vec![1, 7, 60, 120, 1_440]), 0..90_usize),
        is_hour in any::<bool>(),
        merged_at in 0..2 * SPAN_S,
    ) {
        let keys: Vec<EdgeKey> = batches.iter().flatten().map(|flow: &Flow| flow.key.clone()).collect();
        prop_assume!(!keys.is_empty());
        let wanted = Wanted { range, filter: filter(&which, pick.get(&keys)), newest: None };
        let from = at(start * 3_600 + if is_hour { 0 } else { 60 });
        let parts = Parts { from, step_s: step_min * 60, count };
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let check = |store: &LocalStore| {
            let mut class = |key: &EdgeKey| {
                (!key.port.is_multiple_of(3)).then_some(usize::from(key.port % 3))
            };
            let told = store.series(&wanted, parts).answer(&mut class).unwrap();
            prop_assert_eq!(told, parts_of(store, (&wanted, parts)));
            Ok(())
        };
        for flows in batches {
            store.rotate(b"").unwrap();
            store.record(&flows, &[]);
            check(&store)?;
        }
        merge_all(&mut store, at(merged_at));
        check(&store)?;
    }
}

#[test]
fn files_that_are_older_than_the_newest_rows_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    for second in [0, 3_600] {
        store.record(&[flow(key("web", "db", 5432), second, 1)], &[]);
        store.rotate(b"").unwrap();
    }
    let files = std::fs::read_dir(folder.path().join("segments")).unwrap();
    let is_first = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("00000000000000000001-"))
    };
    let first: Vec<PathBuf> = files.map(|file| file.unwrap().path()).filter(is_first).collect();
    assert_eq!(first.len(), 2, "edges and minutes");
    for path in first {
        std::fs::write(path, b"damaged since").unwrap();
    }
    let one = Wanted { newest: Some(1), ..TimeRange::ALL.into() };
    assert_eq!(store.scan(&one).unwrap().len(), 1);
    let two = Wanted { newest: Some(2), ..TimeRange::ALL.into() };
    store.scan(&two).unwrap_err();
}
