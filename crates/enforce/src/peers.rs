//! The peers and ports of rules, expanded to addresses and numbers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_manifest::{ContainerPort, NetworkPolicy, PolicyPeer, PolicyRule, PortRef};
use sekisho_model::{Direction, Labels, PartyKind, Protocol};
use sekisho_policy::{Cluster, Endpoint, RuleSet};

use crate::address::{Family, Range, block_family, integer, normalise, subtract};
use crate::compile::CompileError;
use crate::ports::PortSet;

/// Label that every namespace carries (Kubernetes v1.34, well-known labels).
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Addresses of both families: sorted, disjoint ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    v4: Vec<Range>,
    v6: Vec<Range>,
}

/// One thing a rule allows: these ports at these addresses.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) decision: u32,
    pub(crate) place: Arc<Place>,
    pub(crate) ports: PortSet,
}

impl Place {
    pub(crate) fn of(&self, family: Family) -> &[Range] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn everywhere() -> Self {
        Self { v4: vec![Family::V4.all()], v6: vec![Family::V6.all()] }
    }

    fn push(&mut self, family: Family, range: Range) {
        match family {
            Family::V4 => self.v4.push(range),
            Family::V6 => self.v6.push(range),
        }
    }

    fn push_address(&mut self, address: IpAddr) {
        self.push(Family::of(address), Range::single(address));
    }

    fn normalised(self) -> Self {
        Self { v4: normalise(self.v4), v6: normalise(self.v6) }
    }

    fn holds(&self, address: IpAddr) -> bool {
        let value = integer(address);
        let ranges = self.of(Family::of(address));
        let after = ranges.partition_point(|range| range.low <= value);
        after
            .checked_sub(1)
            .and_then(|last| ranges.get(last))
            .is_some_and(|last| value <= last.high)
    }
}

/// The endpoints that selectors can select: pods with a network of their own, and hosts.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    endpoints: Vec<&'a Endpoint>,
}

impl<'a> Members<'a> {
    /// # Errors
    /// [`CompileError::AddressShared`].
    pub(crate) fn of(cluster: &'a Cluster) -> Result<Self, CompileError> {
        let mut owners: BTreeMap<IpAddr, &Endpoint> = BTreeMap::new();
        let endpoints: Vec<_> = cluster.endpoints.iter().filter(|one| is_member(one)).collect();
        for endpoint in &endpoints {
            for address in &endpoint.addresses {
                let address = address.to_canonical();
                match owners.insert(address, endpoint) {
                    Some(other) if !same(other, endpoint) => {
                        let (first, second) = (title(other), title(endpoint));
                        return Err(CompileError::AddressShared { address, first, second });
                    }
                    Some(_) | None => {}
                }
            }
        }
        Ok(Self { endpoints })
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints.iter().copied().filter(|endpoint| endpoint.kind == PartyKind::Pod)
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints.iter().copied().filter(|endpoint| endpoint.kind == PartyKind::Host)
    }
}

/// Pods of the host's network are no subjects, and count as their node when they are peers.
fn is_member(endpoint: &Endpoint) -> bool {
    match endpoint.kind {
        PartyKind::Pod => !endpoint.host_network,
        PartyKind::Host => true,
        PartyKind::Service | PartyKind::Node | PartyKind::External | PartyKind::Unknown => false,
    }
}

fn same(one: &Endpoint, other: &Endpoint) -> bool {
    (&one.namespace, &one.name, one.kind) == (&other.namespace, &other.name, other.kind)
}

fn title(endpoint: &Endpoint) -> String {
    format!("{}/{}", endpoint.namespace, endpoint.name)
}

/// Whether a rule that these policies apply to ingress names a port.
pub(crate) fn uses_named_ports(rules: &RuleSet, policies: &[usize]) -> bool {
    policies
        .iter()
        .filter_map(|index| rules.policies().get(*index))
        .flat_map(|policy| &policy.ingress)
        .flat_map(|rule| &rule.ports)
        .any(|port| matches!(port.port, Some(PortRef::Name(_))))
}

/// Expands rules; what several rules and subjects share is expanded once.
#[derive(Debug)]
pub(crate) struct RuleTerms<'a, 'b> {
    pub(crate) rules: &'a RuleSet,
    cluster: &'a Cluster,
    members: &'b Members<'a>,
    places: BTreeMap<(String, PolicyPeer), Arc<Place>>,
    everywhere: Arc<Place>,
}

impl<'a, 'b> RuleTerms<'a, 'b> {
    pub(crate) fn new(rules: &'a RuleSet, cluster: &'a Cluster, members: &'b Members<'a>) -> Self {
        let everywhere = Arc::new(Place::everywhere());
        Self { rules, cluster, members, places: BTreeMap::new(), everywhere }
    }

