//! Seats: who sits where among cells whose number grows, so that few move when it does.
//!
//! Cells are numbered in the order in which a growing rectangle gets them, so a larger rectangle
//! begins with the cells of a smaller one. Each party wishes for cells by consistent hashes of its
//! name (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014), the one of
//! the lowest rank chooses first: the seating depends on the set alone, not on an order of arrival.

/// Wishes that a party has before it takes the next free seat. Seats are at most three quarters
/// taken, so one in 10,000 gets there.
const WISHES: u64 = 32;

/// FNV-1a of `bytes`, with its bits mixed: its upper bits alone are poor for short names.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(fnv)
}

/// The finaliser of splitmix64.
pub(crate) fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A cell in `0..cells` for `key`; if `cells` grows, it stays or is one of the new ones.
pub(crate) fn consistent(mut key: u64, cells: usize) -> usize {
    let cells = u64::try_from(cells).unwrap_or(u64::MAX);
    let (mut last, mut next) = (0_u64, 0_u64);
    while next < cells {
        last = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let jump = u128::from(last + 1) * (1 << 31) / u128::from((key >> 33) + 1);
        next = u64::try_from(jump).unwrap_or(u64::MAX);
    }
    usize::try_from(last).unwrap_or(0)
}

/// The wishes of the party `key` among `cells`, best first.
pub(crate) fn wishes(key: u64, cells: usize) -> impl Iterator<Item = usize> {
    (0..WISHES).map(move |round| {
        consistent(mixed(key.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15))), cells)
    })
}

/// Parties in the order in which they choose: by a hash that is not the one of their wishes.
pub(crate) fn by_rank(keys: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_cached_key(|&party| (keys.get(party).map(|key| mixed(!key)), party));
    order
}

/// A seat below `cells` for each of `keys`, all different. Needs `cells >= keys.len()`.
pub(crate) fn seats(keys: &[u64], cells: usize) -> Vec<usize> {
    let mut taken = vec![false; cells.max(keys.len())];
    let mut result = vec![0; keys.len()];
    // Seats before it are all taken, so that even a full house is seated in one pass.
    let mut first_free = 0;
    for party in by_rank(keys) {
        let Some(key) = keys.get(party) else { continue };
        let wish = wishes(*key, cells).find(|&cell| taken.get(cell) == Some(&false));
        let seat = wish.unwrap_or_else(|| {
            while taken.get(first_free) == Some(&true) {
                first_free += 1;
            }
            first_free
        });
        if let (Some(taken), Some(place)) = (taken.get_mut(seat), result.get_mut(party)) {
            *taken = true;
            *place = seat;
        }
    }
    result
}

/// Columns and rows of a rectangle that grows by one column or row at a time, and stays near the
/// shape `wide : high`.
pub(crate) fn grown(steps: usize, (wide, high): (usize, usize)) -> (usize, usize) {
    let (mut columns, mut rows) = (1, 1);
    for _ in 0..steps {
        if columns * high <= rows * wide && wide >= high || columns * high < rows * wide {
            columns += 1;
        } else {
            rows += 1;
        }
    }
    (columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u32) -> Vec<u64> {
        (0..count).map(|number| hash(format!("shop/service-{number}").as_bytes())).collect()
    }

    #[test]
    fn nobody_sits_on_anothers_seat_even_in_a_full_house() {
        for cells in [400, 500] {
            let mut seats = seats(&keys(400), cells);
            seats.sort_unstable();
            seats.dedup();
            assert_eq!(seats.len(), 400);
            assert!(seats.iter().all(|&seat| seat < cells));
        }
    }

    #[test]
    fn one_more_moves_few() {
        let (before, after) = (seats(&keys(300), 400), seats(&keys(301), 400));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!(moved <= 6, "{moved} moved");
    }

    #[test]
    fn one_more_row_of_cells_draws_few_to_it() {
        let (before, after) = (seats(&keys(270), 380), seats(&keys(270), 400));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!(moved <= 60, "{moved} moved");
    }

    #[test]
    fn a_rectangle_grows_by_one_side_and_keeps_its_shape() {
        for shape in [(1, 1), (1, 3), (6, 1)] {
            let mut before = grown(0, shape);
            for steps in 1..60 {
                let after = grown(steps, shape);
                assert_eq!(after.0 + after.1, before.0 + before.1 + 1);
                before = after;
            }
        }
        assert_eq!(grown(1, (1, 1)), (2, 1));
        assert_eq!(grown(2, (1, 1)), (2, 2));
        let (columns, rows) = grown(20, (1, 3));
        assert!(rows > 2 * columns, "{columns} x {rows}");
    }
}
