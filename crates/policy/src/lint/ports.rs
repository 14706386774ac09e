//! Ports that are not the pods' own.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Direction, Protocol};

use super::code::{
    NAMED_PORT_DIFFERS, NAMED_PORT_WITH_IP_BLOCK, PORT_NOT_DECLARED, SERVICE_PORT,
    UNMATCHED_NAMED_PORT,
};
use super::context::{Class, Context, direction_word, workload_name, workload_names};
use super::finding::{Edit, Finding, Fix, evidence};
use super::reader::{is_slip, quoted_like, target_port};
use crate::Endpoint;
use crate::ir::{Action, PeerMatch, Peers, Policy, PortMatch, Rule};

/// A port of a rule.
struct Port<'p> {
    policy: &'p Policy,
    direction: Direction,
    rule: &'p Rule,
    index: usize,
}

type Ends<'c> = [(&'c Class, &'c Endpoint)];

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for (policy, direction, rule) in cx.rules() {
        if rule.action == Action::Pass {
            continue;
        }
        let ends = cx.destinations(policy, direction, rule);
        for (index, port) in rule.ports.include.iter().flatten().enumerate() {
            let at = Port { policy, direction, rule, index };
            match port {
                PortMatch::Named { name, protocol } => {
                    named(cx, &at, (name, *protocol), &ends, out);
                }
                PortMatch::Range { protocol, first, last } if first == last => {
                    numbered(cx, &at, (*protocol, *first), &ends, out);
                }
                PortMatch::Range { .. } | PortMatch::Icmp { .. } | PortMatch::OtherProtocols => {}
            }
        }
    }
}

fn named(
    cx: &Context<'_>,
    at: &Port<'_>,
    (name, protocol): (&str, Option<Protocol>),
    ends: &Ends<'_>,
    out: &mut Vec<Finding>,
) {
    if let Some(message) = never_resolves(at) {
        let place = cx.port_place(at.policy, at.rule, at.index);
        let fix = Fix::words("write the number of the port");
        out.push(place.finding(&NAMED_PORT_WITH_IP_BLOCK, message, fix));
        if ends.is_empty() {
            return;
        }
    }
    if ends.is_empty() {
        return;
    }
    let mut numbers: BTreeMap<(Protocol, u16), BTreeSet<String>> = BTreeMap::new();
    for (class, endpoint) in ends {
        for port in endpoint.ports.iter().filter(|port| {
            port.name == name && protocol.is_none_or(|protocol| protocol == port.protocol)
        }) {
            let names = numbers.entry((port.protocol, port.port)).or_default();
            names.extend(class.workloads.iter().map(workload_name));
        }
    }
    if numbers.is_empty() {
        out.push(unmatched(cx, at, name, ends));
    } else if numbers.len() > 1 {
        let message =
            format!("the name `{name}` stands for different ports: each pod opens its own number");
        let fix = Fix::words("nothing, if that is meant; else write the number");
        let place = cx.port_place(at.policy, at.rule, at.index);
        let mut finding = place.finding(&NAMED_PORT_DIFFERS, message, fix);
        finding.evidence = evidence(numbers.into_iter().map(|((protocol, number), names)| {
            let names: Vec<String> = names.into_iter().collect();
            format!("{protocol} {number} on {}", names.join(", "))
        }));
        out.push(finding);
    }
}

/// A named port of egress needs a pod that names it; addresses outside name nothing.
fn never_resolves(at: &Port<'_>) -> Option<String> {
    if at.direction == Direction::Ingress {
        return None;
    }
    let Peers::List(peers) = &at.rule.peers else { return None };
    let blocks = peers.iter().filter(|peer| matches!(peer, PeerMatch::Networks { .. })).count();
    if blocks == 0 {
        return None;
    }
    let what = if blocks == peers.len() { "never matches" } else { "does not match the ipBlock" };
    Some(format!("a port by name {what}: addresses outside the cluster have no named ports"))
}

