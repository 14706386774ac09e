//! Where rules are enforced, and how strictly.

use serde::{Deserialize, Serialize};

/// What kind of machine an agent enforces on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// A Kubernetes node: the subjects are its pods, whose packets it forwards.
    Node,
    /// A VM or plain host: the only subject is the host itself.
    Host,
}

/// The place and revision a compilation is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Node name, or the name of the Host object.
    pub node: String,
    /// Which of the two.
    pub kind: ScopeKind,
    /// Revision of the policies, kept in the kernel so that it can be read after an agent restart.
    pub revision: u64,
    /// NFLOG group that denied connections are logged to (see [`crate::DenyLog`]).
    pub log_group: u16,
}

/// Whether a denial is carried out. Each mode has a table of its own, so that a policy can be
/// staged beside the one that is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Denied connections are logged and dropped.
    Enforce,
    /// Denied connections are logged and forwarded.
    Audit,
}

impl Mode {
    /// `enforce` or `audit`, as written into the kernel.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }

    /// Name of the mode's table, of family `inet`.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Enforce => "sekisho",
            Self::Audit => "sekisho_staged",
        }
    }

    /// Where the mode's chains stand: what is staged judges only what is not dropped.
    pub(crate) fn priority(self) -> &'static str {
        match self {
            Self::Enforce => "filter",
            Self::Audit => "filter + 1",
        }
    }

    /// The letter in the log prefix.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Enforce => 'D',
            Self::Audit => 'A',
        }
    }
}
