//! Long-lived child processes; [`crate::command`] is for programs that are waited for.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// Prepares a child process that outlives the call; the caller owns it and waits for it.
#[expect(clippy::disallowed_methods, reason = "the one place that prepares long-lived children")]
#[must_use]
pub fn prepare(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// The path of the running binary.
///
/// # Errors
/// If the system does not say (no /proc).
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Finds an executable file called `name` in the folders of `path` (as in `$PATH`); a name with a
/// slash is taken as it is. None if there is none.
#[must_use]
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it() {
        assert!(find_program("sh", "/nowhere::/usr/bin:/bin").is_some());
        assert_eq!(find_program("no-such-program", "/usr/bin:/bin"), None);
        assert_eq!(find_program("/bin/x", ""), Some(PathBuf::from("/bin/x")));
    }
}
