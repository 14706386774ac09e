//! A map in Graphviz's DOT language, one cluster per namespace.

use std::collections::BTreeMap;

use sekisho_base::harmless;
use sekisho_model::Verdict;

use crate::text::{number, percent};
use crate::{Map, MapNode};

/// Prints `map` as a DOT digraph (<https://graphviz.org/doc/info/lang.html>). Names are escaped:
/// none can leave its string.
#[must_use]
pub fn dot(map: &Map) -> String {
    let mut out = String::from("digraph sekisho {\n");
    let completeness = percent(map.completeness.ratio);
    let title = format!("map by {}, completeness {completeness}", map.grouping);
    out.push_str("  rankdir=LR;\n  compound=true;\n");
    out.push_str(&format!("  label={};\n  labelloc=t;\n", quoted(&title)));
    out.push_str("  node [shape=box, style=\"rounded,filled\", fillcolor=white];\n");
    for (index, (namespace, nodes)) in by_namespace(map).iter().enumerate() {
        let inside = !namespace.is_empty();
        if inside {
            out.push_str(&format!("  subgraph cluster_{index} {{\n"));
            out.push_str(&format!("    label={};\n    style=rounded;\n", quoted(namespace)));
        }
        for node in nodes {
            let indent = if inside { "    " } else { "  " };
            let label = quoted_lines(&[&node.name, node.process.as_deref().unwrap_or(&node.kind)]);
            out.push_str(&format!("{indent}{} [label={label}];\n", quoted(&node.id)));
        }
        if inside {
            out.push_str("  }\n");
        }
    }
    for edge in &map.edges {
        let words = match edge.verdict {
            Verdict::Allowed => String::new(),
            other => format!(" {other}"),
        };
        let port = format!("{}/{}{words}", edge.port, edge.protocol);
        let label = quoted_lines(&[&port, &number(edge.connections)]);
        let style = style(edge.verdict);
        let (from, to) = (quoted(&edge.source), quoted(&edge.destination));
        out.push_str(&format!("  {from} -> {to} [label={label}, {style}];\n"));
    }
    out.push_str("}\n");
    out
}

fn style(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "style=solid, color=\"#334155\"",
        Verdict::Denied => "style=bold, color=\"#b91c1c\", arrowhead=tee",
        Verdict::WouldDeny => "style=dashed, color=\"#b45309\", arrowhead=empty",
        Verdict::Unknown => "style=dotted, color=\"#475569\", arrowhead=odot",
    }
}

pub(crate) fn by_namespace(map: &Map) -> BTreeMap<String, Vec<&MapNode>> {
    let mut groups: BTreeMap<String, Vec<&MapNode>> = BTreeMap::new();
    for node in &map.nodes {
        groups.entry(node.place()).or_default().push(node);
    }
    groups
}

fn quoted(text: &str) -> String {
    quoted_lines(&[text])
}

/// In a DOT string only `"` ends it; a backslash starts an escape of label text.
fn quoted_lines(lines: &[&str]) -> String {
    let escaped: Vec<String> = lines
        .iter()
        .map(|line| harmless(line).replace('\\', "\\\\").replace('"', "\\\""))
        .collect();
    format!("\"{}\"", escaped.join("\\n"))
}
