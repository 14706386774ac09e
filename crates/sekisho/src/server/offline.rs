//! A data folder read without a server: the same code, the same answer, no root.

use std::path::Path;

use anyhow::Context;
use sekisho_api::{DatapathMode, Snapshot};
use sekisho_inventory::Inventory;
use sekisho_model::{TimeRange, Timestamp};
use sekisho_store::StoreLimits;

use super::cluster_feed;
use super::derive::Derivation;
use super::revisions::Revisions;
use super::window;

/// Reads the history of `range` from `folder`; a server may be writing to it.
pub(crate) fn snapshot(
    folder: &Path,
    range: TimeRange,
    now: Timestamp,
) -> anyhow::Result<Snapshot> {
    let (mut store, logs) = sekisho_store::open_read_only(folder, StoreLimits::default())
        .with_context(|| format!("read history in `{}`", folder.display()))?;
    let mut inventory = Inventory::default();
    cluster_feed::read_copy(&folder.join(cluster_feed::COPY_NAME), &mut inventory)?;
    Derivation::new().replay(&logs, &inventory, &mut store, |_batch| {})?;
    let mut snapshot = window::snapshot(&store, &inventory, &[], range, now)?;
    snapshot.current = Revisions::read(&folder.join("revisions"))?.rules(DatapathMode::Enforce);
    Ok(snapshot)
}
