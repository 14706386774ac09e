//! Sets of ports by number, with remembered results of what is done to them.
//!
//! A cluster has few distinct sets (hundreds), so every operation is computed once.

use indexmap::IndexMap;

use crate::PortSet;
use crate::engine::ids::Interner;

/// Number of a [`PortSet`].
pub(crate) type PortId = u32;

/// The empty set.
pub(crate) const NONE: PortId = 0;
/// Everything.
pub(crate) const ALL: PortId = 1;

type Memo = IndexMap<(PortId, PortId), PortId, foldhash::fast::FixedState>;

#[derive(Clone, Debug)]
pub(crate) struct PortIds {
    sets: Interner<PortSet>,
    unions: Memo,
    intersections: Memo,
    differences: Memo,
}

impl PortIds {
    pub(crate) fn new() -> Self {
        let mut sets = Interner::default();
        sets.intern(PortSet::none());
        sets.intern(PortSet::all());
        Self {
            sets,
            unions: Memo::default(),
            intersections: Memo::default(),
            differences: Memo::default(),
        }
    }

    pub(crate) fn intern(&mut self, set: PortSet) -> PortId {
        self.sets.intern(set)
    }

    pub(crate) fn set(&self, id: PortId) -> &PortSet {
        const EMPTY: &PortSet = &PortSet::EMPTY;
        self.sets.value(id).unwrap_or(EMPTY)
    }

    /// Sets known so far; numbers are below.
    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(crate) fn union(&mut self, a: PortId, b: PortId) -> PortId {
        match (a, b) {
            (NONE, other) | (other, NONE) => other,
            (ALL, _) | (_, ALL) => ALL,
            (a, b) if a == b => a,
            (a, b) => {
                let key = (a.min(b), a.max(b));
                if let Some(known) = self.unions.get(&key) {
                    return *known;
                }
                let id = self.sets.intern(self.set(a).union(self.set(b)));
                self.unions.insert(key, id);
                id
            }
        }
    }

    pub(crate) fn intersection(&mut self, a: PortId, b: PortId) -> PortId {
        match (a, b) {
            (NONE, _) | (_, NONE) => NONE,
            (ALL, other) | (other, ALL) => other,
            (a, b) if a == b => a,
            (a, b) => {
                let key = (a.min(b), a.max(b));
                if let Some(known) = self.intersections.get(&key) {
                    return *known;
                }
                let id = self.sets.intern(self.set(a).intersection(self.set(b)));
                self.intersections.insert(key, id);
                id
            }
        }
    }

    pub(crate) fn minus(&mut self, a: PortId, b: PortId) -> PortId {
        match (a, b) {
            (NONE, _) | (_, ALL) => NONE,
            (a, NONE) => a,
            (a, b) if a == b => NONE,
            (a, b) => {
                if let Some(known) = self.differences.get(&(a, b)) {
                    return *known;
                }
                let id = self.sets.intern(self.set(a).minus(self.set(b)));
                self.differences.insert((a, b), id);
                id
            }
        }
    }
}
