//! Why two ends may connect or not: for each direction the policies, rules and lines that decide,
//! and for denials what the rules that came close lack.

use std::fmt;

use sekisho_manifest::Position;
use sekisho_model::{Direction, Protocol};

use crate::decide::exemption;
use crate::ir::{Action, Policy, Rule};
use crate::matching::Question;
use crate::{
    Cluster, Connection, MatchedRule, Pair, Peer, PolicyName, PortSet, Reason, RuleSet, Segment,
};

/// Rules that came close, listed per segment; more are counted.
const MISSES_MAX: usize = 20;

/// Why a pair may connect or not. Display prints it in plain words, several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Source, as shown.
    pub source: String,
    /// Destination, as shown.
    pub destination: String,
    /// The protocols and ports that were asked about.
    pub asked: PortSet,
    /// Those of them that both directions allow.
    pub allowed: PortSet,
    /// Egress of the source.
    pub egress: DirectionExplanation,
    /// Ingress of the destination.
    pub ingress: DirectionExplanation,
}

/// What one direction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectionExplanation {
    /// Which direction.
    pub direction: Direction,
    /// The end that policies of this direction speak about, as shown.
    pub subject: String,
    /// Disjoint, together what was asked; those that allow first.
    pub segments: Vec<SegmentExplanation>,
}

/// Ports that are decided for the same reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentExplanation {
    /// Protocols and ports.
    pub ports: PortSet,
    /// Whether this direction allows them.
    pub allowed: bool,
    /// What decided.
    pub why: Why,
    /// Who said a word, in the order they were asked: rules that passed on, then what decided. Of
    /// several NetworkPolicies that allow each is a reason of its own.
    pub witnesses: Vec<Witness>,
    /// For a denial: rules that would have allowed, those first that lack the least; at most 20.
    pub misses: Vec<Miss>,
    /// Such rules that are not listed.
    pub misses_omitted: u32,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule.
    Rule,
    /// Policies that isolate the subject, and no rule that allows.
    NoRule,
    /// Nobody: no policy selects the subject in this direction.
    NotSelected,
    /// Nobody: policies select the subject, but none isolates it and no rule matches.
    NoMatch,
    /// Policies have no say: the end is external, a node or a host-network pod.
    NotSubject,
    /// Policies have no say: a pod reaches itself.
    Itself,
    /// Policies have no say: a node reaches its own pods.
    OwnNode,
}

/// A policy that said a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Name of the tier.
    pub tier: String,
    /// The policy.
    pub policy: PolicyName,
    /// Its rule; None = it isolates, and no rule allows.
    pub rule: Option<MatchedRule>,
    /// Where the rule stands, or the policy.
    pub position: Position,
}

/// A rule that did not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Policy of the rule.
    pub policy: PolicyName,
    /// Index of the rule, from 0.
    pub rule: u32,
    /// Name the rule was given; empty if none.
    pub name: String,
    /// Where the rule stands.
    pub position: Position,
    /// Whether the rule speaks about the peer.
    pub peer_matches: bool,
    /// Whether the rule speaks about the ports.
    pub port_matches: bool,
}

/// Explains one connection; port 0 stands for the protocol as a whole.
#[must_use]
pub fn explain(rules: &RuleSet, cluster: &Cluster, connection: &Connection<'_>) -> Explanation {
    let Connection { source, destination, source_address, destination_address, protocol, port } =
        *connection;
    let pair = Pair { source, destination, source_address, destination_address };
    explain_pair(rules, cluster, &pair, &asked(protocol, port))
}

/// The ports that a protocol and port stand for; port 0 is the protocol as a whole.
pub(super) fn asked(protocol: Protocol, port: u16) -> PortSet {
    if port == 0 { PortSet::protocol(protocol) } else { PortSet::range(protocol, port, port) }
}

/// Explains all of `asked` between two ends.
#[must_use]
pub fn explain_pair(
    rules: &RuleSet,
    cluster: &Cluster,
    pair: &Pair<'_>,
    asked: &PortSet,
) -> Explanation {
    let answer = rules.decide_pair(cluster, pair);
    let context = Context { rules, cluster, pair, asked };
    let allowed = answer.allowed().intersection(asked);
    Explanation {
        source: shown(pair.source),
        destination: shown(pair.destination),
        asked: asked.clone(),
        allowed,
        egress: context.direction(Direction::Egress, &answer.egress),
        ingress: context.direction(Direction::Ingress, &answer.ingress),
    }
}

struct Context<'a> {
    rules: &'a RuleSet,
    cluster: &'a Cluster,
    pair: &'a Pair<'a>,
    asked: &'a PortSet,
}

