//! A server whose history goes to ClickHouse: what comes while that is away waits, and a server that
//! has lost its disk answers as before.
//!
//! The engine is real: chdb, behind testing/clickhouse/shim.py.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sekisho_api::{ArchiveFigures, Status};
use sekisho_system::{process, wait};
use serde_json::Value;

use super::halves::{Pair, now};
use super::served::{Served, connections};

/// A Python that can import chdb; `cargo xtask test` makes one.
const PYTHON: &str = "SEKISHO_TEST_PYTHON";
/// For how long ClickHouse is away, seconds; a minute is what is promised.
const AWAY: &str = "SEKISHO_CLICKHOUSE_AWAY_S";

/// The shim, killed when dropped; its folder stays.
struct Shim(Child, u16);

impl Shim {
    fn start(python: &str, folder: &Path, port: u16) -> Self {
        let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/clickhouse/shim.py");
        let mut child = process::prepare(python)
            .arg(shim)
            .arg(folder)
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the shim prints its port: has this Python chdb?");
        Self(child, port)
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn archive(status: &Status) -> ArchiveFigures {
    status.store.archive.clone().expect("the server should ship")
}

/// Waits until all that was sent is joined, sealed and in ClickHouse.
#[track_caller]
fn await_shipped(served: &Served, sent: u64) -> Value {
    let joined = wait::until(Duration::from_secs(30), || {
        Some(connections(&served.map("0s"))).filter(|count| *count >= sent)
    });
    assert_eq!(joined, Some(sent), "{}", served.log());
    let is_shipped = |status: &Status| {
        let figures = archive(status);
        status.store.hot_rows == 0 && figures.waiting_segments == 0 && figures.error.is_empty()
    };
    // A minute of absence is a minute of segments, a second's work each on a busy machine.
    let shipped =
        wait::until(Duration::from_secs(240), || Some(served.status()).filter(is_shipped));
    assert!(shipped.is_some(), "{:#?}\n{}", served.status(), served.log());
    served.map("0s")
}

/// What a map says of edges, with nothing of when it was asked.
fn edges(map: &Value) -> &Value {
    &map["edges"]
}

#[test]
fn what_comes_while_clickhouse_is_away_is_there_once_also_for_a_server_that_lost_its_disk() {
    let Ok(python) = std::env::var(PYTHON) else {
        eprintln!("NOT RUN: {PYTHON} names no Python with chdb (`cargo xtask test` makes one)");
        return;
    };
    let away_s = std::env::var(AWAY).ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let folder = tempfile::tempdir().unwrap();
    let shim = Shim::start(&python, folder.path(), 0);
    let port = shim.1;
    let keys = format!(
        "rotate_s = 1\n[server.clickhouse]\nurl = \"http://127.0.0.1:{port}\"\nbatch_rows = 3"
    );
    let mut served = Served::start(&keys);
    let mut pair = Pair::new();
    let mut send = |served: &Served, count| {
        for batch in pair.batches(count) {
            served.send(&batch).unwrap();
        }
        pair.connections
    };
    let sent = send(&served, 40);
    await_shipped(&served, sent);
    assert!(archive(&served.status()).rows > 0);

    drop(shim);
    let until = Instant::now() + Duration::from_secs(away_s);
    let mut sent = sent;
    while Instant::now() < until {
        sent = send(&served, 10);
        wait::pause_for(Duration::from_millis(300));
    }
    let status = served.await_status(|status| {
        let figures = archive(status);
        figures.waiting_segments > 0 && !figures.error.is_empty()
    });
    let told = status.problems.iter().find(|problem| problem.contains("ClickHouse"));
    let told = told.unwrap_or_else(|| panic!("{:?}", status.problems));
    assert!(told.contains(&format!("connect to ClickHouse at 127.0.0.1:{port}")), "{told}");
    let answer = served.ask(&["status"]).with_code(3);
    assert!(answer.out.contains("segments shipped"), "{}", answer.out);
    // What the folder has needs nobody else.
    assert!(connections(&served.map("0s")) > 0);

    let shim = Shim::start(&python, folder.path(), port);
    let before = await_shipped(&served, sent);
    assert!(served.status().problems.iter().all(|problem| !problem.contains("ClickHouse")));
    let until = now().to_string();
    assert!(served.stop().success());
    std::fs::rename(&served.data, served.folder.path().join("lost")).unwrap();
    served.up();
    served.await_status(|status| archive(status).only_there_until.is_some());
    let after = served.map(&until);
    assert_eq!(connections(&after), sent);
    assert_eq!(edges(&after), edges(&before));
    // Both stores in one answer: what comes now is in memory, or sealed, or shipped.
    let sent = send(&served, 20);
    await_shipped(&served, sent);
    drop(shim);
    let answer = served.ask(&["map", "--until", "0s"]);
    assert_ne!(answer.code, 0);
    assert!(answer.err.contains("history that is in ClickHouse"), "{}", answer.err);
}
