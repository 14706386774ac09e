//! What is asked of history: when, which edges, and how many of the newest.

use sekisho_flow::FlowFilter;
use sekisho_model::{EdgeKey, TimeRange};

/// A part of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// All minutes that overlap it.
    pub range: TimeRange,
    /// Which edges. Addresses are those of their parties: history knows no others.
    pub filter: FlowFilter,
    /// Of rows by minute only so many of the newest; None = all.
    pub newest: Option<usize>,
}

impl Wanted {
    /// Whether it takes edges with this key.
    pub(crate) fn takes(&self, key: &EdgeKey) -> bool {
        self.filter.takes_edge(key)
    }
}

/// All of a window.
impl From<TimeRange> for Wanted {
    fn from(range: TimeRange) -> Self {
        Self { range, filter: FlowFilter::default(), newest: None }
    }
}
