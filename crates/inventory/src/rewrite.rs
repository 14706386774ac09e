//! The whole inventory as a journal: what a copy that grew too long is replaced by.

use std::io::{self, Write};
use std::sync::Arc;

use sekisho_manifest::Object;
use sekisho_model::Timestamp;

use crate::journal::write_line;
use crate::{Change, Inventory};

/// Bytes that are collected before they are written.
const CHUNK_BYTES: usize = 256 * 1024;

impl Inventory {
    /// Writes what is remembered, oldest first, as lines that [`Inventory::apply_line`] reads: an
    /// empty inventory that takes them gives the same answers. Returns the bytes written.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_journal(&self, out: &mut dyn Write) -> io::Result<u64> {
        let mut total = 0;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for (time, change, object) in self.retold() {
            write_line(&mut chunk, time, change, &object);
            if chunk.len() >= CHUNK_BYTES {
                out.write_all(&chunk)?;
                total += chunk.len() as u64;
                chunk.clear();
            }
        }
        out.write_all(&chunk)?;
        Ok(total + chunk.len() as u64)
    }

    /// The changes that lead to what is remembered, in order.
    fn retold(&self) -> Vec<(Timestamp, Change, Arc<Object>)> {
        let mut changes = Vec::new();
        for spans in self.history.objects.values() {
            let mut spans = spans.iter().peekable();
            let mut change = Change::Added;
            while let Some(span) = spans.next() {
                changes.push((span.from, change, Arc::clone(&span.value)));
                let lasts = spans.peek().is_some_and(|next| next.from == span.to);
                change = if lasts { Change::Modified } else { Change::Added };
                if !lasts && span.to != Timestamp::MAX {
                    changes.push((span.to, Change::Deleted, Arc::clone(&span.value)));
                }
            }
        }
        // An address is given up before it is taken; the sort keeps the order of what is left.
        changes.sort_by_key(|(time, change, _)| (*time, *change != Change::Deleted));
        changes
    }
}
