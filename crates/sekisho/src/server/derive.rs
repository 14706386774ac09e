//! From logged entries to flows and losses. Driven by the log alone, receive times included, so
//! that a replay gives what was recorded before the restart.

use std::collections::BTreeMap;

use anyhow::Context;
use sekisho_flow::{Directory, JoinCheckpoint, JoinLimits, Joiner};
use sekisho_model::{Batch, ClusterName, Flow, LossMinute, Timestamp};
use sekisho_store::{FlowSink, FrameKind, ReplayedLog};
use serde::{Deserialize, Serialize};

use super::agents::{Agents, Arrival};
use super::entry;
use super::losses::LossMeter;
use super::sources::Position;

/// Joiner, loss meter and agents: all state between log and history.
#[derive(Debug)]
pub(crate) struct Derivation {
    /// Whose agents report.
    cluster: ClusterName,
    joiner: Joiner,
    losses: LossMeter,
    /// Who reports.
    pub(crate) agents: Agents,
    /// Receive time of the last entry.
    told: Timestamp,
    /// How far live sources came, as far as a replay tells.
    positions: BTreeMap<String, Position>,
}

/// What a log begins with: the state after all logs before it.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    join: JoinCheckpoint,
    losses: LossMeter,
    agents: Agents,
    told: Timestamp,
}

/// What an entry gave.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    pub(crate) flows: Vec<Flow>,
    pub(crate) losses: Vec<LossMinute>,
}

impl Derivation {
    /// Makes the state before any batch of an agent of `cluster`.
    pub(crate) fn new(cluster: ClusterName) -> Self {
        Self {
            joiner: Joiner::new(JoinLimits::default(), cluster.clone()),
            cluster,
            losses: LossMeter::default(),
            agents: Agents::default(),
            told: Timestamp::EPOCH,
            positions: BTreeMap::new(),
        }
    }

    /// How far live sources came, as the replay told it.
    pub(crate) fn take_positions(&mut self) -> BTreeMap<String, Position> {
        std::mem::take(&mut self.positions)
    }

    /// Takes a durable batch that the server got at `received`; one that was taken before gives
    /// nothing new.
    pub(crate) fn take(
        &mut self,
        received: Timestamp,
        batch: Batch,
        directory: &dyn Directory,
    ) -> Derived {
        // The time first: a half of this batch waits from now on, however late it came.
        let mut derived = self.pass(received, directory);
        if self.agents.note(received, &batch) == Arrival::New {
            derived.losses = self.losses.measure(&self.cluster, received, &batch);
            self.joiner.push(batch, directory, &mut derived.flows);
        }
        derived
    }

    /// Tells the time: halves that waited long enough become flows.
    pub(crate) fn pass(&mut self, now: Timestamp, directory: &dyn Directory) -> Derived {
        let mut derived = Derived::default();
        self.told = now;
        self.joiner.advance(now, directory, &mut derived.flows);
        derived
    }

    /// Whether something waits for time to pass, and at least `period_s` did.
    pub(crate) fn wants_time(&self, now: Timestamp, period_s: u64) -> bool {
        self.joiner.stats().waiting > 0 && now.seconds_since(self.told) >= period_s
    }

    /// The state, as the next log begins with it.
    pub(crate) fn checkpoint(&self) -> anyhow::Result<Vec<u8>> {
        let checkpoint = Checkpoint {
            join: self.joiner.checkpoint(),
            losses: self.losses.clone(),
            agents: self.agents.lasting(),
            told: self.told,
        };
        postcard::to_stdvec(&checkpoint).context("encode the checkpoint")
    }

    /// Derives again what `logs` hold and records it; returns what of them is damaged, as text.
    pub(crate) fn replay(
        &mut self,
        logs: &[ReplayedLog],
        directory: &dyn Directory,
        store: &mut dyn FlowSink,
    ) -> anyhow::Result<Vec<String>> {
        let mut damages = Vec::new();
        for log in logs {
            for damage in &log.damage {
                let path = damage.path.display();
                let (offset, bytes) = (damage.offset, damage.bytes);
                tracing::error!(%path, offset, bytes, "log damaged: this part of history is lost");
                damages.push(format!("{bytes} bytes of `{path}` at offset {offset}"));
            }
            for frame in &log.frames {
                match frame.kind {
                    FrameKind::Checkpoint => self.restore(&frame.payload)?,
                    FrameKind::Batch => {
                        let entry = entry::decode(&frame.payload)?;
                        if let Some(told) = entry.told {
                            store.record(&told.flows, &told.losses);
                            self.positions.extend(told.position.map(|at| (told.source, at)));
                            continue;
                        }
                        let derived = match entry.batch {
                            Some(batch) => self.take(entry.received, batch, directory),
                            None => self.pass(entry.received, directory),
                        };
                        store.record(&derived.flows, &derived.losses);
                    }
                }
            }
        }
        Ok(damages)
    }

    fn restore(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let checkpoint: Checkpoint = postcard::from_bytes(bytes)
            .context("the log's checkpoint is of another version of sekisho")?;
        self.joiner.restore(checkpoint.join);
        self.losses = checkpoint.losses;
        self.agents = checkpoint.agents;
        self.told = checkpoint.told;
        Ok(())
    }

    /// What the joiner holds now, by name.
    pub(crate) fn held(&self) -> Vec<(String, u64)> {
        let stats = self.joiner.stats();
        let named = [("waiting", stats.waiting), ("connections", stats.connections)];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The joiner's counters, by name.
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        let stats = self.joiner.stats();
        let named = [
            ("halves", stats.halves),
            ("flows", stats.flows),
            ("joined", stats.joined),
            ("one_sided", stats.one_sided),
            ("denied_alone", stats.denied_alone),
            ("denials_repeated", stats.denials_repeated),
            ("evicted", stats.evicted),
            ("forgotten", stats.forgotten),
            ("duplicates", stats.duplicates),
            ("gaps", stats.gaps),
            ("loopback", stats.loopback),
            ("answers", stats.answers),
            ("skewed", stats.skewed),
        ];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
