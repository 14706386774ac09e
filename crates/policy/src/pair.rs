//! Everything two ends may do, with all reasons: the plain evaluator over sets of ports.

use std::net::IpAddr;

use sekisho_manifest::Position;
use sekisho_model::{Direction, Protocol};

use crate::decide::exemption;
use crate::ir::{Action, Policy, Rule, Rulebook, Tier};
use crate::matching::Question;
use crate::{Cluster, Connection, Peer, PolicyName, PortSet, Reason, RuleSet};

/// Two ends, asked about all protocols and ports at once.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Initiator.
    pub source: Peer<'a>,
    /// Responder.
    pub destination: Peer<'a>,
    /// Address used at the source; None = as [`RuleSet::decide`] chooses.
    pub source_address: Option<IpAddr>,
    /// The same for the destination.
    pub destination_address: Option<IpAddr>,
}

/// What a pair may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairAnswer {
    /// Egress of the source.
    pub egress: DirectionAnswer,
    /// Ingress of the destination.
    pub ingress: DirectionAnswer,
}

/// What one direction says of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectionAnswer {
    /// Why policies have no say, so that all is allowed ([`Reason::NotSubject`],
    /// [`Reason::Itself`] or [`Reason::OwnNode`]); None = they have.
    pub exemption: Option<Reason>,
    /// Disjoint, together everything, each decided for one set of reasons; denied ones and allowed
    /// ones in the order the tiers decided.
    pub segments: Vec<Segment>,
}

/// Ports that are decided alike, for the same reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The protocols and ports.
    pub ports: PortSet,
    /// Whether they are allowed.
    pub allowed: bool,
    /// Why, in the order of tiers; empty = by default, no policy said a word.
    pub steps: Vec<Step>,
}

/// A word that a policy said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// Name of the tier.
    pub tier: String,
    /// The policy.
    pub policy: PolicyName,
    /// Which of its rules matched; None = it isolates the subject, and no rule of the tier matched.
    pub rule: Option<MatchedRule>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchedRule {
    /// Index in the policy's list, from 0.
    pub index: u32,
    /// Name it was given; empty if none.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// What else must hold for an Accept, see [`Rule::condition`].
    pub condition: Option<String>,
    /// Where it stands.
    pub position: Position,
}

impl PairAnswer {
    /// The protocols and ports that both directions allow.
    #[must_use]
    pub fn allowed(&self) -> PortSet {
        self.egress.allowed().intersection(&self.ingress.allowed())
    }
}

impl DirectionAnswer {
    /// The protocols and ports that this direction allows.
    #[must_use]
    pub fn allowed(&self) -> PortSet {
        let allowed = self.segments.iter().filter(|segment| segment.allowed);
        allowed.fold(PortSet::none(), |set, segment| set.union(&segment.ports))
    }
}

impl RuleSet {
    /// Decides all connections of a pair, see [`Rulebook::decide_pair`].
    #[must_use]
    pub fn decide_pair(&self, cluster: &Cluster, pair: &Pair<'_>) -> PairAnswer {
        self.rulebook().decide_pair(cluster, pair)
    }
}

impl Rulebook {
    /// Decides all connections of a pair, with all reasons.
    ///
    /// Where several NetworkPolicies allow, all of them are named; in ordered tiers the first that
    /// matches.
    #[must_use]
    pub fn decide_pair(&self, cluster: &Cluster, pair: &Pair<'_>) -> PairAnswer {
        PairAnswer {
            egress: self.pair_direction(cluster, pair, Direction::Egress),
            ingress: self.pair_direction(cluster, pair, Direction::Ingress),
        }
    }

