//! Before a map is drawn: which column each node stands in, which nodes form a box, which edges
//! share a line.
//!
//! Columns follow the calls from left to right (longest path, cycles broken by depth-first search).
//! What is outside the cluster stands at the sides. All edges of one source and one verdict form a
//! net: one line that leaves the source and branches to its targets.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{PartyKind, Protocol, Verdict};

use crate::Map;

/// Columns of what is inside the cluster. Longer chains share columns: a picture of a dense graph
/// would otherwise be as wide as its longest path, and most of it lines that pass by.
const COLUMNS_MAX: usize = 9;

/// Colours that tell the lines of different sources apart.
pub(crate) const HUES: usize = 8;

/// Nodes that are drawn in one box.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    /// True for what is no namespace: drawn without a title bar colour.
    pub(crate) side: bool,
    pub(crate) nodes: Vec<usize>,
    /// First and last column of its nodes.
    pub(crate) columns: (usize, usize),
    pub(crate) lane: usize,
}

/// A port of a node at which edges arrive.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) connections: u64,
    /// Nets that end here.
    pub(crate) nets: Vec<usize>,
}

/// Where a net ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) node: usize,
    /// Index into the node's pins.
    pub(crate) pin: usize,
    /// Index into the map's edges.
    pub(crate) edge: usize,
}

/// All edges of one source and verdict.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) source: usize,
    pub(crate) verdict: Verdict,
    pub(crate) ends: Vec<End>,
    /// Its source and the nodes of its ends.
    pub(crate) nodes: Vec<usize>,
    /// First and last gutter it runs in. Gutter g lies left of column g.
    pub(crate) gutters: (usize, usize),
    /// Which of the [`HUES`] colours it has, if its verdict gives it none.
    pub(crate) hue: usize,
}

/// The plan of a drawing; all indices are positions in the map's nodes and edges.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) columns: Vec<usize>,
    pub(crate) column_count: usize,
    pub(crate) groups: Vec<Group>,
    pub(crate) group_of: Vec<usize>,
    pub(crate) pins: Vec<Vec<Pin>>,
    pub(crate) nets: Vec<Net>,
}

/// The item at `index`; the default if there is none, so that no drawing can panic.
pub(crate) fn at<T: Copy + Default>(items: &[T], index: usize) -> T {
    items.get(index).copied().unwrap_or_default()
}

pub(crate) fn plan(map: &Map) -> Plan {
    let links = links(map);
    let columns = columns(map, &links);
    let column_count = columns.iter().max().map_or(0, |last| last + 1);
    let mut groups = groups(map, &columns);
    let mut group_of = vec![0; map.nodes.len()];
    for (index, group) in groups.iter().enumerate() {
        for &node in &group.nodes {
            if let Some(place) = group_of.get_mut(node) {
                *place = index;
            }
        }
    }
    let group_links: Vec<(usize, usize)> =
        links.iter().map(|(a, b)| (at(&group_of, *a), at(&group_of, *b))).collect();
    assign_lanes(&mut groups, &group_links);
    let (pins, nets) = nets(map, &columns);
    Plan { columns, column_count, groups, group_of, pins, nets }
}

/// Distinct pairs of different nodes with an edge from the first to the second.
fn links(map: &Map) -> BTreeSet<(usize, usize)> {
    let index = index_of(map);
    let ends = map.edges.iter().filter_map(|edge| {
        Some((*index.get(edge.source.as_str())?, *index.get(edge.destination.as_str())?))
    });
    ends.filter(|(a, b)| a != b).collect()
}

fn index_of(map: &Map) -> BTreeMap<&str, usize> {
    map.nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect()
}

/// Whether a node is drawn at the side, outside the flow of columns.
fn is_side(kind: PartyKind) -> bool {
    match kind {
        PartyKind::Pod | PartyKind::Service => false,
        PartyKind::Host | PartyKind::Node | PartyKind::External | PartyKind::Unknown => true,
    }
}

fn columns(map: &Map, links: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let side: Vec<bool> = map.nodes.iter().map(|node| is_side(node.party)).collect();
    let inner: BTreeSet<(usize, usize)> =
        links.iter().copied().filter(|(a, b)| !at(&side, *a) && !at(&side, *b)).collect();
    let mut columns = longest_paths(map.nodes.len(), &inner);
    let called: BTreeSet<usize> = links.iter().map(|(_, b)| *b).collect();
    let calls: BTreeSet<usize> = links.iter().map(|(a, _)| *a).collect();
    let left = |node: usize| at(&side, node) && calls.contains(&node) && !called.contains(&node);
    let shift = usize::from((0..side.len()).any(left));
    let last =
        (0..side.len()).filter(|&n| !at(&side, n)).map(|n| at(&columns, n) + shift + 1).max();
    for (node, column) in columns.iter_mut().enumerate() {
        *column = match (at(&side, node), left(node)) {
            (false, _) => *column + shift,
            (true, true) => 0,
            (true, false) => last.unwrap_or(shift),
        };
    }
    columns
}

