//! Rows of a segment to inserts: what edges are, their minutes, losses, and the note that all is in.
//!
//! Each insert carries a token by which ClickHouse knows it if it comes again, and is one block, so
//! that it is in wholly or not (ClickHouse docs, settings `insert_deduplication_token`).

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sekisho_model::{EdgeStats, Timestamp};

use super::ArchiveError;
use super::http::{self, Ask, post};
use super::schema::KEY;
use super::settings::Target;
use crate::SegmentError;
use crate::columns::{self, CountBatch, DAY, EDGE, EdgeBatch, ID, MINUTE, SEGMENT};
use crate::run::{EdgeId, Run};

const ID_BYTES: i32 = 16;
/// Blocks are never cut or joined below that many rows: more than any insert has.
const BLOCK_ROWS: &str = "4000000";

/// Counts of edges by minute.
pub(crate) struct Minutes {
    history: String,
    ids: Vec<EdgeId>,
    counts: CountBatch,
}

impl Minutes {
    pub(crate) fn of(history: &str) -> Self {
        Self { history: history.to_owned(), ids: Vec::new(), counts: CountBatch::new(0, MINUTE) }
    }

    pub(crate) fn add(&mut self, id: EdgeId, minute: Timestamp, stats: &EdgeStats) {
        self.ids.push(id);
        self.counts.add(0, minute, stats);
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, SegmentError> {
        let ids = ids(&self.ids)?;
        let counts = without(&self.counts.finish()?, &[SEGMENT, EDGE])?;
        with(&counts, &[("history", repeated(&self.history, counts.num_rows())), (ID, ids)])
    }
}

/// What edges are.
pub(crate) struct Edges {
    history: String,
    rows: usize,
    batch: EdgeBatch,
}

impl Edges {
    pub(crate) fn of(history: &str) -> Self {
        Self { history: history.to_owned(), rows: 0, batch: EdgeBatch::new(0) }
    }

    pub(crate) fn add(&mut self, run: &Run) {
        self.batch.add(0, run);
        self.rows += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, SegmentError> {
        let all = self.batch.finish()?;
        let is_wanted =
            |name: &str| [ID, DAY].contains(&name) || KEY.iter().any(|(of_key, _)| *of_key == name);
        let schema = all.schema();
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let unwanted: Vec<&str> = names.filter(|name| !is_wanted(name)).collect();
        with(&without(&all, &unwanted)?, &[("history", repeated(&self.history, all.num_rows()))])
    }
}

/// Losses of a segment.
pub(crate) fn losses(
    history: &str,
    rows: impl Iterator<Item = sekisho_model::LossMinute>,
) -> Result<RecordBatch, SegmentError> {
    let batch = columns::losses(rows)?;
    with(&batch, &[("history", repeated(history, batch.num_rows()))])
}

/// Inserts `batch` into `table`, once however often it comes with the same `token`.
pub(crate) fn insert(
    target: &Target,
    table: &str,
    batch: &RecordBatch,
    token: String,
) -> Result<(), ArchiveError> {
    let rows = parquet(batch).map_err(ArchiveError::Rows)?;
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let sql = format!("INSERT INTO {table} ({}) FORMAT Parquet", names.join(", "));
    done(&post(
        target,
        Ask { sql, settings: settings(target, token), rows: Some(rows), ..Ask::default() },
    )?)
}

/// Notes that a segment is in whole, once.
pub(crate) fn note(
    target: &Target,
    (history, writer): (&str, &str),
    (logs, rows, until): ((u64, u64), u64, Timestamp),
    token: String,
) -> Result<(), ArchiveError> {
    let until = until.nanos() / 1_000_000;
    let sql = format!(
        "INSERT INTO shipments (history, writer, first_log, last_log, rows, until) VALUES \
         ('{history}', '{writer}', {}, {}, {rows}, fromUnixTimestamp64Milli({until}, 'UTC'))",
        logs.0, logs.1
    );
    done(&post(target, Ask { sql, settings: settings(target, token), ..Ask::default() })?)
}

/// An insert answers nothing.
fn done(body: &[u8]) -> Result<(), ArchiveError> {
    if body.is_empty() { Ok(()) } else { Err(http::not_rows(body)) }
}

fn settings(target: &Target, token: String) -> Vec<(&'static str, String)> {
    let on = || "1".to_owned();
    let mut settings = vec![
        ("insert_deduplicate", on()),
        ("insert_deduplication_token", token),
        ("deduplicate_blocks_in_dependent_materialized_views", on()),
        // Acknowledged means in.
        ("async_insert", "0".to_owned()),
        // One block, whatever a profile says.
        ("max_insert_threads", on()),
        ("input_format_parallel_parsing", "0".to_owned()),
        ("input_format_parquet_preserve_order", on()),
        ("max_insert_block_size", BLOCK_ROWS.to_owned()),
        ("min_insert_block_size_rows", BLOCK_ROWS.to_owned()),
        ("min_insert_block_size_bytes", "0".to_owned()),
        // An import may reach over years.
        ("max_partitions_per_insert_block", "0".to_owned()),
    ];
    if target.cluster.is_some() {
        settings.push(("distributed_foreground_insert", on()));
    }
    settings
}

fn parquet(batch: &RecordBatch) -> Result<hyper::body::Bytes, SegmentError> {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    Ok(writer.into_inner()?.into())
}

fn ids(ids: &[EdgeId]) -> Result<ArrayRef, ArrowError> {
    let mut column = FixedSizeBinaryBuilder::with_capacity(ids.len(), ID_BYTES);
    for id in ids {
        column.append_value(id.bytes())?;
    }
    Ok(Arc::new(column.finish()))
}

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

fn without(batch: &RecordBatch, names: &[&str]) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let fields = schema.fields().iter().enumerate();
    let kept = fields.filter(|(_, field)| !names.contains(&field.name().as_str()));
    let kept: Vec<usize> = kept.map(|(index, _)| index).collect();
    batch.project(&kept)
}

fn with(batch: &RecordBatch, more: &[(&str, ArrayRef)]) -> Result<RecordBatch, SegmentError> {
    let schema = batch.schema();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    let mut arrays = batch.columns().to_vec();
    for (name, array) in more {
        fields.push(Arc::new(Field::new(*name, array.data_type().clone(), false)));
        arrays.push(Arc::clone(array));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
