//! Things by the id of an edge: a table of open addressing, since an id is a hash already.

use crate::run::EdgeId;

/// Things by id, in order of arrival.
#[derive(Debug)]
pub(crate) struct ById<T> {
    /// Positions in `items` plus 1; 0 is free. Its length is a power of two, twice that of `items`
    /// at least, or 0.
    table: Vec<u32>,
    items: Vec<(EdgeId, T)>,
}

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self { table: Vec::new(), items: Vec::new() }
    }
}

impl<T> ById<T> {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(EdgeId, T)> {
        self.items.iter()
    }

    pub(crate) fn get(&self, id: EdgeId) -> Option<&T> {
        self.item(self.probe(id).1?).map(|(_, item)| item)
    }

    /// What is at a position, with its id.
    pub(crate) fn item(&self, position: usize) -> Option<&(EdgeId, T)> {
        self.items.get(position)
    }

    /// What is at a position.
    pub(crate) fn at(&mut self, position: usize) -> Option<&mut T> {
        self.items.get_mut(position).map(|(_, item)| item)
    }

    /// The position of `id`; what is not there is made.
    pub(crate) fn position(&mut self, id: EdgeId, make: impl FnOnce() -> T) -> usize {
        if self.table.len() < self.items.len().saturating_add(1).saturating_mul(2) {
            self.grow();
        }
        let (slot, found) = self.probe(id);
        found.unwrap_or_else(|| {
            self.items.push((id, make()));
            if let Some(free) = self.table.get_mut(slot) {
                *free = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
            }
            self.items.len() - 1
        })
    }

    /// The place of `id` in the table, or the free one for it; and its position.
    fn probe(&self, id: EdgeId) -> (usize, Option<usize>) {
        let mask = self.table.len().wrapping_sub(1);
        let mut slot = usize::try_from(id.0 & mask as u128).unwrap_or_default();
        // Half of the table is free, so the search ends.
        loop {
            let position = match self.table.get(slot) {
                Some(number) if *number > 0 => *number as usize - 1,
                Some(_) | None => return (slot, None),
            };
            if self.items.get(position).is_some_and(|(of, _)| *of == id) {
                return (slot, Some(position));
            }
            slot = slot.wrapping_add(1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = self.items.len().saturating_add(16).saturating_mul(4).next_power_of_two();
        self.table = vec![0; size];
        for position in 0..self.items.len() {
            let Some((id, _)) = self.items.get(position) else { continue };
            let (slot, _) = self.probe(*id);
            if let Some(free) = self.table.get_mut(slot) {
                *free = u32::try_from(position + 1).unwrap_or(u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_also_for_ids_that_share_their_low_bits(
            ids in prop::collection::vec((0..40_u128, prop::sample::select(vec![1_u32, 64, 120])), 0..300),
        ) {
            let (mut table, mut plain) = (ById::default(), BTreeMap::new());
            for (number, (id, shift)) in ids.into_iter().enumerate() {
                let id = EdgeId(id << shift);
                let position = table.position(id, || number);
                let first = *plain.entry(id).or_insert(number);
                prop_assert_eq!(table.item(position), Some(&(id, first)));
            }
            prop_assert_eq!(table.len(), plain.len());
            for (id, number) in &plain {
                prop_assert_eq!(table.get(*id), Some(number));
            }
            prop_assert_eq!(table.get(EdgeId(u128::MAX)), None);
        }
    }
}
