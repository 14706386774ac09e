//! Sums per edge and minute in memory: the hot tier, and the merge of a scan.
//!
//! Keys are interned once (an index by hash, so the order of output never depends on it: rows are
//! sorted when they leave). With [`Caps`] memory is bounded whatever the traffic: edges beyond a
//! budget fold into visible edges whose far end is `other[Other]`, and are counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_model::{
    EdgeKey, EdgeMinute, EdgeStats, Labels, Party, PartyKind, Process, TimeRange, Timestamp,
    WorkloadRef,
};

use crate::Wanted;
use crate::interned::{Index, Interned, place};
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
    parts: Parts,
    minutes: Vec<(Timestamp, EdgeStats)>,
}

/// Places of the table of edges that were added to lately, a power of two.
const LATELY: usize = 1 << 18;

/// The place of an edge in that table, by the addresses of its parts: most flows of an edge come with
/// the same parts in memory.
fn place_of(key: &EdgeKey) -> usize {
    let process = |process: &Option<Arc<Process>>| {
        process.as_ref().map_or(0, |process| Arc::as_ptr(process).addr())
    };
    let words = [
        Arc::as_ptr(&key.source).addr(),
        Arc::as_ptr(&key.destination).addr(),
        process(&key.source_process),
        process(&key.destination_process),
        usize::from(key.port),
    ];
    place(words, LATELY)
}

/// Whether both are one edge whose parts are the same in memory.
fn is_identical(a: &EdgeKey, b: &EdgeKey) -> bool {
    let same = |a: &Option<Arc<Process>>, b: &Option<Arc<Process>>| match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    Arc::ptr_eq(&a.source, &b.source)
        && Arc::ptr_eq(&a.destination, &b.destination)
        && same(&a.source_process, &b.source_process)
        && same(&a.destination_process, &b.destination_process)
        && is_same_but_for_parts(a, b)
}

fn is_same_but_for_parts(a: &EdgeKey, b: &EdgeKey) -> bool {
    (a.protocol, a.port, a.verdict) == (b.protocol, b.port, b.verdict)
        && a.direction_inferred == b.direction_inferred
        && a.service == b.service
        && a.decided_by == b.decided_by
        && a.cluster == b.cluster
}

/// The parts of an edge by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Parts {
    source: u32,
    destination: u32,
    /// [`u32::MAX`] if there is none.
    processes: [u32; 2],
}

/// Sums per edge and minute.
#[derive(Debug)]
pub(crate) struct Sums {
    slots: Vec<Slot>,
    slot_index: Index,
    /// Edges that were added to lately. A slot keeps its parts alive, so an address means what it
    /// meant.
    lately: Vec<u32>,
    parties: Interned<Party>,
    processes: Interned<Process>,
    /// Edges by party, and by minute: as source, as destination.
    degrees: Vec<BTreeMap<Timestamp, (u32, u32)>>,
    rows: usize,
    folded: u64,
    caps: Option<Caps>,
    other: Arc<Party>,
}

