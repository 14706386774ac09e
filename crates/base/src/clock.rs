//! Where time comes from: nothing below the binary asks the machine for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds since the Unix epoch, UTC.
pub type UnixNanos = u64;

/// A source of wall-clock time. `sekisho_system::SystemClock` is the real one.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> UnixNanos;
}

/// A clock that moves only when told: for tests and replays.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Makes a clock that stands at `start`.
    #[must_use]
    pub fn new(start: UnixNanos) -> Self {
        Self(AtomicU64::new(start))
    }

    /// Moves the clock forward by `nanos`.
    pub fn advance(&self, nanos: u64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixNanos {
        self.0.load(Ordering::Relaxed)
    }
}
