//! A row with the policy and rule behind each of its parts, for whoever must name them.

use std::collections::BTreeMap;

use sekisho_model::{Direction, Protocol};

use crate::engine::compile::CompiledPolicy;
use crate::engine::port_ids::PortId;
use crate::engine::{Engine, Side};
use crate::ir::{Action, Policy, Rulebook};
use crate::{PolicyName, PortSet};

/// What the subjects of one class may do in one direction, and who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassTable {
    /// The policies that select the class and speak about the direction, in the order they are
    /// asked; empty = none, so that everything is allowed.
    pub policies: Vec<PolicyName>,
    /// Ingress only: name, protocol and number of the ports that subjects of the class name, if
    /// any of the policies goes by names.
    pub port_names: Vec<(String, Protocol, u16)>,
    /// Each distinct answer once: disjoint shares that together are everything.
    pub tables: Vec<Vec<Share>>,
    /// Index into `tables` of each column ([`crate::Place`]).
    pub table_of_column: Vec<usize>,
}

/// Protocols and ports that one rule decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// The protocols and ports; never empty.
    pub ports: PortSet,
    /// Whether they are allowed.
    pub allowed: bool,
    /// Who decides; None = no policy, so that they are allowed.
    pub decider: Option<Decider>,
}

/// What decides a share; the same that [`crate::Reason`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decider {
    /// Index into [`ClassTable::policies`].
    pub policy: usize,
    /// Index of the rule in the policy's list; None = no rule of the tier matched, and this policy
    /// is the first that isolates.
    pub rule: Option<u32>,
}

/// A rule that speaks about a column: place in the class's policies, place in the policy, ports.
type Match = (usize, usize, PortId);

/// What is needed to fold matches.
struct Class<'a> {
    compiled: Vec<&'a CompiledPolicy>,
    written: Vec<&'a Policy>,
    direction: Direction,
}

impl Engine {
    pub(crate) fn class_table(
        &self,
        book: &Rulebook,
        direction: Direction,
        class: u32,
    ) -> Option<ClassTable> {
        let side = match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        };
        let (numbers, names) = side.compiled.signatures.value(class)?;
        let policies = book.tiers.iter().flat_map(|tier| &tier.policies);
        let written: Vec<&Policy> =
            policies.filter(|policy| policy.side(direction).is_some()).collect();
        let class = Class {
            compiled: pick(numbers, |at| side.compiled.policies.get(at))?,
            written: pick(numbers, |at| written.get(at).copied())?,
            direction,
        };
        let mut known: BTreeMap<Vec<Match>, usize> = BTreeMap::new();
        let mut tables = Vec::new();
        let mut table_of_column = Vec::new();
        for matches in class.matches(side, *names) {
            let table = known.get(&matches).copied().unwrap_or_else(|| {
                tables.push(self.fold(&class, &matches));
                known.insert(matches, tables.len() - 1);
                tables.len() - 1
            });
            table_of_column.push(table);
        }
        Some(ClassTable {
            policies: class.written.iter().map(|policy| policy.name.clone()).collect(),
            port_names: self.axis.names.value(*names).cloned().unwrap_or_default(),
            tables,
            table_of_column,
        })
    }

    /// Asks the tiers in order, as [`crate::ir`] says.
    fn fold(&self, class: &Class<'_>, matches: &[Match]) -> Vec<Share> {
        let mut shares = Shares::default();
        let mut open = PortSet::all();
        let mut first = 0;
        for tier in class.compiled.chunk_by(|a, b| a.tier == b.tier) {
            let own = first..first + tier.len();
            let mut rest = open;
            let mut passed = PortSet::none();
            for (policy, rule, ports) in matches.iter().filter(|(at, ..)| own.contains(at)) {
                let hit = rest.intersection(self.ports.set(*ports));
                let Some((action, index)) = class.rule(*policy, *rule) else { continue };
                if hit.is_empty() {
                    continue;
                }
                rest = rest.minus(&hit);
                let decider = Decider { policy: *policy, rule: Some(index) };
                match action {
                    Action::Accept => shares.add(&hit, true, Some(decider)),
                    Action::Deny => shares.add(&hit, false, Some(decider)),
                    Action::Pass => passed = passed.union(&hit),
                }
            }
            let isolating = tier.iter().position(|policy| policy.isolates);
            open = match isolating {
                Some(at) => {
                    let decider = Decider { policy: first + at, rule: None };
                    shares.add(&rest, false, Some(decider));
                    passed
                }
                None => passed.union(&rest),
            };
            first = own.end;
        }
        shares.add(&open, true, None);
        shares.0
    }
}

/// The things that `numbers` stand for; None if one is unknown.
fn pick<T>(numbers: &[u32], of: impl Fn(usize) -> Option<T>) -> Option<Vec<T>> {
    numbers.iter().map(|number| of(*number as usize)).collect()
}

impl Class<'_> {
    /// For each column, the rules that speak about it, in order.
    fn matches(&self, side: &Side, names: u32) -> Vec<Vec<Match>> {
        let columns = side.rows.columns.len();
        let mut lists: Vec<Vec<Match>> = vec![Vec::new(); columns];
        for (at, policy) in self.compiled.iter().enumerate() {
            for (rule, compiled) in policy.rules.iter().enumerate() {
                for term in &compiled.terms {
                    let found = (at, rule, side.compiled.named.known_ports_of(term.ports, names));
                    match term.peers {
                        None => lists.iter_mut().for_each(|list| list.push(found)),
                        Some(set) => {
                            for block in side.rows.blocks_of(set) {
                                if let Some(list) = lists.get_mut(*block as usize) {
                                    list.push(found);
                                }
                            }
                        }
                    }
                }
            }
        }
        lists
    }

    /// Action and index of a rule.
    fn rule(&self, policy: usize, rule: usize) -> Option<(Action, u32)> {
        let side = self.written.get(policy)?.side(self.direction)?;
        side.rules.get(rule).map(|rule| (rule.action, rule.index))
    }
}

/// Shares so far.
#[derive(Default)]
struct Shares(Vec<Share>);

impl Shares {
    fn add(&mut self, ports: &PortSet, allowed: bool, decider: Option<Decider>) {
        if ports.is_empty() {
            return;
        }
        let like = |one: &&mut Share| (one.allowed, one.decider) == (allowed, decider);
        match self.0.iter_mut().find(like) {
            Some(same) => same.ports = same.ports.union(ports),
            None => self.0.push(Share { ports: ports.clone(), allowed, decider }),
        }
    }
}
