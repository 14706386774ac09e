//! `sekisho policy`: questions about policies, on files alone; no root, no server.

use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};
use sekisho_manifest::Object;
use sekisho_model::Protocol;
use sekisho_policy::{Cluster, Connection, Peer, RuleSet};

use super::{input, output};
use crate::cli::PolicyCommand;
use crate::exit::Exit;

/// Answers a question.
pub(crate) fn run(command: &PolicyCommand) -> anyhow::Result<Exit> {
    match command {
        PolicyCommand::Decide { files, flows } => {
            let (rules, cluster) = load(&input::lenient(files)?);
            decide(&rules, &cluster, flows)
        }
        PolicyCommand::Explain { files, from, to, port, protocol } => {
            let (rules, cluster) = load(&input::lenient(files)?);
            let question = Question { from, to, port: *port, protocol: *protocol };
            explain(&rules, &cluster, &question)
        }
        PolicyCommand::Check { files } => check(&input::objects(files)?),
    }
}

fn load(objects: &[Object]) -> (RuleSet, Cluster) {
    let policies = objects.iter().filter_map(|object| match object {
        Object::NetworkPolicy(policy) => Some(policy.clone()),
        _other => None,
    });
    (RuleSet::new(policies), Cluster::from_objects(objects))
}

/// A verdict per line; `Partial` if a line could not be decided.
fn decide(rules: &RuleSet, cluster: &Cluster, flows: &Path) -> anyhow::Result<Exit> {
    let input: Box<dyn Read> = if flows == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = std::fs::File::open(flows);
        Box::new(file.with_context(|| format!("read `{}`", flows.display()))?)
    };
    let mut exit = Exit::Done;
    for line in BufReader::new(input).lines() {
        let line = line.with_context(|| format!("read `{}`", flows.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let (answer, decided) = sekisho_policy::decide_line(rules, cluster, &line);
        output::print(&(answer + "\n"))?;
        if !decided {
            exit = Exit::Partial;
        }
    }
    Ok(exit)
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

fn check(objects: &[Object]) -> anyhow::Result<Exit> {
    let unknown = objects.iter().filter(|object| matches!(object, Object::Other(_))).count();
    output::print(&format!(
        "{} objects read, {unknown} of kinds that Sekisho does not use\n",
        objects.len()
    ))?;
    Ok(Exit::Done)
}
