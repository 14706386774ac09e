//! Sets of small numbers, one bit each.

/// A set of numbers below a size that is fixed when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bits {
    words: Vec<u64>,
    size: usize,
}

impl Bits {
    /// Nothing, of numbers below `size`.
    pub(crate) fn none(size: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)], size }
    }

    /// All numbers below `size`.
    pub(crate) fn all(size: usize) -> Self {
        Self { words: vec![u64::MAX; size.div_ceil(64)], size }.trimmed()
    }

    /// Clears what lies above the size.
    fn trimmed(mut self) -> Self {
        let above = self.words.len() * 64 - self.size;
        if let Some(last) = self.words.last_mut() {
            *last &= u64::MAX >> above;
        }
        self
    }

    /// Adds a number; one that is not below the size is left out.
    pub(crate) fn insert(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(crate) fn union(&mut self, other: &Self) {
        for (own, other) in self.words.iter_mut().zip(&other.words) {
            *own |= other;
        }
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        for (own, other) in self.words.iter_mut().zip(&other.words) {
            *own &= other;
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (own, other) in self.words.iter_mut().zip(&other.words) {
            *own &= !other;
        }
    }

    /// All numbers below the size that are not in the set.
    pub(crate) fn complement(mut self) -> Self {
        for word in &mut self.words {
            *word = !*word;
        }
        self.trimmed()
    }

    /// The numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0_u32..).flat_map(|(word, index)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(index * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complement_stays_below_the_size() {
        for size in [0, 1, 63, 64, 65, 130] {
            let all: Vec<u32> = Bits::none(size).complement().iter().collect();
            assert_eq!(all.len(), size);
            assert_eq!(Bits::all(size), Bits::none(size).complement());
            assert_eq!(Bits::all(size).complement(), Bits::none(size));
        }
    }

    #[test]
    fn numbers_come_back_ascending() {
        let mut set = Bits::none(200);
        for number in [199, 0, 63, 64, 128, 300] {
            set.insert(number);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 128, 199]);
        assert!(set.contains(64) && !set.contains(65) && !set.contains(300));
    }
}
