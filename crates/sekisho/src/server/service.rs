//! What the server does for one cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_api::{
    Ack, AgentReport, ApplyRequest, ApplyResponse, DatapathMode, DropPage, Enforcement, FlowPage,
    Health, IngestFigures, Order, Refusal, Revision, RollbackRequest, Snapshot, SnapshotQuery,
    Status, StoreFigures, VerifiedImages,
};
use sekisho_base::{Clock, error_chain};
use sekisho_flow::identify;
use sekisho_model::{Batch, ClusterName, DropRecord, EdgeKey, TimeRange, Timestamp};
use sekisho_policy::RuleSet;
use sekisho_store::{Counted, FlowStore, Joined, Parts, Reach, ScanError, Wanted};
use sekisho_system::{SystemClock, wait};

use super::agents::{Arrival, is_node_name};
use super::archive::{Old, Shipping};
use super::core::Core;
use super::images::Reviewed;
use super::native::Native;
use super::policies::read_objects;
use super::problems::Duty;
use super::sources::Followed;
use super::ticked::Ticked;
use super::uploads::Desk;
use super::window::{Asked, Sources};
use super::witness::Witness;
use super::{archive, damage, window};
use crate::config::{ClusterConfig, ServerConfig};
use crate::pipeline::{self, History};

/// How long apply and rollback wait for the nodes.
const ROLLOUT_WAIT: Duration = Duration::from_secs(20);
/// Window of the completeness in `status`, seconds.
const STATUS_WINDOW_S: u64 = 900;
/// How often history is asked again whose files went while it was read.
const ASKED_AGAIN_MAX: u32 = 3;
/// An agent that was silent for so long is called lost, seconds.
pub(crate) const SILENT_S: u64 = sekisho_api::AGENT_SILENT_S;

/// History, policies, orders and native enforcement of one cluster. It knows of no other: addresses
/// and names of two clusters may be the same.
pub(crate) struct ClusterServer {
    name: ClusterName,
    core: Mutex<Core>,
    /// When the last tick was done, milliseconds since the start.
    ticked: Ticked,
    /// The cluster whose plugin enforces; None: agents do.
    native: Option<Native>,
    reviewed: Mutex<Reviewed>,
    /// Who tells which node an agent is on; None: nobody asks.
    witness: Option<Witness>,
    /// Flows that come from elsewhere than from agents.
    sources: Followed,
    /// Files that were handed in.
    desk: Desk,
    /// Where history goes that outgrows the folder; None: nowhere.
    shipping: Option<Shipping>,
}

