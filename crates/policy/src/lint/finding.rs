//! What lint finds.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use sekisho_manifest::Position;
use serde::{Deserialize, Serialize};

use super::code::Code;

/// How bad a finding is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nothing need be wrong.
    Note,
    /// Does most likely not do what was meant.
    Warning,
    /// Does nothing, or the opposite of what it says.
    Error,
}

impl Severity {
    /// The severity as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text names no severity.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` is not one of error, warning, note")]
pub struct SeverityError(String);

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Note, Self::Warning, Self::Error];
        let found = all.into_iter().find(|severity| severity.as_str() == text);
        found.ok_or_else(|| SeverityError(text.to_owned()))
    }
}

/// The object that a finding is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// Kind, as Kubernetes spells it.
    pub kind: String,
    /// Namespace; empty for kinds of cluster scope.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// `Kind namespace/name`.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// What lint did not look at, because it would have taken too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// The mistakes that may have gone unseen; none if only patches are missing.
    pub codes: Vec<&'static Code>,
    /// The limit that was met.
    pub why: String,
}

/// All that lint has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linted {
    /// Mistakes, by file and line.
    pub findings: Vec<Finding>,
    /// Where the answer is not whole; empty for all but huge inputs.
    pub unchecked: Vec<Unchecked>,
}

/// One mistake, or something to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of mistake.
    pub code: &'static Code,
    /// How bad it is here; most often that of the code.
    pub severity: Severity,
    /// What it is about.
    pub object: ObjectName,
    /// Where it stands.
    pub position: Position,
    /// Path of the field, e.g. `spec.ingress[0].from[1].podSelector`; empty for the object itself.
    pub field: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// Workloads and connections that show it, at most [`EVIDENCE_MAX`] and a count of the rest.
    pub evidence: Vec<String>,
    /// What to do.
    pub fix: Fix,
}

/// Lines of evidence that a finding holds.
pub const EVIDENCE_MAX: usize = 8;

/// What to do about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    /// In words.
    pub text: String,
    /// The change of the text, where it is mechanical; empty = only words.
    pub edits: Vec<Edit>,
}

/// A change of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// File, as in positions.
    pub file: String,
    /// Bytes of the text that go.
    pub bytes: Range<usize>,
    /// What comes instead.
    pub text: String,
}

impl Fix {
    pub(crate) fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), edits: Vec::new() }
    }

    pub(crate) fn with(text: impl Into<String>, edit: Option<Edit>) -> Self {
        Self { text: text.into(), edits: edit.into_iter().collect() }
    }
}

/// The first [`EVIDENCE_MAX`] lines, and how many more there are.
pub(crate) fn evidence(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    let more = lines.len().saturating_sub(EVIDENCE_MAX);
    lines.truncate(EVIDENCE_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}
