//! Follows the cluster, by a journal or by its API server, and keeps a copy beside the history, so
//! that old flows can still be named when the cluster is gone.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_api::ClusterStatus;
use sekisho_base::error_chain;
use sekisho_inventory::watch::Watch;
use sekisho_inventory::{Inventory, JournalReader};
use sekisho_model::Timestamp;

use super::cluster_copy::JournalCopy;
use super::cluster_live::LiveCluster;

/// File of the copy, in the data folder.
pub(crate) const COPY_NAME: &str = "inventory.jsonl";

/// A followed cluster.
pub(crate) struct ClusterFeed {
    source: Option<(PathBuf, JournalReader)>,
    live: Option<LiveCluster>,
    copy: JournalCopy,
    /// Up to where the source was copied, bytes: behind what was read if the disk refused.
    source_copied: u64,
    /// Lines that could not be read.
    pub(crate) rejected: u64,
    /// The last reason.
    pub(crate) rejection: String,
}

impl ClusterFeed {
    /// Reads the copy into `inventory` and starts to follow `journal`.
    pub(crate) fn open(
        data_dir: &Path,
        journal: Option<&Path>,
        inventory: &mut Inventory,
    ) -> anyhow::Result<Self> {
        let copy_path = data_dir.join(COPY_NAME);
        read_copy(&copy_path, inventory)?;
        let copy = JournalCopy::open(&copy_path)?;
        let source = match journal {
            Some(path) => Some((path.to_owned(), resumed(path, &copy_path)?)),
            None => None,
        };
        let source_copied = source.as_ref().map_or(0, |(_path, reader)| reader.offset());
        let rejection = String::new();
        let mut feed = Self { source, live: None, copy, source_copied, rejected: 0, rejection };
        // A full disk is no reason not to start: what is not copied yet is copied later.
        if let Err(error) = feed.read_journal(inventory) {
            tracing::error!(error = format!("{error:#}"), "the cluster's journal is not kept");
        }
        Ok(feed)
    }

    /// Follows a live cluster from now on. The copy is written anew first: an earlier run may have
    /// left it long.
    pub(crate) fn attach(&mut self, watch: Watch, inventory: &Inventory, now: Timestamp) {
        self.live = Some(LiveCluster::new(watch, now));
        if let Err(error) = self.copy.rewrite(inventory) {
            tracing::error!(error = format!("{error:#}"), "the copied journal is not shortened");
        }
    }

    /// Takes what happened since the last call, and copies it. What could not be copied is tried
    /// again by the next call.
    pub(crate) fn read(&mut self, inventory: &mut Inventory, now: Timestamp) -> anyhow::Result<()> {
        if let Some(live) = &mut self.live {
            live.read(inventory, &mut self.copy, now)?;
        }
        self.read_journal(inventory)
    }

    /// Whether a live cluster is being listed for the first time.
    pub(crate) fn is_listing(&self) -> bool {
        self.live.as_ref().is_some_and(LiveCluster::is_listing)
    }

    /// Whether agents should wait before they report.
    pub(crate) fn holds_agents(&self, now: Timestamp) -> bool {
        self.live.as_ref().is_some_and(|live| live.holds_agents(now))
    }

    /// What is wrong with a live cluster, each with what to do.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.live.as_ref().map(LiveCluster::problems).unwrap_or_default()
    }

    /// How a live cluster is followed; None if none is.
    pub(crate) fn status(&self) -> Option<ClusterStatus> {
        self.live.as_ref().map(|live| live.status(&self.copy))
    }

    fn read_journal(&mut self, inventory: &mut Inventory) -> anyhow::Result<()> {
        loop {
            let Some((_path, reader)) = &mut self.source else { return Ok(()) };
            let read = reader.read_into(inventory).context("read the cluster's journal")?;
            self.rejected += read.skipped;
            if let Some(error) = read.errors.last() {
                self.rejection = error_chain(error);
                tracing::warn!(error = %self.rejection, "journal line refused");
            }
            if read.restarted {
                self.source_copied = 0;
            }
            let copied = self.copy_news();
            // Whoever can't be copied is known all the same.
            if !read.more {
                return copied;
            }
        }
    }

    /// Appends to the copy what was read and is not in it.
    fn copy_news(&mut self) -> anyhow::Result<()> {
        let Some((path, reader)) = &self.source else { return Ok(()) };
        let bytes = slice(path, self.source_copied, reader.offset())?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.copy.append(&bytes)?;
        self.source_copied += bytes.len() as u64;
        Ok(())
    }
}

/// A reader that skips what the copy holds already. A copy of another journal is kept as it is, and
/// this one follows it: applying a line twice does nothing.
fn resumed(journal: &Path, copy: &Path) -> anyhow::Result<JournalReader> {
    let length = std::fs::metadata(copy).map_or(0, |meta| meta.len());
    let source = slice(journal, 0, length)?;
    let known = slice(copy, 0, length)?;
    let offset = if source == known { length } else { 0 };
    Ok(JournalReader::resume(journal, offset))
}

/// The bytes `from..to` of a file, fewer if it is shorter, none if it is not there.
fn slice(path: &Path, from: u64, to: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if from >= to || !path.exists() {
        return Ok(bytes);
    }
    let mut file = File::open(path).with_context(|| format!("read `{}`", path.display()))?;
    file.seek(SeekFrom::Start(from))
        .and_then(|_position| file.take(to - from).read_to_end(&mut bytes))
        .with_context(|| format!("read `{}`", path.display()))?;
    Ok(bytes)
}

/// Reads the copy at `path` into `inventory`; a crash may have cut its last line.
pub(crate) fn read_copy(path: &Path, inventory: &mut Inventory) -> anyhow::Result<()> {
    let mut reader = JournalReader::new(path);
    loop {
        let read = reader.read_into(inventory).context("read the copied journal")?;
        for error in &read.errors {
            tracing::warn!(error = %error_chain(error), "copied journal line refused");
        }
        if !read.more {
            return Ok(());
        }
    }
}
