//! Decisions in plain words: the deciding policy, rule and line of each direction, and for denials
//! what each rule lacked.

use std::fmt;

use sekisho_manifest::Position;
use sekisho_model::Direction;
use serde::{Deserialize, Serialize};

use crate::decide::exemption;
use crate::ir::{Policy, Rule};
use crate::matching::Question;
use crate::{Cluster, Connection, Decision, Peer, PolicyName, Reason, RuleSet};

/// Rules that did not allow, listed per direction; more are counted.
const MISSES_MAX: usize = 20;

/// Why a connection is allowed or denied. Display prints it in plain words, several lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The decision that is explained.
    pub decision: Decision,
    /// The connection in words, e.g. `shop/cart -> shop/redis TCP 6379`.
    pub connection: String,
    /// Egress of the source.
    pub egress: DirectionExplanation,
    /// Ingress of the destination.
    pub ingress: DirectionExplanation,
}

/// Why one direction is allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionExplanation {
    /// Which direction.
    pub direction: Direction,
    /// Whether it allows.
    pub allows: bool,
    /// The policy that decided (of several that deny by absence the first); None if none had a say.
    pub policy: Option<PolicyName>,
    /// Index of the rule that allows, from 0.
    pub rule: Option<u32>,
    /// Where that rule stands; for a denial, where the policy stands.
    pub position: Option<Position>,
    /// Why, in one sentence without a full stop.
    pub words: String,
    /// For a denial: the rules that were tried, at most 20.
    pub misses: Vec<Miss>,
    /// Rules that were tried and are not listed.
    pub misses_omitted: u32,
}

/// A rule that did not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// Policy of the rule.
    pub policy: PolicyName,
    /// Index of the rule, from 0.
    pub rule: u32,
    /// Where the rule stands.
    pub position: Position,
    /// Whether the rule speaks about the peer.
    pub peer_matches: bool,
    /// Whether the rule speaks about the port.
    pub port_matches: bool,
}

/// Explains the decision on a connection.
#[must_use]
pub fn explain(rules: &RuleSet, cluster: &Cluster, connection: &Connection<'_>) -> Explanation {
    let decision = rules.decide(cluster, connection);
    let about = |direction, reason: &Reason| {
        let mut explanation = explain_reason(rules, direction, reason);
        explanation.words = words(connection, direction, reason);
        if !explanation.allows {
            add_misses(&mut explanation, rules, cluster, connection);
        }
        explanation
    };
    Explanation {
        egress: about(Direction::Egress, &decision.egress.reason),
        ingress: about(Direction::Ingress, &decision.ingress.reason),
        connection: describe(connection),
        decision,
    }
}

fn explain_reason(rules: &RuleSet, direction: Direction, reason: &Reason) -> DirectionExplanation {
    let (policy, rule) = match reason {
        Reason::Rule { policy, rule, .. } => (Some(policy.clone()), Some(*rule)),
        Reason::NoRule { isolated_by } => (isolated_by.first().cloned(), None),
        Reason::NotSubject | Reason::Itself | Reason::OwnNode | Reason::NotIsolated => (None, None),
    };
    let position = policy.as_ref().and_then(|name| position(rules, name, direction, rule));
    DirectionExplanation {
        direction,
        allows: reason.allows(),
        policy,
        rule,
        position,
        words: String::new(),
        misses: Vec::new(),
        misses_omitted: 0,
    }
}

fn position(
    set: &RuleSet,
    name: &PolicyName,
    direction: Direction,
    rule: Option<u32>,
) -> Option<Position> {
    let mut policies = set.rulebook().tiers.iter().flat_map(|tier| &tier.policies);
    let Some(index) = rule else {
        return policies.find(|policy| policy.name == *name).map(|policy| policy.position.clone());
    };
    let mut rules = policies
        .filter(|policy| policy.name == *name)
        .filter_map(|policy| policy.side(direction))
        .flat_map(|side| &side.rules);
    rules.find(|rule| rule.index == index).map(|rule| rule.position.clone())
}

