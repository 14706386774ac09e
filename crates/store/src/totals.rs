//! Sums per edge and day over a range: what map, recommend and verify ask for.
//!
//! A segment that lies wholly in the range is read by its edges alone; the hours or minutes of
//! others only where a day or an hour of them is cut. Keys, which are most of a segment, are read
//! once for each edge, however many segments it is in.

use std::sync::Arc;

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use sekisho_model::{EdgeDay, EdgeKey, EdgeStats, TimeRange, Timestamp};

use crate::columns::{COUNTS, EDGE, FLAGS, HOUR, MINUTE, SEEN};
use crate::decode::{EdgeHead, HEAD};
use crate::layout::Layout;
use crate::reader::{Runs, builder};
use crate::run::{EdgeId, hour_bit};
use crate::segment::{Part, Segment};
use crate::sums::overlaps;
use crate::{SegmentError, decode};

const SECONDS_PER_HOUR: u64 = 3_600;
const SECONDS_PER_DAY: u64 = 24 * SECONDS_PER_HOUR;

/// Edges by id, with a table of open addressing: an id is a hash already.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Positions in `edges` plus 1; 0 is free. Its length is a power of two, twice that of `edges`
    /// at least.
    table: Vec<u32>,
    edges: Vec<Total>,
}

#[derive(Debug)]
struct Total {
    id: EdgeId,
    /// None until it was read.
    key: Option<Arc<EdgeKey>>,
    /// Days in order of arrival: one or few.
    days: Vec<(Timestamp, u32, EdgeStats)>,
}

impl Totals {
    /// The position of an edge, which is new if its key is not known.
    fn position(&mut self, id: EdgeId) -> usize {
        if self.table.len() < self.edges.len().saturating_add(1).saturating_mul(2) {
            self.grow();
        }
        let (slot, found) = self.probe(id);
        if let Some(position) = found {
            return position;
        }
        self.edges.push(Total { id, key: None, days: Vec::new() });
        if let Some(free) = self.table.get_mut(slot) {
            *free = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
        }
        self.edges.len() - 1
    }

