//! The machine's wall clock.

use std::time::UNIX_EPOCH;

use sekisho_base::{Clock, UnixNanos};

/// The real clock (`CLOCK_REALTIME`).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> UnixNanos {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(UnixNanos::MAX)
    }
}
