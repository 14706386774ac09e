//! Brings a cluster up, always from nothing: what was in the state folder before is taken down.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::binary::{self, Programs};
use super::control::{self, Shape};
use super::plan::{Family, NODES, Plan};
use super::process::{self, Component};
use super::{certificates, clean, hold, images, index, node, objects};

/// The file that says whether there are nodes.
const SHAPE: &str = "shape";

/// For any component: the API server writes its first objects before it is ready, and a busy
/// machine is slow.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(120);

/// Brings up a cluster and says how to use it.
///
/// # Errors
/// If anything fails; what runs by then is left for a look at the logs, and for `down`.
pub(crate) fn up(root: &Path, programs: &Programs, state: &Path, shape: Shape) -> Result<()> {
    may_hold(state)?;
    let start = Instant::now();
    if let Some(old) = index::find(state) {
        println!("a cluster is or was in {}: taking it down", state.display());
        clean::down(&old)?;
    }
    let plan = index::claim(state)?;
    if let Err(error) = bring(root, &plan, programs, shape) {
        bail!(
            "{error:#}\n\nWhen you have seen enough: `cargo xtask cluster down --state {}`",
            state.display()
        );
    }
    println!("Kubernetes {} is up after {:.1} s", programs.version, start.elapsed().as_secs_f64());
    println!("\nexport KUBECONFIG={}", plan.admin().display());
    println!("export PATH={}:$PATH", plan.path("bin").display());
    Ok(())
}

/// All components of a cluster that is or was up.
pub(crate) fn components(plan: &Plan) -> Vec<Component> {
    let shape = match fs::read_to_string(plan.path(SHAPE)).unwrap_or_default().as_str() {
        "control-plane" => Shape::ControlPlane,
        _ => Shape::Nodes,
    };
    let mut list = control::components(plan, shape).to_vec();
    if shape == Shape::Nodes {
        for number in 1..=NODES {
            list.push(node::holder(number));
            list.push(node::containerd(plan, number));
            list.extend(node::components(plan, number));
        }
    }
    list
}

fn bring(root: &Path, plan: &Plan, programs: &Programs, shape: Shape) -> Result<()> {
    prepare(plan, programs, shape)?;
    certificates::make(plan, &shape.server(plan))?;
    let mut started = Vec::new();
    if shape == Shape::Nodes {
        node::prepare(plan)?;
        for number in 1..=NODES {
            started.push(start(plan, node::containerd(plan, number))?);
        }
    }
    let [etcd, api_server, clients @ ..] = control::components(plan, shape);
    await_all(plan, vec![start(plan, etcd)?])?;
    let api_server = start(plan, api_server)?;
    if shape == Shape::Nodes {
        // While the API server writes its first objects.
        await_all(plan, started)?;
        node::import(plan, &images::make(plan, &programs.coredns)?)?;
    }
    await_all(plan, vec![api_server])?;
    started = clients.map(|client| start(plan, client)).into_iter().collect::<Result<_>>()?;
    if shape == Shape::Nodes {
        objects::nodes(plan)?;
        for component in (1..=NODES).flat_map(|number| node::components(plan, number)) {
            started.push(start(plan, component)?);
        }
        objects::dns(plan, root)?;
    }
    await_all(plan, started)?;
    if shape == Shape::Nodes { objects::await_ready(plan) } else { Ok(()) }
}

fn start(plan: &Plan, component: Component) -> Result<(Component, Child)> {
    let child = process::start(plan, &component)?;
    Ok((component, child))
}

fn await_all(plan: &Plan, started: Vec<(Component, Child)>) -> Result<()> {
    let mut pairs = started.into_iter();
    pairs.try_for_each(|(component, child)| {
        process::await_ready(plan, &component, child, START_LIMIT)
    })
}

/// The nodes have folders of their own at some places, and would not see a state below them.
fn may_hold(state: &Path) -> Result<()> {
    for hidden in hold::OWN.iter().chain(&["/run", "/sys", "/proc", "/var/run"]) {
        if state.starts_with(hidden) {
            bail!("{}: a cluster's state can't be below {hidden}", state.display());
        }
    }
    let used = fs::read_dir(state).is_ok_and(|mut entries| entries.next().is_some());
    if used && index::find(state).is_none() && !state.join(clean::MARKER).exists() {
        bail!("{} is not empty and not a cluster's: name another --state", state.display());
    }
    Ok(())
}

/// Makes the state's folder, with the upstream commands under their names.
fn prepare(plan: &Plan, programs: &Programs, shape: Shape) -> Result<()> {
    let state = &plan.state;
    // Of a cluster that a reboot ended.
    if state.join(clean::MARKER).exists() {
        fs::remove_dir_all(state).with_context(|| format!("remove {}", state.display()))?;
    }
    for folder in ["bin", "logs"] {
        let path = plan.path(folder);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    fs::set_permissions(state, Permissions::from_mode(0o711))?;
    fs::write(state.join(clean::MARKER), "`cargo xtask cluster down` removes this folder.\n")?;
    let kind = if shape == Shape::Nodes { "nodes" } else { "control-plane" };
    fs::write(plan.path(SHAPE), kind).context("write the cluster's shape")?;
    fs::write(plan.path("outside"), Family::ALL.map(|family| plan.outside(family)).join("\n"))
        .context("write `outside`")?;
    for command in binary::COMMANDS {
        symlink(&programs.kubernetes, plan.path("bin").join(command))
            .with_context(|| format!("link {command}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_the_nodes_would_not_see_is_refused_and_another_is_not() {
        assert!(may_hold(Path::new("/var/lib/x")).is_err());
        assert!(may_hold(Path::new("/run/x")).is_err());
        assert!(may_hold(Path::new("/var/tmp/no-such-folder-of-sekisho")).is_ok());
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_refused() {
        let error = may_hold(Path::new("/etc")).unwrap_err();
        assert!(error.to_string().contains("not a cluster's"), "{error}");
    }
}
