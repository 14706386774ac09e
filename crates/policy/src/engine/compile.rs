//! One direction of all policies: rules over sets of items, subjects by signature.

use indexmap::IndexMap;
use sekisho_model::Direction;

use crate::engine::axis::{Axis, ItemKind};
use crate::engine::bits::Bits;
use crate::engine::ids::{Interner, id};
use crate::engine::port_ids::{PortId, PortIds};
use crate::engine::selectors::{Index, PeerSets};
use crate::ir::{Action, Peers, Policy, Ports, Rule, Rulebook};
use crate::matching::resolve;

/// A policy in one direction.
#[derive(Clone, Debug)]
pub(crate) struct CompiledPolicy {
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
    named: Interner<Ports>,
    resolved: IndexMap<(u32, u32), PortId, foldhash::fast::FixedState>,
}

/// What compiling needs besides the policies.
pub(crate) struct Workshop<'a> {
    pub(crate) axis: &'a Axis,
    pub(crate) index: &'a Index<'a>,
    pub(crate) ports: &'a mut PortIds,
}

impl Compiled {
    pub(crate) fn new(book: &Rulebook, direction: Direction, shop: &mut Workshop<'_>) -> Self {
        let mut compiled = Self {
            policies: Vec::new(),
            signature_of: vec![None; shop.axis.items.len()],
            signatures: Interner::default(),
            sets: Vec::new(),
            named: Interner::default(),
            resolved: IndexMap::default(),
        };
        let mut peers = PeerSets::default();
        let mut builder = Builder { book, direction, peers: &mut peers };
        let mut selected: Vec<Vec<u32>> = vec![Vec::new(); shop.axis.items.len()];
        for (tier, at) in book.tiers.iter().zip(0..) {
            for policy in &tier.policies {
                let number = id(compiled.policies.len());
                let Some(policy_of) = builder.policy(policy, at, shop) else { continue };
                let subjects = shop.index.select(&policy.subject);
                for item in subjects.iter() {
                    if let Some(list) = selected.get_mut(item as usize) {
                        list.push(number);
                    }
                }
                compiled.policies.push(policy_of.finish(&mut compiled.named));
            }
        }
        compiled.sets = peers.sets;
        compiled.sign(selected, direction, shop.axis);
        compiled
    }

    fn sign(&mut self, selected: Vec<Vec<u32>>, direction: Direction, axis: &Axis) {
        let uses_names: Vec<bool> = self
            .policies
            .iter()
            .map(|policy| {
                let terms = policy.rules.iter().flat_map(|rule| &rule.terms);
                terms.into_iter().any(|term| matches!(term.ports, TermPorts::Named(_)))
            })
            .collect();
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

    /// The ports of a term for subjects that give these names.
    pub(crate) fn ports_of(
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
        let ports = self.named.value(number).cloned().unwrap_or(Ports::ALL);
        let resolved = ids.intern(with_names(&ports, axis, names));
        self.resolved.insert((number, names), resolved);
        resolved
    }
}

fn with_names(ports: &Ports, axis: &Axis, names: u32) -> crate::PortSet {
    let names = axis.names.value(names);
    resolve(ports, || {
        let all = names.into_iter().flatten();
        all.map(|(name, protocol, port)| (name.as_str(), *protocol, *port))
    })
}

struct Builder<'a> {
    book: &'a Rulebook,
    direction: Direction,
    peers: &'a mut PeerSets,
}

/// A policy whose named ports have no number yet.
struct Draft {
    policy: CompiledPolicy,
    /// Rule, term and ports of each named term.
    named: Vec<(usize, usize, Ports)>,
}

impl Draft {
    fn finish(mut self, named: &mut Interner<Ports>) -> CompiledPolicy {
        for (rule, term, ports) in self.named {
            let number = named.intern(ports);
            let rule = self.policy.rules.get_mut(rule);
            if let Some(term) = rule.and_then(|rule| rule.terms.get_mut(term)) {
                term.ports = TermPorts::Named(number);
            }
        }
        self.policy
    }
}

impl Builder<'_> {
    fn policy(&mut self, policy: &Policy, tier: u32, shop: &mut Workshop<'_>) -> Option<Draft> {
        let side = policy.side(self.direction)?;
        let accepts = |rule: &Rule| rule.action == Action::Accept;
        let mut draft = Draft {
            policy: CompiledPolicy {
                tier,
                isolates: side.isolates,
                unordered: policy.rank.is_none() && side.rules.iter().all(accepts),
                rules: Vec::new(),
            },
            named: Vec::new(),
        };
        for rule in &side.rules {
            let terms = self.terms(rule, shop);
            if self.is_named(rule) {
                let at = draft.policy.rules.len();
                draft.named.extend((0..terms.len()).map(|term| (at, term, rule.ports.clone())));
            }
            draft.policy.rules.push(CompiledRule { action: rule.action, terms });
        }
        Some(draft)
    }

    /// Whether names of the subject decide the ports of the rule.
    fn is_named(&self, rule: &Rule) -> bool {
        self.direction == Direction::Ingress && rule.ports.has_names()
    }

    fn terms(&mut self, rule: &Rule, shop: &mut Workshop<'_>) -> Vec<Term> {
        let peers = match &rule.peers {
            Peers::Any => None,
            list @ Peers::List(_) => Some(self.peers.intern(list, shop.index)),
        };
        if self.is_named(rule) {
            // The number of the ports is filled in by `finish`.
            return vec![Term { peers, ports: TermPorts::Named(0) }];
        }
        if !rule.ports.has_names() {
            let ports = shop.ports.intern(with_names(&rule.ports, shop.axis, 0));
            return vec![Term { peers, ports: TermPorts::Fixed(ports) }];
        }
        if self.book.dialect.egress_names_are_cluster_wide() {
            let all = || shop.axis.names.iter().flatten();
            let set = resolve(&rule.ports, || {
                all().map(|(name, protocol, port)| (name.as_str(), *protocol, *port))
            });
            return vec![Term { peers, ports: TermPorts::Fixed(shop.ports.intern(set)) }];
        }
        self.by_names(peers, &rule.ports, shop)
    }

    /// In egress the destinations' names decide: one term for each set of ports they come to.
    fn by_names(
        &mut self,
        peers: Option<u32>,
        ports: &Ports,
        shop: &mut Workshop<'_>,
    ) -> Vec<Term> {
        let axis = shop.axis;
        let resolved: Vec<PortId> = (0..id(axis.names.len()))
            .map(|names| shop.ports.intern(with_names(ports, axis, names)))
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
