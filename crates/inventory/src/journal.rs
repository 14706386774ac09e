//! Reads the journal: one watch event per line, `{"time", "type", "object"}`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sekisho_manifest::{Meta, Object, OtherObject, OwnerRef, read, to_json};
use sekisho_model::Timestamp;
use serde_json::Value;

use crate::error::{JournalError, LineError};
use crate::{Change, Inventory};

/// Longest line that is read, bytes: etcd holds objects of at most 1.5 MiB.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes read at once; [`JournalRead::more`] tells that there is more.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Errors kept of one read; more are only counted.
const ERRORS_MAX: usize = 16;

impl Inventory {
    /// Takes one line of a journal. Lines of type BOOKMARK and kinds we don't read change nothing.
    ///
    /// # Errors
    /// [`JournalError::Line`] with what is wrong; nothing changed.
    pub fn apply_line(&mut self, file: &str, line_no: u64, line: &str) -> Result<(), JournalError> {
        let wrong = |cause| JournalError::Line { file: file.to_owned(), line: line_no, cause };
        let (time, change, objects) = read_line(file, line).map_err(wrong)?;
        let Some(change) = change else { return Ok(()) };
        for object in &objects {
            self.apply(time, change, object);
        }
        Ok(())
    }
}

type Line = (Timestamp, Option<Change>, Vec<Object>);

fn read_line(file: &str, line: &str) -> Result<Line, LineError> {
    #[derive(serde::Deserialize)]
    struct WatchEvent {
        time: Timestamp,
        #[serde(rename = "type")]
        change: String,
        object: Value,
        /// Only what [`Partial`] holds is told.
        #[serde(default)]
        partial: bool,
    }
    let event: WatchEvent = serde_json::from_str(line).map_err(LineError::Json)?;
    let change = match event.change.to_ascii_uppercase().as_str() {
        "ADDED" => Change::Added,
        "MODIFIED" => Change::Modified,
        "DELETED" => Change::Deleted,
        "BOOKMARK" => return Ok((event.time, None, Vec::new())),
        _ => return Err(LineError::Type(event.change)),
    };
    if event.partial {
        let partial: Partial = serde_json::from_value(event.object).map_err(LineError::Json)?;
        return Ok((event.time, Some(change), vec![partial.object()]));
    }
    // What an API server would refuse today, it may have taken once: only what we can't read counts.
    let reading = read(file, &event.object.to_string());
    if !reading.errors.is_empty() {
        return Err(LineError::Object(reading.errors));
    }
    Ok((event.time, Some(change), reading.objects))
}

/// An object of which we know, or need, no more than who it is and who owns it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Partial {
    #[serde(default)]
    api_version: String,
    kind: String,
    #[serde(default)]
    namespace: String,
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
}

impl Partial {
    fn of(object: &Object) -> Self {
        let meta = object.meta();
        let api_version = match object {
            Object::Other(other) => other.api_version.clone(),
            _read => String::new(),
        };
        Self {
            api_version,
            kind: object.kind().to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            owner: meta.owner.clone(),
            created: meta.created,
        }
    }

    fn object(self) -> Object {
        let Self { api_version, kind, namespace, name, uid, owner, created } = self;
        let meta = Meta { namespace, name, uid, owner, created, ..Meta::default() };
        Object::Other(OtherObject { api_version, kind, meta })
    }
}

