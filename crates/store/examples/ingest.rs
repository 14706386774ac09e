//! Measures the store: rows and flows per second, bytes per row, time of a whole scan.
//!
//! `cargo run --release -p sekisho-store --example ingest [FLOWS] [EDGES] [FOLDER]`
//!
//! Traffic: EDGES edges among EDGES / 20 workloads over 60 minutes, FLOWS flows in batches of 1,000;
//! each batch is appended durably (one fdatasync) and recorded.

#![expect(
    clippy::indexing_slicing,
    reason = "every index is the remainder of a division by the bound it needs"
)]

use std::path::PathBuf;

use sekisho_model::{EdgeKey, EdgeStats, Flow, Reporters, TimeRange, Timestamp};
use sekisho_store::{FlowSink, FlowStore, LocalStore, StoreLimits};

#[path = "measured/clock.rs"]
mod clock;
#[path = "measured/edges.rs"]
mod edges;
use clock::Spent;
use edges::keys;

const FLOWS_PER_BATCH: usize = 1_000;
const MINUTES: u64 = 60;
const START_S: u64 = 1_795_392_000;

fn flow(key: &EdgeKey, number: u64, of: u64) -> Flow {
    let nanos = START_S * 1_000_000_000 + number * (MINUTES * 60_000_000_000) / of.max(1);
    let seen = Timestamp::from_nanos(nanos);
    Flow {
        key: key.clone(),
        source: ([10, 42, 0, 1], 40_000 + (number % 20_000) as u16).into(),
        destination: ([10, 42, 0, 2], key.port).into(),
        opened: seen,
        stats: EdgeStats {
            connections: 1,
            bytes_sent: 300 + number % 1_500,
            bytes_received: 1_000 + number % 40_000,
            packets_sent: 6,
            packets_received: 9 + number % 30,
            resets: 0,
            first_seen: seen,
            last_seen: seen,
            reporters: Reporters { source: true, destination: true, datapath: false },
            loss: false,
        },
    }
}

fn argument(position: usize, default: usize) -> usize {
    std::env::args().nth(position).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flows, edges) = (argument(1, 2_000_000), argument(2, 10_000));
    let folder = std::env::args().nth(3).map_or_else(
        || std::env::temp_dir().join(format!("sekisho-ingest-{}", std::process::id())),
        PathBuf::from,
    );
    let (mut store, _) = LocalStore::open(&folder, StoreLimits::default())?;
    let keys = keys(edges);
    let mut batch = Vec::with_capacity(FLOWS_PER_BATCH);
    // A batch on the wire holds halves of about this size; what is in it does not matter here.
    let wire = vec![7_u8; FLOWS_PER_BATCH * 150];
    let (mut append, mut record) = (Spent::default(), Spent::default());
    for number in 0..flows {
        batch.push(flow(&keys[number * 7_919 % edges], number as u64, flows as u64));
        if batch.len() == FLOWS_PER_BATCH || number + 1 == flows {
            append.on(|| store.append(&[&wire]))?;
            record.on(|| store.record(&batch, &[]));
            batch.clear();
        }
    }
    let rows = store.status().hot_rows;
    let (mut hot_scan, mut rotate, mut cold_scan): (Spent, Spent, Spent) = Default::default();
    let hot = hot_scan.on(|| store.scan(&TimeRange::ALL.into()))?.len();
    rotate.on(|| store.rotate(b""))?;
    let status = store.status();
    let cold = cold_scan.on(|| store.scan(&TimeRange::ALL.into()))?.len();
    assert_eq!((hot, cold), (rows, rows));
    let report = [
        format!("{flows} flows in {edges} edges -> {rows} rows, {} folded", status.folded),
        append.line("append durable", flows, "flows"),
        record.line("record", flows, "flows"),
        rotate.line("rotate", rows, "rows"),
        hot_scan.line("scan hot", rows, "rows"),
        cold_scan.line("scan Parquet", rows, "rows"),
        format!("{:.1} bytes/row", (status.bytes - status.log_bytes) as f64 / rows as f64),
    ];
    print_lines(&report);
    drop(store);
    if std::env::args().nth(3).is_none() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn print_lines(lines: &[String]) {
    println!("{}", lines.join("\n"));
}
