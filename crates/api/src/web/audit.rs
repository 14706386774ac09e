//! What the audit log holds: every change, and every call that was not permitted.

use sekisho_model::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be done. Without a later entry of the same `id`, the server ended meanwhile.
    Begun,
    /// Done.
    Done,
    /// Understood, and not done: it would have blocked something, or was wrong.
    Refused,
    /// Not permitted.
    Denied,
}

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Ascends from 1.
    pub number: u64,
    /// When.
    pub time: Timestamp,
    /// The same for all entries of one call.
    pub id: u64,
    /// Who: the name of a token, of a certificate, or what somebody on the machine itself says.
    pub who: String,
    /// What was asked for: `apply`, `stage`, `rollback`, `create_token`, `revoke_token`, or the method
    /// and path of a call that was denied.
    pub action: String,
    /// What it is about: a cluster, a token.
    pub target: String,
    /// What became of it.
    pub outcome: Outcome,
    /// More about it.
    pub detail: String,
    /// Calls of the same kind just before that were not written down one by one.
    pub repeated: u64,
}

/// Part of the log, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// Entries.
    pub entries: Vec<AuditEntry>,
    /// Ask with `before=` this for the next page; None = this is the last.
    pub next: Option<u64>,
}
