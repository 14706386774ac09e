//! Files of flows that people hand in.

use axum::http::Method;
use bytes::Bytes;
use sekisho_model::{ClusterName, Timestamp};
use serde::{Deserialize, Serialize};

use super::endpoints::{CLUSTER, Kind, TEXT, get, may, must};
use super::{Access, Endpoint, Parameter, Question};
use crate::{Refusal, RejectFigures};

const UPLOAD: &[Parameter] = &[
    must("name", TEXT, "What the file is called."),
    may("format", TEXT, "What is in it, as `sekisho import --format` has it; found out if absent."),
];

/// Files of flows that are handed in.
pub(super) fn imports() -> [Endpoint; 2] {
    let words = ("Files of flows that were handed in, the latest first.", "Imports");
    let list = get("/imports", Access::Operator, words, &[CLUSTER], |asked| {
        asked.parsed("cluster").map(Question::Imports)
    });
    let hand_in = Endpoint {
        method: &Method::POST,
        summary: "Hand in a file of flows, at most 2 GiB, packed by gzip or not: it is read into \
                  history in the background, and the same bytes count once.",
        parameters: &[CLUSTER, UPLOAD],
        body: Some("FlowFile"),
        answer: "Import",
        kind: Kind::Upload,
        ..list
    };
    [list, hand_in]
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// Others are read first.
    #[default]
    Waiting,
    /// It is being read.
    Reading,
    /// It is in history.
    Done,
    /// It can't be read, or not to its end; what was read before that is in history.
    Failed,
}

/// A file of flows that was handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportStatus {
    /// The beginning of its SHA-256: the same file counts once.
    pub id: String,
    /// What who handed it in calls it.
    pub name: String,
    /// Who that was.
    pub by: String,
    /// When.
    pub received: Timestamp,
    /// Its length.
    pub bytes: u64,
    /// What was found in it; empty = not known yet.
    pub format: String,
    /// What becomes of it.
    pub state: ImportState,
    /// Why it failed, or waits; empty = it does not.
    pub problem: String,
    /// Lines, packets or records read.
    pub units: u64,
    /// Flows that they gave.
    pub records: u64,
    /// Connections that began.
    pub connections: u64,
    /// Understood and left out.
    pub skipped: u64,
    /// Not understood.
    pub rejected: u64,
    /// The most frequent reasons.
    pub reasons: Vec<RejectFigures>,
    /// Records that the file says, or its numbers show, were lost.
    pub lost: u64,
    /// Time of its first record.
    pub from: Option<Timestamp>,
    /// Time of its last.
    pub to: Option<Timestamp>,
}

/// A file about to be handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadQuestion {
    /// Into which history; None = that of the only cluster.
    pub cluster: Option<ClusterName>,
    /// What it is called.
    pub name: String,
    /// What is in it; None = to be found out.
    pub format: Option<String>,
}

/// A file that is being handed in; dropped before its end it is forgotten.
pub trait Upload: Send {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Refusal`] if it is too large, or the disk refuses.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal>;

    /// Ends it: it will be read, also after a restart. Gives an [`ImportStatus`], JSON.
    ///
    /// # Errors
    /// [`Refusal`] if it is no file that can be read.
    fn finish(self: Box<Self>) -> Result<Bytes, Refusal>;
}
