//! Segments: the rows of closed generations as Parquet files, of edges, minutes, hours and losses.
//!
//! A segment is named by the logs it was made from, first and last. It exists if its file of edges
//! does: the others are moved into place before it. So one rename decides whether the rows of a
//! generation are in the segment or in the logs, never both and never neither. A segment whose logs
//! are all of another's was merged into that one, and counts no more.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sekisho_model::{LossMinute, TimeRange, Timestamp};

use crate::layout::Layout;
use crate::loss::Losses;
use crate::sums::overlaps;
use crate::{RetentionError, SegmentError, decode, files};

/// Ending given to a segment that cannot be read, so that it is kept and looked at by a human.
const DAMAGED: &str = "damaged";
const SECONDS_PER_MINUTE: u64 = 60;

/// Metadata: what whoever made the segment noted with it; may be there several times.
pub(crate) const NOTE: &str = "sekisho.note";
pub(crate) const LAYOUT: &str = "sekisho.layout";
pub(crate) const FIRST: &str = "sekisho.minute.first";
pub(crate) const LAST: &str = "sekisho.minute.last";
/// Metadata: rows in the file of minutes.
pub(crate) const ROWS: &str = "sekisho.minutes";

/// The files of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A row for each edge and day; in layouts before 4 for each edge and minute.
    Edges,
    /// A row for each edge and minute.
    Minutes,
    /// A row for each edge and hour; missing where all is of one hour.
    Hours,
    /// What was lost; missing if nothing is told of it.
    Losses,
}

impl Part {
    /// In the order in which they are moved into place; [`Self::Edges`] is last.
    const ALL: [Self; 4] = [Self::Hours, Self::Minutes, Self::Losses, Self::Edges];

    fn ending(self) -> &'static str {
        match self {
            Self::Edges => "edges.parquet",
            Self::Minutes => "minutes.parquet",
            Self::Hours => "hours.parquet",
            Self::Losses => "losses.parquet",
        }
    }
}

/// One segment and what its metadata says.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) folder: PathBuf,
    pub(crate) logs: (u64, u64),
    pub(crate) layout: Layout,
    /// Earliest and latest minute of edges and losses; None if it holds neither.
    pub(crate) minutes: Option<(Timestamp, Timestamp)>,
    /// Pairs of edge and minute.
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// What whoever made it noted with it.
    pub(crate) notes: Vec<String>,
}

/// The path of a part of the segment made from `logs`.
pub(crate) fn path_of(folder: &Path, logs: (u64, u64), part: Part) -> PathBuf {
    folder.join(format!("{:020}-{:020}.{}", logs.0, logs.1, part.ending()))
}

fn logs_of(name: &str, part: Part) -> Option<(u64, u64)> {
    let name = name.strip_suffix(part.ending())?.strip_suffix('.')?;
    let (first, last) = name.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// What a folder of segments holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Readable segments, oldest first.
    pub(crate) segments: Vec<Segment>,
    /// Segments that were merged into one of these.
    pub(crate) merged: Vec<(u64, u64)>,
    /// Segments that cannot be read, by the path of their edges, and why.
    pub(crate) damaged: Vec<((u64, u64), PathBuf, SegmentError)>,
}

/// Lists the segments in `folder`, reading only the footers of their edges.
pub(crate) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for logs in files::names(folder)?.iter().filter_map(|name| logs_of(name, Part::Edges)) {
        match open(folder, logs) {
            Ok(Some(segment)) => listing.segments.push(segment),
            Ok(None) => {}
            Err(cause) => listing.damaged.push((logs, path_of(folder, logs, Part::Edges), cause)),
        }
    }
    let all: Vec<(u64, u64)> = listing.segments.iter().map(|segment| segment.logs).collect();
    let is_merged = |logs: (u64, u64)| all.iter().any(|into| is_part(logs, *into));
    listing.segments.retain(|segment| !is_merged(segment.logs));
    listing.merged = all.iter().copied().filter(|logs| is_merged(*logs)).collect();
    Ok(listing)
}

/// Whether all logs of `one` are of `whole`, which has more.
pub(crate) fn is_part(one: (u64, u64), whole: (u64, u64)) -> bool {
    one != whole && whole.0 <= one.0 && one.1 <= whole.1
}

