//! A map as a table for a terminal, grouped by source.

use sekisho_base::harmless;
use sekisho_model::Verdict;

use crate::text::{base_name, bytes, counted, cut, number, percent, sign, width};
use crate::{Map, MapEdge, ProcessPair};

/// Below this many columns nothing readable fits: narrower terminals wrap.
const WIDTH_MIN: usize = 80;
const DESTINATION_WIDTH_MIN: usize = 16;
const PROCESS_WIDTH_MAX: usize = 36;
/// What is left of the first part of the last column, at least.
const FIRST_WIDTH_MIN: usize = 2;
/// With less room than this for names that need it, columns of numbers are left out.
const NAMES_WIDTH_MIN: usize = 60;
const GAPS_MAX: usize = 8;
const HEADS: [&str; 6] = ["PORT", "VERDICT", "CONNS", "SENT", "RECEIVED", "RESETS"];
/// Columns of [`HEADS`] that are numbers, from here on: right-aligned.
const FIRST_NUMBER: usize = 2;
const RESET: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";

struct Row<'a> {
    destination: String,
    cells: [String; 6],
    process: LastColumn,
    edge: &'a MapEdge,
}

/// The last column. What it needs more than there is, its first part gives: the source is named
/// above the rows already.
#[derive(Default)]
struct LastColumn {
    first: String,
    rest: String,
}

impl LastColumn {
    fn width(&self) -> usize {
        width(&self.first).saturating_add(width(&self.rest))
    }

    fn cut(&self, columns: usize) -> String {
        let first = columns.saturating_sub(width(&self.rest)).max(FIRST_WIDTH_MIN);
        let first = cut(&self.first, first.min(columns));
        cut(&format!("{first}{}", self.rest), columns)
    }
}

struct Widths {
    destination: usize,
    cells: [usize; 6],
    process: usize,
}

/// Prints `map`: the completeness first, then per source its edges. It takes at most `width` columns,
/// but at least 80: names are cut, numbers are whole or left out. `color` adds ANSI colours; every
/// verdict is a word and a sign all the same.
#[must_use]
pub fn table(map: &Map, width: usize, color: bool) -> String {
    let mut out = String::new();
    head(map, width, color, &mut out);
    let rows: Vec<Row<'_>> = map.edges.iter().map(row).collect();
    if rows.is_empty() {
        out.push_str("no flows in this window\n");
        return out;
    }
    let widths = widths(&rows, width.max(WIDTH_MIN));
    let mut text = String::new();
    let heads = Line { destination: NAMES_HEAD, cells: HEADS, process: PROCESSES_HEAD.to_owned() };
    line(&heads, &widths, &mut text, str::to_owned);
    out.push_str(&paint(text.trim_end(), DIM, color));
    out.push('\n');
    let mut source = "";
    for row in &rows {
        if row.edge.source != source {
            source = &row.edge.source;
            out.push_str(&paint(&cut(&harmless(source), width.max(WIDTH_MIN)), BOLD, color));
            out.push('\n');
        }
        let style = verdict_style(row.edge.verdict);
        let text = Line {
            destination: &row.destination,
            cells: row.cells.each_ref().map(String::as_str),
            process: row.process.cut(widths.process),
        };
        line(&text, &widths, &mut out, |cell| paint(cell, style, color));
    }
    out
}

fn head(map: &Map, columns: usize, color: bool, out: &mut String) {
    let complete = &map.completeness;
    let text = format!(
        "completeness {} ({} records, {} lost)",
        percent(complete.ratio),
        number(complete.produced),
        number(complete.dropped)
    );
    let window = format!("{} to {}", map.window.from, map.window.to);
    let fits = width(&text) + width(&window) + 2 <= columns.max(WIDTH_MIN);
    out.push_str(&paint(&text, BOLD, color));
    out.push_str(if fits { ", " } else { "\n" });
    out.push_str(&format!("{window}\n"));
    for gap in complete.gaps.iter().take(GAPS_MAX) {
        out.push_str(&format!("  ! {}\n", harmless(gap)));
    }
    let more = complete.gaps.len().saturating_sub(GAPS_MAX);
    if more > 0 {
        out.push_str(&format!("  ! and {more} more gaps (all of them with -o json)\n"));
    }
    let (nodes, edges) = (counted(map.nodes.len(), "node"), counted(map.edges.len(), "edge"));
    out.push_str(&format!("{nodes}, {edges} by {}", map.grouping));
    if map.hidden.edges > 0 || map.hidden.connections > 0 {
        let connections = number(map.hidden.connections);
        let edges = counted(usize::try_from(map.hidden.edges).unwrap_or(usize::MAX), "edge");
        out.push_str(&format!("; hidden: {edges}, {connections} connections"));
    }
    out.push('\n');
}

struct Line<'a> {
    destination: &'a str,
    cells: [&'a str; 6],
    process: String,
}

const NAMES_HEAD: &str = "SOURCE -> DESTINATION";
const PROCESSES_HEAD: &str = "PROCESSES";

fn row(edge: &MapEdge) -> Row<'_> {
    let guess = if edge.direction_inferred { " (direction guessed)" } else { "" };
    let mut verdict = format!("{} {}", sign(edge.verdict), edge.verdict);
    if edge.loss {
        verdict.push('~');
    }
    Row {
        destination: format!("-> {}{guess}", harmless(&edge.destination)),
        cells: [
            format!("{}/{}", edge.port, edge.protocol),
            verdict,
            number(edge.connections),
            bytes(edge.bytes_sent),
            bytes(edge.bytes_received),
            number(edge.resets),
        ],
        process: last_column(edge),
        edge,
    }
}

