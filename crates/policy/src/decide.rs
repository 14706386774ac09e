//! The plain evaluator: asks tiers, policies and rules in turn about one connection, just as
//! [`crate::ir`] reads. Stays as the oracle of the fast engine.

use sekisho_model::Direction;

use crate::ir::{Action, Policy, Rulebook, Side};
use crate::matching::{Question, is_ordinary};
use crate::{
    Cluster, Connection, Decision, Dialect, DirectionDecision, Endpoint, Peer, Reason, RuleSet,
};

impl RuleSet {
    /// Decides a new connection, see [`Rulebook::decide`].
    #[must_use]
    pub fn decide(&self, cluster: &Cluster, connection: &Connection<'_>) -> Decision {
        self.rulebook().decide(cluster, connection)
    }
}

impl Rulebook {
    /// Decides a new connection.
    ///
    /// Both directions are always decided, so that each can be shown. Addresses that are not given
    /// are chosen from those of the endpoints, of one family if both ends have one in common.
    #[must_use]
    pub fn decide(&self, cluster: &Cluster, connection: &Connection<'_>) -> Decision {
        Decision {
            egress: self.decide_direction(cluster, connection, Direction::Egress),
            ingress: self.decide_direction(cluster, connection, Direction::Ingress),
        }
    }

    fn decide_direction(
        &self,
        cluster: &Cluster,
        connection: &Connection<'_>,
        direction: Direction,
    ) -> DirectionDecision {
        let dialect = self.dialect;
        let (reason, tier) = match exemption(cluster, dialect, connection, direction) {
            Ok(subject) => {
                let asked = (direction, subject);
                self.judge(direction, &Question::new(cluster, dialect, connection, asked))
            }
            Err(reason) => (reason, None),
        };
        DirectionDecision { direction, reason, tier }
    }

    /// The reason, and the tier that decided.
    fn judge(&self, direction: Direction, question: &Question<'_>) -> (Reason, Option<String>) {
        for tier in &self.tiers {
            let selecting = tier.policies.iter().filter(|policy| question.is_selected_by(policy));
            let sides =
                selecting.filter_map(|policy| policy.side(direction).map(|side| (policy, side)));
            match ask(sides, question) {
                Answer::Decided(reason) => return (reason, Some(tier.name.clone())),
                Answer::Undecided => {}
            }
        }
        (Reason::NotIsolated, None)
    }
}

enum Answer {
    Decided(Reason),
    Undecided,
}

/// Asks the policies of a tier that select the subject.
fn ask<'p>(sides: impl Iterator<Item = (&'p Policy, &'p Side)>, question: &Question<'_>) -> Answer {
    let mut isolated_by = Vec::new();
    for (policy, side) in sides {
        if let Some(rule) = side.rules.iter().find(|rule| question.is_matched_by(rule)) {
            let accepts = match rule.action {
                Action::Accept => true,
                Action::Deny => false,
                Action::Pass => return Answer::Undecided,
            };
            let policy = policy.name.clone();
            return Answer::Decided(Reason::Rule { policy, rule: rule.index, accepts });
        }
        // The halves of a Cilium policy have one name.
        if side.isolates && isolated_by.last() != Some(&policy.name) {
            isolated_by.push(policy.name.clone());
        }
    }
    if isolated_by.is_empty() {
        Answer::Undecided
    } else {
        Answer::Decided(Reason::NoRule { isolated_by })
    }
}

/// The endpoint that policies speak about in `direction`, or why none has a say.
pub(crate) fn exemption<'a>(
    cluster: &Cluster,
    dialect: Dialect,
    connection: &Connection<'a>,
    direction: Direction,
) -> Result<&'a Endpoint, Reason> {
    let (subject, other) = match direction {
        Direction::Ingress => (connection.destination, connection.source),
        Direction::Egress => (connection.source, connection.destination),
    };
    let Peer::Endpoint(subject) = subject else { return Err(Reason::NotSubject) };
    if !is_ordinary(dialect, subject) {
        return Err(Reason::NotSubject);
    }
    if let Peer::Endpoint(other) = other
        && other.is(subject)
        && !subject.stands_for_many()
        && !dialect.judges_itself()
    {
        return Err(Reason::Itself);
    }
    // Only towards the pod: the specification exempts what the node sends (probes), not what the
    // pod sends to its node.
    if direction == Direction::Ingress && is_own_node(cluster, dialect, subject, connection) {
        return Err(Reason::OwnNode);
    }
    Ok(subject)
}

fn is_own_node(
    cluster: &Cluster,
    dialect: Dialect,
    subject: &Endpoint,
    connection: &Connection<'_>,
) -> bool {
    let Some(node) = subject.node.as_deref() else { return false };
    match connection.source {
        Peer::Node { name, .. } => name == node,
        Peer::Endpoint(source) => {
            !is_ordinary(dialect, source) && source.node.as_deref() == Some(node)
        }
        Peer::Address(address) => cluster
            .nodes
            .get(node)
            .is_some_and(|own| own.iter().any(|own| own.to_canonical() == address.to_canonical())),
        Peer::Domain(_) => false,
    }
}
