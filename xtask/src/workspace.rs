//! Where the workspace is, and who asks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The workspace root: the folder above this crate's.
///
/// Cargo names the folder at run time too, so that a moved checkout still works.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// True if we run as root (effective user id 0, `/proc/self/status`).
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_uid(&status) == Some(0)
}

/// What to type to get root and keep the toolchain on the PATH.
pub(crate) fn as_root(verb: &str) -> String {
    format!("sudo env \"PATH=$PATH\" cargo xtask {verb}")
}

fn effective_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Where what takes long to make is kept between runs, of all clones.
///
/// # Errors
/// If the environment names no such folder.
pub(crate) fn cache() -> Result<PathBuf> {
    let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let folder = own.filter(|path| path.is_absolute()).or_else(home);
    let folder = folder.context("neither XDG_CACHE_HOME nor HOME says where to keep builds")?;
    Ok(folder.join("sekisho"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_effective_user() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t0\t1000\t1000\n"), Some(0));
        assert_eq!(effective_uid("Uid:\t0\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_uid("Name:\tx\n"), None);
    }
}
