//! The joiner's time: the server's if it is told, else what most batches say.

use sekisho_model::Timestamp;
use serde::{Deserialize, Serialize};

/// A batch whose time is farther than this from the server's doesn't move the joiner's; seconds.
const SKEW_MAX_S: u64 = 60;
/// Batches after which a node that was ahead of all others, and fell silent, rules time no more.
const LEADER_SILENT_BATCHES: u32 = 1_000;

/// The latest time told, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Clock {
    pub(super) now: Timestamp,
    /// A time of the server's own was told: it rules, and batches may only refine it.
    told: bool,
    /// Time of the latest batch.
    heard: Timestamp,
    /// The node whose batch moved `now` last, and batches of others since it was heard.
    leader: Option<u32>,
    leader_silent: u32,
}

/// What a told time did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It moved the time forward, or lay in the past.
    Fine,
    /// It is too far ahead of the server's.
    Ignored,
    /// It turned the time back.
    SetBack,
}

impl Clock {
    /// Takes the server's time. The time of the latest batch, given again, tells nothing new.
    pub(super) fn tell(&mut self, now: Timestamp) -> Heard {
        if now == self.heard {
            return Heard::Fine;
        }
        let first = !std::mem::replace(&mut self.told, true);
        if first || now.plus_seconds(SKEW_MAX_S) < self.now {
            self.set_back(now);
            return Heard::SetBack;
        }
        self.now = self.now.max(now);
        Heard::Fine
    }

    /// Takes the time of a node's batch.
    pub(super) fn hear(&mut self, node: u32, time: Timestamp) -> Heard {
        self.heard = time;
        if self.told && time > self.now.plus_seconds(SKEW_MAX_S) {
            return Heard::Ignored;
        }
        if time > self.now {
            self.now = time;
            self.leader = Some(node);
        }
        if self.leader == Some(node) {
            self.leader_silent = 0;
            return Heard::Fine;
        }
        self.leader_silent = self.leader_silent.saturating_add(1);
        let stuck =
            self.leader_silent >= LEADER_SILENT_BATCHES && time.plus_seconds(SKEW_MAX_S) < self.now;
        if stuck && !self.told {
            self.set_back(time);
            return Heard::SetBack;
        }
        Heard::Fine
    }

    fn set_back(&mut self, now: Timestamp) {
        self.now = now;
        self.leader = None;
        self.leader_silent = 0;
    }
}
