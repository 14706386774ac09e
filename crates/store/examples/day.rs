//! Measures a day of a large cluster: rows per second and bytes per row, and how long questions take.
//!
//! `cargo run --release -p sekisho-store --example day [EDGES] [MINUTES_PER_EDGE] [FOLDER] [DAYS]`
//!
//! By default 66,000 edges, each in 288 minutes of a day: 19 million edge-minutes, what 1,000 nodes
//! make. With the variable MERGE set, as it lies a day later. A folder that is there already is only
//! asked.

#![expect(clippy::cast_possible_truncation, reason = "arguments and parts of a day are small")]

use std::error::Error;
use std::path::{Path, PathBuf};

use sekisho_flow::{FlowFilter, VerdictFilter};
use sekisho_model::{EdgeKey, TimeRange, Timestamp, Verdict};
use sekisho_store::{FlowSink, FlowStore, LocalStore, Parts, StoreLimits, Wanted};

#[path = "measured/clock.rs"]
mod clock;
#[path = "measured/edges.rs"]
mod edges;
#[path = "measured/flows.rs"]
mod flows;
use clock::Spent;
use edges::keys;
use flows::flows;

const START_S: u64 = 1_795_392_000;
const HOURS: u64 = 24;

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn fill(folder: &Path, edges: usize, (minutes, days): (u64, u64)) -> Result<(), Box<dyn Error>> {
    let (mut store, _) = LocalStore::open(folder, StoreLimits::default())?;
    let keys = keys(edges);
    let (mut record, mut rotate, mut merge) =
        (Spent::default(), Spent::default(), Spent::default());
    for hour in 0..days * HOURS {
        for minute in 0..60 {
            let flows = flows(&keys, START_S, (hour * 60 + minute, minutes));
            record.on(|| store.record(&flows, &[]));
        }
        rotate.on(|| store.rotate(b""))?;
    }
    let rows = store.status().rows as usize;
    println!("{}", record.line("record", rows, "rows"));
    println!("{}", rotate.line("rotate", rows, "rows"));
    println!("{:.1} bytes a row in hours", store.status().bytes as f64 / rows as f64);
    if std::env::var_os("MERGE").is_some() {
        let later = Timestamp::from_seconds(START_S + 10 * 86_400);
        while let Some(compaction) = store.compaction(later) {
            let made = merge.on(|| compaction.run())?;
            store.adopt(made)?;
            store.remove_replaced()?;
        }
        println!("{}", merge.line("merge", rows, "rows"));
        println!("{:.1} bytes a row in a day", store.status().bytes as f64 / rows as f64);
    }
    Ok(())
}

/// Asks three times.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn measure(
    name: &str,
    mut ask: impl FnMut() -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for _ in 0..3 {
        let mut spent = Spent::default();
        let rows = spent.on(&mut ask)?;
        println!("{}", spent.line(name, rows, "rows"));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let argument = |position: usize, default: u64| {
        std::env::args().nth(position).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (edges, minutes, days) = (argument(1, 66_000) as usize, argument(2, 288), argument(4, 1));
    let folder = std::env::args().nth(3).map_or_else(
        || std::env::temp_dir().join(format!("sekisho-day-{}", std::process::id())),
        PathBuf::from,
    );
    if !folder.exists() {
        fill(&folder, edges, (minutes, days))?;
    }
    let (store, _) = LocalStore::open(&folder, StoreLimits::default())?;
    println!("{} rows in {} segments", store.status().rows, store.status().segments);
    let second = |second: u64| Timestamp::from_seconds(START_S + second);
    let ranges = [
        ("the day", TimeRange::ALL),
        ("cut hours", TimeRange { from: second(1_000), to: second(86_000) }),
        ("whole hours", TimeRange { from: second(3_600), to: second(82_800) }),
        ("an hour", TimeRange { from: second(40_000), to: second(43_600) }),
    ];
    for (name, range) in ranges {
        measure(name, || Ok(store.edges(&range.into())?.len()))?;
    }
    let first = second(0);
    for (name, step_s) in [("by half-hours", 1_800), ("by hours", 3_600)] {
        let parts = Parts { from: first, step_s, count: (86_400 / step_s) as usize };
        let wanted = Wanted::from(TimeRange::ALL);
        let mut class = |key: &EdgeKey| Some(usize::from(key.verdict == Verdict::Denied));
        measure(name, || Ok(store.series(&wanted, parts).answer(&mut class)?.len()))?;
    }
    // A thousand edges further is the next one that is denied; keys of the store are warm by now.
    let denied = keys(edges).into_iter().find(|key| key.verdict == Verdict::Denied);
    let workload = denied.map(|key| key.source.workload.clone()).ok_or("no edge is denied")?;
    let of_workload = FlowFilter {
        workload: Some(format!("{}/{}", workload.namespace, workload.name)),
        ..FlowFilter::default()
    };
    let peers = Wanted { filter: of_workload.clone(), ..TimeRange::ALL.into() };
    measure("peers", || Ok(store.edges(&peers)?.len()))?;
    let verdict = Some(VerdictFilter::Only(Verdict::Denied));
    let filter = FlowFilter { verdict, ..of_workload };
    let denied = Wanted { filter, newest: Some(100), ..TimeRange::ALL.into() };
    measure("last denied", || Ok(store.scan(&denied)?.len()))?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("{line}");
    }
    if std::env::args().nth(3).is_none() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}
