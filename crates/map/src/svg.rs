//! A map as an SVG picture: namespaces as boxes, calls from left to right, no script, no font file.
//!
//! The same map gives the same bytes. A verdict never speaks by colour alone: it has a line style
//! and an end of its own. Every line carries its figures as a tooltip.

use std::fmt::Write;

use sekisho_base::harmless;
use sekisho_model::Verdict;

use crate::plan::{Group, HUES, Net, at};
use crate::sheet::{BOX_PAD, LEGEND, Line, MARGIN, NAME_GLYPH, Sheet};
use crate::text::{bytes, cut, number, percent};
use crate::{Map, MapEdge, MapNode};

/// Colours of allowed lines, by source; red and amber are kept for verdicts.
const LINES: [&str; HUES] =
    ["#2563eb", "#0f766e", "#7c3aed", "#475569", "#4d7c0f", "#0369a1", "#86198f", "#5b4636"];
/// Fill, border and title colours of namespace boxes.
const BOXES: [(&str, &str, &str); 6] = [
    ("#eff6ff", "#bfdbfe", "#1e40af"),
    ("#f0fdf4", "#bbf7d0", "#166534"),
    ("#faf5ff", "#e9d5ff", "#6b21a8"),
    ("#fefce8", "#fde68a", "#854d0e"),
    ("#ecfeff", "#a5f3fc", "#155e75"),
    ("#fdf2f8", "#fbcfe8", "#9d174d"),
];
const INK: &str = "#0f172a";
const FAINT: &str = "#475569";
const RADIUS: i32 = 6;
/// Widest glyphs at 11 px.
const SMALL_GLYPH: i32 = 7;

/// Draws `map`. Names are escaped; times are UTC.
#[must_use]
pub fn svg(map: &Map) -> String {
    let sheet = Sheet::of(map);
    let mut out = String::new();
    // Writing to a String cannot fail.
    draw(map, &sheet, &mut out).ok();
    out
}

fn draw(map: &Map, sheet: &Sheet, out: &mut String) -> std::fmt::Result {
    let (width, height) = (sheet.width, sheet.height);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title desc\" \
         font-family=\"Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\">"
    )?;
    head(map, out)?;
    writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>")?;
    title(map, out)?;
    let mut color = 0;
    for group in &sheet.plan.groups {
        group_box(sheet, group, color, out)?;
        color += usize::from(!group.side);
    }
    for (index, net) in sheet.plan.nets.iter().enumerate() {
        draw_net(map, sheet, (index, net), out)?;
    }
    for (index, node) in map.nodes.iter().enumerate() {
        draw_node(sheet, index, node, out)?;
    }
    if map.edges.is_empty() {
        text(out, (MARGIN, 120, 14), (FAINT, ""), "no flows in this window")?;
    }
    legend(sheet, out)?;
    out.push_str("</svg>\n");
    Ok(())
}

fn head(map: &Map, out: &mut String) -> std::fmt::Result {
    let (nodes, edges) = (map.nodes.len(), map.edges.len());
    let grouping = &map.grouping;
    writeln!(out, "<title id=\"title\">Dependency map by {grouping}</title>")?;
    writeln!(
        out,
        "<desc id=\"desc\">{nodes} nodes and {edges} edges from {} to {}, completeness {}.</desc>",
        map.window.from,
        map.window.to,
        percent(map.completeness.ratio)
    )
}

fn title(map: &Map, out: &mut String) -> std::fmt::Result {
    let heading = format!("Who talks to whom, by {}", map.grouping);
    text(out, (MARGIN, 34, 18), (INK, "700"), &heading)?;
    let complete = &map.completeness;
    let mut line = format!("completeness {}", percent(complete.ratio));
    match complete.gaps.len() {
        0 => {}
        1 => line.push_str(" (1 gap)"),
        count => line.push_str(&format!(" ({count} gaps)")),
    }
    line.push_str(&format!("  ·  {} to {}", map.window.from, map.window.to));
    if map.hidden.edges > 0 {
        line.push_str(&format!("  ·  {} edges hidden", number(map.hidden.edges)));
    }
    text(out, (MARGIN, 56, 12), (FAINT, ""), &line)
}

