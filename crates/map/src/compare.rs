//! Two maps side by side: which edges are new, gone, or decided otherwise.

use std::collections::BTreeMap;

use sekisho_base::harmless;
use sekisho_model::{Protocol, TimeRange, Verdict};
use serde::{Serialize, Serializer};

use crate::text::{counted, cut, number, percent, width};
use crate::{Map, MapEdge};

/// Below this many columns nothing readable fits: narrower terminals wrap.
const WIDTH_MIN: usize = 80;
const RESET: &str = "\u{1b}[0m";

/// What a map has that an earlier one of the same grouping had not, and the other way round.
///
/// Edges are told apart by source, destination, protocol and port.
#[derive(Clone, Debug, PartialEq)]
pub struct MapDiff<'a> {
    /// The earlier map.
    pub before: &'a Map,
    /// The later map.
    pub after: &'a Map,
    /// Edges of the later map only, one for each verdict; in its order.
    pub added: Vec<&'a MapEdge>,
    /// Edges of the earlier map only; in its order.
    pub removed: Vec<&'a MapEdge>,
    /// Edges of both whose verdicts differ: those before, those after.
    pub changed: Vec<Changed<'a>>,
    /// Edges of both with the same verdicts.
    pub unchanged: usize,
}

/// An edge that was decided otherwise; one edge for each verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed<'a> {
    /// In the earlier map.
    pub before: Vec<&'a MapEdge>,
    /// In the later map.
    pub after: Vec<&'a MapEdge>,
}

type Place<'a> = (&'a str, &'a str, Protocol, u16);

fn by_place(map: &Map) -> BTreeMap<Place<'_>, Vec<&MapEdge>> {
    let mut places: BTreeMap<Place<'_>, Vec<&MapEdge>> = BTreeMap::new();
    for edge in &map.edges {
        let place = (edge.source.as_str(), edge.destination.as_str(), edge.protocol, edge.port);
        places.entry(place).or_default().push(edge);
    }
    places
}

fn verdicts(edges: &[&MapEdge]) -> Vec<Verdict> {
    edges.iter().map(|edge| edge.verdict).collect()
}

/// Compares two maps of the same grouping.
#[must_use]
pub fn compare<'a>(before: &'a Map, after: &'a Map) -> MapDiff<'a> {
    let (mut old, new) = (by_place(before), by_place(after));
    let mut diff = MapDiff {
        before,
        after,
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        unchanged: 0,
    };
    for (place, edges) in new {
        match old.remove(&place) {
            None => diff.added.extend(edges),
            Some(known) if verdicts(&known) == verdicts(&edges) => diff.unchanged += 1,
            Some(known) => diff.changed.push(Changed { before: known, after: edges }),
        }
    }
    diff.removed = old.into_values().flatten().collect();
    diff
}

impl MapDiff<'_> {
    /// Whether both maps have the same edges with the same verdicts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// What is said of each of the two maps.
#[derive(Serialize)]
struct Side {
    window: TimeRange,
    completeness: f64,
}

impl Side {
    fn of(map: &Map) -> Self {
        Self { window: map.window, completeness: map.completeness.ratio }
    }
}

impl Serialize for MapDiff<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'a> {
            before: Side,
            after: Side,
            added: &'a [&'a MapEdge],
            removed: &'a [&'a MapEdge],
            changed: &'a [Changed<'a>],
            unchanged: usize,
        }
        let form = Form {
            before: Side::of(self.before),
            after: Side::of(self.after),
            added: &self.added,
            removed: &self.removed,
            changed: &self.changed,
            unchanged: self.unchanged,
        };
        form.serialize(serializer)
    }
}

/// Prints `diff` as one JSON object, indented, ending with a line break.
///
/// # Errors
/// Only if serde_json fails, which it does for no value of this type: all keys are strings.
pub fn diff_json(diff: &MapDiff<'_>) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(diff)?;
    text.push('\n');
    Ok(text)
}

/// One line of the table.
struct Row {
    mark: char,
    names: String,
    /// Port, verdict, connections, when; the last two go where the names do not fit.
    cells: [String; 4],
}

/// With less room than this for names that need it, cells at the end are left out.
const NAMES_WIDTH_MIN: usize = 52;
/// Cells that are always shown.
const CELLS_MIN: usize = 2;
/// The cell of a number: right-aligned.
const NUMBER: usize = 2;

