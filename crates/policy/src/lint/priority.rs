//! Policies of equal priority that disagree: which of them wins is undefined.

use sekisho_model::Direction;

use super::code::EQUAL_PRIORITIES;
use super::context::{Class, Context, Far, direction_word, object_name, workload_name};
use super::finding::{Finding, Fix, evidence};
use crate::ir::{Action, Policy, Rulebook};
use crate::{Endpoint, Pair, Peer, PolicyKind, PortSet};

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for tier in &cx.rules.rulebook().tiers {
        for (index, first) in tier.policies.iter().enumerate() {
            for second in tier.policies.iter().skip(index + 1) {
                if may_disagree(first, second) {
                    let lines = differences(cx, &tier.name, first, second);
                    if !lines.is_empty() {
                        out.push(finding(cx, (first, second), lines));
                    }
                }
            }
        }
    }
}

/// Calico orders by name, Cilium does not order: only these kinds leave it open.
fn may_disagree(first: &Policy, second: &Policy) -> bool {
    let open = |policy: &Policy| {
        matches!(
            policy.name.kind,
            PolicyKind::ClusterNetworkPolicy | PolicyKind::AdminNetworkPolicy
        )
    };
    let mut actions: Vec<Action> = [first, second]
        .into_iter()
        .flat_map(|policy| [&policy.ingress, &policy.egress])
        .flatten()
        .flat_map(|side| side.rules.iter().map(|rule| rule.action))
        .collect();
    actions.sort();
    actions.dedup();
    first.rank.is_some()
        && first.rank == second.rank
        && open(first)
        && open(second)
        && actions.len() > 1
}

/// What is decided otherwise if the second policy is asked first.
fn differences(cx: &Context<'_>, tier: &str, first: &Policy, second: &Policy) -> Vec<String> {
    let mut lines = Vec::new();
    for (class, endpoint) in cx.ordinary() {
        let Some(swapped) = swapped(&class.book, tier, first, second) else { continue };
        for direction in [Direction::Ingress, Direction::Egress] {
            if first.side(direction).is_none() || second.side(direction).is_none() {
                continue;
            }
            for far in cx.far_ends() {
                let asked = |book: &Rulebook| answer(cx, book, direction, (endpoint, far));
                let (Some(before), Some(after)) = (asked(&class.book), asked(&swapped)) else {
                    continue;
                };
                lines.extend(line(cx, direction, (class, far), (&before, &after), (first, second)));
            }
        }
    }
    lines
}

fn swapped(book: &Rulebook, tier: &str, first: &Policy, second: &Policy) -> Option<Rulebook> {
    let mut book = book.clone();
    let tier = book.tiers.iter_mut().find(|one| one.name == tier)?;
    let place = |policy: &Policy| tier.policies.iter().position(|one| one.name == policy.name);
    let (one, other) = (place(first)?, place(second)?);
    tier.policies.swap(one, other);
    Some(book)
}

fn answer(
    cx: &Context<'_>,
    book: &Rulebook,
    direction: Direction,
    (endpoint, far): (&Endpoint, Far),
) -> Option<PortSet> {
    let own = Peer::Endpoint(endpoint);
    let peer = match far {
        Far::Address(address) => Peer::Address(address),
        Far::Class(index) => Peer::Endpoint(cx.endpoint(cx.classes.get(index)?)?),
    };
    let (source, destination) = match direction {
        Direction::Ingress => (peer, own),
        Direction::Egress => (own, peer),
    };
    let pair = Pair { source, destination, source_address: None, destination_address: None };
    Some(book.pair_direction(&cx.cluster, &pair, direction).allowed())
}

/// The name of an end in evidence.
pub(crate) fn far_name(cx: &Context<'_>, far: Far) -> String {
    match far {
        Far::Address(address) => format!("{address} (outside)"),
        Far::Class(index) => cx
            .classes
            .get(index)
            .and_then(|class| class.workloads.first())
            .map(workload_name)
            .unwrap_or_default(),
    }
}

fn line(
    cx: &Context<'_>,
    direction: Direction,
    (class, far): (&Class, Far),
    (before, after): (&PortSet, &PortSet),
    (first, second): (&Policy, &Policy),
) -> Option<String> {
    if before == after {
        return None;
    }
    let own = class.workloads.first().map(workload_name).unwrap_or_default();
    let far = far_name(cx, far);
    let (source, destination) = match direction {
        Direction::Ingress => (far, own),
        Direction::Egress => (own, far),
    };
    let mut parts = Vec::new();
    for (ports, winner, loser) in [
        (before.minus(after), &first.name, &second.name),
        (after.minus(before), &second.name, &first.name),
    ] {
        if !ports.is_empty() {
            parts.push(format!(
                "{ports} allowed if `{winner}` is asked first, denied if `{loser}` is"
            ));
        }
    }
    let word = direction_word(direction);
    Some(format!("{source} -> {destination} ({word}): {}", parts.join("; ")))
}

fn finding(cx: &Context<'_>, (first, second): (&Policy, &Policy), lines: Vec<String>) -> Finding {
    let place = cx.place(object_name(&second.name), &second.position, "spec.priority");
    let message = format!(
        "has the same priority as `{}` ({}:{}) and says something else: which of them wins is \
         undefined",
        first.name, first.position.file, first.position.line
    );
    let mut finding = place.finding(
        &EQUAL_PRIORITIES,
        message,
        Fix::words("give them different priorities; the lower number is asked first"),
    );
    finding.evidence = evidence(lines);
    finding
}
