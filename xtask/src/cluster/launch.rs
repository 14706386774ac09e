//! `cargo xtask cluster launch` (not for people): becomes a component, in its cgroup and, if it
//! belongs to a node, in the node's namespaces.
//!
//! Joining must be done by the process itself before it starts any thread; hence this step between
//! `up` and the component.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::unistd::setsid;
use sekisho_system::cgroup;

use crate::run;

/// `launch CGROUP PID|- PROGRAM ARGUMENT...`; PID is any process of the node.
///
/// # Errors
/// If a namespace or the cgroup can't be joined, or the program can't be started.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [group, node, program, rest @ ..] = arguments else {
        bail!("usage: launch CGROUP PID|- PROGRAM ARGUMENT...");
    };
    cgroup::join(Path::new(group))?;
    // Ctrl-C in the terminal of `up` is not meant for the cluster. EPERM: it is so already.
    setsid().ok();
    if node != "-" {
        enter(node)?;
    }
    Err(run::replace(run::command(program).args(rest)))
}

/// Enters the namespaces of a node. The mount namespace is last: it changes what /proc means.
fn enter(pid: &str) -> Result<()> {
    let kinds = [
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    for (name, kind) in kinds {
        let path = format!("/proc/{pid}/ns/{name}");
        let file = File::open(&path).with_context(|| format!("open {path}"))?;
        setns(file, kind).with_context(|| format!("enter {path}"))?;
    }
    Ok(())
}
