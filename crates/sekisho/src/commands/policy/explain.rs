//! `sekisho policy explain`.

use std::net::IpAddr;

use anyhow::{Context, bail};
use clap::Args;
use sekisho_model::Protocol;
use sekisho_policy::{Cluster, Connection, Dialect, Peer, RuleSet};

use super::input::SourceArgs;
use crate::commands::output;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Source: namespace/name of a pod or workload, or an address.
    #[arg(long, value_name = "A")]
    from: String,
    /// Destination, in the same forms.
    #[arg(long, value_name = "B")]
    to: String,
    /// Destination port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Protocol.
    #[arg(long, default_value = "tcp")]
    protocol: Protocol,
}

/// Explains one connection.
pub(crate) fn run(args: &ExplainArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    let source = args.source.load(dialect)?;
    let (from, to) = (args.from.as_str(), args.to.as_str());
    let question = Question { from, to, port: args.port, protocol: args.protocol };
    explain(&source.rules, &source.cluster, &question)
}

struct Question<'a> {
    from: &'a str,
    to: &'a str,
    port: u16,
    protocol: Protocol,
}

fn explain(rules: &RuleSet, cluster: &Cluster, question: &Question<'_>) -> anyhow::Result<Exit> {
    let connection = Connection {
        source: peer(cluster, question.from)?,
        destination: peer(cluster, question.to)?,
        source_address: None,
        destination_address: None,
        protocol: question.protocol,
        port: question.port,
    };
    let explanation = sekisho_policy::explain(rules, cluster, &connection);
    output::print(&format!("{explanation}\n"))?;
    let allowed = rules.decide(cluster, &connection).allows();
    Ok(if allowed { Exit::Done } else { Exit::Found })
}

fn peer<'a>(cluster: &'a Cluster, text: &str) -> anyhow::Result<Peer<'a>> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(cluster.endpoint_at(address).map_or(Peer::Address(address), Peer::Endpoint));
    }
    let Some((namespace, name)) = text.split_once('/') else {
        bail!("`{text}` is neither an address nor `namespace/name` of a pod or workload");
    };
    let found = cluster
        .endpoint_of_pod(namespace, name)
        .or_else(|| cluster.endpoint_of_workload(namespace, name));
    found.map(Peer::Endpoint).with_context(|| format!("no pod or workload `{text}` in the files"))
}
