//! The embedded store: one folder, one writer, no service.
//!
//! Order of a rotation, each step durable before the next: (1) the next log, beginning with the
//! checkpoint; (2) the segment of the hot rows, named by all logs they came from; (3) the removal of
//! those logs. A crash before 2 leaves the logs, and the server replays them; a crash after 2 leaves
//! logs that a segment covers, and `open` removes them unread.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sekisho_base::error_chain;
use sekisho_model::Timestamp;

use crate::clickhouse::Cursor;
use crate::history::{Embedded, FlowStore, History};
use crate::layout::Layout;
use crate::log::{self, Log, ReplayedLog};
use crate::segment::{self, Listing, Part};
use crate::series::{Parts, SeriesQuestion};
use crate::writer::SegmentWriter;
use crate::{
    AppendError, Compacted, Compaction, OpenError, RetentionError, RotateError, StoreLimits,
    StoreStatus, Wanted, compact, files,
};

const LOGS: &str = "log";
const SEGMENTS: &str = "segments";
/// A segment whose latest minute lies further in the future than this is aged by its earliest one:
/// a wrong clock somewhere must not keep it for ever.
const FUTURE_S_MAX: u64 = 86_400;

/// The embedded store, open for writing. Holds the lock of its folder until dropped.
#[derive(Debug)]
pub struct LocalStore {
    pub(crate) folder: PathBuf,
    limits: StoreLimits,
    pub(crate) history: History,
    log: Log,
    /// Older logs whose rows are in the hot generation, with their bytes, oldest first.
    older: Vec<(u64, u64)>,
    /// Logs that a segment covers and that could not be removed yet.
    retired: Vec<u64>,
    /// Segments that were merged into others and are not removed yet.
    replaced: Vec<(u64, u64)>,
    /// Logs of the segments that are being merged, as far as is known.
    pub(crate) merging: Option<(u64, u64)>,
    /// What was shipped to ClickHouse; None = nothing ever was.
    pub(crate) archive: Option<Cursor>,
    append_fault: Option<String>,
    rotate_fault: Option<String>,
    damaged: Vec<String>,
    _lock: Lock,
}

/// The lock on a folder. Unlocked by name when dropped: closing is not enough while a child that was
/// forked in the meantime, and has not yet executed its program, shares the open file.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // If unlocking fails the lock still ends with the last copy of the descriptor.
        self.0.unlock().ok();
    }
}

/// The folders of logs and segments in the store `folder`.
pub(crate) fn folders(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join(LOGS), folder.join(SEGMENTS))
}

/// Reads the layout of the store in `folder`; None if there is no file VERSION.
pub(crate) fn layout_of(folder: &Path) -> Result<Option<Layout>, OpenError> {
    let path = folder.join("VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => match Layout::of_line(text.trim_end()) {
            Some(layout) => Ok(Some(layout)),
            None => Err(OpenError::Version {
                path: folder.to_owned(),
                found: text.lines().next().unwrap_or_default().chars().take(80).collect(),
                known: Layout::Current.line(),
            }),
        },
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(OpenError::Read { path, cause }),
    }
}

/// Reads all logs in `folder` that no segment of `listing` covers, oldest first.
pub(crate) fn read_logs(
    folder: &Path,
    ids: &[u64],
    covered: impl Fn(u64) -> bool,
) -> Result<Vec<ReplayedLog>, OpenError> {
    let newest = ids.last().copied();
    let mut logs = Vec::new();
    for &id in ids.iter().filter(|&&id| !covered(id)) {
        logs.extend(log::read(folder, id, newest == Some(id))?);
    }
    Ok(logs)
}

pub(crate) fn covers(listing: &Listing, id: u64) -> bool {
    listing.segments.iter().any(|segment| segment.logs.0 <= id && id <= segment.logs.1)
}