/// Length of the longest path to each node once cycles are broken; then nodes that nobody calls
/// move right, next to the first one they call.
fn longest_paths(count: usize, links: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut called = vec![0_usize; count];
    for &(a, b) in links {
        if let (Some(list), Some(calls)) = (next.get_mut(a), called.get_mut(b)) {
            list.push(b);
            *calls += 1;
        }
    }
    let (order, back) = depth_first(&next, &called);
    let forward = |a: usize, b: usize| !back.contains(&(a, b));
    let mut columns = vec![0_usize; count];
    for &a in &order {
        let after = at(&columns, a) + 1;
        for &b in next.get(a).into_iter().flatten().filter(|&&b| forward(a, b)) {
            if let Some(column) = columns.get_mut(b) {
                *column = after.max(*column);
            }
        }
    }
    let deepest = columns.iter().max().copied().unwrap_or(0);
    if deepest >= COLUMNS_MAX {
        for column in &mut columns {
            *column = *column * (COLUMNS_MAX - 1) / deepest;
        }
    }
    for a in (0..count).filter(|&a| at(&called, a) == 0) {
        let targets = next.get(a).into_iter().flatten();
        if let Some(first) = targets.map(|&b| at(&columns, b)).min()
            && let Some(column) = columns.get_mut(a)
        {
            *column = first.saturating_sub(1);
        }
    }
    columns
}

/// Topological order, and the links that had to be ignored to have one.
fn depth_first(next: &[Vec<usize>], called: &[usize]) -> (Vec<usize>, BTreeSet<(usize, usize)>) {
    #[derive(Clone, Copy, PartialEq, Default)]
    enum Mark {
        #[default]
        New,
        Open,
        Done,
    }
    let mut roots: Vec<usize> = (0..next.len()).collect();
    // Those that call much and are called little come first: fewer arrows point backwards.
    let degree = |n: usize| (at(called, n), usize::MAX - next.get(n).map_or(0, Vec::len), n);
    roots.sort_by_key(|&n| degree(n));
    let mut marks = vec![Mark::New; next.len()];
    let (mut order, mut back) = (Vec::new(), BTreeSet::new());
    for root in roots {
        let mut stack = vec![(root, 0)];
        while let Some((node, step)) = stack.pop() {
            if step == 0 {
                if at(&marks, node) != Mark::New {
                    continue;
                }
                if let Some(mark) = marks.get_mut(node) {
                    *mark = Mark::Open;
                }
            }
            let target = next.get(node).and_then(|list| list.get(step)).copied();
            match target {
                Some(target) => {
                    stack.push((node, step + 1));
                    match at(&marks, target) {
                        Mark::New => stack.push((target, 0)),
                        Mark::Open => drop(back.insert((node, target))),
                        Mark::Done => {}
                    }
                }
                None => {
                    if let Some(mark) = marks.get_mut(node) {
                        *mark = Mark::Done;
                    }
                    order.push(node);
                }
            }
        }
    }
    order.reverse();
    (order, back)
}

/// One group per namespace; what is at the side, one per kind and column.
fn groups(map: &Map, columns: &[usize]) -> Vec<Group> {
    let mut groups: BTreeMap<(bool, String, usize), Vec<usize>> = BTreeMap::new();
    for (index, node) in map.nodes.iter().enumerate() {
        let key = if node.namespace.is_empty() || node.party == PartyKind::Host {
            let title = match node.party {
                PartyKind::External => "external",
                PartyKind::Node => "nodes",
                PartyKind::Host => "hosts",
                PartyKind::Unknown | PartyKind::Pod | PartyKind::Service => "unknown",
            };
            let title = match &node.cluster {
                Some(cluster) => format!("{cluster}: {title}"),
                None => title.to_owned(),
            };
            (true, title, at(columns, index))
        } else {
            (false, node.place(), 0)
        };
        groups.entry(key).or_default().push(index);
    }
    let group = |((side, title, _), nodes): ((bool, String, usize), Vec<usize>)| {
        let of = || nodes.iter().map(|&node| at(columns, node));
        let span = (of().min().unwrap_or(0), of().max().unwrap_or(0));
        Group { title, side, nodes, columns: span, lane: 0 }
    };
    groups.into_iter().map(group).collect()
}

