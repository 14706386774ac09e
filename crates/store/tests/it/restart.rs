//! Opening again: locks, versions, torn and damaged files, every state a rotation can stop in.

use std::fs;
use std::path::{Path, PathBuf};

use sekisho_base::error_chain;
use sekisho_model::{EdgeKey, TimeRange, Timestamp};
use sekisho_store::{
    AppendError, FRAME_BYTES_MAX, FlowSink, FlowStore, FrameKind, LocalStore, OpenError,
    ReplayedLog, StoreLimits, open_read_only,
};

use crate::samples::{START_S, flow, key};

fn open(folder: &Path) -> (LocalStore, Vec<ReplayedLog>) {
    LocalStore::open(folder, StoreLimits::default()).unwrap()
}

fn payloads(logs: &[ReplayedLog]) -> Vec<(FrameKind, Vec<u8>)> {
    let frames = logs.iter().flat_map(|log| &log.frames);
    frames.map(|frame| (frame.kind, frame.payload.clone())).collect()
}

fn batches(texts: &[&str]) -> Vec<(FrameKind, Vec<u8>)> {
    texts.iter().map(|text| (FrameKind::Batch, text.as_bytes().to_vec())).collect()
}

fn log_path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("log/{id:020}.log"))
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for part in ["log", "segments", "."] {
        fs::create_dir_all(to.path().join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.path().join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    to
}

#[test]
fn what_was_appended_comes_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, logs) = open(folder.path());
    assert!(payloads(&logs).is_empty());
    store.append(&[b"one", b"two"]).unwrap();
    store.append(&[]).unwrap();
    store.append(&[b""]).unwrap();
    drop(store);
    let (mut store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), batches(&["one", "two", ""]));
    store.append(&[b"four"]).unwrap();
    drop(store);
    assert_eq!(payloads(&open(folder.path()).1), batches(&["one", "two", "", "four"]));
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    store.append(&[b"one"]).unwrap();
    let error = LocalStore::open(folder.path(), StoreLimits::default()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    let (_, logs) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
    assert_eq!(payloads(&logs), batches(&["one"]));
    drop(store);
    open(folder.path());
}

#[test]
fn a_folder_of_another_layout_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    fs::write(folder.path().join("VERSION"), "sekisho-store 1\n").unwrap();
    let error = LocalStore::open(folder.path(), StoreLimits::default()).unwrap_err().to_string();
    assert!(error.contains("sekisho-store 4") && error.contains("sekisho-store 1"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = open_read_only(empty.path(), StoreLimits::default()).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore(_)), "{error}");
}

/// A copy of a folder that the last program with that layout wrote: edges and a loss in a segment, a
/// batch in the log after it.
fn former(layout: &str) -> tempfile::TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(layout);
    let folder = tempfile::tempdir().unwrap();
    for name in ["VERSION", "log", "segments"] {
        let (from, to) = (source.join(name), folder.path().join(name));
        if from.is_file() {
            fs::copy(&from, &to).unwrap();
            continue;
        }
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(&from).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    folder
}

fn what_the_former_held(store: &impl FlowStore, logs: &[ReplayedLog]) {
    assert_eq!(payloads(logs)[1..], batches(&["second"]));
    let rows = store.scan(&TimeRange::ALL.into()).unwrap();
    let names = rows.iter().map(|row| row.key.source.workload.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["cart", "web"]);
    assert!(rows.iter().all(|row| row.key.cluster.is_default()));
    let losses = store.losses(TimeRange::ALL).unwrap();
    assert_eq!((losses.len(), losses[0].dropped), (1, 1));
    assert!(losses[0].cluster.is_default());
}

#[test]
fn a_folder_of_layout_2_is_read_as_of_the_default_cluster_and_left_as_it_is() {
    let folder = former("layout-2");
    let (store, logs) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
    what_the_former_held(&store, &logs);
    let version = fs::read_to_string(folder.path().join("VERSION")).unwrap();
    assert_eq!(version, "sekisho-store 2\n");
}

