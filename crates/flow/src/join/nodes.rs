//! Which batches were taken, and which of them tell of loss.

use std::collections::BTreeMap;

use sekisho_model::{Batch, Timestamp};
use serde::{Deserialize, Serialize};

/// The last batch of each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nodes {
    names: Vec<String>,
    by_name: BTreeMap<String, Node>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    index: u32,
    epoch: Timestamp,
    sequence: u64,
    lost: u64,
}

/// What a batch is in the order of its node's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Taken before.
    Duplicate,
    /// From an agent that was replaced since.
    Stale,
    /// To be taken.
    New {
        /// The node's number, which stays.
        node: u32,
        /// Batches missing before it.
        gap: u64,
        /// The agent lost records since its previous batch.
        loss: bool,
    },
}

impl Nodes {
    /// Notes that `batch` arrived.
    pub(super) fn arrive(&mut self, batch: &Batch) -> Arrival {
        let dropped = batch.counters.iter().map(|hook| hook.dropped).fold(0, u64::saturating_add);
        let lost = dropped.saturating_add(batch.shed);
        let Some(known) = self.by_name.get_mut(&batch.node) else {
            let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            self.names.push(batch.node.clone());
            let node = Node { index, epoch: batch.epoch, sequence: batch.sequence, lost };
            self.by_name.insert(batch.node.clone(), node);
            // What came before the server's first batch of a node is no gap in its knowledge.
            return Arrival::New { node: index, gap: 0, loss: lost > 0 };
        };
        if batch.epoch < known.epoch {
            return Arrival::Stale;
        }
        let mut before = (known.sequence, known.lost);
        if batch.epoch > known.epoch {
            before = (0, 0);
        } else if batch.sequence <= known.sequence {
            return Arrival::Duplicate;
        }
        let gap = batch.sequence.saturating_sub(before.0).saturating_sub(1);
        let loss = lost > before.1 || gap > 0;
        (known.epoch, known.sequence, known.lost) = (batch.epoch, batch.sequence, lost);
        Arrival::New { node: known.index, gap, loss }
    }

    /// Names by number.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}
