//! Sums stored rows into a map.
//!
//! The sum is a commutative, associative fold per edge, so neither the order of the rows nor how
//! they were split over minutes, segments or reporters changes the result.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{
    Completeness, EdgeDay, EdgeKey, EdgeStats, Labels, Party, PartyKind, Process, Protocol,
    TimeRange, Timestamp, Verdict,
};

use crate::group::{NodeName, node_name};
use crate::{Hidden, Map, MapEdge, MapNode, MapOptions, Order, ProcessPair, Top};

/// Labels that controllers generate: they differ between pods or revisions of one workload.
const GENERATED_LABELS: [&str; 10] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/job-completion-index",
    "controller-uid",
    "job-name",
];

type EdgeId = (String, String, Protocol, u16, Verdict);

#[derive(Default)]
struct EdgeSum {
    stats: Option<EdgeStats>,
    processes: BTreeSet<ProcessPair>,
    services: BTreeSet<String>,
    dns_names: BTreeSet<String>,
    decided_by: BTreeSet<String>,
    direction_known: bool,
}

struct NodeSum {
    name: NodeName,
    party: PartyKind,
    labels: Labels,
    pods: BTreeSet<String>,
}

#[derive(Default)]
struct Sums {
    nodes: BTreeMap<String, NodeSum>,
    edges: BTreeMap<EdgeId, EdgeSum>,
    hidden: BTreeSet<EdgeId>,
    hidden_connections: u64,
    seen: Option<(Timestamp, Timestamp)>,
}

/// Builds the map of `rows` as `options` ask. Rows may come in any order and repeat an edge.
#[must_use]
pub fn build(rows: &[EdgeDay], options: &MapOptions, completeness: Completeness) -> Map {
    let mut sums = Sums::default();
    for row in rows.iter().filter(|row| options.in_range(row)) {
        sums.add(row, options);
    }
    let window = narrowed(options.range, sums.seen);
    let visible = |id: &EdgeId| sums.edges.contains_key(id);
    let hidden = Hidden {
        edges: sums.hidden.iter().filter(|id| !visible(id)).count() as u64,
        connections: sums.hidden_connections,
    };
    let mut map = Map {
        grouping: options.grouping,
        window,
        completeness,
        nodes: sums.nodes.into_values().map(finished_node).collect(),
        edges: sums.edges.into_iter().map(finished_edge).collect(),
        hidden,
    };
    if let Some(top) = options.top {
        keep_top(&mut map, top);
    }
    map
}

/// Hides all but the first edges, and the nodes without any.
fn keep_top(map: &mut Map, top: Top) {
    let measure = |edge: &MapEdge| match top.order {
        Order::Connections => edge.connections,
        Order::Bytes => edge.bytes_sent.saturating_add(edge.bytes_received),
        Order::Resets => edge.resets,
        Order::Newest => edge.first_seen.nanos(),
    };
    // Of equal ones those that sort first stay.
    map.edges.sort_by_key(|edge| std::cmp::Reverse(measure(edge)));
    let rest = map.edges.split_off(top.count.min(map.edges.len()));
    map.hidden.edges = map.hidden.edges.saturating_add(rest.len() as u64);
    let connections = rest.iter().map(|edge| edge.connections).fold(0, u64::saturating_add);
    map.hidden.connections = map.hidden.connections.saturating_add(connections);
    let ends: BTreeSet<&str> = map
        .edges
        .iter()
        .flat_map(|edge| [edge.source.as_str(), edge.destination.as_str()])
        .collect();
    map.nodes.retain(|node| ends.contains(node.id.as_str()));
    map.edges.sort_by(|a, b| place(a).cmp(&place(b)));
}

fn place(edge: &MapEdge) -> (&str, &str, Protocol, u16, Verdict) {
    (&edge.source, &edge.destination, edge.protocol, edge.port, edge.verdict)
}

