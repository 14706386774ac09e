//! A data folder read without a server: the same code, the same answer, no root.

use std::path::Path;

use anyhow::Context;
use sekisho_api::{DatapathMode, Snapshot, SnapshotQuery};
use sekisho_inventory::Inventory;
use sekisho_model::{ClusterName, Timestamp};
use sekisho_store::{FlowStore, StoreLimits};

use super::cluster_feed;
use super::damage::{self, Damaged};
use super::derive::Derivation;
use super::revisions::Revisions;
use super::window::{self, Sources};

/// Reads the history that `query` asks for of `cluster` from its `folder`; a server may be writing to it.
pub(crate) fn snapshot(
    (cluster, folder): (&ClusterName, &Path),
    query: &SnapshotQuery,
    now: Timestamp,
) -> anyhow::Result<Snapshot> {
    let (mut store, logs) = sekisho_store::open_read_only(folder, StoreLimits::default())
        .with_context(|| format!("read history in `{}`", folder.display()))?;
    if let Some(until) = store.elsewhere_until().filter(|until| query.range.from < *until) {
        let folder = folder.display();
        tracing::warn!(
            "history before {until} is in ClickHouse, in whole or in part, and not in `{folder}`: the \
             server has all of it"
        );
    }
    let mut inventory = Inventory::default();
    cluster_feed::read_copy(&folder.join(cluster_feed::COPY_NAME), &mut inventory)?;
    let mut derivation = Derivation::new(cluster.clone());
    derivation.replay(&logs, &inventory, &mut store)?;
    let mut damaged = damage::set_aside(folder);
    // No server set these aside yet; what they held is not known.
    let found = store.status().damaged.into_iter();
    damaged.extend(found.map(|name| Damaged { path: name.into(), until: now }));
    let agents = derivation.agents.heard();
    let sources = Sources {
        cluster,
        store: &store,
        inventory: &inventory,
        agents: &agents,
        damaged: &damaged,
    };
    let mut snapshot = window::ask(&sources, query, now)?.answer()?;
    let revisions = Revisions::read(&folder.join("revisions"))?;
    snapshot.current = revisions.rules(DatapathMode::Enforce);
    snapshot.verified = revisions.verified_images();
    Ok(snapshot)
}
