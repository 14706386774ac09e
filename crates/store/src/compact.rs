//! Merging of segments, so that a query opens few files: the segments of an hour that is over become
//! one, and later the hours of a day.
//!
//! A merged segment is named by all logs of its parts, so that its last rename makes it replace
//! them, whatever happens next; what is left of the parts is removed after that. The work takes a
//! while and needs no lock: [`crate::LocalStore::compaction`] says what there is to do,
//! [`Compaction::run`] does it, [`crate::LocalStore::adopt`] takes it over.

use std::collections::BinaryHeap;

use sekisho_model::{TimeRange, Timestamp};

use crate::loss::Losses;
use crate::reader::Runs;
use crate::run::Run;
use crate::segment::{self, Segment};
use crate::writer::SegmentWriter;
use crate::{CompactError, SegmentError};

/// After the end of an hour, until its segments are merged: what is late may come, seconds.
const HOUR_SETTLES_S: u64 = 600;
/// After the end of a day, until its hours are merged: windows of up to a day end within an hour of
/// their own until then, seconds.
const DAY_SETTLES_S: u64 = 86_400 + 3_600;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;
/// Segments merged at once at most.
const PARTS_MAX: usize = 64;
/// Rows of a merged segment at most.
const ROWS_MAX: u64 = 200_000_000;

/// Neighbouring segments to be merged into one.
#[derive(Debug)]
pub struct Compaction {
    parts: Vec<Segment>,
}

/// A segment that was made of others, and is not known to the store yet.
#[derive(Debug)]
pub struct Compacted {
    pub(crate) parts: Vec<(u64, u64)>,
    pub(crate) merged: Segment,
}

/// Chooses what to merge at `now`, the oldest first; None if all is well. `segments` in any order.
pub(crate) fn plan(segments: &[Segment], now: Timestamp) -> Option<Compaction> {
    let mut segments: Vec<&Segment> = segments.iter().collect();
    segments.sort_unstable_by_key(|segment| segment.logs);
    let last = |segment: &Segment| segment.minutes.map(|(_, last)| last);
    let hour = |segment: &Segment| {
        let over = |hour: &Timestamp| now > hour.plus_seconds(HOUR_S + HOUR_SETTLES_S);
        last(segment).map(Timestamp::hour).filter(over)
    };
    let day = |segment: &Segment| {
        let over = |day: &Timestamp| now > day.plus_seconds(DAY_S + DAY_SETTLES_S);
        last(segment).map(Timestamp::day).filter(over)
    };
    groups(&segments, day).or_else(|| groups(&segments, hour))
}

/// The first neighbours that are of one bucket.
fn groups(
    segments: &[&Segment],
    bucket: impl Fn(&Segment) -> Option<Timestamp>,
) -> Option<Compaction> {
    let mut groups = segments.chunk_by(|one, next| {
        let bucket_of_one = bucket(one);
        bucket_of_one.is_some() && bucket_of_one == bucket(next)
    });
    groups.find_map(|group| {
        let mut rows: u64 = 0;
        let fits = group.iter().take(PARTS_MAX).take_while(|segment| {
            rows = rows.saturating_add(segment.rows);
            rows <= ROWS_MAX
        });
        let parts: Vec<Segment> = fits.map(|segment| Segment::clone(segment)).collect();
        (parts.len() > 1).then_some(Compaction { parts })
    })
}

impl Compaction {
    /// How many segments become one.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The logs of these, first and last.
    pub(crate) fn logs(&self) -> Option<(u64, u64)> {
        Some((self.parts.first()?.logs.0, self.parts.last()?.logs.1))
    }

    /// Pairs of edge and minute in these.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Writes the merged segment. Durable on return, and from then on what a reader finds in place
    /// of the parts.
    ///
    /// # Errors
    /// [`CompactError`]; the parts are as before.
    pub fn run(self) -> Result<Compacted, CompactError> {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else {
            return Err(CompactError::Empty);
        };
        let (folder, logs) = (first.folder.clone(), (first.logs.0, last.logs.1));
        let path = segment::path_of(&folder, logs, segment::Part::Edges);
        let merged = self.merge(logs).map_err(|cause| CompactError::Segment { path, cause })?;
        let parts = self.parts.iter().map(|part| part.logs).collect();
        Ok(Compacted { parts, merged })
    }

    fn merge(&self, logs: (u64, u64)) -> Result<Segment, SegmentError> {
        let Some(first) = self.parts.first() else { return Err(SegmentError::Metadata("parts")) };
        let spans = self.parts.iter().filter_map(|part| part.minutes);
        let from = spans.clone().map(|span| span.0.hour()).min();
        let to = spans.map(|span| span.1.hour()).max();
        let mut writer = SegmentWriter::create(&first.folder, logs, from != to)?;
        let mut runs = Merge::of(&self.parts)?;
        while let Some(run) = runs.next()? {
            writer.push(&run)?;
        }
        let mut losses = Losses::default();
        for part in &self.parts {
            part.losses(TimeRange::ALL, &mut losses)?;
        }
        let notes: Vec<String> = self.parts.iter().flat_map(|part| part.notes.clone()).collect();
        writer.finish(&losses, &notes)
    }
}

/// The runs of several segments, in order; those of one edge and day joined.
struct Merge {
    sources: Vec<Runs>,
    /// The next run of each source; the first in order is on top.
    next: BinaryHeap<Next>,
}

struct Next {
    run: Run,
    source: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The heap gives its greatest; of equal runs the earlier segment's comes first.
        other.run.order(&self.run).then_with(|| other.source.cmp(&self.source))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}

impl Merge {
    fn of(parts: &[Segment]) -> Result<Self, SegmentError> {
        let sources = parts.iter().filter(|part| part.rows > 0).map(Runs::of);
        let mut merge =
            Self { sources: sources.collect::<Result<_, _>>()?, next: BinaryHeap::new() };
        for source in 0..merge.sources.len() {
            merge.refill(source)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, source: usize) -> Result<(), SegmentError> {
        if let Some(runs) = self.sources.get_mut(source)
            && let Some(run) = runs.next()?
        {
            self.next.push(Next { run, source });
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Run>, SegmentError> {
        let Some(Next { mut run, source }) = self.next.pop() else { return Ok(None) };
        self.refill(source)?;
        while self.next.peek().is_some_and(|next| next.run.is_same(&run)) {
            if let Some(Next { run: more, source }) = self.next.pop() {
                run.join(more);
                self.refill(source)?;
            }
        }
        Ok(Some(run))
    }
}