#[test]
fn a_folder_of_layout_2_becomes_one_of_the_newest_when_it_is_written_to() {
    let folder = former("layout-2");
    let (mut store, logs) = open(folder.path());
    what_the_former_held(&store, &logs);
    let version = fs::read_to_string(folder.path().join("VERSION")).unwrap();
    assert_eq!(version, "sekisho-store 4\n");
    // What is new stands beside what is old, each row with its cluster.
    let east = EdgeKey { cluster: "east".parse().unwrap(), ..key("cart", "redis", 6379) };
    store.record(&[flow(east, 1, 100)], &[]);
    store.rotate(b"").unwrap();
    drop(store);
    let (store, _) = open(folder.path());
    let rows = store.scan(&TimeRange::ALL.into()).unwrap();
    let rows = rows.iter().map(|row| (row.key.cluster.as_str(), row.stats.bytes_sent));
    assert_eq!(rows.collect::<Vec<_>>(), [("default", 7), ("east", 100), ("default", 5)]);
    assert!(store.status().damaged.is_empty());
}

/// Cluster, source, minute from [`START_S`] on, bytes.
fn told(store: &impl FlowStore) -> Vec<(String, String, u64, u64)> {
    let start = Timestamp::from_seconds(START_S);
    let rows = store.scan(&TimeRange::ALL.into()).unwrap().into_iter().map(|row| {
        let (cluster, source) = (row.key.cluster.to_string(), &row.key.source.workload.name);
        (cluster, source.clone(), row.minute.seconds_since(start) / 60, row.stats.bytes_sent)
    });
    rows.collect()
}

#[test]
fn segments_of_layout_3_are_read_and_merge_with_new_ones() {
    let folder = former("layout-3");
    let text = |text: &str| text.to_owned();
    let mut expected = vec![
        (text("east"), text("cart"), 0, 100),
        (text("default"), text("web"), 0, 7),
        (text("default"), text("web"), 1, 9),
        (text("default"), text("web"), 1_439, 5),
        (text("default"), text("web"), 1_440, 3),
    ];
    let (store, _) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
    assert_eq!(told(&store), expected);
    let first_day = TimeRange {
        from: Timestamp::from_seconds(START_S),
        to: Timestamp::from_seconds(START_S + 86_400),
    };
    let of_web = |store: &dyn FlowStore| -> Vec<(u32, u64)> {
        let rows = store.edges(&first_day.into()).unwrap().into_iter();
        let web = rows.filter(|row| row.key.source.workload.name == "web");
        web.map(|row| (row.hours, row.stats.bytes_sent)).collect()
    };
    assert_eq!(of_web(&store), [(1 | 1 << 23, 21)]);

    let (mut store, _) = open(folder.path());
    store.record(&[flow(key("web", "cart", 8080), 86_400 + 60, 2)], &[]);
    store.rotate(b"").unwrap();
    let later = Timestamp::from_seconds(START_S + 10 * 86_400);
    let compaction = store.compaction(later).unwrap();
    assert_eq!(compaction.parts(), 2);
    store.adopt(compaction.run().unwrap()).unwrap();
    expected.push((text("default"), text("web"), 1_441, 2));
    assert_eq!(told(&store), expected);
    assert_eq!(of_web(&store), [(1 | 1 << 23, 21)]);
    assert_eq!((store.notes(), store.status().segments), (vec!["of layout 3"], 1));
    assert_eq!(store.losses(TimeRange::ALL).unwrap().len(), 1);
    drop(store);
    let (store, _) = open(folder.path());
    assert_eq!((told(&store), store.status().segments), (expected, 1));
}

