//! Lays a map out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sekisho_model::PartyKind;

use super::fold::Folds;
use super::joined::joined;
use super::lattice::{hash, mixed, seats};
use super::pack::{Growth, HEAD, PAD, Parcel, Seating, pack};
use super::shape::{Area, AreaKind, Coverage, Glyph, GlyphState, Partial, Scene, SceneOptions};
use crate::{Grouping, Map, MapNode};

/// Room between a cluster and what stands outside it, and between clusters.
const CLUSTER_GAP: i32 = 96;
/// Room between a cluster's frame and its namespaces.
const FRAME: i32 = 28;
const RADIUS_MIN: i32 = 11;
const RADIUS_MAX: i32 = 22;

/// Lays `map` out: the same map gives the same scene, on every machine.
///
/// Time and memory are linear in nodes and edges, but for sorting.
#[must_use]
pub fn scene(map: &Map, options: &SceneOptions) -> Scene {
    let folds = Folds::of(map);
    let nodes = shown_nodes(map, &folds, options.glyphs_max);
    let ids: BTreeSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    let (edges, edges_total) = joined(map, &folds, &ids, options.edges_max);
    let mut clusters: BTreeMap<Option<&str>, BTreeMap<Room<'_>, Vec<&MapNode>>> = BTreeMap::new();
    for node in &nodes {
        let rooms = clusters.entry(node.cluster.as_deref()).or_default();
        rooms.entry(room(&map.grouping, node)).or_default().push(node);
    }
    let folded = folds.nodes.iter().map(|(node, count)| (node.id.as_str(), *count)).collect();
    let mut drawing = Drawing { options, folded, areas: Vec::new(), glyphs: Vec::new() };
    let islands: Vec<Island> = clusters
        .iter()
        .map(|(cluster, rooms)| drawing.cluster(cluster.unwrap_or_default(), rooms))
        .collect();
    apart(&mut drawing, &islands);
    let Drawing { areas, mut glyphs, .. } = drawing;
    glyphs.sort_by(|a, b| a.id.cmp(&b.id));
    let left = areas.iter().map(|area| area.x).min().unwrap_or(0);
    let right = areas.iter().map(|area| area.x.saturating_add(area.w)).max().unwrap_or(0);
    let upper = areas.iter().map(|area| area.y).min().unwrap_or(0);
    let lower = areas.iter().map(|area| area.y.saturating_add(area.h)).max().unwrap_or(0);
    let total = map.nodes.iter().filter(|node| !folds.hides(&node.id)).count() + folds.nodes.len();
    let all = glyphs.len() == total && edges.len() == edges_total;
    let partial = (!all).then_some(Partial {
        glyphs_shown: glyphs.len(),
        glyphs_total: total,
        edges_shown: edges.len(),
        edges_total,
    });
    Scene {
        window: map.window,
        completeness: map.completeness.ratio,
        gaps: map.completeness.gaps.clone(),
        generation: format!("{:016x}", generation(&areas, &glyphs)),
        x: left,
        y: upper,
        width: right.saturating_sub(left),
        height: lower.saturating_sub(upper),
        areas,
        glyphs,
        edges,
        hidden: map.hidden.clone(),
        partial,
    }
}

/// One cluster with what stands around it: which areas and glyphs are its own.
struct Island {
    key: u64,
    areas: Range<usize>,
    glyphs: Range<usize>,
}

/// Moves islands apart; a single one stays where it is.
fn apart(drawing: &mut Drawing<'_>, islands: &[Island]) {
    if islands.len() < 2 {
        return;
    }
    let mut boxes = Vec::new();
    for island in islands {
        let areas = drawing.areas.get(island.areas.clone()).unwrap_or_default();
        let left = areas.iter().map(|area| area.x).min().unwrap_or(0);
        let top = areas.iter().map(|area| area.y).min().unwrap_or(0);
        let right = areas.iter().map(|area| area.x.saturating_add(area.w)).max().unwrap_or(0);
        let bottom = areas.iter().map(|area| area.y.saturating_add(area.h)).max().unwrap_or(0);
        let width = right.saturating_sub(left).saturating_add(CLUSTER_GAP);
        let height = bottom.saturating_sub(top).saturating_add(CLUSTER_GAP);
        boxes.push(((left, top), Parcel::covering(island.key, width, height)));
    }
    let ground = pack(&boxes.iter().map(|(_, parcel)| *parcel).collect::<Vec<_>>());
    for (number, (island, ((left, top), _))) in islands.iter().zip(&boxes).enumerate() {
        let (x, y) = ground.corner(number);
        let (dx, dy) = (x.saturating_sub(*left), y.saturating_sub(*top));
        for area in drawing.areas.get_mut(island.areas.clone()).into_iter().flatten() {
            (area.x, area.y) = (area.x.saturating_add(dx), area.y.saturating_add(dy));
        }
        for glyph in drawing.glyphs.get_mut(island.glyphs.clone()).into_iter().flatten() {
            (glyph.x, glyph.y) = (glyph.x.saturating_add(dx), glyph.y.saturating_add(dy));
        }
    }
}

