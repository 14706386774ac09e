//! Boxes: how large an area is for its nodes, where its seats are, and where boxes stand.
//!
//! Boxes come in whole fields of a coarse grid. A field holds four seats, so a namespace of one
//! workload has room for two more before anything moves.

use std::collections::BTreeMap;

use super::lattice::{by_rank, grown, wishes};

/// Width of a seat: a glyph and its label.
pub(crate) const SEAT_W: i32 = 148;
/// Height of a seat.
pub(crate) const SEAT_H: i32 = 76;
/// Room for the title of a box.
pub(crate) const HEAD: i32 = 30;
/// Room inside a box, beside and below its seats.
pub(crate) const PAD: i32 = 14;
/// Room between boxes.
pub(crate) const GAP: i32 = 32;
const FIELD_W: i32 = 2 * SEAT_W + 2 * PAD + GAP;
const FIELD_H: i32 = 2 * SEAT_H + HEAD + PAD + GAP;

/// Which way a box grows: it stands on the other side of what must not be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// To the right and down, about square.
    Inside,
    /// To the left and down, tall.
    Left,
    /// To the right and up, wide.
    Up,
}

impl Growth {
    fn shape(self) -> (usize, usize) {
        match self {
            Self::Inside => (1, 1),
            Self::Left => (1, 3),
            Self::Up => (5, 1),
        }
    }
}

/// A length that was counted in fields or seats. Saturates far beyond any screen.
pub(crate) fn length(count: usize, unit: i32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX).saturating_mul(unit)
}

/// The size of a box and its seats.
#[derive(Clone, Debug)]
pub(crate) struct Seating {
    /// Fields across.
    pub(crate) across: usize,
    /// Fields down.
    pub(crate) down: usize,
    /// Column and row of each seat, in the order in which a growing box gets them.
    pub(crate) cells: Vec<(usize, usize)>,
}

impl Seating {
    /// The smallest box of which `nodes` nodes take at most three quarters (small ones: all).
    pub(crate) fn holding(nodes: usize, growth: Growth) -> Self {
        let least = nodes.saturating_add(nodes / 4);
        let (mut cells, mut steps) = (Vec::new(), 0);
        let (mut columns, mut rows) = (0, 0);
        loop {
            let (across, down) = grown(steps, growth.shape());
            let (wide, high) = (seats_in(across, FIELD_W, SEAT_W), seats_in(down, FIELD_H, SEAT_H));
            let fresh = |column: usize, row: usize| column >= columns || row >= rows;
            for row in 0..high {
                cells.extend((0..wide).filter(|&c| fresh(c, row)).map(|column| (column, row)));
            }
            (columns, rows) = (wide, high);
            if cells.len() >= least {
                return Self { across, down, cells };
            }
            steps += 1;
        }
    }

    /// Width of the box.
    pub(crate) fn width(&self) -> i32 {
        length(self.across, FIELD_W).saturating_sub(GAP)
    }

    /// Height of the box.
    pub(crate) fn height(&self) -> i32 {
        length(self.down, FIELD_H).saturating_sub(GAP)
    }

    /// The middle of a seat, from the left top of the box.
    pub(crate) fn middle(&self, seat: usize, growth: Growth) -> (i32, i32) {
        let (column, row) = self.cells.get(seat).copied().unwrap_or_default();
        let (x, y) = (length(column, SEAT_W), length(row, SEAT_H));
        let x = match growth {
            Growth::Inside | Growth::Up => PAD + x + SEAT_W / 2,
            Growth::Left => self.width() - PAD - x - SEAT_W / 2,
        };
        let y = match growth {
            Growth::Inside | Growth::Left => HEAD + y + SEAT_H / 2,
            Growth::Up => self.height() - PAD - y - SEAT_H / 2,
        };
        (x, y)
    }
}

fn seats_in(fields: usize, field: i32, seat: i32) -> usize {
    let margins = field - 2 * seat;
    let seats = length(fields, field).saturating_sub(margins) / seat;
    usize::try_from(seats).unwrap_or(0)
}

/// A box to be placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) key: u64,
    pub(crate) across: usize,
    pub(crate) down: usize,
}

impl Parcel {
    /// The parcel of whole fields that holds a box of this size, with its gap.
    pub(crate) fn covering(key: u64, width: i32, height: i32) -> Self {
        let fields = |length: i32, field: i32| {
            usize::try_from(length.saturating_add(field - 1) / field).unwrap_or(1).max(1)
        };
        Self { key, across: fields(width, FIELD_W), down: fields(height, FIELD_H) }
    }
}

/// Boxes on a ground of fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ground {
    /// Column and row of the first field of each parcel.
    pub(crate) places: Vec<(usize, usize)>,
    columns: usize,
    rows: usize,
}

