//! The files that a cluster was handed, and what became of them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use sekisho_api::{ImportState, ImportStatus, Refusal};
use sekisho_base::error_chain;
use sekisho_system::replace_file;

/// The file that tells of them, in the cluster's data folder.
const NAME: &str = "imports.json";
/// The folder of those that are not read yet.
const SPOOL: &str = "uploads";
/// Files that are told of; beyond that the oldest that are over are forgotten.
const TOLD_MAX: usize = 1_000;
/// Files that wait or are read at one time.
const WAITING_MAX: usize = 16;

/// The files of one cluster.
#[derive(Debug)]
pub(crate) struct Desk {
    path: PathBuf,
    spool: PathBuf,
    /// In the order in which they came.
    all: Mutex<Vec<ImportStatus>>,
}

fn is_over(one: &ImportStatus) -> bool {
    matches!(one.state, ImportState::Done | ImportState::Failed)
}

impl Desk {
    /// Reads what `folder` tells of, and forgets what was not handed in to its end.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let (path, spool) = (folder.join(NAME), folder.join(SPOOL));
        let all: Vec<ImportStatus> = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("read `{}`: remove it to forget imports", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("read `{}`", path.display())),
        };
        let desk = Self { path, spool, all: Mutex::new(all) };
        for entry in std::fs::read_dir(&desk.spool).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !desk.list().iter().any(|one| one.id == name && !is_over(one)) {
                std::fs::remove_file(entry.path()).ok();
            }
        }
        Ok(desk)
    }

    fn all(&self) -> MutexGuard<'_, Vec<ImportStatus>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, the latest first.
    pub(crate) fn list(&self) -> Vec<ImportStatus> {
        self.all().iter().rev().cloned().collect()
    }

    /// The folder in which they wait.
    pub(super) fn spool(&self) -> &Path {
        &self.spool
    }

    /// Where the file `id` waits.
    pub(super) fn place(&self, id: &str) -> PathBuf {
        self.spool.join(id)
    }

    /// Whether another one may be handed in now.
    pub(super) fn has_room(&self) -> Result<(), Refusal> {
        match self.all().iter().filter(|one| !is_over(one)).count() < WAITING_MAX {
            true => Ok(()),
            false => {
                let text =
                    format!("{WAITING_MAX} files wait to be read: try again when one is done");
                Err(Refusal::Unavailable(text))
            }
        }
    }

    /// Takes a file that is whole at `draft`. One that is known, and did not fail, is not read again:
    /// gives what became of it.
    pub(super) fn add(&self, draft: &Path, fresh: ImportStatus) -> Result<ImportStatus, Refusal> {
        let mut all = self.all();
        if let Some(known) =
            all.iter().find(|one| one.id == fresh.id && one.state != ImportState::Failed)
        {
            return Ok(known.clone());
        }
        let mut changed = all.clone();
        // One that failed counts on where it ended: what was read of it is in history.
        changed.retain(|one| one.id != fresh.id);
        while changed.len() >= TOLD_MAX {
            let Some(oldest) = changed.iter().position(is_over) else { break };
            changed.remove(oldest);
        }
        changed.push(fresh.clone());
        let place = self.place(&fresh.id);
        std::fs::rename(draft, &place)
            .and_then(|()| std::fs::File::open(&self.spool)?.sync_all())
            .with_context(|| format!("move to `{}`", place.display()))
            .and_then(|()| self.write(&changed))
            .map_err(|error| Refusal::Unavailable(error_chain(error.as_ref())))?;
        *all = changed;
        Ok(fresh)
    }

    /// The next one to be read.
    pub(super) fn next(&self) -> Option<ImportStatus> {
        self.all().iter().find(|one| !is_over(one)).cloned()
    }

    /// Tells how one is.
    pub(super) fn tell(&self, told: &ImportStatus) {
        if let Some(one) = self.all().iter_mut().find(|one| one.id == told.id) {
            one.clone_from(told);
        }
    }

    /// Tells that one is over, durably, and lets its file go.
    pub(super) fn end(&self, told: &ImportStatus) -> anyhow::Result<()> {
        self.tell(told);
        let all = self.all();
        self.write(&all)?;
        drop(all);
        let place = self.place(&told.id);
        std::fs::remove_file(&place).with_context(|| format!("remove `{}`", place.display()))
    }

    fn write(&self, all: &[ImportStatus]) -> anyhow::Result<()> {
        let text = serde_json::to_vec(all).context("encode imports")?;
        replace_file(&self.path, &text).with_context(|| format!("write `{}`", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(desk: &Desk, id: &str) -> Result<ImportStatus, Refusal> {
        std::fs::create_dir_all(desk.spool()).unwrap();
        let draft = desk.spool().join("draft");
        std::fs::write(&draft, id).unwrap();
        let id = id.to_owned();
        desk.add(&draft, ImportStatus { id, ..ImportStatus::default() })
    }

    #[test]
    fn files_are_read_in_turn_and_remembered_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path()).unwrap();
        assert!(desk.next().is_none());
        for id in ["a", "b"] {
            handed(&desk, id).unwrap();
        }
        let first = desk.next().unwrap();
        assert_eq!(first.id, "a");
        desk.end(&ImportStatus { state: ImportState::Done, ..first }).unwrap();
        std::fs::write(desk.spool().join("cut-off"), "x").unwrap();
        let again = Desk::open(folder.path()).unwrap();
        assert_eq!(again.next().unwrap().id, "b");
        assert!(again.place("b").exists() && !again.place("a").exists());
        assert!(!again.place("cut-off").exists(), "what was not handed in to its end is forgotten");
    }

    #[test]
    fn the_same_bytes_are_taken_once_unless_they_failed() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path()).unwrap();
        let one = handed(&desk, "a").unwrap();
        desk.end(&ImportStatus { state: ImportState::Done, records: 7, ..one.clone() }).unwrap();
        assert_eq!(handed(&desk, "a").unwrap().records, 7);
        assert!(desk.next().is_none());
        desk.tell(&ImportStatus { state: ImportState::Failed, ..one });
        assert_eq!(handed(&desk, "a").unwrap().state, ImportState::Waiting);
        assert_eq!(desk.list().len(), 1);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for_and_none_is_told_of_forever() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path()).unwrap();
        for number in 0..WAITING_MAX {
            desk.has_room().unwrap();
            handed(&desk, &number.to_string()).unwrap();
        }
        assert!(desk.has_room().is_err());
        for one in desk.list() {
            desk.tell(&ImportStatus { state: ImportState::Done, ..one });
        }
        desk.has_room().unwrap();
        for number in 0..TOLD_MAX {
            let one = handed(&desk, &format!("x{number}")).unwrap();
            desk.tell(&ImportStatus { state: ImportState::Done, ..one });
        }
        assert_eq!(desk.list().len(), TOLD_MAX);
    }
}
