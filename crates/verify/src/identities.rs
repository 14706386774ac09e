//! History by identity: who, to whom, on what port, and what became of it; each once.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry;
use sekisho_model::{EdgeDay, EdgeStats, Party, Protocol, Verdict};

/// Pointers remembered, so that a history that shares no parties costs no memory per row.
const POINTERS_MAX: usize = 1 << 16;

/// All that a decision may depend on. The parties are numbers of [`Identities::parties`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) source: usize,
    pub(crate) destination: usize,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) inferred: bool,
    pub(crate) verdict: Verdict,
}

/// A history, folded.
pub(crate) struct Identities<'a> {
    /// The parties, each at its number.
    pub(crate) parties: Vec<&'a Party>,
    /// Sums by identity.
    pub(crate) rows: IndexMap<Identity, EdgeStats, foldhash::fast::FixedState>,
}

impl<'a> Identities<'a> {
    /// Folds `history`.
    pub(crate) fn of(history: &'a [EdgeDay]) -> Self {
        let mut parties = Parties::default();
        let mut rows: IndexMap<Identity, EdgeStats, foldhash::fast::FixedState> =
            IndexMap::default();
        for row in history {
            let identity = Identity {
                source: parties.number(&row.key.source),
                destination: parties.number(&row.key.destination),
                protocol: row.key.protocol,
                port: row.key.port,
                inferred: row.key.direction_inferred,
                verdict: row.key.verdict,
            };
            match rows.entry(identity) {
                Entry::Occupied(mut known) => known.get_mut().add(&row.stats),
                Entry::Vacant(new) => _ = new.insert(row.stats.clone()),
            }
        }
        Self { parties: parties.into_list(), rows }
    }
}

/// Numbers parties: by pointer, because stores share them, then by value, because not all do.
#[derive(Default)]
struct Parties<'a> {
    by_pointer: IndexMap<*const Party, usize, foldhash::fast::FixedState>,
    by_value: BTreeMap<&'a Party, usize>,
}

impl<'a> Parties<'a> {
    fn number(&mut self, party: &'a Arc<Party>) -> usize {
        let pointer = Arc::as_ptr(party);
        if let Some(number) = self.by_pointer.get(&pointer) {
            return *number;
        }
        let next = self.by_value.len();
        let number = *self.by_value.entry(party.as_ref()).or_insert(next);
        if self.by_pointer.len() < POINTERS_MAX {
            self.by_pointer.insert(pointer, number);
        }
        number
    }

    /// The parties, each at its number.
    fn into_list(self) -> Vec<&'a Party> {
        let mut list: Vec<(usize, &Party)> =
            self.by_value.into_iter().map(|(party, number)| (number, party)).collect();
        list.sort_unstable_by_key(|(number, _)| *number);
        list.into_iter().map(|(_, party)| party).collect()
    }
}

/// The names of parties in reports, each once: pods of one workload share theirs.
pub(crate) struct Names {
    /// The number of each party's name.
    number_of: Vec<usize>,
    /// In order: a smaller number is a name that comes first.
    names: Vec<String>,
}

impl Names {
    pub(crate) fn of(parties: &[&Party]) -> Self {
        let ids: Vec<String> = parties.iter().map(|party| party.id()).collect();
        let mut names = ids.clone();
        names.sort_unstable();
        names.dedup();
        let number = |name: &String| names.binary_search(name).unwrap_or_default();
        Self { number_of: ids.iter().map(number).collect(), names }
    }

    /// The number of a party's name.
    pub(crate) fn number(&self, party: usize) -> usize {
        self.number_of.get(party).copied().unwrap_or_default()
    }

    /// The name of this number.
    pub(crate) fn name(&self, number: usize) -> String {
        self.names.get(number).cloned().unwrap_or_default()
    }
}
