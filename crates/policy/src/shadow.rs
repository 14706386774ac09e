//! Rules that change nothing: what they do, others do as well, or nobody is meant.
//!
//! Exact for the pods, nodes and policies there are, and for every address outside: ends that no
//! rule tells apart are put together, each pair of ends is asked for all ports at once with the rule
//! and without it, and no sample is taken. A rule is shadowed if no pair and no port is decided
//! otherwise without it. Each rule is judged with all others in place, so of two that say the same
//! each is shadowed by the other, and only one of them can go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_model::{Direction, Protocol};

use crate::decide::exemption;
use crate::engine::axis::{Axis, addresses};
use crate::ir::{Action, Entity, PeerMatch, Peers, Policy, Rule, Rulebook};
use crate::lint::cover::{implies, rule_covers};
use crate::matching::{Facts, Question, is_ordinary};
use crate::named::Named;
use crate::reach::Party;
use crate::{Cluster, Connection, Endpoint, Peer, PolicyName, PortSet, Reason, RuleId, RuleSet};

/// Pairs of ends times the rules about them that are asked at most, some 10 s of work.
const TRIALS_MAX: usize = 4_000_000;

/// A name outside that rules do not name (RFC 2606, section 2).
const OTHER_DOMAIN: &str = "other.invalid";

/// Others that are named of one rule.
const OTHERS_MAX: usize = 16;

/// What would be otherwise without a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Something: a connection is decided otherwise, or might be.
    Needed,
    /// Nothing, because the policy selects no pod or host of the cluster.
    SelectsNothing,
    /// Nothing, because it speaks about no other end there is, or about no port of it.
    MatchesNothing,
    /// Nothing, because others do the same, or decide before it.
    Shadowed(Shadow),
}

/// By what a rule is shadowed; by nothing at all if what it allows is allowed anyway, because nobody
/// isolates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    /// The rules that decide where it would, sorted; some only if there are many.
    pub by: Vec<RuleId>,
    /// Policies that deny there, because none of their rules allows, sorted.
    pub isolated_by: Vec<PolicyName>,
    /// Whether one of `by` says all that it says whatever pods come to be; else it holds for those
    /// there are.
    pub always: bool,
}

/// There are too many rules and ends to try all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{trials} trials of rules on pairs of ends, {TRIALS_MAX} are made at most")]
pub struct TooManyTrials {
    /// How many there would be.
    pub trials: usize,
}

/// What each rule of `rules` changes in `cluster`.
///
/// # Errors
/// [`TooManyTrials`] before anything is tried.
pub fn effects(
    rules: &RuleSet,
    cluster: &Cluster,
) -> Result<BTreeMap<RuleId, Effect>, TooManyTrials> {
    let book = rules.rulebook();
    let ends = Ends::of(book, cluster);
    let mut trials = 0_usize;
    for subject in &ends.subjects {
        let policies = selecting(book, cluster, subject);
        let own: usize = policies.iter().map(|(_, policy)| rules_of(policy)).sum();
        trials = trials.saturating_add(ends.others.len().saturating_mul(own));
    }
    if trials > TRIALS_MAX {
        return Err(TooManyTrials { trials });
    }
    let mut seen: BTreeMap<RuleId, Seen> = BTreeMap::new();
    for subject in &ends.subjects {
        for direction in [Direction::Ingress, Direction::Egress] {
            try_subject((book, cluster), &ends, (direction, subject), &mut seen);
        }
    }
    let found = book.rules().map(|(policy, direction, rule)| {
        let id = RuleId::of(policy, direction, rule);
        let effect = effect(book, cluster, seen.get(&id), (policy, direction, rule));
        (id, effect)
    });
    Ok(found.collect())
}

fn rules_of(policy: &Policy) -> usize {
    [&policy.ingress, &policy.egress].into_iter().flatten().map(|side| side.rules.len()).sum()
}

/// One of each kind of end that rules can tell apart.
struct Ends<'c> {
    /// Pods and hosts that policies may select.
    subjects: Vec<&'c Endpoint>,
    /// Whom they may talk with, and the address used.
    others: Vec<(Peer<'c>, Option<IpAddr>)>,
}