#[test]
fn a_log_cut_at_any_byte_keeps_its_whole_frames_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    let all = ["first", "", "third"];
    let mut ends = vec![fs::metadata(log_path(folder.path(), 1)).unwrap().len()];
    for text in all {
        store.append(&[text.as_bytes()]).unwrap();
        ends.push(fs::metadata(log_path(folder.path(), 1)).unwrap().len());
    }
    drop(store);
    let bytes = fs::read(log_path(folder.path(), 1)).unwrap();
    for cut in 0..=bytes.len() {
        fs::write(log_path(folder.path(), 1), &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|&&end| end <= cut as u64).count().saturating_sub(1);
        let (reader, logs) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
        drop(reader);
        assert_eq!(payloads(&logs), batches(&all[..whole]), "cut at {cut}, read-only");
        let (mut store, logs) = open(folder.path());
        assert_eq!(payloads(&logs), batches(&all[..whole]), "cut at {cut}");
        assert!(logs[0].damage.is_empty());
        let torn = if cut < 16 { cut as u64 } else { cut as u64 - ends[whole] };
        assert_eq!(logs[0].tail_cut_bytes, torn, "cut at {cut}");
        store.append(&[b"next"]).unwrap();
        drop(store);
        let again = payloads(&open(folder.path()).1);
        assert_eq!(again, batches(&[&all[..whole], &["next"]].concat()), "cut at {cut}");
    }
}

#[test]
fn damage_in_the_middle_is_reported_with_place_and_the_rest_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    store.append(&[b"one", b"two", b"three"]).unwrap();
    drop(store);
    let path = log_path(folder.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[at] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let (_store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), batches(&["one", "three"]));
    let damage = &logs[0].damage[0];
    assert_eq!((&damage.path, damage.offset, damage.bytes), (&path, at as u64 - 16, 19));
}

/// A store with one closed generation and one open: its folder, and the log that was removed.
fn rotated() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    store.append(&[b"one"]).unwrap();
    store.record(&[flow(key("a", "b", 80), 0, 1)], &[]);
    let removed = fs::read(log_path(folder.path(), 1)).unwrap();
    store.rotate(b"state after one").unwrap();
    store.append(&[b"two"]).unwrap();
    drop(store);
    assert!(!log_path(folder.path(), 1).exists());
    (folder, removed)
}

fn checkpoint_and_two() -> Vec<(FrameKind, Vec<u8>)> {
    let checkpoint = (FrameKind::Checkpoint, b"state after one".to_vec());
    [vec![checkpoint], batches(&["two"])].concat()
}

#[test]
fn after_a_rotation_only_the_new_log_is_replayed() {
    let (folder, _) = rotated();
    let (store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), checkpoint_and_two());
    assert_eq!(store.scan(&TimeRange::ALL.into()).unwrap().len(), 1);
}

#[test]
fn a_crash_between_segment_and_removal_counts_nothing_twice() {
    let (folder, removed) = rotated();
    fs::write(log_path(folder.path(), 1), &removed).unwrap();
    let (_, logs) = open_read_only(folder.path(), StoreLimits::default()).unwrap();
    assert_eq!(payloads(&logs), checkpoint_and_two());
    let (store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), checkpoint_and_two());
    assert!(!log_path(folder.path(), 1).exists());
    assert_eq!(store.scan(&TimeRange::ALL.into()).unwrap().len(), 1);
}

#[test]
fn a_crash_between_new_log_and_segment_loses_nothing() {
    let (folder, removed) = rotated();
    fs::write(log_path(folder.path(), 1), &removed).unwrap();
    for entry in fs::read_dir(folder.path().join("segments")).unwrap() {
        let path = entry.unwrap().path();
        // As a crash in the middle of writing leaves it.
        fs::rename(&path, path.with_extension("parquet.tmp")).unwrap();
    }
    let (mut store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), [batches(&["one"]), checkpoint_and_two()].concat());
    // The server replays; the next segment then covers both logs.
    store.record(&[flow(key("a", "b", 80), 0, 1), flow(key("a", "b", 80), 1, 1)], &[]);
    store.rotate(b"state after two").unwrap();
    drop(store);
    let names = fs::read_dir(folder.path().join("segments")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut parts: Vec<_> = names.map(|name| name.split_once('.').unwrap().1.to_owned()).collect();
    parts.sort();
    assert_eq!(parts, ["edges.parquet", "minutes.parquet"]);
    let (store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), [(FrameKind::Checkpoint, b"state after two".to_vec())]);
    assert_eq!(store.scan(&TimeRange::ALL.into()).unwrap()[0].stats.connections, 2);
}

