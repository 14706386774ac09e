//! What of the folder is shipped next, and what a question must ask ClickHouse for.
//!
//! A segment is shipped in order, whole, once. Before its first insert the folder notes that it is
//! on the way (`sending`), after its last one ClickHouse notes that it is in (`shipments`), then the
//! folder does. Whatever stops in between goes on there: the same rows in the same inserts, which
//! ClickHouse knows by their tokens; and if its note is there, nothing is sent again.

use sekisho_model::{TimeRange, Timestamp};

use super::cursor::Sending;
use super::{ArchiveError, ArchiveLag, Cursor};
use crate::LocalStore;
use crate::segment::Segment;

/// What ClickHouse says of the shipments it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The last log of this folder that is in; 0 = none.
    pub(crate) last_log: u64,
    /// Where the history of all folders that ever shipped it ends.
    pub(crate) until: Timestamp,
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct Shipment {
    pub(crate) segment: Segment,
    pub(crate) writer: String,
    pub(crate) batch_rows: usize,
}

impl Shipment {
    /// Rows of minutes in it.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.segment.rows
    }
}

/// Who can answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The folder: it has all of the window.
    Here,
    /// ClickHouse for all that was shipped, the folder for the rest: segments after this log.
    Archive(u64),
    /// It is not known yet what ClickHouse has: ship first.
    Unsettled,
}

impl LocalStore {
    /// Makes the folder one that is shipped. Nothing happens if it is one already.
    ///
    /// # Errors
    /// [`ArchiveError::Cursor`] if the note of it can't be made.
    pub fn attach_archive(&mut self) -> Result<(), ArchiveError> {
        if self.archive.is_none() {
            let path = self.folder.join(super::cursor::NAME);
            let cursor = Cursor::fresh().map_err(|cause| ArchiveError::Cursor { path, cause })?;
            self.save(cursor)?;
        }
        Ok(())
    }

    /// What the folder is called in ClickHouse; empty if it is none that is shipped.
    #[must_use]
    pub fn writer(&self) -> &str {
        self.archive.as_ref().map_or("", |cursor| &cursor.writer)
    }

    /// Who can answer a question about `range`.
    #[must_use]
    pub fn reach(&self, range: TimeRange) -> Reach {
        let Some(cursor) = &self.archive else { return Reach::Here };
        let begins_before = |until: Timestamp| range.from < until;
        match cursor.elsewhere_until {
            Some(until) if !begins_before(until) => Reach::Here,
            Some(_) if cursor.sending.is_some() => Reach::Unsettled,
            Some(_) => Reach::Archive(cursor.shipped),
            // Another folder may have shipped what this one never had.
            None if self.oldest().is_some_and(|oldest| oldest <= range.from) => Reach::Here,
            None => Reach::Unsettled,
        }
    }

    /// Whether there is something to ship, or ClickHouse was never asked what it has.
    #[must_use]
    pub fn wants_shipping(&self) -> bool {
        self.archive.as_ref().is_some_and(|cursor| {
            cursor.elsewhere_until.is_none()
                || cursor.sending.is_some()
                || self.first_waiting(cursor).is_some()
        })
    }

    /// The segment to be shipped now, if any: noted as being on its way. `ledger` is what ClickHouse
    /// says of [`Self::writer`].
    ///
    /// # Errors
    /// [`ArchiveError::Diverged`] if that is not what the folder says; [`ArchiveError::Cursor`].
    pub fn next_shipment(
        &mut self,
        ledger: Ledger,
        batch_rows: usize,
    ) -> Result<Option<Shipment>, ArchiveError> {
        let Some(mut cursor) = self.archive.clone() else { return Ok(None) };
        if cursor.elsewhere_until.is_none() {
            cursor.elsewhere_until = Some(ledger.until);
            self.save(cursor.clone())?;
        }
        let arrived = cursor.sending.filter(|sending| sending.logs.1 == ledger.last_log);
        if let Some(sending) = arrived {
            // Only the last answer was lost.
            let rows = self.segment_of(sending.logs).map_or(0, |segment| segment.rows);
            self.save(arrival(cursor.clone(), sending.logs, rows))?;
            return self.next_shipment(ledger, batch_rows);
        }
        if ledger.last_log != cursor.noted {
            return Err(ArchiveError::Diverged(diverged(ledger.last_log, cursor.noted)));
        }
        if let Some(sending) = cursor.sending {
            let Some(segment) = self.segment_of(sending.logs).cloned() else {
                // Retention was faster; how much of it is in nobody knows.
                cursor.sending = None;
                cursor.shipped = sending.logs.1;
                self.save(cursor)?;
                return self.next_shipment(ledger, batch_rows);
            };
            let writer = cursor.writer;
            return Ok(Some(Shipment { segment, writer, batch_rows: sending.batch_rows }));
        }
        let Some(segment) = self.first_waiting(&cursor).cloned() else { return Ok(None) };
        cursor.sending = Some(Sending { logs: segment.logs, batch_rows });
        let writer = cursor.writer.clone();
        self.save(cursor)?;
        Ok(Some(Shipment { segment, writer, batch_rows }))
    }

