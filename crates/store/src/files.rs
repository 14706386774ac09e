//! Files that are wholly there or not at all: temporary name, fsync, rename, fsync of the folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Ending of files that are being written; `open` deletes what a crash left.
pub(crate) const TEMPORARY: &str = "tmp";

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file that is being written under a temporary name. Dropped before [`Self::commit`], it is
/// removed; what can't be removed then is removed by the next `open`.
#[derive(Debug)]
pub(crate) struct Draft {
    temporary: PathBuf,
    path: PathBuf,
    moved: bool,
}

impl Draft {
    pub(crate) fn create(path: &Path) -> io::Result<(Self, File)> {
        let temporary = temporary_of(path);
        let file = File::create(&temporary)?;
        Ok((Self { temporary, path: path.to_owned(), moved: false }, file))
    }

    /// Syncs `file`, which was written, and moves it into place; durable on return.
    pub(crate) fn commit(mut self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.moved = true;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.moved {
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// Writes `path` by `write` as a whole: on an error it is as before.
pub(crate) fn write_whole<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(File) -> Result<File, E>,
) -> Result<(), E> {
    let (draft, file) = Draft::create(path)?;
    let file = write(file)?;
    Ok(draft.commit(&file)?)
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// Removes `path` if it is there; true if it was.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// File names in `folder` that are UTF-8, sorted; none if the folder is missing.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(cause),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Removes temporary files that a crash left in `folder`.
pub(crate) fn remove_temporary(folder: &Path) -> io::Result<()> {
    for name in names(folder)? {
        if Path::new(&name).extension().is_some_and(|ending| ending == TEMPORARY) {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}