impl LocalStore {
    /// Opens the store in `folder`, which is made if it is not there, and returns the logs whose
    /// rows are in no segment: the caller must derive flows from their frames, in order, and
    /// [`FlowStore::record`] them before it appends anything.
    ///
    /// Removes what a crash left behind; a segment that cannot be read is renamed to `*.damaged`
    /// and named in the status.
    ///
    /// # Errors
    /// [`OpenError`] if another process writes to it, its layout is not known, or the disk refuses.
    pub fn open(folder: &Path, limits: StoreLimits) -> Result<(Self, Vec<ReplayedLog>), OpenError> {
        let (logs_folder, segments_folder) = folders(folder);
        for path in [&logs_folder, &segments_folder] {
            fs::create_dir_all(path).map_err(|cause| write_error(path, cause))?;
        }
        let lock = locked(folder)?;
        match layout_of(folder)? {
            Some(Layout::Current) => {}
            Some(Layout::ByMinute | Layout::WithoutCluster) | None => write_version(folder)?,
        }
        let (listing, damaged) = cleaned_segments(&segments_folder)?;
        let ids = cleaned_logs(&logs_folder, &listing)?;
        let replay = read_logs(&logs_folder, &ids, |_| false)?;
        let last_in_segments = listing.segments.iter().map(|segment| segment.logs.1).max();
        let log = match replay.last() {
            Some(newest) => Log::open(&logs_folder, newest.id, newest.tail_cut_bytes),
            None => {
                Log::create(&logs_folder, last_in_segments.unwrap_or(0).saturating_add(1), None)
            }
        };
        let log = log.map_err(|cause| write_error(&logs_folder, cause))?;
        let bytes = |id: u64| fs::metadata(log::path_of(&logs_folder, id)).map_or(0, |m| m.len());
        let older = ids.iter().filter(|&&id| id != log.id).map(|&id| (id, bytes(id))).collect();
        let store = Self {
            folder: folder.to_owned(),
            limits,
            history: History::new(limits, listing.segments),
            log,
            older,
            retired: Vec::new(),
            replaced: Vec::new(),
            merging: None,
            archive: Cursor::read(folder)?,
            append_fault: None,
            rotate_fault: None,
            damaged,
            _lock: lock,
        };
        Ok((store, replay))
    }

    /// Appends `frames` to the log as batches. Durable when it returns: acknowledge after it.
    ///
    /// All of them or none; after a crash, a first part of frames that were never acknowledged may
    /// be found in the log, so the caller tells repeats by their sequence number.
    ///
    /// # Errors
    /// [`AppendError`]; the log is as before, [`StoreStatus::degraded`] says why until an append
    /// works again.
    pub fn append(&mut self, frames: &[&[u8]]) -> Result<(), AppendError> {
        let result = self.log.append(frames);
        match &result {
            Ok(()) => self.append_fault = None,
            Err(AppendError::TooLong { .. }) => {}
            Err(error) => self.append_fault = Some(error_chain(error)),
        }
        result
    }

    /// Closes the hot generation into a segment and begins a new log with `checkpoint`: whatever the
    /// caller needs to go on from here without the batches appended so far.
    ///
    /// # Errors
    /// [`RotateError`]; nothing is lost, and the next call tries again with all rows since.
    pub fn rotate(&mut self, checkpoint: &[u8]) -> Result<(), RotateError> {
        self.rotate_with(checkpoint, None)
    }