/// Appends a line that [`Inventory::apply_line`] reads.
pub(crate) fn write_line(out: &mut Vec<u8>, time: Timestamp, change: Change, object: &Object) {
    let (name, is_deleted) = match change {
        Change::Added => ("ADDED", false),
        Change::Modified => ("MODIFIED", false),
        Change::Deleted => ("DELETED", true),
    };
    out.extend_from_slice(format!(r#"{{"time":"{time}","type":"{name}","#).as_bytes());
    if is_deleted || matches!(object, Object::Other(_)) {
        // Strings and times only: nothing that JSON can't hold.
        let partial = serde_json::to_string(&Partial::of(object)).unwrap_or_default();
        out.extend_from_slice(format!(r#""partial":true,"object":{partial}}}"#).as_bytes());
    } else {
        out.extend_from_slice(br#""object":"#);
        out.extend_from_slice(to_json(object).as_bytes());
        out.push(b'}');
    }
    out.push(b'\n');
}

/// What one read of a journal did.
#[derive(Debug, Default)]
pub struct JournalRead {
    /// Lines applied.
    pub applied: u64,
    /// Lines skipped because something is wrong with them.
    pub skipped: u64,
    /// What is wrong with the first of them.
    pub errors: Vec<JournalError>,
    /// There is more to read now.
    pub more: bool,
    /// The file had been truncated or replaced: reading began again at its start.
    pub restarted: bool,
}

/// Follows a journal file that others append to.
///
/// A last line without its newline waits for the rest. A file that became shorter or was replaced
/// by another is read again from its start; what is in both is applied twice, which does nothing.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    /// Start of the first line that was not applied.
    offset: u64,
    line: u64,
    inode: Option<u64>,
    /// A line that is too long is being skipped.
    skipping: bool,
}

impl JournalReader {
    /// Makes a reader of `path` from its start. The file need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::resume(path, 0)
    }

    /// Makes a reader that begins at `offset`, which another reader's [`Self::offset`] gave. Line
    /// numbers in messages count from there.
    #[must_use]
    pub fn resume(path: &Path, offset: u64) -> Self {
        Self { path: path.to_owned(), offset, line: 0, inode: None, skipping: false }
    }

    /// Bytes that were read and applied.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Applies the whole lines that were appended since the last read, at most
    /// [`READ_BYTES_MAX`] bytes of them. A file that is not there yet is empty.
    ///
    /// # Errors
    /// [`JournalError::Read`] if the file can't be read. Wrong lines are no error of the read:
    /// they are skipped and listed.
    pub fn read_into(&mut self, inventory: &mut Inventory) -> Result<JournalRead, JournalError> {
        let mut result = JournalRead::default();
        let Some(bytes) = self.next_bytes(&mut result)? else { return Ok(result) };
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            self.line += 1;
            self.offset += u64::try_from(end).unwrap_or_default() + 1;
            if std::mem::take(&mut self.skipping) || line.trim_ascii().is_empty() {
                continue;
            }
            match self.apply(inventory, line) {
                Ok(()) => result.applied += 1,
                Err(error) => skip(&mut result, error),
            }
        }
        if rest.len() >= LINE_BYTES_MAX {
            self.offset += u64::try_from(rest.len()).unwrap_or_default();
            if !std::mem::replace(&mut self.skipping, true) {
                let cause = LineError::TooLong(LINE_BYTES_MAX);
                let file = self.path.display().to_string();
                skip(&mut result, JournalError::Line { file, line: self.line + 1, cause });
            }
        }
        Ok(result)
    }

    fn apply(&self, inventory: &mut Inventory, line: &[u8]) -> Result<(), JournalError> {
        let file = self.path.display().to_string();
        let text = std::str::from_utf8(line).map_err(|cause| JournalError::Line {
            file: file.clone(),
            line: self.line,
            cause: LineError::Text(cause),
        })?;
        inventory.apply_line(&file, self.line, text)
    }

    /// The next bytes of the file; None if it is not there.
    fn next_bytes(&mut self, result: &mut JournalRead) -> Result<Option<Vec<u8>>, JournalError> {
        let wrong = |cause| JournalError::Read { path: self.path.clone(), cause };
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error)),
        };
        let metadata = file.metadata().map_err(wrong)?;
        let replaced = self.inode.is_some_and(|inode| inode != metadata.ino());
        if replaced || metadata.len() < self.offset {
            (self.offset, self.line, self.skipping) = (0, 0, false);
            result.restarted = true;
        }
        self.inode = Some(metadata.ino());
        if metadata.len() == self.offset {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(wrong)?;
        let mut bytes = Vec::new();
        let max = u64::try_from(READ_BYTES_MAX).unwrap_or(u64::MAX);
        file.take(max).read_to_end(&mut bytes).map_err(wrong)?;
        result.more = bytes.len() == READ_BYTES_MAX;
        Ok(Some(bytes))
    }
}

fn skip(result: &mut JournalRead, error: JournalError) {
    result.skipped += 1;
    if result.errors.len() < ERRORS_MAX {
        result.errors.push(error);
    }
}

#[cfg(test)]
mod tests;