impl<'c> Ends<'c> {
    fn of(book: &'c Rulebook, cluster: &'c Cluster) -> Self {
        let axis = Axis::new(book.dialect, cluster, &Named::in_book(book));
        let by_node = book.rules().any(|(_, _, rule)| names_nodes(&rule.peers));
        let (mut subjects, mut others) = (Vec::new(), Vec::new());
        for party in &axis.parties {
            match party {
                Party::Endpoints(members) => {
                    let mut nodes = BTreeSet::new();
                    let all = members.iter().filter_map(|index| cluster.endpoints.get(*index));
                    let kinds = all.filter(|one| nodes.insert(one.node.as_deref()));
                    // Of two on different nodes one is no pod of any given node.
                    let most = if by_node { usize::MAX } else { 2 };
                    let kinds: Vec<&Endpoint> = kinds.take(most).collect();
                    subjects.extend(kinds.iter().filter(|one| is_ordinary(book.dialect, one)));
                    others.extend(kinds.iter().flat_map(|&one| {
                        at_each_address(one, addresses(book.dialect, cluster, one))
                    }));
                }
                Party::Addresses(ranges) => {
                    let outside = ranges.iter().find_map(|range| outside(cluster, *range));
                    others.extend(outside.map(|one| (Peer::Address(one), Some(one))));
                }
                Party::Domain(_) => {}
            }
        }
        let named = book.rules().flat_map(|(_, _, rule)| domains(&rule.peers));
        let named: BTreeSet<&'c str> = named.collect();
        // And one that no rule names: of what has a name its address may be unknown, which the
        // networks of all addresses hold all the same.
        let names = named.into_iter().chain([OTHER_DOMAIN]);
        others.extend(names.map(|name| (Peer::Domain(name), None)));
        for (name, addresses) in &cluster.nodes {
            let known = addresses.iter().map(|address| Some(address.to_canonical()));
            let unknown = addresses.is_empty().then_some(None);
            others.extend(
                known.chain(unknown).map(|address| (Peer::Node { name, address }, address)),
            );
        }
        Self { subjects, others }
    }
}

fn at_each_address<'c>(one: &'c Endpoint, addresses: &[IpAddr]) -> Vec<(Peer<'c>, Option<IpAddr>)> {
    if addresses.is_empty() {
        return vec![(Peer::Endpoint(one), None)];
    }
    let addresses = addresses.iter();
    addresses.map(|address| (Peer::Endpoint(one), Some(address.to_canonical()))).collect()
}

/// The first address of a range that no node has; None if nodes have all of them.
fn outside(cluster: &Cluster, (first, last): (IpAddr, IpAddr)) -> Option<IpAddr> {
    let taken: usize = cluster.nodes.values().map(Vec::len).sum();
    let mut next = Some(first);
    for _ in 0..=taken {
        let one = next.filter(|one| *one <= last)?;
        if cluster.node_at(one).is_none() {
            return Some(one);
        }
        next = match one {
            IpAddr::V4(one) => u32::from(one).checked_add(1).map(|next| IpAddr::V4(next.into())),
            IpAddr::V6(one) => u128::from(one).checked_add(1).map(|next| IpAddr::V6(next.into())),
        };
    }
    None
}

/// Whether a rule tells the subject's own node from others.
fn names_nodes(peers: &Peers) -> bool {
    fn names(one: &PeerMatch) -> bool {
        match one {
            PeerMatch::Entity(Entity::Host | Entity::RemoteNode) => true,
            PeerMatch::All(all) => all.iter().any(names),
            PeerMatch::Not(inner) => names(inner),
            PeerMatch::Entity(Entity::World | Entity::Cluster)
            | PeerMatch::Endpoints(_)
            | PeerMatch::Networks { .. }
            | PeerMatch::Nodes(_)
            | PeerMatch::Domain(_)
            | PeerMatch::DomainPattern(_) => false,
        }
    }
    match peers {
        Peers::Any => false,
        Peers::List(list) => list.iter().any(names),
    }
}

/// The DNS names of a rule; a pattern stands for the names that no other rule names.
fn domains(peers: &Peers) -> Vec<&str> {
    fn names<'p>(one: &'p PeerMatch, found: &mut Vec<&'p str>) {
        match one {
            PeerMatch::Domain(name) | PeerMatch::DomainPattern(name) => found.push(name),
            PeerMatch::All(all) => all.iter().for_each(|one| names(one, found)),
            PeerMatch::Not(inner) => names(inner, found),
            PeerMatch::Endpoints(_)
            | PeerMatch::Networks { .. }
            | PeerMatch::Nodes(_)
            | PeerMatch::Entity(_) => {}
        }
    }
    let mut found = Vec::new();
    if let Peers::List(list) = peers {
        list.iter().for_each(|one| names(one, &mut found));
    }
    found
}

