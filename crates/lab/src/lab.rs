//! Brings a lab up and down.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_base::error_chain;
use sekisho_manifest::{Host, Object};
use sekisho_system::cgroup::{self, CgroupError};
use sekisho_system::{netns, process};

use crate::cleanup::{CleanupError, Janitor, Lock, claim, clean};
use crate::control::{
    LabNode, LabNodeKind, LabStatus, ScenarioError, Start, Supervisor, is_internet, validate,
};
use crate::plan::{self, NODES_MAX, Names, StateDir};
use crate::protocol::NodeConfig;
use crate::topology::{self, Member, TopologyError};

/// Where a lab keeps its state if nothing else is said.
pub const DEFAULT_STATE_DIR: &str = "/run/sekisho/lab";

/// What a lab is made of.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Folder for journal, sockets, logs and pods' files; removed at the end.
    pub state_dir: PathBuf,
    /// The scenario.
    pub manifests: Vec<Object>,
    /// Nodes, from 1 to [`NODES_MAX`].
    pub nodes: usize,
    /// The binary that answers to `__lab` and `workload`; None = the running one.
    pub program: Option<PathBuf>,
    /// Make nodes and hosts, but run nothing on them until [`Lab::release`]: so agents can watch
    /// from the first connection.
    pub hold: bool,
}

impl LabOptions {
    /// Two nodes, the default state folder, the running binary.
    #[must_use]
    pub fn new(manifests: Vec<Object>) -> Self {
        Self {
            state_dir: PathBuf::from(DEFAULT_STATE_DIR),
            manifests,
            nodes: 2,
            program: None,
            hold: false,
        }
    }
}

/// A lab could not be brought up. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The user may not make namespaces.
    #[error("the lab needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN: run it with sudo")]
    Privilege,
    /// A program that the lab runs is not installed.
    #[error("the lab needs `{program}`: apt-get install {package}")]
    ProgramMissing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The number of nodes is out of bounds.
    #[error("{nodes} nodes; from 1 to {NODES_MAX} are possible")]
    NodeCount {
        /// What was asked for.
        nodes: usize,
    },
    /// The scenario is wrong.
    #[error("{}", list(.0))]
    Scenario(Vec<ScenarioError>),
    /// What an earlier lab left behind could not be removed, or a lab is running.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// The network could not be made.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A cgroup could not be made.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A file or process could not be made.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
}

fn list(errors: &[ScenarioError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A running lab; it ends when this is dropped.
#[derive(Debug)]
pub struct Lab {
    state: StateDir,
    nodes: Vec<LabNode>,
    supervisor: Supervisor,
    janitor: Janitor,
    /// Fields are dropped in order: the lock goes last.
    lock: Option<Lock>,
}

impl Lab {
    /// Brings a lab up: network, nodes, hosts, and a first pass over the scenario. Pods may not
    /// be ready yet, see [`Lab::wait_ready`].
    ///
    /// # Errors
    /// [`LabError`]; what was made until then is removed.
    pub fn up(options: LabOptions) -> Result<Self, LabError> {
        let LabOptions { state_dir, manifests, nodes, program, hold } = options;
        if nodes == 0 || nodes > NODES_MAX {
            return Err(LabError::NodeCount { nodes });
        }
        validate(&manifests).map_err(LabError::Scenario)?;
        check_machine()?;
        let io_error = |action: &str| {
            let action = action.to_owned();
            move |cause| LabError::Io { action, cause }
        };
        let own = process::own_program().map_err(io_error("find the running binary"))?;
        let program = program.unwrap_or(own);
        let lock = Lock::take(&state_dir)?;
        clean(&state_dir)?;
        claim(&state_dir)?;
        let state = StateDir::new(&state_dir);
        for folder in [state.logs(), state.shared()] {
            fs::create_dir_all(&folder)
                .map_err(io_error(&format!("make folder `{}`", folder.display())))?;
        }
        let mut janitor =
            Janitor::start(&program, &state_dir).map_err(io_error("start the janitor process"))?;
        let made = build(&state, (program, hold), manifests, nodes);
        match made {
            Ok((nodes, supervisor)) => {
                Ok(Self { state, nodes, supervisor, janitor, lock: Some(lock) })
            }
            Err(error) => {
                if let Err(cleanup) = clean(&state_dir) {
                    tracing::error!(error = error_chain(&cleanup), "could not clean up");
                }
                janitor.dismiss();
                drop(lock);
                Err(error)
            }
        }
    }

    /// Starts the pods and hosts that [`LabOptions::hold`] held back.
    pub fn release(&self) {
        self.supervisor.release();
    }

    /// Nodes and hosts, in the order of nodes.json.
    #[must_use]
    pub fn nodes(&self) -> &[LabNode] {
        &self.nodes
    }

    /// The state folder.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// The current state.
    #[must_use]
    pub fn status(&self) -> LabStatus {
        self.supervisor.shared.status()
    }

    /// Waits until every workload has its ready pods and every host runs; false after `deadline`
    /// (then [`Lab::status`] tells what is missing).
    #[must_use]
    pub fn wait_ready(&self, deadline: Duration) -> bool {
        self.supervisor.shared.wait(deadline, |status, _| status.ready)
    }

    /// Waits until somebody asks the lab to end over its socket; false after `deadline`.
    #[must_use]
    pub fn wait_down_requested(&self, deadline: Duration) -> bool {
        self.supervisor.shared.wait(deadline, |_, down| down)
    }

    /// Ends the lab and removes everything it made.
    ///
    /// # Errors
    /// What could not be removed; the janitor tries once more.
    pub fn down(mut self) -> Result<(), CleanupError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), CleanupError> {
        if self.lock.is_none() {
            return Ok(());
        }
        let names = Names::of(self.state.path());
        // Dead pods first: a supervisor that sees its kubelets die would start them anew.
        self.supervisor.stop();
        tracing::debug!(cgroup = names.cgroup(), "clean");
        let cleaned = clean(self.state.path());
        if cleaned.is_ok() {
            self.janitor.dismiss();
        }
        self.lock = None;
        cleaned
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(error = error_chain(&error), "could not clean up after the lab");
        }
    }
}

