//! Sums per edge and minute in memory: the hot tier, and the merge of a scan.
//!
//! Keys are interned once (an index by hash, so the order of output never depends on it: rows are
//! sorted when they leave). With [`Caps`] memory is bounded whatever the traffic: edges beyond a
//! budget fold into visible edges whose far end is `other[Other]`, and are counted.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use sekisho_model::{
    EdgeKey, EdgeMinute, EdgeStats, Labels, Party, PartyKind, TimeRange, Timestamp, WorkloadRef,
};

use crate::run::{EdgeId, Run, key_order};
use crate::totals::Totals;

const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// Budgets of a generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) rows_max: usize,
    pub(crate) per_source_minute_max: u32,
    pub(crate) per_destination_minute_max: u32,
}

/// One edge and its minutes, ascending.
#[derive(Debug)]
struct Slot {
    id: EdgeId,
    key: Arc<EdgeKey>,
    minutes: Vec<(Timestamp, EdgeStats)>,
}

/// Things found by value, numbered in order of arrival.
#[derive(Debug)]
struct Index {
    hasher: RandomState,
    numbers: BTreeMap<u64, Vec<u32>>,
}

/// Sums per edge and minute.
#[derive(Debug)]
pub(crate) struct Sums {
    slots: Vec<Slot>,
    slot_index: Index,
    parties: Vec<Arc<Party>>,
    party_index: Index,
    /// Edges per party and minute: as source, as destination.
    degrees: BTreeMap<(u32, Timestamp), (u32, u32)>,
    rows: usize,
    folded: u64,
    caps: Option<Caps>,
    other: Arc<Party>,
}

impl Index {
    fn new() -> Self {
        Self { hasher: RandomState::new(), numbers: BTreeMap::new() }
    }

    fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        self.numbers.get(&hash)?.iter().copied().find(|&number| same(number))
    }

    fn insert(&mut self, hash: u64, number: u32) {
        self.numbers.entry(hash).or_default().push(number);
    }
}

impl Sums {
    /// Makes an empty sum; without `caps` it is bounded only by what is added.
    pub(crate) fn new(caps: Option<Caps>) -> Self {
        Self {
            slots: Vec::new(),
            slot_index: Index::new(),
            parties: Vec::new(),
            party_index: Index::new(),
            degrees: BTreeMap::new(),
            rows: 0,
            folded: 0,
            caps,
            other: Arc::new(other_party()),
        }
    }

    /// Rows held: pairs of edge and minute.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Additions that went into an `other` edge.
    pub(crate) fn folded(&self) -> u64 {
        self.folded
    }

    /// Adds `stats` to the edge `key` in `minute`.
    pub(crate) fn add(&mut self, key: &EdgeKey, minute: Timestamp, stats: &EdgeStats) {
        let hash = self.slot_index.hasher.hash_one(key);
        let found = self.slot_of(hash, key);
        if let Some(slot) = found
            && self.add_to_existing(slot, minute, stats)
        {
            return;
        }
        match self.over_budget(key, minute) {
            Some(folded) => {
                self.folded = self.folded.saturating_add(1);
                let hash = self.slot_index.hasher.hash_one(&folded);
                let found = self.slot_of(hash, &folded);
                let slot = found.or_else(|| self.new_slot(hash, &folded));
                if let Some(slot) = slot
                    && !self.add_to_existing(slot, minute, stats)
                {
                    self.new_row(slot, minute, stats);
                }
            }
            None => {
                let slot = found.or_else(|| self.new_slot(hash, key));
                if let Some(slot) = slot {
                    self.new_row(slot, minute, stats);
                    self.count_degrees(key, minute);
                }
            }
        }
    }

    fn slot_of(&self, hash: u64, key: &EdgeKey) -> Option<u32> {
        self.slot_index.find(hash, |number| {
            self.slots.get(number as usize).is_some_and(|slot| *slot.key == *key)
        })
    }

