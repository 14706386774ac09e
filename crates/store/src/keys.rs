//! Keys that were read before: they fill most of a segment, and the same ones are in all.

use std::sync::Arc;

use sekisho_model::EdgeKey;

use crate::by_id::ById;
use crate::parties::Shared;
use crate::pick::rows_at;
use crate::reader::builder;
use crate::run::EdgeId;
use crate::segment::{Part, Segment};
use crate::{SegmentError, decode};

/// Keys held at most between questions: some hundred bytes each.
const KEYS_MAX: usize = 200_000;

/// Keys by id.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: ById<Arc<EdgeKey>>,
    shared: Shared,
}

impl Keys {
    /// The keys of these edges of `segment`, which is of the current layout, in their order: numbers
    /// in the file, ascending, and ids. Only those that are not known are read.
    pub(crate) fn of(
        &mut self,
        segment: &Segment,
        edges: &[(u32, EdgeId)],
    ) -> Result<Vec<Arc<EdgeKey>>, SegmentError> {
        if self.keys.len() > KEYS_MAX || self.shared.is_full() {
            *self = Self::default();
        }
        let is_unknown = |(_, id): &&(u32, EdgeId)| self.keys.get(*id).is_none();
        let unknown: Vec<(u32, EdgeId)> = edges.iter().filter(is_unknown).copied().collect();
        if !unknown.is_empty() {
            self.read(segment, &unknown)?;
        }
        // What was just read is there.
        Ok(edges.iter().filter_map(|(_, id)| self.keys.get(*id).cloned()).collect())
    }

    fn read(&mut self, segment: &Segment, edges: &[(u32, EdgeId)]) -> Result<(), SegmentError> {
        let selection = rows_at(edges.iter().map(|(number, _)| *number));
        let mut ids = edges.iter().map(|(_, id)| *id);
        for batch in builder(segment, Part::Edges, None)?.with_row_selection(selection).build()? {
            for key in decode::keys(&batch?, segment.layout, &mut self.shared)? {
                let id = ids.next().ok_or(SegmentError::Metadata(crate::columns::ID))?;
                self.keys.position(id, || key);
            }
        }
        match ids.next() {
            None => Ok(()),
            Some(_) => Err(SegmentError::Metadata(crate::columns::ID)),
        }
    }
}
