//! One broken rule: where, what, why it is a rule, how to mend it.

use std::fmt;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the workspace root.
    pub(crate) path: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// Why it is a rule.
    pub(crate) why: &'static str,
    /// What to do.
    pub(crate) mend: String,
}

impl Finding {
    /// Makes a finding; `mend` completes "to mend it, ...".
    pub(crate) fn new(
        place: (&str, usize),
        what: impl Into<String>,
        why: &'static str,
        mend: impl Into<String>,
    ) -> Self {
        let (path, line) = place;
        Self { path: path.to_owned(), line, what: what.into(), why, mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, why, mend } = self;
        write!(f, "{path}:{line}: {what} ({why}): {mend}")
    }
}
