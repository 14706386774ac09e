//! What can be asked and recorded, whether the folder is open for writing or only for reading.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};

use sekisho_model::{EdgeDay, EdgeMinute, EdgeStats, Flow, LossMinute, TimeRange, Timestamp};

use crate::clickhouse::DaySum;
use crate::keys::Keys;
use crate::loss::Losses;
use crate::scan::scan;
use crate::segment::Segment;
use crate::series::{Counted, Parts, SeriesQuestion};
use crate::sums::{Caps, Sums};
use crate::totals::Totals;
use crate::{ScanError, SegmentError, StoreLimits, StoreStatus, Wanted};

/// What flows go into.
pub trait FlowSink {
    /// Takes flows and losses into the newest generation. Each flow counts in the minute of its
    /// `stats.last_seen`; its moments are kept to the millisecond. Not durable by itself: the log
    /// is.
    fn record(&mut self, flows: &[Flow], losses: &[LossMinute]);
}

/// Segments of all logs: the first log is 1.
const ALL_LOGS: u64 = 0;

/// What is asked for flows: the folder, or the folder and ClickHouse joined.
pub trait FlowStore {
    /// Returns one row per wanted edge and day, summed over all minutes that overlap the range. Rows
    /// of one edge are neighbours, by day; the order of edges means nothing, and is the same for the
    /// same history.
    ///
    /// # Errors
    /// [`ScanError`] if a part of the history cannot be read; there is no partial answer.
    fn edges(&self, wanted: &Wanted) -> Result<Vec<EdgeDay>, ScanError> {
        self.question(wanted)?.answer()
    }

    /// The question of [`Self::edges`], to be answered while the store goes on: what is in memory is
    /// taken now, files are read later.
    ///
    /// # Errors
    /// [`ScanError::NotFetched`] if it can't be asked here.
    fn question(&self, wanted: &Wanted) -> Result<Question, ScanError>;

    /// Returns one row per wanted edge and minute for all minutes that overlap the range, sorted by
    /// source, destination, port, the rest of the key, minute. Where only some of the newest are
    /// wanted, files of older ones are not read.
    ///
    /// # Errors
    /// [`ScanError`] if a part of the history cannot be read, or there are too many rows to be held;
    /// there is no partial answer.
    fn scan(&self, wanted: &Wanted) -> Result<Vec<EdgeMinute>, ScanError>;

    /// Returns the losses of all minutes that overlap `range`, sorted by minute, node, hook.
    ///
    /// # Errors
    /// [`ScanError`] if a part of the history cannot be read.
    fn losses(&self, range: TimeRange) -> Result<Vec<LossMinute>, ScanError>;

    /// Says how the store is.
    fn status(&self) -> StoreStatus;
}

/// What was asked of a store, and all that it takes to answer it.
#[derive(Debug)]
pub struct Question {
    wanted: Wanted,
    segments: Vec<Segment>,
    /// What was in memory.
    totals: Totals,
    keys: Arc<Mutex<Keys>>,
}

impl Question {
    /// Adds what another store has of the window.
    pub(crate) fn add(&mut self, sum: &DaySum) {
        self.totals.add_day(sum);
    }

    /// Reads the files. Takes long where there is much; needs nothing of the store meanwhile.
    ///
    /// # Errors
    /// As [`FlowStore::edges`]; [`ScanError::is_gone`] if retention was faster: ask again.
    pub fn answer(mut self) -> Result<Vec<EdgeDay>, ScanError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for segment in &self.segments {
            let added = self.totals.add_segment(segment, &self.wanted, &mut keys);
            added.map_err(|cause| unreadable(segment, cause))?;
        }
        drop(keys);
        Ok(self.totals.into_rows(&self.wanted))
    }
}

/// A store whose history is in this process.
pub(crate) trait Embedded {
    fn history(&self) -> &History;

    fn history_mut(&mut self) -> &mut History;

    /// Adds to `status` what the history does not know: logs and faults.
    fn complete(&self, status: &mut StoreStatus);
}

impl<T: Embedded> FlowSink for T {
    fn record(&mut self, flows: &[Flow], losses: &[LossMinute]) {
        self.history_mut().record(flows, losses);
    }
}

impl<T: Embedded> FlowStore for T {
    fn question(&self, wanted: &Wanted) -> Result<Question, ScanError> {
        Ok(self.history().question(wanted, ALL_LOGS))
    }

    fn scan(&self, wanted: &Wanted) -> Result<Vec<EdgeMinute>, ScanError> {
        self.history().scan(wanted, (ALL_LOGS, &[]))
    }

    fn losses(&self, range: TimeRange) -> Result<Vec<LossMinute>, ScanError> {
        self.history().losses(range, ALL_LOGS)
    }

    fn status(&self) -> StoreStatus {
        let mut status = self.history().status();
        self.complete(&mut status);
        status
    }
}

/// The hot generation and the segments.
#[derive(Debug)]
pub(crate) struct History {
    limits: StoreLimits,
    hot: Sums,
    hot_losses: Losses,
    pub(crate) segments: Vec<Segment>,
    /// Keys that earlier questions read.
    keys: Arc<Mutex<Keys>>,
    /// Flows folded in generations that are closed.
    folded_before: u64,
}

impl History {
    pub(crate) fn new(limits: StoreLimits, segments: Vec<Segment>) -> Self {
        Self {
            limits,
            hot: Sums::new(Some(caps(&limits))),
            hot_losses: Losses::default(),
            segments,
            keys: Arc::default(),
            folded_before: 0,
        }
    }