/// Prints `diff` for a terminal of `width` columns, at least 80: both windows and how complete they
/// are, then a line for each edge, marked `+` (new), `-` (gone) or `~` (decided otherwise). `color`
/// adds ANSI colours.
#[must_use]
pub fn diff_table(diff: &MapDiff<'_>, width: usize, color: bool) -> String {
    let mut out = String::new();
    for (name, map) in [("before", diff.before), ("after ", diff.after)] {
        let complete = percent(map.completeness.ratio);
        let TimeRange { from, to } = map.window;
        out.push_str(&format!("{name} {from} to {to}, completeness {complete}\n"));
    }
    let counts = [
        (diff.added.len(), "added"),
        (diff.removed.len(), "removed"),
        (diff.changed.len(), "changed"),
        (diff.unchanged, "unchanged"),
    ];
    let counts: Vec<String> =
        counts.iter().map(|(count, word)| format!("{} {word}", number(*count as u64))).collect();
    let edges = counted(diff.added.len() + diff.removed.len() + diff.changed.len(), "difference");
    out.push_str(&format!("{edges} by {}: {}\n", diff.after.grouping, counts.join(", ")));
    if diff.before.completeness.ratio < 1.0 && !diff.added.is_empty() {
        out.push_str("  ! what is new may have been there before, unseen: that window has gaps\n");
    }
    if diff.after.completeness.ratio < 1.0 && !diff.removed.is_empty() {
        out.push_str("  ! what is gone may still be there, unseen: the later window has gaps\n");
    }
    lines(&rows(diff), width.max(WIDTH_MIN), color, &mut out);
    out
}

fn rows(diff: &MapDiff<'_>) -> Vec<Row> {
    let row = |mark: char, edge: &MapEdge, verdict: String| {
        let seen = match mark {
            '-' => format!("last seen {}", edge.last_seen),
            _ => format!("first seen {}", edge.first_seen),
        };
        Row {
            mark,
            names: format!("{} -> {}", harmless(&edge.source), harmless(&edge.destination)),
            cells: [
                format!("{}/{}", edge.port, edge.protocol),
                verdict,
                format!("{} conns", number(edge.connections)),
                seen,
            ],
        }
    };
    let words = |edges: &[&MapEdge]| {
        edges.iter().map(|edge| edge.verdict.to_string()).collect::<Vec<_>>().join("+")
    };
    let added = diff.added.iter().map(|edge| row('+', edge, edge.verdict.to_string()));
    let removed = diff.removed.iter().map(|edge| row('-', edge, edge.verdict.to_string()));
    let changed = diff.changed.iter().filter_map(|changed| {
        let verdict = format!("{} -> {}", words(&changed.before), words(&changed.after));
        Some(row('~', changed.after.first()?, verdict))
    });
    added.chain(removed).chain(changed).collect()
}

fn lines(rows: &[Row], columns: usize, color: bool, out: &mut String) {
    let mut widths = [0; 4];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(&row.cells) {
            *widest = width(cell).max(*widest);
        }
    }
    let longest = rows.iter().map(|row| width(&row.names)).max().unwrap_or_default();
    let room = |cells: usize| {
        let taken: usize = widths.iter().take(cells).map(|width| width + 2).sum();
        columns.saturating_sub(taken + 2)
    };
    let wanted = longest.min(NAMES_WIDTH_MIN);
    let cells = (CELLS_MIN..=widths.len()).rev().find(|cells| room(*cells) >= wanted);
    let cells = cells.unwrap_or(CELLS_MIN);
    let names = room(cells).min(longest);
    let fill = |text: &str, to: usize| " ".repeat(to.saturating_sub(width(text)));
    for row in rows {
        let text = cut(&row.names, names);
        let mut line = format!("{} {text}{}", row.mark, fill(&text, names));
        for (index, (cell, width)) in row.cells.iter().zip(widths).take(cells).enumerate() {
            let space = fill(cell, width);
            line.push_str("  ");
            line.push_str(&if index == NUMBER { space + cell } else { format!("{cell}{space}") });
        }
        let style = match row.mark {
            '+' => "\u{1b}[32m",
            '-' => "\u{1b}[31m",
            _ => "\u{1b}[33m",
        };
        let line = line.trim_end();
        out.push_str(&if color { format!("{style}{line}{RESET}") } else { line.to_owned() });
        out.push('\n');
    }
}
