//! What each signature may do with each block of other ends.

use std::borrow::Cow;

use crate::engine::axis::Axis;
use crate::engine::columns::Columns;
use crate::engine::compile::{Compiled, CompiledPolicy, NamedPorts, Term};
use crate::engine::ids::{Interner, id};
use crate::engine::port_ids::{ALL, NONE, PortId, PortIds};
use crate::ir::Action;

/// Allowed ports by block.
pub(crate) type Row = Vec<PortId>;

/// One direction, computed.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) columns: Columns,
    /// Row of each signature.
    pub(crate) row_of: Vec<u32>,
    pub(crate) rows: Interner<Row>,
    /// The row of what is no subject: everything.
    pub(crate) open: u32,
    /// Blocks of each set of other ends.
    blocks: Vec<Vec<u32>>,
}

impl Rows {
    pub(crate) fn new(compiled: &mut Compiled, axis: &Axis, ids: &mut PortIds) -> Self {
        let mut columns = Columns::new(axis.items.len());
        for set in &compiled.sets {
            columns.split(set);
        }
        let blocks = compiled.sets.iter().map(|set| columns.blocks(set)).collect();
        let mut rows = Interner::default();
        let open = rows.intern(vec![ALL; columns.len()]);
        let mut all = Self { columns, row_of: Vec::new(), rows, open, blocks };
        for number in 0..id(compiled.signatures.len()) {
            let Some((policies, names)) = compiled.signatures.value(number) else { continue };
            let of = |number: &u32| compiled.policies.get(*number as usize);
            let policies: Vec<&CompiledPolicy> = policies.iter().filter_map(of).collect();
            let mut fold =
                Fold::new(all.columns.len(), ids, |set: u32| Cow::Borrowed(all.blocks_of(set)));
            fold.policies(&policies, *names, (axis, &mut compiled.named));
            let row = fold.finish();
            let row = all.rows.intern(row);
            all.row_of.push(row);
        }
        all
    }

    /// The blocks of a set of other ends.
    pub(crate) fn blocks_of(&self, set: u32) -> &[u32] {
        self.blocks.get(set as usize).map_or(&[], Vec::as_slice)
    }

    /// The ports that an item with this signature (None = no subject) may use with an item.
    pub(crate) fn cell(&self, signature: Option<u32>, other: u32) -> PortId {
        self.at(signature, self.columns.block(other))
    }

    /// The same with a block of other ends.
    pub(crate) fn at(&self, signature: Option<u32>, block: u32) -> PortId {
        let row = self.row_number(signature);
        let cell = self.rows.value(row).and_then(|row| row.get(block as usize));
        cell.copied().unwrap_or_default()
    }

    /// The number of the row of a signature; None = no subject.
    pub(crate) fn row_number(&self, signature: Option<u32>) -> u32 {
        match signature {
            Some(signature) => self.row_of.get(signature as usize).copied().unwrap_or(self.open),
            None => self.open,
        }
    }
}

type BoundRule = (Action, Term, PortId);

/// The state of each block while tiers are asked.
pub(crate) struct Fold<'a, F> {
    /// Blocks of a set of other ends.
    blocks_of: F,
    accepted: Row,
    /// What no tier decided yet.
    open: Row,
    ids: &'a mut PortIds,
}

impl<'b, F: Fn(u32) -> Cow<'b, [u32]>> Fold<'_, F> {
    pub(crate) fn new(blocks: usize, ids: &mut PortIds, blocks_of: F) -> Fold<'_, F> {
        Fold { blocks_of, accepted: vec![NONE; blocks], open: vec![ALL; blocks], ids }
    }

    /// Asks the policies that select a subject with these names, in order.
    pub(crate) fn policies(
        &mut self,
        policies: &[&CompiledPolicy],
        names: u32,
        (axis, named): (&Axis, &mut NamedPorts),
    ) {
        for tier in policies.chunk_by(|a, b| a.tier == b.tier) {
            let mut rules = Vec::new();
            for rule in tier.iter().flat_map(|policy| &policy.rules) {
                for term in &rule.terms {
                    let ports = named.ports(term.ports, names, (axis, self.ids));
                    rules.push((rule.action, *term, ports));
                }
            }
            if tier.iter().all(|policy| policy.unordered && policy.isolates) {
                self.unite(&rules);
            } else {
                self.ask(&rules, tier.iter().any(|policy| policy.isolates));
            }
        }
    }

    /// A tier of policies that isolate and only accept: the union of their rules.
    fn unite(&mut self, rules: &[BoundRule]) {
        let mut allowed = vec![NONE; self.open.len()];
        let mut towards_all = NONE;
        for (_, term, ports) in rules {
            match term.peers {
                None => towards_all = self.ids.union(towards_all, *ports),
                Some(set) => {
                    for block in &*(self.blocks_of)(set) {
                        if let Some(cell) = allowed.get_mut(*block as usize) {
                            *cell = self.ids.union(*cell, *ports);
                        }
                    }
                }
            }
        }
        let cells = self.accepted.iter_mut().zip(&mut self.open).zip(allowed);
        for ((accepted, open), allowed) in cells {
            let allowed = self.ids.union(allowed, towards_all);
            let allowed = self.ids.intersection(allowed, *open);
            *accepted = self.ids.union(*accepted, allowed);
            *open = NONE;
        }
    }

    /// A tier of policies in order: the first rule that matches decides.
    fn ask(&mut self, rules: &[BoundRule], isolates: bool) {
        let mut rest = self.open.clone();
        let mut passed = vec![NONE; rest.len()];
        let everything: Vec<u32> = (0..id(rest.len())).collect();
        for (action, term, ports) in rules {
            let blocks = term.peers.map(&self.blocks_of);
            for block in blocks.as_deref().unwrap_or(&everything) {
                let Some(rest) = rest.get_mut(*block as usize) else { continue };
                let hit = self.ids.intersection(*rest, *ports);
                if hit == NONE {
                    continue;
                }
                *rest = self.ids.minus(*rest, hit);
                let list = match action {
                    Action::Accept => &mut self.accepted,
                    Action::Pass => &mut passed,
                    Action::Deny => continue,
                };
                if let Some(cell) = list.get_mut(*block as usize) {
                    *cell = self.ids.union(*cell, hit);
                }
            }
        }
        for ((open, rest), passed) in self.open.iter_mut().zip(rest).zip(passed) {
            *open = if isolates { passed } else { self.ids.union(passed, rest) };
        }
    }

    pub(crate) fn finish(mut self) -> Row {
        for (accepted, open) in self.accepted.iter_mut().zip(&self.open) {
            *accepted = self.ids.union(*accepted, *open);
        }
        self.accepted
    }
}
