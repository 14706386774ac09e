//! One direction of all policies: rules over sets of items, subjects by signature.

use indexmap::IndexMap;
use sekisho_model::Direction;

use crate::engine::axis::{Axis, ItemKind};
use crate::engine::bits::Bits;
use crate::engine::ids::{Interner, id};
use crate::engine::port_ids::{NONE, PortId, PortIds};
use crate::engine::selectors::{PeerSets, World};
use crate::ir::{Action, Peers, Policy, Ports, Rank, Rule, Rulebook};
use crate::matching::resolve;
use crate::{Dialect, PolicyName};

/// A policy in one direction.
#[derive(Clone, Debug)]
pub(crate) struct CompiledPolicy {
    pub(crate) name: PolicyName,
    pub(crate) rank: Option<Rank>,
    /// Index of the tier.
    pub(crate) tier: u32,
    pub(crate) isolates: bool,
    /// Whether the order of its rules and of policies does not matter.
    pub(crate) unordered: bool,
    pub(crate) rules: Vec<CompiledRule>,
}

/// A rule in one direction.
#[derive(Clone, Debug)]
pub(crate) struct CompiledRule {
    pub(crate) action: Action,
    /// The other ends, with the ports that match towards them. Ends that are nowhere don't match.
    pub(crate) terms: Vec<Term>,
}

/// Other ends and ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// Number of the set of items; None = all.
    pub(crate) peers: Option<u32>,
    pub(crate) ports: TermPorts,
}

/// Ports of a term.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TermPorts {
    /// The same for all subjects.
    Fixed(PortId),
    /// Names of the subject decide: number of the [`Ports`] that was given.
    Named(u32),
}

/// What tells subjects apart in one direction: the policies that select them, in order, and for
/// named ports of ingress the names they give.
pub(crate) type Signature = (Vec<u32>, u32);

/// One direction.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) policies: Vec<CompiledPolicy>,
    /// Signature of each item; None = no subject.
    pub(crate) signature_of: Vec<Option<u32>>,
    pub(crate) signatures: Interner<Signature>,
    /// Sets of other ends, by number.
    pub(crate) sets: Vec<Bits>,
    pub(crate) named: NamedPorts,
}

/// Ports that names of the subject decide.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedPorts {
    ports: Interner<Ports>,
    resolved: IndexMap<(u32, u32), PortId, foldhash::fast::FixedState>,
}

/// What compiling needs besides the policies.
pub(crate) struct Workshop<'a> {
    pub(crate) world: World<'a>,
    pub(crate) ports: &'a mut PortIds,
    pub(crate) dialect: Dialect,
    pub(crate) direction: Direction,
    pub(crate) peers: PeerSets,
    pub(crate) named: NamedPorts,
}

impl Compiled {
    pub(crate) fn new(book: &Rulebook, shop: &mut Workshop<'_>) -> Self {
        let mut policies = Vec::new();
        let mut selected: Vec<Vec<u32>> = vec![Vec::new(); shop.world.axis.items.len()];
        for (tier, at) in book.tiers.iter().zip(0..) {
            for policy in &tier.policies {
                let number = id(policies.len());
                let Some(compiled) = shop.policy(policy, at) else { continue };
                for item in shop.world.select(&policy.subject).iter() {
                    if let Some(list) = selected.get_mut(item as usize) {
                        list.push(number);
                    }
                }
                policies.push(compiled);
            }
        }
        let mut compiled = Self {
            policies,
            signature_of: vec![None; shop.world.axis.items.len()],
            signatures: Interner::default(),
            sets: std::mem::take(&mut shop.peers.sets),
            named: std::mem::take(&mut shop.named),
        };
        compiled.sign(selected, shop.direction, shop.world.axis);
        compiled
    }

    /// Whether a policy selects the subjects with this signature.
    pub(crate) fn speaks_of(&self, signature: u32) -> bool {
        self.signatures.value(signature).is_none_or(|(policies, _)| !policies.is_empty())
    }

    fn sign(&mut self, selected: Vec<Vec<u32>>, direction: Direction, axis: &Axis) {
        let uses_names: Vec<bool> = self.policies.iter().map(CompiledPolicy::uses_names).collect();
        for ((item, list), slot) in axis.items.iter().zip(selected).zip(&mut self.signature_of) {
            if !matches!(item.kind, ItemKind::Endpoint(_)) {
                continue;
            }
            let named = direction == Direction::Ingress
                && list.iter().any(|policy| uses_names.get(*policy as usize) == Some(&true));
            let names = if named { item.names } else { 0 };
            *slot = Some(self.signatures.intern((list, names)));
        }
    }
}

