//! Denied connections on their way from the kernel's log to the capture loop.
//!
//! Fails open: a log that can't be read is opened again, and until then denials are enforced but
//! not named.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sekisho_base::error_chain;
use sekisho_enforce::DenyLog;
use sekisho_model::{DecidedBy, Event, HookCounters};

/// NFLOG group of our denials; any number that nobody else uses in the namespace.
pub(crate) const LOG_GROUP: u16 = 1_807;
/// Ids of decisions remembered: those of old revisions stay, for log lines that come late.
const DECISIONS_MAX: usize = 65_536;
/// Pause before a log that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(5);

/// What the ids in the log stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions(Arc<Mutex<BTreeMap<u32, DecidedBy>>>);

impl Decisions {
    /// The ids, locked.
    pub(crate) fn known(&self) -> MutexGuard<'_, BTreeMap<u32, DecidedBy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds those of a new revision.
    pub(crate) fn learn(&self, decisions: BTreeMap<u32, DecidedBy>) {
        let mut known = self.known();
        known.extend(decisions);
        while known.len() > DECISIONS_MAX {
            known.pop_first();
        }
    }
}

/// Reads the denials, for the capture loop.
#[derive(Debug)]
pub(crate) struct DenyReader {
    netns: PathBuf,
    decisions: Decisions,
    log: Option<DenyLog>,
    /// When the log may be tried again; None = at once.
    closed: Option<Instant>,
    /// Counts of logs that were closed.
    before: (u64, u64, u64),
}

impl DenyReader {
    /// Makes a reader of the denials in the namespace at `netns`; opens the log.
    pub(crate) fn new(netns: PathBuf, decisions: Decisions) -> Self {
        let mut reader = Self { netns, decisions, log: None, closed: None, before: (0, 0, 0) };
        reader.reopen();
        reader
    }

    fn reopen(&mut self) {
        if self.closed.is_some_and(|closed| closed.elapsed() < REOPEN) {
            return;
        }
        match DenyLog::open(&self.netns, LOG_GROUP) {
            Ok(log) => {
                if self.closed.take().is_some() {
                    tracing::info!("denied connections are named again");
                }
                self.log = Some(log);
            }
            Err(error) => {
                // Said once: an earlier agent may still hold the group for a moment.
                if self.closed.replace(Instant::now()).is_none() {
                    let error = error_chain(&error);
                    tracing::warn!(error, "denied connections are not named; will be tried again");
                }
            }
        }
    }

    /// Appends what was denied since; never waits.
    pub(crate) fn poll(&mut self, events: &mut Vec<Event>) {
        let Some(log) = &mut self.log else { return self.reopen() };
        let mut records = Vec::new();
        let polled = log.poll(Duration::ZERO, &self.decisions.known(), &mut records);
        events.extend(records.into_iter().map(Event::Denied));
        if let Err(error) = polled {
            tracing::warn!(error = %error_chain(&error), "deny log unreadable, opened again");
            let last = log.counters();
            self.before.0 += last.produced;
            self.before.1 += last.delivered;
            self.before.2 += last.dropped;
            self.log = None;
            self.closed = Some(Instant::now());
        }
    }

    /// Its counters since the agent started, as hook `deny`; None if the log was never open.
    pub(crate) fn counters(&self) -> Option<HookCounters> {
        let now = self.log.as_ref().map(DenyLog::counters);
        if now.is_none() && self.before == (0, 0, 0) {
            return None;
        }
        let now = now.map_or((0, 0, 0), |now| (now.produced, now.delivered, now.dropped));
        Some(HookCounters {
            hook: "deny".to_owned(),
            produced: self.before.0 + now.0,
            delivered: self.before.1 + now.1,
            dropped: self.before.2 + now.2,
        })
    }
}
