//! Which cluster has which index: one file per index in /run/sekisho-cluster, which names the
//! cluster's state folder. /run is empty after a reboot, and so are the clusters.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::limits;
use super::plan::{CLUSTERS_MAX, Plan};

const FOLDER: &str = "/run/sekisho-cluster";

/// The cluster whose state is in `state`, if there is one.
pub(crate) fn find(state: &Path) -> Option<Plan> {
    find_in(Path::new(FOLDER), state)
}

/// The cluster in `state`: the one that is there, or a new one under a free index.
///
/// # Errors
/// If all indices are taken or the folder can't be written.
pub(crate) fn claim(state: &Path) -> Result<Plan> {
    let plan = claim_in(Path::new(FOLDER), state)?;
    limits::raise(Path::new(FOLDER))?;
    Ok(plan)
}

/// Gives the index back. The last step of taking a cluster down: until then, another cluster of
/// the same index would meet the rests of this one.
///
/// # Errors
/// If the file can't be removed.
pub(crate) fn release(plan: &Plan) -> Result<()> {
    let file = file(Path::new(FOLDER), plan.index);
    fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
    if all().is_empty() {
        limits::restore(Path::new(FOLDER))?;
        // Not if a cluster came in this moment.
        fs::remove_dir(FOLDER).ok();
    }
    Ok(())
}

/// Every cluster of this machine.
pub(crate) fn all() -> Vec<Plan> {
    (0..CLUSTERS_MAX).filter_map(|index| read(Path::new(FOLDER), index)).collect()
}

fn file(folder: &Path, index: u8) -> PathBuf {
    folder.join(index.to_string())
}

fn read(folder: &Path, index: u8) -> Option<Plan> {
    let text = fs::read_to_string(file(folder, index)).ok()?;
    let line = text.trim_end_matches('\n');
    (!line.is_empty()).then(|| Plan { index, state: PathBuf::from(line) })
}

fn find_in(folder: &Path, state: &Path) -> Option<Plan> {
    (0..CLUSTERS_MAX).filter_map(|index| read(folder, index)).find(|plan| plan.state == state)
}

fn claim_in(folder: &Path, state: &Path) -> Result<Plan> {
    if let Some(plan) = find_in(folder, state) {
        return Ok(plan);
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for index in 0..CLUSTERS_MAX {
        let path = file(folder, index);
        match File::create_new(&path) {
            Ok(mut file) => {
                writeln!(file, "{}", state.display())
                    .with_context(|| format!("write {}", path.display()))?;
                return Ok(Plan { index, state: state.to_owned() });
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("create {}", path.display()));
            }
        }
    }
    bail!(
        "{CLUSTERS_MAX} clusters run already ({} names their state folders); take one down with \
         `cargo xtask cluster down --state DIR`",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("sekisho-xtask-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        folder
    }

    #[test]
    fn the_same_state_keeps_its_index_and_another_gets_the_next() {
        let folder = scratch("index");
        let first = claim_in(&folder, Path::new("/a")).unwrap();
        let second = claim_in(&folder, Path::new("/b")).unwrap();
        assert_eq!((first.index, second.index), (0, 1));
        assert_eq!(claim_in(&folder, Path::new("/a")).unwrap(), first);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_more_clusters_than_there_are_addresses_for() {
        let folder = scratch("full");
        for number in 0..CLUSTERS_MAX {
            claim_in(&folder, &PathBuf::from(format!("/{number}"))).unwrap();
        }
        let error = claim_in(&folder, Path::new("/one-more")).unwrap_err();
        assert!(error.to_string().contains("take one down"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
