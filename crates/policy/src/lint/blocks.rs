//! Address ranges that do not do what they seem to.

use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_manifest::{Object, Outline, Service};
use sekisho_model::{Direction, PartyKind};

use super::code::{
    CIDR_HOST_BITS, EXCEPT_ADDS_NOTHING, IP_BLOCK_FOR_PODS, IPV4_ONLY, SERVICE_ADDRESS,
};
use super::context::{Context, object_name, workload_names};
use super::cover::{overlap, ports_cover};
use super::finding::{Edit, Finding, Fix, Severity, evidence};
use crate::ir::{Action, PeerMatch, Peers, Policy, PortMatch, Ports, Rule};

/// Ranges this wide mean the world, not pods.
const WORLD_PREFIX_MAX: u8 = 4;

/// An address range among the peers of a rule.
struct Block<'p> {
    policy: &'p Policy,
    direction: Direction,
    rule: &'p Rule,
    index: usize,
    nets: &'p [IpNet],
    except: &'p [IpNet],
}

fn blocks<'c>(cx: &'c Context<'_>) -> impl Iterator<Item = Block<'c>> {
    cx.rules().flat_map(|(policy, direction, rule)| {
        let peers = match &rule.peers {
            Peers::Any => [].as_slice(),
            Peers::List(peers) => peers,
        };
        peers.iter().enumerate().filter_map(move |(index, peer)| match peer {
            PeerMatch::Networks { nets, except, .. } => {
                Some(Block { policy, direction, rule, index, nets, except })
            }
            PeerMatch::Endpoints(_)
            | PeerMatch::Nodes(_)
            | PeerMatch::Domain(_)
            | PeerMatch::DomainPattern(_)
            | PeerMatch::Entity(_)
            | PeerMatch::All(_)
            | PeerMatch::Not(_) => None,
        })
    })
}

/// Ranges with addresses of pods or Services.
pub(crate) fn inside(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let pod_ranges: Vec<IpNet> = cx
        .objects
        .iter()
        .filter_map(|object| match object {
            Object::Node(node) => Some(node.pod_cidrs.clone()),
            _other => None,
        })
        .flatten()
        .collect();
    for block in blocks(cx) {
        let narrow: Vec<&IpNet> =
            block.nets.iter().filter(|net| net.prefix_len() > WORLD_PREFIX_MAX).collect();
        let holds = |address: &IpAddr| {
            let address = address.to_canonical();
            narrow.iter().any(|net| net.contains(&address))
                && !block.except.iter().any(|net| net.contains(&address))
        };
        let classes: Vec<_> = cx
            .ordinary()
            // Hosts keep their addresses, and are often known by nothing else.
            .filter(|(_, endpoint)| endpoint.kind == PartyKind::Pod)
            .filter(|(_, endpoint)| endpoint.addresses.iter().any(holds))
            .map(|(class, _)| class)
            .collect();
        let range = pod_ranges.iter().find(|range| narrow.iter().any(|net| overlap(net, range)));
        if !classes.is_empty() || range.is_some() {
            let what = match range {
                Some(range) => format!("covers addresses of pods ({range})"),
                None => "covers addresses of pods".to_owned(),
            };
            let message =
                format!("{what}: pod addresses change, and Cilium does not match pods by address");
            let fix = "select the pods with podSelector and namespaceSelector";
            let place = cx.peer_place(block.policy, block.rule, block.index);
            let mut finding = place.finding(&IP_BLOCK_FOR_PODS, message, Fix::words(fix));
            finding.evidence = evidence(workload_names(classes));
            out.push(finding);
        } else if block.direction == Direction::Egress
            && block.rule.action != Action::Deny
            && let Some(service) =
                cx.cluster.services.iter().find(|service| service.cluster_ips.iter().any(holds))
        {
            out.push(service_address(cx, &block, service));
        }
    }
}

