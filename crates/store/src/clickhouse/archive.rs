//! ClickHouse as the archive of one folder: sends segments, answers for what was sent.
//!
//! Sending and asking exclude each other: sums in ClickHouse do not say which segments they are of,
//! so a question must not see a segment that the folder still counts as its own.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sekisho_model::{ClusterName, EdgeKey, EdgeMinute, LossMinute, TimeRange, Timestamp};

use super::http::{Ask, post};
use super::insert::{self, Edges, Minutes};
use super::joined::DaySum;
use super::settings::Target;
use super::{ArchiveError, ArchiveSettings, Archived, Ledger, Shipment, ask, schema};
use crate::Wanted;
use crate::by_id::ById;
use crate::layout::Layout;
use crate::loss::Losses;
use crate::parties::Shared;
use crate::reader::Runs;
use crate::run::EdgeId;
use crate::segment::Part;
use crate::{SegmentError, decode};

/// What edges are is held for so many of them, some hundred bytes each.
const KEYS_MAX: usize = 200_000;
/// Edges of which is known that ClickHouse knows them, 32 bytes each.
const SENT_MAX: usize = 1_000_000;

/// What a question wants of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Sums by edge and day.
    Days,
    /// Sums by edge and minute, of so many rows at most.
    Minutes(usize),
}

/// ClickHouse, for the history of one cluster.
#[derive(Debug)]
pub struct Archive {
    target: Target,
    history: String,
    gate: RwLock<()>,
    /// Whether the tables were seen since the start.
    ready: AtomicBool,
    keys: Mutex<Keys>,
    /// Edges and the last day that was sent with them.
    sent: Mutex<ById<Timestamp>>,
}

#[derive(Debug, Default)]
struct Keys {
    known: ById<Arc<EdgeKey>>,
    shared: Shared,
}

/// The right to send; nobody asks meanwhile.
#[derive(Debug)]
pub struct Writing<'a> {
    archive: &'a Archive,
    _gate: RwLockWriteGuard<'a, ()>,
}

/// The right to ask; nothing is sent meanwhile. Keep it until the folder's part of the answer is
/// taken, too.
#[derive(Debug)]
pub struct Reading<'a> {
    archive: &'a Archive,
    _gate: RwLockReadGuard<'a, ()>,
}

impl Archive {
    /// Takes the settings for the history of `cluster`; connects to nothing yet.
    ///
    /// # Errors
    /// [`ArchiveError::Setting`] if one can't be used.
    pub fn new(settings: &ArchiveSettings, cluster: &ClusterName) -> Result<Self, ArchiveError> {
        Ok(Self {
            target: settings.target()?,
            history: cluster.as_str().to_owned(),
            gate: RwLock::default(),
            ready: AtomicBool::new(false),
            keys: Mutex::default(),
            sent: Mutex::default(),
        })
    }

