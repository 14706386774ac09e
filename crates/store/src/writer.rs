//! Runs to the files of a segment, with memory for a few batches only.

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use sekisho_model::{TimeRange, Timestamp};

use crate::columns::{self, COUNTS, CountBatch, EDGE, EdgeBatch, HOUR, ID, MINUTE, SEEN, SEGMENT};
use crate::files::Draft;
use crate::layout::Layout;
use crate::loss::Losses;
use crate::run::Run;
use crate::segment::{self, Part, Segment};
use crate::{SegmentError, files};

const ROW_GROUP_ROWS: usize = 1 << 20;
/// Columns by which edges are sorted, in this order.
const SORTED_BY: [&str; 9] = [
    "source_namespace",
    "source_workload",
    "source_workload_kind",
    "source_pod",
    "destination_namespace",
    "destination_workload",
    "destination_workload_kind",
    "destination_pod",
    "port",
];

/// One file under its temporary name.
struct Table {
    draft: Draft,
    writer: ArrowWriter<File>,
}

impl Table {
    fn create(
        path: &Path,
        columns: &RecordBatch,
        properties: WriterProperties,
    ) -> Result<Self, SegmentError> {
        let (draft, file) = Draft::create(path)?;
        let writer = ArrowWriter::try_new(file, columns.schema(), Some(properties))?;
        Ok(Self { draft, writer })
    }

    fn finish(self) -> Result<(Draft, File), SegmentError> {
        Ok((self.draft, self.writer.into_inner()?))
    }
}

/// A segment that is being written. Dropped before [`Self::finish`], nothing of it stays.
pub(crate) struct SegmentWriter {
    place: (std::path::PathBuf, (u64, u64)),
    edges: (Table, EdgeBatch),
    minutes: (Table, CountBatch),
    hours: Option<(Table, CountBatch)>,
    /// Edges written.
    written: u32,
    rows: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl SegmentWriter {
    /// Begins the segment of `logs`. It gets a file of hours if it `spans_hours`.
    pub(crate) fn create(
        folder: &Path,
        logs: (u64, u64),
        spans_hours: bool,
    ) -> Result<Self, SegmentError> {
        let number = logs.0;
        let edges = Table::create(
            &segment::path_of(folder, logs, Part::Edges),
            &EdgeBatch::new(number).finish()?,
            edges_properties(&EdgeBatch::new(number).finish()?),
        )?;
        let counts = |part: Part, time: &'static str| {
            let columns = CountBatch::new(number, time).finish()?;
            let path = segment::path_of(folder, logs, part);
            let table = Table::create(&path, &columns, counts_properties(time))?;
            Ok::<_, SegmentError>((table, CountBatch::new(number, time)))
        };
        Ok(Self {
            place: (folder.to_owned(), logs),
            edges: (edges, EdgeBatch::new(number)),
            minutes: counts(Part::Minutes, MINUTE)?,
            hours: if spans_hours { Some(counts(Part::Hours, HOUR)?) } else { None },
            written: 0,
            rows: 0,
            span: None,
        })
    }

    /// Adds a run, which must not sort before the last one.
    pub(crate) fn push(&mut self, run: &Run) -> Result<(), SegmentError> {
        let (Some(first), Some(last)) = (run.minutes.first(), run.minutes.last()) else {
            return Ok(());
        };
        let number = self.written;
        self.written = number.checked_add(1).ok_or(SegmentError::Metadata(EDGE))?;
        self.rows = self.rows.saturating_add(run.minutes.len() as u64);
        self.span = widest(self.span, Some((first.0, last.0)));
        let segment = self.place.1.0;
        let (table, batch) = &mut self.edges;
        batch.add(number, run);
        if batch.is_full() {
            table.writer.write(&std::mem::replace(batch, EdgeBatch::new(segment)).finish()?)?;
        }
        for (minute, stats) in &run.minutes {
            add(&mut self.minutes, segment, MINUTE, (number, *minute, stats))?;
        }
        if let Some(hours) = &mut self.hours {
            for (hour, stats) in run.by_hour() {
                add(hours, segment, HOUR, (number, hour, &stats))?;
            }
        }
        Ok(())
    }

