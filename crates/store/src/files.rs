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

/// Writes `path` by `write` under a temporary name, syncs it, and moves it into place. On an error
/// the temporary file is removed and `path` is as before.
pub(crate) fn write_whole<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(File) -> Result<File, E>,
) -> Result<(), E> {
    let temporary = temporary_of(path);
    let result = write_and_move(&temporary, path, write);
    if result.is_err() {
        // What cannot be removed now is removed by the next `open`.
        fs::remove_file(&temporary).ok();
    }
    result
}

fn write_and_move<E: From<io::Error>>(
    temporary: &Path,
    path: &Path,
    write: impl FnOnce(File) -> Result<File, E>,
) -> Result<(), E> {
    let file = write(File::create(temporary)?)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    if let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    Ok(())
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
