//! Turns the agents' cumulative counters into losses per minute.

use std::collections::BTreeMap;

use sekisho_model::{Batch, LossMinute, Timestamp};
use serde::{Deserialize, Serialize};

/// Hook name for reports that an agent's own queue refused.
const AGENT_QUEUE: &str = "agent";

/// Last counters of each node, so that the next ones give a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LossMeter {
    nodes: BTreeMap<String, NodeCounters>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NodeCounters {
    epoch: Timestamp,
    hooks: BTreeMap<String, (u64, u64)>,
    shed: u64,
}

impl LossMeter {
    /// Gives what `batch` adds. Always one row for the agent's own queue, even if nothing happened:
    /// a minute without any row is a minute in which the agent was silent.
    pub(crate) fn measure(&mut self, batch: &Batch) -> Vec<LossMinute> {
        let node = self.nodes.entry(batch.node.clone()).or_default();
        if node.epoch != batch.epoch {
            *node = NodeCounters { epoch: batch.epoch, ..NodeCounters::default() };
        }
        let row = |hook: &str, produced, dropped| LossMinute {
            minute: batch.time.minute(),
            node: batch.node.clone(),
            hook: hook.to_owned(),
            produced,
            dropped,
        };
        let mut rows = Vec::new();
        for counters in &batch.counters {
            let last = node.hooks.entry(counters.hook.clone()).or_default();
            let produced = counters.produced.saturating_sub(last.0);
            let dropped = counters.dropped.saturating_sub(last.1);
            *last = (counters.produced, counters.dropped);
            if produced > 0 || dropped > 0 {
                rows.push(row(&counters.hook, produced, dropped));
            }
        }
        let shed = batch.shed.saturating_sub(node.shed);
        node.shed = batch.shed;
        // The queue is a stage of its own: what it took and what it had to refuse.
        rows.push(row(AGENT_QUEUE, batch.halves.len() as u64 + shed, shed));
        rows
    }
}

#[cfg(test)]
mod tests {
    use sekisho_model::HookCounters;

    use super::*;

    fn batch(epoch: u64, produced: u64, dropped: u64) -> Batch {
        Batch {
            node: "node-1".to_owned(),
            epoch: Timestamp::from_seconds(epoch),
            sequence: 1,
            time: Timestamp::from_seconds(1_000),
            halves: Vec::new(),
            counters: vec![HookCounters {
                hook: "udp".to_owned(),
                produced,
                delivered: produced - dropped,
                dropped,
            }],
            shed: 0,
        }
    }

    #[test]
    fn cumulative_counters_become_differences() {
        let mut meter = LossMeter::default();
        meter.measure(&batch(1, 10, 0));
        let rows = meter.measure(&batch(1, 25, 2));
        assert_eq!((rows[0].produced, rows[0].dropped), (15, 2));
    }

    #[test]
    fn a_restarted_agent_counts_from_zero_again() {
        let mut meter = LossMeter::default();
        meter.measure(&batch(1, 10, 0));
        assert_eq!(meter.measure(&batch(2, 4, 0))[0].produced, 4);
    }

    #[test]
    fn a_silent_batch_still_says_that_the_agent_lives() {
        let rows = LossMeter::default().measure(&batch(1, 0, 0));
        assert_eq!((rows.len(), rows[0].hook.as_str()), (1, AGENT_QUEUE));
    }
}
