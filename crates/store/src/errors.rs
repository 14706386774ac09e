//! What can go wrong, one enum per operation.

use std::io;
use std::path::PathBuf;

/// A store folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open for writing.
    #[error("store `{0}` is in use by another process (it holds the lock on its file LOCK)")]
    InUse(PathBuf),
    /// It is not there, or not a store.
    #[error("`{0}` is no store: it has no file VERSION")]
    NotAStore(PathBuf),
    /// It was written by a version with another layout.
    #[error("store `{path}` has layout `{found}`, this program knows `{known}`")]
    Version {
        /// The store.
        path: PathBuf,
        /// First line of its file VERSION.
        found: String,
        /// What this program writes.
        known: &'static str,
    },
    /// A file could not be read.
    #[error("read `{path}`")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file could not be made, changed or removed.
    #[error("write `{path}`")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Frames could not be made durable. None of them counts; the log is as before.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A frame is longer than [`crate::FRAME_BYTES_MAX`].
    #[error("frame of {bytes} bytes is longer than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// The disk refused (full, read-only, broken). The store is degraded until an append succeeds.
    #[error("append to log `{path}`")]
    Write {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// A generation could not be closed. Nothing is lost: log and hot rows are kept.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The next log could not be made; the store goes on with the current one.
    #[error("make the log `{path}`")]
    NewLog {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The segment could not be written; its rows stay hot and go into the next one.
    #[error("write segment `{path}`")]
    Segment {
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SegmentError,
    },
}

/// History could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There are more minutes than can be held: ask for a shorter window, or by day.
    #[error("the window holds more than {limit} rows of minutes: ask for a shorter one")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// A segment is damaged or gone. Moving it away makes the rest readable.
    #[error("read segment `{path}`")]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SegmentError,
    },
    /// ClickHouse was asked for another window, or for days and not for minutes.
    #[error("this was not asked of ClickHouse before")]
    NotFetched,
}

/// Segments could not be merged; they are as before.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// There is nothing to merge.
    #[error("there is no segment to merge")]
    Empty,
    /// A part could not be read, or the merged segment not be written.
    #[error("merge into segment `{path}`")]
    Segment {
        /// The merged segment.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SegmentError,
    },
}

impl ScanError {
    /// Whether a file went since it was listed: who asks again gets an answer.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Segment { cause: SegmentError::Io(cause), .. } => {
                cause.kind() == io::ErrorKind::NotFound
            }
            Self::Segment { .. } | Self::TooMany { .. } | Self::NotFetched => false,
        }
    }
}

/// A segment could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("remove `{path}`")]
pub struct RetentionError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// What is wrong with a segment file.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no valid Parquet file.
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Columns do not fit each other.
    #[error(transparent)]
    Arrow(#[from] arrow_schema::ArrowError),
    /// A column is missing or has another type.
    #[error("column `{0}` is missing or has another type")]
    Column(&'static str),
    /// A value is none that this program writes.
    #[error("column `{column}`, row {row}: `{value}` is not a value of it")]
    Value {
        /// The column.
        column: &'static str,
        /// Row within its batch, from 0.
        row: usize,
        /// What was found.
        value: String,
    },
    /// The description of the segment in the file's metadata is missing or wrong.
    #[error("file metadata `{0}` is missing or wrong")]
    Metadata(&'static str),
}
