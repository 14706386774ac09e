//! A store folder opened only for reading: no lock, nothing changed, no service needed.

use std::path::Path;

use sekisho_base::error_chain;
use sekisho_model::Timestamp;

use crate::clickhouse::Cursor;
use crate::history::{Embedded, History};
use crate::local::{covers, folders, layout_of, read_logs};
use crate::log::{self, ReplayedLog};
use crate::{OpenError, StoreLimits, StoreStatus, segment};

/// A store of which only the history is used. What is recorded stays in memory.
#[derive(Debug)]
pub struct ReadOnlyStore {
    history: History,
    log_bytes: u64,
    logs: usize,
    damaged: Vec<String>,
    elsewhere_until: Option<Timestamp>,
}

impl ReadOnlyStore {
    /// End of the time of which ClickHouse may have something that the folder has not.
    #[must_use]
    pub fn elsewhere_until(&self) -> Option<Timestamp> {
        self.elsewhere_until
    }
}

/// Opens the store in `folder` for reading, also while another process writes to it, and returns
/// the logs that no segment covers: replay and record them as after [`crate::LocalStore::open`].
///
/// # Errors
/// [`OpenError`] if there is no store, its layout is not known, or it cannot be read.
pub fn open_read_only(
    folder: &Path,
    limits: StoreLimits,
) -> Result<(ReadOnlyStore, Vec<ReplayedLog>), OpenError> {
    if layout_of(folder)?.is_none() {
        return Err(OpenError::NotAStore(folder.to_owned()));
    }
    let (logs_folder, segments_folder) = folders(folder);
    let read_error = |path: &Path, cause| OpenError::Read { path: path.to_owned(), cause };
    // Logs first: a rotation in between then shows up as a log and its segment, never as neither.
    let ids = log::ids(&logs_folder).map_err(|cause| read_error(&logs_folder, cause))?;
    let mut replay = read_logs(&logs_folder, &ids, |_| false)?;
    let listing =
        segment::list(&segments_folder).map_err(|cause| read_error(&segments_folder, cause))?;
    replay.retain(|log| !covers(&listing, log.id));
    let damaged = listing
        .damaged
        .iter()
        .map(|(_, path, cause)| format!("`{}`: {}", path.display(), error_chain(cause)))
        .collect();
    let frames = replay.iter().flat_map(|log| &log.frames);
    let log_bytes = frames.map(|frame| frame.payload.len() as u64).sum();
    let (history, logs) = (History::new(limits, listing.segments), replay.len());
    let elsewhere_until = Cursor::read(folder)?.and_then(|cursor| cursor.elsewhere_until);
    Ok((ReadOnlyStore { history, log_bytes, logs, damaged, elsewhere_until }, replay))
}

impl Embedded for ReadOnlyStore {
    fn history(&self) -> &History {
        &self.history
    }

    fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    fn complete(&self, status: &mut StoreStatus) {
        status.log_bytes = self.log_bytes;
        status.logs = self.logs;
        status.bytes = status.bytes.saturating_add(self.log_bytes);
        status.damaged.clone_from(&self.damaged);
        status.degraded = self.damaged.first().map(|first| format!("damaged segment: {first}"));
    }
}
