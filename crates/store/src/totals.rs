//! Sums per edge and day over a range: what map, recommend and verify ask for.
//!
//! A segment that lies wholly in the range is read by its edges alone; the hours or minutes of
//! others only where a day or an hour of them is cut. Keys, which are most of a segment, are read
//! once for each edge, however many segments it is in.

use std::sync::Arc;

use sekisho_model::{EdgeDay, EdgeKey, EdgeStats, TimeRange, Timestamp};

use crate::by_id::ById;
use crate::clickhouse::DaySum;
use crate::columns::{COUNTS, EDGE, FLAGS, HOUR, MINUTE, SEEN};
use crate::decode::{EdgeHead, HEAD};
use crate::keys::Keys;
use crate::layout::Layout;
use crate::pick::{self, Picked};
use crate::reader::Runs;
use crate::run::{EdgeId, hour_bit};
use crate::segment::{Part, Segment};
use crate::sums::overlaps;
use crate::{SegmentError, Wanted, decode};

const SECONDS_PER_HOUR: u64 = 3_600;
const SECONDS_PER_DAY: u64 = 24 * SECONDS_PER_HOUR;

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

    /// Adds what a segment has of what is wanted; [`Self::into_rows`] leaves out what only may be.
    pub(crate) fn add_segment(
        &mut self,
        segment: &Segment,
        wanted: &Wanted,
        keys: &mut Keys,
    ) -> Result<(), SegmentError> {
        match segment.layout {
            Layout::Current if segment.rows == 0 => Ok(()),
            Layout::Current => self.add_edges(segment, wanted, keys),
            Layout::ByMinute | Layout::WithoutCluster => self.add_runs(segment, wanted.range),
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
        wanted: &Wanted,
        keys: &mut Keys,
    ) -> Result<(), SegmentError> {
        let range = wanted.range;
        let Some(picked) = Picked::of(segment, &wanted.filter)? else { return Ok(()) };
        let is_inside = segment.is_inside(range);
        let mut columns: Vec<&str> = HEAD.to_vec();
        columns.extend(COUNTS.iter().chain(&SEEN).chain(&FLAGS));
        let mut numbers = picked.numbers();
        let mut rows = Vec::new();
        for batch in picked.edges(segment, Some(&columns))?.build()? {
            let batch = batch?;
            let sums = decode::sums(&batch)?;
            for (row, head) in decode::heads(&batch)?.into_iter().enumerate() {
                let whole = is_inside || is_within(head.day, SECONDS_PER_DAY, range);
                let place = whole.then(|| {
                    let position = self.position(head.id);
                    self.add_at(position, head.day, head.hours, &sums(row));
                    position
                });
                let number = numbers.next().ok_or(SegmentError::Metadata(EDGE))?;
                rows.push(Row { number, head, place });
            }
        }
        Cut::of(&rows, range).read(segment, range, (self, &mut rows))?;
        self.find_keys(segment, &rows, keys)
    }

    /// Finds the keys of the rows at whose edges none is known yet.
    fn find_keys(
        &mut self,
        segment: &Segment,
        rows: &[Row],
        keys: &mut Keys,
    ) -> Result<(), SegmentError> {
        let unknown = |row: &Row| {
            let place = row.place?;
            let (_, edge) = self.edges.item(place)?;
            edge.key.is_none().then_some((place, (row.number, row.head.id)))
        };
        let (places, edges): (Vec<usize>, Vec<_>) = rows.iter().filter_map(unknown).unzip();
        for (place, key) in places.into_iter().zip(keys.of(segment, &edges)?) {
            self.set_key(place, &key);
        }
        Ok(())
    }

    /// One row for each edge and day that is wanted: by edge, in no order that means something, then
    /// by day.
    pub(crate) fn into_rows(self, wanted: &Wanted) -> Vec<EdgeDay> {
        let mut edges: Vec<&(EdgeId, Total)> = self.edges.iter().collect();
        // The same whatever segments it came from.
        edges.sort_unstable_by_key(|(id, _)| *id);
        let mut rows = Vec::with_capacity(edges.len());
        for (_, edge) in edges {
            let Some(key) = edge.key.as_ref().filter(|key| wanted.takes(key)) else { continue };
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

/// A row of the file of edges.
#[derive(Debug)]
struct Row {
    /// In the file.
    number: u32,
    head: EdgeHead,
    /// Its edge in the sums; None if it has none yet.
    place: Option<usize>,
}

impl Row {
    /// Whether its day is cut by `range`.
    fn is_cut(&self, range: TimeRange) -> bool {
        let end = self.head.day.plus_seconds(SECONDS_PER_DAY);
        self.place.is_none() && self.head.day < range.to && end > range.from
    }
}

/// What must be read of rows whose day is cut by the range.
#[derive(Debug, Default)]
struct Cut {
    /// Numbers of these rows in the file.
    rows: Vec<u32>,
    /// Whether some hour is cut.
    hours: bool,
}

impl Cut {
    fn of(rows: &[Row], range: TimeRange) -> Self {
        let cut = || rows.iter().filter(|row| row.is_cut(range));
        Self {
            rows: cut().map(|row| row.number).collect(),
            hours: cut().any(|row| cut_hours(row.head, range) != 0),
        }
    }

    /// Adds what of the cut days is in the range: by hours where there is such a file, and by
    /// minutes what they do not tell.
    fn read(
        &self,
        segment: &Segment,
        range: TimeRange,
        (totals, rows): (&mut Totals, &mut [Row]),
    ) -> Result<(), SegmentError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let by_hours = segment.part(Part::Hours).exists();
        let mut add = Adding { totals, rows, at: 0 };
        if by_hours {
            for batch in pick::counts(segment, Part::Hours, &self.rows)? {
                decode::counts(&batch?, HOUR, |edge, hour, stats| {
                    if is_within(hour, SECONDS_PER_HOUR, range) {
                        add.add(edge, hour, stats)
                    } else {
                        Ok(())
                    }
                })?;
            }
        }
        if self.hours || !by_hours {
            add.at = 0;
            for batch in pick::counts(segment, Part::Minutes, &self.rows)? {
                decode::counts(&batch?, MINUTE, |edge, minute, stats| {
                    let told = by_hours && is_within(minute.hour(), SECONDS_PER_HOUR, range);
                    if overlaps(minute, range) && !told {
                        add.add(edge, minute, stats)
                    } else {
                        Ok(())
                    }
                })?;
            }
        }
        Ok(())
    }
}

/// Adds counts to the sums of their edges; they come in the order of the file of edges.
struct Adding<'a> {
    totals: &'a mut Totals,
    rows: &'a mut [Row],
    /// The row that was added to last.
    at: usize,
}

impl Adding<'_> {
    fn add(
        &mut self,
        edge: u32,
        time: Timestamp,
        stats: &dyn Fn() -> EdgeStats,
    ) -> Result<(), SegmentError> {
        while self.rows.get(self.at).is_some_and(|row| row.number < edge) {
            self.at += 1;
        }
        let row = self.rows.get_mut(self.at).filter(|row| row.number == edge);
        let row = row.ok_or(SegmentError::Metadata(EDGE))?;
        let position = *row.place.get_or_insert_with(|| self.totals.position(row.head.id));
        self.totals.add_at(position, row.head.day, hour_bit(time), &stats());
        Ok(())
    }
}

/// Bits of the hours of an edge's day that `range` cuts.
fn cut_hours(head: EdgeHead, range: TimeRange) -> u32 {
    let hours = (0..24_u64).filter(|hour| head.hours & (1 << hour) != 0).filter(|hour| {
        let start = head.day.plus_seconds(hour * SECONDS_PER_HOUR);
        let touches = start < range.to && start.plus_seconds(SECONDS_PER_HOUR) > range.from;
        touches && !is_within(start, SECONDS_PER_HOUR, range)
    });
    hours.fold(0, |bits, hour| bits | 1 << hour)
}
