//! What the two ends of a connection are called at each grouping.

use sekisho_labels::DimensionName;
use sekisho_model::{ClusterName, Party, PartyKind, Process};

use crate::group::Grouping;
use crate::options::MapOptions;

/// Kind of the node that stands for a cluster.
const CLUSTER: &str = "Cluster";

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
        let id = match self.kind.as_str() {
            CLUSTER => self.id,
            _ => format!("{cluster}/{}", self.id),
        };
        Self { id, cluster: Some(cluster.to_string()), ..self }
    }

    /// The name of a group that is in no namespace.
    fn group(kind: &str, name: &str) -> Self {
        Self {
            id: format!("{name}[{kind}]"),
            kind: kind.to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
            process: None,
            cluster: None,
        }
    }

    /// The name of something in the party's namespace.
    fn own(party: &Party, kind: &str, name: &str) -> Self {
        let namespace = party.workload.namespace.clone();
        let id = format!("{namespace}/{name}[{kind}]");
        let (kind, name) = (kind.to_owned(), name.to_owned());
        Self { id, kind, namespace, name, process: None, cluster: None }
    }

    fn workload(party: &Party) -> Self {
        Self {
            id: party.id(),
            kind: party.workload.kind.clone(),
            namespace: party.workload.namespace.clone(),
            name: party.workload.name.clone(),
            process: None,
            cluster: None,
        }
    }
}

/// The id of the node that `party` is part of on a map as `options` ask for, of one cluster.
#[must_use]
pub fn node_id(options: &MapOptions, cluster: &ClusterName, party: &Party) -> String {
    node_name((options, &options.grouping), cluster, party, None).id
}

pub(crate) fn node_name(
    (options, grouping): (&MapOptions, &Grouping),
    cluster: &ClusterName,
    party: &Party,
    process: Option<&Process>,
) -> NodeName {
    match grouping {
        Grouping::Cluster => match party.kind {
            PartyKind::Pod | PartyKind::Service | PartyKind::Node => {
                NodeName::group(CLUSTER, cluster.as_str())
            }
            PartyKind::Host | PartyKind::External | PartyKind::Unknown => namespace_name(party),
        },
        Grouping::Namespace => namespace_name(party),
        Grouping::Application => application(options, cluster, party),
        Grouping::Label(key) => labelled((options, key.as_str()), cluster, party),
        Grouping::Dimension(name) => called((options, name), cluster, party),
        Grouping::Node => machine(options, cluster, party),
        Grouping::Pod if party.kind == PartyKind::Pod && !party.pod.is_empty() => {
            NodeName::own(party, "Pod", &party.pod)
        }
        Grouping::Workload | Grouping::Pod => NodeName::workload(party),
        Grouping::Process => {
            let text = process.map(ToString::to_string);
            NodeName {
                id: format!("{} {}", party.id(), text.as_deref().unwrap_or("?")),
                kind: "Process".to_owned(),
                process: text,
                ..NodeName::workload(party)
            }
        }
    }
}

fn namespace_name(party: &Party) -> NodeName {
    let namespace = party.workload.namespace.as_str();
    if !namespace.is_empty() {
        return NodeName {
            namespace: namespace.to_owned(),
            ..NodeName::group("Namespace", namespace)
        };
    }
    match party.kind {
        PartyKind::External => NodeName::group("External", "external"),
        PartyKind::Node => NodeName::group("Node", "nodes"),
        PartyKind::Host => NodeName::group("Host", "hosts"),
        PartyKind::Unknown | PartyKind::Pod | PartyKind::Service => {
            NodeName::group("Unknown", "unknown")
        }
    }
}

/// The value of `party` in a dimension.
fn value<'a>(
    (options, dimension): (&'a MapOptions, &str),
    cluster: &ClusterName,
    party: &'a Party,
) -> Option<&'a str> {
    let of_namespace = |key: &str| options.places.label(cluster, &party.workload.namespace, key);
    options.labels.value((cluster, &party.workload), dimension, &party.labels, of_namespace)
}

fn application(options: &MapOptions, cluster: &ClusterName, party: &Party) -> NodeName {
    match value((options, DimensionName::APPLICATION), cluster, party) {
        Some(name) if party.workload.namespace.is_empty() => NodeName::group("Application", name),
        Some(name) => NodeName::own(party, "Application", name),
        None => NodeName::workload(party),
    }
}

/// Named as [`labelled`], by the dimension. What is no workload has a name of its own without a value.
fn called(
    (options, dimension): (&MapOptions, &DimensionName),
    cluster: &ClusterName,
    party: &Party,
) -> NodeName {
    let group = |name: &str| NodeName::group("Dimension", name);
    match (value((options, dimension.as_str()), cluster, party), party.kind) {
        (Some(value), _) => group(&format!("{dimension}={value}")),
        (None, PartyKind::Pod | PartyKind::Service | PartyKind::Host) => {
            group(&format!("!{dimension}"))
        }
        (None, PartyKind::Node | PartyKind::External | PartyKind::Unknown) => namespace_name(party),
    }
}

/// Named as a selector of Kubernetes would say it: `key=value`, and `!key` without the label.
fn labelled((options, key): (&MapOptions, &str), cluster: &ClusterName, party: &Party) -> NodeName {
    match party.kind {
        PartyKind::Pod | PartyKind::Service | PartyKind::Host => {
            let own = party.labels.get(key).map(String::as_str);
            let value =
                own.or_else(|| options.places.label(cluster, &party.workload.namespace, key));
            NodeName::group(
                "Label",
                &value.map_or_else(|| format!("!{key}"), |value| format!("{key}={value}")),
            )
        }
        PartyKind::Node | PartyKind::External | PartyKind::Unknown => namespace_name(party),
    }
}

fn machine(options: &MapOptions, cluster: &ClusterName, party: &Party) -> NodeName {
    if party.kind != PartyKind::Pod {
        return NodeName::workload(party);
    }
    let machine = options.places.machine(cluster, &party.workload.namespace, &party.pod);
    NodeName::group("Node", machine.unwrap_or("?"))
}
