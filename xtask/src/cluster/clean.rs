//! Takes a cluster down to nothing: processes, namespaces, links, cgroups of both versions, mounts
//! and files, however it ended. Each step works on what is there, not on what should be.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use sekisho_system::{cgroup, netns, wait};

use super::plan::Plan;
use super::{index, process};
use crate::run;

/// The file that says that a folder is a cluster's state, and may be removed as a whole.
pub(crate) const MARKER: &str = "this-is-a-sekisho-cluster";

const LIMIT: Duration = Duration::from_secs(20);

/// Takes the cluster down; what is not there any more is fine.
///
/// # Errors
/// If something can't be removed; then a second try goes on from there.
pub(crate) fn down(plan: &Plan) -> Result<()> {
    // Everything that any component started is in this cgroup or below, in whatever namespace.
    cgroup::kill_and_remove(&process::group(plan)?, LIMIT)?;
    for name in netns::list(&format!("{}-", plan.name())) {
        netns::delete(&name)?;
    }
    // Gone with the other end, unless the namespace still dies.
    let link = plan.name();
    if Path::new("/sys/class/net").join(&link).exists() {
        run::works(run::command("ip").args(["link", "delete", &link]));
    }
    for hierarchy in hierarchies() {
        remove_groups(&hierarchy.join(plan.name()))?;
    }
    remove_state(&plan.state)?;
    index::release(plan)
}

/// The mounted cgroup hierarchies of version 1.
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of_v1 = |line: &str| {
        let mut words = line.split(' ');
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup").then(|| PathBuf::from(place))
    };
    mounts.lines().filter_map(of_v1).collect()
}

/// Removes a cgroup of version 1 and those below. Their processes are dead, but the kernel may
/// take a moment to notice.
fn remove_groups(path: &Path) -> Result<()> {
    let removed = wait::until(LIMIT, || match remove_tree(path) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => None,
        other => Some(other),
    });
    match removed {
        Some(outcome) => outcome.with_context(|| format!("remove cgroup {}", path.display())),
        None => bail!("cgroup {} still has processes", path.display()),
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
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

/// Removes the state's folder if it is one of ours.
fn remove_state(state: &Path) -> Result<()> {
    if !state.join(MARKER).exists() {
        return Ok(());
    }
    for place in mounts_below(state) {
        umount2(&place, MntFlags::MNT_DETACH)
            .with_context(|| format!("unmount {}", place.display()))?;
    }
    fs::remove_dir_all(state).with_context(|| format!("remove {}", state.display()))
}

/// Mount points below a folder, the deepest first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = text.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut places: Vec<PathBuf> = places.filter(|place| place.starts_with(folder)).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.components().count()));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_a_clusters_state_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("sekisho-xtask-c-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        remove_state(&folder).unwrap();
        assert!(folder.exists());

        fs::write(folder.join(MARKER), "").unwrap();
        remove_state(&folder).unwrap();
        assert!(!folder.exists());
    }
}
