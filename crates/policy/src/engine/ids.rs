//! Numbers in place of values: equal values get equal numbers.

use std::hash::Hash;

use indexmap::IndexSet;

/// An index as a number; what does not fit is the largest one, which is never given out.
pub(crate) fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Values and their numbers, counted from 0.
#[derive(Clone, Debug)]
pub(crate) struct Interner<T> {
    values: IndexSet<T, foldhash::fast::FixedState>,
}

impl<T: Hash + Eq> Default for Interner<T> {
    fn default() -> Self {
        Self { values: IndexSet::default() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    /// The number of a value.
    pub(crate) fn intern(&mut self, value: T) -> u32 {
        id(self.values.insert_full(value).0)
    }

    pub(crate) fn value(&self, number: u32) -> Option<&T> {
        self.values.get_index(number as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }
}
