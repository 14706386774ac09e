//! Forms of a diff.

use std::fmt::Write as _;

use serde::Serialize;

use super::npguard::{connections, end_name, quoted};
use super::text::{ProtocolPorts, by_protocol, code, lines};
use super::{ChangeKind, End, PairChange, PolicyDiff};
use crate::PortSet;

/// How a diff is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffForm<'a> {
    /// Lines for people.
    Table,
    /// One object: `changes`, `workloads_added`, `workloads_removed`.
    Json,
    /// A comment for a pull request.
    Markdown,
    /// A line per change.
    Csv,
    /// What np-guard/netpol-analyzer prints as text, with the names of the two sides.
    NpGuardText(&'a str, &'a str),
    /// What it prints as csv.
    NpGuardCsv(&'a str, &'a str),
    /// What it prints as md.
    NpGuardMarkdown(&'a str, &'a str),
}

#[derive(Serialize)]
struct JsonChange {
    change: &'static str,
    src: String,
    dst: String,
    before: Vec<ProtocolPorts>,
    after: Vec<ProtocolPorts>,
}

impl PolicyDiff {
    /// Prints the diff.
    #[must_use]
    pub fn print(&self, form: DiffForm<'_>) -> String {
        match form {
            DiffForm::Table => self.table(),
            DiffForm::Json => self.json(),
            DiffForm::Markdown => self.markdown(),
            DiffForm::Csv => self.csv(),
            DiffForm::NpGuardText(one, two) => {
                self.npguard(|line| line.text(one, two), || "Connectivity diff:".to_owned())
            }
            DiffForm::NpGuardCsv(one, two) => self.npguard(Line::csv, || {
                format!("diff-type,source,destination,{one},{two},workloads-diff-info")
            }),
            DiffForm::NpGuardMarkdown(one, two) => self.npguard(Line::markdown, || {
                format!(
                    "| diff-type | source | destination | {one} | {two} | workloads-diff-info |\n\
                     |-----------|--------|-------------|------|------|---------------------|"
                )
            }),
        }
    }

