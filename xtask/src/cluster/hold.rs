//! `cargo xtask cluster hold` (not for people): makes the namespaces of a node and keeps them.
//!
//! A node sees the host's files, but has its own /run, /var/lib, /var/log and /sys: so containerd
//! and the kubelet have their usual paths on every node (agents look for them there), and clusters
//! don't meet. Its mounts are shared inside, as the kubelet needs for mount propagation, and do
//! not spread to the host.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{sethostname, setsid};
use sekisho_system::{cgroup, netns};

use super::process::HOLDER;
use crate::run;

/// Folders of the host that each node has for itself.
pub(crate) const OWN: &[&str] = &["/var/lib", "/var/log"];

/// What is mounted below /sys on any machine, and stays the machine's.
const SYS: &[&str] =
    &["fs/cgroup", "fs/bpf", "fs/selinux", "kernel/debug", "kernel/tracing", "kernel/security"];

/// Kernel settings that the kubelet sets for the whole machine when it starts (Kubernetes
/// v1.37 pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables). It finds them set, in
/// files of ours: a test must not make this machine panic on an oops.
const TUNABLES: &[(&str, &str)] = &[
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// `hold CGROUP NETNS HOSTNAME FOLDER`: FOLDER keeps what the node writes.
///
/// # Errors
/// If a namespace or a mount can't be made.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [group, network, hostname, folder] = arguments else {
        bail!("usage: hold CGROUP NETNS HOSTNAME FOLDER");
    };
    cgroup::join(Path::new(group))?;
    setsid().ok();
    let path = netns::path(network);
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).context("enter the node's network namespace")?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).context("unshare")?;
    sethostname(hostname).context("set the host name")?;
    mounts(Path::new(folder))?;
    // Told by the file's being there: the node can be entered from now on.
    fs::write("/run/node", hostname).context("write /run/node")?;
    Err(run::replace(run::command(HOLDER).arg("infinity")))
}

fn mounts(folder: &Path) -> Result<()> {
    propagate(MsFlags::MS_SLAVE)?;
    sys(&folder.join("sys"))?;
    for own in OWN {
        bind(&folder.join(own.trim_start_matches('/')), Path::new(own))?;
    }
    let tunables = folder.join("tunables");
    for (name, value) in TUNABLES {
        let file = tunables.join(name.replace('/', "."));
        write(&file, value)?;
        let place = Path::new("/proc/sys").join(name);
        if place.exists() {
            bind(&file, &place)?;
        }
    }
    // Last, since the state itself might be told by a path below /run.
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755"),
    )
    .context("mount a tmpfs on /run")?;
    let links = Path::new("/var/run");
    if !links.is_symlink() {
        bind(Path::new("/run"), links)?;
    }
    propagate(MsFlags::MS_SHARED)
}

fn propagate(kind: MsFlags) -> Result<()> {
    mount(None::<&str>, "/", None::<&str>, kind | MsFlags::MS_REC, None::<&str>)
        .context("set the propagation of mounts")
}

/// A /sys of the node's network, with what else is mounted there.
fn sys(staging: &Path) -> Result<()> {
    fs::create_dir_all(staging).with_context(|| format!("create {}", staging.display()))?;
    mount(Some("sysfs"), staging, Some("sysfs"), MsFlags::empty(), None::<&str>)
        .context("mount sysfs")?;
    let mounted = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for name in SYS {
        let place = PathBuf::from("/sys").join(name);
        let known = mounted.lines().filter_map(|line| line.split(' ').nth(1));
        if known.map(Path::new).any(|known| known == place) {
            bind(&place, &staging.join(name))?;
        }
    }
    mount(Some(staging), "/sys", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("move sysfs to /sys")
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .with_context(|| format!("bind {} to {}", from.display(), to.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}