/// Puts each group into a lane (a horizontal band) so that none overlaps another, then orders the
/// lanes so that linked groups are near.
fn assign_lanes(groups: &mut [Group], links: &[(usize, usize)]) {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let size = |index: usize| groups.get(index).map_or(0, |group| group.nodes.len());
    order.sort_by_key(|&index| (usize::MAX - size(index), index));
    let mut lanes: Vec<Vec<(usize, usize)>> = Vec::new();
    for index in order {
        let Some(group) = groups.get_mut(index) else { continue };
        let (from, to) = group.columns;
        let free = |taken: &Vec<(usize, usize)>| taken.iter().all(|&(a, b)| b < from || to < a);
        let lane = lanes.iter().position(free).unwrap_or(lanes.len());
        if lane == lanes.len() {
            lanes.push(Vec::new());
        }
        if let Some(taken) = lanes.get_mut(lane) {
            taken.push((from, to));
        }
        group.lane = lane;
    }
    let rows = nearest_order(groups, links, lanes.len());
    for group in groups.iter_mut() {
        group.lane = at(&rows, group.lane);
    }
}

/// The row of each lane after neighbours were swapped as long as that shortened the links.
fn nearest_order(groups: &[Group], links: &[(usize, usize)], count: usize) -> Vec<usize> {
    let lane = |index: usize| groups.get(index).map_or(0, |group| group.lane);
    let pairs: Vec<(usize, usize)> = links.iter().map(|(a, b)| (lane(*a), lane(*b))).collect();
    let length = |rows: &[usize]| -> usize {
        pairs.iter().map(|(a, b)| at(rows, *a).abs_diff(at(rows, *b))).sum()
    };
    let mut rows: Vec<usize> = (0..count).collect();
    let mut best = length(&rows);
    // Any pair, not only neighbours: there are few lanes. Each pass that changes nothing ends it.
    for _ in 0..count.min(16) {
        let before = best;
        for (a, b) in (0..count.min(64)).flat_map(|a| (0..a).map(move |b| (a, b))) {
            rows.swap(a, b);
            let now = length(&rows);
            if now < best {
                best = now;
            } else {
                rows.swap(a, b);
            }
        }
        if best == before {
            break;
        }
    }
    rows
}

fn nets(map: &Map, columns: &[usize]) -> (Vec<Vec<Pin>>, Vec<Net>) {
    let index = index_of(map);
    let mut pins: Vec<Vec<Pin>> = vec![Vec::new(); map.nodes.len()];
    let mut nets: BTreeMap<(usize, Verdict), Vec<(usize, usize)>> = BTreeMap::new();
    for (number, edge) in map.edges.iter().enumerate() {
        let ends = (index.get(edge.source.as_str()), index.get(edge.destination.as_str()));
        let (Some(&source), Some(&node)) = ends else { continue };
        nets.entry((source, edge.verdict)).or_default().push((node, number));
    }
    let mut result = Vec::new();
    for ((source, verdict), targets) in nets {
        let exit = at(columns, source) + 1;
        let (ends, nodes) = (Vec::new(), vec![source]);
        let mut net = Net { source, verdict, ends, nodes, gutters: (exit, exit), hue: 0 };
        for (node, number) in targets {
            let (Some(edge), Some(pins)) = (map.edges.get(number), pins.get_mut(node)) else {
                continue;
            };
            let same = |pin: &Pin| (pin.port, pin.protocol) == (edge.port, edge.protocol);
            let pin = pins.iter().position(same).unwrap_or(pins.len());
            if pin == pins.len() {
                let (port, protocol) = (edge.port, edge.protocol);
                pins.push(Pin { port, protocol, connections: 0, nets: Vec::new() });
            }
            if let Some(pin) = pins.get_mut(pin) {
                pin.connections = pin.connections.saturating_add(edge.connections);
                pin.nets.push(result.len());
            }
            let gutter = at(columns, node);
            net.gutters = (net.gutters.0.min(gutter), net.gutters.1.max(gutter));
            net.nodes.push(node);
            net.ends.push(End { node, pin, edge: number });
        }
        result.push(net);
    }
    assign_hues(&mut result);
    (pins, result)
}

/// Gives each net the colour that is rarest among the nets before it that run beside it.
fn assign_hues(nets: &mut [Net]) {
    for index in 0..nets.len() {
        let (before, rest) = nets.split_at_mut(index);
        let Some(net) = rest.first_mut() else { continue };
        let beside = |other: &&Net| {
            other.verdict == net.verdict
                && other.gutters.0 <= net.gutters.1
                && net.gutters.0 <= other.gutters.1
        };
        let mut used = [0_usize; HUES];
        for other in before.iter().filter(beside) {
            if let Some(count) = used.get_mut(other.hue) {
                *count += 1;
            }
        }
        net.hue = (0..HUES).min_by_key(|&hue| at(&used, hue)).unwrap_or(0);
    }
}