impl ClusterServer {
    /// Opens the cluster's data folder and replays the log.
    pub(crate) fn open(
        name: ClusterName,
        data_dir: &Path,
        source: &ClusterConfig,
        config: &ServerConfig,
    ) -> anyhow::Result<Self> {
        let journal = source.journal.as_deref();
        let mut core = Core::open(name.clone(), data_dir, journal, &SystemClock)?;
        let native = Native::open(&name, source, config)?;
        core.fresh = native.as_ref().map(|_| Vec::new());
        let mut shipping = Shipping::open(&config.clickhouse, &name)?;
        if shipping.is_some() {
            core.store.attach_archive()?;
            shipping = shipping.map(|shipping| shipping.with_lost(core.store.archive_lag(now())));
        }
        Ok(Self {
            name,
            shipping,
            core: Mutex::new(core),
            ticked: Ticked::default(),
            native,
            reviewed: Mutex::default(),
            witness: source.agent_account.as_ref().map(|_| Witness::default()),
            sources: Followed::default(),
            desk: Desk::open(data_dir)?,
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &ClusterName {
        &self.name
    }

    /// What is known of the images that run.
    pub(crate) fn reviewed(&self) -> MutexGuard<'_, Reviewed> {
        self.reviewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster whose plugin enforces; None: agents do.
    pub(crate) fn native(&self) -> Option<&Native> {
        self.native.as_ref()
    }

    /// Where history goes that outgrows the folder; None: nowhere.
    pub(crate) fn shipping(&self) -> Option<&Shipping> {
        self.shipping.as_ref()
    }

    /// Who tells which node an agent is on; None: nobody asks.
    pub(crate) fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref()
    }

    /// The files that were handed in.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Its live sources.
    pub(crate) fn sources(&self) -> &Followed {
        &self.sources
    }

    /// The state; a panic of another thread does not lock everybody out.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns that a tick was done.
    pub(crate) fn ticked(&self) {
        self.ticked.note();
    }

    /// Seals history before the end.
    pub(crate) fn close(&self) {
        self.core().rotate();
    }

    pub(crate) fn history(&self, range: TimeRange) -> Result<History, Refusal> {
        self.snapshot(&SnapshotQuery::of(range)).map(History::of)
    }

    /// Removes what was merged at the last call, and merges what is over now. Others go on with the
    /// history meanwhile.
    pub(crate) fn merge_segments(&self, now: Timestamp) {
        let plan = {
            let mut core = self.core();
            let removed = core.store.remove_replaced().map_err(anyhow::Error::from);
            core.troubles.note(Duty::Merge, &removed);
            core.store.compaction(now)
        };
        let Some(plan) = plan else { return };
        let (parts, rows) = (plan.parts(), plan.rows());
        let made = plan.run();
        let mut core = self.core();
        let adopted = made
            .map_err(anyhow::Error::from)
            .and_then(|made| core.store.adopt(made).map_err(anyhow::Error::from));
        core.troubles.note(Duty::Merge, &adopted);
        if adopted.is_ok() {
            tracing::info!(parts, rows, "segments merged");
        }
    }

    /// Waits until every node has the current order in force, or has said why not.
    fn await_rollout(&self, mut response: ApplyResponse) -> ApplyResponse {
        let Some(revision) = response.revision else { return response };
        let done = |(_, pending): &(Vec<String>, Vec<String>)| pending.is_empty();
        let settled = wait::until(ROLLOUT_WAIT, || Some(self.core().rollout()).filter(done));
        (response.nodes, response.pending) = settled.unwrap_or_else(|| self.core().rollout());
        response.established = self.core().established(revision);
        response
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

/// Alive as long as it ticks; ready when it can store what agents send.
impl Health for ClusterServer {
    fn is_alive(&self) -> bool {
        self.ticked.is_recent()
    }

    fn is_ready(&self) -> bool {
        // Busy with a replay is not out of order: whoever holds the lock gives it back.
        self.is_alive()
            && self.core.try_lock().map_or(true, |core| !core.troubles.has(Duty::Append))
    }
}

impl ClusterServer {
    /// See [`sekisho_api::Service::ingest`].
    pub(crate) fn ingest(&self, batch: Batch, frame: &[u8]) -> Result<Ack, Refusal> {
        let sequence = batch.sequence;
        if !is_node_name(&batch.node) {
            let text = format!("`{}` is no name of a node: letters, digits, . - _", batch.node);
            return Err(Refusal::Invalid(text));
        }
        let mut core = self.core();
        if core.derivation.agents.arrival(&batch) == Arrival::Replaced {
            core.counts.refused += 1;
            return Err(Refusal::Invalid(format!(
                "an agent that started later reports as `{}`: end one of them, or name them apart",
                batch.node
            )));
        }
        if core.feed.holds_agents(now()) {
            let text = "the cluster is being listed: send it again in a moment";
            return Err(Refusal::Unavailable(text.to_owned()));
        }
        let taken = core.ingest(batch, frame, now());
        taken.map_err(|error| Refusal::Unavailable(format!("{error:#}")))?;
        Ok(Ack { sequence })
    }

    /// See [`sekisho_api::Service::order`].
    pub(crate) fn order(&self, node: &str, after: u64) -> Option<Order> {
        let mut core = self.core();
        if !core.derivation.agents.knows(node) {
            return None;
        }
        core.keep_ahead_of(after);
        // While the cluster is not known in full, nodes keep what they have.
        if core.generation <= after || core.feed.is_listing() {
            return None;
        }
        // What the cluster's plugin enforces is not ours to enforce; and what agents enforced stays
        // until a native revision took its place.
        let record = |mode| {
            let newest = core.revisions.newest(mode)?;
            let ours = newest.enforcement == Enforcement::Datapath
                && (mode == DatapathMode::Enforce || self.native.is_none());
            newest.record.clone().filter(|_| ours)
        };
        let enforced = core.revisions.newest(DatapathMode::Enforce);
        Some(Order {
            generation: core.generation,
            enforce: record(DatapathMode::Enforce),
            audit: record(DatapathMode::Audit),
            revision: core.enforced(),
            cut: enforced.is_some_and(|revision| revision.cut),
            cluster: core.cluster.clone(),
        })
    }

    /// See [`sekisho_api::Service::report`].
    pub(crate) fn report(&self, node: &str, report: AgentReport) {
        self.core().derivation.agents.report(node, report);
    }

    /// See [`sekisho_api::Service::status`].
    pub(crate) fn status(&self) -> Status {
        let time = now();
        // Before the core is locked: whoever judges flows locks these the other way round.
        let native = self.native.as_ref().map(Native::status);
        let images = self.reviewed().status();
        let sources = self.sources.status();
        let core = self.core();
        let range = TimeRange { from: time.minus_seconds(STATUS_WINDOW_S), to: time };
        let mut problems = core.problems(time);
        problems.extend(native.iter().flat_map(super::native_words::problems));
        problems.extend(images.iter().filter_map(super::images::problem));
        problems.extend(super::sources::problems(&sources));
        problems.extend(self.witness.iter().filter_map(|witness| witness.problem(time)));
        let mut losses = core.store.losses(range).unwrap_or_else(|error| {
            problems.push(format!("history can't be read: {}", error_chain(&error)));
            Vec::new()
        });
        losses.extend(damage::losses((&self.name, &core.damaged), range, range.from));
        let heard = core.derivation.agents.heard();
        let expected = pipeline::expected_nodes(&window::expected_nodes(range, &losses, &heard));
        let completeness = sekisho_map::completeness(&losses, &expected, range);
        let store = self.store_figures(&core, time, &mut problems);
        Status {
            cluster_name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time,
            started: core.started,
            agents: core.derivation.agents.iter().cloned().collect(),
            completeness: completeness.ratio,
            gaps: completeness.gaps,
            flows: core.recent.added(),
            flows_held: core.recent.held() as u64,
            flows_held_max: core.recent.capacity() as u64,
            revision: core.enforced(),
            staged: core.staged(),
            objects: core.objects as u64,
            store,
            memory_bytes: crate::memory::resident_bytes(),
            joiner: core.derivation.counters(),
            joiner_held: core.derivation.held(),
            ingest: IngestFigures {
                taken: core.counts.taken,
                repeated: core.counts.repeated,
                refused: core.counts.refused,
            },
            generation: core.generation,
            cluster: core.feed.status(),
            sources,
            problems,
            listener: None,
            console: None,
            enforcement: match &self.native {
                Some(_) => Enforcement::Native,
                None => Enforcement::Datapath,
            },
            native,
            images,
            sinks: Vec::new(),
            others: Vec::new(),
        }
    }

    /// The figures of history; what is wrong with where it goes is added to `problems`.
    fn store_figures(
        &self,
        core: &Core,
        time: Timestamp,
        problems: &mut Vec<String>,
    ) -> StoreFigures {
        let store = core.store.status();
        let lag = core.store.archive_lag(time);
        let archive = self.shipping.as_ref().zip(lag.clone()).map(|(shipping, lag)| {
            let figures = shipping.figures(lag);
            problems.extend(shipping.problems(&figures));
            figures
        });
        if archive.is_none() {
            problems.extend(lag.as_ref().and_then(archive::forgotten));
        }
        StoreFigures {
            bytes: store.bytes,
            segments: store.segments as u64,
            hot_rows: store.hot_rows as u64,
            degraded: store.degraded.clone().unwrap_or_default(),
            archive,
        }
    }

    /// See [`sekisho_api::Service::snapshot`].
    pub(crate) fn snapshot(&self, query: &SnapshotQuery) -> Result<Snapshot, Refusal> {
        let mut asked_again = 0;
        loop {
            let old = self.old(&window::wanted(query), query.step)?;
            let asked = self.ask(query, old).map_err(|error| refused(&error))?;
            // Retention was faster than we were: a part of the window went meanwhile.
            let Some((asked, current, verified)) = asked else {
                if asked_again == ASKED_AGAIN_MAX {
                    let text = "history is being moved: ask again in a moment";
                    return Err(Refusal::Unavailable(text.to_owned()));
                }
                asked_again += 1;
                continue;
            };
            // Agents go on reporting while files are read.
            match asked.answer() {
                Ok(snapshot) => return Ok(Snapshot { current, verified, ..snapshot }),
                Err(error) if error.is_gone() && asked_again < ASKED_AGAIN_MAX => asked_again += 1,
                Err(error) => return Err(refused(&error)),
            }
        }
    }

    /// Connections of each of `parts` by the class that `class` gives an edge, which may leave it out
    /// with None. None if ClickHouse has a part of what is wanted.
    pub(crate) fn series(
        &self,
        wanted: &Wanted,
        parts: Parts,
        class: &mut dyn FnMut(&EdgeKey) -> Option<usize>,
    ) -> Result<Option<Vec<BTreeMap<usize, Counted>>>, Refusal> {
        let mut asked_again = 0;
        loop {
            let question = {
                let core = self.core();
                if self.shipping.is_some() && core.store.reach(wanted.range) != Reach::Here {
                    return Ok(None);
                }
                core.store.series(wanted, parts)
            };
            // Agents go on reporting while files are read.
            match question.answer(class) {
                Ok(sums) => return Ok(Some(sums)),
                Err(error) if error.is_gone() && asked_again < ASKED_AGAIN_MAX => asked_again += 1,
                Err(error) => return Err(refused(&error)),
            }
        }
    }

    /// What a snapshot takes, with the policies in force; `old` is what ClickHouse has of it. None if
    /// the folder has not all any more that it had when that was asked.
    fn ask(
        &self,
        query: &SnapshotQuery,
        old: Option<Old<'_>>,
    ) -> Result<Option<(Asked, RuleSet, Option<VerifiedImages>)>, ScanError> {
        let core = self.core();
        let is_partial = self.shipping.is_some() && core.store.reach(query.range) != Reach::Here;
        if old.is_none() && is_partial {
            return Ok(None);
        }
        // Nothing is shipped until the folder's part is taken, too.
        let (archived, _reading) = old.map(|old| (old.archived, old.reading)).unzip();
        let joined = archived.map(|archived| Joined::new(&core.store, archived));
        let store: &dyn FlowStore = match &joined {
            Some(joined) => joined,
            None => &core.store,
        };
        let agents = core.derivation.agents.heard();
        let sources = Sources {
            cluster: &self.name,
            store,
            inventory: &core.inventory,
            agents: &agents,
            damaged: &core.damaged,
        };
        let asked = window::ask(&sources, query, now())?;
        let current = core.revisions.rules(DatapathMode::Enforce);
        Ok(Some((asked, current, core.revisions.verified_images())))
    }

    /// See [`sekisho_api::Service::flows`].
    pub(crate) fn flows(&self, cursor: u64, count: usize) -> FlowPage {
        let core = self.core();
        let page = core.recent.page(cursor, count);
        let flows = page.items.into_iter().cloned().collect();
        FlowPage { cursor: page.cursor, missed: page.missed, flows }
    }

    /// See [`sekisho_api::Service::drops`].
    pub(crate) fn drops(&self, cursor: u64, count: usize) -> DropPage {
        let core = self.core();
        let page = core.drops.page(cursor, count);
        // Named when asked: the cluster may tell of a pod later than its packets are dropped.
        let name = |(node, record): &(String, DropRecord)| {
            identify(&self.name, node, record, &core.inventory)
        };
        let drops = page.items.into_iter().map(name).collect();
        DropPage { cursor: page.cursor, missed: page.missed, drops }
    }

    /// See [`sekisho_api::Service::nodes_of`].
    pub(crate) fn nodes_of(&self, pods: &[(&str, &str)]) -> Vec<Option<String>> {
        let core = self.core();
        let node = |(namespace, pod): &(&str, &str)| core.inventory.node_of_pod(namespace, pod);
        pods.iter().map(node).collect()
    }

    /// See [`sekisho_api::Service::apply`].
    pub(crate) fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Refusal> {
        if let (Some(native), DatapathMode::Enforce) = (&self.native, request.mode) {
            return self.apply_native(native, &request);
        }
        let objects = read_objects(&request.files)?;
        let history = self.history(request.range)?;
        let basis = self.core().basis(&request);
        // The replay may take seconds: agents go on reporting meanwhile.
        let answer = basis.what_if(&request, objects, &history)?;
        let images = answer.verified.as_ref().map(|of| self.core().images(&history, of.rules()));
        let answer = (answer, images.unwrap_or_default());
        let response = self.core().enact(&request, &basis, answer, now())?;
        if self.native.is_some() {
            // Staged only: the server's own evaluation of flows, no node has a part in it.
            return Ok(ApplyResponse { enforcement: Enforcement::Native, ..response });
        }
        Ok(self.await_rollout(response))
    }

    /// See [`sekisho_api::Service::rollback`].
    pub(crate) fn rollback(&self, request: RollbackRequest) -> Result<ApplyResponse, Refusal> {
        if let Some(native) = &self.native {
            return self.rollback_native(native, &request);
        }
        if request.repair {
            let text =
                "agents enforce here, and repair their own rules at once: leave --repair out";
            return Err(Refusal::Invalid(text.to_owned()));
        }
        let response = self.core().rollback(&request, now())?;
        Ok(self.await_rollout(response))
    }

    /// See [`sekisho_api::Service::revisions`].
    pub(crate) fn revisions(&self) -> Vec<Revision> {
        self.core().revisions.all()
    }
}

fn refused(error: &ScanError) -> Refusal {
    match error {
        ScanError::TooMany { .. } => Refusal::Invalid(error.to_string()),
        ScanError::Segment { .. } | ScanError::NotFetched => {
            Refusal::Unavailable(error_chain(error))
        }
    }
}
