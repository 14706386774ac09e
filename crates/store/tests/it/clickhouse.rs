//! ClickHouse behind the folder: the same questions get the same rows, whoever answers, and nothing
//! is lost or counts twice, whatever breaks on the way.
//!
//! The engine is real: chdb, behind testing/clickhouse/shim.py.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use sekisho_model::{EdgeKey, EdgeStats, Flow, LossMinute, TimeRange, Timestamp};
use sekisho_store::{
    Archive, ArchiveError, ArchiveSettings, FlowSink, FlowStore, Grain, Joined, LocalStore, Reach,
    StoreLimits, Wanted,
};
use sekisho_system::process;

use crate::samples::{START_S, by_place, flow, flows, key};
use crate::wanted::filter;

/// A Python that can import chdb; `cargo xtask test` makes one.
const PYTHON: &str = "SEKISHO_TEST_PYTHON";
const ROWS_MAX: usize = 100_000;
/// From one batch to the next, so that they age in order, seconds.
const STEP_S: u64 = 7_200;

/// The shim and its folder; killed and removed when dropped.
struct Engine {
    folder: tempfile::TempDir,
    child: Option<Child>,
    port: u16,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Engine {
    /// None, and it says so, if there is no chdb.
    fn start() -> Option<Self> {
        let Ok(python) = std::env::var(PYTHON) else {
            eprintln!("NOT RUN: {PYTHON} names no Python with chdb (`cargo xtask test` makes one)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut engine = Self { folder, child: None, port: 0 };
        engine.run(&python);
        Some(engine)
    }

    fn run(&mut self, python: &str) {
        let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/clickhouse/shim.py");
        let mut child = process::prepare(python)
            .arg(shim)
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.port = line.trim().parse().expect("the shim prints its port: has this Python chdb?");
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    fn restart(&mut self) {
        self.run(&std::env::var(PYTHON).unwrap());
    }

    fn settings(&self) -> ArchiveSettings {
        ArchiveSettings {
            url: format!("http://127.0.0.1:{}", self.port),
            database: "sekisho".to_owned(),
            user: "default".to_owned(),
            password_file: None,
            ca: None,
            plaintext: false,
            cluster: None,
            ttl_days: 18_250,
            batch_rows: 7,
            timeout_s: 60,
        }
    }

    /// The archive of a history that no other test has.
    fn archive(&self) -> Archive {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Archive::new(&self.settings(), &name.parse().unwrap()).unwrap()
    }

    /// Sends a request past the archive.
    fn post(&self, parameters: &str, body: &str) -> String {
        let done = sekisho_system::command::run(
            &[
                std::env::var(PYTHON).unwrap().as_str(),
                "-c",
                "import sys, urllib.request as r; \
                 print(r.urlopen(sys.argv[1], sys.stdin.read().encode()).read().decode(), end='')",
                &format!("http://127.0.0.1:{}/?database=sekisho&{parameters}", self.port),
            ],
            body,
            std::time::Duration::from_secs(60),
        );
        done.unwrap().stdout
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(START_S + second)
}

/// A folder that is shipped.
fn opened(folder: &Path) -> LocalStore {
    let (mut store, _) = LocalStore::open(folder, StoreLimits::default()).unwrap();
    store.attach_archive().unwrap();
    store
}

/// Ships one segment; false if there is none.
fn ship_one(store: &mut LocalStore, archive: &Archive) -> Result<bool, ArchiveError> {
    let writing = archive.writing();
    let ledger = writing.ledger(store.writer())?;
    let Some(shipment) = store.next_shipment(ledger, archive.batch_rows())? else {
        return Ok(false);
    };
    writing.send(&shipment)?;
    store.shipped(&shipment)?;
    Ok(true)
}

fn ship_all(store: &mut LocalStore, archive: &Archive) {
    while ship_one(store, archive).unwrap() {}
}

type Days = BTreeMap<(Timestamp, EdgeKey), (u32, EdgeStats)>;
type Minutes = BTreeMap<(Timestamp, EdgeKey), EdgeStats>;

fn days(store: &dyn FlowStore, wanted: &Wanted) -> Days {
    let rows = store.edges(wanted).unwrap();
    let count = rows.len();
    let rows = rows.into_iter();
    let days: Days = rows
        .map(|row| ((row.day, EdgeKey::clone(&row.key)), (row.hours, row.stats.clone())))
        .collect();
    assert_eq!(days.len(), count, "an edge comes twice on one day");
    days
}

/// All that can be asked of what is wanted.
fn asked(store: &dyn FlowStore, wanted: &Wanted) -> (Days, Minutes, Vec<LossMinute>) {
    let minutes = by_place(store.scan(wanted).unwrap());
    (days(store, wanted), minutes, store.losses(wanted.range).unwrap())
}

/// The same, of ClickHouse where the folder has not all.
fn asked_of_both(
    store: &LocalStore,
    archive: &Archive,
    wanted: &Wanted,
) -> (Days, Minutes, Vec<LossMinute>) {
    let reading = archive.reading();
    let Reach::Archive(after) = store.reach(wanted.range) else {
        assert_eq!(store.reach(wanted.range), Reach::Here);
        return asked(store, wanted);
    };
    let fetch = |grain| Joined::new(store, reading.fetch((wanted, grain), after).unwrap());
    let (by_day, by_minute) = (fetch(Grain::Days), fetch(Grain::Minutes(ROWS_MAX)));
    let minutes = by_place(by_minute.scan(wanted).unwrap());
    // What was asked of ClickHouse with one filter is no answer to another.
    let other = Wanted { filter: filter(&[16], &key("web", "db", 1)), ..wanted.clone() };
    if other.filter != wanted.filter {
        by_day.edges(&other).unwrap_err();
        by_minute.scan(&other).unwrap_err();
    }
    (days(&by_day, wanted), minutes, by_minute.losses(wanted.range).unwrap())
}

/// Flows whose sums no number is too small for, moved by `seconds`.
fn moved(flows: Vec<Flow>, seconds: u64) -> Vec<Flow> {
    let moved = |mut flow: Flow| {
        let stats = &mut flow.stats;
        for count in [
            &mut stats.connections,
            &mut stats.bytes_sent,
            &mut stats.bytes_received,
            &mut stats.packets_sent,
            &mut stats.packets_received,
            &mut stats.resets,
        ] {
            *count >>= 8;
        }
        stats.first_seen = stats.first_seen.plus_seconds(seconds);
        stats.last_seen = stats.last_seen.plus_seconds(seconds);
        flow
    };
    flows.into_iter().map(moved).collect()
}

fn loss(second: u64, node: u64, dropped: u64) -> LossMinute {
    LossMinute {
        minute: at(second).minute(),
        cluster: "east".parse().unwrap(),
        node: format!("node-{node}"),
        hook: "tcp".to_owned(),
        produced: dropped + 100,
        dropped,
    }
}

#[test]
fn both_stores_give_the_same_rows_to_the_same_questions() {
    let Some(engine) = Engine::start() else { return };
    let span = 6 * STEP_S;
    let range = (0..2 * span, 0..2 * span, prop::sample::select(vec![1_u64, 60, 3_600]));
    // Of each question whether and how it is filtered, and by the words of which edge.
    let which = prop::option::of((prop::collection::vec(0..17_usize, 1..3), any::<Index>()));
    let strategy = (
        prop::collection::vec(flows(), 2..6),
        0..6_usize,
        prop::collection::vec((range, which), 1..4),
    );
    // Each case asks the engine some fifty times.
    let mut runner = TestRunner::new(Config {
        cases: 10,
        failure_persistence: None,
        max_shrink_iters: 20,
        ..Config::default()
    });
    let checked = runner.run(&strategy, |(batches, shipped, ranges)| {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let archive = engine.archive();
        let (mut plain, _) = LocalStore::open(folders[0].path(), StoreLimits::default()).unwrap();
        let mut store = opened(folders[1].path());
        ship_all(&mut store, &archive);
        let keys: Vec<EdgeKey> = batches.iter().flatten().map(|flow| flow.key.clone()).collect();
        for (number, flows) in (0..).zip(batches) {
            // Days and hours change in between, and the last stays in memory.
            let flows = moved(flows, number * STEP_S + 43_200);
            let losses = [loss(number * STEP_S + 43_200, number % 2, number), loss(0, 1, 1)];
            for store in [&mut plain, &mut store] {
                if number > 0 {
                    store.rotate(b"").unwrap();
                }
                store.record(&flows, &losses);
            }
        }
        for _ in 0..shipped {
            ship_one(&mut store, &archive).unwrap();
        }
        // What was shipped goes, as far as it is older than what was not.
        let lag = store.archive_lag(at(0)).unwrap();
        let gone = at(43_200 + lag.segments * STEP_S - if lag.segments == 0 { 0 } else { 60 });
        store.apply_retention(gone, 0, u64::MAX).unwrap();
        prop_assert_eq!(store.archive_lag(at(0)).unwrap().lost_segments, 0);
        let questions = ranges.into_iter().map(|((from, length, step), which)| {
            let range = TimeRange {
                from: at(from / step * step),
                to: at(from / step * step + length / step * step),
            };
            let words = which.filter(|_| !keys.is_empty());
            let filter = words.map(|(which, pick)| filter(&which, pick.get(&keys)));
            Wanted { filter: filter.unwrap_or_default(), ..range.into() }
        });
        for wanted in questions.chain([TimeRange::ALL.into()]) {
            prop_assert_eq!(asked_of_both(&store, &archive, &wanted), asked(&plain, &wanted));
        }
        Ok(())
    });
    checked.unwrap();
}

/// Two folders with the same flows, `count` segments each: one is kept, one is shipped.
fn twins(folders: &[tempfile::TempDir; 2], count: u64) -> (LocalStore, LocalStore) {
    let (mut plain, _) = LocalStore::open(folders[0].path(), StoreLimits::default()).unwrap();
    let mut store = opened(folders[1].path());
    for number in 0..count {
        let flows: Vec<Flow> = (0..20)
            .map(|of| {
                flow(key(&format!("web-{}", of % 5), "db", 5432), number * STEP_S + of * 30, of)
            })
            .collect();
        for store in [&mut plain, &mut store] {
            store.record(&flows, &[loss(number * STEP_S, 1, 3)]);
            store.rotate(b"").unwrap();
        }
    }
    (plain, store)
}

fn folders() -> [tempfile::TempDir; 2] {
    [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]
}

/// Removes all that was shipped from the folder, and compares what ClickHouse says with the twin.
fn is_all_there(store: &mut LocalStore, plain: &LocalStore, archive: &Archive) {
    store.apply_retention(at(1_000 * STEP_S), 0, u64::MAX).unwrap();
    assert_eq!(store.status().segments, 0);
    assert_eq!(store.archive_lag(at(0)).unwrap().lost_segments, 0);
    assert_eq!(
        asked_of_both(store, archive, &TimeRange::ALL.into()),
        asked(plain, &TimeRange::ALL.into())
    );
}

#[test]
fn an_insert_whose_answer_was_lost_counts_once() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let (plain, mut store) = twins(&folders, 3);
    let archive = engine.archive();
    let mut lost = 0;
    // Each insert of rows is done, and its answer lost, before the next attempt.
    loop {
        engine.post("shim_drop=1", "");
        match ship_one(&mut store, &archive) {
            Ok(true) => {}
            Ok(false) => break,
            Err(ArchiveError::Broken(_)) => lost += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(lost < 100, "it gets no further");
        // What is only half there is not asked for.
        engine.post("shim_drop=0", "");
        if store.archive_lag(at(0)).unwrap().waiting_segments > 0 && lost % 2 == 1 {
            ship_one(&mut store, &archive).unwrap();
        }
    }
    assert!(lost >= 2, "{lost} answers were lost");
    is_all_there(&mut store, &plain, &archive);
}

#[test]
fn a_segment_that_stopped_half_way_is_resumed_after_a_restart_with_other_settings() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let (plain, mut store) = twins(&folders, 2);
    let archive = engine.archive();
    {
        let writing = archive.writing();
        let ledger = writing.ledger(store.writer()).unwrap();
        let shipment = store.next_shipment(ledger, 7).unwrap().unwrap();
        // What the edges are and the first minutes are in; the second minutes, too, with no answer.
        engine.post("shim_drop=1&shim_skip=2", "");
        assert!(matches!(writing.send(&shipment), Err(ArchiveError::Broken(_))));
    }
    drop(store);
    let mut store = opened(folders[1].path());
    assert_eq!(store.reach(TimeRange::ALL), Reach::Here, "all is still here");
    let writing = archive.writing();
    let ledger = writing.ledger(store.writer()).unwrap();
    let shipment = store.next_shipment(ledger, 1_000).unwrap().unwrap();
    writing.send(&shipment).unwrap();
    // The last answer of all is lost: that of the folder's own note.
    drop((writing, store));
    let mut store = opened(folders[1].path());
    ship_all(&mut store, &archive);
    assert_eq!(store.archive_lag(at(0)).unwrap().segments, 2);
    is_all_there(&mut store, &plain, &archive);
}

#[test]
fn what_comes_while_clickhouse_is_away_waits_and_is_shipped_in_order() {
    let Some(mut engine) = Engine::start() else { return };
    let folders = folders();
    let (mut plain, mut store) = twins(&folders, 2);
    let archive = engine.archive();
    assert!(ship_one(&mut store, &archive).unwrap());
    engine.kill();
    for number in 2..30 {
        let flows = [flow(key("late", "db", 5432), number * STEP_S, number)];
        for store in [&mut plain, &mut store] {
            store.record(&flows, &[]);
            store.rotate(b"").unwrap();
        }
        let error = ship_one(&mut store, &archive).unwrap_err();
        assert!(matches!(error, ArchiveError::Connect { .. }), "{error}");
    }
    let lag = store.archive_lag(at(29 * STEP_S + 30)).unwrap();
    assert_eq!((lag.segments, lag.waiting_segments), (1, 29));
    assert!(lag.waiting_s >= 28 * STEP_S - 600, "{lag:?}");
    engine.restart();
    ship_all(&mut store, &archive);
    let lag = store.archive_lag(at(30 * STEP_S)).unwrap();
    assert_eq!((lag.segments, lag.waiting_segments, lag.waiting_s), (30, 0, 0));
    is_all_there(&mut store, &plain, &archive);
}

#[test]
fn what_retention_takes_before_it_was_shipped_is_counted() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let (_plain, mut store) = twins(&folders, 4);
    let archive = engine.archive();
    ship_one(&mut store, &archive).unwrap();
    let rows = store.archive_lag(at(0)).unwrap().waiting_rows;
    store.apply_retention(at(1_000 * STEP_S), 0, u64::MAX).unwrap();
    let lag = store.archive_lag(at(0)).unwrap();
    assert_eq!((lag.lost_segments, lag.lost_rows, lag.waiting_segments), (3, rows, 0));
    // It goes on with what comes.
    store.record(&[flow(key("web", "db", 5432), 500, 1)], &[]);
    store.rotate(b"").unwrap();
    ship_all(&mut store, &archive);
    assert_eq!(store.archive_lag(at(0)).unwrap().segments, 2);
}

#[test]
fn a_window_that_the_folder_has_needs_no_clickhouse() {
    let Some(mut engine) = Engine::start() else { return };
    let folders = folders();
    let (_plain, mut store) = twins(&folders, 4);
    let archive = engine.archive();
    ship_all(&mut store, &archive);
    assert_eq!(store.reach(TimeRange::ALL), Reach::Here);
    // The older half goes.
    store.apply_retention(at(2 * STEP_S), 0, u64::MAX).unwrap();
    engine.kill();
    let later = TimeRange { from: at(2 * STEP_S), to: at(9 * STEP_S) };
    assert_eq!(store.reach(later), Reach::Here);
    let all = store.reach(TimeRange::ALL);
    let Reach::Archive(after) = all else { panic!("{all:?}") };
    let error = archive.reading().fetch((&TimeRange::ALL.into(), Grain::Days), after).unwrap_err();
    assert!(error.to_string().starts_with("connect to ClickHouse at 127.0.0.1:"), "{error}");
}

#[test]
fn an_empty_folder_finds_what_another_one_shipped() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let (plain, mut store) = twins(&folders, 3);
    let archive = engine.archive();
    ship_all(&mut store, &archive);
    drop(store);
    let fresh = tempfile::tempdir().unwrap();
    let mut store = opened(fresh.path());
    assert_eq!(store.reach(TimeRange::ALL), Reach::Unsettled);
    assert!(!ship_one(&mut store, &archive).unwrap());
    assert_eq!(
        asked_of_both(&store, &archive, &TimeRange::ALL.into()),
        asked(&plain, &TimeRange::ALL.into())
    );
    // Its own logs begin again at 1, and nothing of them is taken for the other's.
    let more = flow(key("more", "db", 5432), 60, 5);
    store.record(std::slice::from_ref(&more), &[]);
    store.rotate(b"").unwrap();
    ship_all(&mut store, &archive);
    let (days, minutes, _) = asked_of_both(&store, &archive, &TimeRange::ALL.into());
    assert_eq!(minutes[&(at(60), more.key.clone())].bytes_sent, 5);
    assert_eq!(days.len(), days_of(&plain) + 1);
}

fn days_of(store: &LocalStore) -> usize {
    days(store, &TimeRange::ALL.into()).len()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn an_older_copy_of_a_folder_and_another_database_are_refused() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let (_plain, mut store) = twins(&folders, 3);
    let archive = engine.archive();
    ship_one(&mut store, &archive).unwrap();
    let older = tempfile::tempdir().unwrap();
    copy(folders[1].path(), older.path());
    ship_all(&mut store, &archive);
    let mut old = opened(older.path());
    let error = ship_one(&mut old, &archive).unwrap_err();
    assert!(error.to_string().contains("it is an older copy"), "{error}");
    let settings = ArchiveSettings { database: "another".to_owned(), ..engine.settings() };
    let another = Archive::new(&settings, &"default".parse().unwrap()).unwrap();
    let error = ship_one(&mut store, &another).unwrap_err();
    assert!(error.to_string().contains("Set `url` and `database` back"), "{error}");
    // The right one goes on.
    store.record(&[flow(key("web", "db", 5432), 500, 1)], &[]);
    store.rotate(b"").unwrap();
    ship_all(&mut store, &archive);
}

#[test]
fn merging_never_joins_what_was_shipped_with_what_was_not() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let archive = engine.archive();
    let (mut plain, _) = LocalStore::open(folders[0].path(), StoreLimits::default()).unwrap();
    let mut store = opened(folders[1].path());
    for number in 0..8 {
        let flows = [flow(key("web", "db", 5432), number * 300, number)];
        for store in [&mut plain, &mut store] {
            store.record(&flows, &[]);
            store.rotate(b"").unwrap();
        }
    }
    for _ in 0..3 {
        ship_one(&mut store, &archive).unwrap();
    }
    let ledger = archive.writing().ledger(store.writer()).unwrap();
    let fourth = store.next_shipment(ledger, 7).unwrap().unwrap();
    // Three were shipped, one is on its way, four wait: two merge, and nothing else.
    let mut merged = Vec::new();
    while let Some(compaction) = store.compaction(at(2 * 3_600)) {
        merged.push(compaction.parts());
        // While the rest is merged, none of it is sent.
        let waits = store.next_shipment(ledger, 7).unwrap().unwrap();
        assert_eq!(waits.rows(), fourth.rows());
        store.adopt(compaction.run().unwrap()).unwrap();
        store.remove_replaced().unwrap();
    }
    assert_eq!(merged, [3, 4]);
    ship_all(&mut store, &archive);
    assert_eq!(store.archive_lag(at(0)).unwrap().segments, 5);
    // Now all was shipped, and may become one.
    let compaction = store.compaction(at(2 * 3_600)).unwrap();
    assert_eq!(compaction.parts(), 3);
    store.adopt(compaction.run().unwrap()).unwrap();
    store.remove_replaced().unwrap();
    is_all_there(&mut store, &plain, &archive);
}

#[test]
fn a_wrong_password_is_named_and_never_shown() {
    let Some(engine) = Engine::start() else { return };
    let password = engine.folder.path().join("password");
    std::fs::write(&password, "right one\n").unwrap();
    let ours = engine.folder.path().join("ours");
    std::fs::write(&ours, "guessed").unwrap();
    let settings = ArchiveSettings { password_file: Some(ours.clone()), ..engine.settings() };
    let archive = Archive::new(&settings, &"default".parse().unwrap()).unwrap();
    let error = archive.writing().ledger("").unwrap_err().to_string();
    assert!(error.contains("check `user` and `password_file`"), "{error}");
    assert!(!error.contains("guessed") && !format!("{archive:?}").contains("guessed"));
    std::fs::write(&ours, "right one\n").unwrap();
    archive.writing().ledger("").unwrap();
}

#[test]
fn a_table_that_somebody_removed_is_made_anew_and_a_newer_schema_is_refused() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let (_plain, mut store) = twins(&folders, 2);
    let archive = engine.archive();
    ship_one(&mut store, &archive).unwrap();
    engine.post("", "DROP TABLE losses SYNC");
    let error = ship_one(&mut store, &archive).unwrap_err();
    assert!(error.to_string().contains("makes it anew"), "{error}");
    assert!(ship_one(&mut store, &archive).unwrap());
    // Another age is given to the tables.
    let settings = ArchiveSettings { ttl_days: 77, ..engine.settings() };
    let other = Archive::new(&settings, &"default".parse().unwrap()).unwrap();
    other.writing().ledger("").unwrap();
    assert!(engine.post("", "SHOW CREATE TABLE days").contains("toIntervalDay(77)"));
    engine.post("", "INSERT INTO schema (version, ttl_days) VALUES (99, 1)");
    let later = engine.archive();
    let error = later.writing().ledger("").unwrap_err().to_string();
    assert!(error.contains("have version 99, this program knows 1"), "{error}");
}

