//! The list as data.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use sekisho_manifest::Object;

use super::exposed::{Exposed, exposed};
use super::externals::{Externals, Range};
use super::gateway::ControllerTargets;
use super::units::{Unit, units};
use super::{End, Focus};
use crate::engine::PortId;
use crate::{Cluster, Dialect, Endpoint, PortSet, Reach, RuleSet};

/// Most rows that a list may have.
pub const ROWS_MAX: usize = 20_000_000;

/// How a list is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One row per pair of pods instead of workloads.
    pub by_pod: bool,
    /// List also what pods of a workload may do with others of the same workload.
    pub with_itself: bool,
    /// Only a part of all connections.
    pub focus: Focus,
}

/// What one end may open to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    source: u32,
    destination: u32,
    ports: u32,
}

/// All allowed connections, sorted by the names of source and destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    ends: Vec<End>,
    sets: Vec<PortSet>,
    rows: Vec<Row>,
    /// Every workload or pod that is listed, also those without connections.
    pub(crate) listed: Vec<End>,
    /// The names of the parts of workloads whose pods policies may tell apart.
    pub(crate) parts: Vec<End>,
    /// What Services expose to the outside, sorted.
    pub(crate) exposed: Vec<Exposed>,
    /// How the policies were read.
    pub(crate) dialect: Dialect,
    /// What was listed.
    pub(crate) focus: Focus,
}

/// A list that can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// More rows than fit into memory for sure.
    #[error("the list has more than {ROWS_MAX} rows; list some workloads only (--focus-workload)")]
    TooManyRows,
    /// np-guard/netpol-analyzer refuses this input.
    #[error("{0}")]
    Refused(String),
}

/// What is the same for all pairs.
struct Pairs<'a> {
    reach: &'a Reach,
    externals: Externals,
    /// What counts as a connection at all.
    counted: PortSet,
    scope: &'a Scope,
    /// Ranges of sources and of destinations that are listed as they are; None = put together.
    ranges: Option<&'a (Vec<Range>, Vec<Range>)>,
}

impl Listing {
    /// Lists what policies allow in a cluster.
    ///
    /// Ranges of external addresses are split where verdicts differ. Pods of one workload that
    /// policies tell apart have rows of their own where verdicts differ.
    ///
    /// # Errors
    /// [`ListError::TooManyRows`].
    pub fn new(rules: &RuleSet, cluster: &Cluster, scope: &Scope) -> Result<Self, ListError> {
        Self::build(rules, cluster, scope, None, &ControllerTargets::default())
    }

    /// Reads policies and cluster off objects, then lists as [`Listing::new`] does, and what Services
    /// expose to the outside beside it.
    ///
    /// # Errors
    /// [`ListError::TooManyRows`].
    pub fn of_objects(
        objects: &[Object],
        dialect: Dialect,
        scope: &Scope,
    ) -> Result<Self, ListError> {
        let rules = RuleSet::from_objects(objects, dialect);
        let cluster = Cluster::from_objects(objects);
        let mut listing = Self::new(&rules, &cluster, scope)?;
        listing.exposed = exposed(objects, (&rules, &cluster), &listing, scope.by_pod);
        Ok(listing)
    }

