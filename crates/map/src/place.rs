//! Heights: stacks the nodes of each lane and column, with thin slots for lines that pass by.
//!
//! All lines of one column lie on a grid of 8, shifted by 4 in every other column. So a line that
//! leaves a column never lies on one that enters the next.

use std::collections::BTreeMap;

use crate::plan::{Plan, at};

/// The grid of lines.
pub(crate) const GRID: i32 = 8;
/// Height of the part of a node above its pins.
pub(crate) const NODE_HEAD: i32 = 40;
const NODE_HEIGHT_MIN: i32 = 48;
/// Below the last pin.
const NODE_FOOT: i32 = 8;
const NODE_GAP: i32 = 16;
/// Room for the title of a box, above its nodes.
pub(crate) const LANE_HEAD: i32 = 32;
/// Room between the lowest node of a lane and the edge of its box.
pub(crate) const LANE_FOOT: i32 = 16;
const LANE_GAP: i32 = 24;
const ROUNDS: usize = 24;

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Node(usize),
    /// The line of a net on its way between the gutters at both sides.
    Pass(usize),
}

type Cells = BTreeMap<(usize, usize), Vec<Item>>;

/// Where everything stands, vertically.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placement {
    /// Top of each node.
    pub(crate) node_top: Vec<i32>,
    /// Height of the line of a net in a column that it passes.
    pub(crate) pass: BTreeMap<(usize, usize), i32>,
    /// Top and bottom of each lane's boxes.
    pub(crate) lanes: Vec<(i32, i32)>,
    /// Bottom of all.
    pub(crate) bottom: i32,
}

/// Height of a node: its head and its pins.
pub(crate) fn node_height(plan: &Plan, node: usize) -> i32 {
    let pins = plan.pins.get(node).into_iter().flatten();
    let rows: i32 = pins.map(|pin| pin_height(pin.nets.len())).sum();
    (NODE_HEAD + rows + NODE_FOOT).max(NODE_HEIGHT_MIN)
}

/// Height of a pin at which `lines` lines end.
pub(crate) fn pin_height(lines: usize) -> i32 {
    GRID.saturating_mul(i32::try_from(lines).unwrap_or(i32::MAX).saturating_add(1))
}

/// Finds an order within columns in which lines are short, and the heights that follow from it.
pub(crate) fn place(plan: &Plan, top: i32) -> Placement {
    let mut cells = first_cells(plan);
    let neighbours = neighbours(plan);
    let mut best = stacked(plan, &cells, top);
    let mut best_length = length(plan, &best);
    let mut now = best.clone();
    for _ in 0..ROUNDS {
        let middles: Vec<i32> =
            (0..plan.columns.len()).map(|node| middle(plan, &now, node)).collect();
        for items in cells.values_mut() {
            items.sort_by_cached_key(|item| {
                let of = match item {
                    Item::Node(node) => neighbours.get(*node).map(Vec::as_slice),
                    Item::Pass(net) => plan.nets.get(*net).map(|net| net.nodes.as_slice()),
                };
                (mean(of.unwrap_or_default(), &middles), *item)
            });
        }
        now = stacked(plan, &cells, top);
        let length = length(plan, &now);
        if length < best_length {
            (best, best_length) = (now.clone(), length);
        }
    }
    best
}

fn lane_of(plan: &Plan, node: usize) -> usize {
    plan.groups.get(at(&plan.group_of, node)).map_or(0, |group| group.lane)
}

fn first_cells(plan: &Plan) -> Cells {
    let mut cells = Cells::new();
    for (node, &column) in plan.columns.iter().enumerate() {
        cells.entry((lane_of(plan, node), column)).or_default().push(Item::Node(node));
    }
    for (number, net) in plan.nets.iter().enumerate() {
        // Passing in the lane of its source, a line stays out of the boxes of others.
        let lane = lane_of(plan, net.source);
        for column in net.gutters.0..net.gutters.1 {
            cells.entry((lane, column)).or_default().push(Item::Pass(number));
        }
    }
    cells
}

fn height(plan: &Plan, item: Item) -> i32 {
    match item {
        Item::Node(node) => node_height(plan, node),
        Item::Pass(_) => 0,
    }
}

fn gap(above: Item, below: Item) -> i32 {
    match (above, below) {
        (Item::Node(_), Item::Node(_)) => NODE_GAP,
        (Item::Pass(_), Item::Pass(_)) => GRID,
        (Item::Node(_), Item::Pass(_)) | (Item::Pass(_), Item::Node(_)) => GRID + GRID / 2,
    }
}

fn cell_height(plan: &Plan, items: &[Item]) -> i32 {
    let gaps: i32 = items
        .windows(2)
        .map(|pair| match pair {
            [above, below] => gap(*above, *below) + GRID,
            _ => 0,
        })
        .sum();
    items.iter().map(|item| height(plan, *item)).sum::<i32>() + gaps
}

