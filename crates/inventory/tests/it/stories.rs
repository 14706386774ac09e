//! Runs every folder of `tests/fixtures/flows`: see the README there.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sekisho_flow::{JoinLimits, Joiner};
use sekisho_inventory::{Inventory, InventoryLimits};
use sekisho_model::{Batch, ClusterName, DenyRecord, Flow, Half, HalfFlow, Timestamp};
use serde_json::{Value, json};

fn stories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/flows")
}

#[test]
fn every_story_gives_its_expected_flows() {
    let mut folders: Vec<PathBuf> = fs::read_dir(stories())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 6, "stories are missing");
    let mut wrong = String::new();
    for folder in folders {
        let got = run(&folder);
        let file = folder.join("expected.txt");
        if std::env::var_os("SEKISHO_BLESS").is_some() {
            fs::write(&file, &got).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if got != expected {
            writeln!(wrong, "{}:\n{got}-- expected --\n{expected}", folder.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn run(folder: &Path) -> String {
    let mut inventory = Inventory::new(InventoryLimits::default());
    for (n, line) in lines(&folder.join("journal.jsonl")) {
        inventory.apply_line("journal.jsonl", n, &line).unwrap();
    }
    let mut joiner = Joiner::new(JoinLimits::default(), ClusterName::default());
    let mut flows = Vec::new();
    for (n, line) in lines(&folder.join("halves.jsonl")) {
        let value: Value = serde_json::from_str(&line).unwrap();
        let time: Timestamp = value["time"].as_str().unwrap().parse().unwrap();
        let half = match (value.get("half"), value.get("denied")) {
            (Some(half), _) => Half::Flow(half_of(half, time)),
            (None, Some(denied)) => Half::Denied(denied_of(denied, time)),
            (None, None) => {
                joiner.advance(time, &inventory, &mut flows);
                continue;
            }
        };
        let batch = Batch {
            node: value["node"].as_str().unwrap().to_owned(),
            epoch: Timestamp::EPOCH,
            sequence: n,
            time,
            halves: vec![half],
            counters: Vec::new(),
            shed: 0,
        };
        assert!(joiner.push(batch, &inventory, &mut flows));
    }
    joiner.flush(&inventory, &mut flows);
    flows.iter().map(tell).collect()
}

/// Lines with their numbers; empty ones and those that begin with `#` are left out.
fn lines(path: &Path) -> Vec<(u64, String)> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let numbered = (1..).zip(text.lines());
    numbered
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(n, line)| (n, line.to_owned()))
        .collect()
}

fn half_of(given: &Value, time: Timestamp) -> HalfFlow {
    let mut value = json!({
        "role_inferred": false, "protocol": "TCP", "cgroup": "", "process": null,
        "remote_name": null, "opened": time, "seen": time, "first": true, "last": true,
        "outcome": "established", "reset": false, "bytes_sent": 0, "bytes_received": 0,
        "packets_sent": 0, "packets_received": 0,
    });
    for (key, field) in given.as_object().unwrap() {
        value[key] = match (key.as_str(), field.as_str()) {
            ("process", Some(exe)) => json!({"exe": exe, "comm": "", "uid": 0}),
            _ => field.clone(),
        };
    }
    serde_json::from_value(value).unwrap()
}

fn denied_of(given: &Value, time: Timestamp) -> DenyRecord {
    let mut value = json!({"time": time, "protocol": "TCP", "audit": false});
    for (key, field) in given.as_object().unwrap() {
        value[key] = field.clone();
    }
    serde_json::from_value(value).unwrap()
}

/// One line per flow: who, by which process, to whom, how, and how much.
fn tell(flow: &Flow) -> String {
    let (key, stats) = (&flow.key, &flow.stats);
    let process = |process: &Option<_>| match process {
        Some(process) => format!(" ({process})"),
        None => String::new(),
    };
    let mut line = format!(
        "{}{} -> {}{} {} {}",
        key.source,
        process(&key.source_process.as_deref()),
        key.destination,
        process(&key.destination_process.as_deref()),
        key.protocol,
        key.port
    );
    if let Some(service) = &key.service {
        write!(line, " via {service}").unwrap();
    }
    write!(line, " {}", key.verdict).unwrap();
    if let Some(by) = &key.decided_by {
        write!(line, " by {by}").unwrap();
    }
    let mark = |yes, mark| if yes { mark } else { '-' };
    let reporters = stats.reporters;
    writeln!(
        line,
        " | {}x {}/{} B, {} resets, {}{}{}, from {}, labels {:?} -> {:?}",
        stats.connections,
        stats.bytes_sent,
        stats.bytes_received,
        stats.resets,
        mark(reporters.source, 's'),
        mark(reporters.destination, 'd'),
        mark(reporters.datapath, 'p'),
        flow.opened,
        key.source.labels.values().collect::<Vec<_>>(),
        key.destination.labels.values().collect::<Vec<_>>(),
    )
    .unwrap();
    line
}
