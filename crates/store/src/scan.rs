//! The minutes of a segment, as far as they are wanted.

use std::sync::Arc;

use sekisho_model::EdgeKey;

use crate::columns::{EDGE, MINUTE};
use crate::layout::Layout;
use crate::parties::Shared;
use crate::pick::{self, Picked};
use crate::reader::Runs;
use crate::segment::{Part, Segment};
use crate::sums::{Sums, overlaps};
use crate::{SegmentError, Wanted, decode};

/// Adds the minutes of `segment` that are wanted to `into`.
pub(crate) fn scan(
    segment: &Segment,
    wanted: &Wanted,
    into: &mut Sums,
) -> Result<(), SegmentError> {
    match segment.layout {
        Layout::Current if segment.rows == 0 => Ok(()),
        Layout::Current => scan_minutes(segment, wanted, into),
        Layout::ByMinute | Layout::WithoutCluster => scan_runs(segment, wanted, into),
    }
}

fn scan_runs(segment: &Segment, wanted: &Wanted, into: &mut Sums) -> Result<(), SegmentError> {
    let mut runs = Runs::of(segment)?;
    while let Some(run) = runs.next()? {
        if wanted.takes(&run.key) {
            for (minute, stats) in run.minutes.iter().filter(|row| overlaps(row.0, wanted.range)) {
                into.add(&run.key, *minute, stats);
            }
        }
    }
    Ok(())
}

fn scan_minutes(segment: &Segment, wanted: &Wanted, into: &mut Sums) -> Result<(), SegmentError> {
    let (numbers, keys) = edges(segment, wanted)?;
    if numbers.is_empty() {
        return Ok(());
    }
    let mut edges = numbers.iter().zip(&keys).peekable();
    for batch in pick::counts(segment, Part::Minutes, &numbers)? {
        decode::counts(&batch?, MINUTE, |edge, minute, stats| {
            while edges.next_if(|(number, _)| **number < edge).is_some() {}
            let (number, key) = edges.peek().ok_or(SegmentError::Metadata(EDGE))?;
            if **number != edge {
                return Err(SegmentError::Metadata(EDGE));
            }
            if overlaps(minute, wanted.range) {
                into.add(key, minute, &stats());
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The edges that are wanted: their numbers in the file, and their keys.
fn edges(
    segment: &Segment,
    wanted: &Wanted,
) -> Result<(Vec<u32>, Vec<Arc<EdgeKey>>), SegmentError> {
    let (mut numbers, mut found) = (Vec::new(), Vec::new());
    let Some(picked) = Picked::of(segment, &wanted.filter)? else { return Ok((numbers, found)) };
    let mut shared = Shared::default();
    let mut candidates = picked.numbers();
    for batch in picked.edges(segment, None)?.build()? {
        if shared.is_full() {
            shared = Shared::default();
        }
        for key in decode::keys(&batch?, segment.layout, &mut shared)? {
            let number = candidates.next().ok_or(SegmentError::Metadata(EDGE))?;
            if wanted.takes(&key) {
                numbers.push(number);
                found.push(key);
            }
        }
    }
    Ok((numbers, found))
}
