//! Segments to runs, in their order, with memory for a few batches only.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use sekisho_model::{EdgeKey, EdgeStats, Timestamp};

use crate::columns::{EDGE, MINUTE};
use crate::layout::Layout;
use crate::parties::Shared;
use crate::run::{EdgeId, Run};
use crate::segment::{Part, Segment};
use crate::{SegmentError, decode};

const BATCH_ROWS: usize = 8_192;

/// The runs of one segment, in the order in which they are stored.
pub(crate) struct Runs {
    edges: ParquetRecordBatchReader,
    layout: Layout,
    minutes: Option<Minutes>,
    /// Edges that were read and not given yet.
    heads: VecDeque<(decode::EdgeHead, Arc<EdgeKey>)>,
    /// Runs that were read and not given yet, of layouts before 4; the last may not be whole.
    rows: VecDeque<Run>,
    given: u32,
    shared: Shared,
}

/// The rows of the file of minutes, one after the other.
struct Minutes {
    batches: ParquetRecordBatchReader,
    rows: VecDeque<(u32, Timestamp, EdgeStats)>,
}

/// Opens a file of a segment for reading the given columns, or all.
pub(crate) fn builder(
    segment: &Segment,
    part: Part,
    columns: Option<&[&str]>,
) -> Result<ParquetRecordBatchReaderBuilder<File>, SegmentError> {
    let file = File::open(segment.part(part))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
    Ok(match columns {
        Some(names) => {
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder.with_projection(mask)
        }
        None => builder,
    })
}

impl Runs {
    pub(crate) fn of(segment: &Segment) -> Result<Self, SegmentError> {
        let minutes = match segment.layout {
            Layout::Current if segment.rows > 0 => Some(Minutes {
                batches: builder(segment, Part::Minutes, None)?.build()?,
                rows: VecDeque::new(),
            }),
            Layout::Current | Layout::ByMinute | Layout::WithoutCluster => None,
        };
        Ok(Self {
            edges: builder(segment, Part::Edges, None)?.build()?,
            layout: segment.layout,
            minutes,
            heads: VecDeque::new(),
            rows: VecDeque::new(),
            given: 0,
            shared: Shared::default(),
        })
    }

    /// The next run; None after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Run>, SegmentError> {
        match self.layout {
            Layout::Current => self.next_of_edges(),
            Layout::ByMinute | Layout::WithoutCluster => self.next_of_rows(),
        }
    }

    fn next_of_edges(&mut self) -> Result<Option<Run>, SegmentError> {
        while self.heads.is_empty() {
            let Some(batch) = self.edges.next() else { return Ok(None) };
            let batch = batch?;
            if self.shared.is_full() {
                self.shared = Shared::default();
            }
            let keys = decode::keys(&batch, self.layout, &mut self.shared)?;
            self.heads.extend(decode::heads(&batch)?.into_iter().zip(keys));
        }
        let Some((head, key)) = self.heads.pop_front() else { return Ok(None) };
        let minutes = self.minutes.as_mut().ok_or(SegmentError::Metadata(crate::segment::ROWS))?;
        let minutes = minutes.take(self.given, head.minutes)?;
        self.given = self.given.saturating_add(1);
        Ok(Some(Run { id: head.id, key, day: head.day, minutes }))
    }

    fn next_of_rows(&mut self) -> Result<Option<Run>, SegmentError> {
        while self.rows.len() < 2
            && let Some(batch) = self.edges.next()
        {
            if self.shared.is_full() {
                self.shared = Shared::default();
            }
            let rows = &mut self.rows;
            decode::rows(&batch?, self.layout, &mut self.shared, |key, minute, stats| {
                let last = rows.back_mut().filter(|run| run.key == *key);
                match last.filter(|run| run.day == minute.day()) {
                    Some(run) => run.minutes.push((minute, stats)),
                    None => {
                        let (key, day) = (Arc::clone(key), minute.day());
                        let minutes = vec![(minute, stats)];
                        rows.push_back(Run { id: EdgeId::of(&key), key, day, minutes });
                    }
                }
            })?;
        }
        Ok(self.rows.pop_front())
    }
}

impl Minutes {
    /// The next `count` rows, which must be of `edge`.
    fn take(&mut self, edge: u32, count: u32) -> Result<Vec<(Timestamp, EdgeStats)>, SegmentError> {
        let mut minutes = Vec::new();
        for _ in 0..count {
            while self.rows.is_empty() {
                let batch = self.batches.next().ok_or(SegmentError::Metadata(EDGE))??;
                decode::counts(&batch, MINUTE, |edge, minute, stats| {
                    self.rows.push_back((edge, minute, stats()));
                    Ok(())
                })?;
            }
            match self.rows.pop_front() {
                Some((of, minute, stats)) if of == edge => minutes.push((minute, stats)),
                Some(_) | None => return Err(SegmentError::Metadata(EDGE)),
            }
        }
        Ok(minutes)
    }
}
