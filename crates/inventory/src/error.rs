//! What can be wrong with a journal.

use std::path::PathBuf;

use sekisho_manifest::ManifestError;

/// A journal can't be read, or one of its lines not be understood.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file can't be opened, sought or read.
    #[error("read journal `{}`", path.display())]
    Read {
        /// The journal.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A line was skipped.
    #[error("`{file}` line {line}")]
    Line {
        /// The journal, as the caller named it.
        file: String,
        /// Line from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        cause: LineError,
    },
}

/// A line is no watch event of an object we understand.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no JSON object with the fields `time`, `type` and `object`.
    #[error("not a watch event")]
    Json(#[source] serde_json::Error),
    /// `type` is none of ADDED, MODIFIED, DELETED, BOOKMARK.
    #[error("field `type`: `{0}` is not one of ADDED, MODIFIED, DELETED, BOOKMARK")]
    Type(String),
    /// The object has mistakes.
    #[error("field `object`: {}", list(.0))]
    Object(Vec<ManifestError>),
    /// The line is longer than [`crate::LINE_BYTES_MAX`].
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// The line is not UTF-8.
    #[error("not UTF-8")]
    Text(#[source] std::str::Utf8Error),
}

/// The first mistakes, with their fields; positions inside one line of JSON help nobody.
fn list(errors: &[ManifestError]) -> String {
    let texts: Vec<String> =
        errors.iter().take(3).map(|error| format!("{}: {}", error.field, error.message)).collect();
    texts.join("; ")
}
