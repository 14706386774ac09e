//! A data folder that takes flows of other tools: each import counts once, also across `kill -9`.
//!
//! Each part of an import is sealed with a mark inside of its segment, which says how far the import
//! came: one rename makes rows and mark. An import that was cut off goes on after its last sealed part;
//! its rows before are read again, for what connections there were, and not recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_exchange::{Listed, Named, Networks};
use sekisho_inventory::{Change, Inventory};
use sekisho_manifest::{Host, Object};
use sekisho_model::{ClusterName, Flow, LossMinute, TimeRange, Timestamp};
use sekisho_store::{FlowSink, FlowStore, LocalStore, StoreLimits, StoreStatus};
use sekisho_system::replace_file;
use serde::{Deserialize, Serialize};

use super::cluster_copy::JournalCopy;
use super::cluster_feed;
use super::derive::Derivation;
use super::fleet::folder_of;

/// File of the names of networks, in the folder.
const NETWORKS_NAME: &str = "networks.json";

/// A folder that is open for imports; nobody else writes to it meanwhile.
pub(crate) struct ImportFolder {
    folder: PathBuf,
    /// Whose flows they are.
    cluster: ClusterName,
    store: LocalStore,
    derivation: Derivation,
    inventory: Inventory,
    networks: Networks,
    /// What `networks` was made of.
    listed: Vec<Listed>,
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
    /// Opens the part of `data_dir` that holds `cluster`, which is made if it is not there.
    pub(crate) fn open(data_dir: &Path, cluster: &ClusterName) -> anyhow::Result<Self> {
        let folder = &folder_of(data_dir, cluster);
        if let Some(parent) = folder.parent().filter(|_| !cluster.is_default()) {
            // The store makes its own folder, and none above it.
            std::fs::create_dir_all(parent)
                .with_context(|| format!("make the folder `{}`", parent.display()))?;
        }
        let (mut store, logs) = LocalStore::open(folder, StoreLimits::default())
            .with_context(|| format!("open history in `{}`", folder.display()))?;
        let mut inventory = Inventory::default();
        cluster_feed::read_copy(&folder.join(cluster_feed::COPY_NAME), &mut inventory)?;
        let mut derivation = Derivation::new(cluster.clone());
        derivation.replay(&logs, &inventory, &mut store)?;
        let done = marks(&store);
        let listed = kept_networks(&folder.join(NETWORKS_NAME))?;
        let mut networks = Networks::default();
        for one in &listed {
            networks.add(one.network, one.held, &one.name);
        }
        let (folder, cluster) = (folder.clone(), cluster.clone());
        Ok(Self { folder, cluster, store, derivation, inventory, networks, listed, done })
    }

    /// Adds objects of the cluster, which held always as far as is known, and lists of networks and
    /// machines, which held when they say; keeps them.
    pub(crate) fn add_objects(
        &mut self,
        objects: &[Object],
        listed: &[Listed],
    ) -> anyhow::Result<()> {
        for object in objects {
            self.inventory.apply(Timestamp::EPOCH, Change::Added, object);
        }
        let (machines, networks): (Vec<_>, Vec<_>) =
            listed.iter().partition(|one| one.machine.is_some());
        for (held, host) in hosts(&machines) {
            self.inventory.apply(held.from, Change::Added, &host);
            if held.to < Timestamp::MAX {
                self.inventory.apply(held.to, Change::Deleted, &host);
            }
        }
        JournalCopy::open(&self.folder.join(cluster_feed::COPY_NAME))?.rewrite(&self.inventory)?;
        for one in networks {
            self.networks.add(one.network, one.held, &one.name);
            self.listed.push(one.clone());
        }
        self.keep_networks()
    }

    /// Writes the names of networks anew, as a whole or not at all.
    fn keep_networks(&self) -> anyhow::Result<()> {
        if self.listed.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(NETWORKS_NAME);
        let text = serde_json::to_string(&self.listed).context("encode the names of networks")?;
        replace_file(&path, text.as_bytes()).with_context(|| format!("write `{}`", path.display()))
    }

    /// Who is who.
    pub(crate) fn directory(&self) -> Named<'_> {
        Named { inner: &self.inventory, networks: &self.networks }
    }

    /// How many lines of a source are in history; None = all.
    pub(crate) fn sealed(&self, digest: &str) -> Option<u64> {
        self.done.get(digest).copied().unwrap_or(Some(0))
    }

    /// Where they are kept.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Whose flows it takes.
    pub(crate) fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Records flows as of this cluster; they last from the next [`Self::seal`] on.
    pub(crate) fn record(&mut self, flows: &mut [Flow]) {
        // Records of other tools know one cluster, the one without a name.
        if !self.cluster.is_default() {
            for flow in &mut *flows {
                flow.key.cluster.clone_from(&self.cluster);
            }
        }
        self.store.record(flows, &[]);
    }

    /// Whether a part should be sealed before more is recorded.
    pub(crate) fn is_full(&self) -> bool {
        self.store.wants_rotation()
    }

    /// Makes what was recorded last, with `mark`.
    pub(crate) fn seal(&mut self, mut losses: Vec<LossMinute>, mark: Mark) -> anyhow::Result<()> {
        for loss in &mut losses {
            loss.cluster.clone_from(&self.cluster);
        }
        self.store.record(&[], &losses);
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

/// Names of networks that earlier imports were told.
fn kept_networks(path: &Path) -> anyhow::Result<Vec<Listed>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("read `{}`", path.display()));
        }
    };
    serde_json::from_str(&text).with_context(|| format!("read `{}`", path.display()))
}

/// Machines of lists as the objects that they would be, in the order in which they began. A machine of
/// several addresses stands in several rows.
fn hosts(listed: &[&Listed]) -> Vec<(TimeRange, Object)> {
    let mut hosts: BTreeMap<_, Host> = BTreeMap::new();
    for one in listed {
        let Some((namespace, labels)) = &one.machine else { continue };
        let key = (one.held.from, one.held.to, namespace, &one.name);
        let host = hosts.entry(key).or_default();
        host.meta.name.clone_from(&one.name);
        host.meta.namespace.clone_from(namespace);
        host.meta.labels.extend(labels.clone());
        host.addresses.push(one.network.addr());
    }
    hosts
        .into_iter()
        .map(|((from, to, ..), host)| (TimeRange { from, to }, Object::Host(host)))
        .collect()
}
