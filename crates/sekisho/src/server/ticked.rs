//! Whether the server still does its work: when the last tick was done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A server that did nothing for so long hangs. Ticks wait for replays, which take seconds.
const TICK_MAX: Duration = Duration::from_secs(60);

/// When the last tick was done.
#[derive(Debug)]
pub(crate) struct Ticked {
    start: Instant,
    last_ms: AtomicU64,
}

impl Default for Ticked {
    fn default() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }
}

impl Ticked {
    /// Notes that a tick was done.
    pub(crate) fn note(&self) {
        let elapsed_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed_ms, Ordering::Relaxed);
    }

    /// Whether the last one was not long ago.
    pub(crate) fn is_recent(&self) -> bool {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last) < TICK_MAX
    }
}
