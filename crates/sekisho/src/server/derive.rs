//! From logged batches to flows and losses. Driven by the batches alone, so that a replay of the
//! log gives what was recorded before the restart.

use anyhow::Context;
use sekisho_flow::{Directory, JoinCheckpoint, JoinLimits, Joiner};
use sekisho_model::{Batch, Flow, LossMinute};
use sekisho_store::{FlowStore, FrameKind, ReplayedLog};
use serde::{Deserialize, Serialize};

use super::losses::LossMeter;

/// Joiner and loss meter: all state between log and history.
#[derive(Debug)]
pub(crate) struct Derivation {
    joiner: Joiner,
    losses: LossMeter,
}

/// What a log begins with: the state after all logs before it.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    join: JoinCheckpoint,
    losses: LossMeter,
}

/// What a batch gave.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    pub(crate) flows: Vec<Flow>,
    pub(crate) losses: Vec<LossMinute>,
}

impl Derivation {
    /// Makes the state before any batch.
    pub(crate) fn new() -> Self {
        Self { joiner: Joiner::new(JoinLimits::default()), losses: LossMeter::default() }
    }

    /// Takes a durable batch; one that was taken before gives nothing.
    pub(crate) fn take(&mut self, batch: Batch, directory: &dyn Directory) -> Derived {
        let now = batch.time;
        let mut measured = self.losses.clone();
        let losses = measured.measure(&batch);
        let mut flows = Vec::new();
        if !self.joiner.push(batch, directory, &mut flows) {
            return Derived::default();
        }
        self.losses = measured;
        self.joiner.advance(now, directory, &mut flows);
        Derived { flows, losses }
    }

    /// The state, as the next log begins with it.
    pub(crate) fn checkpoint(&self) -> anyhow::Result<Vec<u8>> {
        let checkpoint = Checkpoint { join: self.joiner.checkpoint(), losses: self.losses.clone() };
        postcard::to_stdvec(&checkpoint).context("encode the checkpoint")
    }

    /// Derives again what `logs` hold and records it; each batch is also given to `seen`.
    pub(crate) fn replay(
        &mut self,
        logs: &[ReplayedLog],
        directory: &dyn Directory,
        store: &mut dyn FlowStore,
        mut seen: impl FnMut(&Batch),
    ) -> anyhow::Result<()> {
        for log in logs {
            for damage in &log.damage {
                let path = damage.path.display();
                tracing::error!(%path, offset = damage.offset, bytes = damage.bytes, "log damaged: this part of history is lost");
            }
            for frame in &log.frames {
                match frame.kind {
                    FrameKind::Checkpoint => self.restore(&frame.payload)?,
                    FrameKind::Batch => {
                        let batch: Batch = postcard::from_bytes(&frame.payload)
                            .context("a logged batch is of another version of sekisho")?;
                        seen(&batch);
                        let derived = self.take(batch, directory);
                        store.record(&derived.flows, &derived.losses);
                    }
                }
            }
        }
        Ok(())
    }

    fn restore(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let checkpoint: Checkpoint = postcard::from_bytes(bytes)
            .context("the log's checkpoint is of another version of sekisho")?;
        self.joiner.restore(checkpoint.join);
        self.losses = checkpoint.losses;
        Ok(())
    }

    /// The joiner's counters, by name.
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        let stats = self.joiner.stats();
        let named = [
            ("waiting", stats.waiting),
            ("connections", stats.connections),
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
            ("skewed", stats.skewed),
        ];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
