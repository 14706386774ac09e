//! The dependency graph and its JSON form.

use sekisho_model::{
    Completeness, Labels, PartyKind, Protocol, Reporters, TimeRange, Timestamp, Verdict,
};
use serde::{Serialize, Serializer};

use crate::Grouping;

/// A dependency graph: who talked to whom in `window`.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// What one node stands for.
    pub grouping: Grouping,
    /// The time looked at. Open ends of the range asked for are narrowed to the data.
    pub window: TimeRange,
    /// How much of the truth it holds.
    pub completeness: Completeness,
    /// Nodes, sorted by id.
    pub nodes: Vec<MapNode>,
    /// Edges, sorted by source, destination, protocol, port, verdict.
    pub edges: Vec<MapEdge>,
    /// What the options left out.
    pub hidden: Hidden,
}

/// What the options of a map left out, so that nothing is missing silently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hidden {
    /// Edges that no visible edge covers.
    pub edges: u64,
    /// Connections of all hidden rows.
    pub connections: u64,
    /// Those of them that are noise, by what calls them so, in the order in which it is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noise: Vec<Noise>,
}

/// What one rule hides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Noise {
    /// `dns`, `probes`, `scrapes`, or the name of a rule.
    pub name: String,
    /// Whether it is somebody's rule.
    pub own: bool,
    /// Connections.
    pub connections: u64,
}

/// One node of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapNode {
    /// Unique, stable id, e.g. `shop/cart[Deployment]`, `payments.example[External]`.
    pub id: String,
    /// The cluster, where the map is of several; its id begins with it, then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Kubernetes kind of the owner, or `Namespace`, `Pod`, `Process`, `Host`, `Node`, `External`.
    pub kind: String,
    /// Namespace; empty for nodes and externals.
    pub namespace: String,
    /// Name without namespace and kind.
    pub name: String,
    /// Labels that all endpoints behind the node have in common, without generated ones.
    pub labels: Labels,
    /// What kind of party stands behind it.
    pub party: PartyKind,
    /// Distinct pods behind it that took part in the edges shown; 0 for what is no pod.
    pub pods: usize,
    /// The process, at process grouping only; None if nobody saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

impl MapNode {
    /// What nodes are drawn together by: the namespace, with the cluster before it where the map is of
    /// several. Empty for what is in none.
    #[must_use]
    pub(crate) fn place(&self) -> String {
        match &self.cluster {
            None => self.namespace.clone(),
            Some(cluster) if self.namespace.is_empty() => cluster.clone(),
            Some(cluster) => format!("{cluster}/{}", self.namespace),
        }
    }
}

/// One edge of a map: all connections of one source, destination, protocol, port and verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapEdge {
    /// Id of the initiator's node.
    pub source: String,
    /// Id of the responder's node.
    pub destination: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination port after NAT.
    pub port: u16,
    /// What the kernel did.
    pub verdict: Verdict,
    /// Distinct pairs of processes seen at the two ends, sorted.
    pub processes: Vec<ProcessPair>,
    /// Connections that began.
    pub connections: u64,
    /// Payload bytes from source to destination.
    pub bytes_sent: u64,
    /// Payload bytes from destination to source.
    pub bytes_received: u64,
    /// Packets from source to destination.
    pub packets_sent: u64,
    /// Packets from destination to source.
    pub packets_received: u64,
    /// Connections that ended by reset or were refused.
    pub resets: u64,
    /// Earliest moment covered.
    pub first_seen: Timestamp,
    /// Latest moment covered.
    pub last_seen: Timestamp,
    /// Services it went through, `namespace/name:port`, sorted.
    pub services: Vec<String>,
    /// DNS names the source asked for, sorted.
    pub dns_names: Vec<String>,
    /// Policies and rules that denied or would deny it, sorted.
    pub decided_by: Vec<String>,
    /// Which ends reported.
    pub reporters: Reporters,
    /// True if every row behind it has only a guessed direction.
    pub direction_inferred: bool,
    /// True if a reporter lost records while it was summed.
    pub loss: bool,
}

/// The processes at both ends of one connection; None = nobody saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ProcessPair {
    /// Executable (or `comm`) at the source.
    pub source: Option<String>,
    /// Executable (or `comm`) at the destination.
    pub destination: Option<String>,
}

/// The JSON form: `completeness` is the bare ratio as promised, its parts lie beside it.
#[derive(Serialize)]
struct MapJson<'a> {
    grouping: &'a Grouping,
    window: TimeRange,
    completeness: f64,
    completeness_detail: &'a Completeness,
    nodes: &'a [MapNode],
    edges: &'a [MapEdge],
    hidden: &'a Hidden,
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = MapJson {
            grouping: &self.grouping,
            window: self.window,
            completeness: self.completeness.ratio,
            completeness_detail: &self.completeness,
            nodes: &self.nodes,
            edges: &self.edges,
            hidden: &self.hidden,
        };
        form.serialize(serializer)
    }
}

/// Prints `map` as one JSON object, indented, ending with a line break.
///
/// # Errors
/// Only if serde_json fails, which it does for no value of this type: all keys are strings.
pub fn json(map: &Map) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(map)?;
    text.push('\n');
    Ok(text)
}