    /// What `rule` allows: places and the ports allowed there. `subject_ports` are the named ports
    /// of the subject, which ingress rules refer to; egress rules refer to the peer's.
    pub(crate) fn of(
        &mut self,
        policy: &NetworkPolicy,
        rule: &PolicyRule,
        direction: Direction,
        subject_ports: &[(&str, Protocol, u16)],
    ) -> impl Iterator<Item = (Arc<Place>, PortSet)> + use<> {
        let mut places = Vec::new();
        if rule.peers.is_empty() {
            places.push(Arc::clone(&self.everywhere));
        }
        for peer in &rule.peers {
            places.push(self.place(&policy.meta.namespace, peer));
        }
        let named_here = match direction {
            Direction::Ingress => resolve(rule, subject_ports.iter().copied()),
            Direction::Egress => Vec::new(),
        };
        let fixed = fixed_ports(rule, named_here);
        let mut terms = Vec::new();
        for place in places {
            if direction == Direction::Egress {
                terms.extend(self.named_terms(rule, &place));
            }
            if fixed != PortSet::Some(Vec::new()) {
                terms.push((place, fixed.clone()));
            }
        }
        terms.into_iter()
    }

    /// The named ports of an egress rule, as each destination in `place` numbers them.
    fn named_terms(&self, rule: &PolicyRule, place: &Place) -> Vec<(Arc<Place>, PortSet)> {
        let mut by_ports: BTreeMap<PortSet, Place> = BTreeMap::new();
        if !rule.ports.iter().any(|port| matches!(port.port, Some(PortRef::Name(_)))) {
            return Vec::new();
        }
        for endpoint in &self.members.endpoints {
            let ports = resolve(rule, endpoint.ports.iter().map(named));
            let addresses = endpoint.addresses.iter().filter(|address| place.holds(**address));
            for address in addresses.filter(|_| !ports.is_empty()) {
                let entry = by_ports.entry(PortSet::Some(ports.clone())).or_default();
                entry.push_address(*address);
            }
        }
        by_ports.into_iter().map(|(ports, place)| (Arc::new(place.normalised()), ports)).collect()
    }

    fn place(&mut self, namespace: &str, peer: &PolicyPeer) -> Arc<Place> {
        let key = (namespace.to_owned(), peer.clone());
        if let Some(place) = self.places.get(&key) {
            return Arc::clone(place);
        }
        let mut place = Place::default();
        match peer {
            PolicyPeer::Pods { namespaces, pods } => {
                let selected = self.members.endpoints.iter().filter(|endpoint| {
                    let in_namespace = match namespaces {
                        None => endpoint.namespace == namespace,
                        Some(selector) => {
                            selector.matches(&namespace_labels(self.cluster, &endpoint.namespace))
                        }
                    };
                    in_namespace && pods.as_ref().is_none_or(|pods| pods.matches(&endpoint.labels))
                });
                for address in selected.flat_map(|endpoint| &endpoint.addresses) {
                    place.push_address(*address);
                }
            }
            PolicyPeer::IpBlock { cidr, except } => {
                let family = block_family(cidr);
                let holes = except.iter().filter(|hole| block_family(hole) == family);
                let parts =
                    subtract(Range::block(*cidr), holes.map(|hole| Range::block(*hole)).collect());
                for part in parts {
                    place.push(family, part);
                }
            }
        }
        let place = Arc::new(place.normalised());
        self.places.insert(key, Arc::clone(&place));
        place
    }
}

/// A namespace's labels; one without an object has the label of its name only.
fn namespace_labels(cluster: &Cluster, namespace: &str) -> Labels {
    let mut labels = cluster.namespaces.get(namespace).cloned().unwrap_or_default();
    labels.entry(NAMESPACE_NAME_LABEL.to_owned()).or_insert_with(|| namespace.to_owned());
    labels
}

fn named(port: &ContainerPort) -> (&str, Protocol, u16) {
    (&port.name, port.protocol, port.port)
}

/// The rule's named ports by the numbers that `ports` gives them; unmatched names give none.
fn resolve<'p>(
    rule: &PolicyRule,
    ports: impl Iterator<Item = (&'p str, Protocol, u16)> + Clone,
) -> Vec<(Protocol, u16, u16)> {
    let mut resolved = Vec::new();
    for wanted in &rule.ports {
        if let Some(PortRef::Name(name)) = &wanted.port {
            let matching = ports
                .clone()
                .filter(|(other, protocol, _)| other == name && *protocol == wanted.protocol);
            resolved.extend(matching.map(|(_, protocol, number)| (protocol, number, number)));
        }
    }
    resolved.sort_unstable();
    resolved.dedup();
    resolved
}

/// The rule's numeric ports and `named`, those resolved from names. ICMP has no ports, so a number
/// with it allows nothing.
fn fixed_ports(rule: &PolicyRule, named: Vec<(Protocol, u16, u16)>) -> PortSet {
    if rule.ports.is_empty() {
        return PortSet::All;
    }
    let mut list = named;
    for wanted in &rule.ports {
        match &wanted.port {
            None => list.push((wanted.protocol, 0, u16::MAX)),
            Some(PortRef::Number(low)) if wanted.protocol != Protocol::Icmp => {
                list.push((wanted.protocol, *low, wanted.end_port.unwrap_or(*low)));
            }
            Some(PortRef::Number(_) | PortRef::Name(_)) => {}
        }
    }
    list.retain(|(_, low, high)| low <= high);
    list.sort_unstable();
    PortSet::Some(list)
}
