//! Whether anything came since: one number for all who look, so that what they ask for anew is worked
//! out once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two looks whether something came. It bounds how often one question is worked out while many
/// flows come, and how late a new connection is told of.
const BEAT: Duration = Duration::from_millis(500);

/// The number, and what it was made of.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    looked: Option<Instant>,
    /// What the server said then.
    seen: u64,
    number: u64,
}

impl Pulse {
    /// The number at `time`. It ascends by one when `revision` has changed, at most once a beat.
    pub(crate) fn at(&self, time: Instant, revision: impl FnOnce() -> u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.is_none_or(|looked| time.duration_since(looked) >= BEAT) {
            state.looked = Some(time);
            let seen = revision();
            if seen != state.seen {
                state.seen = seen;
                state.number += 1;
            }
        }
        state.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ascends_with_changes_and_not_with_time_nor_faster_than_its_beat() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        let first = pulse.at(start, || 7);
        assert_eq!(pulse.at(start + BEAT / 2, || 8), first, "within a beat");
        assert_eq!(pulse.at(start + BEAT, || 8), first + 1);
        assert_eq!(pulse.at(start + 10 * BEAT, || 8), first + 1, "nothing came");
    }
}
