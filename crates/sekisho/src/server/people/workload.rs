//! One workload.

use std::collections::BTreeMap;

use sekisho_api::{Account, DatapathMode, MapQuestion, Refusal, SnapshotQuery, WorkloadQuestion};
use sekisho_flow::FlowFilter;
use sekisho_manifest::{Object, Pod};
use sekisho_map::{GlyphState, Grouping, MapEdge};
use sekisho_model::{ClusterName, Direction, Labels, TimeRange};
use sekisho_policy::{Endpoint, PolicyName, RuleSet};
use serde::Serialize;

use crate::pipeline::{self, History};
use crate::server::fleet::Fleet;

/// A workload: what it is, whom it talks to, and what policies say about it.
#[derive(Debug, Serialize)]
pub(super) struct Workload {
    id: String,
    window: TimeRange,
    completeness: f64,
    namespace: String,
    name: String,
    kind: String,
    /// Labels that all its pods have.
    labels: Labels,
    state: GlyphState,
    pods: Vec<PodView>,
    inbound: Vec<MapEdge>,
    outbound: Vec<MapEdge>,
    policies: Vec<Selecting>,
}

/// A pod of it.
#[derive(Debug, Serialize)]
struct PodView {
    name: String,
    addresses: Vec<std::net::IpAddr>,
    node: Option<String>,
    images: Vec<String>,
}

/// A policy that selects it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Selecting {
    /// `enforced` or `staged`.
    state: &'static str,
    namespace: String,
    name: String,
    /// For which directions it selects.
    directions: Vec<Direction>,
}

impl Fleet {
    /// The workload that is asked for.
    pub(super) fn workload(
        &self,
        account: &Account,
        of: &WorkloadQuestion,
    ) -> Result<Workload, Refusal> {
        let (namespace, name, kind) = parts(&of.id)?;
        let asked = MapQuestion {
            grouping: Grouping::Workload,
            namespaces: [].into(),
            within: Vec::new(),
            top: None,
            order: None,
            ..of.map.clone()
        };
        let filter =
            FlowFilter { workload: Some(format!("{namespace}/{name}")), ..FlowFilter::default() };
        let query = SnapshotQuery { filter, ..SnapshotQuery::of(asked.range) };
        let history = self.seen_of(account, asked.cluster.as_ref(), &query)?;
        let map = pipeline::build(&history, &self.options(account, &asked, &history));
        let state = self.workload_states(&asked, &history)?.get(&of.id).copied();
        let node = map.nodes.iter().find(|node| node.id == of.id);
        if !account.has(namespace) || (state.is_none() && node.is_none()) {
            return Err(Refusal::Unknown(format!(
                "there is no workload `{}`, neither in the cluster nor in this window",
                of.id
            )));
        }
        let edges = |is_own: &dyn Fn(&MapEdge) -> bool| -> Vec<MapEdge> {
            map.edges.iter().filter(|edge| is_own(edge)).cloned().collect()
        };
        let cluster = &history.cluster;
        let is_own = |one: &&Endpoint| one.workload.to_string() == of.id;
        let endpoints: Vec<&Endpoint> = cluster.endpoints.iter().filter(is_own).collect();
        let labels = node.map(|node| node.labels.clone());
        let (pods, policies) = self.now(asked.cluster.as_ref(), &history, &endpoints)?;
        Ok(Workload {
            id: of.id.clone(),
            window: map.window,
            completeness: map.completeness.ratio,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            labels: labels.or_else(|| common(&endpoints)).unwrap_or_default(),
            state: state.unwrap_or(GlyphState::Unknown),
            pods,
            inbound: edges(&|edge| edge.destination == of.id),
            outbound: edges(&|edge| edge.source == of.id),
            policies,
        })
    }

    /// The pods behind `endpoints`, and the policies that select any of them.
    fn now(
        &self,
        cluster: Option<&ClusterName>,
        history: &History,
        endpoints: &[&Endpoint],
    ) -> Result<(Vec<PodView>, Vec<Selecting>), Refusal> {
        let (objects, staged) = {
            let core = self.pick(cluster)?.core();
            (core.inventory.shared_now(), core.revisions.rules(DatapathMode::Audit))
        };
        let pods = objects.iter().filter_map(|object| match object.as_ref() {
            Object::Pod(pod) => Some(((pod.meta.namespace.as_str(), pod.meta.name.as_str()), pod)),
            _other => None,
        });
        let pods: BTreeMap<(&str, &str), &Pod> = pods.collect();
        let view = |endpoint: &&Endpoint| {
            let pod = pods.get(&(endpoint.namespace.as_str(), endpoint.name.as_str()));
            PodView {
                name: endpoint.name.clone(),
                addresses: endpoint.addresses.clone(),
                node: endpoint.node.clone(),
                images: pod.map(|pod| crate::images::of_pod(pod).collect()).unwrap_or_default(),
            }
        };
        let mut policies = Vec::new();
        for (rules, state) in [(&history.current, "enforced"), (&staged, "staged")] {
            policies.extend(endpoints.iter().flat_map(|one| selecting(rules, history, one, state)));
        }
        // Pods of a workload may differ in labels: what selects one of them is told once.
        policies.sort();
        policies.dedup();
        Ok((endpoints.iter().map(view).collect(), policies))
    }
}

/// Namespace, name and kind of an id.
fn parts(id: &str) -> Result<(&str, &str, &str), Refusal> {
    let (namespace, rest) = id.split_once('/').unwrap_or(("", id));
    let named = rest.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    let (name, kind) = named.ok_or_else(|| {
        Refusal::Invalid(format!("`{id}` is no id of a workload: namespace/name[Kind]"))
    })?;
    Ok((namespace, name, kind))
}

/// The labels that all have.
fn common(all: &[&Endpoint]) -> Option<Labels> {
    let (first, others) = all.split_first()?;
    let mut labels = first.labels.clone();
    for other in others {
        labels.retain(|name, value| other.labels.get(name) == Some(value));
    }
    Some(labels)
}

/// The policies of `rules` that select this endpoint.
fn selecting(
    rules: &RuleSet,
    history: &History,
    endpoint: &Endpoint,
    state: &'static str,
) -> Vec<Selecting> {
    let found = rules.selecting(&history.cluster, endpoint).into_iter();
    let view = |(name, directions): (&PolicyName, Vec<Direction>)| Selecting {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        state,
        directions,
    };
    found.map(view).collect()
}
