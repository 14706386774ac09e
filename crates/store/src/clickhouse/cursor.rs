//! The folder's own note of what was shipped: `clickhouse.json`, written as a whole, durable before
//! what it allows is done.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sekisho_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::ArchiveError;
use crate::{OpenError, files};

/// Its name in the folder.
pub(crate) const NAME: &str = "clickhouse.json";
const FORM: u32 = 1;

/// What was shipped, what is under way, and what only ClickHouse has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    form: u32,
    /// What this folder is called in ClickHouse: random, so that no other is called that.
    pub(crate) writer: String,
    /// The last log of the last segment that was shipped or given up; 0 = none.
    pub(crate) shipped: u64,
    /// The last log of the last segment that was shipped; ClickHouse says the same.
    pub(crate) noted: u64,
    /// The segment that may be in ClickHouse in part.
    pub(crate) sending: Option<Sending>,
    /// End of the time of which ClickHouse has something that this folder has not; None = it was
    /// never asked.
    pub(crate) elsewhere_until: Option<Timestamp>,
    /// Segments shipped, and their rows.
    pub(crate) segments: u64,
    pub(crate) rows: u64,
    /// Segments that retention removed before they were shipped, and their rows.
    pub(crate) lost_segments: u64,
    pub(crate) lost_rows: u64,
}

/// A segment that is being shipped. It is not merged with others until it was, so that what comes
/// again comes in the same inserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sending {
    pub(crate) logs: (u64, u64),
    /// Rows of an insert at most: with other settings other rows would go into one.
    pub(crate) batch_rows: usize,
}

/// How far ClickHouse is behind the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveLag {
    /// Segments shipped since the folder was first connected, and their rows of minutes.
    pub segments: u64,
    /// Rows of minutes in these.
    pub rows: u64,
    /// Sealed segments that are not shipped yet.
    pub waiting_segments: u64,
    /// Rows of minutes in these.
    pub waiting_rows: u64,
    /// Seconds since the last minute of the oldest of these; 0 if none waits.
    pub waiting_s: u64,
    /// Segments that retention removed before they were shipped.
    pub lost_segments: u64,
    /// Rows of minutes in these.
    pub lost_rows: u64,
    /// End of the time of which only ClickHouse has all; None = it was never asked.
    pub elsewhere_until: Option<Timestamp>,
}

impl Cursor {
    /// The note of a folder of which nothing was shipped yet.
    pub(crate) fn fresh() -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let writer: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            form: FORM,
            writer,
            shipped: 0,
            noted: 0,
            sending: None,
            elsewhere_until: None,
            segments: 0,
            rows: 0,
            lost_segments: 0,
            lost_rows: 0,
        })
    }

    /// Reads the note of a folder; None if it never shipped anything.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(OpenError::Read { path, cause }),
        };
        let invalid = |text: String| {
            let text = format!("{text}; restore it, or remove it to ship all of the folder again");
            OpenError::Read { path: path.clone(), cause: io::Error::other(text) }
        };
        let cursor: Self =
            serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let is_name =
            cursor.writer.len() == 32 && cursor.writer.bytes().all(|byte| byte.is_ascii_hexdigit());
        if cursor.form != FORM || !is_name {
            return Err(invalid(format!("form {} is not known", cursor.form)));
        }
        Ok(Some(cursor))
    }

    /// Makes it what a crash finds.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), ArchiveError> {
        let path = folder.join(NAME);
        let failed = |cause| ArchiveError::Cursor { path: path.clone(), cause };
        let text = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        let written = files::write_whole(&path, |mut file| {
            writeln!(file, "{text}")?;
            Ok::<_, io::Error>(file)
        });
        written.map_err(failed)
    }
}
