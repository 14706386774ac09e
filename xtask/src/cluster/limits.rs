//! The one setting of the machine that clusters change: how many inotify instances a user may have
//! (inotify(7), max_user_instances). Debian's 128 are used up by four clusters, and a kubelet
//! that gets none ends. It is raised while there are clusters, and put back with the last.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const SETTING: &str = "/proc/sys/fs/inotify/max_user_instances";
/// Ten clusters use about 350.
const WANTED: u64 = 1024;

/// Raises the limit if it is lower, and keeps what it was in `folder`.
///
/// # Errors
/// If the setting can't be read or written.
pub(crate) fn raise(folder: &Path) -> Result<()> {
    raise_in(folder, Path::new(SETTING))
}

/// Puts the limit back.
///
/// # Errors
/// If the setting can't be written.
pub(crate) fn restore(folder: &Path) -> Result<()> {
    restore_in(folder, Path::new(SETTING))
}

fn raise_in(folder: &Path, setting: &Path) -> Result<()> {
    let place = || setting.display().to_string();
    let before = fs::read_to_string(setting).with_context(place)?;
    if before.trim().parse::<u64>().is_ok_and(|limit| limit >= WANTED) {
        return Ok(());
    }
    let kept = folder.join(KEPT);
    fs::write(&kept, &before).with_context(|| format!("write {}", kept.display()))?;
    println!("fs.inotify.max_user_instances: {} is too few, {WANTED} for now", before.trim());
    fs::write(setting, WANTED.to_string()).with_context(place)
}

fn restore_in(folder: &Path, setting: &Path) -> Result<()> {
    let kept = folder.join(KEPT);
    let Ok(before) = fs::read_to_string(&kept) else { return Ok(()) };
    fs::write(setting, before).with_context(|| setting.display().to_string())?;
    fs::remove_file(&kept).with_context(|| format!("remove {}", kept.display()))
}

/// What the limit was.
const KEPT: &str = "inotify-instances";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, during: &str) {
        let folder =
            std::env::temp_dir().join(format!("sekisho-xtask-l{before}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let setting = folder.join("setting");
        fs::write(&setting, before).unwrap();
        raise_in(&folder, &setting).unwrap();
        // A second cluster does not take the raised limit for the machine's.
        raise_in(&folder, &setting).unwrap();
        assert_eq!(fs::read_to_string(&setting).unwrap(), during);
        restore_in(&folder, &setting).unwrap();
        assert_eq!(fs::read_to_string(&setting).unwrap(), before);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_low_limit_is_raised_and_put_back_as_it_was() {
        check("128", "1024");
    }

    #[test]
    fn a_limit_that_is_high_enough_is_left_alone() {
        check("8192", "8192");
    }
}
