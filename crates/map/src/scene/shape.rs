//! What a scene consists of. Lengths are in units of the scene, about one pixel at scale 1.

use std::collections::BTreeMap;

use sekisho_model::{Labels, Protocol, TimeRange, Timestamp, Verdict};
use serde::{Deserialize, Serialize};

use crate::Hidden;

/// Ports that a scene's edge names at most; the rest is a number.
pub(crate) const PORTS_PER_EDGE_MAX: usize = 16;
/// Executables that each end of it names at most.
pub(crate) const PROCESSES_PER_END_MAX: usize = 4;

/// What a scene is asked for besides its map.
#[derive(Clone, Debug)]
pub struct SceneOptions {
    /// What policies select, by id of node. Who is not in it is [`GlyphState::External`] or
    /// [`GlyphState::Unknown`]: no node is said to be without policy by somebody who did not look.
    pub coverage: BTreeMap<String, Coverage>,
    /// Most nodes shown, those with the most connections first.
    pub glyphs_max: usize,
    /// Most edges shown, those not allowed first, then those with the most connections.
    pub edges_max: usize,
}

impl Default for SceneOptions {
    fn default() -> Self {
        Self { coverage: BTreeMap::new(), glyphs_max: 5_000, edges_max: 15_000 }
    }
}

/// A map, laid out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scene {
    /// The time looked at.
    pub window: TimeRange,
    /// How much of the truth it holds, 0 to 1.
    pub completeness: f64,
    /// Nodes that lost records or were silent, with the reason.
    pub gaps: Vec<String>,
    /// A hash of areas and glyphs, 16 hexadecimal digits: while it stays, nothing has moved.
    pub generation: String,
    /// Left end of the picture; negative where something stands left of the first cluster.
    pub x: i32,
    /// Its top.
    pub y: i32,
    /// Its width.
    pub width: i32,
    /// Its height.
    pub height: i32,
    /// Boxes, outer before inner, then by id.
    pub areas: Vec<Area>,
    /// Nodes, by id.
    pub glyphs: Vec<Glyph>,
    /// Edges, by source, destination and verdict.
    pub edges: Vec<SceneEdge>,
    /// What the options of its map left out.
    pub hidden: Hidden,
    /// What the limits left out; None if nothing.
    pub partial: Option<Partial>,
}

/// What the limits of a scene left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Partial {
    /// Nodes in the scene.
    pub glyphs_shown: usize,
    /// Nodes of the map.
    pub glyphs_total: usize,
    /// Edges in the scene.
    pub edges_shown: usize,
    /// Edges of the map, joined by pair and verdict.
    pub edges_total: usize,
}

/// What an area stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AreaKind {
    /// A cluster, around its namespaces.
    Cluster,
    /// A namespace.
    Namespace,
    /// What is outside, and addresses that nobody could name.
    External,
    /// Machines: a cluster's nodes, VMs and hosts.
    Host,
}

/// A box with a name around nodes or other boxes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Area {
    /// Unique and stable, e.g. `cluster`, `cluster/shop`, `cluster/[External]`.
    pub id: String,
    /// Id of the area around it; None for a cluster.
    pub parent: Option<String>,
    /// What it stands for.
    pub kind: AreaKind,
    /// Namespace or cluster; empty where the map names none.
    pub name: String,
    /// Left.
    pub x: i32,
    /// Top.
    pub y: i32,
    /// Width.
    pub w: i32,
    /// Height.
    pub h: i32,
    /// Nodes in it, at any depth.
    pub nodes: usize,
}

/// What is known of the policies that select a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlyphState {
    /// No policy selects it: everything may reach it.
    NoPolicy,
    /// A staged policy selects it, none that is in force.
    Staged,
    /// A policy in force selects it.
    Enforced,
    /// Outside, so no policy can select it.
    External,
    /// Nobody looked.
    Unknown,
}

/// What policies select a node, for each direction of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Any direction.
    pub state: GlyphState,
    /// What comes to it.
    pub ingress: GlyphState,
    /// What goes from it.
    pub egress: GlyphState,
}

impl Coverage {
    /// The same for both directions.
    #[must_use]
    pub fn all(state: GlyphState) -> Self {
        Self { state, ingress: state, egress: state }
    }

    /// Of two that one node stands for: it is as open as the more open of them.
    #[must_use]
    pub fn weakest(self, other: Self) -> Self {
        Self {
            state: self.state.min(other.state),
            ingress: self.ingress.min(other.ingress),
            egress: self.egress.min(other.egress),
        }
    }
}

/// A node of the map and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Glyph {
    /// Id of the map's node.
    pub id: String,
    /// Id of the area that it stands in.
    pub area: String,
    /// Kind of the map's node.
    pub kind: String,
    /// Its name; the executable at process grouping.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Middle, from the left.
    pub x: i32,
    /// Middle, from the top.
    pub y: i32,
    /// Radius; grows with the number of pods.
    pub r: i32,
    /// Pods behind it; 0 for what is no pod.
    pub pods: usize,
    /// Nodes of the map that it stands for, where it stands for several; 0 otherwise.
    pub folded: usize,
    /// Its cluster, where the map is of several; its id begins with it, then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What policies select it.
    pub state: GlyphState,
    /// What policies select what comes to it.
    pub ingress: GlyphState,
    /// What policies select what goes from it.
    pub egress: GlyphState,
    /// Labels that all endpoints behind it share.
    pub labels: Labels,
}

/// What is known of the encryption of an edge. Nobody looked into its bytes: its ports say it, as IANA
/// assigns them (Service Name and Transport Protocol Port Number Registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// All its ports are of protocols that are encrypted from the first byte.
    Encrypted,
    /// All its ports are of protocols that never are.
    Clear,
    /// Some are, some are not.
    Mixed,
    /// At least one says neither: most databases and all ports of one's own.
    Unknown,
}

/// One port of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ScenePort {
    /// Protocol.
    pub protocol: Protocol,
    /// Port; 0 where the protocol has none.
    pub port: u16,
}

/// All edges of the map of one pair and one verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SceneEdge {
    /// Unique and stable: a hash of source, destination and verdict.
    pub id: String,
    /// Id of the initiator's node.
    pub source: String,
    /// Id of the responder's node.
    pub destination: String,
    /// What the kernel did.
    pub verdict: Verdict,
    /// The first ports, sorted; at most 16.
    pub ports: Vec<ScenePort>,
    /// Edges of the map behind it: one for each port.
    pub rows: usize,
    /// Executables at the source, the first ones, sorted; at most 4.
    pub source_processes: Vec<String>,
    /// Executables at the destination, likewise.
    pub destination_processes: Vec<String>,
    /// Of how many ends the process was seen, each time: 0, 1 or 2.
    pub ends_seen: u8,
    /// Whether its bytes were encrypted, as its ports say.
    pub encryption: Encryption,
    /// Connections that began.
    pub connections: u64,
    /// Payload bytes, both directions.
    pub bytes: u64,
    /// Connections that ended by reset or were refused.
    pub resets: u64,
    /// Earliest moment covered.
    pub first_seen: Timestamp,
    /// Latest moment covered.
    pub last_seen: Timestamp,
    /// True if every row behind it has only a guessed direction.
    pub direction_inferred: bool,
    /// True if a reporter lost records while it was summed.
    pub loss: bool,
}