    pub(crate) fn pair_direction(
        &self,
        cluster: &Cluster,
        pair: &Pair<'_>,
        direction: Direction,
    ) -> DirectionAnswer {
        let connection = Connection {
            source: pair.source,
            destination: pair.destination,
            source_address: pair.source_address,
            destination_address: pair.destination_address,
            protocol: Protocol::Tcp,
            port: 0,
        };
        let subject = match exemption(cluster, self.dialect, &connection, direction) {
            Ok(subject) => subject,
            Err(reason) => {
                let all = Segment { ports: PortSet::all(), allowed: true, steps: Vec::new() };
                return DirectionAnswer { exemption: Some(reason), segments: vec![all] };
            }
        };
        let asked = (direction, subject);
        let question = Question::new(cluster, self.dialect, &connection, asked);
        let mut fold = Fold::new();
        for tier in &self.tiers {
            fold.ask(tier, direction, &question);
        }
        DirectionAnswer { exemption: None, segments: fold.finish() }
    }
}

/// Splits everything by reasons, tier by tier.
struct Fold {
    open: Vec<(PortSet, Vec<Step>)>,
    decided: Vec<Segment>,
}

/// A part of a tier's ports.
struct Part {
    ports: PortSet,
    steps: Vec<Step>,
    /// What the tier decided so far.
    action: Option<Action>,
}

impl Fold {
    fn new() -> Self {
        Self { open: vec![(PortSet::all(), Vec::new())], decided: Vec::new() }
    }

    fn ask(&mut self, tier: &Tier, direction: Direction, question: &Question<'_>) {
        let mut parts: Vec<Part> =
            self.open.drain(..).map(|(ports, steps)| Part { ports, steps, action: None }).collect();
        let mut isolating: Vec<Step> = Vec::new();
        for policy in tier.policies.iter().filter(|policy| question.is_selected_by(policy)) {
            let Some(side) = policy.side(direction) else { continue };
            let step = |rule| Step { tier: tier.name.clone(), policy: policy.name.clone(), rule };
            if side.isolates && isolating.last().is_none_or(|last| last.policy != policy.name) {
                isolating.push(step(None));
            }
            for rule in side.rules.iter().filter(|rule| question.peer_matches(&rule.peers)) {
                let ports = question.port_set(&rule.ports);
                parts = split(parts, &ports, policy, (rule, &step(Some(matched(rule)))));
            }
        }
        for part in parts {
            self.take(part, &isolating);
        }
    }

    fn take(&mut self, mut part: Part, isolating: &[Step]) {
        let allowed = match part.action {
            Some(Action::Accept) => true,
            Some(Action::Deny) => false,
            None if !isolating.is_empty() => {
                part.steps.extend(isolating.iter().cloned());
                false
            }
            None | Some(Action::Pass) => return self.open.push((part.ports, part.steps)),
        };
        self.add(Segment { ports: part.ports, allowed, steps: part.steps });
    }

    fn add(&mut self, segment: Segment) {
        let like =
            |one: &&mut Segment| (one.allowed, &one.steps) == (segment.allowed, &segment.steps);
        match self.decided.iter_mut().find(like) {
            Some(same) => same.ports = same.ports.union(&segment.ports),
            None => self.decided.push(segment),
        }
    }

    fn finish(mut self) -> Vec<Segment> {
        for (ports, steps) in std::mem::take(&mut self.open) {
            self.add(Segment { ports, allowed: true, steps });
        }
        self.decided
    }
}

fn matched(rule: &Rule) -> MatchedRule {
    MatchedRule {
        index: rule.index,
        name: rule.name.clone(),
        action: rule.action,
        condition: rule.condition.clone(),
        position: rule.position.clone(),
    }
}

/// Splits the parts by the ports of a rule that matches the peer.
fn split(parts: Vec<Part>, ports: &PortSet, policy: &Policy, rule: (&Rule, &Step)) -> Vec<Part> {
    let (rule, step) = rule;
    let mut split = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        // Where order has no meaning, every policy that allows is a reason.
        let also = policy.rank.is_none()
            && rule.action == Action::Accept
            && part.action == Some(Action::Accept);
        let inside = part.ports.intersection(ports);
        if (part.action.is_some() && !also) || inside.is_empty() {
            split.push(part);
            continue;
        }
        let outside = part.ports.minus(ports);
        let mut steps = part.steps.clone();
        steps.push(step.clone());
        split.push(Part { ports: inside, steps, action: Some(rule.action) });
        if !outside.is_empty() {
            split.push(Part { ports: outside, ..part });
        }
    }
    split
}