fn service_address(cx: &Context<'_>, block: &Block<'_>, service: &Service) -> Finding {
    let name = format!("{}/{}", service.meta.namespace, service.meta.name);
    let place = cx.peer_place(block.policy, block.rule, block.index);
    let edit = single_service_edit(cx, block, service, &place.field);
    let selector: Vec<String> =
        service.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    place.finding(
        &SERVICE_ADDRESS,
        format!(
            "covers the ClusterIP of Service `{name}`: policy is decided after its address was \
             replaced by that of a pod, so this matches nothing"
        ),
        Fix::with(
            format!(
                "select the pods behind it: {} in namespace {}",
                selector.join(","),
                service.meta.namespace
            ),
            edit,
        ),
    )
}

/// Names the pods instead, where the range is this one Service and its ports are the pods' ports.
fn single_service_edit(
    cx: &Context<'_>,
    block: &Block<'_>,
    service: &Service,
    field: &str,
) -> Option<Edit> {
    let [net] = block.nets else { return None };
    let document = cx.document(&block.policy.position)?;
    let node = document.field(field)?;
    let ports_fit = block.rule.ports == Ports::ALL
        || service.ports.iter().all(|port| {
            port.target_port == sekisho_manifest::PortRef::Number(port.port)
                || cx.cluster.endpoints.iter().any(|endpoint| {
                    super::reader::serves(service, endpoint)
                        && super::reader::target_port(port, endpoint) == Some(port.port)
                })
        });
    if net.prefix_len() != net.max_prefix_len()
        || service.selector.is_empty()
        || !ports_fit
        || node.get("ipBlock").is_none()
    {
        return None;
    }
    let labels: Vec<String> = service
        .selector
        .iter()
        .map(|(key, value)| {
            format!(
                "{key}: {}",
                super::reader::quoted_like(node.get("ipBlock").unwrap_or(node), value)
            )
        })
        .collect();
    let peer = format!(
        "{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}}, podSelector: \
         {{matchLabels: {{{}}}}}}}",
        service.meta.namespace,
        labels.join(", ")
    );
    Some(document.replace(node, &peer))
}

/// Exceptions that take nothing away.
pub(crate) fn exceptions(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for block in blocks(cx) {
        for (index, except) in block.except.iter().enumerate() {
            let place = cx.peer_place(block.policy, block.rule, block.index);
            let field = format!("{}.ipBlock.except", place.field);
            let document = cx.document(&block.policy.position);
            let wider = block.except.iter().enumerate().find(|(other, net)| {
                *other != index && net.contains(except) && (*net != except || *other < index)
            });
            let place = cx.place(
                object_name(&block.policy.name),
                &block.policy.position,
                &format!("{field}[{index}]"),
            );
            if let Some((_, wider)) = wider {
                let edit = document
                    .as_ref()
                    .and_then(|document| document.remove_item(document.field(&field)?, index));
                let message = format!("the exception {except} is part of the exception {wider}");
                let fix = Fix::with("delete it", edit);
                out.push(place.finding(&EXCEPT_ADDS_NOTHING, message, fix));
            } else if let Some(by) = allowed_elsewhere(&block, except) {
                let message = format!(
                    "the exception {except} has no effect: {by} allows these addresses on the \
                     same ports, and what one allows no other takes away"
                );
                let fix = Fix::words("make the exception there too, or delete it here");
                out.push(place.finding(&EXCEPT_ADDS_NOTHING, message, fix));
            }
        }
    }
}

/// The rule of the same policy that allows the addresses of an exception anyway.
fn allowed_elsewhere(block: &Block<'_>, except: &IpNet) -> Option<String> {
    if block.policy.rank.is_some() {
        return None;
    }
    let side = block.policy.side(block.direction)?;
    side.rules.iter().find_map(|rule| {
        let same = rule.index == block.rule.index;
        if !ports_cover(&rule.ports, &block.rule.ports) {
            return None;
        }
        let Peers::List(peers) = &rule.peers else {
            return (!same).then(|| format!("rule {}", rule.index));
        };
        let lets_in = |(index, peer): (usize, &PeerMatch)| match peer {
            PeerMatch::Networks { nets, except: holes, .. } => {
                !(same && index == block.index)
                    && nets.iter().any(|net| net.contains(except))
                    && !holes.iter().any(|hole| overlap(hole, except))
            }
            PeerMatch::Endpoints(_)
            | PeerMatch::Nodes(_)
            | PeerMatch::Domain(_)
            | PeerMatch::DomainPattern(_)
            | PeerMatch::Entity(_)
            | PeerMatch::All(_)
            | PeerMatch::Not(_) => false,
        };
        let found = peers.iter().enumerate().any(lets_in);
        found.then(|| if same { "another item".to_owned() } else { format!("rule {}", rule.index) })
    })
}

