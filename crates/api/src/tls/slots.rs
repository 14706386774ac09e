//! How many connections there may be: so many altogether, and so many of one source, whatever a
//! source is. One that asks for too much is refused; the others notice nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts who holds how many slots.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    held: Mutex<BTreeMap<K, usize>>,
    all_max: usize,
    one_max: usize,
}

/// A slot, free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot<K: Ord> {
    slots: Arc<Slots<K>>,
    key: Option<K>,
}

impl<K: Ord + Clone> Slots<K> {
    /// At most `all_max` slots, and at most `one_max` of one key.
    pub(crate) fn new(all_max: usize, one_max: usize) -> Arc<Self> {
        Arc::new(Self { held: Mutex::new(BTreeMap::new()), all_max, one_max })
    }

    /// Takes a slot for `key`; None = there is none.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Option<Slot<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = held.values().sum();
        let own = held.get(&key).copied().unwrap_or(0);
        if all >= self.all_max || own >= self.one_max {
            return None;
        }
        held.insert(key.clone(), own + 1);
        Some(Slot { slots: Arc::clone(self), key: Some(key) })
    }

    /// Slots held now.
    pub(crate) fn count(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl<K: Ord> Drop for Slot<K> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut held = self.slots.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                held.remove(&key);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_can_take_its_share_and_not_the_others() {
        let slots = Slots::new(3, 2);
        let (_a, b) = (slots.take("x").unwrap(), slots.take("x").unwrap());
        assert!(slots.take("x").is_none());
        let _c = slots.take("y").unwrap();
        assert!(slots.take("y").is_none(), "all are taken");
        drop(b);
        assert_eq!(slots.count(), 2);
        assert!(slots.take("y").is_some());
        assert!(slots.held.lock().unwrap().len() <= 2, "who holds nothing is forgotten");
    }
}
