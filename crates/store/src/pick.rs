//! Parts of the files of a segment: the edges that a filter may take, and the counts of some edges.

use std::fs::File;

use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use sekisho_flow::FlowFilter;

use crate::candidates::candidates;
use crate::columns::{CONNECTIONS, COUNTS, EDGE, FLAGS, HOUR, HOURS, LOSS, MINUTE, MINUTES, SEEN};
use crate::reader::builder;
use crate::segment::{Part, Segment};
use crate::{SegmentError, decode};

const COUNT_BATCH_ROWS: usize = 65_536;

/// The edges of a segment that a filter may take.
#[derive(Debug)]
pub(crate) struct Picked {
    /// Of each row whether it is one; None = all are.
    rows: Option<Vec<bool>>,
}

impl Picked {
    /// None if no edge of the segment, which is of the current layout, is taken.
    pub(crate) fn of(segment: &Segment, filter: &FlowFilter) -> Result<Option<Self>, SegmentError> {
        let rows = candidates(segment, filter)?;
        let is_empty = rows.as_ref().is_some_and(|rows| !rows.contains(&true));
        Ok((!is_empty).then_some(Self { rows }))
    }

    /// Their numbers, ascending.
    pub(crate) fn numbers(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match &self.rows {
            None => Box::new(0..u32::MAX),
            Some(rows) => {
                Box::new((0..).zip(rows).filter(|(_, is_one)| **is_one).map(|(number, _)| number))
            }
        }
    }

    /// Opens the file of edges for reading the given columns of them, or all.
    pub(crate) fn edges(
        &self,
        segment: &Segment,
        columns: Option<&[&str]>,
    ) -> Result<ParquetRecordBatchReaderBuilder<File>, SegmentError> {
        let builder = builder(segment, Part::Edges, columns)?;
        Ok(match &self.rows {
            None => builder,
            Some(_) => builder.with_row_selection(rows_at(self.numbers())),
        })
    }
}

/// The rows with these numbers, which ascend.
pub(crate) fn rows_at(numbers: impl Iterator<Item = u32>) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = 0;
    for number in numbers {
        let number = number as usize;
        match selectors.last_mut() {
            Some(last) if number == next && !last.skip => last.row_count += 1,
            _ => {
                selectors.extend((number > next).then(|| RowSelector::skip(number - next)));
                selectors.push(RowSelector::select(1));
            }
        }
        next = number + 1;
    }
    selectors.into()
}

/// Reads the counts by minute, or by hour, of the edges with these numbers, which ascend.
pub(crate) fn counts(
    segment: &Segment,
    part: Part,
    edges: &[u32],
) -> Result<ParquetRecordBatchReader, SegmentError> {
    let mut columns = vec![EDGE, time_of(part)];
    columns.extend(COUNTS.iter().chain(&SEEN).chain(&FLAGS));
    selected(segment, (part, &columns), edges)
}

/// The same of their connections only.
pub(crate) fn connections(
    segment: &Segment,
    part: Part,
    edges: &[u32],
) -> Result<ParquetRecordBatchReader, SegmentError> {
    selected(segment, (part, &[EDGE, time_of(part), CONNECTIONS, LOSS]), edges)
}

/// The column of time in the file of minutes, or of hours.
pub(crate) fn time_of(part: Part) -> &'static str {
    if part == Part::Hours { HOUR } else { MINUTE }
}

fn selected(
    segment: &Segment,
    (part, columns): (Part, &[&str]),
    edges: &[u32],
) -> Result<ParquetRecordBatchReader, SegmentError> {
    let builder = builder(segment, part, Some(columns))?.with_batch_size(COUNT_BATCH_ROWS);
    let mut wanted = edges.iter().copied().peekable();
    let selectors = (0..).zip(lengths(segment, part)?).map(|(number, count)| {
        let count = count as usize;
        match wanted.next_if_eq(&number) {
            Some(_) => RowSelector::select(count),
            None => RowSelector::skip(count),
        }
    });
    let selection: RowSelection = selectors.collect::<Vec<_>>().into();
    Ok(builder.with_row_selection(selection).build()?)
}

/// How many rows each edge has in the file of minutes, or of hours.
fn lengths(segment: &Segment, part: Part) -> Result<Vec<u32>, SegmentError> {
    let column = if part == Part::Hours { HOURS } else { MINUTES };
    let mut lengths = Vec::new();
    let reader = builder(segment, Part::Edges, Some(&[column]))?.with_batch_size(COUNT_BATCH_ROWS);
    for batch in reader.build()? {
        lengths.extend(decode::numbers(&batch?, column)?);
    }
    if part == Part::Hours {
        // Its bits are the hours.
        lengths.iter_mut().for_each(|hours| *hours = hours.count_ones());
    }
    Ok(lengths)
}
