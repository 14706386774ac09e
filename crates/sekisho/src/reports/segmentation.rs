//! How far workloads and connections are covered by policies.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_map::GlyphState;
use sekisho_model::{Protocol, Verdict};
use sekisho_verify::{HitEdge, Hits};
use serde::{Deserialize, Serialize};

use super::Report;
use super::sheet::{Cell, Sheet};
use super::words::W;

/// Workloads told one by one; the rest is in the sums.
const WORKLOADS_MAX: usize = 10_000;

/// The data of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segmentation {
    pub(crate) totals: Totals,
    /// Sorted by name; hosts are in none, whose name is empty.
    pub(crate) namespaces: Vec<NamespaceLine>,
    /// Sorted by id.
    pub(crate) workloads: Vec<WorkloadLine>,
    /// Workloads there are, told or not.
    pub(crate) workloads_total: u64,
}

/// Sums over everything in the scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) workloads: u64,
    pub(crate) ingress: States,
    pub(crate) egress: States,
    pub(crate) connections: Connections,
    /// Workloads that took connections from outside.
    pub(crate) exposed: u64,
}

/// Workloads by how far policies cover one direction of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct States {
    pub(crate) no_policy: u64,
    pub(crate) staged: u64,
    pub(crate) enforced: u64,
}

/// Connections of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub(crate) total: u64,
    /// Of which a policy in force decides at least one direction.
    pub(crate) covered: u64,
    /// The same for staged policies.
    pub(crate) covered_staged: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    pub(crate) would_deny: u64,
    pub(crate) unknown: u64,
}

/// A namespace. Its connections have an end in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceLine {
    pub(crate) namespace: String,
    pub(crate) workloads: u64,
    pub(crate) ingress: States,
    pub(crate) egress: States,
    pub(crate) connections: u64,
    pub(crate) covered: u64,
    /// Its workloads that took connections from outside.
    pub(crate) exposed: u64,
}

/// A workload. Its connections have an end in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkloadLine {
    pub(crate) workload: String,
    pub(crate) namespace: String,
    pub(crate) ingress: GlyphState,
    pub(crate) egress: GlyphState,
    pub(crate) connections: u64,
    pub(crate) covered: u64,
    /// Connections from outside that were not denied, and on what ports.
    pub(crate) from_outside: u64,
    pub(crate) ports: Vec<String>,
    /// Connections to outside that were not denied.
    pub(crate) to_outside: u64,
}

/// A workload of the cluster as it is now, and how far policies cover it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) workload: String,
    pub(crate) namespace: String,
    pub(crate) ingress: GlyphState,
    pub(crate) egress: GlyphState,
}

impl States {
    fn count(&mut self, state: GlyphState) {
        match state {
            GlyphState::NoPolicy => self.no_policy += 1,
            GlyphState::Staged => self.staged += 1,
            GlyphState::Enforced => self.enforced += 1,
            // Neither is said of a workload of the cluster.
            GlyphState::External | GlyphState::Unknown => {}
        }
    }
}

/// What is summed of one workload's connections.
#[derive(Default)]
struct Sum {
    connections: u64,
    covered: u64,
    from_outside: u64,
    ports: BTreeSet<(Protocol, u16)>,
    to_outside: u64,
}

impl Segmentation {
    /// Sums up. `places` are all workloads in the scope; `outside` the ids of ends outside.
    pub(crate) fn new(places: &[Place], hits: &Hits, outside: &BTreeSet<String>) -> Self {
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        let mut by_namespace: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut connections = Connections::default();
        for (edge, own) in &hits.enforced.edges {
            let staged = hits.staged.edges.get(edge).map_or(0, |staged| staged.covered);
            connections.add(edge.verdict, (own.connections, own.covered, staged));
            let ends = BTreeSet::from([edge.source.as_str(), edge.destination.as_str()]);
            for end in &ends {
                let sum = sums.entry(end).or_default();
                sum.connections = sum.connections.saturating_add(own.connections);
                sum.covered = sum.covered.saturating_add(own.covered);
            }
            for namespace in ends.iter().filter_map(|end| namespace(end)).collect::<BTreeSet<_>>() {
                let sum = by_namespace.entry(namespace).or_default();
                *sum = (sum.0.saturating_add(own.connections), sum.1.saturating_add(own.covered));
            }
            note_outside(&mut sums, edge, own.connections, outside);
        }
        let mut workloads: Vec<WorkloadLine> = places
            .iter()
            .map(|place| {
                let none = Sum::default();
                let sum = sums.get(place.workload.as_str()).unwrap_or(&none);
                WorkloadLine {
                    workload: place.workload.clone(),
                    namespace: place.namespace.clone(),
                    ingress: place.ingress,
                    egress: place.egress,
                    connections: sum.connections,
                    covered: sum.covered,
                    from_outside: sum.from_outside,
                    ports: sum.ports.iter().map(|(way, port)| format!("{way} {port}")).collect(),
                    to_outside: sum.to_outside,
                }
            })
            .collect();
        workloads.sort_by(|a, b| a.workload.cmp(&b.workload));
        let namespaces = namespaces(&workloads, &by_namespace);
        let mut totals = Totals { connections, ..Totals::default() };
        for one in &workloads {
            totals.workloads += 1;
            totals.ingress.count(one.ingress);
            totals.egress.count(one.egress);
            totals.exposed += u64::from(one.from_outside > 0);
        }
        let workloads_total = workloads.len() as u64;
        workloads.truncate(WORKLOADS_MAX);
        Self { totals, namespaces, workloads, workloads_total }
    }
}