    /// Notes that `shipment` is in.
    ///
    /// # Errors
    /// [`ArchiveError::Cursor`]; the next turn finds out by itself.
    pub fn shipped(&mut self, shipment: &Shipment) -> Result<(), ArchiveError> {
        let Some(cursor) = self.archive.clone() else { return Ok(()) };
        self.save(arrival(cursor, shipment.segment.logs, shipment.segment.rows))
    }

    /// How far ClickHouse is behind at `now`; None if nothing is shipped.
    #[must_use]
    pub fn archive_lag(&self, now: Timestamp) -> Option<ArchiveLag> {
        let cursor = self.archive.as_ref()?;
        let waiting = || self.history.segments.iter().filter(|s| s.logs.0 > cursor.shipped);
        let ends = waiting().filter_map(|segment| segment.minutes).map(|(_, last)| last);
        Some(ArchiveLag {
            segments: cursor.segments,
            rows: cursor.rows,
            waiting_segments: waiting().count() as u64,
            waiting_rows: waiting().map(|segment| segment.rows).sum(),
            waiting_s: ends.min().map_or(0, |oldest| now.seconds_since(oldest)),
            lost_segments: cursor.lost_segments,
            lost_rows: cursor.lost_rows,
            elsewhere_until: cursor.elsewhere_until,
        })
    }

    /// Segments in groups that may be merged among themselves: what was shipped, and what was not.
    /// The one that is on its way stays as it is.
    pub(crate) fn mergeable(&self) -> [Vec<Segment>; 2] {
        let segments = self.history.segments.iter();
        let Some(cursor) = &self.archive else { return [segments.cloned().collect(), Vec::new()] };
        let after = cursor.sending.map_or(cursor.shipped, |sending| sending.logs.1);
        let shipped = segments.clone().filter(|segment| segment.logs.1 <= cursor.shipped);
        let waiting = segments.filter(|segment| segment.logs.0 > after);
        [shipped.cloned().collect(), waiting.cloned().collect()]
    }

    /// Notes that retention is about to remove `segment`.
    pub(crate) fn note_removal(&mut self, segment: &Segment) -> Result<(), ArchiveError> {
        let Some(mut cursor) = self.archive.clone() else { return Ok(()) };
        if segment.logs.1 <= cursor.shipped {
            let end = segment.minutes.map(|(_, last)| last.plus_seconds(60));
            // None = never asked: then it is asked about all that is older than the oldest here.
            cursor.elsewhere_until = cursor.elsewhere_until.max(end);
        } else {
            cursor.lost_segments = cursor.lost_segments.saturating_add(1);
            cursor.lost_rows = cursor.lost_rows.saturating_add(segment.rows);
        }
        self.save(cursor)
    }

    fn save(&mut self, cursor: Cursor) -> Result<(), ArchiveError> {
        cursor.save(&self.folder)?;
        self.archive = Some(cursor);
        Ok(())
    }

    fn segment_of(&self, logs: (u64, u64)) -> Option<&Segment> {
        self.history.segments.iter().find(|segment| segment.logs == logs)
    }

    /// The oldest segment that was not shipped, but while it is being merged.
    fn first_waiting(&self, cursor: &Cursor) -> Option<&Segment> {
        let waiting = self.history.segments.iter().filter(|s| s.logs.0 > cursor.shipped);
        let first = waiting.min_by_key(|segment| segment.logs)?;
        let is_apart = |(from, to): (u64, u64)| first.logs.1 < from || to < first.logs.0;
        self.merging.is_none_or(is_apart).then_some(first)
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.history.status().oldest
    }
}

fn arrival(mut cursor: Cursor, logs: (u64, u64), rows: u64) -> Cursor {
    cursor.sending = None;
    cursor.shipped = logs.1;
    cursor.noted = logs.1;
    cursor.segments = cursor.segments.saturating_add(1);
    cursor.rows = cursor.rows.saturating_add(rows);
    cursor
}

fn diverged(theirs: u64, ours: u64) -> String {
    if theirs > ours {
        format!(
            "ClickHouse has this folder's logs up to {theirs}, the folder says {ours}: it is an older \
             copy, or two servers use copies of one folder. Nothing is shipped, so that nothing counts \
             twice. End one of them; or move the folder away and begin with an empty one, which finds \
             what ClickHouse has"
        )
    } else {
        format!(
            "the folder shipped its logs up to {ours}, ClickHouse has {theirs}: it is another database, \
             or was restored from an older copy. Set `url` and `database` back; or end the server and \
             remove `clickhouse.json` from the folder, which ships all that is still here to a database \
             that has none of it"
        )
    }
}
