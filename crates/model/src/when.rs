//! Points in time as people say them: `15m` (ago), `24h`, `14d`, or RFC 3339.

use std::str::FromStr;

use crate::Timestamp;

/// A point in time, absolute or as a distance back from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So many seconds ago.
    Ago(u64),
    /// That moment.
    At(Timestamp),
}

/// A text is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a duration (90s, 15m, 24h, 14d) nor an RFC 3339 time")]
pub struct WhenError(String);

impl When {
    /// The moment, `now` being now.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(seconds) => now.minus_seconds(seconds),
            Self::At(time) => time,
        }
    }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || WhenError(text.to_owned());
        if text.contains('T') {
            return text.parse().map(Self::At).map_err(|_error| wrong());
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
        Ok(Self::Ago(count.saturating_mul(unit_s)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_are_read() {
        assert_eq!("15m".parse(), Ok(When::Ago(900)));
        assert_eq!("14d".parse(), Ok(When::Ago(14 * 86_400)));
        assert!(matches!("2026-11-23T00:00:00Z".parse(), Ok(When::At(_))));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "15", "m", "1.5h", "yesterday", "-5m"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }
}
