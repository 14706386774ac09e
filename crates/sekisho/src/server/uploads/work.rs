//! Reads the files that were handed in, one after the other, into history.

use std::sync::Arc;
use std::time::Duration;

use sekisho_api::{ImportState, ImportStatus, RejectFigures};
use sekisho_exchange::{Import, Tally};
use sekisho_model::{Flow, LossMinute, Timestamp};
use sekisho_system::wait;

use crate::flow_file::FlowFile;
use crate::server::entry::Told;
use crate::server::service::{ClusterServer, now};
use crate::server::sources::Position;
use crate::signals::Stop;

/// Between two looks for a file, and after the disk refused.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// Flows that become durable at once.
const FLOWS_PER_BATCH: usize = 16_384;
/// Reasons that are told.
const REASONS_MAX: usize = 8;

/// What a reading is called in the log; no live source has a colon in its name.
fn source_of(id: &str) -> String {
    format!("upload:{id}")
}

/// A file that is being read.
struct Reading<'a> {
    server: &'a ClusterServer,
    source: String,
    told: ImportStatus,
    import: Import,
    flows: Vec<Flow>,
    losses: Vec<LossMinute>,
    /// Units whose flows are in history since before a restart.
    known: u64,
}

/// Reads what is handed in until `stop`.
pub(crate) async fn run(server: Arc<ClusterServer>, stop: Stop) {
    while !stop.is_set() {
        let (own, ending) = (Arc::clone(&server), stop.clone());
        let read = tokio::task::spawn_blocking(move || read_next(&own, &ending)).await;
        if !read.unwrap_or_default() {
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(LOOK_PERIOD) => {}
            }
        }
    }
}

/// Reads the next file; false = there is none, or it has to wait.
fn read_next(server: &ClusterServer, stop: &Stop) -> bool {
    let desk = server.desk();
    let Some(mut told) = desk.next() else { return false };
    told.state = ImportState::Reading;
    desk.tell(&told);
    let place = desk.place(&told.id);
    let format = told.format.parse().ok();
    let ended = FlowFile::open(&place, &told.name, format)
        .and_then(|file| Reading::new(server, told.clone(), &file).read(file, stop));
    match ended {
        // It goes on when the server does.
        Ok(None) => return false,
        Ok(Some(done)) => told = ImportStatus { state: ImportState::Done, ..done },
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(file = told.name, error, "a file that was handed in can't be read");
            told = desk.list().into_iter().find(|one| one.id == told.id).unwrap_or(told);
            told.state = ImportState::Failed;
            told.problem = error;
        }
    }
    match desk.end(&told) {
        // How far it came is told by the desk from now on, and not before: else it would be read anew.
        Ok(()) if told.state == ImportState::Done => {
            server.core().resume.forget(&source_of(&told.id));
        }
        Ok(()) => {}
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "what became of a file is not written down");
        }
    }
    true
}

impl<'a> Reading<'a> {
    fn new(server: &'a ClusterServer, told: ImportStatus, file: &FlowFile) -> Self {
        let source = source_of(&told.id);
        let known = match server.core().resume.of(&source) {
            Some(Position::Units(units)) => units,
            Some(Position::Time(_) | Position::File { .. }) | None => 0,
        };
        let import = Import::new(file.format, now());
        Self { server, source, told, import, flows: Vec::new(), losses: Vec::new(), known }
    }

    /// Reads it to its end; None = it was stopped.
    fn read(mut self, mut file: FlowFile, stop: &Stop) -> anyhow::Result<Option<ImportStatus>> {
        let mut piece = Vec::new();
        let broken = loop {
            match file.next_piece(&mut piece) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
            let core = self.server.core();
            self.import.feed(&piece, &core.inventory, &mut self.flows);
            drop(core);
            if self.import.lines() <= self.known {
                self.flows.clear();
                self.import.take_losses();
            }
            if self.flows.len() >= FLOWS_PER_BATCH && !self.record(self.import.lines(), stop)? {
                return Ok(None);
            }
            self.show();
            if stop.is_set() {
                return Ok(None);
            }
        };
        if let Some(error) = broken {
            // What came before counts, and is not read again should it come whole.
            self.record(self.import.lines().max(self.known), stop)?;
            self.show();
            return Err(error);
        }
        if self.known < u64::MAX {
            let core = self.server.core();
            self.import.end(&core.inventory, &mut self.flows);
            drop(core);
            if !self.record(u64::MAX, stop)? {
                return Ok(None);
            }
        }
        self.show();
        Ok(Some(self.told))
    }

    /// Makes durable what was read; false = the disk refuses, and the server ends.
    fn record(&mut self, units: u64, stop: &Stop) -> anyhow::Result<bool> {
        let cluster = self.server.name();
        for flow in &mut self.flows {
            flow.key.cluster.clone_from(cluster);
        }
        self.losses = self.import.take_losses();
        for loss in &mut self.losses {
            loss.cluster.clone_from(cluster);
        }
        let mut told = Told {
            source: self.source.clone(),
            position: Some(Position::Units(units)),
            flows: std::mem::take(&mut self.flows),
            losses: std::mem::take(&mut self.losses),
        };
        loop {
            let done = self.server.core().take_past(told, now());
            let Err((back, error)) = done else { break };
            // Nothing more is read while the disk refuses.
            self.told.problem = format!("history can't be written: {error:#}");
            self.server.desk().tell(&self.told);
            if wait::until(LOOK_PERIOD, || stop.is_set().then_some(())).is_some() {
                return Ok(false);
            }
            told = back;
        }
        self.told.problem.clear();
        Ok(true)
    }

    fn show(&mut self) {
        fill(&mut self.told, &self.import.tally());
        self.server.desk().tell(&self.told);
    }
}

/// Puts the figures of `tally` into `told`.
fn fill(told: &mut ImportStatus, tally: &Tally) {
    let mut reasons: Vec<RejectFigures> = tally
        .rejected
        .iter()
        .map(|(reason, one)| RejectFigures {
            reason: reason.clone(),
            count: one.count,
            sample: one.sample.clone(),
        })
        .collect();
    reasons.sort_by_key(|one| std::cmp::Reverse(one.count));
    reasons.truncate(REASONS_MAX);
    let covered: Option<(Timestamp, Timestamp)> = tally.covered;
    *told = ImportStatus {
        units: tally.lines,
        records: tally.records,
        connections: tally.connections,
        skipped: tally.skipped.values().fold(0, |sum, count| sum.saturating_add(*count)),
        rejected: tally.rejected_sum(),
        lost: tally.lost,
        reasons,
        from: covered.map(|(first, _)| first),
        to: covered.map(|(_, last)| last),
        ..std::mem::take(told)
    };
}
