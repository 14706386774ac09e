//! What is done to a cluster that is up.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sekisho_system::wait;

use super::node;
use super::plan::{NODES, Plan};
use super::process::{self, Component, HOLDER};
use super::up::{START_LIMIT, components};
use crate::run;

const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Prints a row per component.
///
/// # Errors
/// If one is not ready, after the table.
pub(crate) fn status(plan: &Plan) -> Result<()> {
    let rows = components(plan);
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("{:<width$}  {:>7}  {:<5}  LOG\n", "COMPONENT", "PID", "READY");
    let mut missing = Vec::new();
    for row in rows {
        let pid = process::pid(plan, &row.name, &row.program());
        let ready = pid.is_some() && process::is_ready(plan, &row.ready);
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let (word, log) = (if ready { "yes" } else { "no" }, plan.log(&row.name));
        text.push_str(&format!("{:<width$}  {pid:>7}  {word:<5}  {}\n", row.name, log.display()));
        if !ready {
            missing.push(row.name);
        }
    }
    // Who reads only the beginning has seen enough.
    std::io::stdout().write_all(text.as_bytes()).ok();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("not ready: {}", missing.join(", "))
}

/// Gives all nodes the images in each tar.
///
/// # Errors
/// If a tar can't be read or a node is not up.
pub(crate) fn load(plan: &Plan, tars: &[String]) -> Result<()> {
    for tar in tars {
        // A relative path means another file on the other side.
        let tar = Path::new(tar).canonicalize().with_context(|| format!("find {tar}"))?;
        node::import(plan, &tar)?;
        println!("all nodes have {}", tar.display());
    }
    Ok(())
}

/// Becomes a program in the namespaces of a node; a shell if none is named.
///
/// # Errors
/// If the node is not there or the program can't be started.
pub(crate) fn enter(plan: &Plan, name: &str, argv: &[String]) -> Result<()> {
    let number = (1..=NODES).find(|number| node::name(*number) == name);
    let number = number.with_context(|| format!("there is no node `{name}`"))?;
    let holder = process::holder(plan, number)?.to_string();
    let mut command = run::command("nsenter");
    command.args(["--mount", "--net", "--uts", "--target", &holder, "--"]);
    if argv.is_empty() {
        command.arg("sh");
    }
    Err(run::replace(command.args(argv)))
}

/// Kills a component as a crash would. Pods of a killed containerd or kubelet go on.
///
/// # Errors
/// If it does not run.
pub(crate) fn stop(plan: &Plan, name: &str) -> Result<()> {
    let component = find(plan, name)?;
    let find = || process::pid(plan, &component.name, &component.program());
    let pid = find().with_context(|| format!("{name} does not run"))?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)
        .with_context(|| format!("kill {pid}"))?;
    let gone = wait::until(STOP_LIMIT, || is_over(pid).then_some(()));
    gone.with_context(|| format!("{name} ({pid}) does not end"))
}

/// Whether a process has closed all that it had open. A process that was killed first loses its memory,
/// by which it is found, and its sockets only after that (kernel/exit.c, `do_exit`): who begins anew
/// meanwhile finds its port taken.
fn is_over(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    // What nobody has waited for yet is over, too, once its other threads are.
    state.is_none_or(|state| matches!(state, 'Z' | 'X')) && threads <= 1
}

/// Starts a component that does not run, and waits until it is ready.
///
/// # Errors
/// If it runs already or does not become ready.
pub(crate) fn start(plan: &Plan, name: &str) -> Result<()> {
    let component = find(plan, name)?;
    if let Some(pid) = process::pid(plan, &component.name, &component.program()) {
        bail!("{name} runs already ({pid})");
    }
    process::bring_up(plan, &component, START_LIMIT)
}

fn find(plan: &Plan, name: &str) -> Result<Component> {
    let all = components(plan);
    let names: Vec<String> = all.iter().map(|component| component.name.clone()).collect();
    let found = all.into_iter().find(|component| component.name == name);
    if found.as_ref().is_some_and(|component| component.program() == HOLDER) {
        bail!("{name} is a node, which begins and ends with the cluster");
    }
    found.with_context(|| format!("there is no `{name}`; there are {}", names.join(", ")))
}
