//! What changes if one policy is put, replaced or removed, without computing the rest again.
//!
//! Only subjects that the old or the new version selects get new rows. Columns that the new
//! version's selectors cut are split; all other rows hold for both parts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use sekisho_model::Direction;

use crate::Cluster;
use crate::engine::bits::Bits;
use crate::engine::columns::Columns;
use crate::engine::compile::{CompiledPolicy, NamedPorts, Workshop};
use crate::engine::ids::{Interner, id};
use crate::engine::pairs::is_external;
use crate::engine::port_ids::{NONE, PortId, PortIds};
use crate::engine::rows::{Fold, Row};
use crate::engine::selectors::{PeerSets, World};
use crate::engine::{Engine, Side};
use crate::ir::Policy;
use crate::named::Named;
use crate::reach::{Change, Edit};

/// A direction before and after.
struct Both<'e> {
    side: &'e Side,
    /// The columns after; numbers of before keep their first part.
    columns: Columns,
    /// The column of before that each is part of.
    whole: Vec<u32>,
    /// Rows that are not among those of before, over the columns after.
    rows: Interner<Row>,
    /// Row of each item after: one of before, or past these one of `rows`.
    row_of: Vec<u32>,
}

/// An item in one role: its rows as subject, its column as the other end.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Role {
    before: u32,
    after: u32,
    column: u32,
    families: u8,
    external: bool,
}

type Roles = IndexMap<Role, Vec<u32>, foldhash::fast::FixedState>;

impl Engine {
    /// What changes, or None if the edit needs address ranges or names that are not known yet.
    pub(crate) fn edit(&self, cluster: &Cluster, edit: &Edit<'_>) -> Option<Vec<Change>> {
        if !edit.policies.iter().all(|policy| self.knows(policy)) {
            return None;
        }
        let mut ids = self.ports.clone();
        let mut both = |side, direction| {
            let mut shop = Workshop {
                world: World { index: &self.index, axis: &self.axis, cluster },
                ports: &mut ids,
                dialect: self.dialect,
                direction,
                peers: PeerSets::default(),
                named: NamedPorts::default(),
            };
            Both::new(side, edit, &mut shop)
        };
        let egress = both(&self.egress, Direction::Egress);
        let ingress = both(&self.ingress, Direction::Ingress);
        Some(self.changes(&egress, &ingress, &mut ids))
    }

    fn knows(&self, policy: &Policy) -> bool {
        let named = Named::in_policies([policy]);
        self.axis.nets.know(named.networks)
            && named.domains.iter().all(|name| self.domains.binary_search(name).is_ok())
    }

    fn edit_roles(&self, subject: &Both<'_>, other: &Both<'_>) -> Roles {
        let mut roles = Roles::default();
        for (item, at) in self.axis.items.iter().zip(0..) {
            let role = Role {
                before: subject.side.row(at),
                after: subject.row(at),
                column: other.columns.block(at),
                families: item.families,
                external: is_external(item.kind),
            };
            roles.entry(role).or_default().push(at);
        }
        roles
    }

    fn changes(&self, egress: &Both<'_>, ingress: &Both<'_>, ids: &mut PortIds) -> Vec<Change> {
        let sources = self.edit_roles(egress, ingress);
        let destinations = self.edit_roles(ingress, egress);
        let mut split = BTreeMap::new();
        let mut changes = Vec::new();
        for (source, from) in &sources {
            let mut found: BTreeMap<(PortId, PortId), Vec<u32>> = BTreeMap::new();
            for (destination, to) in &destinations {
                let same = source.before == source.after && destination.before == destination.after;
                if same || !meets(*source, *destination) {
                    continue;
                }
                let change = cells(egress, ingress, (*source, *destination), ids);
                if change.0 != change.1 {
                    found.entry(change).or_default().extend(to);
                }
            }
            for ((before, after), to) in found {
                let (from, to) = self.single(from, &to, &mut split);
                if from.is_empty() || to.is_empty() {
                    continue;
                }
                let (before, after) = (ids.set(before).clone(), ids.set(after).clone());
                changes.push(Change { sources: from, destinations: to, before, after });
            }
        }
        let pairs = split.into_keys();
        changes.extend(pairs.filter_map(|pair| self.pair(pair, (egress, ingress), ids)));
        changes.sort_unstable();
        changes
    }

