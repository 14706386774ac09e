//! cgroup v2 folders: find the mount, create, join, kill and remove.
//!
//! Works on hybrid machines too, where the v2 hierarchy holds no controllers: nothing here needs one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait;

/// A cgroup could not be found, made, joined or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup v2 hierarchy is mounted.
    #[error("no cgroup2 file system is mounted (see /proc/self/mountinfo)")]
    NoMount,
    /// A file of the hierarchy refused.
    #[error("{action} `{}`", path.display())]
    Access {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// Processes were killed but did not go away in time.
    #[error("processes of `{}` did not end within {seconds} s", path.display())]
    Busy {
        /// The cgroup.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
}

/// Returns where the cgroup v2 hierarchy is mounted: the first `cgroup2` in
/// /proc/self/mountinfo.
///
/// # Errors
/// [`CgroupError::NoMount`] without one; [`CgroupError::Access`] if mountinfo can't be read.
pub fn mount_point() -> Result<PathBuf, CgroupError> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(path).map_err(|cause| access("read", path, cause))?;
    find_mount(&text).ok_or(CgroupError::NoMount)
}

/// Finds the mount point of the first `cgroup2` line (proc_pid_mountinfo(5): the fields after ` - `
/// are type, source and options; field 5 is the mount point).
fn find_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == "cgroup2")
            .then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Creates a cgroup and its parents; fine if it exists.
///
/// # Errors
/// [`CgroupError::Access`] without the right to.
pub fn create(path: &Path) -> Result<(), CgroupError> {
    fs::create_dir_all(path).map_err(|cause| access("create cgroup", path, cause))
}

/// Moves the calling process, all its threads included, into the cgroup.
///
/// # Errors
/// [`CgroupError::Access`] if the cgroup is not there or may not be joined.
pub fn join(path: &Path) -> Result<(), CgroupError> {
    let file = path.join("cgroup.procs");
    // "0" stands for the writer, whatever PID namespace it is in.
    fs::write(&file, "0").map_err(|cause| access("join cgroup by", &file, cause))
}

/// Kills every process in the cgroup and below (SIGKILL); fine if the cgroup is gone.
///
/// # Kernel
/// cgroup.kill needs Linux 5.14.
///
/// # Errors
/// [`CgroupError::Access`] if the kernel refuses.
pub fn kill(path: &Path) -> Result<(), CgroupError> {
    let file = path.join("cgroup.kill");
    match fs::write(&file, "1") {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(access("write", &file, cause)),
    }
}

/// Kills what runs in the cgroup and below, waits for its end, and removes all folders.
///
/// # Errors
/// [`CgroupError::Busy`] if processes outlive `deadline` (uninterruptible sleep);
/// [`CgroupError::Access`] if the kernel refuses.
pub fn kill_and_remove(path: &Path, deadline: Duration) -> Result<(), CgroupError> {
    kill(path)?;
    wait::until(deadline, || {
        // A killed process counts until its parent (or init) has seen it end.
        (!is_populated(path)).then_some(())
    })
    .ok_or_else(|| CgroupError::Busy { path: path.to_owned(), seconds: deadline.as_secs() })?;
    // rmdir may say EBUSY for a moment after the last process ended.
    wait::until(deadline, || match remove_tree(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => None,
        other => Some(other),
    })
    .ok_or_else(|| CgroupError::Busy { path: path.to_owned(), seconds: deadline.as_secs() })?
    .map_err(|cause| access("remove cgroup", path, cause))
}

/// Whether a process runs in the cgroup or below; false if it is gone.
#[must_use]
pub fn is_populated(path: &Path) -> bool {
    fs::read_to_string(path.join("cgroup.events"))
        .is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
}

/// Removes a cgroup and those below, deepest first; fine if it is gone.
fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

fn access(action: &'static str, path: &Path, cause: io::Error) -> CgroupError {
    CgroupError::Access { action, path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    #[test]
    fn the_v2_mount_is_found_on_a_hybrid_machine() {
        assert_eq!(find_mount(HYBRID), Some(PathBuf::from("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn a_machine_with_only_v1_has_no_v2_mount() {
        assert_eq!(find_mount(HYBRID.lines().next().unwrap()), None);
        assert_eq!(find_mount("garbage\n\n - \n"), None);
    }
}