/// One line of text: place and size, colour and weight.
fn text(
    out: &mut String,
    (x, y, size): (i32, i32, i32),
    (fill, weight): (&str, &str),
    content: &str,
) -> std::fmt::Result {
    let weight =
        if weight.is_empty() { String::new() } else { format!(" font-weight=\"{weight}\"") };
    writeln!(
        out,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{fill}\"{weight}>{}</text>",
        escaped(content)
    )
}

fn group_box(sheet: &Sheet, group: &Group, color: usize, out: &mut String) -> std::fmt::Result {
    let (first, _) = at(&sheet.columns, group.columns.0);
    let (last, last_width) = at(&sheet.columns, group.columns.1);
    let (top, bottom) = sheet.box_span(group);
    let (x, width) = (first - BOX_PAD, last + last_width - first + 2 * BOX_PAD);
    let (fill, border, ink, dash) = if group.side {
        ("#f8fafc", "#94a3b8", FAINT, " stroke-dasharray=\"5 4\"")
    } else {
        let (fill, border, ink) =
            BOXES.get(color % BOXES.len()).copied().unwrap_or(("#ffffff", FAINT, INK));
        (fill, border, ink, "")
    };
    writeln!(
        out,
        "<rect x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{}\" rx=\"12\" fill=\"{fill}\" \
         stroke=\"{border}\" stroke-width=\"1.5\"{dash}/>",
        bottom - top
    )?;
    // The title stands above a node's column: lines run only between columns.
    let room = at(&sheet.columns, group.columns.0).1 / NAME_GLYPH;
    let name = fitted(&group.title, room);
    text(out, (first, top + 21, 12), (ink, "700"), &name)
}

fn draw_node(sheet: &Sheet, index: usize, node: &MapNode, out: &mut String) -> std::fmt::Result {
    let (x, y, width, height) = sheet.node(index);
    writeln!(out, "<g><title>{}</title>", escaped(&tooltip_of_node(node)))?;
    writeln!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"7\" \
         fill=\"#ffffff\" stroke=\"#64748b\" stroke-width=\"1.2\"/>"
    )?;
    let name = fitted(&node.name, (width - 20) / NAME_GLYPH);
    text(out, (x + 10, y + 17, 13), (INK, "600"), &name)?;
    let mut kind = match &node.process {
        Some(process) => process.clone(),
        None => node.kind.clone(),
    };
    if node.pods > 1 {
        kind.push_str(&format!(" × {}", node.pods));
    }
    let kind = fitted(&kind, (width - 20) / SMALL_GLYPH);
    text(out, (x + 10, y + 32, 11), (FAINT, ""), &kind)?;
    for (pin, detail) in sheet.plan.pins.get(index).into_iter().flatten().enumerate() {
        let (row, row_height) = sheet.pin_row(index, pin);
        let baseline = y + row + row_height / 2 + 4;
        let label = format!("{}/{}", detail.port, detail.protocol);
        text(out, (x + 10, baseline, 11), (INK, ""), &label)?;
        writeln!(
            out,
            "<text x=\"{}\" y=\"{baseline}\" font-size=\"11\" fill=\"{FAINT}\" \
             text-anchor=\"end\">{}</text>",
            x + width - 8,
            short(detail.connections)
        )?;
    }
    out.push_str("</g>\n");
    Ok(())
}

fn tooltip_of_node(node: &MapNode) -> String {
    let labels: Vec<String> =
        node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}\n{}", node.id, labels.join("\n"))
}