#[test]
fn a_torn_tail_of_a_log_that_is_not_the_newest_is_damage() {
    let (folder, removed) = rotated();
    let copy = copied(folder.path());
    for entry in fs::read_dir(copy.path().join("segments")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::write(log_path(copy.path(), 1), &removed[..removed.len() - 1]).unwrap();
    let (_store, logs) = open(copy.path());
    assert_eq!(payloads(&logs), checkpoint_and_two());
    assert_eq!((logs[0].damage.len(), logs[0].tail_cut_bytes), (1, 0));
}

#[test]
fn a_damaged_segment_is_set_aside_and_named() {
    let (folder, _) = rotated();
    let segment = folder.path().join(format!("segments/{:020}-{:020}.edges.parquet", 1, 1));
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() / 2]).unwrap();
    let (store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), checkpoint_and_two());
    let status = store.status();
    assert!(status.degraded.unwrap().contains("00001.edges.parquet.damaged"));
    assert_eq!((status.segments, store.scan(&TimeRange::ALL.into()).unwrap().len()), (0, 0));
    assert!(segment.with_extension("parquet.damaged").exists());
}

#[test]
fn a_segment_damaged_while_open_makes_a_scan_fail_with_its_name() {
    let (folder, _) = rotated();
    let (store, _) = open(folder.path());
    let segment = folder.path().join(format!("segments/{:020}-{:020}.edges.parquet", 1, 1));
    fs::write(&segment, b"PAR1 nonsense PAR1").unwrap();
    let error = error_chain(&store.scan(&TimeRange::ALL.into()).unwrap_err());
    assert!(error.contains("edges.parquet"), "{error}");
}

#[test]
fn a_frame_that_is_too_long_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    let long = vec![0; FRAME_BYTES_MAX + 1];
    let error = store.append(&[b"good", &long]).unwrap_err();
    assert!(matches!(error, AppendError::TooLong { .. }), "{error}");
    assert_eq!(store.status().degraded, None);
    store.append(&[&long[1..]]).unwrap();
    drop(store);
    let (_store, logs) = open(folder.path());
    assert_eq!(payloads(&logs), [(FrameKind::Batch, long[1..].to_vec())]);
}

#[test]
fn a_note_is_there_exactly_if_its_segment_is() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    store.rotate_noted(b"", "of no rows").unwrap();
    assert!(store.notes().is_empty(), "without rows there is no segment");
    store.record(&[flow(key("a", "db", 5432), 60, 1)], &[]);
    // The folder is in the way: there will be no segment, and later one by somebody else.
    let segments = folder.path().join("segments");
    fs::rename(&segments, folder.path().join("away")).unwrap();
    fs::write(&segments, "").unwrap();
    store.rotate_noted(b"", "lost").unwrap_err();
    fs::remove_file(&segments).unwrap();
    fs::rename(folder.path().join("away"), &segments).unwrap();
    drop(store);
    let (mut store, _) = open(folder.path());
    store.record(&[flow(key("b", "db", 5432), 60, 1)], &[]);
    store.rotate(b"").unwrap();
    assert!(store.notes().is_empty(), "{:?}", store.notes());
    store.record(&[flow(key("c", "db", 5432), 60, 1)], &[]);
    store.rotate_noted(b"", "kept").unwrap();
    assert_eq!(store.notes(), ["kept"]);
    drop(store);
    assert_eq!(open(folder.path()).0.notes(), ["kept"]);
}
