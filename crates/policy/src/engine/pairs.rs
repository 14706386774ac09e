//! All pairs of parties: cells, rectangles, counts.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use sekisho_model::Direction;

use crate::PortSet;
use crate::engine::Engine;
use crate::engine::axis::ItemKind;
use crate::engine::ids::{Interner, id};
use crate::engine::port_ids::{NONE, PortId, PortIds};
use crate::engine::rows::Row;
use crate::reach::{Party, Rectangle};

/// What decides the cells of a party in one role (source or destination), for each of its items.
/// Parties with equal roles have equal cells.
type Role = Vec<RoleItem>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct RoleItem {
    /// Row of the side that the party is subject of.
    row: u32,
    /// Block of the other side that it is in.
    block: u32,
    /// Address families.
    families: u8,
    /// Neither a pod nor a host.
    external: bool,
}

/// Most distinct sets of ports whose intersections are kept in a plain table.
const TABLE_MAX: usize = 2_048;
/// A table entry that is not computed yet.
const UNKNOWN: PortId = PortId::MAX;

impl Engine {
    /// The cells of egress and of ingress of two parties, for each two items that can meet.
    pub(crate) fn cells(
        &self,
        source: usize,
        destination: usize,
    ) -> impl Iterator<Item = (PortId, PortId)> + '_ {
        let items = |party: usize| self.axis.spans.get(party).cloned().unwrap_or_default();
        let others = items(destination);
        items(source).flat_map(move |from| others.clone().map(move |to| (from, to))).filter_map(
            |(from, to)| {
                let (one, other) = (self.item(from)?, self.item(to)?);
                let meet = one.families & other.families != 0 && !(one.external && other.external);
                meet.then(|| {
                    let egress = self.egress.rows.cell(self.egress.signature(from), to);
                    let ingress = self.ingress.rows.cell(self.ingress.signature(to), from);
                    (egress, ingress)
                })
            },
        )
    }

    /// What one direction lets a party do with any other, or with any external end.
    pub(crate) fn anyone(&self, party: usize, direction: Direction, outside: bool) -> PortSet {
        let side = match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        };
        let own = self.axis.spans.get(party).cloned().unwrap_or_default();
        let alone = matches!(
            self.axis.parties.get(party),
            Some(Party::Endpoints(members)) if members.len() == 1
        );
        let others = self.axis.items.iter().zip(0..).filter(|(item, at)| {
            (!outside || is_external(item.kind)) && !(alone && own.contains(at))
        });
        let columns: BTreeSet<u32> = others.map(|(_, at)| side.rows.columns.block(at)).collect();
        let mut cells = BTreeSet::new();
        for row in own.clone().map(|item| side.row(item)) {
            let Some(row) = side.rows.rows.value(row) else { continue };
            cells.extend(columns.iter().filter_map(|column| row.get(*column as usize).copied()));
        }
        cells.into_iter().fold(PortSet::none(), |all, cell| all.union(self.ports.set(cell)))
    }

    /// The item as a source.
    fn item(&self, item: u32) -> Option<RoleItem> {
        let own = self.axis.items.get(item as usize)?;
        Some(RoleItem {
            row: self.egress.row(item),
            block: self.ingress.rows.columns.block(item),
            families: own.families,
            external: is_external(own.kind),
        })
    }

    /// The item as a destination.
    fn target(&self, item: u32) -> Option<RoleItem> {
        let row = self.ingress.row(item);
        let block = self.egress.rows.columns.block(item);
        Some(RoleItem { row, block, ..self.item(item)? })
    }

    fn roles(&self, of: impl Fn(u32) -> Option<RoleItem>) -> Roles {
        let mut roles: IndexMap<Role, Vec<usize>, foldhash::fast::FixedState> = IndexMap::default();
        for (party, span) in self.axis.spans.iter().enumerate() {
            roles.entry(span.clone().filter_map(&of).collect()).or_default().push(party);
        }
        let (mut first, mut more) = (Vec::new(), Vec::new());
        for (role, at) in roles.keys().zip(0..) {
            let mut items = role.iter().copied();
            // A role without items meets nobody.
            first.push(items.next().unwrap_or(RoleItem { families: 0, ..RoleItem::default() }));
            more.extend(items.map(|item| (at, item)));
        }
        Roles { roles, first, more }
    }

    /// Calls `see` with the parties of each source role and its cell towards each destination role.
    /// Returns the sets that cells stand for.
    fn for_each_row(&self, mut see: impl FnMut(&[usize], &[PortId], &Roles)) -> PortIds {
        let sources = self.roles(|item| self.item(item));
        let destinations = self.roles(|item| self.target(item));
        let mut meet = Meet::new(self.ports.clone());
        let mut cells: Row = vec![NONE; destinations.roles.len()];
        for (source, parties) in &sources.roles {
            cells.fill(NONE);
            for item in source {
                self.add_cells(*item, &destinations, &mut meet, &mut cells);
            }
            see(parties, &cells, &destinations);
        }
        meet.ids
    }

    /// Adds what one item of a source may do to its cells.
    fn add_cells(
        &self,
        source: RoleItem,
        destinations: &Roles,
        meet: &mut Meet,
        cells: &mut [PortId],
    ) {
        const EMPTY: &[PortId] = &[];
        let egress = self.egress.rows.rows.value(source.row).map_or(EMPTY, Vec::as_slice);
        let ingress: Vec<PortId> = self
            .ingress
            .rows
            .rows
            .iter()
            .map(|row| row.get(source.block as usize).copied().unwrap_or_default())
            .collect();
        let from = SourceItem { source, egress, ingress };
        if cells.iter().all(|cell| *cell == NONE) {
            for (slot, item) in cells.iter_mut().zip(&destinations.first) {
                *slot = from.cell(item, meet);
            }
        } else {
            for (slot, item) in cells.iter_mut().zip(&destinations.first) {
                let found = from.cell(item, meet);
                *slot = meet.ids.union(*slot, found);
            }
        }
        for (at, item) in &destinations.more {
            let found = from.cell(item, meet);
            if let Some(slot) = cells.get_mut(*at) {
                *slot = meet.ids.union(*slot, found);
            }
        }
    }

    pub(crate) fn connected_pairs(&self) -> u64 {
        let mut connected = 0;
        self.for_each_row(|sources, cells, destinations| {
            let reached: usize = cells
                .iter()
                .zip(destinations.roles.values())
                .filter(|(cell, _)| **cell != NONE)
                .map(|(_, parties)| parties.len())
                .sum();
            connected += u64::from(id(sources.len())) * u64::from(id(reached));
        });
        connected
    }

    pub(crate) fn rectangles(&self) -> Vec<Rectangle> {
        let mut rows: Interner<Row> = Interner::default();
        let mut sources: Vec<Vec<usize>> = Vec::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        let ids = self.for_each_row(|parties, cells, destinations| {
            if members.is_empty() {
                members = destinations.roles.values().cloned().collect();
            }
            let row = rows.intern(cells.to_vec()) as usize;
            if row == sources.len() {
                sources.push(Vec::new());
            }
            if let Some(list) = sources.get_mut(row) {
                list.extend(parties);
            }
        });
        let mut rectangles = Vec::new();
        for (cells, mut sources) in rows.iter().zip(sources) {
            sources.sort_unstable();
            let mut by_ports: BTreeMap<PortId, Vec<usize>> = BTreeMap::new();
            for (cell, parties) in cells.iter().zip(&members).filter(|(cell, _)| **cell != NONE) {
                by_ports.entry(*cell).or_default().extend(parties);
            }
            for (ports, mut destinations) in by_ports {
                destinations.sort_unstable();
                let sources = sources.clone();
                rectangles.push(Rectangle { sources, destinations, ports: ids.set(ports).clone() });
            }
        }
        rectangles.sort_unstable();
        rectangles
    }
}

