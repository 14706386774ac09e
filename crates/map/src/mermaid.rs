//! A map as a Mermaid flowchart, as GitHub and GitLab render it in Markdown.

use std::collections::BTreeMap;

use sekisho_base::harmless;
use sekisho_model::Verdict;

use crate::Map;
use crate::dot::by_namespace;
use crate::text::{number, percent, sign};

/// Prints `map` as a Mermaid flowchart (<https://mermaid.js.org/syntax/flowchart.html>).
///
/// Ids are generated (`n0`, `n1`, ...) and every label is a quoted string in which all but letters,
/// digits and a few signs are written as entities, so that no name can become syntax or HTML.
#[must_use]
pub fn mermaid(map: &Map) -> String {
    let mut out = String::from("flowchart LR\n");
    let completeness = percent(map.completeness.ratio);
    out.push_str(&format!("  %% map by {}, completeness {completeness}\n", map.grouping));
    let ids: BTreeMap<&str, String> = map
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| (node.id.as_str(), format!("n{index}")))
        .collect();
    for (index, (namespace, nodes)) in by_namespace(map).iter().enumerate() {
        let inside = !namespace.is_empty();
        if inside {
            out.push_str(&format!("  subgraph g{index}[\"{}\"]\n", escaped(namespace)));
        }
        for node in nodes {
            let Some(id) = ids.get(node.id.as_str()) else { continue };
            let detail = escaped(node.process.as_deref().unwrap_or(&node.kind));
            let indent = if inside { "    " } else { "  " };
            let name = escaped(&node.name);
            out.push_str(&format!("{indent}{id}[\"{name}<br/>{detail}\"]\n"));
        }
        if inside {
            out.push_str("  end\n");
        }
    }
    let mut links: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (index, edge) in map.edges.iter().enumerate() {
        let ends = (ids.get(edge.source.as_str()), ids.get(edge.destination.as_str()));
        let (Some(from), Some(to)) = ends else { continue };
        let (arrow, style) = link(edge.verdict);
        let verdict = match edge.verdict {
            Verdict::Allowed => String::new(),
            other => escaped(&format!("{} {other} ", sign(other))),
        };
        let port = format!("{}/{}", edge.port, edge.protocol);
        let count = number(edge.connections);
        out.push_str(&format!("  {from} {arrow}|\"{verdict}{port} ({count})\"| {to}\n"));
        if !style.is_empty() {
            links.entry(style).or_default().push(index.to_string());
        }
    }
    for (style, indices) in links {
        out.push_str(&format!("  linkStyle {} {style}\n", indices.join(",")));
    }
    out
}

fn link(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Allowed => ("-->", ""),
        Verdict::Denied => ("--x", "stroke:#b91c1c,stroke-width:2px"),
        Verdict::WouldDeny => ("-.->", "stroke:#b45309,stroke-dasharray:6 4"),
        Verdict::Unknown => ("-.-o", "stroke:#475569,stroke-dasharray:2 3"),
    }
}

fn escaped(text: &str) -> String {
    let mut result = String::new();
    for c in harmless(text).chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '/' | ':' | ',') {
            result.push(c);
        } else {
            // Mermaid's own entity form, which GitHub's sanitiser passes: `#` + decimal + `;`.
            result.push_str(&format!("#{};", u32::from(c)));
        }
    }
    result
}
