//! Every agent that was heard, as far as its batches tell. Part of the checkpoint: an agent that
//! died is a gap also after the server was started again.

use std::collections::BTreeMap;

use sekisho_api::{AgentReport, AgentStatus};
use sekisho_model::{Batch, Timestamp};
use serde::{Deserialize, Serialize};

use super::window::Heard;

/// Longest name of a node, as of a DNS name.
const NODE_CHARS_MAX: usize = 253;

/// Agents by node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agents(BTreeMap<String, AgentStatus>);

/// What a batch is in the order of its node's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// To be taken.
    New,
    /// Taken before.
    Taken,
    /// From an agent that started earlier than the one that reports now.
    Replaced,
}

/// Whether `name` can stand in a path, a metric's label and a line of text as it is.
pub(crate) fn is_node_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !name.is_empty() && name.len() <= NODE_CHARS_MAX && name.chars().all(plain)
}

impl Agents {
    /// Says what `batch` is; notes nothing.
    pub(crate) fn arrival(&self, batch: &Batch) -> Arrival {
        let Some(agent) = self.0.get(&batch.node) else { return Arrival::New };
        match batch.epoch.cmp(&agent.epoch) {
            std::cmp::Ordering::Less => Arrival::Replaced,
            std::cmp::Ordering::Equal if batch.sequence <= agent.sequence => Arrival::Taken,
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Arrival::New,
        }
    }

    /// Notes a batch, and that its agent was heard at `received`.
    pub(crate) fn note(&mut self, received: Timestamp, batch: &Batch) -> Arrival {
        let arrival = self.arrival(batch);
        // An agent whose clock is ahead was not heard in the future.
        let first_heard = batch.time.min(received);
        let agent = self.0.entry(batch.node.clone()).or_insert_with(|| AgentStatus {
            node: batch.node.clone(),
            first_heard,
            last_heard: received,
            epoch: batch.epoch,
            sequence: 0,
            shed: 0,
            hooks: Vec::new(),
            report: AgentReport::default(),
        });
        agent.first_heard = agent.first_heard.min(first_heard);
        agent.last_heard = agent.last_heard.max(received);
        if arrival == Arrival::New {
            if batch.epoch != agent.epoch {
                // What its predecessor said of itself says nothing of this one.
                agent.report = AgentReport::default();
            }
            agent.epoch = batch.epoch;
            agent.sequence = batch.sequence;
            agent.shed = batch.shed;
            agent.hooks.clone_from(&batch.counters);
        }
        arrival
    }

    /// Takes an agent's words about itself; those of an agent that sent no batch yet are for later.
    pub(crate) fn report(&mut self, node: &str, report: AgentReport) {
        if let Some(agent) = self.0.get_mut(node) {
            agent.report = report;
        }
    }

    /// Whether `node` was ever heard.
    pub(crate) fn knows(&self, node: &str) -> bool {
        self.0.contains_key(node)
    }

    /// All, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &AgentStatus> {
        self.0.values()
    }

    /// All, with the first and the last time each was heard.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        let span = |agent: &AgentStatus| (agent.node.clone(), agent.first_heard, agent.last_heard);
        self.0.values().map(span).collect()
    }

    /// What must survive a restart: not what agents say of themselves, they say it again.
    pub(crate) fn lasting(&self) -> Self {
        let mut agents = self.clone();
        for agent in agents.0.values_mut() {
            agent.report = AgentReport::default();
        }
        agents
    }

    /// Forgets those that were not heard since `horizon`: their history is gone, too.
    pub(crate) fn forget_before(&mut self, horizon: Timestamp) {
        self.0.retain(|_, agent| agent.last_heard >= horizon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: u64, sequence: u64) -> Batch {
        Batch {
            node: "node-1".to_owned(),
            epoch: Timestamp::from_seconds(epoch),
            sequence,
            time: Timestamp::from_seconds(500),
            halves: Vec::new(),
            counters: Vec::new(),
            shed: 0,
        }
    }

    #[test]
    fn a_repeated_batch_is_known_and_a_replaced_agent_is_told_apart() {
        let mut agents = Agents::default();
        let at = Timestamp::from_seconds(100);
        assert_eq!(agents.note(at, &batch(5, 1)), Arrival::New);
        assert_eq!(agents.note(at, &batch(5, 1)), Arrival::Taken);
        assert_eq!(agents.note(at, &batch(5, 2)), Arrival::New);
        assert_eq!(agents.note(at, &batch(6, 1)), Arrival::New);
        assert_eq!(agents.note(at, &batch(5, 3)), Arrival::Replaced);
        assert_eq!(agents.iter().next().map(|agent| agent.sequence), Some(1));
    }

    #[test]
    fn an_agent_whose_clock_is_ahead_is_heard_when_it_is_heard() {
        let mut agents = Agents::default();
        agents.note(Timestamp::from_seconds(100), &batch(5, 1));
        let at = Timestamp::from_seconds(100);
        assert_eq!(agents.heard(), [("node-1".to_owned(), at, at)]);
    }

    #[test]
    fn names_that_would_break_a_path_or_a_label_are_none() {
        for name in ["", "a b", "a/b", "a\"b", "a\n", "ä", &"x".repeat(254)] {
            assert!(!is_node_name(name), "{name}");
        }
        assert!(is_node_name("ip-10-0-0-1.eu_west.internal"));
    }
}
