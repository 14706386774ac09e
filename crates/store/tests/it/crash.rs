//! kill -9 at random moments: nothing acknowledged is lost, nothing counts twice.
//!
//! The child is this test binary again, running `child` with its folder in the environment. It plays
//! the server: it takes numbered batches, holds the flow of the newest one back (as the join of both
//! halves does), and so needs its checkpoint. The parent kills it, opens the folder, and looks for
//! each number.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sekisho_model::{TimeRange, Timestamp};
use sekisho_store::{FlowSink, FlowStore, FrameKind, LocalStore, ReplayedLog, StoreLimits};

use crate::samples::{START_S, flow, key};

const FOLDER_VARIABLE: &str = "SEKISHO_STORE_CRASH_FOLDER";
const KILLS_VARIABLE: &str = "SEKISHO_STORE_KILLS";
const KILLS: u32 = 30;

/// The number of the newest batch; its flow is held back until the next one comes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Server {
    newest: u64,
}

impl Server {
    fn take(&mut self, batch: u64, store: &mut LocalStore) {
        assert_eq!(batch, self.newest + 1, "a batch is missing or comes twice");
        if self.newest > 0 {
            let port = u16::try_from(self.newest % 65_536).unwrap();
            let source = format!("w{}", self.newest / 65_536);
            store.record(&[flow(key(&source, "db", port), self.newest % 300, self.newest)], &[]);
        }
        self.newest = batch;
    }

    fn replay(logs: &[ReplayedLog], store: &mut LocalStore) -> Self {
        let mut server = Self::default();
        for (index, frame) in logs.iter().flat_map(|log| &log.frames).enumerate() {
            let number = u64::from_le_bytes(frame.payload[..8].try_into().unwrap());
            match frame.kind {
                FrameKind::Checkpoint if index == 0 => server.newest = number,
                FrameKind::Checkpoint => assert_eq!(server.newest, number),
                FrameKind::Batch => server.take(number, store),
            }
        }
        assert!(logs.iter().all(|log| log.damage.is_empty()), "{logs:?}");
        server
    }
}

/// A cheap sequence of numbers that looks random.
fn scramble(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Not a test by itself: the body of the child process.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let (mut store, logs) = LocalStore::open(Path::new(&folder), StoreLimits::default()).unwrap();
    let mut server = Server::replay(&logs, &mut store);
    let mut out = std::io::stdout();
    loop {
        let first = server.newest + 1;
        let count = 1 + scramble(first) % 4;
        let payloads: Vec<Vec<u8>> = (first..first + count)
            .map(|batch| {
                let mut payload = batch.to_le_bytes().to_vec();
                payload.resize(8 + (scramble(batch) % 3_000) as usize, 7);
                payload
            })
            .collect();
        store.append(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        for batch in first..first + count {
            server.take(batch, &mut store);
        }
        writeln!(out, "acknowledged {}", server.newest).unwrap();
        if scramble(first ^ 1).is_multiple_of(25) {
            writeln!(out, "rotates").unwrap();
            store.rotate(&server.newest.to_le_bytes()).unwrap();
        }
        // Merging, too, may be killed at any moment.
        let later = Timestamp::from_seconds(START_S + 10 * 86_400);
        if scramble(first ^ 2).is_multiple_of(60)
            && let Some(compaction) = store.compaction(later)
        {
            writeln!(out, "rotates").unwrap();
            store.adopt(compaction.run().unwrap()).unwrap();
            writeln!(out, "rotates").unwrap();
            store.remove_replaced().unwrap();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the child must be killed, not waited for")]
fn start_child(folder: &Path) -> Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER_VARIABLE, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a child work and kills it; returns the last number it acknowledged.
fn one_life(folder: &Path, random: u64) -> u64 {
    let mut child = start_child(folder);
    let mut acknowledged = 0;
    let (lines_wanted, in_rotation) = (random % 60, random.is_multiple_of(3));
    // Kept open until the kill: a closed pipe would end the child in its own way.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (count, line) in lines.by_ref().enumerate() {
        let line = line.unwrap();
        if let Some(number) = line.strip_prefix("acknowledged ") {
            acknowledged = number.parse().unwrap();
        }
        let rotates = line == "rotates";
        if count as u64 >= lines_wanted && (rotates || !in_rotation) {
            break;
        }
    }
    // Some way into the next append or the rotation, which syncs half a dozen times.
    let span_us = if in_rotation { 60_000 } else { 4_000 };
    let until = Instant::now() + Duration::from_micros(scramble(random) % span_us);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_counts_twice_across_kill_9() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, mut unfinished) = (0, 0);
    for kill in 0..kills {
        let acknowledged = one_life(folder.path(), scramble(u64::from(kill)));
        let (mut store, logs) = LocalStore::open(folder.path(), StoreLimits::default()).unwrap();
        unfinished += usize::from(logs.len() > 1 || logs.iter().any(|log| log.tail_cut_bytes > 0));
        let server = Server::replay(&logs, &mut store);
        assert!(server.newest >= acknowledged, "lost after {acknowledged}: {}", server.newest);
        let rows = store.scan(&TimeRange::ALL.into()).unwrap();
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        for row in &rows {
            *times.entry(row.stats.bytes_sent).or_default() += row.stats.connections;
        }
        let expected: BTreeMap<u64, u64> = (1..server.newest).map(|batch| (batch, 1)).collect();
        assert!(times == expected, "after kill {kill}, {} of {}", times.len(), expected.len());
        segments = store.status().segments;
    }
    println!("{kills} kills, {segments} segments, {unfinished} found something unfinished");
    assert!(segments > 0, "no life reached a rotation");
}