impl Context<'_> {
    fn direction(
        &self,
        direction: Direction,
        answer: &crate::DirectionAnswer,
    ) -> DirectionExplanation {
        let subject = match direction {
            Direction::Egress => self.pair.source,
            Direction::Ingress => self.pair.destination,
        };
        let segments = answer.segments.iter().filter_map(|segment| {
            let ports = segment.ports.intersection(self.asked);
            let exemption = answer.exemption.as_ref();
            (!ports.is_empty()).then(|| self.segment(direction, segment, ports, exemption))
        });
        let mut segments: Vec<_> = segments.collect();
        segments.sort_by_key(|segment| !segment.allowed);
        DirectionExplanation { direction, subject: shown(subject), segments }
    }

    fn segment(
        &self,
        direction: Direction,
        segment: &Segment,
        ports: PortSet,
        exemption: Option<&Reason>,
    ) -> SegmentExplanation {
        let witnesses: Vec<Witness> = segment
            .steps
            .iter()
            .map(|step| Witness {
                tier: step.tier.clone(),
                policy: step.policy.clone(),
                position: match &step.rule {
                    Some(rule) => rule.position.clone(),
                    None => self.position(&step.policy),
                },
                rule: step.rule.clone(),
            })
            .collect();
        let why = match (exemption, witnesses.last().map(|last| last.rule.as_ref())) {
            (Some(Reason::Itself), _) => Why::Itself,
            (Some(Reason::OwnNode), _) => Why::OwnNode,
            (Some(_), _) => Why::NotSubject,
            (None, Some(None)) => Why::NoRule,
            (None, Some(Some(rule))) if rule.action != Action::Pass => Why::Rule,
            (None, Some(Some(_))) => Why::NoMatch,
            (None, None) => self.silence(direction),
        };
        let mut misses =
            if segment.allowed { Vec::new() } else { self.misses(direction, &ports, &witnesses) };
        // A stable sort: rules that lack the same stand as they are tried.
        misses.sort_by_key(|miss| (!miss.peer_matches, !miss.port_matches));
        let omitted = misses.len().saturating_sub(MISSES_MAX);
        misses.truncate(MISSES_MAX);
        SegmentExplanation {
            ports,
            allowed: segment.allowed,
            why,
            witnesses,
            misses,
            misses_omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
        }
    }

    fn position(&self, name: &PolicyName) -> Position {
        let mut policies = self.rules.rulebook().tiers.iter().flat_map(|tier| &tier.policies);
        let found = policies.find(|policy| policy.name == *name);
        found.map(|policy| policy.position.clone()).unwrap_or_default()
    }

    fn question(&self, direction: Direction) -> Option<Question<'_>> {
        let Pair { source, destination, source_address, destination_address } = *self.pair;
        let protocol = Protocol::Tcp;
        let connection = Connection {
            source,
            destination,
            source_address,
            destination_address,
            protocol,
            port: 0,
        };
        let dialect = self.rules.dialect();
        let subject = exemption(self.cluster, dialect, &connection, direction).ok()?;
        Some(Question::new(self.cluster, dialect, &connection, (direction, subject)))
    }

    /// Why nobody said a word.
    fn silence(&self, direction: Direction) -> Why {
        let Some(question) = self.question(direction) else { return Why::NotSelected };
        let mut policies = self.rules.rulebook().tiers.iter().flat_map(|tier| &tier.policies);
        let selected = policies.any(|policy| question.is_selected_by(policy));
        if selected { Why::NoMatch } else { Why::NotSelected }
    }

    /// Rules that would have allowed, in the tiers up to the one that denied.
    fn misses(&self, direction: Direction, ports: &PortSet, witnesses: &[Witness]) -> Vec<Miss> {
        let Some(question) = self.question(direction) else { return Vec::new() };
        let last = witnesses.last().map(|witness| witness.tier.as_str());
        let mut misses = Vec::new();
        for tier in &self.rules.rulebook().tiers {
            for policy in tier.policies.iter().filter(|policy| question.is_selected_by(policy)) {
                let Some(side) = policy.side(direction) else { continue };
                let accepting = side.rules.iter().filter(|rule| rule.action == Action::Accept);
                misses.extend(accepting.filter_map(|rule| miss(policy, rule, &question, ports)));
            }
            if Some(tier.name.as_str()) == last {
                break;
            }
        }
        misses
    }
}

/// What a rule lacks; None if nothing, as for a rule that comes after the one that denied.
fn miss(policy: &Policy, rule: &Rule, question: &Question<'_>, ports: &PortSet) -> Option<Miss> {
    let peer_matches = question.peer_matches(&rule.peers);
    let port_matches = !question.port_set(&rule.ports).intersection(ports).is_empty();
    (!peer_matches || !port_matches).then(|| Miss {
        policy: policy.name.clone(),
        rule: rule.index,
        name: rule.name.clone(),
        position: rule.position.clone(),
        peer_matches,
        port_matches,
    })
}

/// The name of an end.
pub(super) fn shown(peer: Peer<'_>) -> String {
    match peer {
        Peer::Endpoint(endpoint) => format!("{}/{}", endpoint.namespace, endpoint.name),
        Peer::Node { name, .. } => format!("node {name}"),
        Peer::Address(address) => address.to_string(),
        Peer::Domain(name) => name.to_owned(),
    }
}

impl Explanation {
    /// Whether everything that was asked is allowed.
    #[must_use]
    pub fn allows_all(&self) -> bool {
        self.asked.is_subset(&self.allowed)
    }

    /// Whether anything that was asked is allowed.
    #[must_use]
    pub fn allows_any(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Whether both are explained by the same words, so that one may stand for the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.asked == other.asked
            && self.allowed == other.allowed
            && self.egress.segments == other.egress.segments
            && self.ingress.segments == other.ingress.segments
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}