    pub(crate) fn record(&mut self, flows: &[Flow], losses: &[LossMinute]) {
        for flow in flows {
            let stats = EdgeStats {
                first_seen: flow.stats.first_seen.millisecond(),
                last_seen: flow.stats.last_seen.millisecond(),
                ..flow.stats.clone()
            };
            self.hot.add(&flow.key, stats.last_seen.minute(), &stats);
        }
        for loss in losses {
            self.hot_losses.add(loss);
        }
    }

    pub(crate) fn hot_rows(&self) -> usize {
        self.hot.rows()
    }

    /// Closes the hot generation: `write` makes its segment. On an error it stays open.
    pub(crate) fn close(
        &mut self,
        write: impl FnOnce(&Sums, &Losses) -> Result<Segment, SegmentError>,
    ) -> Result<(), SegmentError> {
        if self.hot.rows() > 0 || !self.hot_losses.is_empty() {
            let segment = write(&self.hot, &self.hot_losses)?;
            self.segments.push(segment);
        }
        self.folded_before = self.folded_before.saturating_add(self.hot.folded());
        self.hot = Sums::new(Some(caps(&self.limits)));
        self.hot_losses = Losses::default();
        Ok(())
    }

    /// The segments of logs after `after` that may have something in `range`.
    fn segments_in(&self, range: TimeRange, after: u64) -> impl Iterator<Item = &Segment> {
        let segments = self.segments.iter().filter(move |segment| segment.logs.0 > after);
        segments.filter(move |segment| segment.meets(range))
    }

    pub(crate) fn question(&self, wanted: &Wanted, after: u64) -> Question {
        let mut totals = Totals::default();
        self.hot.total(wanted, &mut totals);
        let segments = self.segments_in(wanted.range, after);
        let (segments, keys) = (segments.cloned().collect(), Arc::clone(&self.keys));
        Question { wanted: wanted.clone(), segments, totals, keys }
    }

    pub(crate) fn series(&self, wanted: &Wanted, parts: Parts) -> SeriesQuestion {
        let hot = self.hot.wanted(wanted).map(|(key, minute, stats)| {
            let counted = Counted { connections: stats.connections, loss: stats.loss };
            (Arc::clone(key), minute, counted)
        });
        let segments = self.segments_in(wanted.range, ALL_LOGS).cloned().collect();
        let keys = Arc::clone(&self.keys);
        SeriesQuestion { wanted: wanted.clone(), parts, segments, hot: hot.collect(), keys }
    }

    /// `more` are rows of what lies in logs up to `after`.
    pub(crate) fn scan(
        &self,
        wanted: &Wanted,
        (after, more): (u64, &[EdgeMinute]),
    ) -> Result<Vec<EdgeMinute>, ScanError> {
        if wanted.newest == Some(0) {
            return Ok(Vec::new());
        }
        let mut sums = Sums::new(None);
        for row in more.iter().filter(|row| wanted.takes(&row.key)) {
            sums.add(&row.key, row.minute, &row.stats);
        }
        self.hot.pour(wanted, &mut sums);
        self.bound_scan(&sums)?;
        let mut segments: Vec<&Segment> = self.segments_in(wanted.range, after).collect();
        let end = |segment: &Segment| segment.minutes.map(|(_, last)| last.plus_seconds(60));
        segments.sort_by_key(|segment| Reverse(end(segment)));
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for segment in segments {
            // Rows of one minute may be in several segments: only older ones are left out.
            if wanted.newest.is_some_and(|count| sums.newest(count) >= end(segment)) {
                break;
            }
            scan(segment, wanted, (&mut keys, &mut sums))
                .map_err(|cause| unreadable(segment, cause))?;
            self.bound_scan(&sums)?;
        }
        let mut rows = sums.to_rows();
        if let Some(from) = wanted.newest.and_then(|count| sums.newest(count)) {
            rows.retain(|row| row.stats.last_seen >= from);
        }
        Ok(rows)
    }

    fn bound_scan(&self, sums: &Sums) -> Result<(), ScanError> {
        let limit = self.limits.scanned_rows_max;
        if sums.rows() > limit { Err(ScanError::TooMany { limit }) } else { Ok(()) }
    }

    pub(crate) fn losses(
        &self,
        range: TimeRange,
        after: u64,
    ) -> Result<Vec<LossMinute>, ScanError> {
        let mut losses = Losses::default();
        for segment in self.segments_in(range, after) {
            segment.losses(range, &mut losses).map_err(|cause| unreadable(segment, cause))?;
        }
        for loss in self.hot_losses.rows(range) {
            losses.add(&loss);
        }
        Ok(losses.rows(TimeRange::ALL).collect())
    }

    pub(crate) fn status(&self) -> StoreStatus {
        let segments = self.segments.iter();
        let in_segments = segments.clone().filter_map(|segment| segment.minutes).map(|m| m.0);
        let hot = self.hot.minutes().map(|minutes| minutes.0);
        let segment_bytes = segments.clone().map(|segment| segment.bytes).sum();
        StoreStatus {
            bytes: segment_bytes,
            segments: self.segments.len(),
            rows: segments.map(|segment| segment.rows).sum::<u64>() + self.hot.rows() as u64,
            hot_rows: self.hot.rows(),
            log_bytes: 0,
            logs: 0,
            oldest: oldest(in_segments.chain(hot)),
            folded: self.folded_before.saturating_add(self.hot.folded()),
            degraded: None,
            damaged: Vec::new(),
        }
    }
}

fn oldest(times: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    times.min()
}

pub(crate) fn unreadable(segment: &Segment, cause: SegmentError) -> ScanError {
    ScanError::Segment { path: segment.path(), cause }
}

fn caps(limits: &StoreLimits) -> Caps {
    Caps {
        rows_max: limits.hot_rows_max,
        per_source_minute_max: limits.edges_per_source_minute_max,
        per_destination_minute_max: limits.edges_per_destination_minute_max,
    }
}
