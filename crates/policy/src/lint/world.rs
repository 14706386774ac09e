//! Rules that let everyone in or out.

use sekisho_model::Direction;

use super::blocks::is_everything;
use super::code::{ALLOWS_ALL, ALLOWS_WORLD};
use super::context::{Context, direction_word, workload_names};
use super::finding::{Finding, Fix, Severity, evidence};
use crate::Endpoint;
use crate::ir::{Action, PeerMatch, Peers, Policy, Ports, Rule};

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for (policy, direction, rule) in cx.rules() {
        let isolates = policy.side(direction).is_some_and(|side| side.isolates);
        if rule.action != Action::Accept || !isolates {
            continue;
        }
        let any = rule.peers == Peers::Any;
        if !any && !holds_world(&rule.peers) {
            continue;
        }
        let place = cx.rule_place(policy, rule);
        let word = direction_word(direction);
        let mut finding = if any && rule.ports == Ports::ALL {
            let message =
                format!("this {word} rule allows everything: the policy does not restrict {word}");
            let fix = format!(
                "name peers and ports; to leave {word} open on purpose, take it out of policyTypes"
            );
            place.finding(&ALLOWS_ALL, message, Fix::words(fix))
        } else {
            let who = match (direction, any) {
                (Direction::Ingress, true) => "anyone, inside and outside the cluster,",
                (Direction::Ingress, false) => "every address",
                (Direction::Egress, true) => "everything, inside and outside the cluster,",
                (Direction::Egress, false) => "every address",
            };
            let message = match direction {
                Direction::Ingress => format!("lets {who} connect to the selected pods"),
                Direction::Egress => format!("lets the selected pods connect to {who}"),
            };
            let ports = if is_everything(&rule.ports) { " on every port" } else { "" };
            let fix = "name the peers: pods by selectors, others by the ranges they really have";
            place.finding(&ALLOWS_WORLD, format!("{message}{ports}"), Fix::words(fix))
        };
        if is_meant(cx, policy, direction, rule) {
            finding.severity = Severity::Note;
        }
        finding.evidence = evidence(workload_names(cx.selected(policy).map(|(class, _)| class)));
        out.push(finding);
    }
}

/// Whether the whole of a family is among the peers.
pub(crate) fn holds_world(peers: &Peers) -> bool {
    let Peers::List(peers) = peers else { return true };
    peers.iter().any(|peer| match peer {
        PeerMatch::Networks { nets, .. } => nets.iter().any(|net| net.prefix_len() == 0),
        PeerMatch::Entity(entity) => *entity == crate::ir::Entity::World,
        PeerMatch::Endpoints(_)
        | PeerMatch::Nodes(_)
        | PeerMatch::Domain(_)
        | PeerMatch::DomainPattern(_)
        | PeerMatch::All(_)
        | PeerMatch::Not(_) => false,
    })
}

/// Traffic that was seen, ports that a Service shows to the world, and calls to the outside on
/// certain ports are hardly slips.
fn is_meant(cx: &Context<'_>, policy: &Policy, direction: Direction, rule: &Rule) -> bool {
    if cx.is_recommended(&policy.name) {
        return true;
    }
    match direction {
        Direction::Egress => !is_everything(&rule.ports),
        Direction::Ingress => {
            let mut selected = cx.selected(policy).peekable();
            rule.ports != Ports::ALL
                && selected.peek().is_some()
                && selected.all(|(_, endpoint)| is_shown_to_world(cx, endpoint))
        }
    }
}

/// Whether a Service shows a port of the endpoint to the world.
pub(crate) fn is_shown_to_world(cx: &Context<'_>, endpoint: &Endpoint) -> bool {
    endpoint.ports.iter().any(|port| port.host_port.is_some())
        || cx.services_of(endpoint).any(|service| {
            matches!(service.service_type.as_str(), "LoadBalancer" | "NodePort")
                || !service.external_ips.is_empty()
        })
}
