//! Halves of all agents to flows.

use sekisho_model::{Batch, Flow, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Directory;

/// Bounds of a [`Joiner`].
#[derive(Clone, Copy, Debug)]
pub struct JoinLimits {
    /// Halves that wait for their other end.
    pub waiting_max: usize,
    /// How long a half waits, seconds of batch time.
    pub window_s: u64,
    /// Joined connections remembered (for reports that follow).
    pub connections_max: usize,
}

impl Default for JoinLimits {
    fn default() -> Self {
        Self { waiting_max: 262_144, window_s: 3, connections_max: 262_144 }
    }
}

/// Everything a joiner must remember across a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCheckpoint {}

/// Joins halves.
#[derive(Debug)]
pub struct Joiner {
    limits: JoinLimits,
}

impl Joiner {
    /// Makes an empty joiner.
    #[must_use]
    pub fn new(limits: JoinLimits) -> Self {
        Self { limits }
    }

    /// Takes a batch; false if it was taken before (same node, epoch, and not a later sequence).
    pub fn push(&mut self, batch: Batch, directory: &dyn Directory, out: &mut Vec<Flow>) -> bool {
        // SKELETON: being written.
        let (_, _, _, _) = (batch, directory, out, self.limits);
        true
    }

    /// Tells the time: halves that waited long enough become flows with one reporter.
    pub fn advance(&mut self, now: Timestamp, directory: &dyn Directory, out: &mut Vec<Flow>) {
        let (_, _, _) = (now, directory, out);
    }

    /// What must survive a restart.
    #[must_use]
    pub fn checkpoint(&self) -> JoinCheckpoint {
        JoinCheckpoint {}
    }

    /// Takes the place of what is remembered now.
    pub fn restore(&mut self, checkpoint: JoinCheckpoint) {
        let _ = checkpoint;
    }
}
