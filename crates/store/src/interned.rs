//! Things that repeat, numbered in order of arrival: found by their address if they were met there
//! lately, else by value.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// Places of the table of addresses, a power of two.
const LATELY: usize = 1 << 14;
/// Multiplier of a mixing step: 2^64 divided by the golden ratio.
const GOLDEN: usize = 0x9e37_79b9_7f4a_7c15;

/// The place of an address, or of several mixed, in a table of `places`, a power of two.
pub(crate) fn place(words: impl IntoIterator<Item = usize>, places: usize) -> usize {
    let mix = |mixed: usize, word: usize| (mixed ^ word).wrapping_mul(GOLDEN).rotate_left(29);
    words.into_iter().fold(0, mix) & places.wrapping_sub(1)
}

/// Numbers by hash: a table of open addressing. The order of what comes out of it never matters.
#[derive(Debug, Default)]
pub(crate) struct Index {
    hasher: RandomState,
    /// Hash and number plus 1; 0 is free. The length is a power of two, twice that of `used` at
    /// least, or 0.
    table: Vec<(u64, u32)>,
    used: usize,
}

impl Index {
    pub(crate) fn hash(&self, value: &impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    /// The number under `hash` that `is_it`.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.table.len().wrapping_sub(1);
        let mut at = usize::try_from(hash & mask as u64).unwrap_or_default();
        loop {
            match self.table.get(at) {
                Some((of, number)) if *number > 0 => {
                    if *of == hash && is_it(number - 1) {
                        return Some(number - 1);
                    }
                }
                Some(_) | None => return None,
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// Adds `number`, which is less than [`u32::MAX`], under `hash`.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        if self.table.len() < self.used.saturating_add(1).saturating_mul(2) {
            let size = self.used.saturating_add(16).saturating_mul(4).next_power_of_two();
            for (hash, number) in std::mem::replace(&mut self.table, vec![(0, 0); size]) {
                if number > 0 {
                    self.put(hash, number);
                }
            }
        }
        self.used = self.used.saturating_add(1);
        self.put(hash, number.saturating_add(1));
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mask = self.table.len().wrapping_sub(1);
        let mut at = usize::try_from(hash & mask as u64).unwrap_or_default();
        while let Some(place) = self.table.get_mut(at) {
            if place.1 == 0 {
                *place = (hash, number);
                return;
            }
            at = at.wrapping_add(1) & mask;
        }
    }
}

/// Values by number.
#[derive(Debug)]
pub(crate) struct Interned<T> {
    items: Vec<Arc<T>>,
    index: Index,
    /// Numbers by address. What `items` holds stays alive, so its address means what it meant.
    lately: Vec<u32>,
}

impl<T: Hash + Eq> Interned<T> {
    pub(crate) fn new() -> Self {
        Self { items: Vec::new(), index: Index::default(), lately: vec![u32::MAX; LATELY] }
    }

    /// The number of `value`, which is less than [`u32::MAX`]; equal values have the same.
    pub(crate) fn number(&mut self, value: &Arc<T>) -> u32 {
        let place = place([Arc::as_ptr(value).addr()], LATELY);
        if let Some(number) = self.lately.get(place)
            && self.items.get(*number as usize).is_some_and(|item| Arc::ptr_eq(item, value))
        {
            return *number;
        }
        let hash = self.index.hash(value);
        let same = |number: u32| self.items.get(number as usize).is_some_and(|item| item == value);
        let number = match self.index.find(hash, same) {
            Some(number) => {
                // It is met at this address from now on.
                if let Some(item) = self.items.get_mut(number as usize) {
                    *item = Arc::clone(value);
                }
                number
            }
            None => {
                // No memory holds 2^32 of them.
                let number = u32::try_from(self.items.len()).unwrap_or(u32::MAX - 1);
                self.items.push(Arc::clone(value));
                self.index.insert(hash, number);
                number
            }
        };
        if let Some(lately) = self.lately.get_mut(place) {
            *lately = number;
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_values_have_one_number_wherever_they_are_in_memory(
            values in prop::collection::vec((0..60_u8, any::<bool>()), 0..400),
        ) {
            let mut interned = Interned::new();
            let mut first: Vec<Arc<u8>> = Vec::new();
            for (value, is_shared) in values {
                let known = first.iter().position(|known| **known == value);
                let value = match known.filter(|_| is_shared).and_then(|at| first.get(at)) {
                    Some(known) => Arc::clone(known),
                    None => Arc::new(value),
                };
                let expected = known.unwrap_or(first.len());
                prop_assert_eq!(interned.number(&value) as usize, expected);
                if known.is_none() {
                    first.push(value);
                }
            }
        }
    }
}