/// Rules with IPv4 ranges only, in a cluster that has both families.
pub(crate) fn families(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let mixed = |addresses: &[IpAddr]| {
        addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6)
    };
    let dual = cx.cluster.endpoints.iter().any(|endpoint| mixed(&endpoint.addresses))
        || cx.cluster.services.iter().any(|service| mixed(&service.cluster_ips))
        || cx.cluster.nodes.values().any(|addresses| mixed(addresses));
    if !dual {
        return;
    }
    let is_v6 = |block: &Block<'_>| block.nets.iter().any(|net| net.addr().is_ipv6());
    let all: Vec<Block<'_>> = blocks(cx).collect();
    let mut told: Vec<(&crate::PolicyName, Direction)> = Vec::new();
    for block in &all {
        let name = &block.policy.name;
        let same =
            |other: &&Block<'_>| other.policy.name == *name && other.direction == block.direction;
        if told.contains(&(name, block.direction)) || all.iter().filter(same).any(is_v6) {
            continue;
        }
        told.push((name, block.direction));
        let place = cx.peer_place(block.policy, block.rule, block.index);
        let world = block.nets.iter().any(|net| net.prefix_len() == 0) && block.except.is_empty();
        let list = cx.peer_list(block.policy, block.rule);
        let edit = cx.document(&block.policy.position).zip(list).and_then(|(document, list)| {
            let list = document.field(&list)?;
            world.then(|| document.append_item(list, "{ipBlock: {cidr: \"::/0\"}}")).flatten()
        });
        let message = "pods have IPv6 addresses too, and these ranges say nothing of IPv6: what is \
                       allowed over IPv4 is denied over IPv6";
        let fix = Fix::with("add the IPv6 ranges of the same peers", edit);
        let mut finding = place.finding(&IPV4_ONLY, message.to_owned(), fix);
        if cx.is_recommended(name) {
            finding.severity = Severity::Note;
        }
        out.push(finding);
    }
}

/// Ranges written with bits that count for nothing.
pub(crate) fn host_bits(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for block in blocks(cx) {
        let place = cx.peer_place(block.policy, block.rule, block.index);
        let Some(document) = cx.document(&block.policy.position) else { continue };
        let Some(node) = document.field(&place.field) else { continue };
        let cidr = node.get("ipBlock").and_then(|block| block.get("cidr"));
        let written = cidr.into_iter().chain(node.get("networks").map_or(&[][..], Outline::items));
        for node in written {
            let Some(net) = node.text().and_then(|text| text.parse::<IpNet>().ok()) else {
                continue;
            };
            let meant = net.trunc();
            if meant == net {
                continue;
            }
            let place = super::context::Place {
                position: sekisho_manifest::Position {
                    line: node.line,
                    column: node.column,
                    ..place.position.clone()
                },
                field: format!("{}.ipBlock.cidr", place.field),
                object: place.object.clone(),
            };
            let message = format!("{net} means the whole range {meant}, not the one address");
            let text =
                if meant.addr().is_ipv6() { format!("\"{meant}\"") } else { meant.to_string() };
            let fix = Fix::with(
                format!(
                    "write {meant}, or {}/{} for the address",
                    net.addr(),
                    net.max_prefix_len()
                ),
                Some(document.replace(node, &text)),
            );
            out.push(place.finding(&CIDR_HOST_BITS, message, fix));
        }
    }
}

/// Whether a rule's ports hold one that only numbers can tell.
pub(crate) fn is_everything(ports: &Ports) -> bool {
    ports.include.as_ref().is_none_or(|list| {
        list.iter()
            .any(|port| matches!(port, PortMatch::Range { first: 0 | 1, last: u16::MAX, .. }))
    })
}
