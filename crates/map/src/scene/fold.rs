//! Many bare addresses as one node.
//!
//! A scan of a network is hundreds of addresses that nobody can name. Each is true, and together they
//! hide everything else; the map and its table still have them one by one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_model::{Labels, PartyKind};

use crate::{Map, MapNode};

/// Bare addresses of one kind that are shown one by one.
const ADDRESSES_SHOWN_MAX: usize = 12;

/// What stands for what.
#[derive(Debug, Default)]
pub(crate) struct Folds<'a> {
    /// Id of the node that stands for it, by id.
    into: BTreeMap<&'a str, String>,
    /// The nodes that stand for others, and for how many.
    pub(crate) nodes: Vec<(MapNode, usize)>,
}

impl<'a> Folds<'a> {
    /// Finds what to fold in `map`.
    pub(crate) fn of(map: &'a Map) -> Self {
        let mut groups: BTreeMap<(Option<&str>, &str), Vec<&'a MapNode>> = BTreeMap::new();
        for node in &map.nodes {
            if let Some(kind) = kind(node) {
                groups.entry((node.cluster.as_deref(), kind)).or_default().push(node);
            }
        }
        let mut folds = Self::default();
        for ((cluster, kind), nodes) in groups {
            let (Some(first), true) = (nodes.first(), nodes.len() > ADDRESSES_SHOWN_MAX) else {
                continue;
            };
            let name = format!("addresses[{kind}]");
            let id = cluster.map_or_else(|| name.clone(), |cluster| format!("{cluster}/{name}"));
            folds.into.extend(nodes.iter().map(|node| (node.id.as_str(), id.clone())));
            let node = MapNode {
                id,
                cluster: cluster.map(str::to_owned),
                kind: kind.to_owned(),
                namespace: String::new(),
                name: "addresses".to_owned(),
                labels: Labels::new(),
                party: first.party,
                pods: 0,
                process: None,
            };
            folds.nodes.push((node, nodes.len()));
        }
        folds
    }

    /// The id under which the node `id` is in the scene.
    pub(crate) fn id<'b>(&'b self, id: &'b str) -> &'b str {
        self.into.get(id).map_or(id, String::as_str)
    }

    /// Whether another node stands for the node `id`.
    pub(crate) fn hides(&self, id: &str) -> bool {
        self.into.contains_key(id)
    }
}

/// The kind of a node that is a bare address.
fn kind(node: &MapNode) -> Option<&'static str> {
    let kind = match node.party {
        PartyKind::Unknown => "Unknown",
        PartyKind::External => "External",
        PartyKind::Pod | PartyKind::Service | PartyKind::Host | PartyKind::Node => return None,
    };
    node.name.parse::<IpAddr>().is_ok().then_some(kind)
}
