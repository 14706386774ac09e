//! Turns the kernel's boot time into Unix time.
//!
//! The difference of the two clocks changes when someone sets the wall clock, so it is measured
//! again from time to time; records in flight at that moment get the new offset.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sekisho_model::Timestamp;

const REFRESH: Duration = Duration::from_secs(1);

/// Boot time, and its distance from Unix time.
#[derive(Debug)]
pub(crate) struct BootClock {
    offset_ns: u64,
    measured: Instant,
}

impl BootClock {
    pub(crate) fn new() -> Self {
        Self { offset_ns: measure(), measured: Instant::now() }
    }

    pub(crate) fn refresh(&mut self, now: Instant) {
        if now.duration_since(self.measured) >= REFRESH {
            self.offset_ns = measure();
            self.measured = now;
        }
    }

    pub(crate) fn unix(&self, boot_ns: u64) -> Timestamp {
        Timestamp::from_nanos(self.offset_ns.saturating_add(boot_ns))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.unix(Self::boot_ns())
    }

    pub(crate) fn boot_ns() -> u64 {
        read(ClockId::CLOCK_BOOTTIME)
    }
}

/// The wall clock minus the boot clock: the read in the middle is paired with the mean of two.
fn measure() -> u64 {
    let before = read(ClockId::CLOCK_BOOTTIME);
    let wall = read(ClockId::CLOCK_REALTIME);
    let after = read(ClockId::CLOCK_BOOTTIME);
    wall.saturating_sub(before.midpoint(after))
}

/// Nanoseconds; 0 if the kernel has no such clock, which no supported kernel lacks.
fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use sekisho_base::Clock;

    use super::*;

    #[test]
    fn boot_time_now_is_the_wall_clock_now() {
        let ours = BootClock::new().now().nanos();
        let wall = sekisho_system::SystemClock.now();
        assert!(ours.abs_diff(wall) < 50_000_000, "{ours} {wall}");
    }
}
