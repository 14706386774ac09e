//! Widths: turns a plan and its heights into coordinates of boxes, nodes and lines, in pixels.

use std::collections::BTreeMap;

use crate::Map;
use crate::place::{
    GRID, LANE_FOOT, LANE_HEAD, NODE_HEAD, Placement, Trunk, node_height, pin_height, place,
    trunks_of,
};
use crate::plan::{Group, Plan, at, plan};
use crate::text::width;
use crate::tracks::tracks;

/// Room at the edges of the drawing.
pub(crate) const MARGIN: i32 = 24;
/// Room above the boxes for title and completeness.
const HEAD: i32 = 80;
/// Height of the legend below the boxes.
pub(crate) const LEGEND: i32 = 56;
/// From a node to the first track, at both sides: a box's edge and an arrow fit between.
const APPROACH: i32 = 28;
/// From a node to the edge of its box.
pub(crate) const BOX_PAD: i32 = 14;
const TRACK: i32 = 8;
const NODE_WIDTH_MIN: i32 = 136;
const NODE_WIDTH_MAX: i32 = 248;
/// Widest glyphs of the fonts asked for, at the size of a node's name.
pub(crate) const NAME_GLYPH: i32 = 9;
/// Height of a node's first exit below its top.
const EXIT_TOP: i32 = 16;
/// Narrower than this the legend does not fit.
const WIDTH_MIN: i32 = 860;

/// A drawing with all its coordinates.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(crate) plan: Plan,
    pub(crate) placement: Placement,
    /// Left edge and width of each column.
    pub(crate) columns: Vec<(i32, i32)>,
    pub(crate) nets: Vec<Vec<Line>>,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

/// The part of a net in one gutter.
#[derive(Debug)]
pub(crate) struct Line {
    /// Where its vertical part lies.
    pub(crate) x: i32,
    pub(crate) trunk: Trunk,
    /// Edge of the column left of the gutter.
    pub(crate) left: i32,
    /// Edge of the column right of it.
    pub(crate) right: i32,
}

impl Sheet {
    pub(crate) fn of(map: &Map) -> Self {
        let mut plan = plan(map);
        let placement = place(&plan, HEAD);
        sort_pins(&mut plan, &placement);
        let exits = exits(&plan);
        let line = |node: usize, number: usize, pin: Option<usize>| {
            let top = at(&placement.node_top, node);
            match pin {
                None => top + EXIT_TOP + GRID * exits.get(&number).copied().unwrap_or(0),
                Some(pin) => top + pin_line(&plan, node, pin, number),
            }
        };
        let mut gutters: Vec<Vec<Trunk>> = vec![Vec::new(); plan.column_count + 1];
        for number in 0..plan.nets.len() {
            for trunk in trunks_of(&plan, &placement, number, &|n, pin| line(n, number, pin)) {
                if let Some(gutter) = gutters.get_mut(trunk.gutter) {
                    gutter.push(trunk);
                }
            }
        }
        let widths = column_widths(map, &plan);
        let mut nets: Vec<Vec<Line>> = (0..plan.nets.len()).map(|_| Vec::new()).collect();
        let mut columns: Vec<(i32, i32)> = Vec::new();
        let mut x = MARGIN;
        for (index, trunks) in gutters.into_iter().enumerate() {
            let (tracks, count) = tracks(&trunks);
            let room = gutter_width(index, plan.column_count, count);
            for (trunk, track) in trunks.into_iter().zip(tracks) {
                let x = x + APPROACH + TRACK * i32::try_from(track).unwrap_or(0);
                if let Some(lines) = nets.get_mut(trunk.net) {
                    let left = x - APPROACH - TRACK * i32::try_from(track).unwrap_or(0);
                    lines.push(Line { x, trunk, left, right: left + room });
                }
            }
            x += room;
            if index < plan.column_count {
                columns.push((x, at(&widths, index)));
                x += at(&widths, index);
            }
        }
        let width = (x + MARGIN).max(WIDTH_MIN);
        let height = placement.bottom.max(HEAD + LANE_HEAD) + LEGEND + MARGIN;
        Self { plan, placement, columns, nets, width, height }
    }

