//! Reports for spreadsheets (RFC 4180).
//!
//! Lines that begin with `#` say what the report is of; then each sheet has its names in one line and
//! its rows below, with an empty line between sheets. Names come from workloads, and a spreadsheet
//! runs what begins like a formula: such cells get an apostrophe in front (OWASP, CSV injection).

use sekisho_api::ReportLanguage;

use super::document::{Head, lines};
use super::sheet::{Cell, Sheet};
use super::words::W;

/// The report as CSV, with CRLF and a byte order mark, without which spreadsheets take it for Latin-1.
pub(super) fn csv(head: &Head, sheets: &[Sheet], language: ReportLanguage) -> String {
    let mut text = String::from('\u{feff}');
    let title = W::kind(head.report).of(language).to_owned();
    line(&mut text, [format!("# {title}")]);
    for (name, value) in lines(head, language) {
        line(&mut text, [format!("# {name}"), guarded(&value)]);
    }
    for sheet in sheets {
        text.push_str("\r\n");
        line(&mut text, [format!("# {}", sheet.title.of(language))]);
        if let Some(why) = sheet.withheld {
            line(&mut text, [format!("# {}", why.of(language))]);
            continue;
        }
        if let Some(total) = sheet.total {
            let (cut, of) = (W::Cut.of(language), W::Of.of(language));
            line(&mut text, [format!("# {cut} {} {of} {total}", sheet.rows.len())]);
        }
        line(&mut text, sheet.columns.iter().map(|word| word.of(language).to_owned()));
        for row in &sheet.rows {
            line(&mut text, row.iter().map(|cell| of_cell(cell, language)));
        }
    }
    text
}

fn line(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().map(|cell| quoted(&cell)).collect();
    text.push_str(&cells.join(","));
    text.push_str("\r\n");
}

fn of_cell(cell: &Cell, language: ReportLanguage) -> String {
    let text = cell.text(language, "; ");
    match cell {
        Cell::Text(_) | Cell::Lines(_) => guarded(&text),
        Cell::Number(_) | Cell::Time(_) | Cell::Word(_) | Cell::Share(..) | Cell::Empty => text,
    }
}

/// `text` so that no spreadsheet takes it for a formula, nor a reader for a line of the head.
fn guarded(text: &str) -> String {
    let first = text.trim_start().chars().next();
    let text = sekisho_base::harmless(text);
    match first {
        Some(
            '=' | '+' | '-' | '@' | '|' | '%' | '#' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}'
            | '\u{ff20}',
        ) => {
            format!("'{text}")
        }
        Some(_) | None => text,
    }
}

/// In quotes, where something in it would else end the cell.
fn quoted(text: &str) -> String {
    let is_plain = !text.contains([',', '"', '\r', '\n', ';']) && text.trim() == text;
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_formula_is_text() {
        for hostile in
            ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "|x", "\u{ff1d}1", "# x"]
        {
            let text = guarded(hostile);
            assert!(text.starts_with('\''), "{text}");
        }
        for plain in ["shop/cart[Deployment]", "10.0.0.1", "", "a=b", "/usr/bin/x-1"] {
            assert_eq!(guarded(plain), plain);
        }
    }

    #[test]
    fn a_cell_ends_where_it_ends() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(quoted("a\nb"), "\"a\nb\"");
        assert_eq!(quoted("plain"), "plain");
    }
}
