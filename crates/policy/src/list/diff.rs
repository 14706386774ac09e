//! What two lists differ in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_model::WorkloadRef;

use super::externals::{Range, after, cut};
use super::{End, Listing};
use crate::PortSet;

/// What changes from one list to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDiff {
    /// Pairs that may do something else than before, by source and destination.
    pub changes: Vec<PairChange>,
    /// Workloads that were not there before, by name.
    pub appeared: Vec<End>,
    /// Workloads that are no longer there, by name.
    pub vanished: Vec<End>,
}

/// A pair that may do something else than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairChange {
    /// Initiator.
    pub source: End,
    /// Responder.
    pub destination: End,
    /// What was allowed.
    pub before: PortSet,
    /// What is allowed now.
    pub after: PortSet,
}

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Something else is allowed between the two.
    Changed,
    /// Nothing was allowed before.
    Added,
    /// Nothing is allowed any more.
    Removed,
}

impl ChangeKind {
    /// `changed`, `added` or `removed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

impl PairChange {
    /// What the change is.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match (self.before.is_empty(), self.after.is_empty()) {
            (true, _) => ChangeKind::Added,
            (false, true) => ChangeKind::Removed,
            (false, false) => ChangeKind::Changed,
        }
    }
}

/// Pairs inside the cluster, and with domains: before and after.
type Pairs<'a> = BTreeMap<(&'a End, &'a End), [Option<&'a PortSet>; 2]>;
/// What ranges may do with an end (or it with them, if not `inward`): before and after.
type Ranges<'a> = BTreeMap<(&'a End, bool), [Vec<(Range, &'a PortSet)>; 2]>;

impl PolicyDiff {
    /// Compares what is allowed, not how policies say it.
    #[must_use]
    pub fn new(before: &Listing, after: &Listing) -> Self {
        let split = split(before, after);
        let mut pairs = Pairs::new();
        let mut ranges = Ranges::new();
        for (slot, listing) in [before, after].into_iter().enumerate() {
            for (from, to, set) in listing.rows() {
                for source in widened(from, &split) {
                    for destination in widened(to, &split) {
                        add((&mut pairs, &mut ranges), slot, (source, destination), set);
                    }
                }
            }
        }
        let mut changes: Vec<PairChange> = Vec::new();
        for ((source, destination), [old, new]) in pairs {
            if old != new {
                changes.push(PairChange {
                    source: source.clone(),
                    destination: destination.clone(),
                    before: old.cloned().unwrap_or_default(),
                    after: new.cloned().unwrap_or_default(),
                });
            }
        }
        for ((end, inward), [old, new]) in ranges {
            changes.extend(range_changes(end, inward, &old, &new));
        }
        changes.sort_by_cached_key(|one| (one.source.to_string(), one.destination.to_string()));
        let (old, new) = (listed(before), listed(after));
        Self {
            changes,
            appeared: new.difference(&old).map(|end| (*end).clone()).collect(),
            vanished: old.difference(&new).map(|end| (*end).clone()).collect(),
        }
    }

    /// Whether nothing differs, not even the workloads.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.appeared.is_empty() && self.vanished.is_empty()
    }

    /// Number of changes of a kind.
    #[must_use]
    pub fn count(&self, kind: ChangeKind) -> usize {
        self.changes.iter().filter(|change| change.kind() == kind).count()
    }

    /// Whether a whole workload is new, or no longer there.
    #[must_use]
    pub fn is_new_or_lost(&self, end: &End, kind: ChangeKind) -> bool {
        let ends = match kind {
            ChangeKind::Changed => return false,
            ChangeKind::Added => &self.appeared,
            ChangeKind::Removed => &self.vanished,
        };
        ends.contains(&whole(end))
    }
}

fn whole(end: &End) -> End {
    match end {
        End::Workload { workload, .. } => End::workload(workload),
        End::Addresses(..) | End::Domain(_) | End::Pod { .. } | End::IngressController => {
            end.clone()
        }
    }
}

fn listed(listing: &Listing) -> BTreeSet<&End> {
    listing.listed().iter().collect()
}

/// Workloads that have rows for some of their pods in either list, with the names of all their
/// parts.
fn split(before: &Listing, after: &Listing) -> BTreeMap<WorkloadRef, Vec<End>> {
    let mut found: BTreeMap<WorkloadRef, BTreeSet<&End>> = BTreeMap::new();
    for (from, to, _) in before.rows().chain(after.rows()) {
        for end in [from, to] {
            if let Some(workload) = part_of(end) {
                found.entry(workload.clone()).or_default();
            }
        }
    }
    for end in before.parts.iter().chain(&after.parts) {
        if let Some(parts) = part_of(end).and_then(|workload| found.get_mut(workload)) {
            parts.insert(end);
        }
    }
    let owned = found
        .into_iter()
        .map(|(workload, ends)| (workload, ends.into_iter().cloned().collect::<Vec<End>>()));
    owned.collect()
}

/// The workload of which the end is a part, not the whole.
fn part_of(end: &End) -> Option<&WorkloadRef> {
    match end {
        End::Workload { workload, identity } if !identity.is_empty() => Some(workload),
        End::Workload { .. }
        | End::Addresses(..)
        | End::Domain(_)
        | End::Pod { .. }
        | End::IngressController => None,
    }
}

/// The end itself, or all parts of a workload that has parts.
fn widened<'a>(end: &'a End, split: &'a BTreeMap<WorkloadRef, Vec<End>>) -> Vec<&'a End> {
    match end {
        End::Workload { workload, identity } if identity.is_empty() => match split.get(workload) {
            Some(parts) => parts.iter().collect(),
            None => vec![end],
        },
        End::Workload { .. }
        | End::Addresses(..)
        | End::Domain(_)
        | End::Pod { .. }
        | End::IngressController => vec![end],
    }
}

fn add<'a>(
    (pairs, ranges): (&mut Pairs<'a>, &mut Ranges<'a>),
    slot: usize,
    (source, destination): (&'a End, &'a End),
    set: &'a PortSet,
) {
    let (end, inward, range) = match (source, destination) {
        (End::Addresses(first, last), end) => (end, true, (*first, *last)),
        (end, End::Addresses(first, last)) => (end, false, (*first, *last)),
        (source, destination) => {
            if let Some(cell) = pairs.entry((source, destination)).or_default().get_mut(slot) {
                *cell = Some(set);
            }
            return;
        }
    };
    if let Some(list) = ranges.entry((end, inward)).or_default().get_mut(slot) {
        list.push((range, set));
    }
}