    pub(crate) fn build(
        rules: &RuleSet,
        cluster: &Cluster,
        scope: &Scope,
        ranges: Option<&(Vec<Range>, Vec<Range>)>,
        targets: &ControllerTargets,
    ) -> Result<Self, ListError> {
        let with_controller = targets.add_controller(cluster);
        let cluster = with_controller.as_ref().unwrap_or(cluster);
        let reach = Reach::new(rules, cluster);
        let knows_transport_only = match rules.dialect() {
            Dialect::NpGuard | Dialect::Cyclonus => true,
            Dialect::Spec
            | Dialect::Calico
            | Dialect::Cilium
            | Dialect::Ovn
            | Dialect::Antrea
            | Dialect::KubeNetworkPolicies => false,
        };
        let counted = if knows_transport_only { PortSet::all_transport() } else { PortSet::all() };
        let externals = Externals::of(&reach, rules.dialect() != Dialect::NpGuard);
        let pairs = Pairs { reach: &reach, externals, counted, scope, ranges };
        let is_controller = |endpoint: &Endpoint| targets.is_controller(endpoint);
        let units = units(&reach, cluster, scope.by_pod, is_controller);
        let mut rows = Rows::default();
        let mut numbers = vec![None; units.len()];
        for (from, source) in units.iter().enumerate() {
            for (to, destination) in units.iter().enumerate() {
                let whole =
                    from != to && source.members.len() == 1 && destination.members.len() == 1;
                if whole {
                    pairs.add_whole((source, from), (destination, to), &mut numbers, &mut rows)?;
                } else {
                    pairs.add_pair(source, destination, &mut rows)?;
                }
            }
            pairs.add_externals(source, &mut rows)?;
        }
        pairs.add_controller(targets, cluster, &units, &mut rows)?;
        let mut listing = rows.sorted();
        let split = units.iter().filter(|unit| unit.members.len() > 1);
        listing.parts = split.flat_map(|unit| &unit.members).map(|one| one.end.clone()).collect();
        listing.listed = units.into_iter().map(|unit| unit.end).collect();
        listing.listed.sort_by_cached_key(ToString::to_string);
        listing.dialect = rules.dialect();
        listing.focus = scope.focus.clone();
        Ok(listing)
    }

