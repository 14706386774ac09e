//! The surroundings of a pod: cgroup, mount, UTS and IPC namespaces, its own files in /etc, /srv,
//! /tmp and /proc. Runs in the pod's first process, before it has threads.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use sekisho_manifest::Container;

use crate::protocol::PodRun;

/// Where pods find the running binary, and the lab's shared files under `lab/`.
pub(crate) const APP_FOLDER: &str = "/srv";

/// Where programs are looked for inside a pod.
pub(crate) const PATH: &str =
    "/srv:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games";

/// A part of a pod's surroundings could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurroundError {
    /// New namespaces were refused.
    #[error("make mount, UTS and IPC namespaces")]
    Unshare(#[source] io::Error),
    /// A file could not be prepared.
    #[error("prepare `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// A mount was refused.
    #[error("mount `{}`", path.display())]
    Mount {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// The host name was refused.
    #[error("set host name `{name}`")]
    Hostname {
        name: String,
        #[source]
        cause: io::Error,
    },
}

/// Makes all surroundings of the calling process; it must have one thread only.
pub(crate) fn make(run: &PodRun) -> Result<(), SurroundError> {
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    unshare(flags).map_err(|errno| SurroundError::Unshare(errno.into()))?;
    nix::unistd::sethostname(&run.hostname).map_err(|errno| SurroundError::Hostname {
        name: run.hostname.clone(),
        cause: errno.into(),
    })?;
    // Private, or every mount below would appear on the machine too.
    change_mount(Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    forget_namespaces();
    new_mount(Path::new("/proc"), "proc")?;
    new_mount(Path::new("/dev/shm"), "tmpfs")?;
    let files = [
        ("resolv.conf", run.resolv_conf.as_str()),
        ("hosts", run.hosts.as_str()),
        // Without this a machine's own resolver (systemd-resolved, mDNS) would be asked.
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ];
    let own = run.folder.join("etc");
    make_folder(&own)?;
    for (name, text) in files {
        let source = own.join(name);
        fs::write(&source, text).map_err(|cause| file_error(&source, cause))?;
        bind_over(&source, &resolved(&Path::new("/etc").join(name)))?;
    }
    make_app_folder(run)?;
    make_tmp(run)
}

/// Fills /srv: the binary as `sekisho` and once more under each image's name, so that processes of
/// different images differ in name, and the shared folder as `lab`.
fn make_app_folder(run: &PodRun) -> Result<(), SurroundError> {
    let folder = run.folder.join("srv");
    let shared = folder.join("lab");
    make_folder(&shared)?;
    bind_over(&run.shared, &shared)?;
    let containers = run.init_containers.iter().chain(&run.containers);
    let mut names: Vec<String> = containers.map(program_name).collect();
    names.push("sekisho".to_owned());
    names.sort();
    names.dedup();
    for name in names {
        let target = folder.join(name);
        File::create(&target).map_err(|cause| file_error(&target, cause))?;
        bind_over(&run.program, &target)?;
    }
    bind_over(&folder, Path::new(APP_FOLDER))
}

fn make_tmp(run: &PodRun) -> Result<(), SurroundError> {
    use std::os::unix::fs::PermissionsExt;
    let folder = run.folder.join("tmp");
    make_folder(&folder)?;
    let open = fs::Permissions::from_mode(0o1777);
    fs::set_permissions(&folder, open).map_err(|cause| file_error(&folder, cause))?;
    bind_over(&folder, Path::new("/tmp"))
}

/// The name under which a container's `sekisho` runs: the last part of its image without tag, or
/// `sekisho` if that is no plain file name.
pub(crate) fn program_name(container: &Container) -> String {
    let last = container.image.rsplit('/').next().unwrap_or_default();
    let name = last.split([':', '@']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name == "lab" || !name.chars().all(plain) {
        "sekisho".to_owned()
    } else {
        name.to_owned()
    }
}

/// A mount target that may be a symbolic link (/etc/resolv.conf often is): the file it names. A
/// link that leads nowhere stays as it is, and the mount's error names it.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_missing| path.to_owned())
}

/// The copies of other pods' namespaces in this mount namespace would keep them alive.
fn forget_namespaces() {
    let Ok(text) = fs::read_to_string("/proc/self/mountinfo") else { return };
    let points = text.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|point| point.starts_with(sekisho_system::netns::FOLDER)) {
        // Already gone with its parent mount, or never there: both are what we want.
        umount2(point, MntFlags::MNT_DETACH).ok();
    }
}

fn make_folder(path: &Path) -> Result<(), SurroundError> {
    fs::create_dir_all(path).map_err(|cause| file_error(path, cause))
}

fn new_mount(target: &Path, kind: &str) -> Result<(), SurroundError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(kind), target, Some(kind), flags, None::<&str>)
        .map_err(|errno| mount_error(target, errno))
}

fn bind_over(source: &Path, target: &Path) -> Result<(), SurroundError> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), target, None::<&str>, flags, None::<&str>)
        .map_err(|errno| mount_error(target, errno))
}

fn change_mount(target: &Path, flags: MsFlags) -> Result<(), SurroundError> {
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
        .map_err(|errno| mount_error(target, errno))
}

fn mount_error(path: &Path, errno: nix::errno::Errno) -> SurroundError {
    SurroundError::Mount { path: path.to_owned(), cause: errno.into() }
}

fn file_error(path: &Path, cause: io::Error) -> SurroundError {
    SurroundError::File { path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_name_is_the_images_and_never_a_path() {
        let name = |image: &str| {
            program_name(&Container { image: image.to_owned(), ..Container::default() })
        };
        assert_eq!(name("registry.example:5000/shop/cart:1.2"), "cart");
        assert_eq!(name("cart@sha256:00"), "cart");
        assert_eq!(name(""), "sekisho");
        assert_eq!(name("shop/.."), "sekisho");
        assert_eq!(name("shop/lab"), "sekisho", "the shared folder has that name");
    }
}
