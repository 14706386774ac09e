//! Batches on their way to the server: kept until acknowledged, bounded, and what does not fit is
//! counted as shed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_api::Client;
use sekisho_base::{Queue, error_chain};
use sekisho_model::{Batch, Half, HookCounters, Timestamp};
use tokio::sync::Notify;

/// Pause before a batch is sent again.
const RETRY: Duration = Duration::from_millis(500);

/// The queue between capture and sender.
pub(crate) struct Outbox {
    node: String,
    epoch: Timestamp,
    state: Mutex<State>,
    filled: Notify,
}

struct State {
    waiting: Queue<Batch>,
    /// The batch being sent; it stays here until acknowledged.
    sending: Option<Batch>,
    sequence: u64,
    shed: u64,
    /// Whether the server ever took a batch.
    taken: bool,
}

impl Outbox {
    /// Makes an empty queue of at most `batches_max` batches.
    pub(crate) fn new(node: &str, epoch: Timestamp, batches_max: usize) -> Self {
        let state = State {
            waiting: Queue::new(batches_max),
            sending: None,
            sequence: 0,
            shed: 0,
            taken: false,
        };
        Self { node: node.to_owned(), epoch, state: Mutex::new(state), filled: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes a batch of `halves` and queues it; if the queue is full its halves are shed and
    /// counted (the counters are cumulative and travel with the next batch).
    pub(crate) fn post(&self, halves: Vec<Half>, counters: Vec<HookCounters>, time: Timestamp) {
        let count = halves.len() as u64;
        let mut state = self.state();
        let batch = Batch {
            node: self.node.clone(),
            epoch: self.epoch,
            sequence: state.sequence + 1,
            time,
            halves,
            counters,
            shed: state.shed,
        };
        if state.waiting.push(batch) {
            state.sequence += 1;
        } else {
            state.shed += count;
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Halves shed since the start.
    pub(crate) fn shed(&self) -> u64 {
        self.state().shed
    }

    /// Whether everything was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state();
        state.waiting.is_empty() && state.sending.is_none()
    }

    fn front(&self) -> Option<Batch> {
        let mut state = self.state();
        if state.sending.is_none() {
            state.sending = state.waiting.pop();
        }
        state.sending.clone()
    }

    fn acknowledged(&self) {
        let mut state = self.state();
        state.sending = None;
        state.taken = true;
    }

    /// The server will never take the batch: its halves are lost, and counted.
    fn refused(&self) {
        let mut state = self.state();
        let count = state.sending.take().map_or(0, |batch| batch.halves.len() as u64);
        state.shed += count;
    }

    /// Sends batch after batch for ever; cancel by dropping.
    pub(crate) async fn send_all(&self, client: &Client) {
        let mut failing = false;
        let mut refusal = String::new();
        loop {
            let Some(batch) = self.front() else {
                self.filled.notified().await;
                continue;
            };
            match client.send_batch(&batch).await {
                Ok(_ack) => {
                    if failing {
                        tracing::info!("server answers again");
                    }
                    failing = false;
                    refusal.clear();
                    self.acknowledged();
                }
                Err(error) if error.is_temporary() => {
                    if !failing {
                        let error = error_chain(&error);
                        tracing::warn!(error, "batch not acknowledged; kept and sent again");
                    }
                    failing = true;
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    let why = error_chain(&error);
                    if why != refusal {
                        tracing::error!(error = why, "server refuses batches; counted as shed");
                        refusal = why;
                    }
                    self.refused();
                }
            }
        }
    }
}

/// Ready once the server took a batch: a rollout stops at an agent that the server does not know or
/// does not let in. A server that goes away later makes no agent less ready: nothing is lost yet.
impl sekisho_api::Health for Outbox {
    fn is_alive(&self) -> bool {
        true
    }

    fn is_ready(&self) -> bool {
        self.state().taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> Half {
        Half::Denied(sekisho_model::DenyRecord {
            time: Timestamp::EPOCH,
            protocol: sekisho_model::Protocol::Tcp,
            source: "10.0.0.1:1".parse().unwrap(),
            destination: "10.0.0.2:2".parse().unwrap(),
            decided_by: sekisho_model::DecidedBy {
                policy: "a/b".to_owned(),
                rule: None,
                direction: sekisho_model::Direction::Egress,
            },
            audit: false,
        })
    }

    #[test]
    fn a_full_outbox_sheds_counts_and_leaves_no_gap_in_the_sequence() {
        let outbox = Outbox::new("n", Timestamp::EPOCH, 1);
        outbox.post(vec![denied()], Vec::new(), Timestamp::EPOCH);
        outbox.post(vec![denied(), denied()], Vec::new(), Timestamp::EPOCH);
        assert_eq!(outbox.shed(), 2);
        assert_eq!(outbox.front().map(|batch| batch.sequence), Some(1));
        outbox.acknowledged();
        outbox.post(Vec::new(), Vec::new(), Timestamp::EPOCH);
        let next = outbox.front().unwrap();
        assert_eq!((next.sequence, next.shed), (2, 2));
    }

    #[test]
    fn a_batch_stays_until_it_is_acknowledged() {
        let outbox = Outbox::new("n", Timestamp::EPOCH, 8);
        outbox.post(vec![denied()], Vec::new(), Timestamp::EPOCH);
        assert!(outbox.front().is_some() && outbox.front().is_some());
        assert!(!outbox.is_empty());
        outbox.acknowledged();
        assert!(outbox.is_empty());
    }
}