impl Sums {
    /// Makes an empty sum; without `caps` it is bounded only by what is added.
    pub(crate) fn new(caps: Option<Caps>) -> Self {
        Self {
            slots: Vec::new(),
            slot_index: Index::default(),
            lately: vec![u32::MAX; LATELY],
            parties: Interned::new(),
            processes: Interned::new(),
            degrees: Vec::new(),
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
        let found = self.find(key);
        let parts = match found {
            Ok(slot) => {
                if self.add_to_existing(slot, minute, stats) {
                    return;
                }
                self.slots.get(slot as usize).map(|slot| slot.parts)
            }
            Err(parts) => Some(parts),
        };
        let Some(parts) = parts else { return };
        match self.over_budget(key, parts, minute) {
            Some(folded) => {
                self.folded = self.folded.saturating_add(1);
                let slot = self.find(&folded);
                let slot = slot.unwrap_or_else(|parts| self.new_slot(&folded, parts));
                if !self.add_to_existing(slot, minute, stats) {
                    self.new_row(slot, minute, stats);
                }
            }
            None => {
                let slot = found.unwrap_or_else(|parts| self.new_slot(key, parts));
                self.new_row(slot, minute, stats);
                self.count_degrees(parts, minute);
            }
        }
    }

    /// The slot of an edge, or the parts of one that has none.
    fn find(&mut self, key: &EdgeKey) -> Result<u32, Parts> {
        let place = place_of(key);
        if let Some(number) = self.lately.get(place)
            && let Some(slot) = self.slots.get(*number as usize)
            && is_identical(&slot.key, key)
        {
            return Ok(*number);
        }
        let parts = self.parts(key);
        let same = |number: u32| {
            let slot = self.slots.get(number as usize);
            slot.is_some_and(|slot| slot.parts == parts && is_same_but_for_parts(&slot.key, key))
        };
        let number = self.slot_index.find(self.hash(key, parts), same).ok_or(parts)?;
        // It is met with these parts in memory from now on.
        if let Some(slot) = self.slots.get_mut(number as usize) {
            slot.key = Arc::new(key.clone());
        }
        if let Some(lately) = self.lately.get_mut(place) {
            *lately = number;
        }
        Ok(number)
    }

    fn parts(&mut self, key: &EdgeKey) -> Parts {
        let mut process = |process: &Option<Arc<Process>>| {
            process.as_ref().map_or(u32::MAX, |process| self.processes.number(process))
        };
        Parts {
            processes: [process(&key.source_process), process(&key.destination_process)],
            source: self.party_number(&key.source),
            destination: self.party_number(&key.destination),
        }
    }

    fn party_number(&mut self, party: &Arc<Party>) -> u32 {
        let number = self.parties.number(party);
        if self.degrees.len() <= number as usize {
            self.degrees.push(BTreeMap::new());
        }
        number
    }

    fn hash(&self, key: &EdgeKey, parts: Parts) -> u64 {
        let rest = (&key.service, &key.decided_by, key.direction_inferred, &key.cluster);
        self.slot_index.hash(&(parts, key.protocol, key.port, key.verdict, rest))
    }

    fn new_slot(&mut self, key: &EdgeKey, parts: Parts) -> u32 {
        // No memory holds 2^32 of them.
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX - 1);
        let hash = self.hash(key, parts);
        if let Some(lately) = self.lately.get_mut(place_of(key)) {
            *lately = number;
        }
        let (id, key) = (EdgeId::of(key), Arc::new(key.clone()));
        self.slots.push(Slot { id, key, parts, minutes: Vec::new() });
        self.slot_index.insert(hash, number);
        number
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
    fn over_budget(&self, key: &EdgeKey, parts: Parts, minute: Timestamp) -> Option<EdgeKey> {
        let caps = self.caps?;
        if self.rows >= caps.rows_max {
            return Some(self.folded_key(key, true, true));
        }
        let degree = |party: u32| {
            let minutes = self.degrees.get(party as usize);
            minutes.and_then(|minutes| minutes.get(&minute)).copied().unwrap_or_default()
        };
        let source_full = degree(parts.source).0 >= caps.per_source_minute_max;
        let destination_full = degree(parts.destination).1 >= caps.per_destination_minute_max;
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

    fn count_degrees(&mut self, parts: Parts, minute: Timestamp) {
        if self.caps.is_none() {
            return;
        }
        if let Some(minutes) = self.degrees.get_mut(parts.source as usize) {
            let out = &mut minutes.entry(minute).or_default().0;
            *out = out.saturating_add(1);
        }
        if let Some(minutes) = self.degrees.get_mut(parts.destination as usize) {
            let into = &mut minutes.entry(minute).or_default().1;
            *into = into.saturating_add(1);
        }
    }

    /// Earliest and latest minute held.
    pub(crate) fn minutes(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.slots.iter().filter_map(|slot| slot.minutes.first()).map(|row| row.0);
        let last = self.slots.iter().filter_map(|slot| slot.minutes.last()).map(|row| row.0);
        Some((first.min()?, last.max()?))
    }

    /// Adds all rows that are wanted to `into`.
    pub(crate) fn pour(&self, wanted: &Wanted, into: &mut Self) {
        for (key, minute, stats) in self.wanted(wanted) {
            into.add(key, minute, stats);
        }
    }

    /// The same into sums by day.
    pub(crate) fn total(&self, wanted: &Wanted, into: &mut Totals) {
        for (slot, minute, stats) in self.rows_of(wanted) {
            into.add(slot.id, &slot.key, minute, stats);
        }
    }

    /// All rows that are wanted.
    pub(crate) fn wanted<'a>(
        &'a self,
        wanted: &'a Wanted,
    ) -> impl Iterator<Item = (&'a Arc<EdgeKey>, Timestamp, &'a EdgeStats)> {
        self.rows_of(wanted).map(|(slot, minute, stats)| (&slot.key, minute, stats))
    }

    fn rows_of<'a>(
        &'a self,
        wanted: &'a Wanted,
    ) -> impl Iterator<Item = (&'a Slot, Timestamp, &'a EdgeStats)> {
        let slots = self.slots.iter().filter(|slot| wanted.takes(&slot.key));
        slots
            .flat_map(|slot| slot.minutes.iter().map(move |(minute, stats)| (slot, *minute, stats)))
            .filter(|(_, minute, _)| overlaps(*minute, wanted.range))
    }

    /// When the last of the `count` newest rows was seen; None if there are fewer.
    pub(crate) fn newest(&self, count: usize) -> Option<Timestamp> {
        if count > self.rows {
            return None;
        }
        let rows = self.slots.iter().flat_map(|slot| &slot.minutes);
        let mut seen: Vec<Timestamp> = rows.map(|(_, stats)| stats.last_seen).collect();
        let at = count.checked_sub(1)?;
        Some(*seen.select_nth_unstable_by_key(at, |seen| Reverse(*seen)).1)
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
