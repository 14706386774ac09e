//! Edges of a scene: the map's, joined over ports.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::Verdict;

use super::fold::Folds;
use super::lattice::hash;
use super::shape::{PORTS_PER_EDGE_MAX, SceneEdge, ScenePort};
use crate::{Map, MapEdge};

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
