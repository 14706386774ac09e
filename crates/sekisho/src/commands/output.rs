//! Where answers go: standard output, as wide as the terminal, coloured only for people.

use std::io::{IsTerminal, Write};

use anyhow::Context;

const WIDTH_WITHOUT_TERMINAL: usize = 160;

/// Whether answers may carry colour: a terminal, and no NO_COLOR (no-color.org).
pub(crate) fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Columns of the terminal.
pub(crate) fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return WIDTH_WITHOUT_TERMINAL;
    }
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let size = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    told.or_else(size).unwrap_or(WIDTH_WITHOUT_TERMINAL)
}

/// Prints `text`. A closed pipe (`| head`) ends the program quietly.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            #[expect(clippy::exit, reason = "the reader has seen enough; that is no failure")]
            std::process::exit(0)
        }
        other => other.context("write the answer"),
    }
}

/// Prints `value` as indented JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("encode the answer")?;
    text.push('\n');
    print(&text)
}

/// Tells people something beside the answer, on standard error.
pub(crate) fn note(text: &str) {
    // Nobody to tell if standard error is closed.
    writeln!(std::io::stderr(), "{text}").ok();
}

/// `1 file`, `2 files`.
pub(crate) fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Aligns columns: the first row is the head; a column is right-aligned if `right` says so.
pub(crate) fn columns(rows: &[Vec<String>], right: &[bool]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..count)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            let value = cell(row, column);
            let pad = " ".repeat(width.saturating_sub(value.chars().count()));
            let is_right = right.get(column).copied().unwrap_or(false);
            let padded = if is_right { pad + &value } else { value + &pad };
            line.push_str(&padded);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_stand_right() {
        let rows = [["node", "events"], ["a", "12345"], ["long-name", "7"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        let expected = "node       events\na           12345\nlong-name       7\n";
        assert_eq!(columns(&rows, &[false, true]), expected);
    }
}
