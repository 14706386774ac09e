//! Forms of a list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sekisho_model::Protocol;
use serde::Serialize;

use super::npguard::quoted;
use super::{End, Exposed, Listing};
use crate::PortSet;

/// Protocols with ports, in the order they are shown.
pub(super) const TRANSPORTS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListForm {
    /// Aligned columns for people.
    Table,
    /// One object: `connections`, one row per pair and protocol with ports; `other_protocols`, the
    /// pairs that may use protocols without ports.
    Json,
    /// A line per pair, protocol and range of ports.
    Csv,
    /// A Markdown table.
    Markdown,
    /// A graph for Graphviz.
    Dot,
}

/// A row of `connections`.
#[derive(Serialize)]
struct Connections<'a> {
    src: &'a str,
    dst: &'a str,
    protocol: Protocol,
    ports: Vec<(u16, u16)>,
}

/// A row of `other_protocols`: types of ICMP as inclusive ranges, and whether all protocols that
/// have neither ports nor types are allowed.
#[derive(Serialize)]
struct Others<'a> {
    src: &'a str,
    dst: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    icmp_types: Vec<(u16, u16)>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all_other: bool,
}

/// A row of `exposed`: what an object opens to the outside, and what policies say of it.
#[derive(Serialize)]
struct JsonExposed<'a> {
    kind: &'a str,
    name: &'a str,
    entries: &'a [String],
    dst: String,
    allowed: Vec<ProtocolPorts>,
    denied: Vec<ProtocolPorts>,
}

impl Listing {
    /// Prints the list.
    #[must_use]
    pub fn print(&self, form: ListForm) -> String {
        match form {
            ListForm::Table => self.table(),
            ListForm::Json => self.json(),
            ListForm::Csv => self.csv(),
            ListForm::Markdown => self.markdown(),
            ListForm::Dot => self.dot(),
        }
    }

    fn table(&self) -> String {
        let head = ("SOURCE".to_owned(), "DESTINATION".to_owned(), "ALLOWED".to_owned());
        let rows =
            self.rows().map(|(from, to, set)| (from.to_string(), to.to_string(), set.to_string()));
        let mut text = columns(&[head].into_iter().chain(rows).collect::<Vec<_>>());
        if !self.exposed.is_empty() {
            let words = ["EXPOSED BY", "WORKLOAD", "REACHED"].map(str::to_owned);
            let [by, workload, reached] = words;
            let rows = self.exposed.iter().map(|one| {
                let by = format!("{} {} ({})", one.kind, one.name, one.entries.join(", "));
                (by, one.destination.to_string(), reached_words(one))
            });
            text.push('\n');
            let all = [(by, workload, reached)].into_iter().chain(rows);
            text.push_str(&columns(&all.collect::<Vec<_>>()));
        }
        text
    }

    fn json(&self) -> String {
        let mut connections = Vec::new();
        let mut others = Vec::new();
        for (from, to, set) in self.rows() {
            let (src, dst) = (&from.to_string(), &to.to_string());
            for protocol in TRANSPORTS {
                let ports = set.ranges(protocol);
                if !ports.is_empty() {
                    connections.push(line(&Connections { src, dst, protocol, ports }));
                }
            }
            let icmp_types = set.ranges(Protocol::Icmp);
            let all_other = set.has_other_protocols();
            if all_other || !icmp_types.is_empty() {
                others.push(line(&Others { src, dst, icmp_types, all_other }));
            }
        }
        let exposed = self.exposed.iter().map(|one| {
            line(&JsonExposed {
                kind: &one.kind,
                name: &one.name,
                entries: &one.entries,
                dst: one.destination.to_string(),
                allowed: by_protocol(&one.allowed),
                denied: by_protocol(&one.denied),
            })
        });
        format!(
            "{{\"dialect\":\"{}\",\n\"connections\":[{}],\n\"other_protocols\":[{}],\n\
             \"exposed\":[{}]}}\n",
            self.dialect,
            lines(&connections),
            lines(&others),
            lines(&exposed.collect::<Vec<_>>())
        )
    }