    /// The parties of items that have one item; pairs with another party go to `split`.
    fn single(
        &self,
        from: &[u32],
        to: &[u32],
        split: &mut BTreeMap<(usize, usize), ()>,
    ) -> (Vec<usize>, Vec<usize>) {
        let party = |item: &u32| self.axis.party_of.get(*item as usize).copied().unwrap_or(0);
        let is_single = |party: &usize| {
            self.axis.spans.get(*party).is_some_and(|span| span.end - span.start == 1)
        };
        let parted = |items: &[u32]| -> (Vec<usize>, Vec<usize>) {
            let mut parties: Vec<usize> = items.iter().map(party).collect();
            parties.sort_unstable();
            parties.into_iter().partition(is_single)
        };
        let ((from, more_from), (to, more_to)) = (parted(from), parted(to));
        for source in from.iter().chain(&more_from) {
            split.extend(more_to.iter().map(|destination| ((*source, *destination), ())));
        }
        for source in &more_from {
            split.extend(to.iter().map(|destination| ((*source, *destination), ())));
        }
        (from, to)
    }

    /// The change of two parties of which one is several items; None if there is none.
    fn pair(
        &self,
        (source, destination): (usize, usize),
        (egress, ingress): (&Both<'_>, &Both<'_>),
        ids: &mut PortIds,
    ) -> Option<Change> {
        let items = |party: usize| self.axis.spans.get(party).cloned().unwrap_or_default();
        let (mut before, mut after) = (NONE, NONE);
        for from in items(source) {
            for to in items(destination) {
                let role = |subject: &Both<'_>, other: &Both<'_>, at: u32| {
                    let item = self.axis.items.get(at as usize)?;
                    Some(Role {
                        before: subject.side.row(at),
                        after: subject.row(at),
                        column: other.columns.block(at),
                        families: item.families,
                        external: is_external(item.kind),
                    })
                };
                let roles = (role(egress, ingress, from)?, role(ingress, egress, to)?);
                if meets(roles.0, roles.1) {
                    let cells = cells(egress, ingress, roles, ids);
                    before = ids.union(before, cells.0);
                    after = ids.union(after, cells.1);
                }
            }
        }
        (before != after).then(|| Change {
            sources: vec![source],
            destinations: vec![destination],
            before: ids.set(before).clone(),
            after: ids.set(after).clone(),
        })
    }
}

fn meets(source: Role, destination: Role) -> bool {
    source.families & destination.families != 0 && !(source.external && destination.external)
}

/// What a source may open to a destination, before and after.
fn cells(
    egress: &Both<'_>,
    ingress: &Both<'_>,
    (source, destination): (Role, Role),
    ids: &mut PortIds,
) -> (PortId, PortId) {
    let out = egress.cells(source, destination.column);
    let into = ingress.cells(destination, source.column);
    (ids.intersection(out.0, into.0), ids.intersection(out.1, into.1))
}

/// A policy that an edit adds.
struct Added {
    policy: CompiledPolicy,
    subjects: Bits,
    /// Number of the policy of before that it is asked right before.
    at: u32,
}

impl<'e> Both<'e> {
    fn new(side: &'e Side, edit: &Edit<'_>, shop: &mut Workshop<'_>) -> Self {
        let known = id(side.compiled.sets.len());
        shop.named = side.compiled.named.clone();
        let mut added = Vec::new();
        for policy in edit.policies {
            let tier = id(edit.tier);
            let Some(mut compiled) = shop.policy(policy, tier) else { continue };
            compiled.shift(known);
            let subjects = shop.world.select(&policy.subject);
            let at = place(&side.compiled.policies, &compiled);
            added.push(Added { policy: compiled, subjects, at });
        }
        let mut columns = side.rows.columns.clone();
        let mut whole: Vec<u32> = (0..id(columns.len())).collect();
        for set in &shop.peers.sets {
            for (old, _new) in columns.split(set) {
                whole.push(whole.get(old as usize).copied().unwrap_or(old));
            }
        }
        let items = shop.world.axis.items.len();
        let row_of = (0..id(items)).map(|item| side.row(item)).collect();
        let mut both = Self { side, columns, whole, rows: Interner::default(), row_of };
        let removed =
            |policy: &CompiledPolicy| policy.tier == id(edit.tier) && policy.name == *edit.name;
        let removed = side.compiled.policies.iter().map(removed).collect::<Vec<_>>();
        both.fill(&removed, &added, shop);
        both
    }

