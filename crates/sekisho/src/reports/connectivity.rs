//! Every edge of a scope, and what decides it: evidence for auditors.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sekisho_map::{Map, MapEdge};
use sekisho_model::{Direction, Protocol, Timestamp, Verdict};
use sekisho_verify::{EdgeHits, HitEdge, SetHits, Word};
use serde::{Deserialize, Serialize};

use super::Report;
use super::sheet::{Cell, Sheet};
use super::words::W;

/// Edges told one by one: those with most connections.
const EDGES_MAX: usize = 10_000;

/// The data of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connectivity {
    /// By source, destination, protocol, port and verdict.
    pub(crate) edges: Vec<EdgeLine>,
    /// Edges there are, told or not.
    pub(crate) edges_total: u64,
    /// Connections of all of them.
    pub(crate) connections_total: u64,
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EdgeLine {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// What the kernel did when it was recorded.
    pub(crate) verdict: Verdict,
    pub(crate) connections: u64,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    /// Program at the source and at the destination; empty = nobody saw it.
    pub(crate) processes: Vec<(String, String)>,
    /// DNS names that the source asked for.
    pub(crate) dns_names: Vec<String>,
    /// What the datapath said when it denied, or would have.
    pub(crate) recorded_by: Vec<String>,
    /// What the policies in force now say of these connections: how many they allow and deny; of the
    /// others nobody can tell.
    pub(crate) allowed_now: u64,
    pub(crate) denied_now: u64,
    pub(crate) decided_by: Vec<Decider>,
}

/// A policy in force, or a rule of it, that decides an edge in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decider {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) direction: Direction,
    /// None = it denies by having no rule that allows.
    pub(crate) rule: Option<u32>,
    pub(crate) connections: u64,
}

impl Connectivity {
    /// The edges of `map`, a map by workload, with what `hits` say of each.
    pub(crate) fn new(map: &Map, hits: &SetHits) -> Self {
        let edges_total = map.edges.len() as u64;
        let sum = |sum: u64, edge: &MapEdge| sum.saturating_add(edge.connections);
        let connections_total = map.edges.iter().fold(0, sum);
        let mut chosen: Vec<&MapEdge> = map.edges.iter().collect();
        if chosen.len() > EDGES_MAX {
            chosen.sort_by_key(|edge| Reverse(edge.connections));
            chosen.truncate(EDGES_MAX);
            chosen.sort_by_key(|edge| place(edge));
        }
        let by_place: BTreeMap<&HitEdge, &EdgeHits> =
            hits.edges.iter().map(|(edge, own)| (edge.as_ref(), own)).collect();
        let edges = chosen.into_iter().map(|edge| {
            let key = HitEdge {
                source: edge.source.clone(),
                destination: edge.destination.clone(),
                protocol: edge.protocol,
                port: edge.port,
                verdict: edge.verdict,
            };
            line(edge, by_place.get(&key).copied())
        });
        Self { edges: edges.collect(), edges_total, connections_total }
    }
}

fn place(edge: &MapEdge) -> (String, String, Protocol, u16, Verdict) {
    (edge.source.clone(), edge.destination.clone(), edge.protocol, edge.port, edge.verdict)
}

/// An edge of a map, with what policies say of it.
pub(super) fn line(edge: &MapEdge, hits: Option<&EdgeHits>) -> EdgeLine {
    let process = |name: &Option<String>| name.clone().unwrap_or_default();
    let pairs = edge.processes.iter();
    let deciders = hits.into_iter().flat_map(|own| &own.decided_by);
    EdgeLine {
        source: edge.source.clone(),
        destination: edge.destination.clone(),
        protocol: edge.protocol,
        port: edge.port,
        verdict: edge.verdict,
        connections: edge.connections,
        first_seen: edge.first_seen,
        last_seen: edge.last_seen,
        processes: pairs.map(|pair| (process(&pair.source), process(&pair.destination))).collect(),
        dns_names: edge.dns_names.clone(),
        recorded_by: edge.decided_by.clone(),
        allowed_now: hits.map_or(0, |own| own.allowed),
        denied_now: hits.map_or(0, |own| own.denied),
        decided_by: deciders.map(|(word, connections)| decider(word, *connections)).collect(),
    }
}

fn decider(word: &Word, connections: u64) -> Decider {
    let (policy, direction, rule) = match word {
        Word::Rule(id) => (&id.policy, id.direction, Some(id.index)),
        Word::Isolation(policy, direction) => (policy, *direction, None),
    };
    Decider {
        kind: policy.kind.as_str().to_owned(),
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        direction,
        rule,
        connections,
    }
}

impl Decider {
    /// `shop/db ingress[0]`, as the rules are numbered in the policy's text.
    fn words(&self) -> String {
        let name = match self.namespace.as_str() {
            "" => self.name.clone(),
            namespace => format!("{namespace}/{}", self.name),
        };
        match self.rule {
            Some(rule) => format!("{name} {}[{rule}]", self.direction),
            // By the policy as a whole: no rule of it allows.
            None => format!("{name} {}[]", self.direction),
        }
    }
}

/// Programs at both ends.
fn process(pair: &(String, String)) -> String {
    let name = |text: &str| if text.is_empty() { "?".to_owned() } else { text.to_owned() };
    format!("{} → {}", name(&pair.0), name(&pair.1))
}

/// The columns of edges that all sheets of edges have.
pub(super) const COLUMNS: [W; 9] = [
    W::Source,
    W::Destination,
    W::Port,
    W::Processes,
    W::Connections,
    W::FirstSeen,
    W::LastSeen,
    W::Verdict,
    W::RecordedBy,
];

/// The cells of [`COLUMNS`].
pub(super) fn cells(edge: &EdgeLine) -> Vec<Cell> {
    let names = edge.dns_names.iter().map(|name| format!("({name})"));
    vec![
        Cell::Text(edge.source.clone()),
        Cell::Lines(std::iter::once(edge.destination.clone()).chain(names).collect()),
        Cell::Text(format!("{} {}", edge.protocol, edge.port)),
        Cell::Lines(edge.processes.iter().map(process).collect()),
        Cell::Number(edge.connections),
        Cell::Time(edge.first_seen),
        Cell::Time(edge.last_seen),
        Cell::Word(W::verdict(edge.verdict)),
        Cell::Lines(edge.recorded_by.clone()),
    ]
}

impl Report for Connectivity {
    fn sheets(&self) -> Vec<Sheet> {
        let rows = self.edges.iter().map(|edge| {
            let mut row = cells(edge);
            row.push(match edge.decided_by.is_empty() {
                true => Cell::Word(W::NobodyDecides),
                false => Cell::Lines(edge.decided_by.iter().map(Decider::words).collect()),
            });
            row
        });
        let columns = [COLUMNS.as_slice(), &[W::DecidedBy]].concat();
        vec![Sheet::new(W::Edges, &columns, rows.collect()).of(self.edges_total)]
    }
}
