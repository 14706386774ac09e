//! What a capability of the kernel gives us, and what to do when it is not there.

use std::fmt;

/// Whether a capability works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TierStatus {
    /// Works in full.
    Ok,
    /// Works, with the loss that [`Tier::reason`] names.
    Degraded,
    /// Does not work.
    Missing,
}

impl fmt::Display for TierStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        })
    }
}

/// One line of `sekisho doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// What it is for, e.g. `tcp`, `udp`, `dns`, `process`, `deny log`, `enforce`, `lsm`.
    pub area: String,
    /// The mechanism in use, or the one that would be used.
    pub used: String,
    /// Whether it works.
    pub status: TierStatus,
    /// Why it is degraded or missing; empty if it works and nothing is to be said.
    pub reason: String,
    /// What a person can do about it; empty if nothing.
    pub remedy: String,
}

impl Tier {
    /// Makes a tier that works.
    #[must_use]
    pub fn ok(area: &str, used: &str) -> Self {
        Self::new(area, used, TierStatus::Ok, String::new())
    }

    pub(crate) fn new(area: &str, used: &str, status: TierStatus, reason: String) -> Self {
        Self { area: area.to_owned(), used: used.to_owned(), status, reason, remedy: String::new() }
    }

    pub(crate) fn with_remedy(mut self, remedy: &str) -> Self {
        remedy.clone_into(&mut self.remedy);
        self
    }
}