/// All nodes, or the `most` with the most connections.
fn shown_nodes<'a>(map: &'a Map, folds: &'a Folds<'a>, most: usize) -> Vec<&'a MapNode> {
    let own = map.nodes.iter().filter(|node| !folds.hides(&node.id));
    let mut nodes: Vec<&MapNode> = own.chain(folds.nodes.iter().map(|(node, _)| node)).collect();
    if nodes.len() > most {
        let mut weight: BTreeMap<&str, u64> = BTreeMap::new();
        for edge in &map.edges {
            for end in [folds.id(&edge.source), folds.id(&edge.destination)] {
                let sum = weight.entry(end).or_default();
                *sum = sum.saturating_add(edge.connections);
            }
        }
        nodes.sort_by_cached_key(|node| {
            std::cmp::Reverse(weight.get(node.id.as_str()).copied().unwrap_or(0))
        });
        nodes.truncate(most);
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
    }
    nodes
}

/// Which box of its cluster a node stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Room<'a> {
    /// In the cluster's own: it is a namespace itself.
    Cluster,
    Namespace(&'a str),
    External,
    Machines,
}

fn room<'a>(grouping: &Grouping, node: &'a MapNode) -> Room<'a> {
    let is_flat = match grouping {
        Grouping::Cluster
        | Grouping::Namespace
        | Grouping::Label(_)
        | Grouping::Dimension(_)
        | Grouping::Node => true,
        Grouping::Application | Grouping::Workload | Grouping::Pod | Grouping::Process => false,
    };
    // A machine is what the map is about, or stands beside it.
    let is_group =
        *grouping == Grouping::Node || matches!(node.kind.as_str(), "Label" | "Dimension");
    match node.party {
        _ if !is_flat && !node.namespace.is_empty() => Room::Namespace(&node.namespace),
        PartyKind::Pod | PartyKind::Service if is_flat => Room::Cluster,
        PartyKind::Node | PartyKind::Host if is_group => Room::Cluster,
        _ if !node.namespace.is_empty() || node.kind == "Cluster" => Room::Cluster,
        PartyKind::Node | PartyKind::Host => Room::Machines,
        PartyKind::External | PartyKind::Unknown | PartyKind::Pod | PartyKind::Service => {
            Room::External
        }
    }
}

struct Drawing<'a> {
    options: &'a SceneOptions,
    /// How many nodes each of those stands for that stand for several, by id.
    folded: BTreeMap<&'a str, usize>,
    areas: Vec<Area>,
    glyphs: Vec<Glyph>,
}

