//! Reads history, leaves out what was not asked for, and writes the rest, oldest first.

use anyhow::{Context, bail};
use sekisho_api::{SnapshotQuery, Step};
use sekisho_exchange::{ExportFormat, Exporter, FindingActivity, Stamp, findings_of, ocsf_finding};
use sekisho_model::{EdgeDay, TimeRange};

use super::args::{ExportArgs, Form, RecordSpan};
use super::sink::Sink;
use crate::commands::{history, output};
use crate::exit::Exit;

/// Writes all records; `Partial` if the history behind them has gaps.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
    if args.syslog.is_some() && args.format == Form::Edges(ExportFormat::Csv) {
        bail!(
            "--syslog: rows of csv mean nothing without their head: jsonl, ocsf, cef, leef or ocsf-findings"
        );
    }
    let range = args.history.range(history::now());
    let history = history::load_all(&args.history, &query(args, range))?;
    let mut rows: Vec<&EdgeDay> = history.rows.iter().filter(|row| is_wanted(args, row)).collect();
    rows.sort_by(|a, b| (a.stats.last_seen, &a.key).cmp(&(b.stats.last_seen, &b.key)));
    let mut sink = Sink::open(args)?;
    let records = match args.format {
        Form::Edges(format) => write_edges(&mut sink, format, &rows)?,
        Form::Findings => write_findings(&mut sink, &rows)?,
    };
    sink.finish()?;
    if args.output.is_some() || args.syslog.is_some() {
        output::note(&output::count(records, "record", "records"));
    }
    Ok(history::whole_or_partial(&history))
}

/// Gives the number of records.
fn write_edges(sink: &mut Sink, format: ExportFormat, rows: &[&EdgeDay]) -> anyhow::Result<usize> {
    let exporter = Exporter::new(format, env!("CARGO_PKG_VERSION"));
    sink.write(&exporter.head())?;
    for row in rows {
        let record = exporter.record(row).context("export")?;
        sink.record(Stamp::from(*row), &record, exporter.line_end())?;
    }
    Ok(rows.len())
}

/// Each matter once, whole: what was told of it before is not known here.
fn write_findings(sink: &mut Sink, rows: &[&EdgeDay]) -> anyhow::Result<usize> {
    let findings = findings_of(rows.iter().copied());
    for finding in &findings {
        let record = ocsf_finding(finding, FindingActivity::Create, env!("CARGO_PKG_VERSION"));
        sink.record(Stamp::from(finding), &record, "\n")?;
    }
    Ok(findings.len())
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
