//! Decisions in words.

use sekisho_model::{Direction, Party};
use sekisho_policy::{Decision, DirectionDecision, PolicyName, Reason};

use crate::judge::Question;

/// Why `decision` is as it is, for people.
pub(crate) fn explain(decision: &Decision, question: &Question<'_>) -> String {
    let sides = [&decision.egress, &decision.ingress];
    if decision.allows() {
        let mut said: Vec<String> = sides.into_iter().filter_map(allowed).collect();
        if said.is_empty() {
            return "no policy applies".to_owned();
        }
        said.dedup();
        return format!("allowed by {}", said.join(" and "));
    }
    let denied: Vec<String> = sides.into_iter().filter_map(|side| denied(side, question)).collect();
    denied.join("; ")
}

/// The rule that allows on one side; None if no policy had a say.
fn allowed(side: &DirectionDecision) -> Option<String> {
    match &side.reason {
        Reason::Rule { policy, rule, accepts: true } => {
            Some(format!("`{policy}` {} rule {rule}", side.direction))
        }
        Reason::OwnNode => Some("probes from the pod's own node".to_owned()),
        Reason::Itself => Some("being the same pod".to_owned()),
        Reason::NotSubject
        | Reason::NotIsolated
        | Reason::Rule { accepts: false, .. }
        | Reason::NoRule { .. } => None,
    }
}

/// Why one side denies; None if it does not.
fn denied(side: &DirectionDecision, question: &Question<'_>) -> Option<String> {
    let port = port(question);
    let isolated_by = match &side.reason {
        Reason::NoRule { isolated_by } => isolated_by,
        Reason::Rule { policy, rule, accepts: false } => {
            let (direction, from, to) = (side.direction, question.source, question.destination);
            let kind = policy.kind;
            return Some(format!(
                "{direction} rule {rule} of {kind} {policy} denies `{from}` to `{to}` on {port}"
            ));
        }
        Reason::NotSubject
        | Reason::Itself
        | Reason::OwnNode
        | Reason::NotIsolated
        | Reason::Rule { accepts: true, .. } => return None,
    };
    Some(match side.direction {
        Direction::Egress => format!(
            "no egress rule of {} allows `{}` to reach `{}` on {port}",
            names(isolated_by),
            question.source,
            question.destination,
        ),
        Direction::Ingress => format!(
            "no ingress rule of {} lets `{}` in from {} on {port}",
            names(isolated_by),
            question.destination,
            from(question.source),
        ),
    })
}

/// The protocol and port, e.g. `TCP 6379`.
fn port(question: &Question<'_>) -> String {
    if question.port == 0 {
        return question.protocol.to_string();
    }
    format!("{} {}", question.protocol, question.port)
}

/// A source, with the labels that policies compare when it has some.
fn from(source: &Party) -> String {
    format!("`{source}`")
}

fn names(policies: &[PolicyName]) -> String {
    let quoted: Vec<String> = policies.iter().map(|policy| format!("`{policy}`")).collect();
    quoted.join(", ")
}
