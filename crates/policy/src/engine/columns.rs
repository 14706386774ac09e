//! Other ends that no rule of one direction tells apart, as blocks.

use crate::engine::bits::Bits;
use crate::engine::ids::id;

/// Items in blocks: two items are in one block if every set holds both or neither.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// Block of each item.
    pub(crate) block_of: Vec<u32>,
    /// Items in each block.
    sizes: Vec<u32>,
    /// Scratch: members of the set at hand, by block.
    hits: Vec<u32>,
    /// Scratch: where the members of a block that is split go.
    moved: Vec<u32>,
}

impl Columns {
    /// All items in one block.
    pub(crate) fn new(items: usize) -> Self {
        Self {
            block_of: vec![0; items],
            sizes: vec![id(items)],
            hits: vec![0],
            moved: vec![u32::MAX],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }

    pub(crate) fn block(&self, item: u32) -> u32 {
        self.block_of.get(item as usize).copied().unwrap_or_default()
    }

    /// Splits the blocks that the set cuts; returns (old, new) for each.
    pub(crate) fn split(&mut self, set: &Bits) -> Vec<(u32, u32)> {
        let mut touched = Vec::new();
        for item in set.iter() {
            let block = self.block(item);
            if let Some(hits) = self.hits.get_mut(block as usize) {
                if *hits == 0 {
                    touched.push(block);
                }
                *hits += 1;
            }
        }
        let mut splits = Vec::new();
        for block in touched {
            let at = block as usize;
            let hits = self.hits.get_mut(at).map(std::mem::take).unwrap_or_default();
            let Some(size) = self.sizes.get_mut(at) else { continue };
            if hits == *size {
                continue;
            }
            *size -= hits;
            let new = id(self.sizes.len());
            self.sizes.push(hits);
            self.hits.push(0);
            self.moved.push(u32::MAX);
            if let Some(moved) = self.moved.get_mut(at) {
                *moved = new;
            }
            splits.push((block, new));
        }
        if !splits.is_empty() {
            self.move_items(set, &splits);
        }
        splits
    }

    fn move_items(&mut self, set: &Bits, splits: &[(u32, u32)]) {
        for item in set.iter() {
            let Some(block) = self.block_of.get_mut(item as usize) else { continue };
            let new = self.moved.get(*block as usize).copied().unwrap_or(u32::MAX);
            if new != u32::MAX {
                *block = new;
            }
        }
        for (block, _) in splits {
            if let Some(moved) = self.moved.get_mut(*block as usize) {
                *moved = u32::MAX;
            }
        }
    }

    /// The blocks that a set is made of; it must be one that was split by.
    pub(crate) fn blocks(&self, set: &Bits) -> Vec<u32> {
        let mut blocks: Vec<u32> = Vec::new();
        for item in set.iter() {
            let block = self.block(item);
            // Neighbours are mostly in one block: what is not kept need not be sorted.
            if blocks.last() != Some(&block) {
                blocks.push(block);
            }
        }
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[u32]) -> Bits {
        let mut set = Bits::none(8);
        items.iter().for_each(|item| set.insert(*item));
        set
    }

    #[test]
    fn items_stay_together_until_a_set_tells_them_apart() {
        let mut columns = Columns::new(8);
        assert_eq!(columns.split(&set(&[0, 1, 2, 3])), [(0, 1)]);
        assert_eq!(columns.split(&set(&[0, 1, 2, 3])), []);
        assert_eq!(columns.split(&set(&[3, 4])).len(), 2);
        assert_eq!(columns.len(), 4);
        assert_eq!(columns.block(0), columns.block(2));
        assert_ne!(columns.block(2), columns.block(3));
        assert_ne!(columns.block(4), columns.block(5));
        assert_eq!(columns.blocks(&set(&[0, 1, 2, 3])).len(), 2);
        assert_eq!(columns.blocks(&set(&[3, 4])).len(), 2);
    }
}
