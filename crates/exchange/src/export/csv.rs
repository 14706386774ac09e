//! CSV (RFC 4180): a head, then one row a record, opened in spreadsheets as often as in programs.
//!
//! A cell that begins as a formula does is text that somebody chose, so it gets a `'` before it
//! (OWASP, CSV Injection); no number or time of ours begins so.

use sekisho_base::harmless;
use sekisho_model::{EdgeDay, Party, PartyKind, Process};

use super::exporter::ExportError;
use super::text::{ascii, hours, reporters};

type Cell = fn(&EdgeDay) -> String;

/// Name and content of each column, in order. New ones go to the end: readers may count.
const COLUMNS: &[(&str, Cell)] = &[
    ("cluster", |row| row.key.cluster.to_string()),
    ("day", |row| row.day.to_string()),
    ("hours", |row| joined(&hours(row))),
    ("first_seen", |row| row.stats.first_seen.to_string()),
    ("last_seen", |row| row.stats.last_seen.to_string()),
    ("source_kind", |row| kind(&row.key.source)),
    ("source_namespace", |row| row.key.source.workload.namespace.clone()),
    ("source_workload", |row| row.key.source.workload.name.clone()),
    ("source_workload_kind", |row| row.key.source.workload.kind.clone()),
    ("source_pod", |row| row.key.source.pod.clone()),
    ("source_address", |row| address(&row.key.source)),
    ("source_dns_name", |row| row.key.source.dns_name.clone().unwrap_or_default()),
    ("source_process", |row| program(row.key.source_process.as_deref())),
    ("source_uid", |row| user(row.key.source_process.as_deref())),
    ("source_image", |row| image(row.key.source_process.as_deref())),
    ("destination_kind", |row| kind(&row.key.destination)),
    ("destination_namespace", |row| row.key.destination.workload.namespace.clone()),
    ("destination_workload", |row| row.key.destination.workload.name.clone()),
    ("destination_workload_kind", |row| row.key.destination.workload.kind.clone()),
    ("destination_pod", |row| row.key.destination.pod.clone()),
    ("destination_address", |row| address(&row.key.destination)),
    ("destination_dns_name", |row| row.key.destination.dns_name.clone().unwrap_or_default()),
    ("destination_process", |row| program(row.key.destination_process.as_deref())),
    ("destination_uid", |row| user(row.key.destination_process.as_deref())),
    ("destination_image", |row| image(row.key.destination_process.as_deref())),
    ("protocol", |row| row.key.protocol.to_string()),
    ("port", |row| row.key.port.to_string()),
    ("service", |row| row.key.service.as_ref().map(ToString::to_string).unwrap_or_default()),
    ("verdict", |row| row.key.verdict.to_string()),
    ("decided_by", |row| row.key.decided_by.as_ref().map(ToString::to_string).unwrap_or_default()),
    ("connections", |row| row.stats.connections.to_string()),
    ("bytes_sent", |row| row.stats.bytes_sent.to_string()),
    ("bytes_received", |row| row.stats.bytes_received.to_string()),
    ("packets_sent", |row| row.stats.packets_sent.to_string()),
    ("packets_received", |row| row.stats.packets_received.to_string()),
    ("resets", |row| row.stats.resets.to_string()),
    ("reporters", |row| reporters(row.stats.reporters).join(" ")),
    ("direction_inferred", |row| row.key.direction_inferred.to_string()),
    ("loss", |row| row.stats.loss.to_string()),
];

/// The names of the columns.
pub(super) fn head() -> String {
    let mut names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    names.extend(["source_labels", "destination_labels"]);
    names.join(",")
}

/// One row; labels stand last, as JSON objects.
pub(super) fn record(row: &EdgeDay) -> Result<String, ExportError> {
    let mut cells: Vec<_> = COLUMNS.iter().map(|(_, cell)| quoted(&guarded(&cell(row)))).collect();
    for party in [&row.key.source, &row.key.destination] {
        cells.push(quoted(&ascii(&serde_json::to_string(&party.labels)?)));
    }
    Ok(cells.join(","))
}

/// `text` that neither ends a line nor is taken for a formula. The wide forms count: spreadsheets of
/// East Asia take them, too.
fn guarded(text: &str) -> String {
    let text = harmless(text);
    if text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        return format!("'{text}");
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',']) || text.starts_with(' ') || text.ends_with(' ') {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

fn joined(hours: &[u32]) -> String {
    hours.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn kind(party: &Party) -> String {
    let name = match party.kind {
        PartyKind::Pod => "pod",
        PartyKind::Service => "service",
        PartyKind::Host => "host",
        PartyKind::Node => "node",
        PartyKind::External => "external",
        PartyKind::Unknown => "unknown",
    };
    name.to_owned()
}

fn address(party: &Party) -> String {
    party.address.map(|address| address.to_string()).unwrap_or_default()
}

fn program(process: Option<&Process>) -> String {
    process.map(ToString::to_string).unwrap_or_default()
}

fn user(process: Option<&Process>) -> String {
    process.map(|process| process.uid.to_string()).unwrap_or_default()
}

fn image(process: Option<&Process>) -> String {
    let container = process.and_then(|process| process.container.as_ref());
    container.map(|container| container.image.clone()).unwrap_or_default()
}