/// Neither a pod nor a host.
pub(crate) fn is_external(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::Address | ItemKind::Domain)
}

/// An item as a source, with what decides its cells.
struct SourceItem<'a> {
    source: RoleItem,
    /// Its row of egress, by block.
    egress: &'a [PortId],
    /// Its column of ingress, by row.
    ingress: Vec<PortId>,
}

impl SourceItem<'_> {
    fn cell(&self, item: &RoleItem, meet: &mut Meet) -> PortId {
        let apart = item.families & self.source.families == 0;
        if apart || (item.external && self.source.external) {
            return NONE;
        }
        let out = self.egress.get(item.block as usize).copied().unwrap_or_default();
        let into = self.ingress.get(item.row as usize).copied().unwrap_or_default();
        meet.intersection(out, into)
    }
}

/// Roles and the parties that play them.
struct Roles {
    roles: IndexMap<Role, Vec<usize>, foldhash::fast::FixedState>,
    /// The first item of each role: of most the only one.
    first: Vec<RoleItem>,
    /// The others, with the number of their role.
    more: Vec<(usize, RoleItem)>,
}

/// Intersections of sets of ports, in a table as far as they fit.
struct Meet {
    ids: PortIds,
    side: usize,
    table: Vec<PortId>,
}

impl Meet {
    fn new(ids: PortIds) -> Self {
        let side = ids.len().min(TABLE_MAX);
        Self { ids, side, table: vec![UNKNOWN; side * side] }
    }

    fn intersection(&mut self, a: PortId, b: PortId) -> PortId {
        let (row, column) = (a as usize, b as usize);
        if row >= self.side || column >= self.side {
            return self.ids.intersection(a, b);
        }
        let Some(cell) = self.table.get_mut(row * self.side + column) else { return NONE };
        if *cell == UNKNOWN {
            *cell = self.ids.intersection(a, b);
        }
        *cell
    }
}
