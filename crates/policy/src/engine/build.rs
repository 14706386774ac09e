//! The parts of the engine, put together.

use std::net::IpAddr;

use sekisho_model::Direction;

use crate::engine::axis::{Axis, V4, V6};
use crate::engine::compile::{Compiled, NamedPorts, Workshop};
use crate::engine::port_ids::{PortId, PortIds};
use crate::engine::rows::Rows;
use crate::engine::selectors::{Index, PeerSets, World};
use crate::ir::Rulebook;
use crate::named::Named;
use crate::reach::{Party, Place};
use crate::{Cluster, Dialect};

/// All pairs, computed.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) axis: Axis,
    pub(crate) index: Index,
    pub(crate) ports: PortIds,
    pub(crate) egress: Side,
    pub(crate) ingress: Side,
    pub(crate) dialect: Dialect,
    /// DNS names that rules name, ascending.
    pub(crate) domains: Vec<String>,
}

/// One direction.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) compiled: Compiled,
    pub(crate) rows: Rows,
}

impl Engine {
    pub(crate) fn new(book: &Rulebook, cluster: &Cluster) -> Self {
        let named = Named::in_book(book);
        let axis = Axis::new(book.dialect, cluster, &named);
        let index = Index::new(&axis, cluster);
        let mut ports = PortIds::new();
        let mut side = |direction| {
            let mut shop = Workshop {
                world: World { index: &index, axis: &axis, cluster },
                ports: &mut ports,
                dialect: book.dialect,
                direction,
                peers: PeerSets::default(),
                named: NamedPorts::default(),
            };
            let mut compiled = Compiled::new(book, &mut shop);
            let rows = Rows::new(&mut compiled, &axis, &mut ports);
            Side { compiled, rows }
        };
        let (egress, ingress) = (side(Direction::Egress), side(Direction::Ingress));
        let (dialect, domains) = (book.dialect, named.domains);
        Self { axis, index, ports, egress, ingress, dialect, domains }
    }

    pub(crate) fn join(&mut self, cluster: &Cluster, index: usize) -> bool {
        let Some(members) = self.members_like(cluster, index) else { return false };
        if !members.contains(&index) {
            members.push(index);
        }
        true
    }

    pub(crate) fn leave(&mut self, cluster: &Cluster, index: usize) {
        if let Some(members) = self.members_like(cluster, index)
            && members.len() > 1
        {
            members.retain(|member| *member != index);
        }
    }

    fn members_like(&mut self, cluster: &Cluster, index: usize) -> Option<&mut Vec<usize>> {
        let endpoint = cluster.endpoints.get(index)?;
        let party = self.axis.party_like((self.dialect, cluster), endpoint)?;
        match self.axis.parties.get_mut(party)? {
            Party::Endpoints(members) => Some(members),
            Party::Addresses(_) | Party::Domain(_) => None,
        }
    }

    pub(crate) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let spans = self.axis.spans.iter().enumerate();
        let items = spans.flat_map(|(party, span)| span.clone().map(move |item| (party, item)));
        items.map(|(party, item)| self.place(party, item))
    }

    fn place(&self, party: usize, item: u32) -> Place {
        let families = self.axis.items.get(item as usize).map_or(0, |item| item.families);
        Place {
            party,
            ipv4: families & V4 != 0,
            ipv6: families & V6 != 0,
            egress_class: self.egress.signature(item),
            ingress_class: self.ingress.signature(item),
            egress_column: self.egress.rows.columns.block(item),
            ingress_column: self.ingress.rows.columns.block(item),
        }
    }

    /// The place of a party where it uses `address`, which must be one of its own.
    pub(crate) fn place_at(&self, party: usize, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let family = if address.is_ipv4() { V4 } else { V6 };
        let net = Some(self.axis.nets.innermost(address));
        let found = self.axis.spans.get(party)?.clone().find(|item| {
            let own = self.axis.items.get(*item as usize);
            own.is_some_and(|own| own.net == net && own.families & family != 0)
        });
        found.map(|item| self.place(party, item))
    }

    /// What a subject in one place may open to another, by class and column: egress and ingress.
    pub(crate) fn cell(&self, source: &Place, destination: &Place) -> (PortId, PortId) {
        let egress = self.egress.rows.at(source.egress_class, destination.egress_column);
        let ingress = self.ingress.rows.at(destination.ingress_class, source.ingress_column);
        (egress, ingress)
    }
}

impl Side {
    /// The signature of an item; None = no subject.
    pub(crate) fn signature(&self, item: u32) -> Option<u32> {
        self.compiled.signature_of.get(item as usize).copied().flatten()
    }

    /// Number of the row of an item.
    pub(crate) fn row(&self, item: u32) -> u32 {
        self.rows.row_number(self.signature(item))
    }
}
