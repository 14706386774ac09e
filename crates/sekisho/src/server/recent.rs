//! What came last, in memory, for `observe --follow`.

use std::collections::VecDeque;

/// A ring with a cursor that never repeats while the server runs.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    held: VecDeque<T>,
    /// Number ever added; the cursor after the newest.
    added: u64,
    capacity: usize,
}

/// Part of a ring.
#[derive(Debug)]
pub(crate) struct Page<'a, T> {
    /// Ask with this next time.
    pub(crate) cursor: u64,
    /// Fell out of memory between the asked cursor and the first given.
    pub(crate) missed: u64,
    /// Oldest first.
    pub(crate) items: Vec<&'a T>,
}

impl<T> Recent<T> {
    /// Makes an empty ring of at most `capacity`.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { held: VecDeque::new(), added: 0, capacity }
    }

    /// Appends, dropping the oldest beyond capacity.
    pub(crate) fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        for item in items {
            if self.held.len() >= self.capacity {
                self.held.pop_front();
            }
            self.held.push_back(item);
            self.added += 1;
        }
    }

    /// Ever added.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }

    /// What was added before number `before`, newest first, each with its number: how many were added
    /// before it.
    pub(crate) fn before(&self, before: u64) -> impl Iterator<Item = (u64, &T)> {
        let numbers = (0..self.added).rev();
        numbers.zip(self.held.iter().rev()).filter(move |(number, _)| *number < before)
    }

    /// In memory now.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// In memory at most.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// At most `count` after `cursor`; a cursor of `u64::MAX` gives none and the newest one.
    pub(crate) fn page(&self, cursor: u64, count: usize) -> Page<'_, T> {
        let oldest = self.added - self.held.len() as u64;
        if cursor >= self.added {
            return Page { cursor: self.added, missed: 0, items: Vec::new() };
        }
        let from = cursor.max(oldest);
        let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let items: Vec<&T> = self.held.iter().skip(skip).take(count).collect();
        Page { cursor: from + items.len() as u64, missed: from - cursor, items }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(recent: &Recent<u64>, cursor: u64, count: usize) -> (Vec<u64>, u64, u64) {
        let page = recent.page(cursor, count);
        (page.items.into_iter().copied().collect(), page.cursor, page.missed)
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let mut recent = Recent::new(10);
        recent.extend(0..5);
        assert_eq!(page(&recent, 0, 3), (vec![0, 1, 2], 3, 0));
        assert_eq!(page(&recent, 3, 3), (vec![3, 4], 5, 0));
        assert_eq!(page(&recent, 5, 3), (vec![], 5, 0));
        assert_eq!(page(&recent, u64::MAX, 3), (vec![], 5, 0));
    }

    #[test]
    fn pages_back_in_time_stay_what_they_are_while_more_comes() {
        let mut recent = Recent::new(4);
        recent.extend(10..14);
        let two = |recent: &Recent<u64>, before| -> Vec<(u64, u64)> {
            recent.before(before).take(2).map(|(number, item)| (number, *item)).collect()
        };
        assert_eq!(two(&recent, u64::MAX), [(3, 13), (2, 12)]);
        recent.extend(14..15);
        assert_eq!(two(&recent, 2), [(1, 11)], "the oldest has gone");
        assert_eq!(two(&recent, u64::MAX), [(4, 14), (3, 13)]);
    }

    #[test]
    fn the_oldest_give_way_and_a_reader_is_told_how_many_it_missed() {
        let mut recent = Recent::new(3);
        recent.extend(0..2);
        recent.extend(2..7);
        assert_eq!(page(&recent, 1, 9), (vec![4, 5, 6], 7, 3));
        assert_eq!(recent.added(), 7);
    }
}
