//! Turns the agents' cumulative counters into losses per minute.

use std::collections::BTreeMap;

use sekisho_model::{Batch, ClusterName, LossMinute, Timestamp};
use serde::{Deserialize, Serialize};

/// Hook name for reports that an agent's own queue refused.
const AGENT_QUEUE: &str = "agent";
/// Hook name for what was lost on the way to history, or there.
pub(crate) const SERVER: &str = "server";

/// Last counters of each node, so that the next ones give a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LossMeter {
    nodes: BTreeMap<String, NodeCounters>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NodeCounters {
    epoch: Timestamp,
    /// Of the last batch; 0 = none in this epoch, None = none at all.
    sequence: Option<u64>,
    hooks: BTreeMap<String, (u64, u64)>,
    shed: u64,
}

impl LossMeter {
    /// Gives what `batch` of `cluster`, received at `received`, adds. Always one row for the agent's own queue,
    /// even if nothing happened: a minute without any row is a minute in which the agent was silent.
    pub(crate) fn measure(
        &mut self,
        cluster: &ClusterName,
        received: Timestamp,
        batch: &Batch,
    ) -> Vec<LossMinute> {
        let node = self.nodes.entry(batch.node.clone()).or_default();
        if node.epoch != batch.epoch {
            let sequence = node.sequence.map(|_of_former_epoch| 0);
            *node = NodeCounters { epoch: batch.epoch, sequence, ..NodeCounters::default() };
        }
        // A clock that is ahead must not put rows where retention never gets.
        let minute = batch.time.min(received).minute();
        let row = |hook: &str, produced, dropped| LossMinute {
            minute,
            cluster: cluster.clone(),
            node: batch.node.clone(),
            hook: hook.to_owned(),
            produced,
            dropped,
        };
        let mut rows = Vec::new();
        // Batches that never came: a damaged log, or one that was refused. What they held nobody
        // knows, so each counts as one record at least.
        let before = node.sequence.unwrap_or(batch.sequence.saturating_sub(1));
        let missing = batch.sequence.saturating_sub(before).saturating_sub(1);
        if missing > 0 {
            rows.push(row(SERVER, 0, missing));
        }
        node.sequence = Some(batch.sequence);
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

    const RECEIVED: Timestamp = Timestamp::MAX;

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
        meter.measure(&ClusterName::default(), RECEIVED, &batch(1, 10, 0));
        let rows = meter.measure(&ClusterName::default(), RECEIVED, &batch(1, 25, 2));
        assert_eq!((rows[0].produced, rows[0].dropped), (15, 2));
    }

    #[test]
    fn a_restarted_agent_counts_from_zero_again() {
        let mut meter = LossMeter::default();
        meter.measure(&ClusterName::default(), RECEIVED, &batch(1, 10, 0));
        assert_eq!(
            meter.measure(&ClusterName::default(), RECEIVED, &batch(2, 4, 0))[0].produced,
            4
        );
    }

    #[test]
    fn a_silent_batch_still_says_that_the_agent_lives() {
        let rows = LossMeter::default().measure(&ClusterName::default(), RECEIVED, &batch(1, 0, 0));
        assert_eq!((rows.len(), rows[0].hook.as_str()), (1, AGENT_QUEUE));
    }

    #[test]
    fn a_batch_that_never_came_is_a_loss_and_the_first_one_heard_is_none() {
        let mut meter = LossMeter::default();
        let with = |epoch, sequence| Batch { sequence, ..batch(epoch, 0, 0) };
        let lost = |rows: Vec<LossMinute>| -> u64 {
            rows.iter().filter(|row| row.hook == SERVER).map(|row| row.dropped).sum()
        };
        assert_eq!(lost(meter.measure(&ClusterName::default(), RECEIVED, &with(1, 9))), 0);
        assert_eq!(lost(meter.measure(&ClusterName::default(), RECEIVED, &with(1, 10))), 0);
        assert_eq!(lost(meter.measure(&ClusterName::default(), RECEIVED, &with(1, 13))), 2);
        assert_eq!(lost(meter.measure(&ClusterName::default(), RECEIVED, &with(2, 1))), 0);
        assert_eq!(lost(meter.measure(&ClusterName::default(), RECEIVED, &with(3, 4))), 3);
    }

    #[test]
    fn a_clock_that_is_ahead_puts_its_rows_at_the_time_of_receipt() {
        let received = Timestamp::from_seconds(61);
        let rows = LossMeter::default().measure(&ClusterName::default(), received, &batch(1, 1, 0));
        assert!(rows.iter().all(|row| row.minute == Timestamp::from_seconds(60)));
    }
}
