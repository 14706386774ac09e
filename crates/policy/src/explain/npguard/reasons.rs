//! Why each port is allowed or denied in one direction, in that tool's words.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Direction, Protocol};

use super::answer::World;
use crate::decide::exemption;
use crate::ir::{Action, Expr, PeerMatch, Peers, Policy, PortMatch, Ports, Rule, Side, Tier};
use crate::matching::Question;
use crate::{Connection, Peer, PortSet};

/// The reason where no policy decides.
pub(super) const DEFAULT: &str = "the system default (Allow all)";

/// Reasons by kind of object; kinds that are asked first come first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reasons(BTreeMap<(Reverse<u8>, &'static str), BTreeSet<String>>);

/// Ranks of kinds.
const TIER_RANK: u8 = 3;
/// NetworkPolicies, and what exposes Services.
pub(super) const POLICY_RANK: u8 = 2;
const BASELINE_RANK: u8 = 1;
const DEFAULT_RANK: u8 = 0;

impl Reasons {
    /// Only the system default.
    pub(super) fn default_only() -> Self {
        let mut reasons = Self::default();
        reasons.add(DEFAULT_RANK, "", DEFAULT.to_owned());
        reasons
    }

    pub(super) fn add(&mut self, rank: u8, kind: &'static str, reason: String) {
        self.0.entry((Reverse(rank), kind)).or_default().insert(reason);
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for (key, reasons) in &other.0 {
            self.0.entry(*key).or_default().extend(reasons.iter().cloned());
        }
    }

    /// Whether nothing but the default decided.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default_only()
    }

    /// Kind, and its reasons in order of the alphabet.
    pub(super) fn by_kind(&self) -> impl Iterator<Item = (&'static str, &BTreeSet<String>)> {
        self.0.iter().map(|((_, kind), reasons)| (*kind, reasons))
    }
}

/// Ports that one direction decides alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) ports: PortSet,
    pub(super) allowed: bool,
    pub(super) reasons: Reasons,
}

/// Two ends with the names they are shown by.
#[derive(Clone, Copy)]
pub(super) struct Ends<'w> {
    pub(super) source: Peer<'w>,
    pub(super) source_name: &'w str,
    pub(super) destination: Peer<'w>,
    pub(super) destination_name: &'w str,
}

impl Ends<'_> {
    /// Names of the subject and of the other end.
    fn names(&self, direction: Direction) -> (&str, &str) {
        match direction {
            Direction::Egress => (self.source_name, self.destination_name),
            Direction::Ingress => (self.destination_name, self.source_name),
        }
    }

    fn other(&self, direction: Direction) -> Peer<'_> {
        match direction {
            Direction::Egress => self.destination,
            Direction::Ingress => self.source,
        }
    }
}

/// What one direction says of all ports of a pair.
pub(super) fn direction(world: &World<'_>, ends: &Ends<'_>, direction: Direction) -> Vec<Class> {
    let connection = Connection {
        source: ends.source,
        destination: ends.destination,
        source_address: None,
        destination_address: None,
        protocol: Protocol::Tcp,
        port: 0,
    };
    let all = PortSet::all_transport();
    let dialect = world.rules.dialect();
    let Ok(subject) = exemption(&world.cluster, dialect, &connection, direction) else {
        let reasons = Reasons::default_only();
        return vec![Class { ports: all, allowed: true, reasons }];
    };
    let question = Question::new(&world.cluster, dialect, &connection, (direction, subject));
    let mut asked = Asked { world, ends, direction, question, decided: Vec::new() };
    let mut open = vec![(all, Reasons::default())];
    for tier in &world.rules.rulebook().tiers {
        open = asked.ask(tier, open);
    }
    for (ports, mut reasons) in open {
        reasons.extend(&Reasons::default_only());
        asked.decide(ports, true, reasons);
    }
    asked.decided
}

struct Asked<'a> {
    world: &'a World<'a>,
    ends: &'a Ends<'a>,
    direction: Direction,
    question: Question<'a>,
    decided: Vec<Class>,
}

type Open = Vec<(PortSet, Reasons)>;

/// What a policy whose rules have no order says of some ports.
struct Word {
    ports: PortSet,
    allowed: bool,
    reason: String,
}

