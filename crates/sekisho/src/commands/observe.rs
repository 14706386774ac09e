//! `sekisho observe`: flows, past and live.

use std::time::Duration;

use sekisho_api::Client;
use sekisho_base::harmless;
use sekisho_model::{EdgeKey, EdgeStats, Flow, Party, PartyKind, Process, Verdict};
use sekisho_system::wait;

use super::{history, output};
use crate::cli::{FlowOutput, ObserveArgs};
use crate::exit::Exit;

const FLOWS_PER_CALL: usize = 5_000;
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// Reads a verdict.
pub(crate) fn verdict(text: &str) -> Result<Verdict, String> {
    match text.to_ascii_lowercase().as_str() {
        "allowed" | "forwarded" => Ok(Verdict::Allowed),
        "denied" | "dropped" => Ok(Verdict::Denied),
        "would_deny" | "would-deny" | "audit" => Ok(Verdict::WouldDeny),
        "unknown" => Ok(Verdict::Unknown),
        _ => Err(format!("`{text}` is not one of allowed, denied, would_deny, unknown")),
    }
}

/// Prints flows: stored minutes for a window, else the flows that the server has in memory.
pub(crate) fn run(args: &ObserveArgs) -> anyhow::Result<Exit> {
    let is_past = args.history.since.is_some() || args.history.store.is_some();
    if is_past && !args.follow {
        return stored(args);
    }
    live(args)
}

fn stored(args: &ObserveArgs) -> anyhow::Result<Exit> {
    let history = history::load(&args.history, args.history.range(history::now()))?;
    let mut rows: Vec<_> =
        history.rows.iter().filter(|row| matches(args, &row.key, None)).collect();
    rows.sort_by_key(|row| row.stats.last_seen);
    let skip = args.last.map_or(0, |last| rows.len().saturating_sub(last));
    for row in rows.into_iter().skip(skip) {
        print(args, &row.key, &row.stats, row)?;
    }
    Ok(history::whole_or_partial(&history))
}

fn live(args: &ObserveArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.history.server.server);
    let (mut cursor, mut missed, mut first) = (0, 0, true);
    loop {
        let mut flows: Vec<Flow> = Vec::new();
        loop {
            let page = history::call(client.flows(cursor, FLOWS_PER_CALL))?;
            missed += if first { 0 } else { page.missed };
            cursor = page.cursor;
            let is_last = page.flows.is_empty();
            let wanted = |flow: &Flow| {
                matches(args, &flow.key, Some((flow.source.ip(), flow.destination.ip())))
            };
            flows.extend(page.flows.into_iter().filter(wanted));
            if is_last {
                break;
            }
        }
        let skip =
            args.last.filter(|_last| first).map_or(0, |last| flows.len().saturating_sub(last));
        for flow in flows.iter().skip(skip) {
            print(args, &flow.key, &flow.stats, flow)?;
        }
        if missed > 0 {
            output::note(&format!("{missed} flows came faster than they could be shown"));
            missed = 0;
        }
        if !args.follow {
            return Ok(Exit::Done);
        }
        first = false;
        wait::pause_for(FOLLOW_PAUSE);
    }
}

fn print(
    args: &ObserveArgs,
    key: &EdgeKey,
    stats: &EdgeStats,
    whole: &impl serde::Serialize,
) -> anyhow::Result<()> {
    match args.output {
        FlowOutput::Json => output::print(&(serde_json::to_string(whole)? + "\n")),
        // A retransmission of a denied attempt is news to programs only.
        FlowOutput::Compact if stats.connections == 0 && stats.packets_sent == 0 => Ok(()),
        FlowOutput::Compact => {
            let line = harmless(&compact(key, stats));
            output::print(&format!("{line}\n"))
        }
    }
}

