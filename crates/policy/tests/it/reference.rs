//! A second evaluator, built the other way round: it does not ask rules about a connection, but
//! unites the sets of (protocol, port) that rules open between two ends, and looks the connection
//! up. Shares no code with the crate beyond its types.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_manifest::{
    LabelSelector, NetworkPolicy, Operator, PolicyPeer, PolicyPort, PolicyRule, PortRef,
};
use sekisho_model::{Labels, Protocol};
use sekisho_policy::{Cluster, Endpoint, Peer, RuleSet};

pub(crate) const PORTS: std::ops::RangeInclusive<u16> = 79..=84;
pub(crate) const PROTOCOLS: [Protocol; 4] =
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];

type Ports = BTreeSet<(Protocol, u16)>;

/// An end with the address it uses.
pub(crate) type End<'a> = (Peer<'a>, Option<IpAddr>);

fn everything() -> Ports {
    PROTOCOLS.iter().flat_map(|protocol| PORTS.map(|port| (*protocol, port))).collect()
}

/// The ports open from `source` to `destination`.
pub(crate) fn open_ports(
    rules: &RuleSet,
    cluster: &Cluster,
    source: End<'_>,
    destination: End<'_>,
) -> Ports {
    let out = side(rules, cluster, source, destination, false);
    let into = side(rules, cluster, destination, source, true);
    out.intersection(&into).copied().collect()
}

fn side(
    rules: &RuleSet,
    cluster: &Cluster,
    subject: End<'_>,
    other: End<'_>,
    ingress: bool,
) -> Ports {
    let destination = if ingress { subject.0 } else { other.0 };
    let Peer::Endpoint(endpoint) = subject.0 else { return everything() };
    let same_node = match other.0 {
        Peer::Node { name, .. } => endpoint.node.as_deref() == Some(name),
        Peer::Endpoint(peer) => {
            peer.host_network && peer.node.is_some() && peer.node == endpoint.node
        }
        Peer::Address(address) => endpoint
            .node
            .as_ref()
            .and_then(|node| cluster.nodes.get(node))
            .is_some_and(|own| own.contains(&address)),
        Peer::Domain(_) => false,
    };
    let itself = matches!(other.0, Peer::Endpoint(peer)
        if (&peer.namespace, &peer.name) == (&endpoint.namespace, &endpoint.name));
    if endpoint.host_network || itself || (ingress && same_node) {
        return everything();
    }
    let applies = |policy: &&NetworkPolicy| {
        (if ingress { policy.isolates_ingress } else { policy.isolates_egress })
            && policy.meta.namespace == endpoint.namespace
            && selects(&policy.pod_selector, &endpoint.labels)
    };
    let policies: Vec<_> = rules.policies().iter().filter(applies).collect();
    if policies.is_empty() {
        return everything();
    }
    let mut open = Ports::new();
    for policy in policies {
        for rule in if ingress { &policy.ingress } else { &policy.egress } {
            if speaks_about(cluster, policy, rule, other) {
                open.extend(rule_ports(rule, destination));
            }
        }
    }
    open
}

fn speaks_about(
    cluster: &Cluster,
    policy: &NetworkPolicy,
    rule: &PolicyRule,
    (peer, address): End<'_>,
) -> bool {
    let mut any = rule.peers.is_empty();
    for wanted in &rule.peers {
        any |= match (wanted, peer) {
            (
                PolicyPeer::Pods { namespaces, pods },
                Peer::Endpoint(Endpoint { host_network: false, namespace, labels, .. }),
            ) => {
                let in_namespace =
                    namespaces.as_ref().map_or(*namespace == policy.meta.namespace, |selector| {
                        let mut of_namespace =
                            cluster.namespaces.get(namespace).cloned().unwrap_or_default();
                        of_namespace
                            .insert("kubernetes.io/metadata.name".to_owned(), namespace.clone());
                        selects(selector, &of_namespace)
                    });
                in_namespace && selects(&pods.clone().unwrap_or_default(), labels)
            }
            (PolicyPeer::Pods { .. }, _) => false,
            (PolicyPeer::IpBlock { cidr, except }, _) if address.is_none() => {
                cidr.prefix_len() == 0 && except.is_empty()
            }
            (PolicyPeer::IpBlock { cidr, except }, _) => address.is_some_and(|address| {
                in_range(*cidr, address)
                    && except.iter().filter(|hole| in_range(**hole, address)).count() == 0
            }),
        };
    }
    any
}

/// By arithmetic: the first `prefix` bits are the same.
fn in_range(net: IpNet, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32_u32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((base, width), (value, other_width)) = (bits(net.addr()), bits(address));
    let free = width - u32::from(net.prefix_len());
    width == other_width && (free >= 128 || base >> free == value >> free)
}

fn rule_ports(rule: &PolicyRule, destination: Peer<'_>) -> Ports {
    if rule.ports.is_empty() {
        return everything();
    }
    rule.ports.iter().flat_map(|port| ports_of(port, destination)).collect()
}

fn ports_of(port: &PolicyPort, destination: Peer<'_>) -> Ports {
    let numbers: Vec<u16> = match (&port.port, destination) {
        (None, _) => PORTS.collect(),
        (Some(PortRef::Number(start)), _) => {
            let last = port.end_port.unwrap_or(*start);
            PORTS.filter(|number| start <= number && *number <= last).collect()
        }
        (Some(PortRef::Name(name)), Peer::Endpoint(endpoint)) if !endpoint.host_network => endpoint
            .ports
            .iter()
            .filter(|own| own.name == *name && own.protocol == port.protocol)
            .map(|own| own.port)
            .collect(),
        (Some(PortRef::Name(_)), _) => Vec::new(),
    };
    numbers.into_iter().map(|number| (port.protocol, number)).collect()
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let mut fits = true;
    for (key, value) in &selector.match_labels {
        fits &= labels.get(key).is_some_and(|own| own == value);
    }
    for expression in &selector.match_expressions {
        let own = labels.get(&expression.key);
        let listed = own.is_some_and(|own| expression.values.iter().any(|value| value == own));
        fits &= match expression.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => own.is_some(),
            Operator::DoesNotExist => own.is_none(),
        };
    }
    fits
}