    /// Makes the segment exist, with losses and notes. Durable on return; on an error there is none.
    pub(crate) fn finish(self, losses: &Losses, notes: &[String]) -> Result<Segment, SegmentError> {
        let (folder, logs) = self.place;
        let span = widest(self.span, losses.minutes());
        let (mut edges, batch) = self.edges;
        edges.writer.write(&batch.finish()?)?;
        let mut note = |key: &str, value: String| {
            let pair = KeyValue::new(key.to_owned(), value);
            edges.writer.append_key_value_metadata(pair);
        };
        if let Some((first, last)) = span {
            note(segment::FIRST, first.nanos().to_string());
            note(segment::LAST, last.nanos().to_string());
        }
        note(segment::ROWS, self.rows.to_string());
        for text in notes {
            note(segment::NOTE, text.clone());
        }
        let mut drafts = Vec::new();
        for (mut table, batch) in self.hours.into_iter().chain([self.minutes]) {
            table.writer.write(&batch.finish()?)?;
            drafts.push(table.finish()?);
        }
        let edges = edges.finish()?;
        let written = commit(&folder, logs, (drafts, edges), losses);
        if written.is_err() {
            // Parts without edges are harmless and `open` removes them; they need not wait for that.
            segment::discard(&folder, logs);
        }
        written?;
        segment::opened(&folder, logs)
    }
}

fn add(
    (table, batch): &mut (Table, CountBatch),
    segment: u64,
    time: &'static str,
    (edge, at, stats): (u32, Timestamp, &sekisho_model::EdgeStats),
) -> Result<(), SegmentError> {
    batch.add(edge, at, stats);
    if batch.is_full() {
        table.writer.write(&std::mem::replace(batch, CountBatch::new(segment, time)).finish()?)?;
    }
    Ok(())
}

/// Moves everything into place, edges last.
fn commit(
    folder: &Path,
    logs: (u64, u64),
    (drafts, edges): (Vec<(Draft, File)>, (Draft, File)),
    losses: &Losses,
) -> Result<(), SegmentError> {
    for (draft, file) in drafts {
        draft.commit(&file)?;
    }
    if !losses.is_empty() {
        files::write_whole(&segment::path_of(folder, logs, Part::Losses), |file| {
            let batch = columns::losses(losses.rows(TimeRange::ALL))?;
            let properties = WriterProperties::builder().set_compression(compression()).build();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            Ok::<_, SegmentError>(writer.into_inner()?)
        })?;
    }
    let (draft, file) = edges;
    Ok(draft.commit(&file)?)
}

fn compression() -> Compression {
    // Level 1 is always valid; the default level is the fallback that cannot be reached.
    Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default())
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(compression())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
}

fn edges_properties(columns: &RecordBatch) -> WriterProperties {
    let layout = Layout::Current.number().to_owned();
    let schema = columns.schema();
    let sorting = |name: &str| {
        let index = i32::try_from(schema.index_of(name).ok()?).ok()?;
        Some(SortingColumn { column_idx: index, descending: false, nulls_first: false })
    };
    properties()
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(SORTED_BY.into_iter().map(sorting).collect())
        .set_column_dictionary_enabled(ID.into(), false)
        .set_column_dictionary_enabled(EDGE.into(), false)
        .set_column_encoding(EDGE.into(), Encoding::DELTA_BINARY_PACKED)
        .set_key_value_metadata(Some(vec![KeyValue::new(segment::LAYOUT.to_owned(), layout)]))
        .build()
}

/// Numbers that grow by steps are written as steps; few different ones by a dictionary.
fn counts_properties(time: &'static str) -> WriterProperties {
    let [connections, bytes_sent, bytes_received, packets_sent, packets_received, resets] = COUNTS;
    let mut properties = properties().set_statistics_enabled(EnabledStatistics::Chunk);
    for column in [EDGE, time, SEEN[0], SEEN[1], bytes_sent, bytes_received] {
        properties = properties
            .set_column_dictionary_enabled(column.into(), false)
            .set_column_encoding(column.into(), Encoding::DELTA_BINARY_PACKED);
    }
    for column in [SEGMENT, connections, packets_sent, packets_received, resets] {
        properties = properties.set_column_dictionary_enabled(column.into(), true);
    }
    properties.build()
}

fn widest(
    a: Option<(Timestamp, Timestamp)>,
    b: Option<(Timestamp, Timestamp)>,
) -> Option<(Timestamp, Timestamp)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, other) => one.or(other),
    }
}
