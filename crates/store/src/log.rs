//! The ingest log: raw batches, durable before they are acknowledged.
//!
//! Fails closed: an append that did not reach the disk leaves no trace in the log and is an error;
//! what was acknowledged before stays. After a failed `fdatasync` the kernel may have dropped the
//! pages and a second sync would lie (<https://lwn.net/Articles/752063/>), so the tail is cut off and
//! written anew by the caller's retry, never synced again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files;
use crate::frame::{self, FRAME_BYTES_MAX, Frame, FrameKind, LOG_HEADER_BYTES};
use crate::{AppendError, OpenError};

const ENDING: &str = "log";
/// Above this the buffer for one append is given back afterwards, in bytes.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// One log found at opening: its frames in order, and what could not be read.
#[derive(Debug)]
pub struct ReplayedLog {
    /// Number of the log; ascending in time.
    pub id: u64,
    /// What it holds. A log other than the very first begins with a checkpoint.
    pub frames: Vec<Frame>,
    /// Parts that were acknowledged and cannot be read: loss.
    pub damage: Vec<Damage>,
    /// Bytes at the end of the newest log that hold no whole frame: a write that a crash
    /// interrupted, hence never acknowledged. They were cut off (or ignored if read-only).
    pub tail_cut_bytes: u64,
}

/// A part of a log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The log file.
    pub path: PathBuf,
    /// Where the damage begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// The newest log, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) id: u64,
    path: PathBuf,
    file: File,
    /// Bytes that are durable and whole.
    end: u64,
    /// True if bytes after `end` may be in the file because cutting them off failed.
    ragged: bool,
    buffer: Vec<u8>,
}

pub(crate) fn path_of(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id:020}.{ENDING}"))
}

/// Ids of all logs in `folder`, oldest first.
pub(crate) fn ids(folder: &Path) -> io::Result<Vec<u64>> {
    let id = |name: &String| name.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok();
    Ok(files::names(folder)?.iter().filter_map(id).collect())
}

/// Reads the log `id`; None if it is gone. The tail of the `newest` log is not damage.
pub(crate) fn read(folder: &Path, id: u64, newest: bool) -> Result<Option<ReplayedLog>, OpenError> {
    let path = path_of(folder, id);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(OpenError::Read { path, cause }),
    };
    let parsed = frame::parse(id, &bytes);
    let lost = parsed.tail.filter(|_| !newest);
    let damage = parsed
        .holes
        .into_iter()
        .chain(lost)
        .map(|bad| Damage { path: path.clone(), offset: bad.offset, bytes: bad.bytes })
        .collect();
    let tail_cut_bytes = parsed.tail.filter(|_| newest).map_or(0, |tail| tail.bytes);
    Ok(Some(ReplayedLog { id, frames: parsed.frames, damage, tail_cut_bytes }))
}

impl Log {
    /// Makes the log `id`, with `checkpoint` as its first frame if given. Durable on return.
    pub(crate) fn create(folder: &Path, id: u64, checkpoint: Option<&[u8]>) -> io::Result<Self> {
        let mut buffer = frame::log_header(id).to_vec();
        if let Some(payload) = checkpoint {
            let offset = buffer.len() as u64;
            if !frame::encode(&mut buffer, id, offset, FrameKind::Checkpoint, payload) {
                return Err(io::Error::other(format!("checkpoint over {FRAME_BYTES_MAX} bytes")));
            }
        }
        let path = path_of(folder, id);
        files::write_whole(&path, |mut file| {
            file.write_all(&buffer)?;
            Ok::<_, io::Error>(file)
        })?;
        Self::open(folder, id, 0)
    }

    /// Opens the log `id` for appending and cuts `tail_bytes` off its end.
    pub(crate) fn open(folder: &Path, id: u64, tail_bytes: u64) -> io::Result<Self> {
        let path = path_of(folder, id);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut end = file.metadata()?.len().saturating_sub(tail_bytes);
        if tail_bytes > 0 {
            file.set_len(end)?;
            file.sync_all()?;
        }
        if end < LOG_HEADER_BYTES as u64 {
            file.write_all_at(&frame::log_header(id), 0)?;
            file.sync_all()?;
            end = LOG_HEADER_BYTES as u64;
        }
        Ok(Self { id, path, file, end, ragged: false, buffer: Vec::new() })
    }

    /// Bytes of the log.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// Appends `payloads` as batch frames: all are durable on return, or none counts.
    pub(crate) fn append(&mut self, payloads: &[&[u8]]) -> Result<(), AppendError> {
        self.buffer.clear();
        for payload in payloads {
            let offset = self.end.saturating_add(self.buffer.len() as u64);
            if !frame::encode(&mut self.buffer, self.id, offset, FrameKind::Batch, payload) {
                return Err(AppendError::TooLong { bytes: payload.len(), max: FRAME_BYTES_MAX });
            }
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.write_durably();
        if result.is_err() {
            self.ragged = self.cut().is_err();
        }
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        result.map_err(|cause| AppendError::Write { path: self.path.clone(), cause })
    }

    fn write_durably(&mut self) -> io::Result<()> {
        if self.ragged {
            self.cut()?;
            self.ragged = false;
        }
        self.file.write_all_at(&self.buffer, self.end)?;
        self.file.sync_data()?;
        self.end = self.end.saturating_add(self.buffer.len() as u64);
        Ok(())
    }

    fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }
}
