//! Gutters: gives each vertical line between two columns a track of its own where they would meet,
//! in an order with few crossings.

use crate::place::{GRID, Trunk};

/// Above this many lines in one gutter the order is left as it is: swapping is quadratic.
const ORDERED_MAX: usize = 400;
const PASSES: usize = 16;

/// The track of each trunk of one gutter, from the left, and how many tracks there are.
pub(crate) fn tracks(trunks: &[Trunk]) -> (Vec<usize>, usize) {
    let mut order: Vec<(usize, &Trunk)> = trunks.iter().enumerate().collect();
    if order.len() <= ORDERED_MAX {
        uncross(&mut order);
    }
    let mut tracks = vec![0; trunks.len()];
    let mut placed: Vec<(usize, (i32, i32))> = Vec::new();
    for (index, trunk) in order {
        let (top, bottom) = trunk.span();
        let meets = |span: &(i32, i32)| top - GRID < span.1 && span.0 < bottom + GRID;
        let taken = placed.iter().filter(|(_, span)| meets(span)).map(|(track, _)| track + 1);
        let track = taken.max().unwrap_or(0);
        placed.push((track, (top, bottom)));
        if let Some(place) = tracks.get_mut(index) {
            *place = track;
        }
    }
    let count = tracks.iter().max().map_or(0, |last| last + 1);
    (tracks, count)
}

/// Swaps neighbours as long as that removes crossings.
fn uncross(order: &mut [(usize, &Trunk)]) {
    for _ in 0..PASSES {
        let mut changed = false;
        for at in 1..order.len() {
            let Some([(_, left), (_, right)]) = order.get(at - 1..=at) else { continue };
            if crossings(right, left) < crossings(left, right) {
                order.swap(at - 1, at);
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

/// Crossings between two trunks if `left` is left of `right`.
fn crossings(left: &Trunk, right: &Trunk) -> usize {
    let inside = |y: &&i32, span: (i32, i32)| span.0 < **y && **y < span.1;
    let going_right = left.right.iter().filter(|y| inside(y, right.span())).count();
    let coming_left = right.left.iter().filter(|y| inside(y, left.span())).count();
    going_right + coming_left
}
