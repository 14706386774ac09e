//! Sums per edge and day over a range: what map, recommend and verify ask for.
//!
//! A segment that lies wholly in the range is read by its edges alone; the hours or minutes of
//! others only where a day or an hour of them is cut. Keys, which are most of a segment, are read
//! once for each edge, however many segments it is in.

use std::sync::Arc;

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use sekisho_model::{EdgeDay, EdgeKey, EdgeStats, TimeRange, Timestamp};

use crate::by_id::ById;
use crate::clickhouse::DaySum;
use crate::columns::{COUNTS, EDGE, FLAGS, HOUR, MINUTE, SEEN};
use crate::decode::{EdgeHead, HEAD};
use crate::layout::Layout;
use crate::parties::Shared;
use crate::reader::{Runs, builder};
use crate::run::{EdgeId, hour_bit};
use crate::segment::{Part, Segment};
use crate::sums::overlaps;
use crate::{SegmentError, decode};

const SECONDS_PER_HOUR: u64 = 3_600;
const SECONDS_PER_DAY: u64 = 24 * SECONDS_PER_HOUR;

/// Keys held at most between questions: some hundred bytes each.
const KEYS_MAX: usize = 200_000;

/// Keys that were read before: they fill most of a segment, and the same ones are in all.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: ById<Arc<EdgeKey>>,
    shared: Shared,
}

impl Keys {
    /// Begins anew when there are too many.
    fn bound(&mut self) {
        if self.keys.len() > KEYS_MAX || self.shared.is_full() {
            *self = Self::default();
        }
    }
}

/// Sums by edge and day.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    edges: ById<Total>,
}

#[derive(Debug, Default)]
struct Total {
    /// None until it was read.
    key: Option<Arc<EdgeKey>>,
    /// Days in order of arrival: one or few.
    days: Vec<(Timestamp, u32, EdgeStats)>,
}

impl Totals {
    fn position(&mut self, id: EdgeId) -> usize {
        self.edges.position(id, Total::default)
    }

    fn add_at(&mut self, position: usize, day: Timestamp, hours: u32, stats: &EdgeStats) {
        let Some(edge) = self.edges.at(position) else { return };
        match edge.days.iter_mut().rev().find(|(at, ..)| *at == day) {
            Some((_, bits, sum)) => {
                *bits |= hours;
                sum.add(stats);
            }
            None => edge.days.push((day, hours, stats.clone())),
        }
    }

    /// Whether the key of an edge must be read; it is taken from those that are known if it can be.
    fn needs_key(&mut self, position: usize, keys: &Keys) -> bool {
        let Some((id, Total { key: None, .. })) = self.edges.item(position) else { return false };
        let known = keys.keys.get(*id).cloned();
        let is_unknown = known.is_none();
        if let Some(edge) = self.edges.at(position) {
            edge.key = known;
        }
        is_unknown
    }

    fn set_key(&mut self, position: usize, key: &Arc<EdgeKey>) {
        if let Some(edge) = self.edges.at(position) {
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

    /// Adds a day of an edge.
    pub(crate) fn add_day(&mut self, sum: &DaySum) {
        let position = self.position(sum.id);
        self.set_key(position, &sum.key);
        self.add_at(position, sum.day, sum.hours, &sum.stats);
    }

    /// Adds what a segment has in `range`.
    pub(crate) fn add_segment(
        &mut self,
        segment: &Segment,
        range: TimeRange,
        keys: &mut Keys,
    ) -> Result<(), SegmentError> {
        match segment.layout {
            Layout::Current if segment.rows == 0 => Ok(()),
            Layout::Current => self.add_edges(segment, range, keys),
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

    fn add_edges(
        &mut self,
        segment: &Segment,
        range: TimeRange,
        keys: &mut Keys,
    ) -> Result<(), SegmentError> {
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
        self.read_keys(segment, &places, keys)
    }

    /// Reads the keys of the rows at whose edges none is known yet.
    fn read_keys(
        &mut self,
        segment: &Segment,
        places: &[Option<usize>],
        keys: &mut Keys,
    ) -> Result<(), SegmentError> {
        keys.bound();
        let mut is_wanted =
            |place: &Option<usize>| place.is_some_and(|at| self.needs_key(at, keys));
        let wanted: Vec<bool> = places.iter().map(&mut is_wanted).collect();
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
            for key in decode::keys(&batch?, segment.layout, &mut keys.shared)? {
                let Some((Some(position), _)) = rows.next() else { continue };
                self.set_key(*position, &key);
                if let Some((id, _)) = self.edges.item(*position) {
                    keys.keys.position(*id, || key);
                }
            }
        }
        Ok(())
    }

    /// One row for each edge and day: by edge, in no order that means something, then by day.
    pub(crate) fn into_rows(self) -> Vec<EdgeDay> {
        let mut edges: Vec<&(EdgeId, Total)> = self.edges.iter().collect();
        // The same whatever segments it came from.
        edges.sort_unstable_by_key(|(id, _)| *id);
        let mut rows = Vec::with_capacity(edges.len());
        for (_, edge) in edges {
            let Some(key) = &edge.key else { continue };
            let from = rows.len();
            rows.extend(edge.days.iter().map(|(day, hours, stats)| EdgeDay {
                key: Arc::clone(key),
                day: *day,
                hours: *hours,
                stats: stats.clone(),
            }));
            if let Some(days) = rows.get_mut(from..) {
                days.sort_unstable_by_key(|row| row.day);
            }
        }
        rows
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
