//! What can go wrong with ClickHouse, in words that say what to do.

use std::io;
use std::path::PathBuf;

use crate::SegmentError;

/// ClickHouse could not be asked, or did not answer as it must. Nothing is lost: history stays in
/// the folder until it was shipped.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A setting is none that can be used.
    #[error("`{key}`: {text}")]
    Setting {
        /// Its key in the table `server.clickhouse`.
        key: &'static str,
        /// What is wrong and what is right.
        text: String,
    },
    /// A file that the settings name could not be read.
    #[error("read `{path}`, named by `{key}`")]
    File {
        /// Key of the setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// No connection could be made.
    #[error("connect to ClickHouse at {server}")]
    Connect {
        /// Host and port.
        server: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The connection broke before the answer was whole. What was sent may have been done.
    #[error("the connection to ClickHouse broke before its answer was whole")]
    Broken(#[source] hyper::Error),
    /// There was no whole answer in time. What was sent may have been done.
    #[error("no whole answer of ClickHouse within {seconds} s (`timeout_s`)")]
    Late {
        /// The bound.
        seconds: u64,
    },
    /// It answered, and refused.
    #[error("ClickHouse refused: {text}{}", hint(*code, *status))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Number of the exception, 0 if it named none.
        code: u32,
        /// What it said, cut to a few hundred characters.
        text: String,
    },
    /// Somebody in between sent us elsewhere.
    #[error(
        "redirected to `{to}`, which is not followed: a password must go where it was meant to; set \
         `url` to ClickHouse itself"
    )]
    Redirected {
        /// Where to.
        to: String,
    },
    /// The answer is compressed in a way that was not asked for.
    #[error(
        "the answer is encoded as `{0}`, which was not asked for: is there a proxy in between?"
    )]
    Encoding(String),
    /// The answer is larger than we hold.
    #[error("the answer is larger than {limit} bytes: ask for a shorter window")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// The answer is not what was asked for.
    #[error("the answer of ClickHouse is not what was asked for: {0}")]
    Answer(String),
    /// Rows of the answer can't be read.
    #[error("read the answer of ClickHouse")]
    Rows(#[source] SegmentError),
    /// The tables are of a later version of this program.
    #[error(
        "the tables in ClickHouse have version {found}, this program knows {known}: start the newer \
         version of it"
    )]
    Schema {
        /// What the table `schema` says.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// What ClickHouse says it got and what the folder says it shipped do not agree.
    #[error("{0}")]
    Diverged(String),
    /// The window has more rows of minutes than can be held.
    #[error("the window holds more than {limit} rows of minutes: ask for a shorter one")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// A segment of the folder could not be read.
    #[error("read segment `{path}`")]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SegmentError,
    },
    /// The folder's own note of what was shipped could not be written or read.
    #[error("`{path}`")]
    Cursor {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// What to do about what ClickHouse refuses most often.
fn hint(code: u32, status: u16) -> &'static str {
    match (code, status) {
        // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
        (192..=194 | 516, _) | (0, 401 | 403) => "; check `user` and `password_file`",
        // UNKNOWN_TABLE, UNKNOWN_DATABASE
        (60 | 81, _) => "; somebody removed it: the next turn of the server makes it anew",
        // READONLY, ACCESS_DENIED
        (164 | 497, _) => {
            "; grant the user SELECT, INSERT, CREATE TABLE, CREATE VIEW and ALTER TTL on the database"
        }
        // QUERY_WAS_CANCELLED, TIMEOUT_EXCEEDED
        (159 | 394, _) => "; ask for a shorter window, or raise its limits",
        // TOO_MANY_PARTS
        (252, _) => "; it merges more slowly than it is written to: look at its disk",
        // MEMORY_LIMIT_EXCEEDED
        (241, _) => "; give it more memory, lower `batch_rows`, or ask for a shorter window",
        // TABLE_IS_READ_ONLY, KEEPER_EXCEPTION
        (242 | 999, _) => "; its Keeper is away",
        (0, 404) => "; is `url` ClickHouse's HTTP port (8123, or 8443 with TLS)?",
        (0, 500..=599) => "; is it starting, or a proxy without a server behind it?",
        (_, _) => "",
    }
}

impl ArchiveError {
    /// Whether asking for less would help.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        matches!(self, Self::TooMany { .. } | Self::TooLarge { .. })
    }
}