impl Ground {
    /// Left top of a parcel, from the first field's.
    pub(crate) fn corner(&self, parcel: usize) -> (i32, i32) {
        let (column, row) = self.places.get(parcel).copied().unwrap_or_default();
        (length(column, FIELD_W), length(row, FIELD_H))
    }

    /// Width and height of all fields, without the gap behind the last.
    pub(crate) fn size(&self) -> (i32, i32) {
        let (columns, rows) = (self.columns.max(1), self.rows.max(1));
        (length(columns, FIELD_W) - GAP, length(rows, FIELD_H) - GAP)
    }
}

/// Places all parcels, large ones first, on the smallest ground that leaves them some holes.
pub(crate) fn pack(parcels: &[Parcel]) -> Ground {
    let fields: usize = parcels.iter().map(|parcel| parcel.across * parcel.down).sum();
    let least = fields.saturating_add(fields / 4);
    let across = parcels.iter().map(|parcel| parcel.across).max().unwrap_or(1);
    let down = parcels.iter().map(|parcel| parcel.down).max().unwrap_or(1);
    let mut order = by_rank(&parcels.iter().map(|parcel| parcel.key).collect::<Vec<_>>());
    order.sort_by_key(|&parcel| {
        std::cmp::Reverse(parcels.get(parcel).map_or(0, |parcel| parcel.across * parcel.down))
    });
    let mut steps = 0;
    loop {
        let (columns, rows) = grown(steps, Growth::Inside.shape());
        if columns >= across && rows >= down && columns * rows >= least {
            let mut plot = Plot::new(steps);
            if let Some(places) = plot.place_all(parcels, &order) {
                return Ground { places, columns, rows };
            }
        }
        steps += 1;
    }
}

/// A ground while boxes are put on it.
struct Plot {
    columns: usize,
    rows: usize,
    taken: Vec<bool>,
    /// All fields, in the order in which a growing ground gets them.
    fields: Vec<(usize, usize)>,
    /// The fields on which a box of a size may begin: whole multiples of its size, so that boxes of
    /// one size leave no gaps between them. In the order of their last field.
    anchors: BTreeMap<(usize, usize), Vec<(usize, usize)>>,
}

impl Plot {
    fn new(steps: usize) -> Self {
        let mut fields = Vec::new();
        let (mut columns, mut rows) = (0, 0);
        for step in 0..=steps {
            let (wide, high) = grown(step, Growth::Inside.shape());
            for row in 0..high {
                let first = if row < rows { columns } else { 0 };
                fields.extend((first..wide).map(|column| (column, row)));
            }
            (columns, rows) = (wide, high);
        }
        Self { columns, rows, taken: vec![false; columns * rows], fields, anchors: BTreeMap::new() }
    }

    fn place_all(&mut self, parcels: &[Parcel], order: &[usize]) -> Option<Vec<(usize, usize)>> {
        let mut places = vec![(0, 0); parcels.len()];
        for &number in order {
            let parcel = parcels.get(number)?;
            let place = self.place_for(parcel)?;
            self.take(place, parcel);
            *places.get_mut(number)? = place;
        }
        Some(places)
    }

    fn place_for(&mut self, parcel: &Parcel) -> Option<(usize, usize)> {
        let size = (parcel.across, parcel.down);
        if !self.anchors.contains_key(&size) {
            let ends = self.fields.iter().filter(|(column, row)| {
                (column + 1).is_multiple_of(size.0) && (row + 1).is_multiple_of(size.1)
            });
            let begins = ends.map(|(column, row)| (column + 1 - size.0, row + 1 - size.1));
            self.anchors.insert(size, begins.collect());
        }
        let anchors = self.anchors.get(&size)?;
        let wished = wishes(parcel.key, anchors.len())
            .filter_map(|anchor| anchors.get(anchor).copied())
            .find(|&place| self.is_free(place, parcel));
        wished.or_else(|| self.fields.iter().copied().find(|&place| self.is_free(place, parcel)))
    }

    fn covered(&self, (column, row): (usize, usize), parcel: &Parcel) -> Vec<usize> {
        let rows = row..row + parcel.down;
        rows.flat_map(|row| (column..column + parcel.across).map(move |column| (column, row)))
            .map(|(column, row)| row * self.columns + column)
            .collect()
    }

    fn is_free(&self, place: (usize, usize), parcel: &Parcel) -> bool {
        place.0 + parcel.across <= self.columns
            && place.1 + parcel.down <= self.rows
            && self
                .covered(place, parcel)
                .iter()
                .all(|&field| self.taken.get(field) == Some(&false))
    }

    fn take(&mut self, place: (usize, usize), parcel: &Parcel) {
        for field in self.covered(place, parcel) {
            if let Some(taken) = self.taken.get_mut(field) {
                *taken = true;
            }
        }
    }
}
