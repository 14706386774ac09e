//! Runs: an edge of one day with its minutes, the unit in which history is sealed, read and merged.

use std::cmp::Ordering;
use std::sync::Arc;

use sekisho_model::{EdgeKey, EdgeStats, Timestamp, WorkloadRef};
use sha2::{Digest, Sha256};

/// What an edge is known by in all segments: the first half of the SHA-256 of its key's compact form
/// (postcard). Equal keys have equal ids; who could make two keys of one id can break the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EdgeId(pub(crate) u128);

impl EdgeId {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn of(key: &EdgeKey) -> Self {
        // Writing to memory fails for no key; the empty form would be an edge of its own.
        let form = postcard::to_stdvec(key).unwrap_or_default();
        Self::of_bytes(&Sha256::digest(form)).unwrap_or(Self(0))
    }

    /// None if there are fewer than [`Self::BYTES`] bytes; further ones are left out.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self(u128::from_le_bytes(*bytes)))
    }

    pub(crate) fn bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }
}

/// One edge, and its minutes of one day.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: EdgeId,
    pub(crate) key: Arc<EdgeKey>,
    /// Start of the day, UTC.
    pub(crate) day: Timestamp,
    /// Ascending, at least one.
    pub(crate) minutes: Vec<(Timestamp, EdgeStats)>,
}

impl Run {
    /// Bits of the hours of the day that it has minutes of.
    pub(crate) fn hours(&self) -> u32 {
        self.minutes.iter().fold(0, |bits, (minute, _)| bits | hour_bit(*minute))
    }

    /// Its sums by hour, ascending.
    pub(crate) fn by_hour(&self) -> impl Iterator<Item = (Timestamp, EdgeStats)> {
        let hours = self.minutes.chunk_by(|(one, _), (next, _)| one.hour() == next.hour());
        hours.filter_map(|minutes| Some((minutes.first()?.0.hour(), sum(minutes)?)))
    }

    /// The sum of its minutes.
    pub(crate) fn total(&self) -> EdgeStats {
        sum(&self.minutes).unwrap_or_default()
    }

    /// Order of runs in a segment: source, destination, port, the rest of the key, day.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        key_order(&self.key, &other.key).then_with(|| self.day.cmp(&other.day))
    }

    /// Whether both are of one edge and day.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.day == other.day
    }

    /// Adds the minutes of `other`, a run of the same edge and day.
    pub(crate) fn join(&mut self, other: Self) {
        for (minute, stats) in other.minutes {
            match self.minutes.binary_search_by_key(&minute, |(at, _)| *at) {
                Ok(at) => {
                    if let Some((_, sum)) = self.minutes.get_mut(at) {
                        sum.add(&stats);
                    }
                }
                Err(at) => self.minutes.insert(at, (minute, stats)),
            }
        }
    }
}

/// The bit of the hour that `time` lies in.
pub(crate) fn hour_bit(time: Timestamp) -> u32 {
    1 << time.hour_of_day()
}

fn sum(minutes: &[(Timestamp, EdgeStats)]) -> Option<EdgeStats> {
    let (first, rest) = minutes.split_first()?;
    let mut sum = first.1.clone();
    for (_, stats) in rest {
        sum.add(stats);
    }
    Some(sum)
}

/// Order of edges in a segment.
pub(crate) fn key_order(one: &EdgeKey, other: &EdgeKey) -> Ordering {
    place(one).cmp(&place(other)).then_with(|| one.cmp(other))
}

fn place(key: &EdgeKey) -> (&WorkloadRef, &str, &WorkloadRef, &str, u16) {
    let (source, destination) = (&key.source, &key.destination);
    (&source.workload, &source.pod, &destination.workload, &destination.pod, key.port)
}
