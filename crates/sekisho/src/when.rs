//! Windows of time on the command line.

use sekisho_model::{TimeRange, Timestamp, When, WhenError};

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
pub(crate) fn window(text: &str) -> Result<Window, WhenError> {
    if text == "all" {
        return Ok(Window { from: None, to: None });
    }
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (from, Some(to.parse()?)),
        None => (text, None),
    };
    Ok(Window { from: Some(from.parse()?), to })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