    /// The rows: source, destination, and what the first may open to the second (never nothing).
    pub fn rows(&self) -> impl Iterator<Item = (&End, &End, &PortSet)> {
        self.rows.iter().filter_map(|row| {
            let end = |index: u32| self.ends.get(index as usize);
            Some((end(row.source)?, end(row.destination)?, self.sets.get(row.ports as usize)?))
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every workload or pod of the cluster, in order of names, also those without connections.
    #[must_use]
    pub fn listed(&self) -> &[End] {
        &self.listed
    }

    /// What Services expose to the outside, sorted; only where the list was made of objects.
    #[must_use]
    pub fn exposed(&self) -> &[Exposed] {
        &self.exposed
    }

    /// Names in the focus that mean nothing in the cluster.
    #[must_use]
    pub fn unknown_names(&self) -> Vec<String> {
        let known: Vec<End> = self.listed.iter().chain(&self.ends).cloned().collect();
        self.focus.unknown(&known).map(str::to_owned).collect()
    }
}

impl Pairs<'_> {
    fn ports(&self, source: usize, destination: usize) -> PortSet {
        self.reach.ports(source, destination).intersection(&self.counted)
    }

    /// The row of two units that policies do not divide, which most are: the same two sets of ports
    /// meet in many pairs, so that each two are put together once. `numbers` are the ends' own.
    fn add_whole(
        &self,
        (source, from): (&Unit, usize),
        (destination, to): (&Unit, usize),
        numbers: &mut [Option<u32>],
        rows: &mut Rows,
    ) -> Result<(), ListError> {
        let ([one], [other]) = (source.members.as_slice(), destination.members.as_slice()) else {
            return Ok(());
        };
        if !self.scope.focus.includes(&source.end, &destination.end) {
            return Ok(());
        }
        let mut cells = self.reach.cells(one.party, other.party);
        let Some(cell) = cells.next() else { return Ok(()) };
        if cells.any(|another| another != cell) {
            return self.push(
                &source.end,
                &destination.end,
                &self.ports(one.party, other.party),
                rows,
            );
        }
        let ports = match rows.cells.get(&cell) {
            Some(known) => *known,
            None => {
                let set = self.ports(one.party, other.party);
                let is_listed = !set.is_empty() && self.scope.focus.includes_ports(&set);
                let ports = if is_listed { Some(number(&mut rows.sets, &set)?) } else { None };
                rows.cells.insert(cell, ports);
                ports
            }
        };
        let Some(ports) = ports else { return Ok(()) };
        let mut end = |unit: &Unit, at: usize| match numbers.get(at).copied().flatten() {
            Some(known) => Ok(known),
            None => {
                let new = number(&mut rows.ends, &unit.end)?;
                if let Some(slot) = numbers.get_mut(at) {
                    *slot = Some(new);
                }
                Ok(new)
            }
        };
        let row = Row { source: end(source, from)?, destination: end(destination, to)?, ports };
        rows.add(row)
    }

    fn add_pair(
        &self,
        source: &Unit,
        destination: &Unit,
        rows: &mut Rows,
    ) -> Result<(), ListError> {
        let is_itself = source.end == destination.end;
        let wanted = self.scope.focus.includes(&source.end, &destination.end);
        if !wanted || (is_itself && !self.scope.with_itself) {
            return Ok(());
        }
        let mut cells: Vec<Vec<Option<PortSet>>> = Vec::new();
        for from in &source.members {
            let cell = |to: &super::units::Member| {
                // A pod alone has nobody like it to talk to.
                let meets = !is_itself || from.party != to.party || from.is_many;
                meets.then(|| self.ports(from.party, to.party))
            };
            cells.push(destination.members.iter().map(cell).collect());
        }
        let mut emit = |from: &End, to: &End, set: Option<&PortSet>| match set {
            Some(set) => self.push(from, to, set, rows),
            None => Ok(()),
        };
        if let Some(set) = common_cell(cells.iter().flatten()) {
            return emit(&source.end, &destination.end, set);
        }
        let by_source: Vec<_> = cells.iter().map(|row| common_cell(row.iter())).collect();
        if by_source.iter().all(Option::is_some) {
            for (member, set) in source.members.iter().zip(by_source.iter().flatten()) {
                emit(&member.end, &destination.end, *set)?;
            }
            return Ok(());
        }
        for (column, to) in destination.members.iter().enumerate() {
            let cells: Vec<&Option<PortSet>> =
                cells.iter().filter_map(|row| row.get(column)).collect();
            if let Some(set) = common_cell(cells.iter().copied()) {
                emit(&source.end, &to.end, set)?;
                continue;
            }
            for (from, set) in source.members.iter().zip(cells) {
                emit(&from.end, &to.end, set.as_ref())?;
            }
        }
        Ok(())
    }

    /// Rows with external ends, in both directions.
    fn add_externals(&self, unit: &Unit, rows: &mut Rows) -> Result<(), ListError> {
        let outside = End::Domain(String::new());
        if self.scope.focus.includes(&outside, &unit.end) {
            let of = |member: usize| self.external_rows(true, member);
            self.add_external(unit, of, true, rows)?;
        }
        if self.scope.focus.includes(&unit.end, &outside) {
            let of = |member: usize| self.external_rows(false, member);
            self.add_external(unit, of, false, rows)?;
        }
        Ok(())
    }

    fn external_rows(&self, inward: bool, party: usize) -> Vec<(End, PortSet)> {
        let ports = |external: usize| {
            if inward { self.ports(external, party) } else { self.ports(party, external) }
        };
        match self.ranges {
            Some((sources, destinations)) => {
                let ranges = if inward { sources } else { destinations };
                self.externals.rows_cut(ranges, ports)
            }
            None => self.externals.rows(ports),
        }
    }

    fn add_external(
        &self,
        unit: &Unit,
        of: impl Fn(usize) -> Vec<(End, PortSet)>,
        inward: bool,
        rows: &mut Rows,
    ) -> Result<(), ListError> {
        let all: Vec<_> = unit.members.iter().map(|member| of(member.party)).collect();
        let mut emit = |own: &End, list: &[(End, PortSet)]| {
            list.iter().try_for_each(|(external, set)| {
                let (from, to) = if inward { (external, own) } else { (own, external) };
                self.push(from, to, set, rows)
            })
        };
        if let Some(list) = common(all.iter()) {
            return emit(&unit.end, list);
        }
        unit.members.iter().zip(&all).try_for_each(|(member, list)| emit(&member.end, list))
    }

    /// Rows from the ingress controller.
    fn add_controller(
        &self,
        targets: &ControllerTargets,
        cluster: &Cluster,
        units: &[Unit],
        rows: &mut Rows,
    ) -> Result<(), ListError> {
        let Some(controller) = targets.party(self.reach, cluster) else { return Ok(()) };
        for unit in units {
            let Some(exposed) = targets.ports(&unit.end) else { continue };
            if !self.scope.focus.includes(&End::IngressController, &unit.end) {
                continue;
            }
            let of = |party: usize| self.ports(controller, party).intersection(exposed);
            let sets: Vec<PortSet> = unit.members.iter().map(|member| of(member.party)).collect();
            if let Some(set) = common(sets.iter()) {
                self.push(&End::IngressController, &unit.end, set, rows)?;
                continue;
            }
            for (member, set) in unit.members.iter().zip(&sets) {
                self.push(&End::IngressController, &member.end, set, rows)?;
            }
        }
        Ok(())
    }

    fn push(&self, from: &End, to: &End, set: &PortSet, rows: &mut Rows) -> Result<(), ListError> {
        if set.is_empty() || !self.scope.focus.includes_ports(set) {
            return Ok(());
        }
        rows.push(from, to, set)
    }
}

/// What all are equal to.
fn common<'a, T: PartialEq>(mut all: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let first = all.next()?;
    all.all(|one| one == first).then_some(first)
}

/// What all are equal to, leaving out pods that have nobody like them to talk to; Some(None) = there
/// are no others.
fn common_cell<'a>(all: impl Iterator<Item = &'a Option<PortSet>>) -> Option<Option<&'a PortSet>> {
    let mut all = all.flatten();
    let Some(first) = all.next() else { return Some(None) };
    all.all(|one| one == first).then_some(Some(first))
}

