//! Which container a cgroup is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sekisho_base::error_chain;
use sekisho_model::Container;

use super::runtime::{ContainerRuntime, CriError};
use crate::cgroup::{container_id, pod_uid};

/// Containers remembered, also ended ones: their last connections are reported after them.
const CONTAINERS_MAX: usize = 16_384;
/// Ids that the runtime does not know, remembered so that it is not asked again at once.
const UNKNOWN_MAX: usize = 4_096;
/// The runtime is asked at most so often.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// An id that the runtime did not know may become known: a cgroup is made before its container is
/// listed.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);
/// Pause after the runtime gave no answer.
const FAILED_FOR: Duration = Duration::from_secs(10);

/// How the runtime answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerCounts {
    /// Containers known now.
    pub known: usize,
    /// Questions to the runtime.
    pub asked: u64,
    /// Questions without an answer.
    pub failed: u64,
    /// Cgroups of pods whose container was not known when it was asked for.
    pub missed: u64,
}

/// Looks containers up by cgroup path, and asks the runtime for those it does not know.
#[derive(Debug)]
pub struct Containers {
    runtime: Option<ContainerRuntime>,
    known: BTreeMap<String, (u64, Container)>,
    unknown: BTreeMap<String, Instant>,
    /// Counts the questions: what was not in the latest answers goes first.
    round: u64,
    next: Option<Instant>,
    counts: ContainerCounts,
    failure: String,
}

impl Containers {
    /// Asks the runtime at `socket`; without one, no container is known.
    ///
    /// # Errors
    /// [`CriError`] if the path can't be used. A runtime that does not answer yet is no error.
    pub fn new(socket: Option<PathBuf>) -> Result<Self, CriError> {
        let runtime = socket.map(|path| ContainerRuntime::new(&path)).transpose()?;
        let (known, unknown) = (BTreeMap::new(), BTreeMap::new());
        let counts = ContainerCounts::default();
        let failure = String::new();
        Ok(Self { runtime, known, unknown, round: 0, next: None, counts, failure })
    }

    /// Where containers are asked for, for people.
    #[must_use]
    pub fn source(&self) -> String {
        match &self.runtime {
            Some(runtime) => format!("CRI at {}", runtime.path().display()),
            None => "no container runtime socket".to_owned(),
        }
    }

    /// Figures since the start.
    #[must_use]
    pub fn counts(&self) -> ContainerCounts {
        ContainerCounts { known: self.known.len(), ..self.counts }
    }

    /// Why the runtime did not answer last; empty if it did.
    #[must_use]
    pub fn failure(&self) -> &str {
        &self.failure
    }

    /// The container of a cgroup path of a pod. `now` is a monotonic time.
    ///
    /// Waits for the runtime, half a second at most, where the container is new.
    pub fn of_cgroup(&mut self, path: &str, now: Instant) -> Option<Container> {
        self.runtime.as_ref()?;
        pod_uid(path)?;
        let id = container_id(path)?;
        if let Some((_, container)) = self.known.get(id) {
            return Some(container.clone());
        }
        let waits = self.unknown.get(id).is_some_and(|until| now < *until);
        if !waits && self.next.is_none_or(|next| now >= next) {
            self.ask(now);
        }
        let found = self.known.get(id).map(|(_, container)| container.clone());
        if found.is_none() {
            self.counts.missed += 1;
            if !waits {
                self.set_unknown(id, now);
            }
        }
        found
    }

    fn set_unknown(&mut self, id: &str, now: Instant) {
        if self.unknown.len() >= UNKNOWN_MAX {
            self.unknown.retain(|_, until| now < *until);
        }
        if self.unknown.len() < UNKNOWN_MAX {
            self.unknown.insert(id.to_owned(), now + UNKNOWN_FOR);
        }
    }

    fn ask(&mut self, now: Instant) {
        let Some(runtime) = &self.runtime else { return };
        self.counts.asked += 1;
        self.round += 1;
        match runtime.containers() {
            Ok(found) => {
                self.failure.clear();
                self.next = Some(now + ASK_EVERY);
                for one in found {
                    self.unknown.remove(&one.id);
                    self.known.insert(one.id, (self.round, one.container));
                }
                self.forget();
            }
            Err(error) => {
                self.counts.failed += 1;
                self.failure = error_chain(&error);
                self.next = Some(now + FAILED_FOR);
            }
        }
    }

    /// Forgets those that were not listed for longest.
    fn forget(&mut self) {
        while self.known.len() > CONTAINERS_MAX {
            let oldest = self.known.values().map(|(round, _)| *round).min();
            let before = self.known.len();
            let mut left = before.saturating_sub(CONTAINERS_MAX);
            self.known.retain(|_, (round, _)| {
                let goes = left > 0 && Some(*round) == oldest;
                left -= usize::from(goes);
                !goes
            });
            if self.known.len() == before {
                return;
            }
        }
    }
}
