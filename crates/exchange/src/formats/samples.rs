//! Lines read by one format, for its tests.

use crate::reader::LineFormat;
use crate::record::{Item, Record, Reject};

/// What each line gives, or why it was rejected, in order.
pub(crate) fn read(mut format: impl LineFormat, lines: &str) -> Vec<Result<Item, Reject>> {
    let mut all = Vec::new();
    for line in lines.lines() {
        all.extend(format.line(line.as_bytes()).transpose());
    }
    all
}

/// The record that the last line gives.
#[track_caller]
pub(crate) fn last_record(format: impl LineFormat, lines: &str) -> Record {
    match read(format, lines).pop() {
        Some(Ok(Item::Record(record))) => *record,
        other => panic!("{lines}: {other:?}"),
    }
}

/// Why the last line was rejected.
#[track_caller]
pub(crate) fn last_reject(format: impl LineFormat, lines: &str) -> String {
    match read(format, lines).pop() {
        Some(Err(reject)) => reject.reason,
        other => panic!("{lines}: {other:?}"),
    }
}
