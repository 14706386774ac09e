//! The verbs: build, up, down, status.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::binary::{self, Programs};
use super::control::{self, Shape};
use super::plan::{NODES, Plan};
use super::process::{self, Component};
use super::{certificates, clean, hold, images, index, launch, node};
use crate::{run as program, workspace};

const USAGE: &str = "\
usage: cargo xtask cluster build  [--version 1.34]
       cargo xtask cluster up     [--state DIR] [--control-plane] [--version 1.34]
       cargo xtask cluster down   [--state DIR | --all]
       cargo xtask cluster status [--state DIR]";

/// Where the cluster is unless `--state` says otherwise.
const STATE: &str = "/var/tmp/sekisho-cluster";

/// The file that says whether there are nodes.
const SHAPE: &str = "shape";

/// Until the API server answers: it writes its first objects before.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What was asked for.
#[derive(Debug)]
struct Options {
    state: PathBuf,
    shape: Shape,
    all: bool,
    release: Option<String>,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut options =
            Self { state: PathBuf::from(STATE), shape: Shape::Nodes, all: false, release: None };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--state" => options.state = std::path::absolute(value()?)?,
                "--version" => options.release = Some(value()?.clone()),
                "--control-plane" => options.shape = Shape::ControlPlane,
                "--all" => options.all = true,
                _ => bail!("`{argument}` is not a flag of cluster\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

/// `cargo xtask cluster VERB`.
///
/// # Errors
/// If the verb is unknown or fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let Some((verb, rest)) = arguments.split_first() else {
        println!("{USAGE}");
        return Ok(());
    };
    match verb.as_str() {
        "launch" => return launch::run(rest),
        "hold" => return hold::run(rest),
        _ => {}
    }
    let options = Options::read(rest)?;
    if verb != "build" && !workspace::is_root() {
        bail!(
            "a cluster is made of namespaces and cgroups, which needs root: `{}`",
            workspace::as_root(&format!("cluster {verb}"))
        );
    }
    match verb.as_str() {
        "build" => build(root, &options),
        "up" => up(root, &options),
        "down" => down(&options),
        "status" => status(&options),
        _ => bail!("`{verb}` is not a verb of cluster\n{USAGE}"),
    }
}

fn build(root: &Path, options: &Options) -> Result<()> {
    let programs = binary::programs(root, options.release.as_deref())?;
    println!("Kubernetes {} is in {}", programs.version, programs.folder.display());
    Ok(())
}

fn up(root: &Path, options: &Options) -> Result<()> {
    let programs = binary::programs(root, options.release.as_deref())?;
    let start = Instant::now();
    if let Some(old) = index::find(&options.state) {
        println!("a cluster is or was in {}: taking it down", old.state.display());
        clean::down(&old)?;
    }
    let plan = index::claim(&options.state)?;
    prepare(&plan, &programs, options.shape)?;
    certificates::make(&plan, &options.shape.server(&plan))?;
    if options.shape == Shape::Nodes {
        node::prepare(&plan)?;
    }
    control_plane(&plan, options.shape)?;
    if options.shape == Shape::Nodes {
        nodes(&plan)?;
    }
    println!("Kubernetes {} is up after {:.1} s", programs.version, start.elapsed().as_secs_f64());
    println!("\nexport KUBECONFIG={}", plan.admin().display());
    println!("export PATH={}:$PATH", plan.path("bin").display());
    Ok(())
}

fn control_plane(plan: &Plan, shape: Shape) -> Result<()> {
    for component in control::components(plan, shape) {
        process::bring_up(plan, &component, START_LIMIT)?;
    }
    Ok(())
}

fn nodes(plan: &Plan) -> Result<()> {
    for number in 1..=NODES {
        process::bring_up(plan, &node::containerd(plan, number), START_LIMIT)?;
    }
    for tar in images::make(plan)? {
        for number in 1..=NODES {
            node::import(plan, number, &tar)?;
        }
    }
    for number in 1..=NODES {
        let object = serde_json::to_string(&node::object(plan, number))?;
        let file = plan.path(format!("{}/node.json", node::name(number)));
        fs::write(&file, object).with_context(|| format!("write {}", file.display()))?;
        program::quietly(process::kubectl(plan).args(["create", "--filename"]).arg(&file))?;
        for component in node::components(plan, number) {
            process::bring_up(plan, &component, START_LIMIT)?;
        }
    }
    let nodes = ["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s"];
    program::quietly(process::kubectl(plan).args(nodes))
}

fn components(plan: &Plan, shape: Shape) -> Vec<Component> {
    let mut list = control::components(plan, shape);
    if shape == Shape::Nodes {
        for number in 1..=NODES {
            list.push(node::holder(number));
            list.push(node::containerd(plan, number));
            list.extend(node::components(plan, number));
        }
    }
    list
}

/// Makes the state's folder, with the upstream commands under their names.
fn prepare(plan: &Plan, programs: &Programs, shape: Shape) -> Result<()> {
    let state = &plan.state;
    let used = fs::read_dir(state).is_ok_and(|mut entries| entries.next().is_some());
    if used && !state.join(clean::MARKER).exists() {
        bail!("{} is not empty and not a cluster's: name another --state", state.display());
    }
    fs::remove_dir_all(state).ok();
    for folder in ["bin", "logs"] {
        let path = plan.path(folder);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    fs::set_permissions(state, Permissions::from_mode(0o711))?;
    fs::write(state.join(clean::MARKER), "`cargo xtask cluster down` removes this folder.\n")?;
    let kind = if shape == Shape::Nodes { "nodes" } else { "control-plane" };
    fs::write(plan.path(SHAPE), kind).context("write the cluster's shape")?;
    for command in binary::COMMANDS {
        symlink(programs.folder.join("kubernetes"), plan.path("bin").join(command))
            .with_context(|| format!("link {command}"))?;
    }
    Ok(())
}

fn down(options: &Options) -> Result<()> {
    let plans =
        if options.all { index::all() } else { index::find(&options.state).into_iter().collect() };
    if plans.is_empty() {
        println!("no cluster is in {}", options.state.display());
    }
    for plan in plans {
        clean::down(&plan)?;
        println!("{} is down", plan.state.display());
    }
    Ok(())
}

fn status(options: &Options) -> Result<()> {
    let Some(plan) = index::find(&options.state) else {
        bail!("no cluster is in {}; `cargo xtask cluster up`", options.state.display());
    };
    let kind = fs::read_to_string(plan.path(SHAPE)).unwrap_or_default();
    let shape = if kind == "control-plane" { Shape::ControlPlane } else { Shape::Nodes };
    let rows = components(&plan, shape);
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    println!("{:<width$}  {:>7}  {:<5}  LOG", "COMPONENT", "PID", "READY");
    for row in rows {
        let program = row.argv.first().map(Path::new).and_then(Path::file_name);
        let program = program.map(|name| name.to_string_lossy()).unwrap_or_default();
        let pid = process::pid(&plan, &row.name, &program);
        let ready = if process::is_ready(&plan, &row.ready) { "yes" } else { "no" };
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let log = plan.log(&row.name);
        println!("{:<width$}  {pid:>7}  {ready:<5}  {}", row.name, log.display());
    }
    Ok(())
}
