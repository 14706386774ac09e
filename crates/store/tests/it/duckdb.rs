//! The folder is open: DuckDB answers the questions of docs/store.md as we do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sekisho_model::TimeRange;
use sekisho_model::Verdict;
use sekisho_store::{FlowSink, FlowStore, LocalStore, StoreLimits};
use sekisho_system::command;
use serde_json::Value;

use crate::samples::{START_S, flow, key};

/// A Python that can import duckdb; `cargo xtask test` makes one.
const PYTHON: &str = "SEKISHO_TEST_PYTHON";
const WAIT: Duration = Duration::from_secs(300);
/// Runs each statement of standard input and prints its rows as one line of JSON.
const SCRIPT: &str = "
import duckdb, json, sys
for statement in sys.stdin.read().split(';'):
    if statement.strip():
        rows = duckdb.sql(statement).fetchall()
        print(json.dumps(rows, default=lambda value: value.timestamp()))
";

/// The statements of the manual, about the store in `folder`.
fn statements(folder: &Path) -> String {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/store.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, block) = manual.split_once("```sql\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.replace("STORE", folder.to_str().unwrap())
}

fn ask(python: &str, statements: &str) -> Vec<Vec<Value>> {
    let done = command::run(&[python, "-c", SCRIPT], statements, WAIT).unwrap();
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn duckdb_answers_the_manuals_questions_as_we_do() {
    let Ok(python) = std::env::var(PYTHON) else {
        eprintln!("NOT RUN: {PYTHON} names no Python with duckdb (`cargo xtask test` makes one)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = LocalStore::open(folder.path(), StoreLimits::default()).unwrap();
    let denied = |source: &str| {
        let mut key = key(source, "db", 5432);
        key.verdict = Verdict::Denied;
        key
    };
    for hour in 0..30 {
        let at = hour * 3_600;
        let flows = [
            flow(key("web", "db", 5432), at, 10),
            flow(key("web", "db", 5432), at + 61, 10),
            flow(key("web", "cache", 6379), at + 5, 10),
            flow(denied("scanner"), at + 7, 0),
            flow(denied("other"), at + 8, 0),
        ];
        store.record(&flows, &[]);
        store.rotate(b"").unwrap();
    }
    let later = sekisho_model::Timestamp::from_seconds(START_S + 40 * 3_600);
    let compaction = store.compaction(later);
    assert!(compaction.is_none(), "each hour has a segment of its own");

    let answers = ask(&python, &statements(folder.path()));
    let mut ours: BTreeMap<(String, String, u16, String), u64> = BTreeMap::new();
    for row in store.edges(&TimeRange::ALL.into()).unwrap() {
        let name = |party: &sekisho_model::Party| party.workload.name.clone();
        let place = (name(&row.key.source), name(&row.key.destination), row.key.port);
        let verdict = row.key.verdict.to_string();
        *ours.entry((place.0, place.1, place.2, verdict)).or_default() += row.stats.connections;
    }
    let theirs = answers[0].iter().map(|row| {
        let text = |at: usize| row[at].as_str().unwrap().to_owned();
        let port = u16::try_from(row[3].as_u64().unwrap()).unwrap();
        ((text(1), text(2), port, text(4)), row[5].as_u64().unwrap())
    });
    assert_eq!(theirs.collect::<BTreeMap<_, _>>(), ours);
    let minutes = store.scan(&TimeRange::ALL.into()).unwrap();
    let mut denied: BTreeMap<u64, u64> = BTreeMap::new();
    for row in minutes.iter().filter(|row| row.key.verdict == Verdict::Denied) {
        *denied.entry(row.minute.nanos() / 1_000_000_000).or_default() += row.stats.connections;
    }
    let theirs = answers[1].iter().map(|row| {
        let second = row[0].as_f64().unwrap();
        assert!(second >= 0.0, "{second}");
        (format!("{second:.0}").parse().unwrap(), row[1].as_u64().unwrap())
    });
    assert_eq!(theirs.collect::<BTreeMap<u64, u64>>(), denied);
}
