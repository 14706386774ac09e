//! Which node an agent is on, by the word of its cluster's API server.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sekisho_api::Refusal;
use sekisho_base::{error_chain, harmless};
use sekisho_inventory::attest::Attestor;
use sekisho_model::Timestamp;
use tokio::runtime::Handle;

use super::service::now;

/// How often it is told, at most, that certificates were given, and that some were not.
const TOLD_PERIOD: Duration = Duration::from_secs(10);

/// How long `status` tells of an agent that got no certificate, seconds.
const PROBLEM_S: u64 = 120;

/// Asks an API server from threads that may block.
#[derive(Default)]
pub(crate) struct Witness {
    /// Once the server runs.
    asked: OnceLock<(Handle, Attestor)>,
    given: Told,
    denied: Told,
    /// The last agent that got no certificate, and why.
    last: Mutex<Option<(Timestamp, String)>>,
}

impl Witness {
    /// Learns whom to ask; the current runtime does it.
    pub(crate) fn begin(&self, attestor: Attestor) {
        // It is told once, before anybody asks.
        self.asked.set((Handle::current(), attestor)).ok();
    }

    fn last(&self) -> MutexGuard<'_, Option<(Timestamp, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last agent that got no certificate, unless that is long ago: it asks once a minute at least.
    pub(crate) fn problem(&self, time: Timestamp) -> Option<String> {
        let last = self.last().clone();
        last.filter(|(at, _)| time.seconds_since(*at) < PROBLEM_S).map(|(_, words)| words)
    }

    /// See [`sekisho_api::Service::attest`].
    pub(crate) fn attest(&self, node: &str, token: &str) -> Result<(), Refusal> {
        let Some((runtime, attestor)) = self.asked.get() else {
            return Err(Refusal::Unavailable("the server is starting".to_owned()));
        };
        match runtime.block_on(attestor.attest(token, node)) {
            Ok(attested) => {
                if let Some(count) = self.given.count() {
                    tracing::info!(node, pod = attested.pod, count, "certificates for agents");
                }
                Ok(())
            }
            Err(error) => {
                let why = error_chain(&error);
                let words = format!("the agent on {} gets no certificate: {why}", harmless(node));
                *self.last() = Some((now(), words));
                if let Some(count) = self.denied.count() {
                    tracing::warn!(node, why, count, "no certificates for agents");
                }
                Err(match error.is_temporary() {
                    true => Refusal::Unavailable(why),
                    false => Refusal::Denied(why),
                })
            }
        }
    }
}

/// Counts what is told now and then only: a node that was taken over asks as often as it likes.
#[derive(Default)]
struct Told(Mutex<(u64, Option<Instant>)>);

impl Told {
    /// Counts one more; how many since the last time, if it is time to tell.
    fn count(&self) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.0 += 1;
        if told.1.is_some_and(|last| last.elapsed() < TOLD_PERIOD) {
            return None;
        }
        told.1 = Some(Instant::now());
        Some(std::mem::take(&mut told.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_was_refused_is_told_for_two_minutes() {
        let witness = Witness::default();
        assert_eq!(witness.problem(Timestamp::from_seconds(1_000)), None);
        *witness.last() = Some((Timestamp::from_seconds(1_000), "why".to_owned()));
        assert_eq!(witness.problem(Timestamp::from_seconds(1_119)).as_deref(), Some("why"));
        assert_eq!(witness.problem(Timestamp::from_seconds(1_120)), None);
    }

    #[test]
    fn the_first_is_told_and_what_comes_soon_after_it_is_counted() {
        let told = Told::default();
        assert_eq!(told.count(), Some(1));
        assert_eq!((told.count(), told.count()), (None, None));
        told.0.lock().unwrap().1 = None;
        assert_eq!(told.count(), Some(3));
    }
}
