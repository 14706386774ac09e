//! The report as text: a table for people, JSON for programs.

use sekisho_base::harmless;

use crate::{EdgeClass, EdgeReport, WhatIfReport};

/// Narrowest reason column; below it, lines are allowed to run over the width.
const REASON_COLUMNS_MIN: usize = 40;
const INDENT: &str = "    ";
/// Edges of each class that the table shows. One port scan in the history makes thousands, and the
/// edge that matters must not scroll away.
const ROWS_PER_CLASS_MAX: usize = 30;
const RESET: &str = "\u{1b}[0m";

/// The report as one JSON object, two spaces per level, with a final newline.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "the only failure, a map with odd keys, is not there"
)]
pub fn json(report: &WhatIfReport) -> String {
    let mut text = serde_json::to_string_pretty(report)
        .expect("the report has no map, and writing to memory does not fail");
    text.push('\n');
    text
}

/// The report as a table for a terminal of `width` columns; `color` adds ANSI colours (words say
/// the same). Edges that stay as they are are only counted, and so are those of a class that has
/// more than a person reads.
#[must_use]
pub fn table(report: &WhatIfReport, width: usize, color: bool) -> String {
    let mut shown: Vec<&EdgeReport> = Vec::new();
    let mut left_out = String::new();
    for class in [EdgeClass::WouldBlock, EdgeClass::NewlyAllowed, EdgeClass::Uncertain] {
        let mut edges = report.edges.iter().filter(|edge| edge.class == class);
        shown.extend(edges.by_ref().take(ROWS_PER_CLASS_MAX));
        let more = edges.count();
        if more > 0 {
            let word = class.as_str();
            left_out.push_str(&format!("... and {more} more {word} (all of them with -o json)\n"));
        }
    }
    let mut text = String::new();
    if !shown.is_empty() {
        rows(&shown, width, color, &mut text);
        text.push_str(&left_out);
        text.push('\n');
    }
    footer(report, width, &mut text);
    text
}

/// Header and rows, each row followed by its reason.
fn rows(edges: &[&EdgeReport], width: usize, color: bool, text: &mut String) {
    let header =
        ["CLASS", "SOURCE", "DESTINATION", "PORT", "CONNECTIONS", "LAST SEEN"].map(str::to_owned);
    let cells: Vec<[String; 6]> = edges.iter().map(|edge| cells(edge)).collect();
    let mut widths = header.each_ref().map(|cell| cell.chars().count());
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(&header, &widths, None, text);
    for (edge, row) in edges.iter().zip(&cells) {
        line(row, &widths, color.then(|| paint(edge.class)), text);
        wrap(&harmless(&edge.reason), width, text);
    }
}

fn cells(edge: &EdgeReport) -> [String; 6] {
    let class = edge.class.as_str();
    let note = match (edge.accepted, edge.may_block) {
        (true, _) => " (accepted)",
        (false, true) => " (may block)",
        (false, false) => "",
    };
    [
        format!("{class}{note}"),
        harmless(&edge.source),
        harmless(&edge.destination),
        format!("{}/{}", edge.port, edge.protocol),
        edge.connections.to_string(),
        edge.last_seen.to_string(),
    ]
}

/// One aligned line; `paint` colours the first cell.
fn line(cells: &[String; 6], widths: &[usize; 6], paint: Option<&str>, text: &mut String) {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        match (column, paint) {
            (0, Some(paint)) => line.push_str(&format!("{paint}{cell}{RESET}{pad}")),
            // Counts line up on the right.
            (4, _) => line.push_str(&format!("{pad}{cell}")),
            (_, _) => line.push_str(&format!("{cell}{pad}")),
        }
        line.push_str("  ");
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn paint(class: EdgeClass) -> &'static str {
    match class {
        EdgeClass::WouldBlock => "\u{1b}[1;31m",
        EdgeClass::NewlyAllowed => "\u{1b}[33m",
        EdgeClass::Uncertain => "\u{1b}[35m",
        EdgeClass::Unchanged => "\u{1b}[32m",
    }
}

/// Appends `words` indented, broken between words at `width`.
fn wrap(words: &str, width: usize, text: &mut String) {
    let room = width.saturating_sub(INDENT.len()).max(REASON_COLUMNS_MIN);
    let mut used = 0;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            text.push('\n');
            used = 0;
        }
        text.push_str(if used == 0 { INDENT } else { " " });
        text.push_str(word);
        used += length + usize::from(used > 0);
    }
    text.push('\n');
}

/// Whether it is verified, and why not.
fn verdict(report: &WhatIfReport) -> String {
    let (open, may) = (report.would_block_unaccepted(), report.may_block_unaccepted());
    let edges =
        |count: u64| if count == 1 { "1 edge".to_owned() } else { format!("{count} edges") };
    // Staging stops nothing.
    let most = |max: u64| match max {
        u64::MAX => "any number".to_owned(),
        most => most.to_string(),
    };
    let too_many = open > report.would_block_max;
    let word = match (report.verified, too_many) {
        (true, _) => "verified",
        (false, true) => "NOT verified (exit code 1)",
        (false, false) => "NOT verified (exit code 3)",
    };
    let mut text = format!("{word}: ");
    match (report.verified, open) {
        (true, 0) => {
            text.push_str("nothing that works would be blocked, but for what was accepted")
        }
        (_, 0) if !too_many => text.push_str("what was recorded does not tell"),
        _ => {
            let most = most(report.would_block_max);
            text.push_str(&format!("{} would be blocked, {most} may be", edges(open)));
        }
    }
    if may > 0 {
        let most = most(report.uncertain_max);
        text.push_str(&format!("; {} uncertain (may block), {most} may be", edges(may)));
    }
    text.push('\n');
    text
}

