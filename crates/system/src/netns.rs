//! Named network namespaces, as `ip netns` keeps them: a file in /run/netns onto which the
//! namespace is bind-mounted.
//!
//! Nothing here changes the namespace of the calling thread except [`enter`]; the rest works in
//! threads of its own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// Where named network namespaces live.
pub const FOLDER: &str = "/run/netns";

/// A network namespace could not be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// A system call refused; EPERM means that CAP_SYS_ADMIN is missing.
    #[error("{action} network namespace `{name}`")]
    System {
        /// What was tried.
        action: &'static str,
        /// Name or path of the namespace.
        name: String,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// The helper thread ended abnormally.
    #[error("the thread for network namespace `{name}` ended abnormally")]
    Thread {
        /// Name or path of the namespace.
        name: String,
    },
}

/// The path of the namespace called `name`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Creates the named namespace, with its loopback interface still down.
///
/// # Errors
/// [`NetnsError::System`] if it exists, or CAP_SYS_ADMIN is missing.
pub fn create(name: &str) -> Result<(), NetnsError> {
    let owned = name.to_owned();
    thread::spawn(move || unshare_named(&owned))
        .join()
        .unwrap_or_else(|_panic| Err(NetnsError::Thread { name: name.to_owned() }))
}

/// Makes a new namespace for the calling thread, named `name`; the thread stays in it.
///
/// # Errors
/// As [`create`].
pub fn unshare_named(name: &str) -> Result<(), NetnsError> {
    prepare_folder()?;
    let target = path(name);
    File::create_new(&target).map_err(|cause| system("create", name, cause))?;
    let made = unshare(CloneFlags::CLONE_NEWNET).and_then(|()| {
        let own = "/proc/thread-self/ns/net";
        mount(Some(own), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    });
    made.map_err(|errno| {
        // An empty file without a namespace would only confuse `ip netns`.
        fs::remove_file(&target).ok();
        system("create", name, errno.into())
    })
}

/// Moves the calling thread into the namespace at `path`. One that it is in already needs no right.
///
/// # Errors
/// [`NetnsError::System`] if it is not there, or CAP_SYS_ADMIN is missing.
pub fn enter(path: &Path) -> Result<(), NetnsError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|cause| system("open", &name, cause))?;
    // Device and inode number tell namespaces apart (namespaces(7)).
    let same = |there: fs::Metadata, own: fs::Metadata| {
        (there.dev(), there.ino()) == (own.dev(), own.ino())
    };
    if let (Ok(there), Ok(own)) = (file.metadata(), fs::metadata("/proc/thread-self/ns/net"))
        && same(there, own)
    {
        return Ok(());
    }
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| system("enter", &name, errno.into()))
}

/// Runs `work` in a thread of its own inside the namespace at `path` and returns what it returned.
/// Child processes and threads started by `work` are born in the namespace.
///
/// # Errors
/// [`NetnsError`] if the namespace can't be entered or `work` panics.
pub fn within<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetnsError> {
    let owned = path.to_owned();
    thread::spawn(move || enter(&owned).map(|()| work()))
        .join()
        .unwrap_or_else(|_panic| Err(NetnsError::Thread { name: path.display().to_string() }))
}

/// Removes the name; the namespace itself, with its links, ends with its last process. Fine if
/// it is gone.
///
/// # Errors
/// [`NetnsError::System`] if the name can't be unmounted or removed.
pub fn delete(name: &str) -> Result<(), NetnsError> {
    let target = path(name);
    match umount2(&target, MntFlags::MNT_DETACH) {
        // EINVAL: the file is there but nothing is mounted on it.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(system("unmount", name, errno.into())),
    }
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("remove", name, error)),
        _ => Ok(()),
    }
}

/// Names of namespaces that begin with `prefix`, sorted; empty if there are none.
#[must_use]
pub fn list(prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(FOLDER) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Makes /run/netns a shared mount as `ip netns add` does, so that names made before and after
/// that command behave alike.
fn prepare_folder() -> Result<(), NetnsError> {
    // Two threads that both find no mount would stack two of them.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    fs::create_dir_all(FOLDER).map_err(|cause| system("make folder for", FOLDER, cause))?;
    let none = None::<&str>;
    match mount(none, FOLDER, none, MsFlags::MS_SHARED | MsFlags::MS_REC, none) {
        Ok(()) => return Ok(()),
        // EINVAL: not a mount point yet.
        Err(Errno::EINVAL) => {}
        Err(errno) => return Err(system("share folder for", FOLDER, errno.into())),
    }
    mount(Some(FOLDER), FOLDER, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .and_then(|()| mount(none, FOLDER, none, MsFlags::MS_SHARED | MsFlags::MS_REC, none))
        .map_err(|errno| system("share folder for", FOLDER, errno.into()))
}

fn system(action: &'static str, name: &str, cause: io::Error) -> NetnsError {
    NetnsError::System { action, name: name.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn a_namespace_has_its_own_interfaces_and_leaves_nothing() {
        if !is_root() {
            println!("not run: needs root");
            return;
        }
        let name = format!("sksys-{}", std::process::id());
        create(&name).unwrap();
        assert!(create(&name).is_err(), "a name is given once");
        assert_eq!(list(&name), vec![name.clone()]);
        let inside = within(&path(&name), || fs::read_link("/proc/thread-self/ns/net").unwrap());
        assert_ne!(inside.unwrap(), fs::read_link("/proc/thread-self/ns/net").unwrap());
        delete(&name).unwrap();
        delete(&name).unwrap();
        assert!(list(&name).is_empty());
    }

    #[test]
    fn a_namespace_that_is_not_there_is_named_in_the_error() {
        let error = within(Path::new("/run/netns/sksys-none"), || ()).unwrap_err();
        assert!(error.to_string().contains("sksys-none"));
    }
}