/// Where ranges differ, in as few ranges as possible.
fn range_changes(
    end: &End,
    inward: bool,
    old: &[(Range, &PortSet)],
    new: &[(Range, &PortSet)],
) -> Vec<PairChange> {
    let (old, new) = (sorted(old), sorted(new));
    let all: Vec<Range> = old.iter().chain(&new).map(|(range, _)| *range).collect();
    let mut found: Vec<(Range, PortSet, PortSet)> = Vec::new();
    for whole in [true, false].into_iter().filter_map(|ipv4| hull(&all, ipv4)) {
        for range in cut(whole, &all) {
            let (before, now) = (at(&old, range.0), at(&new, range.0));
            if before == now {
                continue;
            }
            match found.last_mut() {
                Some((last, a, b))
                    if *a == before && *b == now && after(last.1) == Some(range.0) =>
                {
                    last.1 = range.1;
                }
                _ => found.push((range, before, now)),
            }
        }
    }
    let changes = found.into_iter().map(|((first, last), before, after)| {
        let (own, external) = (end.clone(), End::Addresses(first, last));
        let (source, destination) = if inward { (external, own) } else { (own, external) };
        PairChange { source, destination, before, after }
    });
    changes.collect()
}

fn sorted<'a>(list: &[(Range, &'a PortSet)]) -> Vec<(Range, &'a PortSet)> {
    let mut list = list.to_vec();
    list.sort_unstable_by_key(|(range, _)| *range);
    list
}

/// The smallest range that holds all ranges of a family.
fn hull(all: &[Range], ipv4: bool) -> Option<Range> {
    let own = || all.iter().filter(|(first, _)| first.is_ipv4() == ipv4);
    Some((own().map(|range| range.0).min()?, own().map(|range| range.1).max()?))
}

fn at(list: &[(Range, &PortSet)], address: IpAddr) -> PortSet {
    let after = list.partition_point(|((first, _), _)| *first <= address);
    let holder = after.checked_sub(1).and_then(|index| list.get(index));
    match holder {
        Some(((_, last), set)) if *last >= address => (*set).clone(),
        Some(_) | None => PortSet::none(),
    }
}
