//! The minutes of a segment, as far as they are wanted.

use std::sync::Arc;

use sekisho_model::EdgeKey;

use crate::columns::{EDGE, ID, MINUTE};
use crate::keys::Keys;
use crate::layout::Layout;
use crate::pick::{self, Picked};
use crate::reader::Runs;
use crate::run::EdgeId;
use crate::segment::{Part, Segment};
use crate::sums::{Sums, overlaps};
use crate::{SegmentError, Wanted, decode};

/// Adds the minutes of `segment` that are wanted to `into`.
pub(crate) fn scan(
    segment: &Segment,
    wanted: &Wanted,
    (keys, into): (&mut Keys, &mut Sums),
) -> Result<(), SegmentError> {
    match segment.layout {
        Layout::Current if segment.rows == 0 => Ok(()),
        Layout::Current => scan_minutes(segment, wanted, (keys, into)),
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

fn scan_minutes(
    segment: &Segment,
    wanted: &Wanted,
    (keys, into): (&mut Keys, &mut Sums),
) -> Result<(), SegmentError> {
    let Some(picked) = Picked::of(segment, &wanted.filter)? else { return Ok(()) };
    let mut ids = Vec::new();
    for batch in picked.edges(segment, Some(&[ID]))?.build()? {
        ids.extend(decode::ids(&batch?)?);
    }
    let edges: Vec<(u32, EdgeId)> = picked.numbers().zip(ids).collect();
    let keys = keys.of(segment, &edges)?;
    let edges = edges.iter().map(|(number, _)| *number).zip(&keys);
    let edges: Vec<(u32, &Arc<EdgeKey>)> = edges.filter(|(_, key)| wanted.takes(key)).collect();
    if edges.is_empty() {
        return Ok(());
    }
    let numbers: Vec<u32> = edges.iter().map(|(number, _)| *number).collect();
    let mut edges = edges.into_iter().peekable();
    for batch in pick::counts(segment, Part::Minutes, &numbers)? {
        decode::counts(&batch?, MINUTE, |edge, minute, stats| {
            while edges.next_if(|(number, _)| *number < edge).is_some() {}
            let of = edges.peek().filter(|(number, _)| *number == edge);
            let (_, key) = of.ok_or(SegmentError::Metadata(EDGE))?;
            if overlaps(minute, wanted.range) {
                into.add(key, minute, &stats());
            }
            Ok(())
        })?;
    }
    Ok(())
}