fn unmatched(cx: &Context<'_>, at: &Port<'_>, name: &str, ends: &Ends<'_>) -> Finding {
    let place = cx.port_place(at.policy, at.rule, at.index);
    let document = cx.document(&at.policy.position);
    let node = document.as_ref().and_then(|document| document.field(&place.field));
    let mut all = ends.iter().flat_map(|(_, endpoint)| &endpoint.ports);
    let other_protocol = all.clone().find(|port| port.name == name);
    let whose = match at.direction {
        Direction::Ingress => "no selected pod",
        Direction::Egress => "no pod that the rule reaches",
    };
    let (message, fix) = if let Some(port) = other_protocol {
        let edit =
            document.as_ref().zip(node).and_then(|(document, node)| match node.get("protocol") {
                Some(written) => Some(document.replace(written, &port.protocol.to_string())),
                None => document.add_entry(node, "port", &format!("protocol: {}", port.protocol)),
            });
        (
            format!("`{name}` is a {} port; the rule speaks of another protocol", port.protocol),
            Fix::with(format!("write `protocol: {}`", port.protocol), edit),
        )
    } else {
        let meant = all.find(|port| is_slip(name, &port.name));
        let edit = |meant: &str| -> Option<Edit> {
            let written = node?.get("port")?;
            Some(document.as_ref()?.replace(written, &quoted_like(written, meant)))
        };
        let fix = match meant {
            Some(port) => Fix::with(format!("write `{}`", port.name), edit(&port.name)),
            None => Fix::words("name the port in the pod's containers, or write its number"),
        };
        (format!("{whose} has a port named `{name}`, so the rule opens nothing by it"), fix)
    };
    let mut finding = place.finding(&UNMATCHED_NAMED_PORT, message, fix);
    finding.evidence = evidence(ends.iter().map(|(class, endpoint)| {
        let names: Vec<String> = class.workloads.iter().map(workload_name).collect();
        format!("{} has {}", names.join(", "), ports_of(endpoint))
    }));
    finding
}

fn ports_of(endpoint: &Endpoint) -> String {
    let ports: Vec<String> = endpoint
        .ports
        .iter()
        .map(|port| match port.name.as_str() {
            "" => format!("{} {}", port.protocol, port.port),
            name => format!("{name}={} {}", port.protocol, port.port),
        })
        .collect();
    if ports.is_empty() { "no ports".to_owned() } else { ports.join(", ") }
}

fn numbered(
    cx: &Context<'_>,
    at: &Port<'_>,
    (protocol, number): (Protocol, u16),
    ends: &Ends<'_>,
    out: &mut Vec<Finding>,
) {
    // A pod may listen on ports that it does not declare; one that declares none tells nothing.
    let declares = |endpoint: &Endpoint| {
        endpoint.ports.iter().any(|port| port.protocol == protocol && port.port == number)
    };
    let silent = ends.iter().any(|(_, endpoint)| endpoint.ports.is_empty());
    // A rule for everyone is not about the ports of the pods at hand.
    let for_all = at.direction == Direction::Egress
        && (at.rule.peers == Peers::Any
            || matches!(&at.rule.peers, Peers::List(peers) if peers.iter().any(|peer| {
                !matches!(peer, PeerMatch::Endpoints(_))
            })));
    if ends.is_empty() || silent || for_all || ends.iter().any(|(_, endpoint)| declares(endpoint)) {
        return;
    }
    let place = cx.port_place(at.policy, at.rule, at.index);
    let through = ends.iter().find_map(|(_, endpoint)| {
        cx.services_of(endpoint).find_map(|service| {
            let port = service
                .ports
                .iter()
                .find(|port| port.port == number && port.protocol == protocol)?;
            let target = target_port(port, endpoint).filter(|target| *target != number)?;
            Some((service, target))
        })
    });
    let names = evidence(ends.iter().map(|(class, endpoint)| {
        format!("{} has {}", workload_names([*class]).join(", "), ports_of(endpoint))
    }));
    let finding = if let Some((service, target)) = through {
        let document = cx.document(&at.policy.position);
        let edit = document.as_ref().and_then(|document| {
            let written = document.field(&place.field)?.get("port")?;
            Some(document.replace(written, &target.to_string()))
        });
        place.finding(
            &SERVICE_PORT,
            format!(
                "{number} is the port of Service `{}/{}`; policy sees the port of the pod, {target}",
                service.meta.namespace, service.meta.name
            ),
            Fix::with(format!("write {target}"), edit),
        )
    } else {
        place.finding(
            &PORT_NOT_DECLARED,
            format!(
                "no pod of this {} rule declares {protocol} port {number}",
                direction_word(at.direction)
            ),
            Fix::words("check the number; declare the port in the pod if it listens there"),
        )
    };
    out.push(Finding { evidence: names, ..finding });
}
