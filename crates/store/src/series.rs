//! Connections by time: one pass over the counts of a window, however many parts it has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sekisho_model::{EdgeKey, TimeRange, Timestamp};

use crate::columns::ID;
use crate::history::unreadable;
use crate::keys::Keys;
use crate::layout::Layout;
use crate::pick::{self, Picked};
use crate::reader::Runs;
use crate::segment::{Part, Segment};
use crate::sums::overlaps;
use crate::{ScanError, SegmentError, Wanted, decode};

const SECONDS_PER_HOUR: u64 = 3_600;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The parts of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Start of the first; a whole minute.
    pub from: Timestamp,
    /// Length of each in seconds; whole minutes, at least one.
    pub step_s: u64,
    /// How many; what comes after the last is left out.
    pub count: usize,
}

impl Parts {
    /// The part that `time` lies in.
    fn of(&self, time: Timestamp) -> Option<usize> {
        let since = time.nanos().checked_sub(self.from.nanos())? / NANOS_PER_SECOND;
        let part = since.checked_div(self.step_s).and_then(|part| usize::try_from(part).ok())?;
        (part < self.count).then_some(part)
    }

    /// When a part begins, and what of it lies in `window`.
    #[must_use]
    pub fn range(&self, part: usize, window: TimeRange) -> (Timestamp, TimeRange) {
        let since_s = u64::try_from(part).unwrap_or(u64::MAX).saturating_mul(self.step_s);
        let at = self.from.plus_seconds(since_s);
        let to = at.plus_seconds(self.step_s).min(window.to);
        (at, TimeRange { from: at.max(window.from), to })
    }

    /// Whether an hour never lies in two of them.
    fn are_hours(&self) -> bool {
        self.step_s.is_multiple_of(SECONDS_PER_HOUR) && self.from == self.from.hour()
    }
}

/// What one class of edges did in one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Connections whose last moment is in it.
    pub connections: u64,
    /// Whether records of them were lost.
    pub loss: bool,
}

impl Counted {
    fn add(&mut self, connections: u64, loss: bool) {
        self.connections = self.connections.saturating_add(connections);
        self.loss |= loss;
    }
}

/// What was asked of a store, and all that it takes to answer it.
#[derive(Debug)]
pub struct SeriesQuestion {
    pub(crate) wanted: Wanted,
    pub(crate) parts: Parts,
    pub(crate) segments: Vec<Segment>,
    /// What was in memory.
    pub(crate) hot: Vec<(Arc<EdgeKey>, Timestamp, Counted)>,
    pub(crate) keys: Arc<Mutex<Keys>>,
}

/// Sums by part and class.
struct Sums<'a> {
    parts: Parts,
    /// Of each part of the window what each class did.
    sums: Vec<BTreeMap<usize, Counted>>,
    class: &'a mut dyn FnMut(&EdgeKey) -> Option<usize>,
}

impl Sums<'_> {
    fn add(&mut self, class: usize, time: Timestamp, (connections, loss): (u64, bool)) {
        let part = self.parts.of(time);
        if let Some(sums) = part.and_then(|part| self.sums.get_mut(part)) {
            sums.entry(class).or_default().add(connections, loss);
        }
    }
}

impl SeriesQuestion {
    /// Reads the files, and sums each part by the class that `class` gives an edge; None leaves the
    /// edge out. Takes long where there is much; needs nothing of the store meanwhile.
    ///
    /// # Errors
    /// As [`crate::FlowStore::edges`]; [`ScanError::is_gone`] if retention was faster: ask again.
    pub fn answer(
        self,
        class: &mut dyn FnMut(&EdgeKey) -> Option<usize>,
    ) -> Result<Vec<BTreeMap<usize, Counted>>, ScanError> {
        let mut sums =
            Sums { parts: self.parts, sums: vec![BTreeMap::new(); self.parts.count], class };
        for (key, minute, counted) in &self.hot {
            if let Some(class) = (sums.class)(key) {
                sums.add(class, *minute, (counted.connections, counted.loss));
            }
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for segment in &self.segments {
            let added = add(segment, &self.wanted, (&mut keys, &mut sums));
            added.map_err(|cause| unreadable(segment, cause))?;
        }
        Ok(sums.sums)
    }
}

fn add(
    segment: &Segment,
    wanted: &Wanted,
    (keys, sums): (&mut Keys, &mut Sums<'_>),
) -> Result<(), SegmentError> {
    match segment.layout {
        Layout::Current if segment.rows == 0 => Ok(()),
        Layout::Current => add_counts(segment, wanted, (keys, sums)),
        Layout::ByMinute | Layout::WithoutCluster => add_runs(segment, wanted, sums),
    }
}

fn add_runs(segment: &Segment, wanted: &Wanted, sums: &mut Sums<'_>) -> Result<(), SegmentError> {
    let mut runs = Runs::of(segment)?;
    while let Some(run) = runs.next()? {
        if !wanted.takes(&run.key) {
            continue;
        }
        let Some(class) = (sums.class)(&run.key) else { continue };
        for (minute, stats) in run.minutes.iter().filter(|row| overlaps(row.0, wanted.range)) {
            sums.add(class, *minute, (stats.connections, stats.loss));
        }
    }
    Ok(())
}

fn add_counts(
    segment: &Segment,
    wanted: &Wanted,
    (keys, sums): (&mut Keys, &mut Sums<'_>),
) -> Result<(), SegmentError> {
    let Some(picked) = Picked::of(segment, &wanted.filter)? else { return Ok(()) };
    let mut ids = Vec::new();
    for batch in picked.edges(segment, Some(&[ID]))?.build()? {
        ids.extend(decode::ids(&batch?)?);
    }
    let edges: Vec<_> = picked.numbers().zip(ids).collect();
    let mut classes: Vec<(u32, usize)> = Vec::new();
    for ((number, _), key) in edges.iter().zip(keys.of(segment, &edges)?) {
        if wanted.takes(&key)
            && let Some(class) = (sums.class)(&key)
        {
            classes.push((*number, class));
        }
    }
    if classes.is_empty() {
        return Ok(());
    }
    // A range may cut an hour that no part cuts.
    let is_whole = segment.is_inside(wanted.range);
    let by_hours = is_whole && sums.parts.are_hours() && segment.part(Part::Hours).exists();
    let part = if by_hours { Part::Hours } else { Part::Minutes };
    let numbers: Vec<u32> = classes.iter().map(|(number, _)| *number).collect();
    let mut classes = classes.into_iter().peekable();
    for batch in pick::connections(segment, part, &numbers)? {
        decode::connections(&batch?, pick::time_of(part), |edge, time, counted| {
            while classes.next_if(|(number, _)| *number < edge).is_some() {}
            let of = classes.peek().filter(|(number, _)| *number == edge);
            let (_, class) = of.ok_or(SegmentError::Metadata(crate::columns::EDGE))?;
            if by_hours || overlaps(time, wanted.range) {
                sums.add(*class, time, counted);
            }
            Ok(())
        })?;
    }
    Ok(())
}