    fn csv(&self) -> String {
        let mut text = String::from("source,destination,protocol,first_port,last_port\n");
        for (from, to, set) in self.rows() {
            let (from, to) = (quoted(&from.to_string()), quoted(&to.to_string()));
            for protocol in TRANSPORTS.into_iter().chain([Protocol::Icmp]) {
                for (first, last) in set.ranges(protocol) {
                    let _infallible = writeln!(text, "{from},{to},{protocol},{first},{last}");
                }
            }
            if set.has_other_protocols() {
                let _infallible = writeln!(text, "{from},{to},other,,");
            }
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::from("| source | destination | allowed |\n|---|---|---|\n");
        for (from, to, set) in self.rows() {
            let _infallible = writeln!(text, "| {} | {} | {set} |", code(from), code(to));
        }
        if !self.exposed.is_empty() {
            text.push_str("\n| exposed by | under | workload | reached |\n|---|---|---|---|\n");
        }
        for one in &self.exposed {
            let (kind, name, entries) = (&one.kind, &one.name, one.entries.join(", "));
            let (to, reached) = (code(&one.destination), reached_words(one));
            let _infallible = writeln!(text, "| {kind} `{name}` | {entries} | {to} | {reached} |");
        }
        text
    }

    fn dot(&self) -> String {
        let mut inside: BTreeMap<&str, BTreeSet<&End>> = BTreeMap::new();
        let mut outside: BTreeSet<&End> = BTreeSet::new();
        let ends = self.rows().flat_map(|(from, to, _)| [from, to]);
        let all_listed = self.focus.workloads.is_empty();
        for end in self.listed.iter().filter(|_| all_listed).chain(ends) {
            match end {
                End::Workload { workload, .. } => {
                    inside.entry(&workload.namespace).or_default().insert(end);
                }
                End::Pod { namespace, .. } => {
                    inside.entry(namespace).or_default().insert(end);
                }
                End::Addresses(..) | End::Domain(_) | End::IngressController => {
                    outside.insert(end);
                }
            }
        }
        let mut text = String::from("digraph sekisho {\n  rankdir=LR;\n  node [shape=box];\n");
        for (number, (namespace, ends)) in inside.iter().enumerate() {
            let label = escaped(namespace);
            let _infallible =
                writeln!(text, "  subgraph cluster_{number} {{\n    label=\"{label}\";");
            for end in ends {
                let _infallible = writeln!(text, "    \"{}\";", escaped(&end.to_string()));
            }
            text.push_str("  }\n");
        }
        for end in outside {
            let _infallible =
                writeln!(text, "  \"{}\" [shape=ellipse];", escaped(&end.to_string()));
        }
        for (from, to, set) in self.rows() {
            let (from, to) = (escaped(&from.to_string()), escaped(&to.to_string()));
            let _infallible = writeln!(text, "  \"{from}\" -> \"{to}\" [label=\"{set}\"];");
        }
        text + "}\n"
    }
}

/// What policies allow of an exposure, and what they deny.
fn reached_words(one: &Exposed) -> String {
    match (one.allowed.is_empty(), one.denied.is_empty()) {
        (_, true) => one.allowed.to_string(),
        (true, false) => format!("denied by policies: {}", one.denied),
        (false, false) => format!("{} (denied by policies: {})", one.allowed, one.denied),
    }
}

fn line(value: &impl Serialize) -> String {
    // Texts and numbers always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

/// Rows of a JSON array, each on a line of its own.
pub(super) fn lines(rows: &[String]) -> String {
    if rows.is_empty() { String::new() } else { format!("\n{}\n", rows.join(",\n")) }
}

/// Three columns, aligned.
fn columns(rows: &[(String, String, String)]) -> String {
    let width = |of: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or_default()
    };
    let (first, second) = (width(|row| &row.0), width(|row| &row.1));
    let mut text = String::new();
    for (from, to, set) in rows {
        let _infallible = writeln!(text, "{from:first$}  {to:second$}  {set}");
    }
    text
}

/// A name as code in a Markdown table.
pub(super) fn code(end: &End) -> String {
    format!("`{}`", end.to_string().replace('|', "\\|").replace('`', "'"))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Protocols with ports, as in a list.
#[derive(Serialize)]
pub(super) struct ProtocolPorts {
    protocol: Protocol,
    ports: Vec<(u16, u16)>,
}

/// What a set holds, protocol by protocol.
pub(super) fn by_protocol(set: &PortSet) -> Vec<ProtocolPorts> {
    let all = TRANSPORTS.into_iter().chain([Protocol::Icmp]);
    let with_ports = all.map(|protocol| ProtocolPorts { protocol, ports: set.ranges(protocol) });
    with_ports.filter(|one| !one.ports.is_empty()).collect()
}
