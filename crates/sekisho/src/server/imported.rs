//! A data folder that takes flows of other tools: each import counts once, also across `kill -9`.
//!
//! Each part of an import is sealed with a mark inside of its segment, which says how far the import
//! came: one rename makes rows and mark. An import that was cut off goes on after its last sealed part;
//! its rows before are read again, for what connections there were, and not recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_inventory::{Change, Inventory};
use sekisho_manifest::Object;
use sekisho_model::{ClusterName, Flow, LossMinute, Timestamp};
use sekisho_store::{FlowStore, LocalStore, StoreLimits, StoreStatus};
use serde::{Deserialize, Serialize};

use super::cluster_copy::JournalCopy;
use super::cluster_feed;
use super::derive::Derivation;

/// A folder that is open for imports; nobody else writes to it meanwhile.
pub(crate) struct ImportFolder {
    folder: PathBuf,
    store: LocalStore,
    derivation: Derivation,
    inventory: Inventory,
    /// Lines sealed of each source, by its digest; None = all.
    done: BTreeMap<String, Option<u64>>,
}

/// How far an import came when a part of it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// SHA-256 of the whole source, hexadecimal.
    pub(crate) digest: String,
    /// What the source is called.
    pub(crate) name: String,
    /// Its format.
    pub(crate) format: String,
    /// Lines read when the part was sealed.
    pub(crate) lines: u64,
    /// Whether these are all.
    pub(crate) whole: bool,
    /// When.
    pub(crate) at: Timestamp,
}

impl ImportFolder {
    /// Opens `folder`, which is made if it is not there.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let (mut store, logs) = LocalStore::open(folder, StoreLimits::default())
            .with_context(|| format!("open history in `{}`", folder.display()))?;
        let mut inventory = Inventory::default();
        cluster_feed::read_copy(&folder.join(cluster_feed::COPY_NAME), &mut inventory)?;
        let mut derivation = Derivation::new(ClusterName::default());
        derivation.replay(&logs, &inventory, &mut store)?;
        let done = marks(&store);
        Ok(Self { folder: folder.to_owned(), store, derivation, inventory, done })
    }

    /// Adds objects of the cluster, which held always as far as is known, and keeps them.
    pub(crate) fn add_objects(&mut self, objects: &[Object]) -> anyhow::Result<()> {
        for object in objects {
            self.inventory.apply(Timestamp::EPOCH, Change::Added, object);
        }
        JournalCopy::open(&self.folder.join(cluster_feed::COPY_NAME))?.rewrite(&self.inventory)
    }

    /// Who is who.
    pub(crate) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// How many lines of a source are in history; None = all.
    pub(crate) fn sealed(&self, digest: &str) -> Option<u64> {
        self.done.get(digest).copied().unwrap_or(Some(0))
    }

    /// Records flows; they last from the next [`Self::seal`] on.
    pub(crate) fn record(&mut self, flows: &[Flow]) {
        self.store.record(flows, &[]);
    }

    /// Whether a part should be sealed before more is recorded.
    pub(crate) fn is_full(&self) -> bool {
        self.store.wants_rotation()
    }

    /// Makes what was recorded last, with `mark`.
    pub(crate) fn seal(&mut self, losses: &[LossMinute], mark: Mark) -> anyhow::Result<()> {
        self.store.record(&[], losses);
        let note = serde_json::to_string(&mark).context("encode the import's mark")?;
        let checkpoint = self.derivation.checkpoint()?;
        self.store.rotate_noted(&checkpoint, &note).context("seal the import")?;
        self.done.insert(mark.digest, if mark.whole { None } else { Some(mark.lines) });
        Ok(())
    }

    /// How the store is.
    pub(crate) fn status(&self) -> StoreStatus {
        self.store.status()
    }
}

/// How far each source came, by its digest. A note that is no mark of an import is nobody's business.
fn marks(store: &LocalStore) -> BTreeMap<String, Option<u64>> {
    let marks =
        store.notes().into_iter().filter_map(|note| serde_json::from_str::<Mark>(note).ok());
    // In the order of the segments: the last one of a source tells.
    marks.map(|mark| (mark.digest, if mark.whole { None } else { Some(mark.lines) })).collect()
}
