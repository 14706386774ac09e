//! Full and read-only disks: a small tmpfs, mounted for the test. Needs root.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sekisho_base::error_chain;
use sekisho_model::TimeRange;
use sekisho_store::{FlowSink, FlowStore, LocalStore, RotateError, StoreLimits, open_read_only};
use sekisho_system::command;

use crate::samples::{flow, key};

const PAGE: usize = 4_096;
const LIMIT: Duration = Duration::from_secs(20);

/// A tmpfs of 2 MiB that goes away with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let argv = ["mount", "-t", "tmpfs", "-o", "size=2m", "sekisho-store-test"];
        let path = folder.path().to_str().unwrap();
        command::run(&[&argv[..], &[path]].concat(), "", LIMIT)
            .expect("this test needs root to mount a small tmpfs");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let path = self.path().to_str().unwrap();
        command::run(&["mount", "-o", &options, path], "", LIMIT).unwrap();
    }

    /// Takes all space but `free_pages` pages.
    fn fill(&self, free_pages: usize) {
        let path = self.path().join("filler");
        let mut size = 0;
        let page = [0_u8; PAGE];
        let mut file = fs::File::create(&path).unwrap();
        while std::io::Write::write_all(&mut file, &page).is_ok() {
            size += PAGE;
        }
        file.set_len(size.saturating_sub(free_pages * PAGE) as u64).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = self.path().to_str().unwrap();
        command::run(&["umount", "-l", path], "", LIMIT).ok();
    }
}

#[test]
fn a_full_disk_refuses_says_so_and_recovers_without_losing_an_acknowledged_frame() {
    let disk = SmallDisk::mount();
    let folder = disk.path().join("store");
    let (mut store, _) = LocalStore::open(&folder, StoreLimits::default()).unwrap();
    let mut acknowledged: Vec<Vec<u8>> = Vec::new();
    let frame = |n: u8| vec![n; 10_000 + usize::from(n)];
    store.append(&[&frame(0)]).unwrap();
    acknowledged.push(frame(0));
    disk.fill(8);
    let mut refused = 0;
    for n in 1..10 {
        match store.append(&[&frame(n)]) {
            Ok(()) => acknowledged.push(frame(n)),
            Err(error) => {
                refused += 1;
                assert!(error_chain(&error).contains("No space left"), "{}", error_chain(&error));
                assert!(store.status().degraded.unwrap().contains("No space left"));
            }
        }
    }
    assert!(refused > 0 && acknowledged.len() > 1, "{refused} refused");
    // A smaller frame may still fit: the partial one left no trace.
    disk.free();
    store.append(&[&frame(10)]).unwrap();
    acknowledged.push(frame(10));
    assert_eq!(store.status().degraded, None);
    drop(store);
    let (_store, logs) = LocalStore::open(&folder, StoreLimits::default()).unwrap();
    let found: Vec<Vec<u8>> = logs[0].frames.iter().map(|frame| frame.payload.clone()).collect();
    assert!(found == acknowledged, "{} frames of {}", found.len(), acknowledged.len());
    assert!(logs[0].damage.is_empty() && logs[0].tail_cut_bytes == 0);
}

#[test]
fn a_rotation_on_a_full_disk_keeps_log_and_rows_and_the_next_one_has_them_all() {
    for (free_pages, no_log) in [(0, true), (4, false)] {
        let disk = SmallDisk::mount();
        let folder = disk.path().join("store");
        let (mut store, _) = LocalStore::open(&folder, StoreLimits::default()).unwrap();
        store.append(&[b"one"]).unwrap();
        let flows: Vec<_> =
            (0..2_000).map(|n| flow(key(&format!("w{n}"), "db", 80), n, n)).collect();
        store.record(&flows, &[]);
        disk.fill(free_pages);
        let error = store.rotate(b"state").unwrap_err();
        assert_eq!(matches!(error, RotateError::NewLog { .. }), no_log, "{}", error_chain(&error));
        assert!(store.status().degraded.unwrap().contains("No space left"));
        assert_eq!(store.scan(&TimeRange::ALL.into()).unwrap().len(), 2_000);
        disk.free();
        store.append(&[b"two"]).unwrap();
        store.record(&flows[..1], &[]);
        drop(store);
        // As after a crash now: both batches are still there to be replayed.
        let (mut store, logs) = LocalStore::open(&folder, StoreLimits::default()).unwrap();
        let texts: Vec<_> = logs.iter().flat_map(|log| &log.frames).collect();
        assert_eq!(texts.first().unwrap().payload, b"one");
        assert_eq!(texts.last().unwrap().payload, b"two");
        store.record(&flows, &[]);
        store.record(&flows[..1], &[]);
        store.rotate(b"state").unwrap();
        assert_eq!(store.status().degraded, None);
        drop(store);
        let (store, logs) = LocalStore::open(&folder, StoreLimits::default()).unwrap();
        assert_eq!(logs.iter().map(|log| log.frames.len()).sum::<usize>(), 1);
        let rows = store.scan(&TimeRange::ALL.into()).unwrap();
        assert_eq!(rows.iter().map(|row| row.stats.connections).sum::<u64>(), 2_001);
    }
}

#[test]
fn a_read_only_disk_is_refused_for_writing_and_read_all_the_same() {
    let disk = SmallDisk::mount();
    let folder = disk.path().join("store");
    let (mut store, _) = LocalStore::open(&folder, StoreLimits::default()).unwrap();
    store.record(&[flow(key("a", "b", 80), 0, 1)], &[]);
    store.rotate(b"").unwrap();
    store.append(&[b"one"]).unwrap();
    drop(store);
    disk.remount("ro");
    let error = LocalStore::open(&folder, StoreLimits::default()).unwrap_err();
    let text = error_chain(&error);
    assert!(text.contains("Read-only file system") && text.contains("store/LOCK"), "{text}");
    let (store, logs) = open_read_only(&folder, StoreLimits::default()).unwrap();
    assert_eq!(store.scan(&TimeRange::ALL.into()).unwrap().len(), 1);
    assert_eq!(logs.last().unwrap().frames.len(), 2);
    disk.remount("rw");
    LocalStore::open(&folder, StoreLimits::default()).unwrap();
}