/// The policies that select `subject`, each with the number of its tier.
fn selecting<'b>(
    book: &'b Rulebook,
    cluster: &Cluster,
    subject: &Endpoint,
) -> Vec<(usize, &'b Policy)> {
    let facts = Facts::of(cluster, subject);
    let subject = facts.subject();
    let tiers = book.tiers.iter().enumerate();
    let all = tiers.flat_map(|(tier, one)| one.policies.iter().map(move |policy| (tier, policy)));
    all.filter(|(_, policy)| policy.subject.matches(&subject)).collect()
}

/// What is known of a rule after some pairs of ends.
#[derive(Default)]
struct Seen {
    matches: bool,
    needed: bool,
    by: BTreeSet<RuleId>,
    isolated_by: BTreeSet<PolicyName>,
}

/// A rule that speaks about a pair of ends, and on what ports; in several parts, of one id, if its
/// policy says in one rule what takes several here.
struct Speaking {
    tier: usize,
    id: RuleId,
    ports: PortSet,
}

fn try_subject<'c>(
    (book, cluster): (&Rulebook, &'c Cluster),
    ends: &Ends<'c>,
    (direction, subject): (Direction, &'c Endpoint),
    seen: &mut BTreeMap<RuleId, Seen>,
) {
    let policies: Vec<_> = selecting(book, cluster, subject);
    let sides = policies
        .iter()
        .filter_map(|(tier, policy)| policy.side(direction).map(|side| (*tier, *policy, side)));
    let sides: Vec<_> = sides.collect();
    for (_, policy, side) in &sides {
        for rule in &side.rules {
            seen.entry(RuleId::of(policy, direction, rule)).or_default();
        }
    }
    let mut isolating: BTreeMap<usize, Vec<&PolicyName>> = BTreeMap::new();
    for (tier, policy, _) in sides.iter().filter(|(.., side)| side.isolates) {
        isolating.entry(*tier).or_default().push(&policy.name);
    }
    for (peer, address) in &ends.others {
        let Some(own) = meeting(subject, *address) else { continue };
        let connection = connection(direction, (subject, own), (*peer, *address));
        // Itself stands for another pod like it; its own node no policy keeps out.
        if exemption(cluster, book.dialect, &connection, direction) == Err(Reason::OwnNode) {
            continue;
        }
        let question = Question::new(cluster, book.dialect, &connection, (direction, subject));
        note(&speaking(&sides, direction, &question), &isolating, seen);
    }
}

/// The address at which the subject can meet `other`; None if they have no family in common.
fn meeting(subject: &Endpoint, other: Option<IpAddr>) -> Option<Option<IpAddr>> {
    if subject.addresses.is_empty() {
        return Some(None);
    }
    let like = |own: &&IpAddr| other.is_none_or(|other| other.is_ipv4() == own.is_ipv4());
    subject.addresses.iter().map(IpAddr::to_canonical).find(|own| like(&own)).map(Some)
}

fn connection<'c>(
    direction: Direction,
    (subject, own): (&'c Endpoint, Option<IpAddr>),
    (peer, address): (Peer<'c>, Option<IpAddr>),
) -> Connection<'c> {
    let subject = Peer::Endpoint(subject);
    let ((source, source_address), (destination, destination_address)) = match direction {
        Direction::Ingress => ((peer, address), (subject, own)),
        Direction::Egress => ((subject, own), (peer, address)),
    };
    let (protocol, port) = (Protocol::Tcp, 0);
    Connection { source, destination, source_address, destination_address, protocol, port }
}

fn speaking(
    sides: &[(usize, &Policy, &crate::ir::Side)],
    direction: Direction,
    question: &Question<'_>,
) -> Vec<Speaking> {
    let mut found = Vec::new();
    for (tier, policy, side) in sides {
        for rule in side.rules.iter().filter(|rule| question.peer_matches(&rule.peers)) {
            let ports = question.port_set(&rule.ports);
            if !ports.is_empty() {
                let id = RuleId::of(policy, direction, rule);
                found.push(Speaking { tier: *tier, id, ports });
            }
        }
    }
    found
}

/// Notes what each rule that speaks about a pair changes there.
fn note(
    speaking: &[Speaking],
    isolating: &BTreeMap<usize, Vec<&PolicyName>>,
    seen: &mut BTreeMap<RuleId, Seen>,
) {
    let mut with: Option<PortSet> = None;
    for one in speaking {
        let Some(known) = seen.get_mut(&one.id) else { continue };
        known.matches = true;
        if known.needed {
            continue;
        }
        let with = with.get_or_insert_with(|| allowed(&decided(speaking, None, isolating)));
        let without = decided(speaking, Some(&one.id), isolating);
        if *with != allowed(&without) {
            known.needed = true;
            continue;
        }
        for part in without.iter().filter(|part| !part.ports.intersection(&one.ports).is_empty()) {
            match part.by {
                By::Rule(other) => {
                    known.by.extend(speaking.get(other).map(|other| other.id.clone()));
                }
                By::Isolation(tier) => {
                    let policies = isolating.get(&tier).into_iter().flatten();
                    known.isolated_by.extend(policies.map(|name| (*name).clone()));
                }
                By::Nobody => {}
            }
        }
    }
}

/// Who decides ports.
#[derive(Clone, Copy)]
enum By {
    Rule(usize),
    /// Policies of this tier.
    Isolation(usize),
    Nobody,
}

/// Ports that are decided alike.
struct Decided {
    ports: PortSet,
    allowed: bool,
    by: By,
}

fn allowed(parts: &[Decided]) -> PortSet {
    let allowed = parts.iter().filter(|part| part.allowed);
    allowed.fold(PortSet::none(), |set, part| set.union(&part.ports))
}

/// All ports, each with who decides it, as [`crate::decide`] reads tiers; without the rule `skip`.
fn decided(
    speaking: &[Speaking],
    skip: Option<&RuleId>,
    isolating: &BTreeMap<usize, Vec<&PolicyName>>,
) -> Vec<Decided> {
    let mut parts = Vec::new();
    let mut open = PortSet::all();
    let tiers = speaking.iter().map(|one| one.tier).chain(isolating.keys().copied());
    for tier in tiers.collect::<BTreeSet<usize>>() {
        let mut passed = PortSet::none();
        for (index, one) in speaking.iter().enumerate() {
            if one.tier != tier || Some(&one.id) == skip {
                continue;
            }
            let ports = open.intersection(&one.ports);
            if ports.is_empty() {
                continue;
            }
            open = open.minus(&ports);
            let by = By::Rule(index);
            match one.id.action {
                Action::Accept => parts.push(Decided { ports, allowed: true, by }),
                Action::Deny => parts.push(Decided { ports, allowed: false, by }),
                Action::Pass => passed = passed.union(&ports),
            }
        }
        if isolating.contains_key(&tier) {
            let ports = std::mem::take(&mut open);
            parts.push(Decided { ports, allowed: false, by: By::Isolation(tier) });
        }
        open = open.union(&passed);
    }
    parts.push(Decided { ports: open, allowed: true, by: By::Nobody });
    parts
}

fn effect(
    book: &Rulebook,
    cluster: &Cluster,
    seen: Option<&Seen>,
    (policy, direction, rule): (&Policy, Direction, &Rule),
) -> Effect {
    let Some(seen) = seen else { return Effect::SelectsNothing };
    if !seen.matches {
        return Effect::MatchesNothing;
    }
    if seen.needed {
        return Effect::Needed;
    }
    let own = RuleId::of(policy, direction, rule);
    let is_covered = |(policy, _, rule): (&Policy, Direction, &Rule)| {
        book.rules().any(|(other, way, one)| {
            way == direction
                && RuleId::of(other, way, one) != own
                && other.rank.is_none()
                && one.action == rule.action
                && (other.name == policy.name || implies(cluster, &policy.subject, &other.subject))
                && rule_covers(cluster, one, rule)
        })
    };
    // Only where order has no meaning can one rule stand for another whatever others there are.
    let always = policy.rank.is_none()
        && book
            .rules()
            .filter(|(policy, way, rule)| RuleId::of(policy, *way, rule) == own)
            .all(is_covered);
    let mut by: Vec<RuleId> = seen.by.iter().cloned().collect();
    by.truncate(OTHERS_MAX);
    let isolated_by = seen.isolated_by.iter().take(OTHERS_MAX).cloned().collect();
    Effect::Shadowed(Shadow { by, isolated_by, always })
}
