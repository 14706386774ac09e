//! Waiting for a condition with a deadline; the only place that sleeps.

use std::time::{Duration, Instant};

const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_MAX: Duration = Duration::from_millis(100);

/// Asks `condition` again and again, ever more slowly, until it gives a value or `deadline` has
/// passed. The condition is asked at least once.
pub fn until<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    let mut pause = POLL_FIRST;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        let left = end.checked_duration_since(Instant::now())?;
        pause_for(pause.min(left));
        pause = (pause * 2).min(POLL_MAX);
    }
}

/// Sleeps; for loops that must not spin (reconcilers, probes), never for synchronisation.
#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
pub fn pause_for(time: Duration) {
    std::thread::sleep(time);
}