    /// Computes the rows of the subjects that a version of the policy selects.
    fn fill(&mut self, removed: &[bool], added: &[Added], shop: &mut Workshop<'_>) {
        let mut parts: Vec<Vec<u32>> = vec![Vec::new(); self.side.rows.columns.len()];
        for (whole, part) in self.whole.iter().zip(0..) {
            if let Some(list) = parts.get_mut(*whole as usize) {
                list.push(part);
            }
        }
        let new: Vec<Vec<u32>> =
            shop.peers.sets.iter().map(|set| self.columns.blocks(set)).collect();
        let (side, known) = (self.side, self.side.compiled.sets.len());
        let blocks_of = |set: u32| -> Cow<'_, [u32]> {
            match (set as usize).checked_sub(known) {
                Some(index) => Cow::Borrowed(new.get(index).map_or(&[], Vec::as_slice)),
                None => {
                    let wholes = side.rows.blocks_of(set).iter();
                    let parts = wholes.filter_map(|whole| parts.get(*whole as usize)).flatten();
                    Cow::Owned(parts.copied().collect())
                }
            }
        };
        let mut groups: BTreeMap<(u32, Vec<bool>, u32), Vec<u32>> = BTreeMap::new();
        for (item, at) in shop.world.axis.items.iter().zip(0..) {
            let Some(signature) = side.signature(at) else { continue };
            let Some((list, _)) = side.compiled.signatures.value(signature) else { continue };
            let gone = list.iter().any(|policy| removed.get(*policy as usize) == Some(&true));
            let by: Vec<bool> = added.iter().map(|one| one.subjects.contains(at)).collect();
            if gone || by.contains(&true) {
                groups.entry((signature, by, item.names)).or_default().push(at);
            }
        }
        for ((signature, by, names), items) in groups {
            let policies = self.selecting(signature, removed, (added, &by));
            let mut fold = Fold::new(self.columns.len(), shop.ports, &blocks_of);
            fold.policies(&policies, names, (shop.world.axis, &mut shop.named));
            self.set_row(&items, signature, fold.finish());
        }
    }

    /// The policies that select a subject after the edit, in order.
    fn selecting<'p>(
        &self,
        signature: u32,
        removed: &[bool],
        (added, by): (&'p [Added], &[bool]),
    ) -> Vec<&'p CompiledPolicy>
    where
        'e: 'p,
    {
        let compiled = &self.side.compiled;
        let list = compiled.signatures.value(signature).map_or(&[][..], |(list, _)| list);
        let kept = list.iter().filter(|policy| removed.get(**policy as usize) != Some(&true));
        let kept = kept.filter_map(|policy| {
            compiled.policies.get(*policy as usize).map(|one| ((*policy, 1), one))
        });
        let more = added.iter().zip(by).filter(|(_, selects)| **selects);
        let more = more.map(|(one, _)| ((one.at, 0), &one.policy));
        let mut all: Vec<_> = kept.chain(more).collect();
        all.sort_by_key(|(order, _)| *order);
        all.into_iter().map(|(_, policy)| policy).collect()
    }

    fn set_row(&mut self, items: &[u32], signature: u32, row: Row) {
        let before = self.side.rows.row_number(Some(signature));
        let old = self.side.rows.rows.value(before);
        let cells = row.iter().zip(&self.whole);
        let same = old.is_some_and(|old| {
            cells.into_iter().all(|(cell, whole)| old.get(*whole as usize) == Some(cell))
        });
        if same {
            return;
        }
        let number = id(self.side.rows.rows.len()) + self.rows.intern(row);
        for item in items {
            if let Some(slot) = self.row_of.get_mut(*item as usize) {
                *slot = number;
            }
        }
    }

    /// Number of the row of an item after the edit.
    fn row(&self, item: u32) -> u32 {
        self.row_of.get(item as usize).copied().unwrap_or(self.side.rows.open)
    }

    /// The ports a subject may use with a column, before and after.
    fn cells(&self, subject: Role, column: u32) -> (PortId, PortId) {
        let whole = self.whole.get(column as usize).copied().unwrap_or(column);
        let known = |row: u32| {
            let row = self.side.rows.rows.value(row);
            row.and_then(|row| row.get(whole as usize)).copied().unwrap_or_default()
        };
        let before = known(subject.before);
        let after = match (subject.after as usize).checked_sub(self.side.rows.rows.len()) {
            None => known(subject.after),
            Some(index) => {
                let row = self.rows.value(id(index));
                row.and_then(|row| row.get(column as usize)).copied().unwrap_or_default()
            }
        };
        (before, after)
    }
}

/// The number of the policy of before that a new one is asked right before.
fn place(policies: &[CompiledPolicy], new: &CompiledPolicy) -> u32 {
    let key = |policy: &CompiledPolicy| (policy.tier, policy.rank.map(|rank| rank.0));
    let later = |policy: &&CompiledPolicy| {
        let (tier, rank) = key(policy);
        let (new_tier, new_rank) = key(new);
        tier > new_tier
            || (tier == new_tier
                && (rank > new_rank || (rank == new_rank && policy.name >= new.name)))
    };
    let index = policies.iter().position(|policy| later(&policy)).unwrap_or(policies.len());
    id(index)
}
