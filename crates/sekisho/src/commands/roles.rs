//! `sekisho agent` and `sekisho server`: flags over configuration.

use std::collections::BTreeMap;

use sekisho_model::ClusterName;

use crate::agent::{self, AgentOptions};
use crate::cli::{AgentArgs, ServerArgs};
use crate::config::{ClusterConfig, Config, Kubernetes};
use crate::exit::Exit;
use crate::server;

/// Runs an agent until it is told to stop.
pub(crate) fn agent(args: &AgentArgs, config: &Config) -> anyhow::Result<Exit> {
    if args.die_with_parent {
        sekisho_system::die_with_parent()?;
    }
    let mut options = config.agent.clone();
    options.node = args.node.clone().or(options.node);
    options.cluster = args.cluster.clone().unwrap_or(options.cluster);
    options.cgroup = args.cgroup.clone().or(options.cgroup);
    options.netns = args.netns.clone().or(options.netns);
    options.cri = args.cri.clone().or(options.cri);
    options.host |= args.host;
    options.server = args.server.clone().unwrap_or(options.server);
    options.tls.server_name = args.tls_server_name.clone().or(options.tls.server_name);
    options.tls = args.tls.over(options.tls);
    options.token = args.token.clone().or(options.token);
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
    options.web_listen = args.web_listen.clone().unwrap_or(options.web_listen);
    options.data_dir = args.data_dir.clone().unwrap_or(options.data_dir);
    for (name, mut source) in sources(args) {
        // The source that flags name holds instead of the one that is configured.
        let configured = options.clusters.remove(&name);
        if name.is_default() {
            (options.journal, options.kubernetes) = (source.journal, source.kubernetes);
        } else {
            if let Some(configured) = configured {
                source.enforcement = configured.enforcement;
                source.agent_account = configured.agent_account;
            }
            options.clusters.insert(name, source);
        }
    }
    for name in &args.cluster {
        options.clusters.entry(name.clone()).or_default();
    }
    server::run(&options)?;
    Ok(Exit::Done)
}

/// The clusters that flags name a source of.
fn sources(args: &ServerArgs) -> BTreeMap<ClusterName, ClusterConfig> {
    let mut all: BTreeMap<ClusterName, ClusterConfig> = BTreeMap::new();
    for text in &args.journal {
        let (name, path) = named(text);
        all.entry(name).or_default().journal = Some(path.into());
    }
    for text in &args.kubernetes {
        let (name, path) = named(text);
        all.entry(name).or_default().kubernetes = match path {
            "" => Kubernetes::On(true),
            path => Kubernetes::Kubeconfig(path.into()),
        };
    }
    all
}

/// `NAME=FILE`, or the file alone. A file whose own name has such a beginning is written `./FILE`.
fn named(text: &str) -> (ClusterName, &str) {
    let split = text.split_once('=').and_then(|(name, path)| Some((name.parse().ok()?, path)));
    split.unwrap_or_else(|| (ClusterName::default(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_before_a_file_is_told_from_a_file_alone() {
        let parts = |text| {
            let (name, path) = named(text);
            (name.to_string(), path.to_owned())
        };
        for (text, name, path) in [
            ("", "default", ""),
            ("/k", "default", "/k"),
            ("east=/k", "east", "/k"),
            ("east=", "east", ""),
            ("east=/a=b", "east", "/a=b"),
            ("/a=b", "default", "/a=b"),
            ("./a=b", "default", "./a=b"),
        ] {
            assert_eq!(parts(text), (name.to_owned(), path.to_owned()), "{text}");
        }
    }
}
