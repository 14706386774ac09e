//! Carries deltas into an inventory, and into the journal that tells of them after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sekisho_manifest::{Meta, Object, OtherObject};
use sekisho_model::Timestamp;

use super::delta::Delta;
use crate::journal::write_line;
use crate::{Change, Inventory};

/// Takes the deltas of one [`super::Watch`], in their order.
#[derive(Debug, Default)]
pub struct Intake {
    /// By kind, what was told before its first list ended.
    told: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Kinds of which all was told.
    listed: BTreeSet<String>,
    /// When we heard of the delta that was taken last.
    heard: Timestamp,
}

impl Intake {
    /// Takes a delta; what it changed is appended to `journal`, as lines that
    /// [`Inventory::apply_line`] reads.
    pub fn take(&mut self, inventory: &mut Inventory, delta: Delta, journal: &mut Vec<u8>) {
        match delta {
            Delta::Change { time, change, object } => {
                self.heard = time;
                self.note(change, &object);
                let object = Arc::new(*object);
                if let Some(from) = inventory.apply_live(time, change, &object) {
                    write_line(journal, from, change, &object);
                }
            }
            Delta::Listed { time, kind, unreadable } => {
                self.heard = time;
                let told = self.told.remove(&kind).unwrap_or_default();
                if !self.listed.insert(kind.clone()) {
                    return;
                }
                let unreadable: BTreeSet<_> = unreadable.into_iter().collect();
                let there = |key: &(String, String)| told.contains(key) || unreadable.contains(key);
                for key in inventory.live_names(&kind).into_iter().filter(|key| !there(key)) {
                    let (namespace, name) = key;
                    let meta = Meta { namespace, name, ..Meta::default() };
                    let object = Arc::new(Object::Other(OtherObject {
                        api_version: String::new(),
                        kind: kind.clone(),
                        meta,
                    }));
                    let change = Change::Deleted;
                    if let Some(from) = inventory.apply_live(time, change, &object) {
                        write_line(journal, from, change, &object);
                    }
                }
            }
        }
    }

    /// When we heard of the delta that was taken last.
    #[must_use]
    pub fn heard(&self) -> Timestamp {
        self.heard
    }

    fn note(&mut self, change: Change, object: &Object) {
        if self.listed.contains(object.kind()) {
            return;
        }
        let meta = object.meta();
        let key = (meta.namespace.clone(), meta.name.clone());
        let told = self.told.entry(object.kind().to_owned()).or_default();
        match change {
            Change::Added | Change::Modified => told.insert(key),
            Change::Deleted => told.remove(&key),
        };
    }
}