    /// None only if there are 2^32 edges already, which no memory holds.
    fn new_slot(&mut self, hash: u64, key: &EdgeKey) -> Option<u32> {
        let number = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot {
            id: EdgeId::of(key),
            key: Arc::new(key.clone()),
            minutes: Vec::new(),
        });
        self.slot_index.insert(hash, number);
        Some(number)
    }

    fn add_to_existing(&mut self, slot: u32, minute: Timestamp, stats: &EdgeStats) -> bool {
        let Some(slot) = self.slots.get_mut(slot as usize) else { return false };
        // Almost every addition is to the latest minute.
        let sum = match slot.minutes.last_mut() {
            Some((last, sum)) if *last == minute => Some(sum),
            _ => match slot.minutes.binary_search_by_key(&minute, |(at, _)| *at) {
                Ok(at) => slot.minutes.get_mut(at).map(|(_, sum)| sum),
                Err(_) => None,
            },
        };
        sum.map(|sum| sum.add(stats)).is_some()
    }

    fn new_row(&mut self, slot: u32, minute: Timestamp, stats: &EdgeStats) {
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        let at = slot.minutes.partition_point(|(earlier, _)| *earlier < minute);
        slot.minutes.insert(at, (minute, stats.clone()));
        self.rows = self.rows.saturating_add(1);
    }

    /// The edge to use in place of `key` if a new row for it is over a budget.
    fn over_budget(&mut self, key: &EdgeKey, minute: Timestamp) -> Option<EdgeKey> {
        let caps = self.caps?;
        if self.rows >= caps.rows_max {
            return Some(self.folded_key(key, true, true));
        }
        let source = self.party_number(&key.source);
        let destination = self.party_number(&key.destination);
        let degree = |party: u32| self.degrees.get(&(party, minute)).copied().unwrap_or_default();
        let source_full = degree(source).0 >= caps.per_source_minute_max;
        let destination_full = degree(destination).1 >= caps.per_destination_minute_max;
        if source_full {
            Some(self.folded_key(key, false, true))
        } else if destination_full {
            Some(self.folded_key(key, true, false))
        } else {
            None
        }
    }

    fn folded_key(&self, key: &EdgeKey, source: bool, destination: bool) -> EdgeKey {
        let pick = |fold: bool, party: &Arc<Party>| {
            if fold { Arc::clone(&self.other) } else { Arc::clone(party) }
        };
        EdgeKey {
            source: pick(source, &key.source),
            source_process: None,
            destination: pick(destination, &key.destination),
            destination_process: None,
            protocol: key.protocol,
            // A scan varies the port: behind a folded destination it says nothing any more.
            port: if destination { 0 } else { key.port },
            service: None,
            verdict: key.verdict,
            decided_by: None,
            direction_inferred: false,
            cluster: key.cluster.clone(),
        }
    }

    fn count_degrees(&mut self, key: &EdgeKey, minute: Timestamp) {
        if self.caps.is_none() {
            return;
        }
        let source = self.party_number(&key.source);
        let destination = self.party_number(&key.destination);
        let out = &mut self.degrees.entry((source, minute)).or_default().0;
        *out = out.saturating_add(1);
        let into = &mut self.degrees.entry((destination, minute)).or_default().1;
        *into = into.saturating_add(1);
    }

    fn party_number(&mut self, party: &Arc<Party>) -> u32 {
        let hash = self.party_index.hasher.hash_one(party);
        let same = |number: u32| self.parties.get(number as usize).is_some_and(|p| p == party);
        if let Some(number) = self.party_index.find(hash, same) {
            return number;
        }
        let number = u32::try_from(self.parties.len()).unwrap_or(u32::MAX);
        self.parties.push(Arc::clone(party));
        self.party_index.insert(hash, number);
        number
    }

    /// Earliest and latest minute held.
    pub(crate) fn minutes(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.slots.iter().filter_map(|slot| slot.minutes.first()).map(|row| row.0);
        let last = self.slots.iter().filter_map(|slot| slot.minutes.last()).map(|row| row.0);
        Some((first.min()?, last.max()?))
    }

    /// Adds all rows of minutes that overlap `range` to `into`.
    pub(crate) fn pour(&self, range: TimeRange, into: &mut Self) {
        for slot in &self.slots {
            for (minute, stats) in slot.minutes.iter().filter(|row| overlaps(row.0, range)) {
                into.add(&slot.key, *minute, stats);
            }
        }
    }

    /// The same into sums by day.
    pub(crate) fn total(&self, range: TimeRange, into: &mut Totals) {
        for slot in &self.slots {
            for (minute, stats) in slot.minutes.iter().filter(|row| overlaps(row.0, range)) {
                into.add(slot.id, &slot.key, *minute, stats);
            }
        }
    }

    fn sorted(&self) -> Vec<&Slot> {
        let mut slots: Vec<&Slot> = self.slots.iter().collect();
        slots.sort_by(|a, b| key_order(&a.key, &b.key));
        slots
    }

    /// All runs, in the order of a segment.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.sorted().into_iter().flat_map(|slot| {
            let days = slot.minutes.chunk_by(|(one, _), (next, _)| one.day() == next.day());
            days.filter_map(|minutes| {
                let (key, day) = (Arc::clone(&slot.key), minutes.first()?.0.day());
                Some(Run { id: slot.id, key, day, minutes: minutes.to_vec() })
            })
        })
    }

    /// All rows, sorted by source, destination, port, the rest of the key, minute.
    pub(crate) fn to_rows(&self) -> Vec<EdgeMinute> {
        let row = |(slot, (minute, stats)): (&Slot, &(Timestamp, EdgeStats))| EdgeMinute {
            minute: *minute,
            key: EdgeKey::clone(&slot.key),
            stats: stats.clone(),
        };
        let rows = self.sorted().into_iter();
        rows.flat_map(|slot| slot.minutes.iter().map(move |minute| row((slot, minute)))).collect()
    }
}

/// Whether the minute that starts at `minute` has a moment in `range`.
pub(crate) fn overlaps(minute: Timestamp, range: TimeRange) -> bool {
    minute < range.to && minute.nanos().saturating_add(NANOS_PER_MINUTE) > range.from.nanos()
}

fn other_party() -> Party {
    let name = |text: &str| text.to_owned();
    Party {
        kind: PartyKind::Unknown,
        workload: WorkloadRef { namespace: name(""), name: name("other"), kind: name("Other") },
        pod: String::new(),
        labels: Labels::new(),
        address: None,
        dns_name: None,
    }
}