/// Removes files of segments without edges: the crash was before these were moved into place, or
/// after they were removed. The same of segments that were set aside: somebody removed these.
pub(crate) fn remove_orphans(folder: &Path) -> io::Result<()> {
    for name in files::names(folder)? {
        let whole = name.strip_suffix(DAMAGED).and_then(|name| name.strip_suffix('.'));
        let logs = |name| Part::ALL.into_iter().find_map(|part| logs_of(name, part));
        let Some(logs) = logs(whole.unwrap_or(&name)) else { continue };
        let edges = path_of(folder, logs, Part::Edges);
        let edges = if whole.is_some() { aside(&edges) } else { edges };
        if !edges.exists() {
            files::remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Removes what there is of a segment that could not be written.
pub(crate) fn discard(folder: &Path, logs: (u64, u64)) {
    for part in Part::ALL {
        files::remove(&path_of(folder, logs, part)).ok();
    }
}

/// Gives the files of a damaged segment another ending, so that it is no segment any more. Returns
/// the new path of its edges.
pub(crate) fn set_aside(folder: &Path, logs: (u64, u64)) -> io::Result<PathBuf> {
    for part in Part::ALL {
        let path = path_of(folder, logs, part);
        match std::fs::rename(&path, aside(&path)) {
            Err(cause) if part != Part::Edges && cause.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(aside(&path_of(folder, logs, Part::Edges)))
}

/// The path of a file that is set aside.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(DAMAGED);
    PathBuf::from(name)
}

/// Removes the files of a segment, edges first.
pub(crate) fn remove(folder: &Path, logs: (u64, u64)) -> Result<(), RetentionError> {
    for part in Part::ALL.into_iter().rev() {
        let path = path_of(folder, logs, part);
        files::remove(&path).map_err(|cause| RetentionError { path, cause })?;
    }
    files::sync_folder(folder).map_err(|cause| RetentionError { path: folder.to_owned(), cause })
}

/// None if it was removed since its folder was read.
fn open(folder: &Path, logs: (u64, u64)) -> Result<Option<Segment>, SegmentError> {
    let is_gone = || !path_of(folder, logs, Part::Edges).exists();
    match opened(folder, logs) {
        Err(_gone) if is_gone() => Ok(None),
        opened => opened.map(Some),
    }
}

/// Reads what the metadata of a segment says.
pub(crate) fn opened(folder: &Path, logs: (u64, u64)) -> Result<Segment, SegmentError> {
    let file = File::open(path_of(folder, logs, Part::Edges))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let metadata = reader.metadata().file_metadata();
    let pairs = metadata.key_value_metadata().into_iter().flatten();
    let pairs = pairs.filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?)));
    let notes = pairs.clone().filter(|(key, _)| *key == NOTE);
    let notes = notes.map(|(_, note)| note.to_owned()).collect();
    let pairs: BTreeMap<&str, &str> = pairs.collect();
    let layout = pairs.get(LAYOUT).and_then(|text| Layout::of_number(text));
    let layout = layout.ok_or(SegmentError::Metadata(LAYOUT))?;
    let number = |name: &'static str| match pairs.get(name) {
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_no_number| SegmentError::Metadata(name))
        }
        None => Ok(None),
    };
    let time = |nanos: Option<u64>| nanos.map(Timestamp::from_nanos);
    let minutes = time(number(FIRST)?).zip(time(number(LAST)?));
    let rows = match layout {
        Layout::Current => number(ROWS)?.ok_or(SegmentError::Metadata(ROWS))?,
        Layout::ByMinute | Layout::WithoutCluster => {
            u64::try_from(metadata.num_rows()).unwrap_or_default()
        }
    };
    if layout == Layout::Current && rows > 0 {
        // Without its minutes it is no whole segment.
        std::fs::metadata(path_of(folder, logs, Part::Minutes))?;
    }
    let bytes = Part::ALL.into_iter().filter_map(|part| {
        std::fs::metadata(path_of(folder, logs, part)).ok().map(|metadata| metadata.len())
    });
    let bytes = bytes.sum();
    Ok(Segment { folder: folder.to_owned(), logs, layout, minutes, rows, bytes, notes })
}

impl Segment {
    /// The file that is named in errors.
    pub(crate) fn path(&self) -> PathBuf {
        self.part(Part::Edges)
    }

    pub(crate) fn part(&self, part: Part) -> PathBuf {
        path_of(&self.folder, self.logs, part)
    }

    /// Whether some minute of it may overlap `range`.
    pub(crate) fn meets(&self, range: TimeRange) -> bool {
        self.minutes.is_some_and(|(first, last)| {
            first < range.to && last.plus_seconds(SECONDS_PER_MINUTE) > range.from
        })
    }

    /// Whether all minutes of it overlap `range`.
    pub(crate) fn is_inside(&self, range: TimeRange) -> bool {
        self.minutes.is_none_or(|(first, last)| overlaps(first, range) && overlaps(last, range))
    }

    /// Adds the losses of minutes that overlap `range` to `into`.
    pub(crate) fn losses(&self, range: TimeRange, into: &mut Losses) -> Result<(), SegmentError> {
        let file = match File::open(self.part(Part::Losses)) {
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

    /// Removes its files.
    pub(crate) fn remove(&self) -> Result<(), RetentionError> {
        remove(&self.folder, self.logs)
    }
}
