//! Sums stored rows into a map.
//!
//! The sum is a commutative, associative fold per edge, so neither the order of the rows nor how
//! they were split over minutes, segments or reporters changes the result.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{
    ClusterName, Completeness, DecidedBy, EdgeDay, EdgeKey, EdgeStats, Labels, Party, PartyKind,
    Process, Protocol, ServiceRef, TimeRange, Timestamp, Verdict,
};

use crate::name::{NodeName, node_name};
use crate::{Grouping, Hidden, Map, MapEdge, MapNode, MapOptions, Noise, Order, ProcessPair, Top};

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

/// An edge by the numbers of its nodes.
type EdgeId = (usize, usize, Protocol, u16, Verdict);

/// What is behind an edge, borrowed from the rows: names are written when all is summed.
#[derive(Default)]
struct EdgeSum<'a> {
    stats: Option<EdgeStats>,
    processes: BTreeSet<[Option<&'a Process>; 2]>,
    services: BTreeSet<&'a ServiceRef>,
    dns_names: BTreeSet<&'a str>,
    decided_by: BTreeSet<&'a DecidedBy>,
    direction_known: bool,
}

struct NodeSum<'a> {
    name: NodeName,
    /// None until a row is shown that it is an end of.
    shown: Option<Shown<'a>>,
}

struct Shown<'a> {
    party: PartyKind,
    labels: Labels,
    pods: BTreeSet<&'a str>,
}

/// A party at an address in memory, perhaps with its process and its cluster: rows share them.
type Place<'a> = (*const Party, Option<*const Process>, Option<&'a ClusterName>);

#[derive(Default)]
struct Sums<'a> {
    /// Nodes in order of arrival.
    nodes: Vec<NodeSum<'a>>,
    by_id: BTreeMap<String, usize>,
    /// The node of what was met before, and whether it was shown.
    by_place: BTreeMap<Place<'a>, (usize, bool)>,
    edges: BTreeMap<EdgeId, EdgeSum<'a>>,
    hidden: BTreeSet<EdgeId>,
    hidden_connections: u64,
    /// Connections that are noise, by the number of what calls them so.
    noise: BTreeMap<usize, u64>,
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
    let noise = sums.noise.iter().map(|(number, connections)| {
        let (name, own) = options.noise_name(*number);
        Noise { name: name.to_owned(), own, connections: *connections }
    });
    let hidden = Hidden {
        noise: noise.collect(),
        edges: sums.hidden.iter().filter(|id| !visible(id)).count() as u64,
        connections: sums.hidden_connections,
    };
    let name = |number: usize| sums.nodes.get(number).map_or("", |node| node.name.id.as_str());
    let finished =
        |(id, sum): (EdgeId, EdgeSum<'_>)| finished_edge((name(id.0), name(id.1)), id, sum);
    let mut edges: Vec<MapEdge> = sums.edges.into_iter().map(finished).collect();
    edges.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
    let mut nodes: Vec<MapNode> = sums.nodes.into_iter().filter_map(finished_node).collect();
    nodes.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let grouping = options.grouping.clone();
    let mut map = Map { grouping, window, completeness, nodes, edges, hidden };
    if let Some(top) = options.top {
        keep_top(&mut map, top);
    }
    map
}