impl Sums {
    fn add(&mut self, row: &EdgeDay, options: &MapOptions) {
        let (first, last) = (row.stats.first_seen, row.stats.last_seen);
        let (from, to) = self.seen.unwrap_or((first, last));
        self.seen = Some((from.min(first), to.max(last)));
        let key = &row.key;
        let name = |party: &Party, process: Option<&Process>| {
            let name = node_name(options.grouping, party, process);
            if options.clusters { name.in_cluster(&key.cluster) } else { name }
        };
        let source = name(&key.source, key.source_process.as_deref());
        let destination = name(&key.destination, key.destination_process.as_deref());
        let id = (source.id.clone(), destination.id.clone(), key.protocol, key.port, key.verdict);
        if !options.shows(key) {
            self.hidden.insert(id);
            self.hidden_connections = self.hidden_connections.saturating_add(row.stats.connections);
            return;
        }
        self.add_node(source, &key.source);
        self.add_node(destination, &key.destination);
        self.edges.entry(id).or_default().add(key, &row.stats);
    }

    fn add_node(&mut self, name: NodeName, party: &Party) {
        let node = self.nodes.entry(name.id.clone()).or_insert_with(|| NodeSum {
            name,
            party: party.kind,
            labels: stable_labels(&party.labels),
            pods: BTreeSet::new(),
        });
        // One id may cover several kinds (a namespace of pods and Services): the least one names it.
        node.party = node.party.min(party.kind);
        node.labels.retain(|key, value| party.labels.get(key) == Some(value));
        if !party.pod.is_empty() && !node.pods.contains(&party.pod) {
            node.pods.insert(party.pod.clone());
        }
    }
}

impl EdgeSum {
    fn add(&mut self, key: &EdgeKey, stats: &EdgeStats) {
        match &mut self.stats {
            Some(sum) => sum.add(stats),
            None => self.stats = Some(stats.clone()),
        }
        let text = |process: &Option<std::sync::Arc<Process>>| {
            process.as_ref().map(|process| process.to_string())
        };
        self.processes.insert(ProcessPair {
            source: text(&key.source_process),
            destination: text(&key.destination_process),
        });
        self.services.extend(key.service.as_ref().map(ToString::to_string));
        self.dns_names.extend(key.destination.dns_name.clone());
        self.decided_by.extend(key.decided_by.as_ref().map(ToString::to_string));
        self.direction_known |= !key.direction_inferred;
    }
}

fn stable_labels(labels: &Labels) -> Labels {
    let generated = |key: &str| GENERATED_LABELS.contains(&key);
    labels
        .iter()
        .filter(|(key, _)| !generated(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Open ends of a range say nothing to a reader: they become what was seen.
fn narrowed(range: TimeRange, seen: Option<(Timestamp, Timestamp)>) -> TimeRange {
    let (first, last) = seen.unwrap_or((range.from, range.to));
    TimeRange {
        from: if range.from == Timestamp::EPOCH { first } else { range.from },
        to: if range.to == Timestamp::MAX { last } else { range.to },
    }
}

fn finished_node(sum: NodeSum) -> MapNode {
    let NodeName { id, kind, namespace, name, process, cluster } = sum.name;
    let (party, pods) = (sum.party, sum.pods.len());
    MapNode { id, cluster, kind, namespace, name, labels: sum.labels, party, pods, process }
}

fn finished_edge((id, sum): (EdgeId, EdgeSum)) -> MapEdge {
    let (source, destination, protocol, port, verdict) = id;
    let stats = sum.stats.unwrap_or_default();
    MapEdge {
        source,
        destination,
        protocol,
        port,
        verdict,
        processes: sum.processes.into_iter().collect(),
        connections: stats.connections,
        bytes_sent: stats.bytes_sent,
        bytes_received: stats.bytes_received,
        packets_sent: stats.packets_sent,
        packets_received: stats.packets_received,
        resets: stats.resets,
        first_seen: stats.first_seen,
        last_seen: stats.last_seen,
        services: sum.services.into_iter().collect(),
        dns_names: sum.dns_names.into_iter().collect(),
        decided_by: sum.decided_by.into_iter().collect(),
        reporters: stats.reporters,
        direction_inferred: !sum.direction_known,
        loss: stats.loss,
    }
}