/// Rows in the making.
#[derive(Default)]
struct Rows {
    ends: BTreeMap<End, u32>,
    sets: BTreeMap<PortSet, u32>,
    /// Sets of egress and ingress that met in a pair, and the number of what both allow; None =
    /// nothing that is listed.
    cells: IndexMap<(PortId, PortId), Option<u32>, foldhash::fast::FixedState>,
    rows: Vec<Row>,
}

impl Rows {
    fn push(&mut self, from: &End, to: &End, set: &PortSet) -> Result<(), ListError> {
        let row = Row {
            source: number(&mut self.ends, from)?,
            destination: number(&mut self.ends, to)?,
            ports: number(&mut self.sets, set)?,
        };
        self.add(row)
    }

    fn add(&mut self, row: Row) -> Result<(), ListError> {
        if self.rows.len() >= ROWS_MAX {
            return Err(ListError::TooManyRows);
        }
        self.rows.push(row);
        Ok(())
    }

    fn sorted(self) -> Listing {
        let mut ends: Vec<(String, u32, End)> =
            self.ends.into_iter().map(|(end, number)| (end.to_string(), number, end)).collect();
        ends.sort_unstable();
        let mut place = vec![0; ends.len()];
        for (now, (_, before, _)) in (0_u32..).zip(&ends) {
            if let Some(slot) = place.get_mut(*before as usize) {
                *slot = now;
            }
        }
        let mut rows = self.rows;
        let moved = |number: u32| place.get(number as usize).copied().unwrap_or_default();
        for row in &mut rows {
            (row.source, row.destination) = (moved(row.source), moved(row.destination));
        }
        rows.sort_unstable_by_key(|row| (row.source, row.destination));
        rows.dedup();
        let mut sets: Vec<(u32, PortSet)> =
            self.sets.into_iter().map(|(set, number)| (number, set)).collect();
        sets.sort_unstable();
        Listing {
            ends: ends.into_iter().map(|(_, _, end)| end).collect(),
            sets: sets.into_iter().map(|(_, set)| set).collect(),
            rows,
            ..Listing::default()
        }
    }
}

fn number<T: Ord + Clone>(known: &mut BTreeMap<T, u32>, value: &T) -> Result<u32, ListError> {
    if let Some(number) = known.get(value) {
        return Ok(*number);
    }
    let Ok(next) = u32::try_from(known.len()) else { return Err(ListError::TooManyRows) };
    known.insert(value.clone(), next);
    Ok(next)
}
