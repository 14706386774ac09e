//! Versions of the layout on disk that this program reads. It writes only the newest.
//!
//! | layout | since it | read as |
//! |---|---|---|
//! | 2 | has containers and images | rows of the cluster `default`: there was only one |
//! | 3 | has a column `cluster` | |
//! | 4 | an edge is written once a day, its minutes apart | |
//!
//! A folder of an older layout becomes one of the newest when it is opened for writing: its VERSION
//! is replaced before anything else is written, so that an older program refuses the folder instead
//! of reading half of it. Its segments stay as they are until they are merged with others: each
//! names its own layout. Logs are the same in all.

/// How the rows of a segment lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 2: a row for each edge and minute, without a cluster.
    WithoutCluster,
    /// 3: a row for each edge and minute.
    ByMinute,
    /// 4: a row for each edge and day, and files of minutes and hours that refer to it.
    Current,
}

impl Layout {
    const ALL: [Self; 3] = [Self::Current, Self::ByMinute, Self::WithoutCluster];

    /// The number in a segment's metadata.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::WithoutCluster => "2",
            Self::ByMinute => "3",
            Self::Current => "4",
        }
    }

    /// The layout of a number in a segment's metadata.
    pub(crate) fn of_number(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.number() == text)
    }

    /// First line of a folder's VERSION.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::WithoutCluster => "sekisho-store 2",
            Self::ByMinute => "sekisho-store 3",
            Self::Current => "sekisho-store 4",
        }
    }

    /// The layout of the first line of a folder's VERSION.
    pub(crate) fn of_line(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.line() == text)
    }
}