/// The namespace of a workload's id; None for ends that are in none.
fn namespace(id: &str) -> Option<&str> {
    id.split_once('/').filter(|_| id.ends_with(']')).map(|(namespace, _)| namespace)
}

fn note_outside<'e>(
    sums: &mut BTreeMap<&'e str, Sum>,
    edge: &'e HitEdge,
    connections: u64,
    outside: &BTreeSet<String>,
) {
    if edge.verdict == Verdict::Denied {
        return;
    }
    if outside.contains(&edge.source) {
        let sum = sums.entry(&edge.destination).or_default();
        sum.from_outside = sum.from_outside.saturating_add(connections);
        sum.ports.insert((edge.protocol, edge.port));
    }
    if outside.contains(&edge.destination) {
        let sum = sums.entry(&edge.source).or_default();
        sum.to_outside = sum.to_outside.saturating_add(connections);
    }
}

fn namespaces(workloads: &[WorkloadLine], sums: &BTreeMap<&str, (u64, u64)>) -> Vec<NamespaceLine> {
    let mut found: BTreeMap<&str, NamespaceLine> = BTreeMap::new();
    for one in workloads {
        let line = found.entry(&one.namespace).or_default();
        line.workloads += 1;
        line.ingress.count(one.ingress);
        line.egress.count(one.egress);
        line.exposed += u64::from(one.from_outside > 0);
    }
    let line = |(namespace, line): (&str, NamespaceLine)| {
        let (connections, covered) = sums.get(namespace).copied().unwrap_or_default();
        NamespaceLine { namespace: namespace.to_owned(), connections, covered, ..line }
    };
    found.into_iter().map(line).collect()
}

impl Connections {
    fn add(&mut self, verdict: Verdict, (connections, covered, staged): (u64, u64, u64)) {
        let of = match verdict {
            Verdict::Allowed => &mut self.allowed,
            Verdict::Denied => &mut self.denied,
            Verdict::WouldDeny => &mut self.would_deny,
            Verdict::Unknown => &mut self.unknown,
        };
        *of = of.saturating_add(connections);
        self.total = self.total.saturating_add(connections);
        self.covered = self.covered.saturating_add(covered);
        self.covered_staged = self.covered_staged.saturating_add(staged);
    }
}

impl Report for Segmentation {
    fn sheets(&self) -> Vec<Sheet> {
        let namespaces = self.namespaces.iter().map(|one| {
            vec![
                Cell::Text(one.namespace.clone()),
                Cell::Number(one.workloads),
                Cell::Number(one.ingress.no_policy),
                Cell::Number(one.ingress.staged),
                Cell::Number(one.ingress.enforced),
                Cell::Number(one.egress.no_policy),
                Cell::Number(one.egress.staged),
                Cell::Number(one.egress.enforced),
                Cell::Number(one.connections),
                Cell::Share(one.covered, one.connections),
                Cell::Number(one.exposed),
            ]
        });
        let namespaces = Sheet::new(
            W::Namespaces,
            &[
                W::Namespace,
                W::Workloads,
                W::IngressNone,
                W::IngressStaged,
                W::IngressEnforced,
                W::EgressNone,
                W::EgressStaged,
                W::EgressEnforced,
                W::Connections,
                W::Covered,
                W::Exposed,
            ],
            namespaces.collect(),
        );
        vec![summary(&self.totals), namespaces, self.workload_sheet()]
    }
}

impl Segmentation {
    fn workload_sheet(&self) -> Sheet {
        let rows = self.workloads.iter().map(|one| {
            vec![
                Cell::Text(one.workload.clone()),
                Cell::Word(W::state(one.ingress)),
                Cell::Word(W::state(one.egress)),
                Cell::Number(one.connections),
                Cell::Share(one.covered, one.connections),
                Cell::Number(one.from_outside),
                Cell::Lines(one.ports.clone()),
                Cell::Number(one.to_outside),
            ]
        });
        let columns = [
            W::Workload,
            W::Ingress,
            W::Egress,
            W::Connections,
            W::Covered,
            W::FromOutside,
            W::Ports,
            W::ToOutside,
        ];
        Sheet::new(W::Workloads, &columns, rows.collect()).of(self.workloads_total)
    }
}

fn summary(totals: &Totals) -> Sheet {
    let (all, of) = (totals.workloads, &totals.connections);
    let lines = [
        (W::Workloads, all, all),
        (W::IngressNone, totals.ingress.no_policy, all),
        (W::IngressStaged, totals.ingress.staged, all),
        (W::IngressEnforced, totals.ingress.enforced, all),
        (W::EgressNone, totals.egress.no_policy, all),
        (W::EgressStaged, totals.egress.staged, all),
        (W::EgressEnforced, totals.egress.enforced, all),
        (W::Exposed, totals.exposed, all),
        (W::Connections, of.total, of.total),
        (W::Covered, of.covered, of.total),
        (W::CoveredStaged, of.covered_staged, of.total),
        (W::Allowed, of.allowed, of.total),
        (W::Denied, of.denied, of.total),
        (W::WouldDeny, of.would_deny, of.total),
        (W::UnknownVerdict, of.unknown, of.total),
    ];
    let rows = lines.iter().map(|(word, count, whole)| {
        vec![Cell::Word(*word), Cell::Number(*count), Cell::Share(*count, *whole)]
    });
    Sheet::new(W::Summary, &[W::What, W::Count, W::Share], rows.collect())
}