fn stacked(plan: &Plan, cells: &Cells, top: i32) -> Placement {
    let lane_count = plan.groups.iter().map(|group| group.lane + 1).max().unwrap_or(0);
    let mut tallest = vec![0; lane_count];
    for ((lane, _), items) in cells {
        if let Some(tall) = tallest.get_mut(*lane) {
            *tall = cell_height(plan, items).max(*tall);
        }
    }
    let mut result = Placement { node_top: vec![0; plan.columns.len()], ..Placement::default() };
    let mut y = top;
    for tall in &tallest {
        let bottom = y + LANE_HEAD + tall + GRID + LANE_FOOT;
        result.lanes.push((y, bottom));
        y = bottom + LANE_GAP;
    }
    result.bottom = y - LANE_GAP;
    for ((lane, column), items) in cells {
        let slack = at(&tallest, *lane) - cell_height(plan, items);
        let lane_top = at(&result.lanes, *lane).0 + LANE_HEAD;
        let shift = if column.is_multiple_of(2) { 0 } else { GRID / 2 };
        let mut y = lane_top + slack / 2;
        let mut above: Option<Item> = None;
        for &item in items {
            y = on_grid(y + above.map_or(0, |above| gap(above, item)), shift);
            match item {
                Item::Node(node) => {
                    if let Some(place) = result.node_top.get_mut(node) {
                        *place = y;
                    }
                }
                Item::Pass(net) => drop(result.pass.insert((net, *column), y)),
            }
            y += height(plan, item);
            above = Some(item);
        }
    }
    result
}

/// The next place on the grid at or below `y`.
fn on_grid(y: i32, shift: i32) -> i32 {
    y + (shift - y).rem_euclid(GRID)
}

fn middle(plan: &Plan, placement: &Placement, node: usize) -> i32 {
    at(&placement.node_top, node) + node_height(plan, node) / 2
}

/// Nodes at the other ends of the nets of each node.
fn neighbours(plan: &Plan) -> Vec<Vec<usize>> {
    let mut result: Vec<Vec<usize>> = vec![Vec::new(); plan.columns.len()];
    for net in &plan.nets {
        for end in &net.ends {
            if let Some(list) = result.get_mut(end.node) {
                list.push(net.source);
            }
            if let Some(list) = result.get_mut(net.source) {
                list.push(end.node);
            }
        }
    }
    result
}

/// The height at which an item would like to be, in sixteenths: the mean of what it is linked to.
fn mean(nodes: &[usize], middles: &[i32]) -> i64 {
    let sum: i64 = nodes.iter().map(|&node| i64::from(at(middles, node))).sum();
    sum * 16 / i64::try_from(nodes.len()).unwrap_or(i64::MAX).max(1)
}

/// Total length of the vertical parts of all nets.
fn length(plan: &Plan, placement: &Placement) -> i64 {
    let mut total = 0;
    for number in 0..plan.nets.len() {
        for trunk in trunks_of(plan, placement, number, &|node, _| middle(plan, placement, node)) {
            let (top, bottom) = trunk.span();
            total += i64::from(bottom - top);
        }
    }
    total
}

/// The vertical part of a net in one gutter, and the heights at which lines join it.
#[derive(Clone, Debug)]
pub(crate) struct Trunk {
    pub(crate) net: usize,
    pub(crate) gutter: usize,
    /// Lines from the column left of the gutter.
    pub(crate) left: Vec<i32>,
    /// Lines to the column right of it.
    pub(crate) right: Vec<i32>,
}

impl Trunk {
    /// Its upper and lower end.
    pub(crate) fn span(&self) -> (i32, i32) {
        let all = || self.left.iter().chain(&self.right).copied();
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }
}

/// The trunks of net `number`. `line` gives the height at a node: of the exit for None, of the pin
/// for its end otherwise.
pub(crate) fn trunks_of(
    plan: &Plan,
    placement: &Placement,
    number: usize,
    line: &dyn Fn(usize, Option<usize>) -> i32,
) -> Vec<Trunk> {
    let Some(net) = plan.nets.get(number) else { return Vec::new() };
    let pass = |column: usize| placement.pass.get(&(number, column)).copied();
    let exit = at(&plan.columns, net.source) + 1;
    let gutters = net.gutters.0..=net.gutters.1;
    gutters
        .map(|gutter| {
            let mut trunk = Trunk { net: number, gutter, left: Vec::new(), right: Vec::new() };
            trunk.left.extend(gutter.checked_sub(1).and_then(pass));
            trunk.right.extend(pass(gutter));
            if gutter == exit {
                trunk.left.push(line(net.source, None));
            }
            for end in net.ends.iter().filter(|end| at(&plan.columns, end.node) == gutter) {
                trunk.right.push(line(end.node, Some(end.pin)));
            }
            trunk
        })
        .collect()
}