/// A count in at most five characters.
fn short(count: u64) -> String {
    let scaled = |unit: u64, name: char| format!("{}{name}", count / unit);
    match count {
        0..10_000 => number(count),
        10_000..1_000_000 => scaled(1_000, 'k'),
        1_000_000..1_000_000_000 => scaled(1_000_000, 'M'),
        _ => scaled(1_000_000_000, 'G'),
    }
}

/// Colour, width and dashes of a net's line.
fn stroke(net: &Net) -> (&'static str, &'static str, &'static str) {
    match net.verdict {
        Verdict::Allowed => (LINES.get(net.hue).unwrap_or(&INK), "1.6", ""),
        Verdict::WouldDeny => ("#b45309", "2", " stroke-dasharray=\"7 4\""),
        Verdict::Denied => ("#dc2626", "2.2", ""),
        Verdict::Unknown => ("#475569", "1.8", " stroke-dasharray=\"1.5 4\""),
    }
}

fn draw_net(
    map: &Map,
    sheet: &Sheet,
    (index, net): (usize, &Net),
    out: &mut String,
) -> std::fmt::Result {
    let (color, width, dash) = stroke(net);
    let (mut path, mut joints) = (String::new(), Vec::new());
    for line in sheet.nets.get(index).into_iter().flatten() {
        net_line(line, &mut path, &mut joints)?;
    }
    for column in net.gutters.0..net.gutters.1 {
        if let Some(y) = sheet.placement.pass.get(&(index, column)) {
            let (x, width) = at(&sheet.columns, column);
            write!(path, "M{x} {y}h{width}")?;
        }
    }
    let path = path.trim_end();
    writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#ffffff\" stroke-width=\"4.5\" \
         stroke-opacity=\"0.85\"/>"
    )?;
    writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" \
         stroke-linecap=\"round\"{dash}/>"
    )?;
    for (x, y) in joints {
        writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"2.4\" fill=\"{color}\"/>")?;
    }
    for end in &net.ends {
        let (x, ..) = sheet.node(end.node);
        let y = sheet.end_y(end.node, end.pin, index);
        let tooltip = map.edges.get(end.edge).map(tooltip_of_edge).unwrap_or_default();
        writeln!(out, "<g><title>{}</title>", escaped(&tooltip))?;
        // Wide and unseen: something to point at.
        writeln!(
            out,
            "<path d=\"M{} {y}h20\" stroke=\"#000\" stroke-opacity=\"0\" stroke-width=\"8\"/>",
            x - 20
        )?;
        head_of(out, net.verdict, (x, y), color)?;
        out.push_str("</g>\n");
    }
    Ok(())
}

/// One gutter's part of a net: the vertical line, rounded into the branches at its two ends; a dot
/// where a branch joins in between, so that a joint looks different from a crossing.
fn net_line(line: &Line, path: &mut String, joints: &mut Vec<(i32, i32)>) -> std::fmt::Result {
    let (top, bottom) = line.trunk.span();
    let radius = RADIUS.min((bottom - top) / 2);
    let x = line.x;
    let left = line.trunk.left.iter().map(|&y| (y, line.left, -1));
    let right = line.trunk.right.iter().map(|&y| (y, line.right, 1));
    let (mut above, mut below) = (false, false);
    for (y, edge, side) in left.chain(right) {
        let turn = if y == top && !above {
            above = true;
            radius
        } else if y == bottom && !below {
            below = true;
            -radius
        } else {
            joints.push((x, y));
            write!(path, "M{edge} {y}H{x}")?;
            continue;
        };
        write!(path, "M{edge} {y}H{}Q{x} {y} {x} {}", x + side * radius, y + turn)?;
    }
    if bottom - top > 2 * radius {
        write!(path, "M{x} {}V{}", top + radius, bottom - radius)?;
    }
    Ok(())
}

