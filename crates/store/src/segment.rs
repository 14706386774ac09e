//! Segments: the rows of closed generations as Parquet files, one for edges, one for losses.
//!
//! A segment is named by the logs it was made from, first and last. It exists if its edge file
//! does: the loss file is moved into place before it. So one rename decides whether the rows of a
//! generation are in the segment or in the logs, never both and never neither.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use sekisho_model::{LossMinute, TimeRange, Timestamp};

use crate::layout::Layout;
use crate::loss::Losses;
use crate::sums::{Sums, overlaps};
use crate::{SegmentError, columns, decode, files};

const EDGES: &str = "edges.parquet";
const LOSSES: &str = "losses.parquet";
/// Ending given to a segment that cannot be read, so that it is kept and looked at by a human.
const DAMAGED: &str = "damaged";
const ROW_GROUP_ROWS: usize = 262_144;
/// Columns by which edge rows are sorted, in this order.
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

/// Metadata: what whoever made the segment noted with it.
const NOTE: &str = "sekisho.note";

/// One segment and what its metadata says.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    folder: PathBuf,
    pub(crate) logs: (u64, u64),
    layout: Layout,
    /// Earliest and latest minute of edges and losses; None if it holds neither.
    pub(crate) minutes: Option<(Timestamp, Timestamp)>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// What whoever made it noted with it.
    pub(crate) note: Option<String>,
}

fn stem(logs: (u64, u64)) -> String {
    format!("{:020}-{:020}", logs.0, logs.1)
}

/// The file of the edges of the segment made from `logs`.
pub(crate) fn edges_path(folder: &Path, logs: (u64, u64)) -> PathBuf {
    folder.join(format!("{}.{EDGES}", stem(logs)))
}

fn losses_path(folder: &Path, logs: (u64, u64)) -> PathBuf {
    folder.join(format!("{}.{LOSSES}", stem(logs)))
}

fn logs_of(name: &str, ending: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(ending)?.strip_suffix('.')?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// What a folder of segments holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Readable segments, oldest first.
    pub(crate) segments: Vec<Segment>,
    /// Segments that cannot be read, and why.
    pub(crate) damaged: Vec<(PathBuf, SegmentError)>,
}

/// Lists the segments in `folder`, reading only their footers.
pub(crate) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for logs in files::names(folder)?.iter().filter_map(|name| logs_of(name, EDGES)) {
        match open(folder, logs) {
            Ok(segment) => listing.segments.push(segment),
            // Retention removed it since the folder was read.
            Err(SegmentError::Io(cause)) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => listing.damaged.push((edges_path(folder, logs), cause)),
        }
    }
    Ok(listing)
}

/// Removes loss files whose edge file never came: the crash was between the two.
pub(crate) fn remove_orphans(folder: &Path) -> io::Result<()> {
    let names = files::names(folder)?;
    for logs in names.iter().filter_map(|name| logs_of(name, LOSSES)) {
        if !edges_path(folder, logs).exists() {
            files::remove(&losses_path(folder, logs))?;
        }
    }
    Ok(())
}

/// Gives a damaged segment file another ending, so that it is no segment any more.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(DAMAGED);
    let aside = PathBuf::from(name);
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

fn open(folder: &Path, logs: (u64, u64)) -> Result<Segment, SegmentError> {
    let file = File::open(edges_path(folder, logs))?;
    let mut bytes = file.metadata()?.len();
    if let Ok(metadata) = std::fs::metadata(losses_path(folder, logs)) {
        bytes = bytes.saturating_add(metadata.len());
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let metadata = reader.metadata().file_metadata();
    let pairs: BTreeMap<&str, &str> = metadata
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?)))
        .collect();
    let layout = pairs.get("sekisho.layout").and_then(|text| Layout::of_number(text));
    let layout = layout.ok_or(SegmentError::Metadata("sekisho.layout"))?;
    let minute = |name: &'static str| match pairs.get(name) {
        Some(text) => text
            .parse()
            .map(|nanos| Some(Timestamp::from_nanos(nanos)))
            .map_err(|_no_number| SegmentError::Metadata(name)),
        None => Ok(None),
    };
    let minutes = minute("sekisho.minute.first")?.zip(minute("sekisho.minute.last")?);
    let rows = u64::try_from(metadata.num_rows()).unwrap_or_default();
    let note = pairs.get(NOTE).map(|text| (*text).to_owned());
    Ok(Segment { folder: folder.to_owned(), logs, layout, minutes, rows, bytes, note })
}

