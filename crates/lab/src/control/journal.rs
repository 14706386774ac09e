//! The journal: every change of an object, appended as one line, as a Kubernetes watch gives it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sekisho_base::Clock;
use sekisho_manifest::{Object, to_json};
use sekisho_model::Timestamp;
use sekisho_system::SystemClock;

/// Kind of a change (Kubernetes WatchEvent.type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// The journal's file; a line is written whole or, on a full disk, reported as missing.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends one change.
    ///
    /// # Errors
    /// With the file's name, if the line could not be written.
    pub(super) fn append(&mut self, change: Change, object: &Object) -> Result<(), String> {
        let line = format!(
            "{{\"time\":\"{}\",\"type\":\"{}\",\"object\":{}}}\n",
            now(),
            change.as_str(),
            to_json(object)
        );
        // One write call, so that readers never see half a line.
        self.file
            .write_all(line.as_bytes())
            .map_err(|error| format!("append to `{}`: {error}", self.path.display()))
    }
}

/// The current time.
pub(super) fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}