/// What decided, for a denied edge; else the processes at both ends.
fn last_column(edge: &MapEdge) -> LastColumn {
    if !edge.decided_by.is_empty() {
        return LastColumn { first: String::new(), rest: harmless(&edge.decided_by.join(", ")) };
    }
    let short = |name: &Option<String>| harmless(base_name(name.as_deref().unwrap_or("?")));
    let mut pairs = edge.processes.iter().filter(|pair| !is_part_of_another(pair, &edge.processes));
    let Some(pair) = pairs.next() else { return LastColumn::default() };
    let mut rest = format!(" -> {}", short(&pair.destination));
    let more = pairs.count();
    if more > 0 {
        rest.push_str(&format!(" (+{more})"));
    }
    LastColumn { first: short(&pair.source), rest }
}

/// Whether `pair` lacks a process and another pair knows it: a connection that was refused or that
/// only one agent saw adds nothing to the name of an edge.
fn is_part_of_another(pair: &ProcessPair, pairs: &[ProcessPair]) -> bool {
    let fits = |known: &Option<String>, part: &Option<String>| part.is_none() || known == part;
    let holds = |other: &ProcessPair| {
        fits(&other.source, &pair.source) && fits(&other.destination, &pair.destination)
    };
    pairs.iter().any(|other| other != pair && holds(other))
}

fn widths(rows: &[Row<'_>], total: usize) -> Widths {
    let mut cells = HEADS.map(width);
    let mut destination = width(NAMES_HEAD);
    let mut process = width(PROCESSES_HEAD);
    for row in rows {
        destination = destination.max(width(&row.destination).saturating_add(2));
        process = process.max(row.process.width()).min(PROCESS_WIDTH_MAX);
        for (cell, text) in cells.iter_mut().zip(&row.cells) {
            *cell = (*cell).max(width(text));
        }
    }
    // Each cell has two blanks before it, and so has the last column.
    let free = |cells: &[usize; 6]| {
        let taken: usize = cells.iter().filter(|cell| **cell > 0).map(|cell| cell + 2).sum();
        total.saturating_sub(taken + 2)
    };
    // Names say more than bytes: on a narrow terminal the rightmost numbers give way to them.
    for column in (FIRST_NUMBER + 1..HEADS.len()).rev() {
        if free(&cells) < (destination + process).min(NAMES_WIDTH_MIN)
            && let Some(cell) = cells.get_mut(column)
        {
            *cell = 0;
        }
    }
    let free = free(&cells);
    if destination + process > free {
        process = process.min(free.saturating_sub(destination).max(free / 4));
        destination = destination.min(free.saturating_sub(process)).max(DESTINATION_WIDTH_MIN);
    }
    Widths { destination, cells, process }
}

fn line(line: &Line<'_>, widths: &Widths, out: &mut String, paint: impl Fn(&str) -> String) {
    let indent = if line.cells == HEADS { "" } else { "  " };
    let first = cut(line.destination, widths.destination.saturating_sub(indent.len()));
    let mut text = format!("{indent}{first}");
    pad(&mut text, widths.destination.saturating_sub(indent.len() + width(&first)));
    for (index, (cell, columns)) in line.cells.iter().zip(widths.cells).enumerate() {
        if columns == 0 {
            continue;
        }
        text.push_str("  ");
        let blanks = columns.saturating_sub(width(cell));
        if index >= FIRST_NUMBER {
            pad(&mut text, blanks);
        }
        // Only the verdict is coloured: the rest of a row stays plain.
        if index == 1 {
            text.push_str(&paint(cell))
        } else {
            text.push_str(cell)
        }
        if index < FIRST_NUMBER {
            pad(&mut text, blanks);
        }
    }
    text.push_str("  ");
    text.push_str(&line.process);
    out.push_str(text.trim_end());
    out.push('\n');
}

fn pad(text: &mut String, columns: usize) {
    text.extend(std::iter::repeat_n(' ', columns));
}

fn paint(text: &str, style: &str, color: bool) -> String {
    if color && !style.is_empty() { format!("{style}{text}{RESET}") } else { text.to_owned() }
}

fn verdict_style(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "\u{1b}[32m",
        Verdict::Denied => "\u{1b}[1;31m",
        Verdict::WouldDeny => "\u{1b}[33m",
        Verdict::Unknown => "\u{1b}[36m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_room_the_source_gives_way_before_the_destination() {
        let column =
            LastColumn { first: "prometheus".to_owned(), rest: " -> postgres-exporter".to_owned() };
        for (columns, expected) in [
            (40, "prometheus -> postgres-exporter"),
            (26, "prom… -> postgres-exporter"),
            (20, "p… -> postgres-expo…"),
            (1, "…"),
            (0, ""),
        ] {
            assert_eq!(column.cut(columns), expected);
        }
    }

    #[test]
    fn an_end_that_another_pair_knows_is_not_counted_again() {
        let pair = |source: &str, destination: Option<&str>| ProcessPair {
            source: Some(source.to_owned()),
            destination: destination.map(str::to_owned),
        };
        let pairs = [pair("cart", None), pair("cart", Some("redis")), pair("ad", None)];
        let kept: Vec<_> = pairs.iter().filter(|pair| !is_part_of_another(pair, &pairs)).collect();
        assert_eq!(kept, [&pairs[1], &pairs[2]]);
    }
}
