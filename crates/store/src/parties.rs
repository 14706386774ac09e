//! Ends of edges that repeat are made once, and shared: rows repeat them, and a party with its labels
//! costs more than all the rest of a row.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use sekisho_model::{Party, Process};

use crate::SegmentError;

/// Parties and processes held at most: some hundred bytes each.
const SHARED_MAX: usize = 200_000;

/// The words of a party as they stand in a row: kind, namespace, workload, its kind, pod, labels,
/// address, DNS name.
pub(crate) type PartyWords<'a> = [Option<&'a str>; 8];
/// The words of a process: exe, comm, uid, container, image.
pub(crate) type ProcessWords<'a> = ([Option<&'a str>; 4], u32);

/// Parties and processes by their words.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    hasher: RandomState,
    parties: BTreeMap<u64, Vec<(OwnWords, Arc<Party>)>>,
    processes: BTreeMap<u64, Vec<(OwnWords, Arc<Process>)>>,
}

type OwnWords = Vec<Option<Box<str>>>;

fn is_same(own: &OwnWords, words: &[Option<&str>]) -> bool {
    own.len() == words.len() && own.iter().zip(words).all(|(a, b)| a.as_deref() == *b)
}

fn owned(words: &[Option<&str>]) -> OwnWords {
    words.iter().map(|word| word.map(Box::from)).collect()
}

impl Shared {
    /// The party of these words, which `make` reads if they are new.
    pub(crate) fn party(
        &mut self,
        words: PartyWords<'_>,
        make: impl FnOnce() -> Result<Party, SegmentError>,
    ) -> Result<Arc<Party>, SegmentError> {
        let known = self.parties.entry(self.hasher.hash_one(words)).or_default();
        if let Some((_, party)) = known.iter().find(|(own, _)| is_same(own, &words)) {
            return Ok(Arc::clone(party));
        }
        let party = Arc::new(make()?);
        known.push((owned(&words), Arc::clone(&party)));
        Ok(party)
    }

    /// The same for a process.
    pub(crate) fn process(
        &mut self,
        (words, uid): ProcessWords<'_>,
        make: impl FnOnce() -> Process,
    ) -> Arc<Process> {
        let known = self.processes.entry(self.hasher.hash_one((words, uid))).or_default();
        let found = known.iter().find(|(own, one)| one.uid == uid && is_same(own, &words));
        if let Some((_, process)) = found {
            return Arc::clone(process);
        }
        let process = Arc::new(make());
        known.push((owned(&words), Arc::clone(&process)));
        process
    }

    /// Whether there are too many to be kept: begin anew then.
    pub(crate) fn is_full(&self) -> bool {
        self.parties.len().saturating_add(self.processes.len()) > SHARED_MAX
    }
}