impl CompiledPolicy {
    /// Moves the numbers of its peer sets up.
    pub(crate) fn shift(&mut self, by: u32) {
        for term in self.rules.iter_mut().flat_map(|rule| &mut rule.terms) {
            term.peers = term.peers.map(|set| set.saturating_add(by));
        }
    }

    /// Whether names of the subject decide ports of a rule.
    pub(crate) fn uses_names(&self) -> bool {
        let mut terms = self.rules.iter().flat_map(|rule| &rule.terms);
        terms.any(|term| matches!(term.ports, TermPorts::Named(_)))
    }
}

impl NamedPorts {
    /// The ports of a term for subjects that give these names.
    pub(crate) fn ports(
        &mut self,
        term: TermPorts,
        names: u32,
        (axis, ids): (&Axis, &mut PortIds),
    ) -> PortId {
        let number = match term {
            TermPorts::Fixed(ports) => return ports,
            TermPorts::Named(number) => number,
        };
        if let Some(known) = self.resolved.get(&(number, names)) {
            return *known;
        }
        let Some(ports) = self.ports.value(number) else { return NONE };
        let resolved = ids.intern(with_names(ports, axis, names));
        self.resolved.insert((number, names), resolved);
        resolved
    }

    /// The same once rows were made, when all are known.
    pub(crate) fn known_ports_of(&self, term: TermPorts, names: u32) -> PortId {
        match term {
            TermPorts::Fixed(ports) => ports,
            TermPorts::Named(number) => {
                self.resolved.get(&(number, names)).copied().unwrap_or_default()
            }
        }
    }
}

fn with_names(ports: &Ports, axis: &Axis, names: u32) -> crate::PortSet {
    let names = axis.names.value(names);
    resolve(ports, || {
        let all = names.into_iter().flatten();
        all.map(|(name, protocol, port)| (name.as_str(), *protocol, *port))
    })
}

impl Workshop<'_> {
    /// Compiles a policy; None if it says nothing of the direction.
    pub(crate) fn policy(&mut self, policy: &Policy, tier: u32) -> Option<CompiledPolicy> {
        let side = policy.side(self.direction)?;
        let accepts = |rule: &Rule| rule.action == Action::Accept;
        let compiled = |rule: &Rule| CompiledRule { action: rule.action, terms: self.terms(rule) };
        Some(CompiledPolicy {
            name: policy.name.clone(),
            rank: policy.rank,
            tier,
            isolates: side.isolates,
            unordered: policy.rank.is_none() && side.rules.iter().all(accepts),
            rules: side.rules.iter().map(compiled).collect(),
        })
    }

    fn terms(&mut self, rule: &Rule) -> Vec<Term> {
        let peers = match &rule.peers {
            Peers::Any => None,
            list @ Peers::List(_) => Some(self.peers.intern(list, self.world)),
        };
        if !rule.ports.has_names() {
            let ports = self.ports.intern(with_names(&rule.ports, self.world.axis, 0));
            return vec![Term { peers, ports: TermPorts::Fixed(ports) }];
        }
        if self.direction == Direction::Ingress {
            let number = self.named.ports.intern(rule.ports.clone());
            return vec![Term { peers, ports: TermPorts::Named(number) }];
        }
        if self.dialect.egress_names_are_cluster_wide() {
            let all = || self.world.axis.names.iter().flatten();
            let set = resolve(&rule.ports, || {
                all().map(|(name, protocol, port)| (name.as_str(), *protocol, *port))
            });
            return vec![Term { peers, ports: TermPorts::Fixed(self.ports.intern(set)) }];
        }
        self.by_names(peers, &rule.ports)
    }

    /// In egress the destinations' names decide: one term for each set of ports they come to.
    fn by_names(&mut self, peers: Option<u32>, ports: &Ports) -> Vec<Term> {
        let axis = self.world.axis;
        let resolved: Vec<PortId> = (0..id(axis.names.len()))
            .map(|names| self.ports.intern(with_names(ports, axis, names)))
            .collect();
        let all = Bits::all(axis.items.len());
        let set = peers.and_then(|set| self.peers.sets.get(set as usize)).unwrap_or(&all);
        let mut parts: IndexMap<PortId, Bits> = IndexMap::new();
        for at in set.iter() {
            let names = axis.items.get(at as usize).map_or(0, |item| item.names);
            let Some(ports) = resolved.get(names as usize) else { continue };
            let part = parts.entry(*ports).or_insert_with(|| Bits::none(axis.items.len()));
            part.insert(at);
        }
        let mut terms = Vec::new();
        for (ports, part) in parts {
            let peers = Some(self.peers.push(part));
            terms.push(Term { peers, ports: TermPorts::Fixed(ports) });
        }
        terms
    }
}