/// The end of a line at a node, by verdict.
fn head_of(
    out: &mut String,
    verdict: Verdict,
    (x, y): (i32, i32),
    color: &str,
) -> std::fmt::Result {
    match verdict {
        Verdict::Allowed => {
            writeln!(out, "<path d=\"M{x} {y}l-8 -3.5v7z\" fill=\"{color}\"/>")
        }
        Verdict::WouldDeny => writeln!(
            out,
            "<path d=\"M{} {y}l-9 -4v8z\" fill=\"#ffffff\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
            x - 1
        ),
        // A bar across the line, and a gap behind it: it does not arrive.
        Verdict::Denied => writeln!(
            out,
            "<path d=\"M{} {y}h-6\" stroke=\"#ffffff\" stroke-width=\"4\"/>\
             <path d=\"M{} {}v10\" stroke=\"{color}\" stroke-width=\"3.5\" \
             stroke-linecap=\"round\"/>",
            x - 1,
            x - 7,
            y - 5
        ),
        Verdict::Unknown => writeln!(
            out,
            "<circle cx=\"{}\" cy=\"{y}\" r=\"3.5\" fill=\"#ffffff\" stroke=\"{color}\" \
             stroke-width=\"1.5\"/>",
            x - 5
        ),
    }
}

fn tooltip_of_edge(edge: &MapEdge) -> String {
    let mut lines = vec![
        format!("{} -> {}", edge.source, edge.destination),
        format!("{}/{} {}", edge.port, edge.protocol, edge.verdict),
        format!("{} connections, {} resets", number(edge.connections), number(edge.resets)),
        format!("{} sent, {} received", bytes(edge.bytes_sent), bytes(edge.bytes_received)),
    ];
    lines.extend(edge.services.iter().map(|service| format!("through {service}")));
    lines.extend(edge.decided_by.iter().map(|by| format!("by {by}")));
    let name = |process: &Option<String>| process.clone().unwrap_or_else(|| "?".to_owned());
    let pairs = edge.processes.iter();
    lines
        .extend(pairs.map(|pair| format!("{} -> {}", name(&pair.source), name(&pair.destination))));
    lines.join("\n")
}

fn legend(sheet: &Sheet, out: &mut String) -> std::fmt::Result {
    let y = sheet.height - MARGIN - LEGEND / 2 + 12;
    let verdicts = [
        (Verdict::Allowed, "allowed"),
        (Verdict::WouldDeny, "would be denied"),
        (Verdict::Denied, "denied"),
        (Verdict::Unknown, "unknown"),
    ];
    let mut x = MARGIN;
    for (verdict, word) in verdicts {
        let net = Net { source: 0, verdict, ends: vec![], nodes: vec![], gutters: (0, 0), hue: 0 };
        let (color, width, dash) = stroke(&net);
        writeln!(
            out,
            "<path d=\"M{x} {y}h44\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" \
             stroke-linecap=\"round\"{dash}/>"
        )?;
        head_of(out, verdict, (x + 48, y), color)?;
        text(out, (x + 56, y + 4, 12), (INK, ""), word)?;
        x += 56 + 8 * i32::try_from(word.len()).unwrap_or(0) + 24;
    }
    let words = "colours tell sources apart  ·  at a port: connections";
    text(out, (x, y + 4, 12), (FAINT, ""), words)
}

fn fitted(content: &str, glyphs: i32) -> String {
    cut(&harmless(content), usize::try_from(glyphs).unwrap_or(0))
}

/// Text for XML content: no markup, and no character that XML 1.0 forbids.
fn escaped(content: &str) -> String {
    let mut result = String::new();
    for line in content.split('\n') {
        if !result.is_empty() {
            result.push('\n');
        }
        for c in harmless(line).chars() {
            match c {
                '<' => result.push_str("&lt;"),
                '>' => result.push_str("&gt;"),
                '&' => result.push_str("&amp;"),
                '"' => result.push_str("&quot;"),
                '\'' => result.push_str("&#39;"),
                other => result.push(other),
            }
        }
    }
    result
}
