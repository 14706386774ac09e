//! The server's state and the only way flows get into it: log first, then join, then record.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use sekisho_api::{AgentReport, AgentStatus};
use sekisho_base::Clock;
use sekisho_inventory::Inventory;
use sekisho_model::{Batch, Timestamp};
use sekisho_policy::Cluster;
use sekisho_store::{FlowStore, LocalStore, StoreLimits};

use super::cluster_feed::ClusterFeed;
use super::derive::Derivation;
use super::recent::RecentFlows;
use super::revisions::Revisions;
use super::service::SILENT_S;
use super::window::Heard;

/// Flows kept for `observe`.
const RECENT_FLOWS_MAX: usize = 65_536;

/// Everything the server knows.
pub(crate) struct Core {
    pub(crate) store: LocalStore,
    pub(crate) derivation: Derivation,
    pub(crate) inventory: Inventory,
    pub(crate) feed: ClusterFeed,
    pub(crate) recent: RecentFlows,
    pub(crate) revisions: Revisions,
    pub(crate) agents: BTreeMap<String, AgentStatus>,
    pub(crate) started: Timestamp,
    /// The cluster as last given to the nodes, and the generation it was given as.
    pub(crate) cluster: Cluster,
    pub(crate) generation: u64,
    /// Why the last write failed; empty = it did not.
    pub(crate) trouble: String,
    inventory_generation: u64,
    rotated: Timestamp,
}

impl Core {
    /// Opens `data_dir` and replays what was logged but not sealed.
    pub(crate) fn open(
        data_dir: &Path,
        journal: Option<&Path>,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let now = Timestamp::from_nanos(clock.now());
        let (store, logs) = LocalStore::open(data_dir, StoreLimits::default())
            .with_context(|| format!("open history in `{}`", data_dir.display()))?;
        let mut inventory = Inventory::default();
        let feed = ClusterFeed::open(data_dir, journal, &mut inventory)?;
        let mut core = Self {
            store,
            derivation: Derivation::new(),
            inventory,
            feed,
            recent: RecentFlows::new(RECENT_FLOWS_MAX),
            revisions: Revisions::open(&data_dir.join("revisions"))?,
            agents: BTreeMap::new(),
            started: now,
            cluster: Cluster::default(),
            // Later than any generation of an earlier run, so that nodes take it.
            generation: now.nanos() / 1_000_000,
            trouble: String::new(),
            inventory_generation: u64::MAX,
            rotated: now,
        };
        let agents = &mut core.agents;
        let note = |batch: &Batch| note_agent(agents, batch);
        core.derivation.replay(&logs, &core.inventory, &mut core.store, note)?;
        core.refresh_cluster(now);
        Ok(core)
    }

    /// Makes a batch durable, then takes it.
    pub(crate) fn ingest(&mut self, batch: Batch, frame: &[u8]) -> anyhow::Result<()> {
        if let Err(error) = self.store.append(&[frame]) {
            self.trouble = sekisho_base::error_chain(&error);
            return Err(error.into());
        }
        self.trouble.clear();
        self.take(batch);
        Ok(())
    }

    fn take(&mut self, batch: Batch) {
        note_agent(&mut self.agents, &batch);
        let derived = self.derivation.take(batch, &self.inventory);
        self.store.record(&derived.flows, &derived.losses);
        self.recent.extend(&derived.flows);
    }

    /// Reads what the cluster did since, and rotates the log when its time has come.
    pub(crate) fn tick(&mut self, now: Timestamp, rotate_s: u64) {
        if let Err(error) = self.feed.read(&mut self.inventory) {
            self.trouble = format!("{error:#}");
        }
        self.refresh_cluster(now);
        if now.seconds_since(self.rotated) >= rotate_s || self.store.wants_rotation() {
            self.rotated = now;
            self.rotate();
        }
    }

    /// Seals what is in memory. On failure everything stays where it is and the next one retries.
    pub(crate) fn rotate(&mut self) {
        let checkpoint = self.derivation.checkpoint();
        let sealed = checkpoint.and_then(|bytes| Ok(self.store.rotate(&bytes)?));
        if let Err(error) = sealed {
            self.trouble = format!("{error:#}");
            tracing::error!(error = %self.trouble, "history could not be sealed; kept in the log");
        }
    }

    /// Gives the nodes a new cluster if policy could tell the difference.
    fn refresh_cluster(&mut self, now: Timestamp) {
        if self.inventory.generation() == self.inventory_generation {
            return;
        }
        self.inventory_generation = self.inventory.generation();
        let cluster = Cluster::from_objects(&self.inventory.objects_at(now));
        if cluster != self.cluster {
            self.cluster = cluster;
            self.generation += 1;
        }
    }
}

fn note_agent(agents: &mut BTreeMap<String, AgentStatus>, batch: &Batch) {
    let agent = agents.entry(batch.node.clone()).or_insert_with(|| AgentStatus {
        node: batch.node.clone(),
        first_heard: batch.time,
        last_heard: batch.time,
        epoch: batch.epoch,
        sequence: 0,
        shed: 0,
        hooks: Vec::new(),
        report: AgentReport::default(),
    });
    agent.last_heard = agent.last_heard.max(batch.time);
    agent.epoch = batch.epoch;
    agent.sequence = batch.sequence;
    agent.shed = batch.shed;
    agent.hooks.clone_from(&batch.counters);
}

impl Core {
    /// Drops history beyond the given age and size.
    pub(crate) fn retain(&mut self, now: Timestamp, age_s: u64, bytes_max: u64) {
        if let Err(error) = self.store.apply_retention(now, age_s, bytes_max) {
            self.trouble = sekisho_base::error_chain(&error);
        }
        self.inventory.forget_before(now.minus_seconds(age_s));
    }

    /// All agents, with the first and the last time each was heard.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        let span = |agent: &AgentStatus| (agent.node.clone(), agent.first_heard, agent.last_heard);
        self.agents.values().map(span).collect()
    }

    /// What is wrong now, each with what to do.
    pub(crate) fn problems(&self, now: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.trouble.is_empty() {
            problems.push(format!(
                "history can't be written: {}; agents keep and resend",
                self.trouble
            ));
        }
        if self.feed.rejected > 0 {
            let (count, why) = (self.feed.rejected, &self.feed.rejection);
            problems.push(format!("{count} objects of the cluster unreadable, last: {why}"));
        }
        for agent in self.agents.values() {
            let silent_s = now.seconds_since(agent.last_heard);
            if silent_s >= SILENT_S {
                problems.push(format!(
                    "agent on {} silent for {silent_s} s: is it running? its last good policy stays in force",
                    agent.node
                ));
            }
            if !agent.report.error.is_empty() {
                problems.push(format!("agent on {}: {}", agent.node, agent.report.error));
            }
        }
        problems
    }
}
