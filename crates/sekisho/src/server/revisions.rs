//! The history of what was put in force: one JSON file per revision, never changed once written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_api::{DatapathMode, Revision, VerifiedImages};
use sekisho_policy::RuleSet;
use sekisho_system::replace_file;
use sekisho_verify::{RestoreError, VerifiedPolicy, VerifiedRecord};

/// All revisions, and which are in force.
#[derive(Debug)]
pub(crate) struct Revisions {
    folder: PathBuf,
    all: BTreeMap<u64, Revision>,
}

impl Revisions {
    /// Reads `folder`, making it if needed. A record that does not match its digest is an error: a
    /// policy that was not verified must not come into force because the server restarted.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
        Self::read(folder)
    }

    /// Reads `folder` and changes nothing; a folder that is not there holds no revision.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut all = BTreeMap::new();
        if !folder.exists() {
            return Ok(Self { folder: folder.to_owned(), all });
        }
        for entry in std::fs::read_dir(folder).context("list revisions")? {
            let path = entry.context("list revisions")?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let revision = read(&path).with_context(|| format!("revision `{}`", path.display()))?;
            all.insert(revision.revision, revision);
        }
        Ok(Self { folder: folder.to_owned(), all })
    }

    /// All, oldest first.
    pub(crate) fn all(&self) -> Vec<Revision> {
        self.all.values().cloned().collect()
    }

    /// All, oldest first, without a copy.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.all.values()
    }

    /// The newest revision of `mode`, with policies or without.
    pub(crate) fn newest(&self, mode: DatapathMode) -> Option<&Revision> {
        self.all.values().rev().find(|revision| revision.mode == mode)
    }

    /// The revision enforced; if none is, the one staged.
    pub(crate) fn in_force(&self) -> Option<&Revision> {
        let modes = [DatapathMode::Enforce, DatapathMode::Audit].into_iter();
        modes.filter_map(|mode| self.newest(mode)).find(|revision| revision.record.is_some())
    }

    /// The images that it was verified for.
    pub(crate) fn verified_images(&self) -> Option<VerifiedImages> {
        let revision = self.in_force()?;
        Some(VerifiedImages { revision: revision.revision, images: revision.images.clone() })
    }

    /// What `mode` has in force; None if nothing.
    pub(crate) fn record(&self, mode: DatapathMode) -> Option<&VerifiedRecord> {
        self.newest(mode).and_then(|revision| revision.record.as_ref())
    }

    /// The rules that `mode` has in force.
    pub(crate) fn rules(&self, mode: DatapathMode) -> RuleSet {
        self.record(mode).map(VerifiedRecord::rules).unwrap_or_default()
    }

    /// The revision numbered `revision`.
    pub(crate) fn find(&self, revision: u64) -> Option<&Revision> {
        self.all.get(&revision)
    }

    /// The number that the next revision will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.all.keys().next_back().map_or(1, |last| last + 1)
    }

    /// Stores `revision` durably, then counts it.
    pub(crate) fn add(&mut self, revision: Revision) -> anyhow::Result<()> {
        let name = format!("{:06}.json", revision.revision);
        let text = serde_json::to_vec_pretty(&revision).context("encode revision")?;
        replace_file(&self.folder.join(name), &text).context("write revision")?;
        self.all.insert(revision.revision, revision);
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Revision> {
    let revision: Revision = serde_json::from_slice(&std::fs::read(path)?)?;
    if let Some(record) = &revision.record {
        match VerifiedPolicy::restore(record.clone()) {
            Ok(_intact) => {}
            // Nodes refuse it and keep what they have; status says so until it is verified again.
            Err(error @ RestoreError::Version { .. }) => tracing::warn!(%error, ?path),
            Err(error @ RestoreError::Digest { .. }) => return Err(error.into()),
        }
    }
    Ok(revision)
}
