//! Whether a rule speaks about the other end and the port of a connection.
//!
//! An end whose address is unknown is only matched by ranges that hold all of a family, and a named
//! port does not match where it can't be resolved.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_manifest::ContainerPort;
use sekisho_model::{Direction, Labels, Protocol};

use crate::ir::{Entity, Extent, PeerMatch, Peers, Policy, PortMatch, Ports, Rule, Subject};
use crate::{Cluster, Connection, Dialect, Endpoint, IcmpVersion, Peer, PortSet};

/// A pod or host with the labels around it, as selectors see it.
pub(crate) struct Facts<'a> {
    endpoint: &'a Endpoint,
    namespace_labels: Cow<'a, Labels>,
    service_account_labels: Cow<'a, Labels>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(cluster: &'a Cluster, endpoint: &'a Endpoint) -> Self {
        let account = endpoint.service_account.as_deref().and_then(|name| {
            cluster.service_accounts.get(&endpoint.namespace).and_then(|all| all.get(name))
        });
        Self {
            endpoint,
            namespace_labels: cluster.labels_of_namespace(&endpoint.namespace),
            service_account_labels: account.map_or_else(Cow::default, Cow::Borrowed),
        }
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            namespace: &self.endpoint.namespace,
            namespace_labels: &self.namespace_labels,
            labels: &self.endpoint.labels,
            service_account: self.endpoint.service_account.as_deref(),
            service_account_labels: &self.service_account_labels,
        }
    }
}

