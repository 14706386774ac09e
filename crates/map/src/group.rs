//! What a map is asked for: grouping, range, filters.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sekisho_model::{ClusterName, EdgeDay, EdgeKey, Party, PartyKind, Process, TimeRange, Verdict};
use serde::{Deserialize, Serialize};

const DNS_PORT: u16 = 53;
const SECONDS_PER_MINUTE: u64 = 60;

/// What one node of a map stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// A namespace; all externals, nodes and unknown addresses are one node each.
    Namespace,
    /// The topmost owner of a pod (Deployment, CronJob, ...), a host, an external name.
    #[default]
    Workload,
    /// A pod, a host, an external name.
    Pod,
    /// One executable of a workload.
    Process,
}

/// A text names no grouping.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not one of namespace, workload, pod, process")]
pub struct GroupingError(String);

impl FromStr for Grouping {
    type Err = GroupingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "namespace" => Ok(Self::Namespace),
            "workload" => Ok(Self::Workload),
            "pod" => Ok(Self::Pod),
            "process" => Ok(Self::Process),
            _ => Err(GroupingError(text.to_owned())),
        }
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Namespace => "namespace",
            Self::Workload => "workload",
            Self::Pod => "pod",
            Self::Process => "process",
        })
    }
}

/// What to show. The default is everything, by workload.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// What one node stands for.
    pub grouping: Grouping,
    /// Rows that were seen in a minute of this range are shown.
    pub range: TimeRange,
    /// Leaves out DNS (port 53) to anything inside the cluster, also questions whose arrival nobody
    /// saw. DNS to externals and denied DNS stay: they may be a tunnel.
    pub hide_dns: bool,
    /// Leaves out allowed connections that a node itself makes to pods: the kubelet's probes.
    pub hide_probes: bool,
    /// The rows are of several clusters: each node is of one of them and says so. Without it all rows
    /// are taken to be of one cluster.
    pub clusters: bool,
    /// If not empty: only edges with an end in one of these namespaces.
    pub namespaces: BTreeSet<String>,
    /// Only the first edges by some measure; all without.
    pub top: Option<Top>,
}

/// The first edges of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// How many.
    pub count: usize,
    /// By what.
    pub order: Order,
}

/// What edges are measured by, the greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Connections that began.
    Connections,
    /// Payload bytes of both directions.
    Bytes,
    /// Connections that were reset or refused.
    Resets,
    /// Those that were first seen last.
    Newest,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            grouping: Grouping::default(),
            range: TimeRange::ALL,
            hide_dns: false,
            hide_probes: false,
            clusters: false,
            namespaces: BTreeSet::new(),
            top: None,
        }
    }
}

impl MapOptions {
    pub(crate) fn in_range(&self, row: &EdgeDay) -> bool {
        let end = row.stats.last_seen.minute().plus_seconds(SECONDS_PER_MINUTE);
        row.stats.first_seen < self.range.to && end > self.range.from
    }

    pub(crate) fn shows(&self, key: &EdgeKey) -> bool {
        let touches = |party: &Party| self.namespaces.contains(&party.workload.namespace);
        if !self.namespaces.is_empty() && !touches(&key.source) && !touches(&key.destination) {
            return false;
        }
        !(self.hide_dns && is_cluster_dns(key) || self.hide_probes && is_probe(key))
    }
}

fn is_cluster_dns(key: &EdgeKey) -> bool {
    let inside = match key.destination.kind {
        PartyKind::Pod | PartyKind::Service | PartyKind::Node => true,
        PartyKind::Host | PartyKind::External | PartyKind::Unknown => false,
    };
    let passed = match key.verdict {
        Verdict::Allowed | Verdict::Unknown => true,
        Verdict::Denied | Verdict::WouldDeny => false,
    };
    inside && key.port == DNS_PORT && passed
}

fn is_probe(key: &EdgeKey) -> bool {
    key.source.kind == PartyKind::Node
        && key.destination.kind == PartyKind::Pod
        && key.verdict == Verdict::Allowed
}

/// What a party is called at some grouping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeName {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) process: Option<String>,
    pub(crate) cluster: Option<String>,
}

impl NodeName {
    /// The same name in `cluster`, where it means something else than in another one.
    pub(crate) fn in_cluster(self, cluster: &ClusterName) -> Self {
        Self { id: format!("{cluster}/{}", self.id), cluster: Some(cluster.to_string()), ..self }
    }
}

pub(crate) fn node_name(grouping: Grouping, party: &Party, process: Option<&Process>) -> NodeName {
    let workload = &party.workload;
    match grouping {
        Grouping::Namespace => namespace_name(party),
        Grouping::Pod if party.kind == PartyKind::Pod && !party.pod.is_empty() => NodeName {
            id: format!("{}/{}[Pod]", workload.namespace, party.pod),
            kind: "Pod".to_owned(),
            namespace: workload.namespace.clone(),
            name: party.pod.clone(),
            process: None,
            cluster: None,
        },
        Grouping::Workload | Grouping::Pod => NodeName {
            id: party.id(),
            kind: workload.kind.clone(),
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            process: None,
            cluster: None,
        },
        Grouping::Process => {
            let text = process.map(ToString::to_string);
            NodeName {
                id: format!("{} {}", party.id(), text.as_deref().unwrap_or("?")),
                kind: "Process".to_owned(),
                namespace: workload.namespace.clone(),
                name: workload.name.clone(),
                process: text,
                cluster: None,
            }
        }
    }
}

fn namespace_name(party: &Party) -> NodeName {
    let namespace = party.workload.namespace.as_str();
    let (kind, name) = if namespace.is_empty() {
        match party.kind {
            PartyKind::External => ("External", "external"),
            PartyKind::Node => ("Node", "nodes"),
            PartyKind::Host => ("Host", "hosts"),
            PartyKind::Unknown | PartyKind::Pod | PartyKind::Service => ("Unknown", "unknown"),
        }
    } else {
        ("Namespace", namespace)
    };
    NodeName {
        id: format!("{name}[{kind}]"),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        process: None,
        cluster: None,
    }
}