impl Asked<'_> {
    fn decide(&mut self, ports: PortSet, allowed: bool, reasons: Reasons) {
        if !ports.is_empty() {
            self.decided.push(Class { ports, allowed, reasons });
        }
    }

    /// Asks a tier; returns what it leaves to the next.
    fn ask(&mut self, tier: &Tier, open: Open) -> Open {
        let selecting: Vec<(&Policy, &Side)> = tier
            .policies
            .iter()
            .filter(|policy| self.question.is_selected_by(policy))
            .filter_map(|policy| Some((policy, policy.side(self.direction)?)))
            .collect();
        let rank = rank(tier);
        let (ordered, unordered): (Vec<_>, Vec<_>) =
            selecting.into_iter().partition(|(policy, side)| is_ordered(policy, side));
        let mut passed = Vec::new();
        let mut rest = open;
        for (policy, side) in &ordered {
            for rule in &side.rules {
                if self.question.peer_matches(&rule.peers) {
                    rest = self.take(rest, (policy, rule), rank, &mut passed);
                }
            }
        }
        let isolating = ordered.iter().filter(|(_, side)| side.isolates);
        let mut words: Vec<(&Policy, Vec<Word>)> =
            isolating.map(|(policy, _)| (*policy, vec![self.silence(policy, false)])).collect();
        words.extend(unordered.iter().map(|(policy, side)| (*policy, self.words(policy, side))));
        if words.is_empty() {
            rest.extend(passed);
            return rest;
        }
        for (ports, reasons) in rest {
            self.unite(ports, &reasons, &words, rank);
        }
        passed
    }

    /// Decides the ports of an ordered rule.
    fn take(
        &mut self,
        open: Open,
        (policy, rule): (&Policy, &Rule),
        rank: u8,
        passed: &mut Open,
    ) -> Open {
        let ports = self.question.port_set(&rule.ports);
        let mut rest = Vec::with_capacity(open.len());
        for (part, reasons) in open {
            let inside = part.intersection(&ports);
            if !inside.is_empty() {
                let mut reasons = reasons.clone();
                // In that tool's baseline an Allow is as good as no rule.
                if rank == BASELINE_RANK && rule.action == Action::Accept {
                    reasons.extend(&Reasons::default_only());
                } else {
                    reasons.add(rank, policy.name.kind.as_str(), self.ordered_reason(policy, rule));
                }
                match rule.action {
                    Action::Accept => self.decide(inside, true, reasons),
                    Action::Deny => self.decide(inside, false, reasons),
                    Action::Pass => passed.push((inside, reasons)),
                }
            }
            let outside = part.minus(&ports);
            if !outside.is_empty() {
                rest.push((outside, reasons));
            }
        }
        rest
    }

    fn ordered_reason(&self, policy: &Policy, rule: &Rule) -> String {
        let verb = match rule.action {
            Action::Accept => "allows",
            Action::Deny => "denies",
            Action::Pass => "passes",
        };
        let rule = match rule.name.as_str() {
            "" if policy.rank.is_none() => format!("#{}", rule.index + 1),
            name => name.to_owned(),
        };
        let direction = title(self.direction);
        format!("{} {verb} connections by {direction} rule {rule}", called(policy))
    }

    /// Decides ports by policies of which one must allow: all that allow are reasons, else all.
    fn unite(&mut self, ports: PortSet, before: &Reasons, all: &[(&Policy, Vec<Word>)], rank: u8) {
        let mut parts = vec![(ports, before.clone(), before.clone(), false)];
        for (policy, words) in all {
            let kind = policy.name.kind.as_str();
            let mut split = Vec::new();
            for (ports, allowing, denying, allowed) in &parts {
                for word in words {
                    let inside = ports.intersection(&word.ports);
                    if inside.is_empty() {
                        continue;
                    }
                    let (mut allowing, mut denying) = (allowing.clone(), denying.clone());
                    let side = if word.allowed { &mut allowing } else { &mut denying };
                    side.add(rank, kind, word.reason.clone());
                    split.push((inside, allowing, denying, *allowed || word.allowed));
                }
            }
            parts = split;
        }
        for (ports, allowing, denying, allowed) in parts {
            self.decide(ports, allowed, if allowed { allowing } else { denying });
        }
    }

    /// What a policy says of all ports, each decided by its first rule that can.
    fn words(&self, policy: &Policy, side: &Side) -> Vec<Word> {
        let matching: Vec<&Rule> = self
            .considered(side)
            .into_iter()
            .filter(|rule| self.question.peer_matches(&rule.peers))
            .collect();
        let Some(first) = matching.first() else {
            return vec![self.silence(policy, side.rules.is_empty())];
        };
        let direction = title(self.direction);
        let mut rest = PortSet::all_transport();
        let mut words = Vec::new();
        for rule in &matching {
            let ports = self.question.port_set(&rule.ports);
            let inside = rest.intersection(&ports);
            if !inside.is_empty() {
                let reason = format!(
                    "{} allows connections by {direction} rule #{}",
                    called(policy),
                    rule.index + 1
                );
                words.push(Word { ports: inside, allowed: true, reason });
                rest = rest.minus(&ports);
            }
        }
        if !rest.is_empty() {
            let (subject, other) = self.ends.names(self.direction);
            let lacks = if self.question.port_set(&first.ports).is_empty() {
                "but named ports of the rule have no match in the configuration of the \
                 destination peer"
            } else {
                "but the protocols and ports do not match"
            };
            let reason = format!(
                "{} selects {subject}, and {direction} rule #{} selects {other}, {lacks}",
                called(policy),
                first.index + 1
            );
            words.push(Word { ports: rest, allowed: false, reason });
        }
        words
    }

    /// The rules that count: with exposure, if those for the entire cluster allow everything, no
    /// other is looked at for pods.
    fn considered<'s>(&self, side: &'s Side) -> Vec<&'s Rule> {
        let all: Vec<&Rule> = side.rules.iter().collect();
        let is_pod = matches!(self.ends.other(self.direction), Peer::Endpoint(_));
        if !self.world.exposure || !is_pod {
            return all;
        }
        let wide: Vec<&Rule> =
            all.iter().copied().filter(|rule| is_cluster_wide(&rule.peers)).collect();
        let ports = wide.iter().fold(PortSet::none(), |set, rule| set.union(&numbers(&rule.ports)));
        if PortSet::all_transport().is_subset(&ports) { wide } else { all }
    }

    fn silence(&self, policy: &Policy, is_empty: bool) -> Word {
        let (subject, other) = self.ends.names(self.direction);
        let direction = title(self.direction);
        let undefined = if is_empty { " (no rules defined)" } else { "" };
        let reason = format!(
            "{} selects {subject}, but {other} is not allowed by any {direction} rule{undefined}",
            called(policy)
        );
        Word { ports: PortSet::all_transport(), allowed: false, reason }
    }
}