/// What it means.
fn footer(report: &WhatIfReport, width: usize, text: &mut String) {
    let summary = report.summary;
    text.push_str(&format!(
        "{} would be blocked, {} newly allowed, {} unchanged, {} uncertain\n",
        summary.would_block, summary.newly_allowed, summary.unchanged, summary.uncertain
    ));
    text.push_str(&format!(
        "history {} to {}, {:.1} % complete\n",
        report.window.from,
        report.window.to,
        // Rounded down: 100.0 % is said of nothing less.
        (report.completeness * 1_000.0).floor() / 10.0
    ));
    for name in &report.accepted_unused {
        text.push_str(&format!("accepted but not blocked (misspelt?): {}\n", harmless(name)));
    }
    if report.edges.is_empty() {
        text.push_str("no flow was recorded in this window: nothing was checked\n");
    }
    text.push_str(&verdict(report));
    wrap(
        "New connections are judged. What becomes of connections that are open when policies \
         change is left open by NetworkPolicy v1: an enforcer may keep or cut them.",
        width,
        text,
    );
}

#[cfg(test)]
mod tests {
    use sekisho_model::{Protocol, TimeRange, Timestamp};

    use super::*;
    use crate::Summary;

    fn edge(class: EdgeClass, port: u16, reason: &str) -> EdgeReport {
        EdgeReport {
            source: "shop/cart[Deployment]".to_owned(),
            destination: "shop/redis[StatefulSet]".to_owned(),
            protocol: Protocol::Tcp,
            port,
            class,
            before: "allowed".to_owned(),
            after: "denied".to_owned(),
            decided_by: None,
            connections: u64::from(port),
            first_seen: Timestamp::from_seconds(1_795_392_000),
            last_seen: Timestamp::from_seconds(1_795_395_600),
            reason: reason.to_owned(),
            may_block: class == EdgeClass::Uncertain,
            accepted: false,
        }
    }

    fn report() -> WhatIfReport {
        let from = Timestamp::from_seconds(1_795_392_000);
        WhatIfReport {
            window: TimeRange { from, to: from.plus_seconds(3600) },
            completeness: 0.998,
            summary: Summary { would_block: 1, newly_allowed: 1, unchanged: 1, uncertain: 0 },
            edges: vec![
                edge(EdgeClass::WouldBlock, 6379, "no egress rule of `shop/cart` allows it"),
                edge(EdgeClass::NewlyAllowed, 80, &"many words ".repeat(12)),
                edge(EdgeClass::Unchanged, 443, "not shown"),
            ],
            accepted_unused: vec!["a -> b:1/TCP".to_owned()],
            would_block_max: 0,
            uncertain_max: 0,
            verified: false,
        }
    }

    #[test]
    fn the_table_is_aligned_and_ends_with_what_it_means() {
        insta::assert_snapshot!(table(&report(), 100, false));
    }

    #[test]
    fn a_scan_does_not_bury_the_edge_that_matters() {
        let mut report = report();
        report.edges.extend((1..=500).map(|port| edge(EdgeClass::Uncertain, port, "a scan")));
        let text = table(&report, 100, false);
        assert!(text.lines().count() < 2 * ROWS_PER_CLASS_MAX + 20, "{text}");
        assert!(text.contains("... and 470 more uncertain (all of them with -o json)"), "{text}");
        assert!(text.contains("6379/TCP") && text.contains("80/TCP"), "{text}");
    }

    #[test]
    fn completeness_is_rounded_down() {
        let report = WhatIfReport { completeness: 0.99999, ..report() };
        assert!(table(&report, 100, false).contains("99.9 % complete"));
    }

    #[test]
    fn the_json_holds_the_contract_fields_in_order() {
        insta::assert_snapshot!(json(&report()));
    }

    #[test]
    fn colour_changes_nothing_but_escape_codes() {
        let colored = table(&report(), 100, true);
        assert!(colored.contains("\u{1b}[1;31mwould_block\u{1b}[0m"));
        let mut plain = colored.replace(RESET, "");
        for class in [EdgeClass::WouldBlock, EdgeClass::NewlyAllowed] {
            plain = plain.replace(paint(class), "");
        }
        assert_eq!(plain, table(&report(), 100, false));
    }

    #[test]
    fn no_line_of_a_reason_is_wider_than_the_terminal() {
        for width in [0, 60, 80, 120] {
            let longest = table(&report(), width, false)
                .lines()
                .filter(|line| line.starts_with(INDENT))
                .map(|line| line.chars().count())
                .max();
            assert!(longest.unwrap() <= width.max(REASON_COLUMNS_MIN + INDENT.len()));
        }
    }
}
