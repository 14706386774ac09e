//! Runs a command inside a pod or host, with the caller's standard input and output.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};

use nix::sched::{CloneFlags, setns};
use sekisho_system::{cgroup, process};

use crate::client::{self, ClientError};
use crate::control::ExecInfo;
use crate::node::PATH;

/// A command could not be run inside a pod.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The lab did not say where the pod is.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The helper process could not be started.
    #[error("start the helper that enters `{target}`")]
    Start {
        /// The pod or workload.
        target: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// What a command inside a pod printed and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code; 128 + signal if it was killed.
    pub code: i32,
    /// Standard output and error, in this order.
    pub output: String,
}

/// Runs `argv` in the first container of `target` (`namespace/name` of a pod, host, or workload
/// with at least one running pod) and returns its exit code, 128 + signal if it was killed.
/// Standard input, output and error are the caller's.
///
/// # Errors
/// [`ExecError`] if no lab runs, the target is unknown or not running.
pub fn exec(state_dir: &Path, target: &str, argv: &[String]) -> Result<i32, ExecError> {
    let info = client::exec_info(state_dir, target)?;
    let status = helper(target, &info, argv)?
        .status()
        .map_err(|cause| ExecError::Start { target: target.to_owned(), cause })?;
    Ok(code_of(status))
}

/// As [`exec`], with no input, and the output returned.
///
/// # Errors
/// As [`exec`].
pub fn exec_captured(
    state_dir: &Path,
    target: &str,
    argv: &[String],
) -> Result<ExecOutput, ExecError> {
    let info = client::exec_info(state_dir, target)?;
    let output = helper(target, &info, argv)?
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| ExecError::Start { target: target.to_owned(), cause })?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(ExecOutput { code: code_of(output.status), output: text })
}

fn helper(
    target: &str,
    info: &ExecInfo,
    argv: &[String],
) -> Result<std::process::Command, ExecError> {
    let mut command = process::prepare(&info.program);
    command.args(["__lab", "enter", &info.pid.to_string()]).arg(&info.cgroup).arg("--").args(argv);
    tracing::debug!(target, pid = info.pid, "enter");
    Ok(command)
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Runs as the helper: joins the cgroup and the namespaces of process `pid`, then runs `argv`.
pub(crate) fn enter_main(pid: &str, cgroup: &Path, argv: &[&str]) -> ExitCode {
    match enter(pid, cgroup, argv) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(message) => {
            // The one who typed the command sees standard error.
            std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("error: {message}\n").as_bytes(),
            )
            .ok();
            ExitCode::from(126)
        }
    }
}

fn enter(pid: &str, cgroup: &Path, argv: &[&str]) -> Result<i32, String> {
    let (name, arguments) = argv.split_first().ok_or("no command given")?;
    cgroup::join(cgroup).map_err(|error| sekisho_base::error_chain(&error))?;
    // All files first: after the mount namespace changed, /proc is another one.
    let kinds = [
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    let mut files = Vec::new();
    for (kind, flag) in kinds {
        let path = format!("/proc/{pid}/ns/{kind}");
        files.push((
            File::open(&path).map_err(|error| format!("open {path}: {error}"))?,
            kind,
            flag,
        ));
    }
    for (file, kind, flag) in files {
        setns(file, flag).map_err(|errno| format!("enter {kind} namespace of {pid}: {errno}"))?;
    }
    let program = process::find_program(name, PATH)
        .ok_or_else(|| format!("program `{name}` is not in {PATH}"))?;
    let status = process::prepare(program)
        .args(arguments)
        .env("PATH", PATH)
        .env("SEKISHO_LAB_SHARED", crate::SHARED_INSIDE)
        .status()
        .map_err(|error| format!("start `{name}`: {error}"))?;
    Ok(code_of(status))
}