    /// Where `id` is, or the free place for it.
    fn probe(&self, id: EdgeId) -> (usize, Option<usize>) {
        let mask = self.table.len().wrapping_sub(1);
        // The table has room, so the search ends.
        let mut slot = usize::try_from(id.0 & mask as u128).unwrap_or_default();
        loop {
            let position = match self.table.get(slot) {
                Some(number) if *number > 0 => *number as usize - 1,
                _ => return (slot, None),
            };
            if self.edges.get(position).is_some_and(|edge| edge.id == id) {
                return (slot, Some(position));
            }
            slot = slot.wrapping_add(1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = self.edges.len().saturating_add(16).saturating_mul(4).next_power_of_two();
        self.table = vec![0; size];
        for position in 0..self.edges.len() {
            let Some(id) = self.edges.get(position).map(|edge| edge.id) else { continue };
            let (slot, _) = self.probe(id);
            if let Some(free) = self.table.get_mut(slot) {
                *free = u32::try_from(position + 1).unwrap_or(u32::MAX);
            }
        }
    }

    fn add_at(&mut self, position: usize, day: Timestamp, hours: u32, stats: &EdgeStats) {
        let Some(edge) = self.edges.get_mut(position) else { return };
        match edge.days.iter_mut().rev().find(|(at, ..)| *at == day) {
            Some((_, bits, sum)) => {
                *bits |= hours;
                sum.add(stats);
            }
            None => edge.days.push((day, hours, stats.clone())),
        }
    }

    fn needs_key(&self, position: usize) -> bool {
        self.edges.get(position).is_some_and(|edge| edge.key.is_none())
    }

    fn set_key(&mut self, position: usize, key: &Arc<EdgeKey>) {
        if let Some(edge) = self.edges.get_mut(position) {
            edge.key.get_or_insert_with(|| Arc::clone(key));
        }
    }

    /// Adds a minute of an edge.
    pub(crate) fn add(
        &mut self,
        id: EdgeId,
        key: &Arc<EdgeKey>,
        minute: Timestamp,
        stats: &EdgeStats,
    ) {
        let position = self.position(id);
        self.set_key(position, key);
        self.add_at(position, minute.day(), hour_bit(minute), stats);
    }

    /// Adds what a segment has in `range`.
    pub(crate) fn add_segment(
        &mut self,
        segment: &Segment,
        range: TimeRange,
    ) -> Result<(), SegmentError> {
        match segment.layout {
            Layout::Current if segment.rows == 0 => Ok(()),
            Layout::Current => self.add_edges(segment, range),
            Layout::ByMinute | Layout::WithoutCluster => self.add_runs(segment, range),
        }
    }

    fn add_runs(&mut self, segment: &Segment, range: TimeRange) -> Result<(), SegmentError> {
        let mut runs = Runs::of(segment)?;
        while let Some(run) = runs.next()? {
            for (minute, stats) in run.minutes.iter().filter(|row| overlaps(row.0, range)) {
                self.add(run.id, &run.key, *minute, stats);
            }
        }
        Ok(())
    }

    fn add_edges(&mut self, segment: &Segment, range: TimeRange) -> Result<(), SegmentError> {
        let is_inside = segment.is_inside(range);
        let mut cut = Cut::default();
        let mut columns: Vec<&str> = HEAD.to_vec();
        columns.extend(COUNTS.iter().chain(&SEEN).chain(&FLAGS));
        let mut places = Vec::new();
        for batch in builder(segment, Part::Edges, Some(&columns))?.build()? {
            let batch = batch?;
            let sums = decode::sums(&batch)?;
            for (row, head) in decode::heads(&batch)?.into_iter().enumerate() {
                let whole = is_inside || is_within(head.day, SECONDS_PER_DAY, range);
                let position = if whole {
                    let position = self.position(head.id);
                    self.add_at(position, head.day, head.hours, &sums(row));
                    Some(position)
                } else {
                    None
                };
                cut.push(head, position, range);
                places.push(position);
            }
        }
        cut.read(segment, range, (self, &mut places))?;
        self.read_keys(segment, &places)
    }

    /// Reads the keys of the rows at whose edges none is known yet.
    fn read_keys(
        &mut self,
        segment: &Segment,
        places: &[Option<usize>],
    ) -> Result<(), SegmentError> {
        let is_wanted = |place: &Option<usize>| place.is_some_and(|at| self.needs_key(at));
        let wanted: Vec<bool> = places.iter().map(is_wanted).collect();
        if !wanted.contains(&true) {
            return Ok(());
        }
        let selectors = wanted.chunk_by(|one, next| one == next).map(|rows| match rows.first() {
            Some(true) => RowSelector::select(rows.len()),
            Some(false) | None => RowSelector::skip(rows.len()),
        });
        let selection: RowSelection = selectors.collect::<Vec<_>>().into();
        let mut rows = places.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
        for batch in builder(segment, Part::Edges, None)?.with_row_selection(selection).build()? {
            for key in decode::keys(&batch?, segment.layout)? {
                if let Some((Some(position), _)) = rows.next() {
                    self.set_key(*position, &key);
                }
            }
        }
        Ok(())
    }

    /// One row for each edge and day, by edge in no order that means something, then by day.
    pub(crate) fn to_rows(&self) -> Vec<EdgeDay> {
        let mut edges: Vec<&Total> =
            self.edges.iter().filter(|edge| !edge.days.is_empty()).collect();
        // The same whatever segments it came from.
        edges.sort_unstable_by_key(|edge| edge.id);
        let days = |edge: &&Total| {
            let mut days = edge.days.clone();
            days.sort_unstable_by_key(|(day, ..)| *day);
            let key = edge.key.clone();
            days.into_iter().filter_map(move |(day, hours, stats)| {
                Some(EdgeDay { key: key.clone()?, day, hours, stats })
            })
        };
        edges.iter().flat_map(days).collect()
    }
}

/// Whether the `seconds` from `start` lie in `range`, but for a part of their first minute.
fn is_within(start: Timestamp, seconds: u64, range: TimeRange) -> bool {
    overlaps(start, range) && overlaps(start.plus_seconds(seconds - 60), range)
}

/// The rows of edges whose day is cut by the range.
#[derive(Debug, Default)]
struct Cut {
    heads: Vec<(EdgeHead, bool)>,
    /// Whether some day is cut, and some hour.
    days: bool,
    hours: bool,
}

impl Cut {
    fn push(&mut self, head: EdgeHead, whole: Option<usize>, range: TimeRange) {
        let is_cut = whole.is_none()
            && head.day < range.to
            && head.day.plus_seconds(SECONDS_PER_DAY) > range.from;
        self.days |= is_cut;
        self.hours |= is_cut && cut_hours(head, range) != 0;
        self.heads.push((head, is_cut));
    }

    /// Adds what of the cut days is in the range: by hours where there is such a file, and by
    /// minutes what they do not tell.
    fn read(
        &self,
        segment: &Segment,
        range: TimeRange,
        (totals, places): (&mut Totals, &mut [Option<usize>]),
    ) -> Result<(), SegmentError> {
        let by_hours = segment.part(Part::Hours).exists();
        let mut add = |edge: u32, time: Timestamp, stats: &dyn Fn() -> EdgeStats| {
            let number = edge as usize;
            let (Some((head, _)), Some(place)) = (self.heads.get(number), places.get_mut(number))
            else {
                return Err(SegmentError::Metadata(EDGE));
            };
            let position = *place.get_or_insert_with(|| totals.position(head.id));
            totals.add_at(position, head.day, hour_bit(time), &stats());
            Ok(())
        };
        if self.days && by_hours {
            let rows = |head: &EdgeHead| head.hours.count_ones();
            for batch in self.selected(segment, (Part::Hours, HOUR), rows)? {
                decode::counts(&batch?, HOUR, |edge, hour, stats| {
                    if is_within(hour, SECONDS_PER_HOUR, range) {
                        add(edge, hour, stats)
                    } else {
                        Ok(())
                    }
                })?;
            }
        }
        if self.days && (self.hours || !by_hours) {
            let rows = |head: &EdgeHead| head.minutes;
            for batch in self.selected(segment, (Part::Minutes, MINUTE), rows)? {
                decode::counts(&batch?, MINUTE, |edge, minute, stats| {
                    let told = by_hours && is_within(minute.hour(), SECONDS_PER_HOUR, range);
                    if overlaps(minute, range) && !told { add(edge, minute, stats) } else { Ok(()) }
                })?;
            }
        }
        Ok(())
    }

    /// The rows of the cut edges in a file where each edge has as many as `rows` says.
    fn selected(
        &self,
        segment: &Segment,
        (part, time): (Part, &'static str),
        rows: impl Fn(&EdgeHead) -> u32,
    ) -> Result<parquet::arrow::arrow_reader::ParquetRecordBatchReader, SegmentError> {
        let selectors = self.heads.iter().map(|(head, is_cut)| {
            let count = rows(head) as usize;
            if *is_cut { RowSelector::select(count) } else { RowSelector::skip(count) }
        });
        let mut columns = vec![EDGE, time];
        columns.extend(COUNTS.iter().chain(&SEEN).chain(&FLAGS));
        let selection: RowSelection = selectors.collect::<Vec<_>>().into();
        let builder = builder(segment, part, Some(&columns))?.with_batch_size(COUNT_BATCH_ROWS);
        Ok(builder.with_row_selection(selection).build()?)
    }
}

const COUNT_BATCH_ROWS: usize = 65_536;

/// Bits of the hours of an edge's day that `range` cuts.
fn cut_hours(head: EdgeHead, range: TimeRange) -> u32 {
    let hours = (0..24_u64).filter(|hour| head.hours & (1 << hour) != 0).filter(|hour| {
        let start = head.day.plus_seconds(hour * SECONDS_PER_HOUR);
        let touches = start < range.to && start.plus_seconds(SECONDS_PER_HOUR) > range.from;
        touches && !is_within(start, SECONDS_PER_HOUR, range)
    });
    hours.fold(0, |bits, hour| bits | 1 << hour)
}
