//! What an import tells when it is done.

use std::path::Path;

use sekisho_model::Timestamp;
use serde_json::json;

use super::source::Outcome;
use crate::commands::output;
use crate::server::ImportFolder;

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

/// The answer for people.
pub(super) fn table(outcomes: &[Outcome], folder: &ImportFolder, path: &Path) -> String {
    let words = [
        "SOURCE",
        "FORMAT",
        "UNITS",
        "RECORDS",
        "CONNECTIONS",
        "SKIPPED",
        "REJECTED",
        "LOST",
        "FROM",
        "TO",
    ];
    let mut rows = vec![words.map(str::to_owned).to_vec()];
    for Outcome { name, format, tally, .. } in outcomes {
        let covered = tally.covered;
        rows.push(vec![
            name.clone(),
            format.to_string(),
            tally.lines.to_string(),
            tally.records.to_string(),
            tally.connections.to_string(),
            tally.skipped.values().sum::<u64>().to_string(),
            tally.rejected_sum().to_string(),
            tally.lost.to_string(),
            time(covered.map(|(first, _)| first)),
            time(covered.map(|(_, last)| last)),
        ]);
    }
    let right = [false, false, true, true, true, true, true, true, false, false];
    let mut text = output::columns(&rows, &right);
    let notes: Vec<String> = outcomes.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        text.push_str(&format!("\n{}\n", notes.join("\n")));
    }
    let status = folder.status();
    // The cluster need not be named where the folder has one only.
    let named = match folder.cluster() {
        cluster if cluster.is_default() => String::new(),
        cluster => format!(" --cluster {cluster}"),
    };
    let path = format!("{}{named}", path.display());
    text.push_str(&format!(
        "\n{} in `{}`. What the source did not record is not in the map either. Next:\n  \
         sekisho map --store {path}\n  sekisho recommend --store {path} --write policies/\n  \
         sekisho verify --store {path} -f policies/\n",
        output::count(usize::try_from(status.rows).unwrap_or(usize::MAX), "row", "rows"),
        folder.path().display(),
    ));
    text
}

/// What is to be said of a source besides its row.
fn notes(Outcome { name, tally, before, .. }: &Outcome) -> Vec<String> {
    let mut notes = Vec::new();
    match before {
        None => notes.push(format!("{name}: was imported before; nothing was added")),
        Some(0) => {}
        Some(lines) => {
            notes.push(format!("{name}: was cut off after line {lines} and went on from there"));
        }
    }
    for (reason, count) in &tally.skipped {
        notes.push(format!("{name}: {count} left out: {reason}"));
    }
    for (reason, one) in &tally.rejected {
        let (count, line, sample) = (one.count, one.line, &one.sample);
        notes.push(format!("{name}: {count} rejected: {reason}\n  first in line {line}: {sample}"));
    }
    if tally.sampled > 0 {
        let rate = tally.sampled;
        let text = "the source looked at one of so many packets, so its counts are estimates, and";
        notes.push(format!("{name}: {text} short connections may be missing (1 in {rate})"));
    }
    if tally.lost > 0 {
        notes.push(format!("{name}: the source says that it lost {}", tally.lost));
    }
    if tally.forgotten > 0 {
        let forgotten = tally.forgotten;
        let text = "connections were forgotten for want of memory and may count twice";
        notes.push(format!("{name}: {forgotten} {text}"));
    }
    notes
}

/// The answer for programs.
pub(super) fn as_json(outcomes: &[Outcome], folder: &ImportFolder) -> serde_json::Value {
    let sources: Vec<_> = outcomes
        .iter()
        .map(|Outcome { name, format, tally, before }| {
            let rejected: Vec<_> = tally
                .rejected
                .iter()
                .map(|(reason, one)| {
                    json!({ "reason": reason, "count": one.count, "line": one.line, "sample": one.sample })
                })
                .collect();
            json!({
                "name": name,
                "format": format.name(),
                "imported_before": before.is_none(),
                "lines": tally.lines,
                "records": tally.records,
                "connections": tally.connections,
                "lost": tally.lost,
                "forgotten": tally.forgotten,
                "used": tally.used,
                "silent": tally.silent,
                "sampled": tally.sampled,
                "skipped": tally.skipped,
                "rejected": rejected,
                "from": tally.covered.map(|(first, _)| first),
                "to": tally.covered.map(|(_, last)| last),
            })
        })
        .collect();
    json!({ "cluster": folder.cluster(), "sources": sources, "rows": folder.status().rows })
}
