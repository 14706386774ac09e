//! The sentence as code: observe -> assemble -> append -> **build** the map -> **propose**
//! policies -> **what_if** against history -> apply.
//!
//! Observe and assemble run in `agent`, append in `server::core`; what follows is the rest, on a
//! [`History`] that came from a server or from a folder on disk: the same code for both.

use std::collections::BTreeSet;
use std::sync::Arc;

use sekisho_api::{ImageChange, Snapshot};
use sekisho_manifest::Object;
use sekisho_map::{ExpectedNode, Map, MapOptions, Places};
use sekisho_model::{ClusterName, Completeness, EdgeDay, TimeRange, Timestamp};
use sekisho_policy::{Cluster, RuleSet};
use sekisho_recommend::{Choices, Proposal, Scope, Template, TemplateError, TemplateId};
use sekisho_verify::{Limits, Request, WhatIf};

use crate::images;

/// Recorded history, and the cluster that it speaks about.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The window it covers.
    pub(crate) window: TimeRange,
    /// Edges by day.
    pub(crate) rows: Vec<EdgeDay>,
    /// How complete it is.
    pub(crate) completeness: Completeness,
    /// The cluster at the window's end.
    pub(crate) cluster: Cluster,
    /// Its name.
    pub(crate) name: ClusterName,
    /// The clusters it is of, where they are several: their objects.
    pub(crate) several: Vec<(ClusterName, Vec<Arc<Object>>)>,
    /// Where things are, of all its clusters.
    pub(crate) places: Arc<Places>,
    /// Policies in force.
    pub(crate) current: RuleSet,
    /// Objects of the cluster that policies may refer to.
    pub(crate) referred: Vec<Object>,
    /// Workloads whose images changed since the policies in force were verified, with the revision;
    /// None if nothing was ever put in force.
    pub(crate) images: Option<(u64, Vec<ImageChange>)>,
    /// Its rows are of several clusters: good to look at, and no ground for policies, so it has
    /// neither objects nor rules.
    pub(crate) mixed: bool,
}

impl History {
    /// Takes a snapshot; `now` bounds an open window.
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        let expected = expected_nodes(&snapshot.nodes);
        let completeness = sekisho_map::completeness(&snapshot.losses, &expected, snapshot.window);
        let referred =
            |object: &&&Object| matches!(object, Object::Namespace(_) | Object::Service(_));
        let objects: Vec<&Object> = snapshot.objects.iter().map(AsRef::as_ref).collect();
        let cluster = Cluster::from_shared(&objects);
        let images = snapshot.verified.as_ref().map(|verified| {
            (verified.revision, images::changes(verified, objects.iter().copied(), &cluster))
        });
        let mut places = Places::default();
        locate(&mut places, &snapshot.cluster, &snapshot.objects);
        Self {
            places: Arc::new(places),
            referred: objects.iter().filter(referred).map(|object| Object::clone(object)).collect(),
            window: snapshot.window,
            rows: snapshot.rows,
            completeness,
            cluster,
            name: snapshot.cluster,
            several: Vec::new(),
            current: snapshot.current,
            images,
            mixed: false,
        }
    }

    /// Takes the snapshots of all clusters; the nodes of one cluster are not those of another.
    pub(crate) fn of_all(mut snapshots: Vec<Snapshot>) -> Self {
        if snapshots.len() == 1
            && let Some(only) = snapshots.pop()
        {
            return Self::of(only);
        }
        let clusters = snapshots.len();
        let mut window: Option<TimeRange> = None;
        let mut silent = Vec::new();
        let (mut rows, mut losses, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut places, mut several) = (Places::default(), Vec::new());
        for snapshot in snapshots {
            let (cluster, own) = (snapshot.cluster, snapshot.window);
            locate(&mut places, &cluster, &snapshot.objects);
            several.push((cluster.clone(), snapshot.objects));
            let known = window.unwrap_or(own);
            window = Some(TimeRange { from: known.from.min(own.from), to: known.to.max(own.to) });
            if snapshot.nodes.is_empty() {
                silent.push(format!("{cluster}: no agent reported"));
            }
            let named = |node: &str| format!("{cluster}/{node}");
            losses.extend(snapshot.losses.into_iter().map(|mut loss| {
                loss.node = named(&loss.node);
                loss
            }));
            let heard = snapshot.nodes.iter();
            nodes.extend(heard.map(|(node, first, last)| (named(node), *first, *last)));
            rows.extend(snapshot.rows);
        }
        let window = window.unwrap_or(TimeRange::ALL);
        let mut completeness = sekisho_map::completeness(&losses, &expected_nodes(&nodes), window);
        // A cluster of which nobody tells is a part that is missing, whatever its size.
        if !nodes.is_empty() && !silent.is_empty() {
            completeness.ratio *= (clusters - silent.len()) as f64 / clusters as f64;
            completeness.gaps.extend(silent);
        }
        Self {
            completeness,
            window,
            rows,
            cluster: Cluster::default(),
            name: ClusterName::default(),
            several,
            places: Arc::new(places),
            current: RuleSet::default(),
            referred: Vec::new(),
            images: None,
            mixed: true,
        }
    }
}

