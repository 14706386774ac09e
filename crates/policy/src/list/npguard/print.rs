//! Words and order of np-guard/netpol-analyzer.

use std::fmt::Write as _;

use sekisho_model::Protocol;
use serde::Serialize;

use crate::PortSet;
use crate::list::{End, Listing};

/// Forms of that tool's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// txt.
    Text,
    /// json.
    Json,
    /// csv.
    Csv,
    /// md.
    Markdown,
    /// dot.
    Dot,
}

/// The name of an end.
#[must_use]
pub fn end_name(end: &End) -> String {
    if end.is_external() { format!("{end}[External]") } else { end.to_string() }
}

/// `All Connections`, `No Connections`, or protocols with their ports in order of the alphabet.
#[must_use]
pub fn connections(ports: &PortSet) -> String {
    let known = ports.intersection(&PortSet::all_transport());
    if known == PortSet::all_transport() {
        return "All Connections".to_owned();
    }
    let mut parts = Vec::new();
    for protocol in [Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
        let ranges: Vec<String> =
            known.ranges(protocol).iter().map(|range| shown(*range)).collect();
        if !ranges.is_empty() {
            parts.push(format!("{protocol} {}", ranges.join(",")));
        }
    }
    if parts.is_empty() { "No Connections".to_owned() } else { parts.join(",") }
}

fn shown((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[derive(Serialize)]
struct Line {
    src: String,
    dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<String>,
}

/// Prints a list.
#[must_use]
pub fn print(listing: &Listing, form: Form) -> String {
    let focused = listing.focus.connection;
    let mut lines: Vec<Line> = listing
        .rows()
        .map(|(source, destination, ports)| Line {
            src: end_name(source),
            dst: end_name(destination),
            conn: focused.is_none().then(|| connections(ports)),
        })
        .collect();
    lines.sort_by(|a, b| (&a.src, &a.dst).cmp(&(&b.src, &b.dst)));
    match form {
        Form::Text => text(&lines, focused),
        Form::Json => serde_json::to_string_pretty(&lines).unwrap_or_default(),
        Form::Csv => csv(&lines),
        Form::Markdown => markdown(&lines),
        Form::Dot => dot(listing, &lines),
    }
}

fn text(lines: &[Line], focused: Option<(Protocol, u16)>) -> String {
    let mut text = String::new();
    if let Some((protocol, port)) = focused {
        let _infallible = writeln!(text, "Permitted connections on {protocol} {port}:");
    }
    for Line { src, dst, conn } in lines {
        let _infallible = match conn {
            Some(conn) => writeln!(text, "{src} => {dst} : {conn}"),
            None => writeln!(text, "{src} => {dst}"),
        };
    }
    text
}

fn csv(lines: &[Line]) -> String {
    let has_conn = lines.iter().all(|line| line.conn.is_some());
    let mut text = String::from(if has_conn { "src,dst,conn\n" } else { "src,dst\n" });
    for line in lines {
        let cells = [Some(&line.src), Some(&line.dst), line.conn.as_ref()];
        let cells: Vec<String> = cells.into_iter().flatten().map(|cell| quoted(cell)).collect();
        let _infallible = writeln!(text, "{}", cells.join(","));
    }
    text
}

/// A cell as RFC 4180 §2 has it.
pub(crate) fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn markdown(lines: &[Line]) -> String {
    let has_conn = lines.iter().all(|line| line.conn.is_some());
    let head = if has_conn {
        "| src | dst | conn |\n|-----|-----|------|\n"
    } else {
        "| src | dst |\n|-----|-----|\n"
    };
    let mut text = head.to_owned();
    for Line { src, dst, conn } in lines {
        let _infallible = match conn {
            Some(conn) => writeln!(text, "| {src} | {dst} | {conn} |"),
            None => writeln!(text, "| {src} | {dst} |"),
        };
    }
    text
}

fn dot(listing: &Listing, lines: &[Line]) -> String {
    let mut groups: std::collections::BTreeMap<&str, Vec<String>> =
        std::collections::BTreeMap::new();
    for end in listing
        .listed()
        .iter()
        .filter(|end| listing.focus.workloads.is_empty() || is_named(listing, end))
    {
        group(end, &mut groups);
    }
    let mut outside = Vec::new();
    for (source, destination, _) in listing.rows() {
        for end in [source, destination] {
            if !group(end, &mut groups) {
                let color = if end.is_external() { "red2" } else { "blue" };
                outside.push(node(&end_name(end), &end_name(end), color));
            }
        }
    }
    outside.sort();
    outside.dedup();
    let mut text = String::from("digraph {\n");
    for (namespace, mut nodes) in groups {
        nodes.sort();
        nodes.dedup();
        let id = namespace.replace('-', "_");
        let _infallible = writeln!(
            text,
            "\tsubgraph \"cluster_{id}\" {{\n\t\tcolor=\"black\"\n\t\tfontcolor=\"black\""
        );
        for node in nodes {
            let _infallible = writeln!(text, "\t{node}");
        }
        let _infallible = writeln!(text, "\t\tlabel=\"{namespace}\"\n\t}}");
    }
    for node in outside {
        let _infallible = writeln!(text, "{node}");
    }
    let mut edges: Vec<String> = lines.iter().map(edge).collect();
    edges.sort();
    for edge in edges {
        let _infallible = writeln!(text, "{edge}");
    }
    text.push('}');
    text
}

fn is_named(listing: &Listing, end: &End) -> bool {
    listing.focus.workloads.iter().any(|name| end.is_called(name))
}

/// Adds a workload to its namespace.
fn group<'e>(end: &'e End, groups: &mut std::collections::BTreeMap<&'e str, Vec<String>>) -> bool {
    let (namespace, label) = match end {
        End::Workload { workload, .. } => {
            (workload.namespace.as_str(), format!("{}[{}]", workload.name, workload.kind))
        }
        End::Pod { namespace, name } => (namespace.as_str(), format!("{name}[Pod]")),
        End::Addresses(..) | End::Domain(_) | End::IngressController => return false,
    };
    groups.entry(namespace).or_default().push(node(&end_name(end), &label, "blue"));
    true
}

fn node(name: &str, label: &str, color: &str) -> String {
    format!("\t{name:?} [label={label:?} color={color:?} fontcolor={color:?}]")
}

fn edge(line: &Line) -> String {
    let label = line.conn.as_deref().unwrap_or_default();
    let weight = if line.src <= line.dst { "0.5" } else { "1" };
    format!(
        "\t{:?} -> {:?} [label={label:?} color=\"gold2\" fontcolor=\"darkgreen\" weight={weight}]",
        line.src, line.dst
    )
}