    /// The same, with a note inside of the segment: one rename makes both, so that the note is there
    /// exactly if the rows are. Without rows there is no segment, and no note.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub fn rotate_noted(&mut self, checkpoint: &[u8], note: &str) -> Result<(), RotateError> {
        self.rotate_with(checkpoint, Some(note))
    }

    fn rotate_with(&mut self, checkpoint: &[u8], note: Option<&str>) -> Result<(), RotateError> {
        let result = self.rotate_steps(checkpoint, note);
        self.rotate_fault = result.as_ref().err().map(|error| error_chain(error));
        result
    }

    fn rotate_steps(&mut self, checkpoint: &[u8], note: Option<&str>) -> Result<(), RotateError> {
        let (logs_folder, segments_folder) = folders(&self.folder);
        let next = self.log.id.saturating_add(1);
        let log = Log::create(&logs_folder, next, Some(checkpoint)).map_err(|cause| {
            RotateError::NewLog { path: log::path_of(&logs_folder, next), cause }
        })?;
        let closed = std::mem::replace(&mut self.log, log);
        self.older.push((closed.id, closed.bytes()));
        let first = self.older.first().map_or(closed.id, |(id, _)| *id);
        let logs = (first, closed.id);
        self.history
            .close(|sums, losses| {
                let spans_hours = sums.minutes().is_some_and(|(a, b)| a.hour() != b.hour());
                let mut writer = SegmentWriter::create(&segments_folder, logs, spans_hours)?;
                for run in sums.runs() {
                    writer.push(&run)?;
                }
                let notes: Vec<String> = note.map(str::to_owned).into_iter().collect();
                writer.finish(losses, &notes)
            })
            .map_err(|cause| {
                let path = segment::path_of(&segments_folder, logs, Part::Edges);
                RotateError::Segment { path, cause }
            })?;
        self.retired.extend(self.older.drain(..).map(|(id, _)| id));
        self.remove_retired();
        Ok(())
    }

    /// Removes logs that a segment covers. A log that stays is removed by the next rotation or
    /// `open`; it is never read again.
    fn remove_retired(&mut self) {
        let (logs_folder, _) = folders(&self.folder);
        let removed = |id: &u64| files::remove(&log::path_of(&logs_folder, *id)).is_ok();
        let before = self.retired.len();
        self.retired.retain(|id| !removed(id));
        if self.retired.len() < before {
            // Should the removal not be durable, `open` repeats it.
            files::sync_folder(&logs_folder).ok();
        }
    }

    /// Asks for the connections of each of `parts`, to be answered while the store goes on. What
    /// ClickHouse has is not in it.
    #[must_use]
    pub fn series(&self, wanted: &Wanted, parts: Parts) -> SeriesQuestion {
        self.history.series(wanted, parts)
    }

    /// Whether the log or the hot tier has reached its limit, so that it is time to rotate.
    #[must_use]
    pub fn wants_rotation(&self) -> bool {
        self.log_bytes() >= self.limits.log_bytes_max
            || self.history.hot_rows() >= self.limits.hot_rows_max
    }

    /// The notes of all segments, in the order in which these were made.
    #[must_use]
    pub fn notes(&self) -> Vec<&str> {
        let mut segments: Vec<_> = self.history.segments.iter().collect();
        segments.sort_unstable_by_key(|segment| segment.logs);
        segments.into_iter().flat_map(|segment| segment.notes.iter().map(String::as_str)).collect()
    }

    /// Segments that should become one at `now`; None if all is well.
    #[must_use]
    pub fn compaction(&mut self, now: Timestamp) -> Option<Compaction> {
        self.merging = None;
        // The parts of the last one may not be gone yet.
        if !self.replaced.is_empty() {
            return None;
        }
        let plan = self.mergeable().iter().find_map(|segments| compact::plan(segments, now))?;
        self.merging = plan.logs();
        Some(plan)
    }

    /// Takes over what a [`Compaction`] made. If one of its parts was removed meanwhile, it is
    /// dropped, and what it was made of stays.
    ///
    /// # Errors
    /// [`RetentionError`] if it should be dropped and can't be: the next `open` would find in it
    /// what was removed.
    pub fn adopt(&mut self, compacted: Compacted) -> Result<(), RetentionError> {
        let Compacted { parts, merged } = compacted;
        self.merging = None;
        let is_held = |logs: &(u64, u64)| self.history.segments.iter().any(|s| s.logs == *logs);
        if !parts.iter().all(is_held) {
            return merged.remove();
        }
        self.history.segments.retain(|segment| !parts.contains(&segment.logs));
        self.history.segments.push(merged);
        self.replaced.extend(parts);
        Ok(())
    }

    /// Removes the parts of merged segments. Call it a while after [`Self::adopt`], so that who
    /// listed the folder before can still read them. Returns how many went.
    ///
    /// # Errors
    /// [`RetentionError`] for the first that can't be removed; it is never read again.
    pub fn remove_replaced(&mut self) -> Result<usize, RetentionError> {
        let (_, segments_folder) = folders(&self.folder);
        let mut removed = 0;
        while let Some(logs) = self.replaced.last() {
            segment::remove(&segments_folder, *logs)?;
            self.replaced.pop();
            removed += 1;
        }
        Ok(removed)
    }

    fn log_bytes(&self) -> u64 {
        self.older.iter().map(|(_, bytes)| bytes).sum::<u64>().saturating_add(self.log.bytes())
    }

    /// Removes segments whose latest minute is older than `age_s_max` seconds at `now`, then the
    /// oldest ones until segments and logs take at most `bytes_max` bytes. Returns how many went.
    ///
    /// # Errors
    /// [`RetentionError`] for the first file that cannot be removed; those before it are gone.
    pub fn apply_retention(
        &mut self,
        now: Timestamp,
        age_s_max: u64,
        bytes_max: u64,
    ) -> Result<usize, RetentionError> {
        self.remove_retired();
        let horizon = now.minus_seconds(age_s_max);
        let future = now.plus_seconds(FUTURE_S_MAX);
        let age_of = |minutes: Option<(Timestamp, Timestamp)>| match minutes {
            Some((first, last)) if last > future => first,
            Some((_, last)) => last,
            None => Timestamp::EPOCH,
        };
        self.history.segments.sort_by_key(|segment| (age_of(segment.minutes), segment.logs));
        let mut removed = 0;
        let mut bytes = self.status().bytes;
        while let Some(oldest) = self.history.segments.first().cloned() {
            let expired = age_of(oldest.minutes) < horizon || bytes > bytes_max;
            // A log outlives its segment never: it would be replayed.
            let held = |id: &u64| oldest.logs.0 <= *id && *id <= oldest.logs.1;
            if !expired || self.retired.iter().any(held) {
                break;
            }
            // What was merged into it would come back when it goes.
            for logs in self.replaced.iter().filter(|logs| segment::is_part(**logs, oldest.logs)) {
                segment::remove(&oldest.folder, *logs)?;
            }
            self.note_removal(&oldest).map_err(|error| RetentionError {
                path: oldest.path(),
                cause: io::Error::other(error_chain(&error)),
            })?;
            oldest.remove()?;
            bytes = bytes.saturating_sub(oldest.bytes);
            self.history.segments.remove(0);
            removed += 1;
        }
        Ok(removed)
    }
}

