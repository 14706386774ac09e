//! Edges of a scene: the map's, joined over ports.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Protocol, Verdict};

use super::fold::Folds;
use super::lattice::hash;
use super::shape::{Encryption, PORTS_PER_EDGE_MAX, PROCESSES_PER_END_MAX, SceneEdge, ScenePort};
use crate::{Map, MapEdge, ProcessPair};

/// Joins the edges of `map` whose ends are both in `shown`; also the number of all joined ones.
pub(crate) fn joined(
    map: &Map,
    folds: &Folds<'_>,
    shown: &BTreeSet<&str>,
    most: usize,
) -> (Vec<SceneEdge>, usize) {
    let mut groups: BTreeMap<(&str, &str, Verdict), Vec<&MapEdge>> = BTreeMap::new();
    for edge in &map.edges {
        let ends = (folds.id(&edge.source), folds.id(&edge.destination));
        groups.entry((ends.0, ends.1, edge.verdict)).or_default().push(edge);
    }
    let total = groups.len();
    let mut edges: Vec<SceneEdge> = groups
        .iter()
        .filter(|((source, destination, _), _)| {
            shown.contains(source) && shown.contains(destination)
        })
        .filter_map(|((source, destination, _), rows)| one(source, destination, rows))
        .collect();
    if edges.len() > most {
        edges.sort_by_key(|edge| std::cmp::Reverse((weight(edge.verdict), edge.connections)));
        edges.truncate(most);
        edges.sort_by(|a, b| place(a).cmp(&place(b)));
    }
    (edges, total)
}

fn place(edge: &SceneEdge) -> (&str, &str, Verdict) {
    (&edge.source, &edge.destination, edge.verdict)
}

/// What must not be left out comes first.
fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Denied => 3,
        Verdict::WouldDeny => 2,
        Verdict::Unknown => 1,
        Verdict::Allowed => 0,
    }
}

fn one(source: &str, destination: &str, rows: &[&MapEdge]) -> Option<SceneEdge> {
    let (first, rest) = rows.split_first()?;
    let name = format!("{source}\0{destination}\0{}", first.verdict);
    let mut edge = SceneEdge {
        id: format!("{:016x}", hash(name.as_bytes())),
        source: source.to_owned(),
        destination: destination.to_owned(),
        verdict: first.verdict,
        ports: Vec::new(),
        source_processes: executables(rows, |pair| pair.source.as_deref()),
        destination_processes: executables(rows, |pair| pair.destination.as_deref()),
        ends_seen: ends_seen(rows),
        encryption: encryption(rows),
        rows: rows.len(),
        connections: first.connections,
        bytes: first.bytes_sent.saturating_add(first.bytes_received),
        resets: first.resets,
        first_seen: first.first_seen,
        last_seen: first.last_seen,
        direction_inferred: first.direction_inferred,
        loss: first.loss,
    };
    for row in rest {
        edge.connections = edge.connections.saturating_add(row.connections);
        let bytes = row.bytes_sent.saturating_add(row.bytes_received);
        edge.bytes = edge.bytes.saturating_add(bytes);
        edge.resets = edge.resets.saturating_add(row.resets);
        edge.first_seen = edge.first_seen.min(row.first_seen);
        edge.last_seen = edge.last_seen.max(row.last_seen);
        edge.direction_inferred &= row.direction_inferred;
        edge.loss |= row.loss;
    }
    let ports: BTreeSet<ScenePort> =
        rows.iter().map(|row| ScenePort { protocol: row.protocol, port: row.port }).collect();
    edge.ports = ports.into_iter().take(PORTS_PER_EDGE_MAX).collect();
    Some(edge)
}

fn executables(rows: &[&MapEdge], end: fn(&ProcessPair) -> Option<&str>) -> Vec<String> {
    let all: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.processes.iter().filter_map(end)).collect();
    all.into_iter().take(PROCESSES_PER_END_MAX).map(str::to_owned).collect()
}

/// The ends whose process was seen in each row.
fn ends_seen(rows: &[&MapEdge]) -> u8 {
    let each = |is_seen: fn(&ProcessPair) -> bool| {
        rows.iter().all(|row| !row.processes.is_empty() && row.processes.iter().all(is_seen))
    };
    u8::from(each(|pair| pair.source.is_some())) + u8::from(each(|pair| pair.destination.is_some()))
}

fn encryption(rows: &[&MapEdge]) -> Encryption {
    let mut all = rows.iter().map(|row| of_port(row.protocol, row.port));
    let first = all.next().unwrap_or(Encryption::Unknown);
    all.fold(first, |sum, one| match (sum, one) {
        (Encryption::Unknown, _) | (_, Encryption::Unknown) => Encryption::Unknown,
        (sum, one) if sum == one => sum,
        _ => Encryption::Mixed,
    })
}

/// What a port says. Only protocols of which it is sure: those that begin in clear and may be encrypted
/// later (STARTTLS, most databases) are unknown.
fn of_port(protocol: Protocol, port: u16) -> Encryption {
    match (protocol, port) {
        // ssh, https, submissions, ldaps, domain-s, ftps, telnets, imaps, pop3s, docker-s, amqps, sips,
        // Kubernetes' API server, syslog-tls, secure-mqtt, kubelet.
        (
            Protocol::Tcp,
            22 | 443 | 465 | 636 | 853 | 989 | 990 | 992 | 993 | 995 | 2376 | 5061 | 5671 | 6443
            | 6514 | 8883 | 10250,
        ) => Encryption::Encrypted,
        // QUIC, DNS over QUIC.
        (Protocol::Udp, 443 | 853) => Encryption::Encrypted,
        // ftp, telnet, domain, http, mqtt.
        (Protocol::Tcp, 21 | 23 | 53 | 80 | 1883) => Encryption::Clear,
        // domain, tftp, ntp, snmp, syslog, statsd.
        (Protocol::Udp, 53 | 69 | 123 | 161 | 514 | 8125) => Encryption::Clear,
        _ => Encryption::Unknown,
    }
}
