//! Values over time: half-open intervals that never overlap.

use sekisho_model::Timestamp;

/// A value and when it held: from `from`, until before `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span<T> {
    pub(crate) from: Timestamp,
    /// [`Timestamp::MAX`] while it holds.
    pub(crate) to: Timestamp,
    pub(crate) value: T,
}

/// The history of one thing, oldest first. Only the last span may be open.
#[derive(Clone, Debug)]
pub(crate) struct Spans<T>(Vec<Span<T>>);

impl<T> Default for Spans<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Spans<T> {
    /// Ends the open span, if any, and begins one with `value`; not before the previous end.
    /// Gives the time at which a span was ended, if one that lasted was.
    pub(crate) fn open(&mut self, from: Timestamp, value: T) -> Option<Timestamp> {
        let ended = self.close(from);
        let from = from.max(self.0.last().map_or(Timestamp::EPOCH, |span| span.to));
        // Most things never change, and there are very many: not the room for four.
        if self.0.is_empty() {
            self.0.reserve_exact(1);
        }
        self.0.push(Span { from, to: Timestamp::MAX, value });
        ended
    }

    /// Ends the open span, if any. One that would have no length is removed, and gives None.
    pub(crate) fn close(&mut self, at: Timestamp) -> Option<Timestamp> {
        let span = self.0.last_mut().filter(|span| span.to == Timestamp::MAX)?;
        if at <= span.from {
            self.0.pop();
            return None;
        }
        span.to = at;
        Some(at)
    }

    /// The value that holds now.
    pub(crate) fn current(&self) -> Option<&T> {
        self.0.last().filter(|span| span.to == Timestamp::MAX).map(|span| &span.value)
    }

    pub(crate) fn current_mut(&mut self) -> Option<&mut T> {
        self.0.last_mut().filter(|span| span.to == Timestamp::MAX).map(|span| &mut span.value)
    }

    /// The value that held at `at`.
    pub(crate) fn at(&self, at: Timestamp) -> Option<&T> {
        let span = self.0.get(self.after(at).checked_sub(1)?)?;
        (at < span.to).then_some(&span.value)
    }

    /// The value at `at`; else the one that began or ended at most `slack_s` away, the later first.
    pub(crate) fn near(&self, at: Timestamp, slack_s: u64) -> Option<&T> {
        self.at(at).or_else(|| {
            let next = self.after(at);
            let soon = self.0.get(next).filter(|span| span.from <= at.plus_seconds(slack_s));
            let past = next.checked_sub(1).and_then(|index| self.0.get(index));
            let past = past.filter(|span| at <= span.to.plus_seconds(slack_s));
            soon.or(past).map(|span| &span.value)
        })
    }

    /// The value at `at`; before the first span the first, in a gap or after the last the one
    /// before. For things whose name is never reused.
    pub(crate) fn nearest(&self, at: Timestamp) -> Option<&T> {
        let index = self.after(at).saturating_sub(1);
        self.0.get(index).map(|span| &span.value)
    }

    /// Index of the first span that begins after `at`.
    fn after(&self, at: Timestamp) -> usize {
        self.0.partition_point(|span| span.from <= at)
    }

    /// Removes the oldest span if it has ended.
    pub(crate) fn forget_oldest(&mut self) {
        if self.0.first().is_some_and(|span| span.to != Timestamp::MAX) {
            self.0.remove(0);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All spans, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Span<T>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn history() -> Spans<char> {
        let mut spans = Spans::default();
        spans.open(s(10), 'a');
        spans.open(s(20), 'b');
        spans.close(s(30));
        spans.open(s(50), 'c');
        spans
    }

    #[test]
    fn a_span_begins_at_its_from_and_ends_before_its_to() {
        let at = |seconds| history().at(s(seconds)).copied();
        assert_eq!((at(9), at(10), at(19), at(20)), (None, Some('a'), Some('a'), Some('b')));
        assert_eq!((at(29), at(30), at(49), at(50)), (Some('b'), None, None, Some('c')));
        assert_eq!(at(9_999), Some('c'));
    }

    #[test]
    fn slack_reaches_only_into_gaps() {
        let near = |seconds| history().near(s(seconds), 2).copied();
        assert_eq!((near(7), near(8), near(20)), (None, Some('a'), Some('b')));
        assert_eq!((near(32), near(33), near(47), near(48)), (Some('b'), None, None, Some('c')));
    }

    #[test]
    fn nearest_always_answers() {
        let nearest = |seconds| history().nearest(s(seconds)).copied();
        assert_eq!((nearest(1), nearest(40), nearest(99)), (Some('a'), Some('b'), Some('c')));
    }

    #[test]
    fn a_span_without_length_leaves_no_trace() {
        let mut spans = Spans::default();
        assert_eq!(spans.open(s(10), 'a'), None);
        assert_eq!(spans.open(s(10), 'b'), None);
        assert_eq!(spans.open(s(5), 'c'), None, "time went back");
        assert_eq!(spans.iter().count(), 1);
        assert_eq!(spans.at(s(10)), Some(&'c'));
    }
}