impl Embedded for LocalStore {
    fn history(&self) -> &History {
        &self.history
    }

    fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    fn complete(&self, status: &mut StoreStatus) {
        status.log_bytes = self.log_bytes();
        status.logs = self.older.len() + self.retired.len() + 1;
        status.bytes = status.bytes.saturating_add(status.log_bytes);
        status.damaged.clone_from(&self.damaged);
        let damage = self.damaged.first().map(|first| format!("damaged segment: {first}"));
        let faults = [&self.append_fault, &self.rotate_fault, &damage];
        let faults: Vec<&str> = faults.into_iter().flatten().map(String::as_str).collect();
        status.degraded = (!faults.is_empty()).then(|| faults.join("; "));
    }
}

fn write_error(path: &Path, cause: io::Error) -> OpenError {
    OpenError::Write { path: path.to_owned(), cause }
}

fn locked(folder: &Path) -> Result<Lock, OpenError> {
    let path = folder.join("LOCK");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|cause| write_error(&path, cause))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(cause)) => Err(write_error(&path, cause)),
    }
}

fn write_version(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join("VERSION");
    let written = files::write_whole(&path, |mut file| {
        writeln!(file, "{}", Layout::Current.line())?;
        Ok::<_, io::Error>(file)
    });
    written.map_err(|cause| write_error(&path, cause))
}

/// Lists the segments after removing what a crash left and setting damaged ones aside.
fn cleaned_segments(folder: &Path) -> Result<(Listing, Vec<String>), OpenError> {
    let failed = |cause| write_error(folder, cause);
    files::remove_temporary(folder).map_err(failed)?;
    segment::remove_orphans(folder).map_err(failed)?;
    let listing = segment::list(folder).map_err(failed)?;
    for logs in &listing.merged {
        segment::remove(folder, *logs).map_err(|error| write_error(&error.path, error.cause))?;
    }
    let mut damaged = Vec::new();
    for (logs, _, cause) in &listing.damaged {
        let aside = segment::set_aside(folder, *logs).map_err(failed)?;
        tracing::error!(path = %aside.display(), cause = error_chain(cause), "segment set aside");
        damaged.push(format!("`{}`: {}", aside.display(), error_chain(cause)));
    }
    Ok((listing, damaged))
}

/// Removes logs that a segment covers; returns the rest, oldest first.
fn cleaned_logs(folder: &Path, listing: &Listing) -> Result<Vec<u64>, OpenError> {
    let failed = |cause| write_error(folder, cause);
    files::remove_temporary(folder).map_err(failed)?;
    let mut ids = log::ids(folder).map_err(failed)?;
    let before = ids.len();
    for id in &ids {
        if covers(listing, *id) {
            files::remove(&log::path_of(folder, *id)).map_err(failed)?;
        }
    }
    ids.retain(|id| !covers(listing, *id));
    if ids.len() < before {
        files::sync_folder(folder).map_err(failed)?;
    }
    Ok(ids)
}