/// Writes the segment of `logs`. Durable on return; on an error there is no segment.
pub(crate) fn write(
    (folder, logs): (&Path, (u64, u64)),
    sums: &Sums,
    losses: &Losses,
    note: Option<&str>,
) -> Result<Segment, SegmentError> {
    let minutes = widest(sums.minutes(), losses.minutes());
    if !losses.is_empty() {
        files::write_whole(&losses_path(folder, logs), |file| {
            let batch = columns::losses(losses.rows(TimeRange::ALL))?;
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(losses_properties()))?;
            writer.write(&batch)?;
            Ok::<_, SegmentError>(writer.into_inner()?)
        })?;
    }
    let written = files::write_whole(&edges_path(folder, logs), |file| {
        write_edges(file, sums, (minutes, note))
    });
    if written.is_err() && !losses.is_empty() {
        // An orphan is harmless and `open` removes it; it need not wait for that.
        files::remove(&losses_path(folder, logs)).ok();
    }
    written?;
    open(folder, logs)
}

fn write_edges(
    file: File,
    sums: &Sums,
    (minutes, note): (Option<(Timestamp, Timestamp)>, Option<&str>),
) -> Result<File, SegmentError> {
    let mut rows = sums.sorted();
    let mut batch = columns::edges(&mut rows)?;
    let schema = batch.schema();
    let properties = edges_properties(&schema, minutes, note);
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties))?;
    while batch.num_rows() > 0 {
        writer.write(&batch)?;
        batch = columns::edges(&mut rows)?;
    }
    Ok(writer.into_inner()?)
}

fn losses_properties() -> WriterProperties {
    WriterProperties::builder().set_compression(compression()).build()
}

fn compression() -> Compression {
    // Level 1 is always valid; the default level is the fallback that cannot be reached.
    Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default())
}

fn edges_properties(
    schema: &arrow_schema::Schema,
    minutes: Option<(Timestamp, Timestamp)>,
    note: Option<&str>,
) -> WriterProperties {
    let layout = Layout::Current.number().to_owned();
    let mut pairs = vec![KeyValue::new("sekisho.layout".to_owned(), layout)];
    if let Some((first, last)) = minutes {
        let pair =
            |name: &str, time: Timestamp| KeyValue::new(name.to_owned(), time.nanos().to_string());
        pairs.push(pair("sekisho.minute.first", first));
        pairs.push(pair("sekisho.minute.last", last));
    }
    pairs.extend(note.map(|text| KeyValue::new(NOTE.to_owned(), text.to_owned())));
    let sorting = |name: &str| {
        let index = i32::try_from(schema.index_of(name).ok()?).ok()?;
        Some(SortingColumn { column_idx: index, descending: false, nulls_first: false })
    };
    WriterProperties::builder()
        .set_compression(compression())
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_sorting_columns(SORTED_BY.into_iter().map(sorting).collect())
        .set_key_value_metadata(Some(pairs))
        .build()
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

impl Segment {
    /// The file that is named in errors.
    pub(crate) fn path(&self) -> PathBuf {
        edges_path(&self.folder, self.logs)
    }

    /// Whether some minute of it may overlap `range`.
    pub(crate) fn meets(&self, range: TimeRange) -> bool {
        self.minutes.is_some_and(|(first, last)| {
            overlaps(last, range)
                || overlaps(first, range)
                || (first < range.to && range.from < last)
        })
    }

    /// Adds the rows of minutes that overlap `range` to `into`.
    pub(crate) fn edges(&self, range: TimeRange, into: &mut Sums) -> Result<(), SegmentError> {
        let file = File::open(self.path())?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(8_192).build()?;
        for batch in reader {
            decode::edges(
                &batch?,
                self.layout,
                |minute| overlaps(minute, range),
                |key, minute, stats| {
                    into.add(key, minute, stats);
                },
            )?;
        }
        Ok(())
    }

    /// Adds the losses of minutes that overlap `range` to `into`.
    pub(crate) fn losses(&self, range: TimeRange, into: &mut Losses) -> Result<(), SegmentError> {
        let file = match File::open(losses_path(&self.folder, self.logs)) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(cause.into()),
        };
        let mut add = |loss: LossMinute| {
            if overlaps(loss.minute, range) {
                into.add(&loss);
            }
        };
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            decode::losses(&batch?, self.layout, &mut add)?;
        }
        Ok(())
    }

    /// Removes both files.
    pub(crate) fn remove(&self) -> Result<(), crate::RetentionError> {
        for path in [self.path(), losses_path(&self.folder, self.logs)] {
            files::remove(&path).map_err(|cause| crate::RetentionError { path, cause })?;
        }
        files::sync_folder(&self.folder)
            .map_err(|cause| crate::RetentionError { path: self.folder.clone(), cause })
    }
}
