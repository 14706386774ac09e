//! Versions of the layout on disk that this program reads. It writes only the newest.
//!
//! | layout | since it | read as |
//! |---|---|---|
//! | 2 | has containers and images | rows of the cluster `default`: there was only one |
//! | 3 | has a column `cluster` | |
//!
//! A folder of layout 2 becomes one of layout 3 when it is opened for writing: its VERSION is
//! replaced before anything else is written, so that a program that knows only layout 2 refuses the
//! folder instead of reading half of it. Its segments stay as they are: each names its own layout.
//! Logs are the same in both.

/// How the rows of a segment lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 2.
    WithoutCluster,
    /// 3.
    Current,
}

impl Layout {
    /// The number in a segment's metadata.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::WithoutCluster => "2",
            Self::Current => "3",
        }
    }

    /// The layout of a number in a segment's metadata.
    pub(crate) fn of_number(text: &str) -> Option<Self> {
        [Self::Current, Self::WithoutCluster].into_iter().find(|layout| layout.number() == text)
    }

    /// First line of a folder's VERSION.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::WithoutCluster => "sekisho-store 2",
            Self::Current => "sekisho-store 3",
        }
    }

    /// The layout of the first line of a folder's VERSION.
    pub(crate) fn of_line(text: &str) -> Option<Self> {
        [Self::Current, Self::WithoutCluster].into_iter().find(|layout| layout.line() == text)
    }
}
