//! Reads history, leaves out what was not asked for, and writes the rest, oldest first.

use anyhow::{Context, bail};
use sekisho_api::{SnapshotQuery, Step};
use sekisho_exchange::{ExportFormat, Exporter};
use sekisho_model::{EdgeDay, TimeRange};

use super::args::{ExportArgs, RecordSpan};
use super::sink::Sink;
use crate::commands::{history, output};
use crate::exit::Exit;

/// Writes all records; `Partial` if the history behind them has gaps.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
    if args.syslog.is_some() && args.format == ExportFormat::Csv {
        bail!("--syslog: rows of csv mean nothing without their head: jsonl, ocsf, cef or leef");
    }
    let range = args.history.range(history::now());
    let history = history::load_all(&args.history, &query(args, range))?;
    let mut rows: Vec<&EdgeDay> = history.rows.iter().filter(|row| is_wanted(args, row)).collect();
    rows.sort_by(|a, b| (a.stats.last_seen, &a.key).cmp(&(b.stats.last_seen, &b.key)));
    let exporter = Exporter::new(args.format, env!("CARGO_PKG_VERSION"));
    let mut sink = Sink::open(args)?;
    sink.write(&exporter.head())?;
    for row in &rows {
        sink.record(row, &exporter.record(row).context("export")?, exporter.line_end())?;
    }
    sink.finish()?;
    if args.output.is_some() || args.syslog.is_some() {
        output::note(&output::count(rows.len(), "record", "records"));
    }
    Ok(history::whole_or_partial(&history))
}

fn query(args: &ExportArgs, range: TimeRange) -> SnapshotQuery {
    let step = match args.by {
        RecordSpan::Day => Step::Day,
        RecordSpan::Minute => Step::Minute,
    };
    SnapshotQuery { step, objects: false, ..SnapshotQuery::of(range) }
}

fn is_wanted(args: &ExportArgs, row: &EdgeDay) -> bool {
    let ends = [&row.key.source, &row.key.destination];
    let inside = |name: &String| ends.iter().any(|end| end.workload.namespace == *name);
    (args.namespace.is_empty() || args.namespace.iter().any(inside))
        && (args.verdict.is_empty() || args.verdict.iter().any(|v| v.takes(row.key.verdict)))
}