/// What rules are asked: may this subject talk with this peer on this port?
pub(crate) struct Question<'a> {
    cluster: &'a Cluster,
    dialect: Dialect,
    direction: Direction,
    subject: Facts<'a>,
    /// The end that is not the subject.
    peer: Peer<'a>,
    peer_facts: Option<Facts<'a>>,
    /// The address used by the peer.
    peer_address: Option<IpAddr>,
    destination: Peer<'a>,
    protocol: Protocol,
    port: u16,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        dialect: Dialect,
        connection: &Connection<'a>,
        (direction, subject): (Direction, &'a Endpoint),
    ) -> Self {
        let (source_address, destination_address) = addresses(cluster, dialect, connection);
        let (peer, peer_address) = match direction {
            Direction::Ingress => (connection.source, source_address),
            Direction::Egress => (connection.destination, destination_address),
        };
        let peer_facts = match peer {
            Peer::Endpoint(endpoint) => Some(Facts::of(cluster, endpoint)),
            Peer::Node { .. } | Peer::Address(_) | Peer::Domain(_) => None,
        };
        Self {
            cluster,
            dialect,
            direction,
            subject: Facts::of(cluster, subject),
            peer,
            peer_facts,
            peer_address,
            destination: connection.destination,
            protocol: connection.protocol,
            port: connection.port,
        }
    }

    /// Whether the policy selects the subject and speaks about the direction.
    pub(crate) fn is_selected_by(&self, policy: &Policy) -> bool {
        policy.side(self.direction).is_some() && policy.subject.matches(&self.subject.subject())
    }

    /// Whether the rule matches.
    pub(crate) fn is_matched_by(&self, rule: &Rule) -> bool {
        self.port_matches(&rule.ports) && self.peer_matches(&rule.peers)
    }

    /// Whether the rule speaks about the peer.
    pub(crate) fn peer_matches(&self, peers: &Peers) -> bool {
        match peers {
            Peers::Any => true,
            Peers::List(list) => list.iter().any(|one| self.is_peer(one)),
        }
    }

    fn is_peer(&self, wanted: &PeerMatch) -> bool {
        match wanted {
            PeerMatch::Endpoints(expr) => self.peer_facts.as_ref().is_some_and(|facts| {
                is_ordinary(self.dialect, facts.endpoint) && expr.matches(&facts.subject())
            }),
            PeerMatch::Networks { nets, except, extent } => {
                self.is_in(*extent)
                    && match self.peer_address {
                        Some(address) => contains(nets, address) && !contains(except, address),
                        None => holds_unknown(nets, except),
                    }
            }
            PeerMatch::Nodes(selector) => self.peer_node().is_some_and(|node| {
                self.cluster.node_labels.get(node).is_some_and(|labels| selector.matches(labels))
                    || (selector.is_empty() && self.cluster.nodes.contains_key(node))
            }),
            PeerMatch::Domain(pattern) => {
                matches!(self.peer, Peer::Domain(name) if is_below(name, pattern))
            }
            PeerMatch::DomainPattern(pattern) => {
                matches!(self.peer, Peer::Domain(name) if fits_pattern(name, pattern))
            }
            PeerMatch::Entity(entity) => self.is_entity(*entity),
            PeerMatch::All(all) => all.iter().all(|one| self.is_peer(one)),
            PeerMatch::Not(inner) => !self.is_peer(inner),
        }
    }

    fn is_in(&self, extent: Extent) -> bool {
        let endpoint = self.is_pod_or_host();
        match extent {
            Extent::Anything => true,
            Extent::NotEndpoints => !endpoint,
            Extent::OutsideCluster => !endpoint && self.peer_node().is_none(),
        }
    }

    fn is_pod_or_host(&self) -> bool {
        self.peer_facts.as_ref().is_some_and(|facts| is_ordinary(self.dialect, facts.endpoint))
    }

    fn is_entity(&self, entity: Entity) -> bool {
        let node = self.peer_node();
        let own = self.subject.endpoint.node.as_deref();
        match entity {
            Entity::World => !self.is_pod_or_host() && node.is_none(),
            Entity::Cluster => self.is_pod_or_host() || node.is_some(),
            Entity::Host => node.is_some() && node == own,
            Entity::RemoteNode => node.is_some() && node != own,
        }
    }

    /// The node that the peer is, or whose network it uses.
    fn peer_node(&self) -> Option<&str> {
        match self.peer {
            Peer::Node { name, .. } => Some(name),
            Peer::Endpoint(endpoint) if !is_ordinary(self.dialect, endpoint) => {
                Some(endpoint.node.as_deref().unwrap_or_default())
            }
            Peer::Address(address) => self.cluster.node_at(address),
            Peer::Endpoint(_) | Peer::Domain(_) => None,
        }
    }

    /// Whether the rule speaks about protocol and port.
    pub(crate) fn port_matches(&self, ports: &Ports) -> bool {
        let any = |list: &[PortMatch]| list.iter().any(|one| self.is_port(one));
        ports.include.as_deref().is_none_or(any) && !any(&ports.exclude)
    }

    /// The protocols and ports that the rule speaks about, names resolved.
    pub(crate) fn port_set(&self, ports: &Ports) -> PortSet {
        let names = || {
            named_ports(self.cluster, self.dialect, self.direction, self.destination)
                .map(|port| (port.name.as_str(), port.protocol, port.port))
        };
        resolve(ports, names)
    }

    fn is_port(&self, wanted: &PortMatch) -> bool {
        match wanted {
            PortMatch::Range { protocol, first, last } => {
                *protocol == self.protocol && (*first..=*last).contains(&self.port)
            }
            PortMatch::Named { name, protocol } => {
                protocol.is_none_or(|protocol| protocol == self.protocol)
                    && named_ports(self.cluster, self.dialect, self.direction, self.destination)
                        .any(|port| {
                            port.name == *name
                                && port.protocol == self.protocol
                                && port.port == self.port
                        })
            }
            // The type of a message is no part of a connection: only all types together match.
            PortMatch::Icmp { version, kind } => {
                self.protocol == Protocol::Icmp && version.is_none() && kind.is_none()
            }
            PortMatch::OtherProtocols => false,
        }
    }
}

/// The set of protocols and ports of a rule; `names` are the ports that names may stand for.
pub(crate) fn resolve<'p, I>(ports: &Ports, names: impl Fn() -> I) -> PortSet
where
    I: Iterator<Item = (&'p str, Protocol, u16)>,
{
    let set = |list: &[PortMatch]| {
        list.iter().fold(PortSet::none(), |set, one| set.union(&resolve_one(one, names())))
    };
    let include = ports.include.as_deref().map_or_else(PortSet::all, set);
    include.minus(&set(&ports.exclude))
}

fn resolve_one<'p>(
    wanted: &PortMatch,
    names: impl Iterator<Item = (&'p str, Protocol, u16)>,
) -> PortSet {
    match wanted {
        PortMatch::Range { protocol, first, last } => PortSet::range(*protocol, *first, *last),
        PortMatch::Named { name, protocol } => names
            .filter(|(own, of, _)| own == name && protocol.is_none_or(|protocol| protocol == *of))
            .fold(PortSet::none(), |set, (_, protocol, port)| {
                set.union(&PortSet::range(protocol, port, port))
            }),
        PortMatch::Icmp { version, kind } => [IcmpVersion::V4, IcmpVersion::V6]
            .into_iter()
            .filter(|own| version.is_none_or(|version| version == *own))
            .fold(PortSet::none(), |set, own| set.union(&PortSet::icmp(own, *kind))),
        PortMatch::OtherProtocols => PortSet::other_protocols(),
    }
}

/// The ports that names stand for in a rule of this direction.
pub(crate) fn named_ports<'a>(
    cluster: &'a Cluster,
    dialect: Dialect,
    direction: Direction,
    destination: Peer<'a>,
) -> impl Iterator<Item = &'a ContainerPort> {
    let everyone = direction == Direction::Egress && dialect.egress_names_are_cluster_wide();
    let all = if everyone { cluster.endpoints.as_slice() } else { &[] };
    let one = match destination {
        Peer::Endpoint(endpoint) if !everyone => Some(endpoint),
        Peer::Endpoint(_) | Peer::Node { .. } | Peer::Address(_) | Peer::Domain(_) => None,
    };
    let ordinary = move |endpoint: &&Endpoint| is_ordinary(dialect, endpoint);
    all.iter().chain(one).filter(ordinary).flat_map(|endpoint| &endpoint.ports)
}