/// The ids of the nodes that are the ends of an edge on a map as `options` ask for; None if the map
/// does not show it. Which edges are the first of a map is not asked.
#[must_use]
pub fn ends(options: &MapOptions, key: &EdgeKey) -> Option<[String; 2]> {
    if !options.shows(key) {
        return None;
    }
    let cluster = options.clusters.then_some(&key.cluster);
    let ends = [(&key.source, &key.source_process), (&key.destination, &key.destination_process)];
    Some(
        ends.map(|(party, process)| named((party, process.as_deref(), cluster), (options, key)).id),
    )
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

impl<'a> Sums<'a> {
    fn add(&mut self, row: &'a EdgeDay, options: &MapOptions) {
        let (first, last) = (row.stats.first_seen, row.stats.last_seen);
        let (from, to) = self.seen.unwrap_or((first, last));
        self.seen = Some((from.min(first), to.max(last)));
        let key: &'a EdgeKey = &row.key;
        let is_asked = options.asks_for(key);
        let noise = options.noise(key).filter(|_| is_asked);
        let is_shown = is_asked && noise.is_none();
        let cluster = options.clusters.then_some(&key.cluster);
        let source = (&*key.source, key.source_process.as_deref(), cluster);
        let source = self.node(source, (options, key), is_shown);
        let destination = (&*key.destination, key.destination_process.as_deref(), cluster);
        let destination = self.node(destination, (options, key), is_shown);
        let id = (source, destination, key.protocol, key.port, key.verdict);
        if is_shown {
            self.edges.entry(id).or_default().add(key, &row.stats);
        } else {
            self.hidden.insert(id);
            self.hidden_connections = self.hidden_connections.saturating_add(row.stats.connections);
            if let Some(number) = noise {
                let sum = self.noise.entry(number).or_default();
                *sum = sum.saturating_add(row.stats.connections);
            }
        }
    }

    /// The number of the node that an end belongs to; it takes part in the map if it `is_shown`.
    fn node(
        &mut self,
        (party, process, cluster): (&'a Party, Option<&'a Process>, Option<&'a ClusterName>),
        (options, key): (&MapOptions, &'a EdgeKey),
        is_shown: bool,
    ) -> usize {
        let place: Place<'a> = (party, process.map(std::ptr::from_ref), cluster);
        let known = self.by_place.get(&place).copied();
        if let Some((number, was_shown)) = known
            && (was_shown || !is_shown)
        {
            return number;
        }
        let number = known.map_or_else(
            || self.number(named((party, process, cluster), (options, key))),
            |(number, _)| number,
        );
        self.by_place.insert(place, (number, is_shown));
        if is_shown && let Some(node) = self.nodes.get_mut(number) {
            node.show(party);
        }
        number
    }

    fn number(&mut self, name: NodeName) -> usize {
        let next = self.nodes.len();
        let number = *self.by_id.entry(name.id.clone()).or_insert(next);
        if number == next {
            self.nodes.push(NodeSum { name, shown: None });
        }
        number
    }
}

/// The node that an end of a row is part of.
fn named(
    (party, process, cluster): (&Party, Option<&Process>, Option<&ClusterName>),
    (options, key): (&MapOptions, &EdgeKey),
) -> NodeName {
    let grouping = grouping_of(options, key, party);
    let name = node_name((options, grouping), &key.cluster, party, process);
    match cluster {
        Some(cluster) => name.in_cluster(cluster),
        None => name,
    }
}

/// What an end of a row stands for: itself, or its workload where it is looked at from within another.
fn grouping_of<'a>(options: &'a MapOptions, key: &EdgeKey, party: &Party) -> &'a Grouping {
    match &options.grouping {
        Grouping::Pod | Grouping::Process if !options.is_within(key, party) => &Grouping::Workload,
        grouping => grouping,
    }
}

impl<'a> NodeSum<'a> {
    fn show(&mut self, party: &'a Party) {
        let shown = self.shown.get_or_insert_with(|| Shown {
            party: party.kind,
            labels: stable_labels(&party.labels),
            pods: BTreeSet::new(),
        });
        // One id may cover several kinds (a namespace of pods and Services): the least one names it.
        shown.party = shown.party.min(party.kind);
        shown.labels.retain(|key, value| party.labels.get(key) == Some(value));
        if !party.pod.is_empty() {
            shown.pods.insert(&party.pod);
        }
    }
}

impl<'a> EdgeSum<'a> {
    fn add(&mut self, key: &'a EdgeKey, stats: &EdgeStats) {
        match &mut self.stats {
            Some(sum) => sum.add(stats),
            None => self.stats = Some(stats.clone()),
        }
        let processes = [&key.source_process, &key.destination_process];
        self.processes.insert(processes.map(|process| process.as_deref()));
        self.services.extend(&key.service);
        self.dns_names.extend(key.destination.dns_name.as_deref());
        self.decided_by.extend(&key.decided_by);
        self.direction_known |= !key.direction_inferred;
    }
}

/// The labels without those that controllers generate: what all pods of a workload may have.
#[must_use]
pub fn stable_labels(labels: &Labels) -> Labels {
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

fn finished_node(sum: NodeSum<'_>) -> Option<MapNode> {
    let NodeName { id, kind, namespace, name, process, cluster } = sum.name;
    let Shown { party, labels, pods } = sum.shown?;
    Some(MapNode { id, cluster, kind, namespace, name, labels, party, pods: pods.len(), process })
}

/// What things are called, sorted; two may be called the same.
fn names<T: ToString>(things: impl IntoIterator<Item = T>) -> Vec<String> {
    let names: BTreeSet<String> = things.into_iter().map(|thing| thing.to_string()).collect();
    names.into_iter().collect()
}

fn finished_edge(
    (source, destination): (&str, &str),
    (_, _, protocol, port, verdict): EdgeId,
    sum: EdgeSum<'_>,
) -> MapEdge {
    let stats = sum.stats.unwrap_or_default();
    let processes: BTreeSet<ProcessPair> = sum
        .processes
        .into_iter()
        .map(|pair| pair.map(|process| process.map(ToString::to_string)))
        .map(|[source, destination]| ProcessPair { source, destination })
        .collect();
    MapEdge {
        source: source.to_owned(),
        destination: destination.to_owned(),
        protocol,
        port,
        verdict,
        processes: processes.into_iter().collect(),
        connections: stats.connections,
        bytes_sent: stats.bytes_sent,
        bytes_received: stats.bytes_received,
        packets_sent: stats.packets_sent,
        packets_received: stats.packets_received,
        resets: stats.resets,
        first_seen: stats.first_seen,
        last_seen: stats.last_seen,
        services: names(sum.services),
        dns_names: names(sum.dns_names),
        decided_by: names(sum.decided_by),
        reporters: stats.reporters,
        direction_inferred: !sum.direction_known,
        loss: stats.loss,
    }
}
