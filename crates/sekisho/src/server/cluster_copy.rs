//! The copy of the cluster's journal in the data folder: appended to, and written anew when it has
//! grown to several times what it tells.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_inventory::Inventory;

/// A copy is written anew when it is so many times as long as it was after the last time.
const GROWTH_MAX: u64 = 4;
/// Shorter copies are let grow, bytes.
const SMALL_BYTES: u64 = 8 << 20;

/// The file.
pub(crate) struct JournalCopy {
    file: File,
    path: PathBuf,
    /// Length that is whole, bytes.
    length: u64,
    /// Length when it was written anew last.
    fresh: u64,
    /// Lines are missing because the disk refused them: only writing it anew brings them back.
    has_gap: bool,
}

impl JournalCopy {
    /// Opens the copy, which need not be there yet.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = open(path)?;
        let length = file.metadata().map_or(0, |meta| meta.len());
        Ok(Self { file, path: path.to_owned(), length, fresh: length, has_gap: false })
    }

    /// Its length, bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends whole lines; they are on the disk when this returns.
    pub(crate) fn append(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if let Err(cause) = written {
            // Half a line would spoil the one that follows it.
            self.file.set_len(self.length).context("cut the copied journal")?;
            let text = format!("write `{}`", self.path.display());
            return Err(anyhow::Error::from(cause).context(text));
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Appends the lines of changes that `inventory` knows already. If the disk refuses, they come
    /// back when the copy is written anew.
    pub(crate) fn keep(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        if self.has_gap || lines.is_empty() {
            return Ok(());
        }
        let appended = self.append(lines);
        self.has_gap = appended.is_err();
        appended
    }

    /// Whether it should be written anew.
    pub(crate) fn is_overgrown(&self) -> bool {
        self.has_gap || self.length > self.fresh.max(SMALL_BYTES).saturating_mul(GROWTH_MAX)
    }

    /// Replaces the copy by what `inventory` remembers, in one step.
    pub(crate) fn rewrite(&mut self, inventory: &Inventory) -> anyhow::Result<()> {
        let text = || format!("write `{}` anew", self.path.display());
        let new = self.path.with_extension("jsonl.new");
        let length = write(&new, inventory).with_context(text)?;
        std::fs::rename(&new, &self.path).with_context(text)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).with_context(text)?;
        }
        self.file = open(&self.path)?;
        (self.length, self.fresh, self.has_gap) = (length, length, false);
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let mut options = File::options();
    let file = options.create(true).read(true).append(true).open(path);
    file.with_context(|| format!("open `{}`", path.display()))
}

fn write(path: &Path, inventory: &Inventory) -> std::io::Result<u64> {
    let mut file = File::create(path)?;
    let length = inventory.write_journal(&mut file)?;
    file.sync_all()?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use sekisho_inventory::Inventory;

    use super::*;

    const LINE: &[u8] = br#"{"time":"2026-01-01T00:00:00Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}}
"#;

    #[test]
    fn a_copy_that_is_written_anew_tells_the_same_and_is_shorter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.jsonl");
        let mut copy = JournalCopy::open(&path).unwrap();
        for _ in 0..100 {
            copy.keep(LINE).unwrap();
        }
        let mut inventory = Inventory::default();
        super::super::cluster_feed::read_copy(&path, &mut inventory).unwrap();
        let before = copy.length();
        copy.rewrite(&inventory).unwrap();
        assert!(copy.length() < before / 50 && !copy.is_overgrown());
        copy.keep(LINE).unwrap();
        let mut again = Inventory::default();
        super::super::cluster_feed::read_copy(&path, &mut again).unwrap();
        assert_eq!(again.live_names("Namespace"), inventory.live_names("Namespace"));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), copy.length());
    }

    #[test]
    fn a_disk_that_refuses_leaves_whole_lines_and_the_next_rewrite_has_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.jsonl");
        let mut copy = JournalCopy::open(&path).unwrap();
        copy.keep(LINE).unwrap();
        copy.file = File::open(&path).unwrap();
        assert!(copy.keep(LINE).is_err() || copy.has_gap);
        assert!(copy.is_overgrown());
        let mut inventory = Inventory::default();
        super::super::cluster_feed::read_copy(&path, &mut inventory).unwrap();
        copy.rewrite(&inventory).unwrap();
        assert!(!copy.is_overgrown());
        copy.keep(LINE).unwrap();
    }
}
