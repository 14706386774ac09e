//! Counts of right answers, and the wrong ones by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Misses that are named per kind; the rest is counted.
const MISSES_SHOWN_MAX: usize = 40;

/// Right answers of each kind.
#[derive(Debug, Default)]
pub(super) struct Scores {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Debug, Default)]
struct Kind {
    right: usize,
    all: usize,
    misses: Vec<String>,
}

impl Scores {
    /// Counts an answer; `why` says what is wrong with it, None = right.
    pub(super) fn add(&mut self, kind: &str, case: &str, why: Option<String>) {
        let kind = self.kinds.entry(kind.to_owned()).or_default();
        kind.all += 1;
        match why {
            None => kind.right += 1,
            Some(why) => kind.misses.push(format!("{case}: {why}")),
        }
    }

    /// Every wrong answer, by kind.
    pub(super) fn misses(&self) -> String {
        let mut text = String::new();
        for (name, kind) in self.kinds.iter().filter(|(_, kind)| !kind.misses.is_empty()) {
            let _infallible = writeln!(text, "\n{name}: {} wrong", kind.misses.len());
            for miss in kind.misses.iter().take(MISSES_SHOWN_MAX) {
                let _infallible = writeln!(text, "  {miss}");
            }
            let more = kind.misses.len().saturating_sub(MISSES_SHOWN_MAX);
            if more > 0 {
                let _infallible = writeln!(text, "  and {more} more");
            }
        }
        text
    }

    /// Right answers of all.
    pub(super) fn table(&self) -> String {
        let width = self.kinds.keys().map(String::len).max().unwrap_or_default();
        let mut text = String::new();
        for (name, kind) in &self.kinds {
            let _infallible = writeln!(text, "{name:width$}  {:>6} / {}", kind.right, kind.all);
        }
        text
    }

    /// Kinds with fewer right answers than `floor` says.
    pub(super) fn below(&self, floor: &BTreeMap<String, usize>) -> Vec<String> {
        let right = |name: &String| self.kinds.get(name).map_or(0, |kind| kind.right);
        let fallen = floor.iter().filter(|(name, least)| right(name) < **least);
        fallen.map(|(name, least)| format!("{name}: {} of at least {least}", right(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_below_its_floor_or_missing_has_fallen() {
        let mut scores = Scores::default();
        scores.add("lists", "a", None);
        scores.add("lists", "b", Some("differs".to_owned()));
        let floor = |least| BTreeMap::from([("lists".to_owned(), least)]);
        assert!(scores.below(&floor(1)).is_empty());
        assert_eq!(scores.below(&floor(2)), ["lists: 1 of at least 2"]);
        let other = BTreeMap::from([("diffs".to_owned(), 1)]);
        assert_eq!(scores.below(&other), ["diffs: 0 of at least 1"]);
        assert_eq!(scores.table(), "lists       1 / 2\n");
        assert!(scores.misses().contains("b: differs"));
    }
}
