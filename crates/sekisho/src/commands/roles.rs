//! `sekisho agent` and `sekisho server`: flags over configuration.

use crate::agent::{self, AgentOptions};
use crate::cli::{AgentArgs, ServerArgs};
use crate::config::{Config, Kubernetes};
use crate::exit::Exit;
use crate::server;

/// Runs an agent until it is told to stop.
pub(crate) fn agent(args: &AgentArgs, config: &Config) -> anyhow::Result<Exit> {
    if args.die_with_parent {
        sekisho_system::die_with_parent()?;
    }
    let mut options = config.agent.clone();
    options.node = args.node.clone().or(options.node);
    options.cgroup = args.cgroup.clone().or(options.cgroup);
    options.netns = args.netns.clone().or(options.netns);
    options.cri = args.cri.clone().or(options.cri);
    options.host |= args.host;
    options.server = args.server.clone().unwrap_or(options.server);
    options.tls.server_name = args.tls_server_name.clone().or(options.tls.server_name);
    options.tls = args.tls.over(options.tls);
    options.health_listen = args.health_listen.clone().unwrap_or(options.health_listen);
    agent::run(&AgentOptions::complete(options)?)?;
    Ok(Exit::Done)
}

/// Runs a server until it is told to stop.
pub(crate) fn server(args: &ServerArgs, config: &Config) -> anyhow::Result<Exit> {
    if args.die_with_parent {
        sekisho_system::die_with_parent()?;
    }
    let mut options = config.server.clone();
    options.socket = args.socket.clone().unwrap_or(options.socket);
    options.listen = args.listen.clone().unwrap_or(options.listen);
    options.tls = args.tls.over(options.tls);
    options.health_listen = args.health_listen.clone().unwrap_or(options.health_listen);
    options.data_dir = args.data_dir.clone().unwrap_or(options.data_dir);
    options.journal = args.journal.clone().or(options.journal);
    options.kubernetes = match &args.kubernetes {
        Some(path) if path.is_empty() => Kubernetes::On(true),
        Some(path) => Kubernetes::Kubeconfig(path.into()),
        // A journal that is asked for wins over a cluster that is only configured.
        None if args.journal.is_some() => Kubernetes::On(false),
        None => options.kubernetes,
    };
    server::run(&options)?;
    Ok(Exit::Done)
}
