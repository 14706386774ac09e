//! The two ring buffers and the wait for them.
//!
//! The kernel wakes us only when a ring is a quarter full. Otherwise we look at fixed ticks, a
//! short one while there is traffic and longer ones when there is none, so that a record is seen
//! within [`TICK_MAX`] and a busy machine pays one wake-up per batch instead of one per record.

use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Pause between two looks while records come.
const TICK_MIN: Duration = Duration::from_millis(2);
/// Longest pause.
const TICK_MAX: Duration = Duration::from_millis(16);
/// Records taken per look and ring, so that one poll is bounded.
const RECORDS_MAX: usize = 16_384;

/// Both rings, what must not be lost first.
pub(crate) struct Rings {
    keep: RingBuf<MapData>,
    shed: RingBuf<MapData>,
    epoll: Epoll,
    tick: Duration,
    looked: Instant,
    more: bool,
}

impl Rings {
    pub(crate) fn new(keep: RingBuf<MapData>, shed: RingBuf<MapData>) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // Edge-triggered: level-triggered, the first record would end the wait, and every record
        // would cost a wake-up after all.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&keep, EpollEvent::new(flags, 0))?;
        epoll.add(&shed, EpollEvent::new(flags, 1))?;
        Ok(Self { keep, shed, epoll, tick: TICK_MIN, looked: Instant::now(), more: false })
    }

    /// Waits for the next look, at most until `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> Result<(), Errno> {
        if self.more {
            return Ok(());
        }
        let next = self.looked.checked_add(self.tick).unwrap_or(deadline).min(deadline);
        let left = next.saturating_duration_since(Instant::now());
        // Rounded up, or the last part of a millisecond would be a busy loop.
        let millis = left.as_nanos().div_ceil(1_000_000);
        if millis == 0 {
            return Ok(());
        }
        let timeout = EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX);
        match self.epoll.wait(&mut [EpollEvent::empty(); 2], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Hands each waiting record to `take`; gives how many there were.
    pub(crate) fn drain(&mut self, take: &mut dyn FnMut(&[u8])) -> usize {
        let kept = drain_one(&mut self.keep, take);
        let shed = drain_one(&mut self.shed, take);
        self.more = kept == RECORDS_MAX || shed == RECORDS_MAX;
        self.looked = Instant::now();
        let count = kept.saturating_add(shed);
        self.tick = if count > 0 { TICK_MIN } else { (self.tick * 2).min(TICK_MAX) };
        count
    }
}

fn drain_one(ring: &mut RingBuf<MapData>, take: &mut dyn FnMut(&[u8])) -> usize {
    let mut count = 0;
    while count < RECORDS_MAX {
        let Some(item) = ring.next() else { break };
        take(&item);
        count += 1;
    }
    count
}
