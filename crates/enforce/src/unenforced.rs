//! Rules that packets alone cannot decide, so that the kernel enforces something else.

use std::fmt;

use sekisho_manifest::Position;
use sekisho_model::Direction;
use sekisho_policy::RuleSet;
use sekisho_policy::ir::{Action, PeerMatch, Peers, Rule, Rulebook};

/// A rule, or a part of one, that no table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenforced {
    /// Kind and name of the policy.
    pub policy: String,
    /// Index of the rule in its list, from 0.
    pub rule: u32,
    /// Which list.
    pub direction: Direction,
    /// Where the rule stands.
    pub position: Position,
    /// What is missing.
    pub gap: Gap,
}

/// What a table does not do of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// Peers by DNS name match nothing: answers of DNS are not followed.
    DomainNames {
        /// The names, in order.
        names: Vec<String>,
        /// What the rule does to them.
        action: Action,
    },
    /// The rule allows only under a condition beyond ports and addresses, which is not checked:
    /// more is allowed than the rule says.
    Condition(String),
}

/// The rules of `rules` that are not enforced as they are written, in the order of policies.
#[must_use]
pub fn unenforced(rules: &RuleSet) -> Vec<Unenforced> {
    of_book(rules.rulebook())
}

pub(crate) fn of_book(book: &Rulebook) -> Vec<Unenforced> {
    let mut found: Vec<Unenforced> = Vec::new();
    for policy in book.tiers.iter().flat_map(|tier| &tier.policies) {
        for direction in [Direction::Ingress, Direction::Egress] {
            for rule in policy.side(direction).into_iter().flat_map(|side| &side.rules) {
                found.extend(gaps(rule).into_iter().map(|gap| Unenforced {
                    policy: format!("{} {}", policy.name.kind, policy.name),
                    rule: rule.index,
                    direction,
                    position: rule.position.clone(),
                    gap,
                }));
            }
        }
    }
    // One rule may have become several.
    found.dedup();
    found
}

fn gaps(rule: &Rule) -> Vec<Gap> {
    let mut names = Vec::new();
    match &rule.peers {
        Peers::Any => {}
        Peers::List(list) => list.iter().for_each(|peer| domains(peer, &mut names)),
    }
    let action = rule.action;
    let names = (!names.is_empty()).then_some(Gap::DomainNames { names, action });
    names.into_iter().chain(rule.condition.clone().map(Gap::Condition)).collect()
}

fn domains(peer: &PeerMatch, names: &mut Vec<String>) {
    match peer {
        PeerMatch::Domain(name) | PeerMatch::DomainPattern(name) => names.push(name.clone()),
        PeerMatch::All(all) => all.iter().for_each(|one| domains(one, names)),
        PeerMatch::Not(inner) => domains(inner, names),
        PeerMatch::Endpoints(_)
        | PeerMatch::Networks { .. }
        | PeerMatch::Nodes(_)
        | PeerMatch::Entity(_) => {}
    }
}

/// E.g. `CiliumNetworkPolicy shop/web egress[1] (web.yaml:9): api.example.com is not opened: names
/// of DNS are not followed`.
impl fmt::Display for Unenforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, rule, direction, position, gap } = self;
        write!(f, "{policy} {direction}[{rule}]")?;
        if position.line > 0 {
            let file = if position.file.is_empty() { "line" } else { &position.file };
            write!(f, " ({file}:{})", position.line)?;
        }
        match gap {
            Gap::DomainNames { names, action } => {
                let missing = match action {
                    Action::Accept => "not opened",
                    Action::Deny => "not closed",
                    Action::Pass => "not passed on",
                };
                let names = names.join(", ");
                write!(f, ": {names}: {missing}, names of DNS are not followed")
            }
            Gap::Condition(what) => {
                write!(f, ": its ports are opened whole, {what} are not checked")
            }
        }
    }
}