/// Whether policies speak about the endpoint as a pod (or host), not as its node.
pub(crate) fn is_ordinary(dialect: Dialect, endpoint: &Endpoint) -> bool {
    !endpoint.host_network || dialect.host_network_is_ordinary()
}

/// Whether one of the ranges holds `address`; a range of one family holds nothing of the other.
fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// Whether ranges hold an address that is not known: only if they hold all of a family.
pub(crate) fn holds_unknown(nets: &[IpNet], except: &[IpNet]) -> bool {
    except.is_empty() && nets.iter().any(|net| net.prefix_len() == 0)
}

/// Whether a DNS name (or the names below it, for `*.`) is covered by a pattern.
pub(crate) fn is_below(name: &str, pattern: &str) -> bool {
    name == pattern
        || pattern.strip_prefix('*').is_some_and(|suffix| {
            suffix.starts_with('.') && name.len() > suffix.len() && name.ends_with(suffix)
        })
}

/// Whether a DNS name is covered by a pattern in Cilium's way ([`PeerMatch::DomainPattern`]).
pub(crate) fn fits_pattern(name: &str, pattern: &str) -> bool {
    if name == pattern || pattern == "*" {
        return true;
    }
    let names: Vec<&str> = name.split('.').collect();
    let mut wanted: Vec<&str> = pattern.split('.').collect();
    let mut names = names.as_slice();
    if wanted.first() == Some(&"**") {
        wanted.remove(0);
        // One label or more in front.
        let Some(from) = names.len().checked_sub(wanted.len()).filter(|from| *from > 0) else {
            return false;
        };
        names = names.get(from..).unwrap_or_default();
    }
    names.len() == wanted.len()
        && names.iter().zip(wanted).all(|(name, wanted)| fits_label(name, wanted))
}

/// Whether a label fits one with `*` in it: its pieces must stand in the label in their order.
fn fits_label(label: &str, wanted: &str) -> bool {
    let mut pieces = wanted.split('*');
    let Some(mut rest) = label.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The addresses used at source and destination; None = unknown.
fn addresses(
    cluster: &Cluster,
    dialect: Dialect,
    connection: &Connection<'_>,
) -> (Option<IpAddr>, Option<IpAddr>) {
    let source = known_address(connection.source, connection.source_address);
    let destination = known_address(connection.destination, connection.destination_address);
    if source.is_some() && destination.is_some() {
        return (source, destination);
    }
    let sources = candidates(cluster, dialect, connection.source);
    let destinations = candidates(cluster, dialect, connection.destination);
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
        Peer::Endpoint(_) | Peer::Domain(_) => None,
        Peer::Node { address, .. } => address,
        Peer::Address(address) => Some(address),
    };
    given.or(own).map(|address| address.to_canonical())
}

/// The addresses an end may use. A host-network pod uses those of its node.
fn candidates(cluster: &Cluster, dialect: Dialect, peer: Peer<'_>) -> Vec<IpAddr> {
    let of_node = |name: &str| cluster.nodes.get(name).cloned().unwrap_or_default();
    let addresses = match peer {
        Peer::Endpoint(endpoint) if !is_ordinary(dialect, endpoint) => {
            let node = endpoint.node.as_deref().map(of_node).unwrap_or_default();
            if node.is_empty() { endpoint.addresses.clone() } else { node }
        }
        Peer::Endpoint(endpoint) => endpoint.addresses.clone(),
        Peer::Node { name, .. } => of_node(name),
        Peer::Address(address) => vec![address],
        Peer::Domain(_) => Vec::new(),
    };
    addresses.into_iter().map(|address| address.to_canonical()).collect()
}