/// One line for people: when, who, whom, what became of it, why.
fn compact(key: &EdgeKey, stats: &EdgeStats) -> String {
    let end = |party: &Party, process: Option<&Process>| {
        let name = if party.kind == PartyKind::Pod {
            format!("{}/{}", party.workload.namespace, party.pod)
        } else {
            party.to_string()
        };
        let comm = process.map(|process| format!(" ({})", process.comm)).unwrap_or_default();
        name + &comm
    };
    let why = key.decided_by.as_ref().map(|decided| format!(" by {decided}")).unwrap_or_default();
    let service = key.service.as_ref().map(|service| format!(" via {service}")).unwrap_or_default();
    let guess = if key.direction_inferred { " direction inferred" } else { "" };
    let sign = match key.verdict {
        Verdict::Allowed => "->",
        Verdict::Denied => "-x",
        Verdict::WouldDeny => "~>",
        Verdict::Unknown => "-?",
    };
    format!(
        "{} {} {sign} {}:{}/{}{service} {}{why} {} conn {} B out {} B in{guess}",
        stats.last_seen,
        end(&key.source, key.source_process.as_deref()),
        end(&key.destination, key.destination_process.as_deref()),
        key.port,
        key.protocol,
        key.verdict,
        stats.connections,
        stats.bytes_sent,
        stats.bytes_received,
    )
}

type Addresses = Option<(std::net::IpAddr, std::net::IpAddr)>;

fn matches(args: &ObserveArgs, key: &EdgeKey, addresses: Addresses) -> bool {
    let (source, destination) = (&key.source, &key.destination);
    let asked = |wanted: &Option<String>, test: &dyn Fn(&str) -> bool| {
        wanted.as_ref().is_none_or(|wanted| test(wanted))
    };
    let either = |test: &dyn Fn(&Party) -> bool| test(source) || test(destination);
    let source_ip = addresses.map(|(ip, _)| ip).or(source.address);
    let destination_ip = addresses.map(|(_, ip)| ip).or(destination.address);
    asked(&args.from_pod, &|name| is_pod(source, name))
        && asked(&args.to_pod, &|name| is_pod(destination, name))
        && asked(&args.pod, &|name| either(&|party| is_pod(party, name)))
        && asked(&args.from_namespace, &|name| source.workload.namespace == name)
        && asked(&args.to_namespace, &|name| destination.workload.namespace == name)
        && asked(&args.namespace, &|name| either(&|party| party.workload.namespace == name))
        && asked(&args.from_workload, &|name| is_workload(source, name))
        && asked(&args.to_workload, &|name| is_workload(destination, name))
        && args.from_ip.is_none_or(|ip| source_ip == Some(ip))
        && args.to_ip.is_none_or(|ip| destination_ip == Some(ip))
        && asked(&args.to_fqdn, &|name| {
            destination.dns_name.as_deref().is_some_and(|dns| glob(name, dns))
        })
        && args.to_port.is_none_or(|port| key.port == port)
        && args.protocol.is_none_or(|protocol| key.protocol == protocol)
        && args.verdict.is_none_or(|verdict| key.verdict == verdict)
        && asked(&args.process, &|name| {
            let ends = [&key.source_process, &key.destination_process];
            ends.into_iter().flatten().any(|process| is_process(process, name))
        })
        && asked(&args.decided_by, &|name| {
            key.decided_by.as_ref().is_some_and(|decided| decided.policy == name)
        })
}

/// As `hubble observe --pod`: `namespace/prefix`, or a prefix of the name.
fn is_pod(party: &Party, wanted: &str) -> bool {
    match wanted.split_once('/') {
        Some((namespace, name)) => {
            party.workload.namespace == namespace
                && party.pod.starts_with(name)
                && !party.pod.is_empty()
        }
        None => !party.pod.is_empty() && party.pod.starts_with(wanted),
    }
}

fn is_workload(party: &Party, wanted: &str) -> bool {
    match wanted.split_once('/') {
        Some((namespace, name)) => {
            party.workload.namespace == namespace && party.workload.name == name
        }
        None => party.workload.name == wanted,
    }
}

fn is_process(process: &Process, wanted: &str) -> bool {
    let base = process.exe.rsplit('/').next().unwrap_or_default();
    [process.exe.as_str(), base, process.comm.as_str()].into_iter().any(|name| glob(wanted, name))
}

/// Whether `text` fits `pattern`, in which `*` stands for any characters, none included.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_whole_texts_only() {
        for (pattern, text) in [
            ("redis", "redis"),
            ("redis*", "redis-server"),
            ("*.example", "api.pay.example"),
            ("a*b*c", "axxbyyc"),
            ("*", ""),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("redis", "redis-server"), ("*.example", "example"), ("a*b*c", "acb"), ("", "x")]
        {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