    /// Left, top, width and height of a node.
    pub(crate) fn node(&self, node: usize) -> (i32, i32, i32, i32) {
        let (x, width) = at(&self.columns, at(&self.plan.columns, node));
        let top = at(&self.placement.node_top, node);
        (x, top, width, node_height(&self.plan, node))
    }

    /// Top and bottom of a group's box: its nodes, and the lines that pass through its columns.
    pub(crate) fn box_span(&self, group: &Group) -> (i32, i32) {
        let (lane_top, lane_bottom) = at(&self.placement.lanes, group.lane);
        let (from, to) = group.columns;
        let inside = |y: i32| lane_top < y && y < lane_bottom;
        let passes = self
            .placement
            .pass
            .iter()
            .filter(|((_, column), y)| (from..=to).contains(column) && inside(**y));
        let nodes = group.nodes.iter().map(|&node| {
            let (_, top, _, height) = self.node(node);
            (top, top + height)
        });
        let all: Vec<(i32, i32)> = passes.map(|(_, y)| (*y, *y)).chain(nodes).collect();
        let top = all.iter().map(|span| span.0).min().unwrap_or(lane_top);
        let bottom = all.iter().map(|span| span.1).max().unwrap_or(lane_bottom);
        (top - LANE_HEAD, bottom + LANE_FOOT)
    }

    /// Height of the line at which `net` ends at a pin.
    pub(crate) fn end_y(&self, node: usize, pin: usize, net: usize) -> i32 {
        at(&self.placement.node_top, node) + pin_line(&self.plan, node, pin, net)
    }

    /// Top and height of a pin's row, from the top of its node.
    pub(crate) fn pin_row(&self, node: usize, pin: usize) -> (i32, i32) {
        pin_row(&self.plan, node, pin)
    }
}

/// Lines at a pin come from above and below: the order of their sources keeps them apart.
fn sort_pins(plan: &mut Plan, placement: &Placement) {
    let sources: Vec<i32> =
        plan.nets.iter().map(|net| at(&placement.node_top, net.source)).collect();
    for pin in plan.pins.iter_mut().flatten() {
        pin.nets.sort_by_key(|&net| (at(&sources, net), net));
    }
}

/// Which exit of its source each net takes, from above.
fn exits(plan: &Plan) -> BTreeMap<usize, i32> {
    let mut used: BTreeMap<usize, i32> = BTreeMap::new();
    let mut exits = BTreeMap::new();
    for (number, net) in plan.nets.iter().enumerate() {
        let next = used.entry(net.source).or_default();
        exits.insert(number, *next);
        *next += 1;
    }
    exits
}

fn pin_row(plan: &Plan, node: usize, pin: usize) -> (i32, i32) {
    let pins = plan.pins.get(node).map(Vec::as_slice).unwrap_or_default();
    let rows = |count: usize| pins.iter().take(count).map(|pin| pin_height(pin.nets.len()));
    (NODE_HEAD + rows(pin).sum::<i32>(), pins.get(pin).map_or(0, |pin| pin_height(pin.nets.len())))
}

fn pin_line(plan: &Plan, node: usize, pin: usize, net: usize) -> i32 {
    let (top, _) = pin_row(plan, node, pin);
    let nets = plan.pins.get(node).and_then(|pins| pins.get(pin)).map(|pin| pin.nets.as_slice());
    let position = nets.unwrap_or_default().iter().position(|&other| other == net).unwrap_or(0);
    top + GRID * (i32::try_from(position).unwrap_or(0) + 1)
}

fn gutter_width(index: usize, column_count: usize, tracks: usize) -> i32 {
    let tracks = i32::try_from(tracks).unwrap_or(i32::MAX / 64);
    if tracks == 0 && (index == 0 || index == column_count) {
        return BOX_PAD;
    }
    2 * APPROACH + TRACK * (tracks - 1).max(0)
}

fn column_widths(map: &Map, plan: &Plan) -> Vec<i32> {
    let mut widths = vec![NODE_WIDTH_MIN; plan.column_count];
    for (node, &column) in map.nodes.iter().zip(&plan.columns) {
        let glyphs = i32::try_from(width(&node.name)).unwrap_or(i32::MAX / 64);
        let wanted = (glyphs * NAME_GLYPH + 24).min(NODE_WIDTH_MAX);
        if let Some(place) = widths.get_mut(column) {
            *place = wanted.max(*place);
        }
    }
    widths
}