fn rank(tier: &Tier) -> u8 {
    match tier.name.as_str() {
        "network_policy" => POLICY_RANK,
        "baseline" => BASELINE_RANK,
        _before => TIER_RANK,
    }
}

/// Whether the first rule that matches decides, so that it alone is the reason.
fn is_ordered(policy: &Policy, side: &Side) -> bool {
    policy.rank.is_some() || side.rules.iter().any(|rule| rule.action != Action::Accept)
}

fn called(policy: &Policy) -> String {
    format!("{} '{}'", policy.name.kind, policy.name)
}

pub(super) fn title(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "Egress",
        Direction::Ingress => "Ingress",
    }
}

/// Whether a rule speaks about every pod.
fn is_cluster_wide(peers: &Peers) -> bool {
    match peers {
        Peers::Any => true,
        Peers::List(list) => list.contains(&PeerMatch::Endpoints(Expr::All)),
    }
}

/// What a rule allows whatever the destination names.
fn numbers(ports: &Ports) -> PortSet {
    let Some(include) = &ports.include else { return PortSet::all() };
    include.iter().fold(PortSet::none(), |set, port| match port {
        PortMatch::Range { protocol, first, last } => {
            set.union(&PortSet::range(*protocol, *first, *last))
        }
        PortMatch::Named { .. } | PortMatch::Icmp { .. } | PortMatch::OtherProtocols => set,
    })
}
