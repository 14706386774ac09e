//! The server behind the API.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_api::{
    Ack, AgentReport, ApplyRequest, ApplyResponse, DatapathMode, FlowPage, Order, Refusal,
    Revision, RollbackRequest, Service, Snapshot, SnapshotQuery, Status, StoreFigures,
};
use sekisho_base::{Clock, error_chain};
use sekisho_model::{Batch, TimeRange, Timestamp};
use sekisho_store::FlowStore;
use sekisho_system::{SystemClock, wait};

use super::core::Core;
use super::{metrics, window};
use crate::config::ServerConfig;
use crate::pipeline::{self, History};

/// How long apply and rollback wait for the nodes.
const ROLLOUT_WAIT: Duration = Duration::from_secs(20);
/// Window of the completeness in `status`, seconds.
const STATUS_WINDOW_S: u64 = 900;
/// An agent that was silent for so long is called lost, seconds.
pub(crate) const SILENT_S: u64 = 15;

/// One server on one machine.
pub(crate) struct LocalService {
    core: Mutex<Core>,
}

impl LocalService {
    /// Opens the data folder and replays the log.
    pub(crate) fn open(config: &ServerConfig) -> anyhow::Result<Self> {
        let core = Core::open(&config.data_dir, config.journal.as_deref(), &SystemClock)?;
        Ok(Self { core: Mutex::new(core) })
    }

    /// The state; a panic of another thread does not lock everybody out.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals history before the end.
    pub(crate) fn close(&self) {
        self.core().rotate();
    }

    fn history(&self, range: TimeRange) -> Result<History, Refusal> {
        self.snapshot(SnapshotQuery { range }).map(History::of)
    }

    /// Waits until every node has the current order in force, or has said why not.
    fn await_rollout(&self, mut response: ApplyResponse) -> ApplyResponse {
        if response.revision.is_none() {
            return response;
        }
        let done = |(_, pending): &(Vec<String>, Vec<String>)| pending.is_empty();
        let settled = wait::until(ROLLOUT_WAIT, || Some(self.core().rollout()).filter(done));
        (response.nodes, response.pending) = settled.unwrap_or_else(|| self.core().rollout());
        response
    }
}

fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

impl Service for LocalService {
    fn ingest(&self, batch: Batch, frame: &[u8]) -> Result<Ack, Refusal> {
        let sequence = batch.sequence;
        let taken = self.core().ingest(batch, frame);
        taken.map_err(|error| Refusal::Unavailable(format!("{error:#}")))?;
        Ok(Ack { sequence })
    }

    fn order(&self, node: &str, after: u64) -> Option<Order> {
        let core = self.core();
        if core.generation <= after || !core.agents.contains_key(node) {
            return None;
        }
        let record = |mode| core.revisions.newest(mode).and_then(|found| found.record.clone());
        Some(Order {
            generation: core.generation,
            enforce: record(DatapathMode::Enforce),
            audit: record(DatapathMode::Audit),
            revision: core.enforced(),
            cluster: core.cluster.clone(),
        })
    }

    fn report(&self, node: &str, report: AgentReport) {
        if let Some(agent) = self.core().agents.get_mut(node) {
            agent.report = report;
        }
    }

    fn status(&self) -> Status {
        let time = now();
        let core = self.core();
        let range = TimeRange { from: time.minus_seconds(STATUS_WINDOW_S), to: time };
        let losses = core.store.losses(range).unwrap_or_default();
        let expected =
            pipeline::expected_nodes(&window::expected_nodes(range, &losses, &core.heard()));
        let completeness = sekisho_map::completeness(&losses, &expected, range);
        let store = core.store.status();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time,
            started: core.started,
            agents: core.agents.values().cloned().collect(),
            completeness: completeness.ratio,
            gaps: completeness.gaps,
            flows: core.recent.added(),
            revision: core.enforced(),
            staged: core.staged(),
            objects: core.inventory.objects_at(time).len() as u64,
            store: StoreFigures {
                bytes: store.bytes,
                segments: store.segments as u64,
                hot_rows: store.hot_rows as u64,
                degraded: store.degraded.clone().unwrap_or_default(),
            },
            memory_bytes: crate::memory::resident_bytes(),
            joiner: core.derivation.counters(),
            problems: core.problems(time),
        }
    }

    fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, Refusal> {
        let failed = |error: &dyn std::error::Error| Refusal::Unavailable(error_chain(error));
        let core = self.core();
        let heard = core.heard();
        let mut snapshot =
            window::snapshot(&core.store, &core.inventory, &heard, query.range, now())
                .map_err(|error| failed(&error))?;
        snapshot.current = core.revisions.rules(DatapathMode::Enforce);
        Ok(snapshot)
    }

    fn flows(&self, cursor: u64, count: usize) -> FlowPage {
        self.core().recent.page(cursor, count)
    }

    fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Refusal> {
        let history = self.history(request.range)?;
        let response = self.core().apply(&request, &history, now())?;
        Ok(self.await_rollout(response))
    }

    fn rollback(&self, request: RollbackRequest) -> Result<ApplyResponse, Refusal> {
        let response = self.core().rollback(&request, now())?;
        Ok(self.await_rollout(response))
    }

    fn revisions(&self) -> Vec<Revision> {
        self.core().revisions.all()
    }

    fn metrics(&self) -> String {
        let status = self.status();
        metrics::exposition(&status)
    }
}