/// Learns where the objects of a cluster are.
fn locate(places: &mut Places, cluster: &ClusterName, objects: &[Arc<Object>]) {
    for object in objects {
        match object.as_ref() {
            Object::Namespace(namespace) => {
                places.add_namespace(cluster, &namespace.meta.name, &namespace.meta.labels);
            }
            Object::Pod(pod) => {
                let (meta, machine) = (&pod.meta, pod.spec.node_name.as_deref());
                if let Some(machine) = machine.filter(|name| !name.is_empty()) {
                    places.add_pod(cluster, &meta.namespace, &meta.name, machine);
                }
            }
            _other => {}
        }
    }
}

/// What would be in force: `kept` (all or none of the current policies) with those of `objects`
/// added or replaced.
pub(crate) fn proposed(history: &History, kept: &RuleSet, objects: Vec<Object>) -> RuleSet {
    kept.with(history.referred.iter().cloned().chain(objects))
}

/// Nodes that must have reported: each from the time it was first heard, and never released, since
/// an agent that died is a gap and not a departure. An import ends with its files.
pub(crate) fn expected_nodes(heard: &[(String, Timestamp, Timestamp)]) -> Vec<ExpectedNode> {
    let node = |(name, first, last): &(String, Timestamp, Timestamp)| {
        let import = sekisho_exchange::is_import(name);
        let to = if import { last.plus_seconds(60) } else { Timestamp::MAX };
        ExpectedNode { name: name.clone(), active: TimeRange { from: *first, to } }
    };
    heard.iter().map(node).collect()
}

/// **build**: history to a dependency map.
pub(crate) fn build(history: &History, options: &MapOptions) -> Map {
    sekisho_map::build(&history.rows, options, history.completeness.clone())
}

/// A template by its name, with its settings read against history; who has some namespaces only
/// chooses from them.
pub(crate) fn template(
    history: &History,
    own: Option<&BTreeSet<String>>,
    (name, settings): (&str, &[(String, String)]),
    now: Timestamp,
) -> Result<Template, TemplateError> {
    let id = TemplateId::named(name)?;
    let choices = Choices::new(&history.rows, &history.cluster, own);
    Template::read(id, settings, &choices)?.still_open(now)
}

/// **propose**: history to least-privilege policies.
pub(crate) fn propose(history: &History, scope: Scope, template: Template) -> Proposal {
    sekisho_recommend::propose(&sekisho_recommend::Request {
        history: &history.rows,
        cluster: &history.cluster,
        scope,
        window: history.window,
        completeness: &history.completeness,
        template,
        existing: &history.current,
    })
}

/// **what_if**: policies against history; the only way to a verified policy. The report lists so many
/// unchanged edges at most.
pub(crate) fn what_if(
    history: &History,
    (current, proposed): (&RuleSet, &RuleSet),
    accepted: &[String],
    limits: Limits,
    unchanged_max: u64,
) -> WhatIf {
    sekisho_verify::what_if(&Request {
        current,
        proposed,
        cluster: &history.cluster,
        history: &history.rows,
        window: history.window,
        completeness: &history.completeness,
        accepted,
        limits,
        unchanged_max,
    })
}
