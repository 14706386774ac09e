//! One pair of nodes.

use sekisho_api::{Account, EdgeQuestion, MapQuestion, Refusal};
use sekisho_map::{MapEdge, MapNode};
use sekisho_model::{TimeRange, Timestamp};
use serde::Serialize;

use crate::server::fleet::Fleet;

/// All edges of a pair.
#[derive(Debug, Serialize)]
pub(super) struct Edge {
    window: TimeRange,
    completeness: f64,
    source: MapNode,
    destination: MapNode,
    /// One for each protocol, port and verdict.
    rows: Vec<MapEdge>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    /// Policies and rules that denied or would deny some of it.
    decided_by: Vec<String>,
}

impl Fleet {
    /// The pair that is asked for.
    pub(super) fn edge(&self, account: &Account, of: &EdgeQuestion) -> Result<Edge, Refusal> {
        let map = self.map(account, &MapQuestion { top: None, order: None, ..of.map.clone() })?;
        let node = |id: &str| map.nodes.iter().find(|node| node.id == id).cloned();
        let between =
            |edge: &&MapEdge| edge.source == of.source && edge.destination == of.destination;
        let rows: Vec<MapEdge> = map.edges.iter().filter(between).cloned().collect();
        let first_seen = rows.iter().map(|row| row.first_seen).min();
        let last_seen = rows.iter().map(|row| row.last_seen).max();
        let (Some(source), Some(destination), Some(first_seen), Some(last_seen)) =
            (node(&of.source), node(&of.destination), first_seen, last_seen)
        else {
            return Err(Refusal::Unknown(format!(
                "no connection from `{}` to `{}` was seen in this window",
                of.source, of.destination
            )));
        };
        let mut decided_by: Vec<String> =
            rows.iter().flat_map(|row| row.decided_by.iter().cloned()).collect();
        decided_by.sort_unstable();
        decided_by.dedup();
        let (window, completeness) = (map.window, map.completeness.ratio);
        Ok(Edge {
            window,
            completeness,
            source,
            destination,
            rows,
            first_seen,
            last_seen,
            decided_by,
        })
    }
}
