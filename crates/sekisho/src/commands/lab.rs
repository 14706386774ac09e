//! `sekisho lab`: the cluster of network namespaces.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sekisho_lab::{Lab, LabStatus, LabelTarget, client};
use sekisho_model::Labels;

use super::stack::{Stack, StackOptions};
use super::{input, output};
use crate::cli::{LabCommand, TableOrJson};
use crate::exit::Exit;
use crate::signals::Stop;

const READY_WAIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);

/// Does what was asked of the lab.
pub(crate) fn run(command: &LabCommand) -> anyhow::Result<Exit> {
    match command {
        LabCommand::Up { files, bare, server, state } => {
            let manifests = if files.is_empty() { None } else { Some(input::objects(files)?) };
            up(&StackOptions {
                state: &state.state,
                socket: server,
                manifests,
                bare: *bare,
                web: None,
            })
        }
        LabCommand::Down { state } => down(&state.state),
        LabCommand::Status { state, output } => status(&state.state, *output),
        LabCommand::Exec { target, command, state } => {
            let code = sekisho_lab::exec(&state.state, target, command)?;
            Ok(Exit::Program(u8::try_from(code).unwrap_or(u8::MAX)))
        }
        LabCommand::Attack { name: None, .. } => list_attacks(),
        LabCommand::Attack { name: Some(name), state } => attack(&state.state, name),
        LabCommand::Scale { target, replicas, state } => {
            client::scale(&state.state, target, *replicas)?;
            Ok(Exit::Done)
        }
        LabCommand::Restart { target, state } => {
            client::restart(&state.state, target)?;
            Ok(Exit::Done)
        }
        LabCommand::Label { target, changes, state } => label(&state.state, target, changes),
    }
}

fn up(options: &StackOptions<'_>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let stop = runtime.block_on(async { Stop::new() })?;
    let began = Instant::now();
    let stack = Stack::up(options)?;
    if await_ready(stack.lab(), &stop, READY_WAIT) {
        let pods = stack.lab().status().pods.len();
        let took = began.elapsed().as_secs_f64();
        output::print(&format!("{pods} pods and hosts ready after {took:.1} s; Ctrl-C ends\n"))?;
    } else if !stop.is_set() {
        output::note(&format!("not ready: {}", unready(&stack.lab().status())));
    }
    while !stop.is_set() && !stack.lab().wait_down_requested(LOOK) {}
    stack.down();
    Ok(Exit::Done)
}

/// Waits until all is ready; false after `deadline`, or at once when told to stop or to go down.
pub(crate) fn await_ready(lab: &Lab, stop: &Stop, deadline: Duration) -> bool {
    let end = Instant::now() + deadline;
    while !lab.wait_ready(LOOK) {
        if stop.is_set() || lab.wait_down_requested(Duration::ZERO) || Instant::now() >= end {
            return false;
        }
    }
    true
}

/// Names what is not ready, and why.
pub(crate) fn unready(status: &LabStatus) -> String {
    let pods = status.pods.iter().filter(|pod| !pod.ready && pod.phase != "Succeeded");
    let mut lines: Vec<String> = pods
        .map(|pod| {
            let why = pod.message.clone().unwrap_or_else(|| pod.phase.clone());
            format!("{}/{}: {why}", pod.namespace, pod.name)
        })
        .collect();
    lines.extend(status.troubles.iter().cloned());
    lines.join("; ")
}

fn down(state: &Path) -> anyhow::Result<Exit> {
    // A lab that does not answer was killed: only its leftovers are there to remove.
    if client::status(state).is_ok() {
        client::down(state)?;
    }
    sekisho_lab::clean_leftovers(state)?;
    Ok(Exit::Done)
}

fn status(state: &Path, form: TableOrJson) -> anyhow::Result<Exit> {
    let status = client::status(state)?;
    match form {
        TableOrJson::Json => output::print_json(&status)?,
        TableOrJson::Table => output::print(&table(&status))?,
    }
    Ok(if status.ready { Exit::Done } else { Exit::Found })
}

fn table(status: &LabStatus) -> String {
    let head = ["namespace", "pod", "node", "address", "phase", "ready", "restarts", "message"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for pod in &status.pods {
        rows.push(vec![
            pod.namespace.clone(),
            pod.name.clone(),
            pod.node.clone(),
            pod.addresses.first().map(ToString::to_string).unwrap_or_default(),
            pod.phase.clone(),
            if pod.ready { "yes" } else { "no" }.to_owned(),
            pod.restarts.to_string(),
            pod.message.clone().unwrap_or_default(),
        ]);
    }
    let mut text = output::columns(&rows, &[false, false, false, false, false, false, true]);
    for trouble in &status.troubles {
        text.push_str(&format!("trouble: {trouble}\n"));
    }
    text
}

fn list_attacks() -> anyhow::Result<Exit> {
    let mut rows = vec![["attack", "from", "what it wants"].map(str::to_owned).to_vec()];
    for attack in sekisho_lab::attacks()? {
        rows.push(vec![attack.name, attack.from, attack.description]);
    }
    output::print(&output::columns(&rows, &[]))?;
    Ok(Exit::Done)
}

/// Tries one attack or all; `Found` if one succeeded.
fn attack(state: &Path, name: &str) -> anyhow::Result<Exit> {
    let names: Vec<String> = if name == "all" {
        sekisho_lab::attacks()?.into_iter().map(|attack| attack.name).collect()
    } else {
        vec![name.to_owned()]
    };
    let mut exit = Exit::Done;
    for name in names {
        let outcome = sekisho_lab::run_attack(state, &name)?;
        let word = if outcome.succeeded { "SUCCEEDED" } else { "stopped" };
        output::print(&format!("{word:<9}  {name}\n"))?;
        for line in outcome.output.lines() {
            output::print(&format!("             {line}\n"))?;
        }
        if outcome.succeeded {
            exit = Exit::Found;
        }
    }
    Ok(exit)
}

/// `key=value` sets, `key-` removes; a target without `/` is a namespace, others are looked up
/// among workloads, hosts, then pods.
fn label(state: &Path, target: &str, changes: &[String]) -> anyhow::Result<Exit> {
    let (mut set, mut remove) = (Labels::new(), Vec::new());
    for change in changes {
        match (change.split_once('='), change.strip_suffix('-')) {
            (Some((key, value)), _) => {
                set.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(key)) => remove.push(key.to_owned()),
            (None, None) => bail!("`{change}` is neither key=value nor key-"),
        }
    }
    let status = client::status(state)?;
    let name = target.to_owned();
    let is = |namespace: &str, name: &str| format!("{namespace}/{name}") == target;
    let target = if !target.contains('/') {
        LabelTarget::Namespace(name)
    } else if status.workloads.iter().any(|found| is(&found.namespace, &found.name)) {
        LabelTarget::Workload(name)
    } else if status.pods.iter().any(|pod| is(&pod.namespace, &pod.name) && pod.phase == "Host") {
        LabelTarget::Host(name)
    } else {
        LabelTarget::Pod(name)
    };
    client::label(state, target, set, remove)?;
    Ok(Exit::Done)
}