/// Says in one line what the machine lacks.
fn check_machine() -> Result<(), LabError> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if process::find_program(program, &path).is_none() {
            return Err(LabError::ProgramMissing { program, package });
        }
    }
    // The right itself is asked for, not the user id: containers may have one without the other.
    let allowed = std::thread::spawn(|| {
        let flags = nix::sched::CloneFlags::CLONE_NEWNET | nix::sched::CloneFlags::CLONE_NEWNS;
        nix::sched::unshare(flags).is_ok()
    });
    if allowed.join().unwrap_or(false) { Ok(()) } else { Err(LabError::Privilege) }
}

/// Makes network, cgroups and supervisor.
fn build(
    state: &StateDir,
    (program, hold): (PathBuf, bool),
    mut objects: Vec<Object>,
    nodes: usize,
) -> Result<(Vec<LabNode>, Supervisor), LabError> {
    let names = Names::of(state.path());
    let mount = cgroup::mount_point()?;
    let mut members: Vec<Member> = (1..=nodes)
        .map(|number| {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            let (v4, v6) = plan::node_addresses(number);
            Member { name: format!("node-{number}"), v4, v6, node: Some(number), extra: Vec::new() }
        })
        .collect();
    let mut internet = Vec::new();
    let mut numbers = 1..=u8::MAX;
    for host in hosts(&mut objects) {
        if is_internet(host) {
            internet.extend(host.addresses.iter().copied());
        } else {
            members.push(host_member(host, numbers.next().unwrap_or(u8::MAX)));
        }
    }
    internet.sort();
    internet.dedup();
    topology::make(&names, &members, &internet)?;
    let mut started = Vec::new();
    for member in &members {
        let public = public_node(&names, member);
        cgroup::create(&mount.join(public.cgroup.trim_start_matches('/')))?;
        started.push((public, config_of(&names, &mount, &member.name, (member.v4, member.v6))));
    }
    let public: Vec<LabNode> = started.iter().map(|(public, _)| public.clone()).collect();
    let outside = Member {
        name: "internet".to_owned(),
        v4: std::net::Ipv4Addr::LOCALHOST,
        v6: std::net::Ipv6Addr::LOCALHOST,
        node: None,
        extra: Vec::new(),
    };
    let config = config_of(&names, &mount, &outside.name, (outside.v4, outside.v6));
    started.push((public_node(&names, &outside), config));
    let start = Start {
        state: state.clone(),
        cgroup_root: mount.join(names.cgroup().trim_start_matches('/')),
        hold,
        program,
        members: started,
        objects,
    };
    let supervisor = Supervisor::start(start)
        .map_err(|cause| LabError::Io { action: "start the supervisor".to_owned(), cause })?;
    Ok((public, supervisor))
}

fn hosts(objects: &mut [Object]) -> impl Iterator<Item = &mut Host> {
    objects.iter_mut().filter_map(|object| match object {
        Object::Host(host) => Some(host),
        _ => None,
    })
}

/// A host on the fabric; its manifest learns the addresses it was given.
fn host_member(host: &mut Host, number: u8) -> Member {
    let (v4, v6) = plan::host_addresses(number);
    let extra = host.addresses.clone();
    if extra.is_empty() {
        host.addresses = vec![IpAddr::V4(v4), IpAddr::V6(v6)];
    }
    Member { name: host.meta.name.clone(), v4, v6, node: None, extra }
}

fn public_node(names: &Names, member: &Member) -> LabNode {
    let mut addresses = member.extra.clone();
    if addresses.is_empty() {
        addresses = vec![member.v4.into(), member.v6.into()];
    }
    LabNode {
        name: member.name.clone(),
        kind: if member.node.is_some() { LabNodeKind::Node } else { LabNodeKind::Host },
        netns: netns::path(&names.netns(&member.name)),
        cgroup: names.node_cgroup(&member.name),
        addresses,
        pod_cidrs: member.node.map(|number| plan::pod_cidrs(number).to_vec()).unwrap_or_default(),
    }
}

fn config_of(
    names: &Names,
    mount: &Path,
    name: &str,
    (v4, v6): (std::net::Ipv4Addr, std::net::Ipv6Addr),
) -> NodeConfig {
    NodeConfig {
        name: name.to_owned(),
        netns: netns::path(&names.netns(name)),
        cgroup: mount.join(names.node_cgroup(name).trim_start_matches('/')).join("kubelet"),
        v4,
        v6,
    }
}