    /// `2 added, 1 removed, no change otherwise` in one sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |kind| format!("{} {}", self.count(kind), ChangeKind::as_str(kind));
        let mut text = format!(
            "connections: {}, {}, {}",
            count(ChangeKind::Added),
            count(ChangeKind::Removed),
            count(ChangeKind::Changed)
        );
        if !(self.appeared.is_empty() && self.vanished.is_empty()) {
            let (new, lost) = (self.appeared.len(), self.vanished.len());
            let _infallible = write!(text, "; workloads: {new} added, {lost} removed");
        }
        text
    }

    fn table(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let (from, to) = (&change.source, &change.destination);
            let _infallible = match change.kind() {
                ChangeKind::Added => writeln!(text, "+ {from} -> {to}: {}", change.after),
                ChangeKind::Removed => writeln!(text, "- {from} -> {to}: {}", change.before),
                ChangeKind::Changed => {
                    writeln!(text, "~ {from} -> {to}: {} -> {}", change.before, change.after)
                }
            };
        }
        for end in &self.appeared {
            let _infallible = writeln!(text, "+ workload {end}");
        }
        for end in &self.vanished {
            let _infallible = writeln!(text, "- workload {end}");
        }
        let _infallible = writeln!(text, "{}", self.summary());
        text
    }

    fn json(&self) -> String {
        let rows = self.changes.iter().map(|change| {
            let row = JsonChange {
                change: change.kind().as_str(),
                src: change.source.to_string(),
                dst: change.destination.to_string(),
                before: by_protocol(&change.before),
                after: by_protocol(&change.after),
            };
            serde_json::to_string(&row).unwrap_or_default()
        });
        let names = |ends: &[End]| {
            let names: Vec<String> = ends.iter().map(ToString::to_string).collect();
            serde_json::to_string(&names).unwrap_or_default()
        };
        format!(
            "{{\"changes\":[{}],\n\"workloads_added\":{},\n\"workloads_removed\":{}}}\n",
            lines(&rows.collect::<Vec<_>>()),
            names(&self.appeared),
            names(&self.vanished)
        )
    }

    fn markdown(&self) -> String {
        let mut text = format!("### Connectivity changes\n\n{}\n", self.summary());
        if !self.changes.is_empty() {
            text.push_str("\n| | source | destination | before | after |\n|---|---|---|---|---|\n");
        }
        for change in &self.changes {
            let (from, to) = (code(&change.source), code(&change.destination));
            let _infallible = writeln!(
                text,
                "| {} | {from} | {to} | {} | {} |",
                change.kind().as_str(),
                change.before,
                change.after
            );
        }
        for (word, ends) in [("new", &self.appeared), ("gone", &self.vanished)] {
            if !ends.is_empty() {
                let names: Vec<String> = ends.iter().map(code).collect();
                let _infallible =
                    writeln!(text, "\nWorkloads that are {word}: {}", names.join(", "));
            }
        }
        text
    }

    fn csv(&self) -> String {
        let mut text = String::from("change,source,destination,before,after\n");
        for change in &self.changes {
            let cells = [
                change.kind().as_str().to_owned(),
                change.source.to_string(),
                change.destination.to_string(),
                change.before.to_string(),
                change.after.to_string(),
            ];
            let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
            let _infallible = writeln!(text, "{}", cells.join(","));
        }
        text
    }

    /// Lines in the order of that tool: changed, added, removed, each in order of the alphabet, and
    /// those of the ingress controller after all others. Nothing at all if nothing differs.
    fn npguard(&self, print: impl Fn(&Line) -> String, head: impl Fn() -> String) -> String {
        if self.changes.is_empty() {
            return String::new();
        }
        let mut lines: Vec<(bool, ChangeKind, String)> = self
            .changes
            .iter()
            .map(|change| {
                let is_exposed = change.source == End::IngressController;
                (is_exposed, change.kind(), print(&Line::of(self, change)))
            })
            .collect();
        lines.sort();
        let mut text = head() + "\n";
        for (_, _, line) in lines {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// A change in the words of np-guard/netpol-analyzer.
struct Line {
    kind: ChangeKind,
    source: String,
    destination: String,
    before: String,
    after: String,
    info: String,
}

impl Line {
    fn of(diff: &PolicyDiff, change: &PairChange) -> Self {
        let kind = change.kind();
        let (source, destination) = (end_name(&change.source), end_name(&change.destination));
        let ends = [(&change.source, &source), (&change.destination, &destination)];
        let affected: Vec<&str> = ends
            .iter()
            .filter(|(end, _)| diff.is_new_or_lost(end, kind))
            .map(|(_, name)| name.as_str())
            .collect();
        let info = if affected.is_empty() {
            String::new()
        } else {
            format!("workload {} {}", affected.join(" and "), kind.as_str())
        };
        let words = |set: &PortSet| connections(set);
        let (before, after) = (words(&change.before), words(&change.after));
        Self { kind, source, destination, before, after, info }
    }

    fn text(&self, one: &str, two: &str) -> String {
        let mut line = format!(
            "diff-type: {}, source: {}, destination: {}, {one}: {}, {two}: {}",
            self.kind.as_str(),
            self.source,
            self.destination,
            self.before,
            self.after
        );
        if !self.info.is_empty() {
            let _infallible = write!(line, ", workloads-diff-info: {}", self.info);
        }
        line
    }

    fn cells(&self) -> [&str; 6] {
        let Self { kind, source, destination, before, after, info } = self;
        [kind.as_str(), source, destination, before, after, info]
    }

    fn csv(&self) -> String {
        self.cells().map(quoted).join(",")
    }

    fn markdown(&self) -> String {
        format!("| {} |", self.cells().join(" | "))
    }
}
