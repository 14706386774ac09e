//! Numbers in place of values: equal values get equal numbers.

use std::hash::Hash;

use indexmap::{Equivalent, IndexSet};

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

    /// The number of a value that is known.
    pub(crate) fn get<Q>(&self, value: &Q) -> Option<u32>
    where
        Q: ?Sized + Hash + Equivalent<T>,
    {
        self.values.get_index_of(value).map(id)
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

impl Interner<String> {
    /// The number of a text; copies it only if it is new.
    pub(crate) fn of_text(&mut self, text: &str) -> u32 {
        match self.get(text) {
            Some(known) => known,
            None => self.intern(text.to_owned()),
        }
    }
}

impl<T: Hash + Eq + Clone> Interner<Vec<T>> {
    /// The number of a list; copies it only if it is new.
    pub(crate) fn of_list(&mut self, list: &[T]) -> u32 {
        match self.get(list) {
            Some(known) => known,
            None => self.intern(list.to_vec()),
        }
    }
}
