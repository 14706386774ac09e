//! Points in time on the command line: `15m` (ago), `24h`, `14d`, or RFC 3339.

use sekisho_model::Timestamp;

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
    fn anything_else_is_refused() {
        for text in ["", "15", "m", "1.5h", "yesterday", "-5m"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
