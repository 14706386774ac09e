//! How far each source came, across restarts.
//!
//! A position stands in the log beside the flows up to it, so that both last or neither does. Before the
//! log is turned into a segment, positions are written to a file of their own: they are then as far as
//! the segment, and what is in the log later is newer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_model::Timestamp;
use sekisho_system::replace_file;
use serde::{Deserialize, Serialize};

/// Name of the file, in the cluster's data folder.
const NAME: &str = "sources.json";
/// Sources that are remembered; those of former configurations among them.
const REMEMBERED_MAX: usize = 256;

/// How far a source came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Position {
    /// To the flows of this time.
    Time(Timestamp),
    /// To this place in a file.
    File {
        /// Which file: its device.
        device: u64,
        /// And its number there.
        inode: u64,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// To the flows of so many units of a file that was handed in; `u64::MAX` = all.
    Units(u64),
}

/// All positions of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Resume {
    path: PathBuf,
    positions: BTreeMap<String, Position>,
    changed: bool,
}

impl Resume {
    /// Reads what was written in `folder`; nothing is there at first.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(NAME);
        let positions = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("read `{}`: remove it to begin anew", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("read `{}`", path.display())),
        };
        Ok(Self { path, positions, changed: false })
    }

    /// Where `source` goes on; None = at its beginning.
    pub(crate) fn of(&self, source: &str) -> Option<Position> {
        self.positions.get(source).copied()
    }

    /// Notes a position that is durable in the log.
    pub(crate) fn note(&mut self, source: &str, position: Position) {
        if self.positions.len() >= REMEMBERED_MAX && !self.positions.contains_key(source) {
            self.positions.pop_first();
        }
        self.positions.insert(source.to_owned(), position);
        self.changed = true;
    }

    /// Forgets a source that is over.
    pub(crate) fn forget(&mut self, source: &str) {
        self.changed |= self.positions.remove(source).is_some();
    }

    /// Writes the file, if anything changed: as a whole, or not at all.
    pub(crate) fn keep(&mut self) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let text = serde_json::to_string(&self.positions).context("encode positions of sources")?;
        replace_file(&self.path, text.as_bytes())
            .with_context(|| format!("write `{}`", self.path.display()))?;
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_again_and_rubbish_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let mut resume = Resume::open(folder.path()).unwrap();
        let file = Position::File { device: 1, inode: 2, offset: 3 };
        resume.note("a", file);
        resume.note("b", Position::Time(Timestamp::from_seconds(7)));
        resume.keep().unwrap();
        let again = Resume::open(folder.path()).unwrap();
        assert_eq!((again.of("a"), again.of("c")), (Some(file), None));
        std::fs::write(folder.path().join(NAME), "{").unwrap();
        let error = format!("{:#}", Resume::open(folder.path()).unwrap_err());
        assert!(error.contains(NAME), "{error}");
    }
}
