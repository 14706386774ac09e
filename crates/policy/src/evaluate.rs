//! The plain evaluator: walks policies, rules, peers and ports as the specification reads
//! (Kubernetes v1.34, NetworkPolicySpec).
//!
//! Fails closed: an `ipBlock` does not match an end whose address is unknown, and a named port does
//! not match where it can't be resolved.

use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_manifest::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule, PortRef};
use sekisho_model::{Direction, Protocol};

use crate::{
    Cluster, Connection, Decision, DirectionDecision, Endpoint, Peer, PolicyName, Reason, RuleSet,
};

impl RuleSet {
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
        let reason = match exemption(cluster, connection, direction) {
            Ok(subject) => {
                let question = Question::new(cluster, connection, direction);
                self.judge(subject, &question)
            }
            Err(reason) => reason,
        };
        DirectionDecision { direction, reason }
    }

    fn judge(&self, subject: &Endpoint, question: &Question<'_>) -> Reason {
        let isolating: Vec<_> = self.isolating(subject, question.direction).collect();
        if isolating.is_empty() {
            return Reason::NotIsolated;
        }
        for policy in &isolating {
            for (rule, index) in rules(policy, question.direction).iter().zip(0..) {
                if question.is_allowed_by(policy, rule) {
                    return Reason::Rule { policy: name_of(policy), rule: index };
                }
            }
        }
        Reason::NoRule { isolated_by: isolating.into_iter().map(name_of).collect() }
    }

    /// The policies that isolate `subject` in `direction`, sorted.
    pub(crate) fn isolating(
        &self,
        subject: &Endpoint,
        direction: Direction,
    ) -> impl Iterator<Item = &NetworkPolicy> {
        self.policies().iter().filter(move |policy| {
            let isolates = match direction {
                Direction::Ingress => policy.isolates_ingress,
                Direction::Egress => policy.isolates_egress,
            };
            isolates
                && policy.meta.namespace == subject.namespace
                && policy.pod_selector.matches(&subject.labels)
        })
    }
}

/// The rules of a policy in one direction.
pub(crate) fn rules(policy: &NetworkPolicy, direction: Direction) -> &[PolicyRule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}

/// `namespace/name` of a policy.
pub(crate) fn name_of(policy: &NetworkPolicy) -> PolicyName {
    PolicyName { namespace: policy.meta.namespace.clone(), name: policy.meta.name.clone() }
}

/// The endpoint that policies speak about in `direction`, or why none has a say.
pub(crate) fn exemption<'a>(
    cluster: &Cluster,
    connection: &Connection<'a>,
    direction: Direction,
) -> Result<&'a Endpoint, Reason> {
    let (subject, other) = match direction {
        Direction::Ingress => (connection.destination, connection.source),
        Direction::Egress => (connection.source, connection.destination),
    };
    let Peer::Endpoint(subject) = subject else { return Err(Reason::NotSubject) };
    if subject.host_network {
        return Err(Reason::NotSubject);
    }
    if let Peer::Endpoint(other) = other
        && other.is(subject)
        && !subject.stands_for_many()
    {
        return Err(Reason::Itself);
    }
    // Only towards the pod: the specification exempts what the node sends (probes), not what the
    // pod sends to its node.
    if direction == Direction::Ingress && is_own_node(cluster, subject, connection) {
        return Err(Reason::OwnNode);
    }
    Ok(subject)
}

fn is_own_node(cluster: &Cluster, subject: &Endpoint, connection: &Connection<'_>) -> bool {
    let Some(node) = subject.node.as_deref() else { return false };
    match connection.source {
        Peer::Node { name, .. } => name == node,
        Peer::Endpoint(source) => source.host_network && source.node.as_deref() == Some(node),
        Peer::Address(address) => cluster
            .nodes
            .get(node)
            .is_some_and(|own| own.iter().any(|own| own.to_canonical() == address.to_canonical())),
    }
}

