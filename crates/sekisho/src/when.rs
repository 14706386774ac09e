//! Points in time on the command line: `15m` (ago), `24h`, `14d`, or RFC 3339.

use sekisho_model::{TimeRange, Timestamp};

/// A point in time, absolute or as a distance back from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// So many seconds ago.
    Ago(u64),
    /// That moment.
    At(Timestamp),
}

impl When {
    /// The moment, `now` being now.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(seconds) => now.minus_seconds(seconds),
            Self::At(time) => time,
        }
    }
}

/// Reads a point in time.
pub(crate) fn parse(text: &str) -> Result<When, String> {
    let wrong =
        || format!("`{text}` is neither a duration (90s, 15m, 24h, 14d) nor an RFC 3339 time");
    if text.contains('T') {
        return text.parse().map(When::At).map_err(|_error| wrong());
    }
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_s = match text.strip_prefix(digits).unwrap_or_default() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_error| wrong())?;
    Ok(When::Ago(count.saturating_mul(unit_s)))
}

/// An earlier window, to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    from: Option<When>,
    to: Option<When>,
}

impl Window {
    /// The range, `now` being now; it ends at `start` unless it says otherwise.
    pub(crate) fn before(self, start: Timestamp, now: Timestamp) -> TimeRange {
        let from = self.from.map_or(Timestamp::EPOCH, |from| from.at(now));
        TimeRange { from, to: self.to.map_or(start, |to| to.at(now)) }
    }
}

/// Reads `FROM..TO`, `FROM` or `all`.
pub(crate) fn window(text: &str) -> Result<Window, String> {
    if text == "all" {
        return Ok(Window { from: None, to: None });
    }
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (from, Some(parse(to)?)),
        None => (text, None),
    };
    Ok(Window { from: Some(parse(from)?), to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_are_read() {
        assert_eq!(parse("15m"), Ok(When::Ago(900)));
        assert_eq!(parse("14d"), Ok(When::Ago(14 * 86_400)));
        assert!(matches!(parse("2026-11-23T00:00:00Z"), Ok(When::At(_))));
    }

    #[test]
    fn an_earlier_window_ends_where_the_later_one_begins_unless_it_says_otherwise() {
        let (start, now) = (Timestamp::from_seconds(96_400), Timestamp::from_seconds(100_000));
        let range = |text: &str| window(text).map(|window| window.before(start, now));
        let seconds = |from, to| TimeRange {
            from: Timestamp::from_seconds(from),
            to: Timestamp::from_seconds(to),
        };
        assert_eq!(range("all"), Ok(seconds(0, 96_400)));
        assert_eq!(range("2h"), Ok(seconds(92_800, 96_400)));
        assert_eq!(range("24h..23h"), Ok(seconds(13_600, 17_200)));
        for text in ["", "2h..", "..2h", "everything"] {
            assert!(range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "15", "m", "1.5h", "yesterday", "-5m"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