impl Drawing<'_> {
    /// Draws one cluster, its frame's left at 0.
    fn cluster(&mut self, name: &str, rooms: &BTreeMap<Room<'_>, Vec<&MapNode>>) -> Island {
        let (areas, glyphs) = (self.areas.len(), self.glyphs.len());
        let id = if name.is_empty() { "cluster".to_owned() } else { name.to_owned() };
        let machines = rooms
            .get(&Room::Machines)
            .map(|nodes| (nodes, Seating::holding(nodes.len(), Growth::Up)));
        let above = machines.as_ref().map_or(0, |(_, seating)| seating.height() + CLUSTER_GAP);
        let origin = above;
        let frame = self.areas.len();
        let area = |kind, name: &str, (x, y): (i32, i32), nodes| Area {
            id: id.clone(),
            parent: None,
            kind,
            name: name.to_owned(),
            x,
            y,
            w: 0,
            h: 0,
            nodes,
        };
        let inside = rooms.iter().filter(|(room, _)| match room {
            Room::Cluster | Room::Namespace(_) => true,
            Room::External | Room::Machines => false,
        });
        let nodes = inside.map(|(_, nodes)| nodes.len()).sum();
        self.areas.push(area(AreaKind::Cluster, name, (0, origin), nodes));
        let (w, h) = self.inside(&id, rooms, origin);
        if let Some(area) = self.areas.get_mut(frame) {
            (area.w, area.h) = (w, h);
        }
        if let Some((nodes, seating)) = machines {
            let area = area(AreaKind::Host, "", (0, 0), nodes.len());
            let area = Area { id: format!("{id}/[Host]"), ..area };
            self.room(area, nodes, &seating, Growth::Up);
        }
        if let Some(nodes) = rooms.get(&Room::External) {
            let seating = Seating::holding(nodes.len(), Growth::Left);
            let x = 0_i32.saturating_sub(CLUSTER_GAP).saturating_sub(seating.width());
            let area = area(AreaKind::External, "", (x, origin), nodes.len());
            let area = Area { id: format!("{id}/[External]"), ..area };
            self.room(area, nodes, &seating, Growth::Left);
        }
        let key = hash(id.as_bytes());
        Island { key, areas: areas..self.areas.len(), glyphs: glyphs..self.glyphs.len() }
    }

    /// Draws what is inside a cluster's frame; returns the size of the frame.
    fn inside(
        &mut self,
        id: &str,
        rooms: &BTreeMap<Room<'_>, Vec<&MapNode>>,
        top: i32,
    ) -> (i32, i32) {
        if let Some(nodes) = rooms.get(&Room::Cluster) {
            let seating = Seating::holding(nodes.len(), Growth::Inside);
            self.seat(id, (0, top), nodes, (&seating, Growth::Inside));
            return (seating.width(), seating.height());
        }
        let boxes: Vec<(&str, &Vec<&MapNode>, Seating)> = rooms
            .iter()
            .filter_map(|(room, nodes)| match room {
                Room::Namespace(name) => {
                    Some((*name, nodes, Seating::holding(nodes.len(), Growth::Inside)))
                }
                Room::Cluster | Room::External | Room::Machines => None,
            })
            .collect();
        let parcels: Vec<Parcel> = boxes
            .iter()
            .map(|(name, _, seating)| Parcel {
                key: hash(name.as_bytes()),
                across: seating.across,
                down: seating.down,
            })
            .collect();
        let ground = pack(&parcels);
        for (number, (name, nodes, seating)) in boxes.iter().enumerate() {
            let (x, y) = ground.corner(number);
            let hosts = nodes.iter().all(|node| node.party == PartyKind::Host);
            let area = Area {
                id: format!("{id}/{name}"),
                parent: Some(id.to_owned()),
                kind: if hosts { AreaKind::Host } else { AreaKind::Namespace },
                name: (*name).to_owned(),
                x: FRAME.saturating_add(x),
                y: top.saturating_add(HEAD + PAD).saturating_add(y),
                w: 0,
                h: 0,
                nodes: nodes.len(),
            };
            self.room(area, nodes, seating, Growth::Inside);
        }
        let (w, h) = ground.size();
        (w.saturating_add(2 * FRAME), h.saturating_add(HEAD + PAD + FRAME))
    }

    fn room(&mut self, mut area: Area, nodes: &[&MapNode], seating: &Seating, growth: Growth) {
        (area.w, area.h) = (seating.width(), seating.height());
        self.seat(&area.id, (area.x, area.y), nodes, (seating, growth));
        self.areas.push(area);
    }

    fn seat(
        &mut self,
        area: &str,
        (x, y): (i32, i32),
        nodes: &[&MapNode],
        (seating, growth): (&Seating, Growth),
    ) {
        let keys: Vec<u64> = nodes.iter().map(|node| hash(node.id.as_bytes())).collect();
        let seats = seats(&keys, seating.cells.len());
        for (node, seat) in nodes.iter().zip(seats) {
            let (dx, dy) = seating.middle(seat, growth);
            let coverage = coverage(node, self.options);
            self.glyphs.push(Glyph {
                id: node.id.clone(),
                area: area.to_owned(),
                kind: node.kind.clone(),
                name: node.process.clone().unwrap_or_else(|| node.name.clone()),
                namespace: node.namespace.clone(),
                x: x.saturating_add(dx),
                y: y.saturating_add(dy),
                r: radius(node.pods.max(self.folded.get(node.id.as_str()).copied().unwrap_or(0))),
                pods: node.pods,
                folded: self.folded.get(node.id.as_str()).copied().unwrap_or(0),
                cluster: node.cluster.clone(),
                state: coverage.state,
                ingress: coverage.ingress,
                egress: coverage.egress,
                labels: node.labels.clone(),
            });
        }
    }
}

fn coverage(node: &MapNode, options: &SceneOptions) -> Coverage {
    match node.party {
        PartyKind::External | PartyKind::Unknown => Coverage::all(GlyphState::External),
        PartyKind::Pod | PartyKind::Service | PartyKind::Host | PartyKind::Node => {
            let known = options.coverage.get(&node.id).copied();
            known.unwrap_or_else(|| Coverage::all(GlyphState::Unknown))
        }
    }
}

/// One more for each doubling of pods: a glyph must be seen at one pod and fit its seat at 10,000.
fn radius(pods: usize) -> i32 {
    let doublings = i32::try_from(pods.checked_ilog2().unwrap_or(0)).unwrap_or(RADIUS_MAX);
    RADIUS_MIN.saturating_add(2 * doublings).min(RADIUS_MAX)
}

fn generation(areas: &[Area], glyphs: &[Glyph]) -> u64 {
    let areas = areas.iter().map(|area| (area.id.as_str(), [area.x, area.y, area.w, area.h]));
    let glyphs = glyphs.iter().map(|glyph| (glyph.id.as_str(), [glyph.x, glyph.y, glyph.r, 0]));
    areas.chain(glyphs).fold(0, |sum, (id, numbers)| {
        numbers.iter().fold(mixed(sum ^ hash(id.as_bytes())), |sum, number| {
            mixed(sum ^ u64::from(number.cast_unsigned()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glyph_grows_with_its_pods_and_fits_its_seat() {
        assert_eq!(radius(0), radius(1));
        assert!(radius(4) > radius(1));
        assert_eq!(radius(usize::MAX), RADIUS_MAX);
        const { assert!(2 * RADIUS_MAX + 24 < super::super::pack::SEAT_H) };
    }
}