    /// Waits for questions to end, and for the right to send.
    pub fn writing(&self) -> Writing<'_> {
        let gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        Writing { archive: self, _gate: gate }
    }

    /// Waits for what is being sent, and for the right to ask.
    pub fn reading(&self) -> Reading<'_> {
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        Reading { archive: self, _gate: gate }
    }

    /// Rows of one insert at most.
    #[must_use]
    pub fn batch_rows(&self) -> usize {
        self.target.batch_rows
    }

    /// Makes the tables once, and again after somebody removed one.
    fn prepared(&self) -> Result<(), ArchiveError> {
        if !self.ready.load(Ordering::Acquire) {
            schema::ensure(&self.target)?;
            // They may be new, and know nothing of what was sent before.
            *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = ById::default();
            self.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Does `work` with the tables there.
    fn with_tables<T>(
        &self,
        work: impl FnOnce() -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        self.prepared()?;
        let done = work();
        // UNKNOWN_TABLE, UNKNOWN_DATABASE
        if let Err(ArchiveError::Refused { code: 60 | 81, .. }) = done {
            self.ready.store(false, Ordering::Release);
        }
        done
    }

    fn send(&self, shipment: &Shipment) -> Result<(), ArchiveError> {
        let Shipment { segment, writer, batch_rows } = shipment;
        let unreadable =
            |cause: SegmentError| ArchiveError::Segment { path: segment.path(), cause };
        let (first, last) = segment.logs;
        let token = |what: &str| format!("{writer}/{first}-{last}/{batch_rows}/{what}");
        let mut minutes = Minutes::of(&self.history);
        let mut edges = Edges::of(&self.history);
        let mut number = 0;
        let mut runs = Runs::of(segment).map_err(unreadable)?;
        loop {
            let run = runs.next().map_err(unreadable)?;
            if let Some(run) = &run {
                if self.is_new(run.id, run.day) {
                    edges.add(run);
                }
                for (minute, stats) in &run.minutes {
                    minutes.add(run.id, *minute, stats);
                }
            }
            let is_last = run.is_none();
            let is_full = minutes.len() >= *batch_rows;
            // What an edge is is there before its counts are.
            if edges.is_full() || ((is_last || is_full) && edges.len() > 0) {
                let batch = std::mem::replace(&mut edges, Edges::of(&self.history));
                let batch = batch.finish().map_err(unreadable)?;
                // Equal rows replace each other, so these need not be known again.
                insert::insert(&self.target, "edges", &batch, String::new())?;
            }
            if (is_last || is_full) && minutes.len() > 0 {
                let batch = std::mem::replace(&mut minutes, Minutes::of(&self.history));
                let batch = batch.finish().map_err(unreadable)?;
                insert::insert(
                    &self.target,
                    "minutes",
                    &batch,
                    token(&format!("minutes/{number}")),
                )?;
                number += 1;
            }
            if is_last {
                break;
            }
        }
        self.send_losses(shipment, token("losses"))?;
        let until = segment.minutes.map_or(Timestamp::EPOCH, |(_, last)| last.plus_seconds(60));
        let noted = (segment.logs, segment.rows, until);
        insert::note(&self.target, (&self.history, writer), noted, token("note"))
    }

    fn send_losses(&self, shipment: &Shipment, token: String) -> Result<(), ArchiveError> {
        let segment = &shipment.segment;
        let unreadable =
            |cause: SegmentError| ArchiveError::Segment { path: segment.path(), cause };
        if !segment.part(Part::Losses).exists() {
            return Ok(());
        }
        let mut losses = Losses::default();
        segment.losses(TimeRange::ALL, &mut losses).map_err(unreadable)?;
        let batch = insert::losses(&self.history, losses.rows(TimeRange::ALL));
        insert::insert(&self.target, "losses", &batch.map_err(unreadable)?, token)
    }

    /// Whether ClickHouse may not know what the edge is, or would forget it before its counts of
    /// `day`.
    fn is_new(&self, id: EdgeId, day: Timestamp) -> bool {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= SENT_MAX {
            *sent = ById::default();
        }
        let mut is_new = false;
        let place = sent.position(id, || {
            is_new = true;
            day
        });
        if let Some(last) = sent.at(place)
            && *last < day
        {
            *last = day;
            is_new = true;
        }
        is_new
    }

    /// Forgets what was sent, since it may not have arrived.
    fn doubt_sent(&self) {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = ById::default();
    }

    fn day_sums(&self, wanted: &Wanted) -> Result<Vec<DaySum>, ArchiveError> {
        let Some(sql) = ask::days(&self.history, wanted) else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        ask::rows(&self.target, sql, |batch| {
            let sums = decode::sums(batch)?;
            for (row, head) in decode::heads(batch)?.into_iter().enumerate() {
                rows.push((head.id, head.day, head.hours, sums(row)));
            }
            Ok(())
        })?;
        let keys = self.keys_of(rows.iter().map(|(id, ..)| *id))?;
        let named = rows.into_iter().filter_map(|(id, day, hours, stats)| {
            Some(DaySum { id, key: Arc::clone(keys.get(id)?), day, hours, stats })
        });
        Ok(named.collect())
    }

    fn minute_sums(&self, wanted: &Wanted, limit: usize) -> Result<Vec<EdgeMinute>, ArchiveError> {
        let sql = ask::minutes(&self.history, wanted, limit.saturating_add(1));
        let mut rows = Vec::new();
        ask::rows(&self.target, sql, |batch| {
            decode::minutes(batch, |id, minute, stats| rows.push((id, minute, stats)))
        })?;
        if rows.len() > limit {
            return Err(ArchiveError::TooMany { limit });
        }
        let keys = self.keys_of(rows.iter().map(|(id, ..)| *id))?;
        let named = rows.into_iter().filter_map(|(id, minute, stats)| {
            Some(EdgeMinute { minute, key: EdgeKey::clone(keys.get(id)?), stats })
        });
        Ok(named.collect())
    }

    fn losses(&self, range: TimeRange) -> Result<Vec<LossMinute>, ArchiveError> {
        let mut losses = Vec::new();
        ask::rows(&self.target, ask::losses(&self.history, range), |batch| {
            decode::losses(batch, Layout::Current, |loss| losses.push(loss))
        })?;
        Ok(losses)
    }

    /// What the given edges are: those that are not known yet are asked for.
    fn keys_of(
        &self,
        ids: impl Iterator<Item = EdgeId>,
    ) -> Result<ById<Arc<EdgeKey>>, ArchiveError> {
        let wanted: BTreeSet<EdgeId> = ids.collect();
        let mut held = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if held.known.len() > KEYS_MAX || held.shared.is_full() {
            *held = Keys::default();
        }
        let mut found = ById::default();
        let mut unknown = Vec::new();
        for id in wanted {
            match held.known.get(id) {
                Some(key) => {
                    found.position(id, || Arc::clone(key));
                }
                None => unknown.push(id),
            }
        }
        for ids in unknown.chunks(ask::IDS_PER_ASK) {
            let Keys { known, shared } = &mut *held;
            ask::rows(&self.target, ask::keys(&self.history, ids), |batch| {
                let keys = decode::keys(batch, Layout::Current, shared)?;
                for (id, key) in decode::ids(batch)?.into_iter().zip(keys) {
                    known.position(id, || Arc::clone(&key));
                    found.position(id, || key);
                }
                Ok(())
            })?;
        }
        let nameless = unknown.iter().filter(|id| found.get(**id).is_none()).count();
        if nameless > 0 {
            return Err(ArchiveError::Answer(format!(
                "the table `edges` lacks {nameless} edges that others have counts of: restore it from a \
                 copy"
            )));
        }
        Ok(found)
    }
}

impl Writing<'_> {
    /// Asks what of `writer` is in, making the tables first if they are not there.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn ledger(&self, writer: &str) -> Result<Ledger, ArchiveError> {
        let archive = self.archive;
        archive.with_tables(|| {
            let sql = ask::ledger(&archive.history, writer);
            let answer = post(&archive.target, Ask { sql, ..Ask::default() })?;
            let [last_log, until_ms] = ask::numbers(&answer)?;
            let until = Timestamp::from_nanos(until_ms.saturating_mul(1_000_000));
            Ok(Ledger { last_log, until })
        })
    }

    /// Sends a segment. When it fails, the same may be sent again and counts once.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn send(&self, shipment: &Shipment) -> Result<(), ArchiveError> {
        let sent = self.archive.with_tables(|| self.archive.send(shipment));
        if sent.is_err() {
            self.archive.doubt_sent();
        }
        sent
    }
}

impl Reading<'_> {
    /// Asks for what ClickHouse has of what is wanted; of the newest rows only it tells all. `after` is the last log it counts for, of
    /// [`super::Reach::Archive`] since this right was given.
    ///
    /// # Errors
    /// [`ArchiveError`]; there is no partial answer.
    pub fn fetch(
        &self,
        (wanted, grain): (&Wanted, Grain),
        after: u64,
    ) -> Result<Archived, ArchiveError> {
        let archive = self.archive;
        archive.with_tables(|| {
            let (days, minutes) = match grain {
                Grain::Days => (Some(archive.day_sums(wanted)?), None),
                Grain::Minutes(limit) => (None, Some(archive.minute_sums(wanted, limit)?)),
            };
            let losses = archive.losses(wanted.range)?;
            Ok(Archived { after, wanted: wanted.clone(), days, minutes, losses })
        })
    }
}
