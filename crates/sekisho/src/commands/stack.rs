//! Lab, server and agents together, and their orderly end.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use sekisho_api::Client;
use sekisho_lab::{Lab, LabNodeKind, LabOptions};
use sekisho_manifest::Object;
use sekisho_system::{process, terminate, wait};

use super::{history, output};

/// How long a role may take to end by itself.
const GRACE: Duration = Duration::from_secs(8);
const SERVER_WAIT: Duration = Duration::from_secs(30);
const AGENTS_WAIT: Duration = Duration::from_secs(60);

/// A running lab, with roles or without.
pub(crate) struct Stack {
    lab: Lab,
    agents: Vec<Child>,
    server: Option<Child>,
}

/// What to bring up.
pub(crate) struct StackOptions<'a> {
    pub(crate) state: &'a Path,
    pub(crate) socket: &'a Path,
    /// None = the shop scenario.
    pub(crate) manifests: Option<Vec<Object>>,
    pub(crate) bare: bool,
    /// Where the console is served; None = nowhere.
    pub(crate) web: Option<SocketAddr>,
}

impl Stack {
    /// Brings everything up; on failure nothing stays.
    pub(crate) fn up(options: &StackOptions<'_>) -> anyhow::Result<Self> {
        sekisho_lab::clean_leftovers(options.state).context("clean up what an earlier lab left")?;
        let manifests = match &options.manifests {
            Some(objects) => objects.clone(),
            None => sekisho_lab::shop()?,
        };
        let lab = Lab::up(LabOptions {
            state_dir: options.state.to_owned(),
            // Agents first: the map knows every connection from the first on.
            hold: true,
            ..LabOptions::new(manifests)
        })?;
        let mut stack = Self { lab, agents: Vec::new(), server: None };
        if !options.bare
            && let Err(error) = stack.start_roles(options)
        {
            stack.down();
            return Err(error);
        }
        stack.lab.release();
        Ok(stack)
    }

    /// The lab.
    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    fn start_roles(&mut self, options: &StackOptions<'_>) -> anyhow::Result<()> {
        let state = options.state;
        let log = |name: &str| -> anyhow::Result<File> {
            let path = state.join(format!("{name}.log"));
            File::create(&path).with_context(|| format!("write `{}`", path.display()))
        };
        let data = state.join("history");
        let journal = state.join("journal.jsonl");
        let mut server = vec![
            ("--socket", options.socket.to_owned()),
            ("--data-dir", data),
            ("--journal", journal),
        ];
        if let Some(wanted) = options.web {
            server.push(("--web-listen", free(wanted).to_string().into()));
        }
        self.server = Some(role("server", &server, log("server")?)?);
        self.await_server(options.socket)?;
        let mount = sekisho_system::cgroup::mount_point()?;
        for node in self.lab.nodes() {
            let mut flags = vec![
                ("--node", PathBuf::from(&node.name)),
                ("--cgroup", mount.join(node.cgroup.trim_start_matches('/'))),
                ("--netns", node.netns.clone()),
                ("--server", options.socket.to_owned()),
            ];
            if node.kind == LabNodeKind::Host {
                flags.push(("--host", PathBuf::new()));
            }
            self.agents.push(role("agent", &flags, log(&format!("agent-{}", node.name))?)?);
        }
        self.await_agents(options)
    }

    fn await_server(&mut self, socket: &Path) -> anyhow::Result<()> {
        let server = self.server.as_mut().context("the server was started above")?;
        let up = wait::until(SERVER_WAIT, || {
            if let Ok(Some(status)) = server.try_wait() {
                return Some(Err(status));
            }
            history::call(Client::new(socket).status()).ok().map(|_status| Ok(()))
        });
        match up {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => {
                bail!("the server ended with {status}; see server.log in the state folder")
            }
            None => bail!("the server did not answer within {} s", SERVER_WAIT.as_secs()),
        }
    }

    fn await_agents(&mut self, options: &StackOptions<'_>) -> anyhow::Result<()> {
        let expected = self.agents.len();
        let client = Client::new(options.socket);
        let agents = &mut self.agents;
        let up = wait::until(AGENTS_WAIT, || {
            for agent in agents.iter_mut() {
                if let Ok(Some(status)) = agent.try_wait() {
                    return Some(Err(status));
                }
            }
            let heard = history::call(client.status()).map_or(0, |status| status.agents.len());
            (heard >= expected).then_some(Ok(()))
        });
        match up {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => {
                let log = last_words(options.state);
                bail!("an agent ended with {status}: {log}")
            }
            None => bail!("not all agents reported within {} s", AGENTS_WAIT.as_secs()),
        }
    }

    /// Ends agents, server and lab, in this order.
    pub(crate) fn down(mut self) {
        std::thread::scope(|scope| {
            for agent in &mut self.agents {
                scope.spawn(|| terminate(agent, GRACE));
            }
        });
        if let Some(server) = &mut self.server {
            terminate(server, GRACE);
        }
        if let Err(error) = self.lab.down() {
            output::note(&format!("sekisho: {}", sekisho_base::error_chain(&error)));
        }
    }
}

/// The address, or another port of it where somebody has that one.
fn free(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Ok(_free) => wanted,
        Err(_in_use) => SocketAddr::new(wanted.ip(), 0),
    }
}

/// Starts a role in a process group of its own: Ctrl-C is for us, and we end it in order.
fn role(name: &str, flags: &[(&str, PathBuf)], log: File) -> anyhow::Result<Child> {
    let program = process::own_program().context("find our own program")?;
    let mut command = process::prepare(program);
    command.arg(name).arg("--die-with-parent");
    for (flag, value) in flags {
        command.arg(flag);
        if !value.as_os_str().is_empty() {
            command.arg(value);
        }
    }
    let errors = log.try_clone().context("open the log twice")?;
    command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
    command.spawn().with_context(|| format!("start the {name}"))
}

/// The last line of any agent's log.
fn last_words(state: &Path) -> String {
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("agent-"));
    let lines = logs.filter_map(|entry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        text.lines().rev().find(|line| line.contains("sekisho:")).map(str::to_owned)
    });
    lines.collect::<Vec<_>>().join("; ")
}