/// What one rule is asked: may this subject talk with this peer on this port?
pub(crate) struct Question<'a> {
    cluster: &'a Cluster,
    direction: Direction,
    /// The end that is not the subject.
    peer: Peer<'a>,
    /// The address used by the peer.
    peer_address: Option<IpAddr>,
    destination: Peer<'a>,
    protocol: Protocol,
    port: u16,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        connection: &Connection<'a>,
        direction: Direction,
    ) -> Self {
        let (source_address, destination_address) = addresses(cluster, connection);
        let (peer, peer_address) = match direction {
            Direction::Ingress => (connection.source, source_address),
            Direction::Egress => (connection.destination, destination_address),
        };
        Self {
            cluster,
            direction,
            peer,
            peer_address,
            destination: connection.destination,
            protocol: connection.protocol,
            port: connection.port,
        }
    }

    fn is_allowed_by(&self, policy: &NetworkPolicy, rule: &PolicyRule) -> bool {
        self.peer_matches(policy, rule) && self.port_matches(rule)
    }

    /// Whether the rule speaks about the peer: no peers = any, external ones and nodes included.
    pub(crate) fn peer_matches(&self, policy: &NetworkPolicy, rule: &PolicyRule) -> bool {
        rule.peers.is_empty() || rule.peers.iter().any(|peer| self.is_peer(policy, peer))
    }

    /// Whether the rule speaks about the port: no ports = all, of all protocols.
    pub(crate) fn port_matches(&self, rule: &PolicyRule) -> bool {
        rule.ports.is_empty() || rule.ports.iter().any(|port| self.is_port(port))
    }

    fn is_peer(&self, policy: &NetworkPolicy, peer: &PolicyPeer) -> bool {
        match peer {
            PolicyPeer::Pods { namespaces, pods } => {
                let Peer::Endpoint(endpoint) = self.peer else { return false };
                if endpoint.host_network {
                    return false;
                }
                let in_namespace = match namespaces {
                    None => endpoint.namespace == policy.meta.namespace,
                    Some(selector) => {
                        selector.matches(&self.cluster.labels_of_namespace(&endpoint.namespace))
                    }
                };
                in_namespace && pods.as_ref().is_none_or(|pods| pods.matches(&endpoint.labels))
            }
            PolicyPeer::IpBlock { cidr, except } => self.peer_address.is_some_and(|address| {
                contains(cidr, address) && !except.iter().any(|hole| contains(hole, address))
            }),
        }
    }

    fn is_port(&self, port: &PolicyPort) -> bool {
        if port.protocol != self.protocol {
            return false;
        }
        match &port.port {
            None => true,
            Some(PortRef::Number(start)) => {
                (*start..=port.end_port.unwrap_or(*start)).contains(&self.port)
            }
            Some(PortRef::Name(name)) => self.is_named_port(name),
        }
    }

    /// Named ports resolve on the destination, in egress too; the same name may stand for several
    /// numbers there.
    fn is_named_port(&self, name: &str) -> bool {
        let Peer::Endpoint(destination) = self.destination else { return false };
        !destination.host_network
            && destination.ports.iter().any(|port| {
                port.name == name && port.protocol == self.protocol && port.port == self.port
            })
    }
}

/// Whether `cidr` holds `address`; a range of one family holds nothing of the other.
fn contains(cidr: &IpNet, address: IpAddr) -> bool {
    cidr.contains(&address)
}

/// The addresses used at source and destination; None = unknown.
fn addresses(cluster: &Cluster, connection: &Connection<'_>) -> (Option<IpAddr>, Option<IpAddr>) {
    let source = known_address(connection.source, connection.source_address);
    let destination = known_address(connection.destination, connection.destination_address);
    let sources = candidates(cluster, connection.source);
    let destinations = candidates(cluster, connection.destination);
    let like = |list: &[IpAddr], one: IpAddr| {
        list.iter().copied().find(|address| address.is_ipv4() == one.is_ipv4())
    };
    match (source, destination) {
        (Some(_), Some(_)) => (source, destination),
        (Some(one), None) => (source, like(&destinations, one)),
        (None, Some(one)) => (like(&sources, one), destination),
        (None, None) => {
            let pair = sources
                .iter()
                .find_map(|one| like(&destinations, *one).map(|other| (Some(*one), Some(other))));
            pair.unwrap_or((sources.first().copied(), destinations.first().copied()))
        }
    }
}

fn known_address(peer: Peer<'_>, given: Option<IpAddr>) -> Option<IpAddr> {
    let own = match peer {
        Peer::Endpoint(_) => None,
        Peer::Node { address, .. } => address,
        Peer::Address(address) => Some(address),
    };
    given.or(own).map(|address| address.to_canonical())
}

/// The addresses an end may use. A host-network pod uses those of its node.
fn candidates(cluster: &Cluster, peer: Peer<'_>) -> Vec<IpAddr> {
    let of_node = |name: &str| cluster.nodes.get(name).cloned().unwrap_or_default();
    let addresses = match peer {
        Peer::Endpoint(endpoint) if endpoint.host_network => {
            let node = endpoint.node.as_deref().map(of_node).unwrap_or_default();
            if node.is_empty() { endpoint.addresses.clone() } else { node }
        }
        Peer::Endpoint(endpoint) => endpoint.addresses.clone(),
        Peer::Node { name, .. } => of_node(name),
        Peer::Address(address) => vec![address],
    };
    addresses.into_iter().map(|address| address.to_canonical()).collect()
}
