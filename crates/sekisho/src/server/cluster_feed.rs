//! Follows the cluster's journal and keeps a copy beside the history, so that old flows can still
//! be named when the cluster is gone.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_base::error_chain;
use sekisho_inventory::{Inventory, JournalReader};

/// File of the copy, in the data folder.
pub(crate) const COPY_NAME: &str = "inventory.jsonl";

/// A followed journal.
pub(crate) struct ClusterFeed {
    source: Option<(PathBuf, JournalReader)>,
    copy: File,
    copy_path: PathBuf,
    /// Length of the copy that is whole, bytes.
    copied: u64,
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
        let mut options = File::options();
        let copy = options.create(true).read(true).append(true).open(&copy_path);
        let copy = copy.with_context(|| format!("open `{}`", copy_path.display()))?;
        let source = match journal {
            Some(path) => Some((path.to_owned(), resumed(path, &copy_path)?)),
            None => None,
        };
        let copied = copy.metadata().map_or(0, |meta| meta.len());
        let source_copied = source.as_ref().map_or(0, |(_path, reader)| reader.offset());
        let rejection = String::new();
        let mut feed =
            Self { source, copy, copy_path, copied, source_copied, rejected: 0, rejection };
        // A full disk is no reason not to start: what is not copied yet is copied later.
        if let Err(error) = feed.read(inventory) {
            tracing::error!(error = format!("{error:#}"), "the cluster's journal is not kept");
        }
        Ok(feed)
    }

    /// Takes what the journal got since the last call, and copies it. What could not be copied is
    /// tried again by the next call.
    pub(crate) fn read(&mut self, inventory: &mut Inventory) -> anyhow::Result<()> {
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
        let written = self.copy.write_all(&bytes).and_then(|()| self.copy.sync_data());
        if let Err(cause) = written {
            // Half a line would spoil the one that follows it.
            self.copy.set_len(self.copied).context("cut the copied journal")?;
            let text = format!("write `{}`", self.copy_path.display());
            return Err(anyhow::Error::from(cause).context(text));
        }
        self.copied += bytes.len() as u64;
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
