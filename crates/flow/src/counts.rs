//! The four counters of a connection's end, and the arithmetic both machines need.

use sekisho_model::{HalfFlow, SocketEvent};
use serde::{Deserialize, Serialize};

/// Payload bytes and packets, sent and received, as one end counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
}

impl Counts {
    pub(crate) fn of_event(event: &SocketEvent) -> Self {
        Self {
            bytes_sent: event.bytes_sent,
            bytes_received: event.bytes_received,
            packets_sent: event.packets_sent,
            packets_received: event.packets_received,
        }
    }

    pub(crate) fn of_half(half: &HalfFlow) -> Self {
        Self {
            bytes_sent: half.bytes_sent,
            bytes_received: half.bytes_received,
            packets_sent: half.packets_sent,
            packets_received: half.packets_received,
        }
    }

    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            bytes_sent: with(self.bytes_sent, other.bytes_sent),
            bytes_received: with(self.bytes_received, other.bytes_received),
            packets_sent: with(self.packets_sent, other.packets_sent),
            packets_received: with(self.packets_received, other.packets_received),
        }
    }

    /// The larger of each counter: totals only grow, so the larger one is the later one.
    pub(crate) fn max(self, other: Self) -> Self {
        self.zip(other, u64::max)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    /// The same traffic as the other end counts it.
    pub(crate) fn mirrored(self) -> Self {
        Self {
            bytes_sent: self.bytes_received,
            bytes_received: self.bytes_sent,
            packets_sent: self.packets_received,
            packets_received: self.packets_sent,
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::default()
    }
}