fn words(connection: &Connection<'_>, direction: Direction, reason: &Reason) -> String {
    let (subject, verb) = match direction {
        Direction::Egress => (connection.source, "let out"),
        Direction::Ingress => (connection.destination, "let in"),
    };
    let subject = describe_peer(subject);
    match reason {
        Reason::NotSubject => format!("no policy speaks about {subject}"),
        Reason::Itself => "a pod always reaches itself".to_owned(),
        Reason::OwnNode => format!("the node of {subject} always reaches it"),
        Reason::NotIsolated => {
            format!("no policy isolates {subject} for {direction}")
        }
        Reason::Rule { policy, rule, accepts } => {
            let verb = if *accepts { verb } else { "denied" };
            format!("{verb} by rule {direction}[{rule}] of {} {policy}", policy.kind)
        }
        Reason::NoRule { isolated_by } => {
            let names: Vec<_> = isolated_by.iter().map(ToString::to_string).collect();
            let names = names.join(", ");
            format!("{subject} is isolated for {direction} by {names}, and no rule allows")
        }
    }
}

fn add_misses(
    explanation: &mut DirectionExplanation,
    set: &RuleSet,
    cluster: &Cluster,
    connection: &Connection<'_>,
) {
    let direction = explanation.direction;
    let dialect = set.dialect();
    let Ok(subject) = exemption(cluster, dialect, connection, direction) else { return };
    let question = Question::new(cluster, dialect, connection, (direction, subject));
    let selecting = set
        .rulebook()
        .tiers
        .iter()
        .flat_map(|tier| &tier.policies)
        .filter(|policy| question.is_selected_by(policy));
    for policy in selecting {
        for rule in policy.side(direction).iter().flat_map(|side| &side.rules) {
            if explanation.misses.len() >= MISSES_MAX {
                explanation.misses_omitted = explanation.misses_omitted.saturating_add(1);
                continue;
            }
            explanation.misses.push(miss(policy, rule, &question));
        }
    }
}

fn miss(policy: &Policy, rule: &Rule, question: &Question<'_>) -> Miss {
    Miss {
        policy: policy.name.clone(),
        rule: rule.index,
        position: rule.position.clone(),
        peer_matches: question.peer_matches(&rule.peers),
        port_matches: question.port_matches(&rule.ports),
    }
}

fn describe(connection: &Connection<'_>) -> String {
    let Connection { source, destination, protocol, port, .. } = connection;
    format!("{} -> {} {protocol} {port}", describe_peer(*source), describe_peer(*destination))
}

fn describe_peer(peer: Peer<'_>) -> String {
    match peer {
        Peer::Endpoint(endpoint) => format!("{}/{}", endpoint.namespace, endpoint.name),
        Peer::Node { name, .. } => format!("node {name}"),
        Peer::Address(address) => address.to_string(),
        Peer::Domain(name) => name.to_owned(),
    }
}

fn verdict(allows: bool) -> &'static str {
    if allows { "allowed" } else { "denied" }
}

/// `file:line` as far as it is known.
fn place(position: &Position) -> String {
    match (position.file.as_str(), position.line) {
        ("", 0) => String::new(),
        ("", line) => format!(" (line {line})"),
        (file, 0) => format!(" ({file})"),
        (file, line) => format!(" ({file}:{line})"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.connection, verdict(self.decision.allows()))?;
        write!(f, "{}{}", self.egress, self.ingress)
    }
}

impl fmt::Display for DirectionExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.position.as_ref().map(place).unwrap_or_default();
        writeln!(f, "  {} {}: {}{at}", self.direction, verdict(self.allows), self.words)?;
        for miss in &self.misses {
            let lacks = match (miss.peer_matches, miss.port_matches) {
                (false, false) => "speaks about other peers and other ports",
                (false, true) => "speaks about other peers",
                (true, false) => "speaks about this peer, but not about this port",
                (true, true) => "allows",
            };
            let (policy, rule, at) = (&miss.policy, miss.rule, place(&miss.position));
            writeln!(f, "    {policy} {}[{rule}]{at} {lacks}", self.direction)?;
        }
        if self.misses_omitted > 0 {
            writeln!(f, "    and {} more rules", self.misses_omitted)?;
        }
        Ok(())
    }
}
