//! Numbers and hostile names as text: units, grouping, width, escaping.

use sekisho_model::Verdict;

/// Bytes with a binary unit, three significant digits or so: `0 B`, `1.5 KiB`, `12 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut name = "B";
    for unit in UNITS {
        value /= 1024.0;
        name = unit;
        // 1023.95 would print as 1024.0: the next unit reads better.
        if value < 1023.95 {
            break;
        }
    }
    if value < 10.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// A number with its noun.
pub(crate) fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// A number with a comma between thousands.
pub(crate) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A ratio as a percentage that never rounds up to a lie: 0.99999 is `99.99 %`, not `100 %`.
pub(crate) fn percent(ratio: f64) -> String {
    if ratio >= 1.0 {
        return "100 %".to_owned();
    }
    let hundredths = (ratio.max(0.0) * 10_000.0).floor() / 100.0;
    format!("{hundredths} %")
}

/// The sign of a verdict: readable without colour, one column wide.
pub(crate) fn sign(verdict: Verdict) -> char {
    match verdict {
        Verdict::Allowed => '+',
        Verdict::Denied => 'x',
        Verdict::WouldDeny => '!',
        Verdict::Unknown => '?',
    }
}

/// Columns that `c` takes on a terminal: 0 for combining marks, 2 for East Asian wide ones.
pub(crate) fn width_of(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Columns that `text` takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// `text` cut to at most `columns` columns, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let mut result = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(width_of(c)) else { break };
        left = rest;
        result.push(c);
    }
    if columns > 0 {
        result.push('…');
    }
    result
}

/// The last part of an absolute path; the whole text if there is none.
pub(crate) fn base_name(path: &str) -> &str {
    match path.rsplit('/').next() {
        Some(base) if !base.is_empty() => base,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let figures: Vec<String> =
            [0, 1023, 1024, 10_240, 1_048_575, u64::MAX].into_iter().map(bytes).collect();
        assert_eq!(figures, ["0 B", "1023 B", "1.0 KiB", "10 KiB", "1.0 MiB", "16 EiB"]);
        assert_eq!([number(0), number(999), number(1_234_567)], ["0", "999", "1,234,567"]);
    }

    #[test]
    fn a_loss_is_never_rounded_away() {
        assert_eq!([percent(1.0), percent(0.999_999), percent(0.0)], ["100 %", "99.99 %", "0 %"]);
    }

    #[test]
    fn a_cut_counts_columns_and_not_letters() {
        assert_eq!(cut("日本語のなまえ", 7), "日本語…");
        assert_eq!(width("日本"), 4);
    }
}
