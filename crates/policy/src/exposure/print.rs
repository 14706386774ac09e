//! Exposure in the forms of lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sekisho_model::Protocol;
use serde::Serialize;

use super::{Exposure, ExposureRow};
use crate::list::ListForm;

/// A row of `exposure`.
#[derive(Serialize)]
struct RowJson {
    workload: String,
    direction: String,
    /// `any` or `selector`.
    peer: &'static str,
    selector: Option<String>,
    existing_pods: Option<usize>,
    protected: bool,
    ports: BTreeMap<String, Vec<(u16, u16)>>,
    named_ports: BTreeMap<String, BTreeSet<String>>,
    other_protocols: bool,
}

impl Exposure {
    /// Prints it behind a list in the same form. In JSON `exposure` joins the list's object: rows
    /// with `workload`, `direction`, `peer` (`any` pod, or those that a `selector` takes, of which
    /// `existing_pods` exist already), `protected` (whether a policy selects the workload in this
    /// direction), `ports` and `named_ports` by protocol, and `other_protocols`.
    ///
    /// None for forms that have no place for it: CSV and dot.
    #[must_use]
    pub fn print_after(&self, list: &str, form: ListForm) -> Option<String> {
        match form {
            ListForm::Table => Some(format!("{list}\n{}", self.table())),
            ListForm::Markdown => Some(format!("{list}\n{}", self.markdown())),
            ListForm::Json => {
                let object = list.trim_end().strip_suffix('}')?;
                // Text and numbers always have a JSON form.
                let rows = self.rows.iter().map(json);
                let rows = rows.map(|row| serde_json::to_string(&row).unwrap_or_default());
                let rows: Vec<String> = rows.collect();
                let partial = self.is_partial;
                Some(format!(
                    "{object},\n\"exposure\":[\n{}\n],\n\"exposure_is_partial\":{partial}}}\n",
                    rows.join(",\n")
                ))
            }
            ListForm::Csv | ListForm::Dot => None,
        }
    }

    fn table(&self) -> String {
        let head = ["WORKLOAD", "DIRECTION", "PODS THAT MAY COME", "ALLOWED"].map(str::to_owned);
        let mut rows = vec![head];
        rows.extend(self.rows.iter().map(cells));
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let (first, second, third) = (width(0), width(1), width(2));
        let mut text = String::new();
        for [workload, direction, peer, allowed] in &rows {
            let _infallible =
                writeln!(text, "{workload:first$}  {direction:second$}  {peer:third$}  {allowed}");
        }
        if self.is_partial {
            text.push_str("not all selectors were looked at: there are too many\n");
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "| workload | direction | pods that may come | allowed |\n|---|---|---|---|\n",
        );
        for row in &self.rows {
            let [workload, direction, peer, allowed] =
                cells(row).map(|cell| cell.replace('|', "\\|"));
            let _infallible = writeln!(text, "| `{workload}` | {direction} | {peer} | {allowed} |");
        }
        text
    }
}

fn cells(row: &ExposureRow) -> [String; 4] {
    let peer = match &row.peer {
        None => "any".to_owned(),
        Some(peer) if peer.existing == 0 => peer.words.clone(),
        Some(peer) => format!("{} ({} exist)", peer.words, peer.existing),
    };
    let mut parts = Vec::new();
    if !row.ports.is_empty() {
        parts.push(row.ports.to_string());
    }
    parts.extend(row.names.iter().map(|(protocol, name)| format!("{protocol} `{name}`")));
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    if !row.is_protected {
        parts.push("no policy".to_owned());
    }
    [row.workload.to_string(), row.direction.to_string(), peer, parts.join("; ")]
}

fn json(row: &ExposureRow) -> RowJson {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];
    let ports = all.into_iter().map(|protocol| (protocol.to_string(), row.ports.ranges(protocol)));
    let mut named_ports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (protocol, name) in &row.names {
        named_ports.entry(protocol.to_string()).or_default().insert(name.clone());
    }
    RowJson {
        workload: row.workload.to_string(),
        direction: row.direction.to_string(),
        peer: if row.peer.is_some() { "selector" } else { "any" },
        selector: row.peer.as_ref().map(|peer| peer.words.clone()),
        existing_pods: row.peer.as_ref().map(|peer| peer.existing),
        protected: row.is_protected,
        ports: ports.filter(|(_, ranges)| !ranges.is_empty()).collect(),
        named_ports,
        other_protocols: row.ports.has_other_protocols(),
    }
}
