//! What all live sources have in common: an importer, a batch that becomes durable, and figures.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sekisho_api::{RejectFigures, SourceStatus};
use sekisho_exchange::{Format, HOOK, Import, Item, Reject, Tally};
use sekisho_model::{Flow, LossMinute, Timestamp};

use super::place::SourceConfig;
use super::resume::Position;
use crate::server::entry::Told;
use crate::server::service::{ClusterServer, now};

/// What the node of a source is called: this and its name.
const NODE_PREFIX: &str = "source:";
/// Flows that are recorded at once.
pub(super) const FLOWS_PER_BATCH: usize = 2_000;
/// Reasons that are told in a source's status.
const REASONS_TOLD_MAX: usize = 8;

/// A source's status, shared with whoever asks.
#[derive(Clone, Debug)]
pub(super) struct Shown(Arc<Mutex<SourceStatus>>);

impl Shown {
    pub(super) fn new(config: &SourceConfig) -> Self {
        Self(Arc::new(Mutex::new(SourceStatus {
            name: config.name.clone(),
            from: config.from.to_string(),
            state: "starting".to_owned(),
            since: now(),
            ..SourceStatus::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, SourceStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status now.
    pub(super) fn status(&self) -> SourceStatus {
        self.lock().clone()
    }

    /// Says how it is; `problem` is empty if all is well.
    pub(super) fn say(&self, state: &str, problem: &str) {
        let mut status = self.lock();
        if status.state == state && status.problem == problem {
            return;
        }
        if problem.is_empty() {
            tracing::info!(source = status.name, state, "live source");
        } else if status.problem != problem {
            tracing::warn!(source = status.name, state, problem, "live source");
        }
        if status.state != state {
            status.since = now();
        }
        state.clone_into(&mut status.state);
        problem.clone_into(&mut status.problem);
    }

    /// Counts a connection made again, a file that was rotated.
    pub(super) fn count_restart(&self) {
        self.lock().restarts += 1;
    }

    /// Counts what came from a sender that may not send, or was one too many.
    pub(super) fn count_refused(&self) {
        self.lock().refused += 1;
    }
}

/// Takes what one source gives.
pub(super) struct Intake {
    server: Arc<ClusterServer>,
    name: String,
    pub(super) shown: Shown,
    /// None: the format is not known yet.
    import: Option<Import>,
    /// Counts what came before the format was known, or is none of it.
    strays: Import,
    flows: Vec<Flow>,
    /// Not recorded yet, because the disk refused.
    losses: Vec<LossMinute>,
    position: Option<Position>,
    /// The last minute in which it said that it is there.
    attended: Timestamp,
}

impl Intake {
    /// An intake for the source of `config`.
    pub(super) fn new(server: Arc<ClusterServer>, config: &SourceConfig, shown: Shown) -> Self {
        Self {
            server,
            name: config.name.clone(),
            shown,
            import: None,
            strays: Import::new(Format::Hubble, now()),
            flows: Vec::new(),
            losses: Vec::new(),
            position: None,
            attended: Timestamp::EPOCH,
        }
    }

    /// Where the source goes on after a restart.
    pub(super) fn resumes_at(&self) -> Option<Position> {
        self.server.core().resume.of(&self.name)
    }

    /// Reads with `import` from now on.
    pub(super) fn read_with(&mut self, import: Import) {
        self.import = Some(import);
    }

    /// Whether the format is known.
    pub(super) fn has_format(&self) -> bool {
        self.import.is_some()
    }

    /// The format, if it is known.
    pub(super) fn format(&self) -> Option<Format> {
        self.import.as_ref().map(Import::format)
    }

    /// Reads a piece of lines.
    pub(super) fn piece(&mut self, piece: &[u8]) {
        let core = self.server.core();
        if let Some(import) = &mut self.import {
            import.feed(piece, &core.inventory, &mut self.flows);
        }
    }

    /// Reads what a line that never ended holds.
    pub(super) fn end_of_file(&mut self) {
        let core = self.server.core();
        if let Some(import) = &mut self.import {
            import.end(&core.inventory, &mut self.flows);
        }
    }

    /// Reads a datagram.
    pub(super) fn datagram(&mut self, sender: SocketAddr, payload: &[u8]) {
        let core = self.server.core();
        if let Some(import) = &mut self.import {
            import.datagram((sender, payload), &core.inventory, &mut self.flows);
        }
    }

    /// Takes what a message says.
    pub(super) fn take(&mut self, sample: &[u8], says: Result<Option<Item>, Reject>) {
        let core = self.server.core();
        let import = self.import.as_mut().unwrap_or(&mut self.strays);
        import.take(sample, says, &core.inventory, &mut self.flows);
    }

    /// Counts what was not understood before it came to a format.
    pub(super) fn reject(&mut self, sample: &[u8], reason: &str) {
        let core = self.server.core();
        let says = Err(Reject::new(reason));
        self.strays.take(sample, says, &core.inventory, &mut self.flows);
    }

    /// Counts records that never came to be read.
    pub(super) fn lose(&mut self, records: u64) {
        if records > 0 {
            self.take(b"", Ok(Some(Item::Lost { at: Some(now()), records })));
        }
    }

    /// Throws away what was read again only to know what came before.
    pub(super) fn forget(&mut self) {
        self.flows.clear();
        if let Some(import) = &mut self.import {
            import.take_losses();
        }
    }

    /// Notes how far the source came; durable with the next [`Self::record`].
    pub(super) fn reached(&mut self, position: Position) {
        self.position = Some(position);
    }

    /// Whether there is enough to be recorded.
    pub(super) fn is_full(&self) -> bool {
        self.flows.len() >= FLOWS_PER_BATCH
    }

    /// Makes durable what was read, with the position; `there` says that the source works, so that
    /// silence is no gap. On failure everything is kept for the next try.
    pub(super) fn record(&mut self, there: bool) -> anyhow::Result<()> {
        let now = now();
        self.show();
        let mut losses = std::mem::take(&mut self.losses);
        losses.extend(self.fresh_losses());
        if there && self.attended != now.minute() {
            self.attended = now.minute();
            losses.push(self.loss(now.minute(), 0, 0));
        }
        if self.flows.is_empty() && losses.is_empty() && self.position.is_none() {
            return Ok(());
        }
        let cluster = self.server.name().clone();
        for flow in &mut self.flows {
            flow.key.cluster = cluster.clone();
        }
        let flows = std::mem::take(&mut self.flows);
        let told =
            Told { source: self.name.clone(), position: self.position.take(), flows, losses };
        let done = self.server.core().take_told(told, now);
        for import in [&mut self.strays].into_iter().chain(&mut self.import) {
            import.tell_time(now);
        }
        done.map_err(|(told, error)| {
            let Told { flows, losses, position, .. } = told;
            (self.flows, self.losses, self.position) = (flows, losses, position);
            self.shown.say("waiting", &format!("history can't be written: {error:#}"));
            error
        })
    }

    fn fresh_losses(&mut self) -> Vec<LossMinute> {
        let imports = [&mut self.strays].into_iter().chain(&mut self.import);
        let rows: Vec<LossMinute> = imports.flat_map(Import::take_losses).collect();
        rows.into_iter().map(|row| self.loss(row.minute, row.produced, row.dropped)).collect()
    }

    fn loss(&self, minute: Timestamp, produced: u64, dropped: u64) -> LossMinute {
        LossMinute {
            minute,
            cluster: self.server.name().clone(),
            node: format!("{NODE_PREFIX}{}", self.name),
            hook: HOOK.to_owned(),
            produced,
            dropped,
        }
    }

    fn show(&self) {
        let tallies = [Some(self.strays.tally()), self.import.as_ref().map(Import::tally)];
        let tallies: Vec<Tally> = tallies.into_iter().flatten().collect();
        let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).fold(0, u64::saturating_add);
        let mut reasons: Vec<RejectFigures> = tallies
            .iter()
            .flat_map(|tally| &tally.rejected)
            .map(|(reason, one)| RejectFigures {
                reason: reason.clone(),
                count: one.count,
                sample: one.sample.clone(),
            })
            .collect();
        reasons.sort_by_key(|one| std::cmp::Reverse(one.count));
        reasons.truncate(REASONS_TOLD_MAX);
        let mut status = self.shown.lock();
        status.units = sum(|tally| tally.lines);
        status.records = sum(|tally| tally.records);
        status.connections = sum(|tally| tally.connections);
        status.lost = sum(|tally| tally.lost);
        status.skipped =
            sum(|tally| tally.skipped.values().fold(0, |sum, count| sum.saturating_add(*count)));
        status.rejected = sum(Tally::rejected_sum);
        status.last = tallies.iter().filter_map(|tally| tally.covered).map(|(_, last)| last).max();
        status.reasons = reasons;
    }
}