#[test]
fn the_manuals_questions_are_answered_as_we_do() {
    let Some(engine) = Engine::start() else { return };
    let folders = folders();
    let (plain, mut store) = twins(&folders, 3);
    let archive = Archive::new(&engine.settings(), &"default".parse().unwrap()).unwrap();
    ship_all(&mut store, &archive);
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clickhouse.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, block) = manual.split_once("```sql\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let (first, second) = block.split_once(";").unwrap();
    let answer = engine.post("", first.trim());
    let mut ours: BTreeMap<String, u64> = BTreeMap::new();
    for row in plain.edges(&TimeRange::ALL.into()).unwrap() {
        let (source, destination) = (&row.key.source.workload, &row.key.destination.workload);
        let place = format!("{} {} {}", source.name, destination.name, row.key.port);
        *ours.entry(place).or_default() += row.stats.connections;
    }
    let theirs = answer.lines().map(|line| {
        let words: Vec<&str> = line.split('\t').collect();
        (format!("{} {} {}", words[0], words[1], words[2]), words[4].parse().unwrap())
    });
    assert_eq!(theirs.collect::<BTreeMap<_, u64>>(), ours);
    let hours = engine.post("", second.trim().trim_end_matches(';'));
    let sum: u64 =
        hours.lines().map(|line| line.split('\t').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 60, "{hours}");
}
