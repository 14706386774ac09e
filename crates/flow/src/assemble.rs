//! Events of one kernel to halves of flows.

use sekisho_model::{Event, Half, Timestamp};

/// Bounds of an [`Assembler`].
#[derive(Clone, Copy, Debug)]
pub struct AssemblerLimits {
    /// Processes remembered.
    pub processes_max: usize,
    /// Connections remembered.
    pub connections_max: usize,
    /// DNS names remembered (per cgroup and address).
    pub names_max: usize,
}

impl Default for AssemblerLimits {
    fn default() -> Self {
        Self { processes_max: 65_536, connections_max: 262_144, names_max: 65_536 }
    }
}

/// Turns events into halves.
#[derive(Debug)]
pub struct Assembler {
    limits: AssemblerLimits,
}

impl Assembler {
    /// Makes an empty assembler.
    #[must_use]
    pub fn new(limits: AssemblerLimits) -> Self {
        Self { limits }
    }

    /// Takes one event and appends the halves it completes to `out`.
    pub fn assemble(&mut self, event: Event, out: &mut Vec<Half>) {
        // SKELETON: being written.
        let (_, _, _) = (event, out, self.limits);
    }

    /// Tells the time: forgets ended processes and expired names.
    pub fn advance(&mut self, now: Timestamp) {
        let _ = now;
    }
}
