//! Edges that worked to traffic between groups, nodes and outside addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_manifest::{LabelSelector, PortRef, Service};
use sekisho_model::{Party, PartyKind, Protocol};
use sekisho_policy::{Cluster, Endpoint};

use crate::groups::Groups;
use crate::history::{Cause, End, Evidence, LeftOut, Seen, Traffic};
use crate::proposal::{Note, NoteKind};
use crate::rules::selectable;

/// The port of name resolution (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

/// What traffic is made from.
pub(crate) struct Tracer<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) groups: &'a Groups<'a>,
    by_name: BTreeMap<(&'a str, &'a str), &'a Endpoint>,
    /// Groups that their own nodes reach, and on what ports.
    probes: BTreeMap<usize, BTreeSet<String>>,
}

impl<'a> Tracer<'a> {
    pub(crate) fn new(cluster: &'a Cluster, groups: &'a Groups<'a>) -> Self {
        let name = |endpoint: &'a Endpoint| {
            ((endpoint.namespace.as_str(), endpoint.name.as_str()), endpoint)
        };
        let by_name = cluster.endpoints.iter().map(name).collect();
        Self { cluster, groups, by_name, probes: BTreeMap::new() }
    }

    /// The traffic in one edge; what can't be a rule goes to `left_out`.
    pub(crate) fn trace(
        &mut self,
        seen: &Seen<'_>,
        left_out: &mut LeftOut,
        out: &mut Vec<Traffic>,
    ) {
        let key = seen.key;
        if is_itself(&key.source, &key.destination) || self.is_own_node(seen) {
            return;
        }
        let sources = self.ends(&key.source);
        let destinations = if key.destination.kind == PartyKind::Service {
            self.backends(&key.destination, key.protocol, key.port)
        } else {
            let ends = self.ends(&key.destination);
            ends.into_iter().map(|end| (end, key.port)).collect()
        };
        if sources.is_empty() || destinations.is_empty() {
            let service = key.destination.kind == PartyKind::Service;
            let cause = if service { Cause::NoBackend } else { Cause::UnknownParty };
            left_out.add(key, seen.stats.connections, cause);
            return;
        }
        let mut ends = sources.iter().chain(destinations.iter().map(|(end, _)| end));
        if !ends.all(|end| self.selectable(end)) {
            left_out.add(key, seen.stats.connections, Cause::NoLabels);
            return;
        }
        for source in &sources {
            for (destination, port) in &destinations {
                out.push(Traffic {
                    source: source.clone(),
                    destination: destination.clone(),
                    protocol: key.protocol,
                    port: *port,
                    dns: self.is_dns(seen, destination, *port),
                    evidence: Evidence::of(seen),
                });
            }
        }
    }

    /// Whether a rule can name the end.
    fn selectable(&self, end: &End) -> bool {
        match end {
            End::Group(group) => self.groups.at(*group).is_some_and(selectable),
            End::Node { .. } | End::Outside { .. } => true,
        }
    }

    /// What may stand for `party` in a rule; empty if nothing can.
    fn ends(&self, party: &Party) -> Vec<End> {
        match party.kind {
            PartyKind::Pod | PartyKind::Host => match self.groups.index(&party.workload) {
                Some(group) => vec![End::Group(group)],
                None => self.node_ends(self.node_of(party), party.address),
            },
            PartyKind::Node => self.node_ends(party.workload.name.clone(), party.address),
            PartyKind::External => {
                let end = |address| End::Outside { name: party.dns_name.clone(), address };
                party.address.map(|address| address.to_canonical()).map(end).into_iter().collect()
            }
            PartyKind::Service | PartyKind::Unknown => Vec::new(),
        }
    }

    /// A node by the address used, else by all of its addresses.
    fn node_ends(&self, name: String, address: Option<IpAddr>) -> Vec<End> {
        let all = self.cluster.nodes.get(&name).map(Vec::as_slice).unwrap_or_default();
        let used: Vec<IpAddr> = address.map_or_else(|| all.to_vec(), |address| vec![address]);
        used.into_iter().map(|address| End::Node { name: name.clone(), address }).collect()
    }

    /// The node of a pod; empty if unknown.
    fn node_of(&self, party: &Party) -> String {
        let endpoint = self.endpoint(party);
        endpoint.and_then(|endpoint| endpoint.node.clone()).unwrap_or_default()
    }

    fn endpoint(&self, party: &Party) -> Option<&'a Endpoint> {
        self.by_name.get(&(party.workload.namespace.as_str(), party.pod.as_str())).copied()
    }

    /// Whether a node reaches a pod of its own. A pod that is gone counts as the node's own: probes
    /// are what nodes do.
    fn is_own_node(&mut self, seen: &Seen<'_>) -> bool {
        let (source, destination) = (&seen.key.source, &seen.key.destination);
        if source.kind != PartyKind::Node || destination.kind != PartyKind::Pod {
            return false;
        }
        let node = self.endpoint(destination).and_then(|endpoint| endpoint.node.as_ref());
        if node.is_some_and(|node| *node != source.workload.name) {
            return false;
        }
        if let Some(group) = self.groups.index(&destination.workload) {
            let port = format!("{}/{}", seen.key.port, seen.key.protocol);
            self.probes.entry(group).or_default().insert(port);
        }
        true
    }

    /// The groups behind a Service today, with the port behind each.
    fn backends(&self, party: &Party, protocol: Protocol, port: u16) -> Vec<(End, u16)> {
        let service = self.cluster.services.iter().find(|service| {
            service.meta.namespace == party.workload.namespace
                && service.meta.name == party.workload.name
        });
        let Some(service) = service else { return Vec::new() };
        if service.selector.is_empty() {
            return self.outside_backends(service, protocol, port);
        }
        let port = service.ports.iter().find(|of| of.port == port && of.protocol == protocol);
        let Some(port) = port else { return Vec::new() };
        let selector = LabelSelector::of(service.selector.clone());
        let backend = |endpoint: &Endpoint| {
            let group = self.groups.index(&endpoint.workload)?;
            Some((End::Group(group), target(&port.target_port, endpoint, protocol)?))
        };
        let backends: BTreeSet<(End, u16)> = self
            .cluster
            .endpoints
            .iter()
            .filter(|endpoint| {
                endpoint.kind == PartyKind::Pod
                    && endpoint.namespace == service.meta.namespace
                    && selector.matches(&endpoint.labels)
            })
            .filter_map(backend)
            .collect();
        backends.into_iter().collect()
    }

    /// Who stands behind a Service that selects no pods: nodes or addresses outside.
    fn outside_backends(
        &self,
        service: &Service,
        protocol: Protocol,
        port: u16,
    ) -> Vec<(End, u16)> {
        let (namespace, name) = (&service.meta.namespace, &service.meta.name);
        let all = self.cluster.outside_backends(namespace, name, protocol, port);
        let end = |address: IpAddr| {
            let mut nodes = self.cluster.nodes.iter();
            match nodes.find(|(_, own)| own.contains(&address)) {
                Some((node, _)) => End::Node { name: node.clone(), address },
                None => End::Outside { name: None, address },
            }
        };
        all.map(|one| (end(one.address), one.port)).collect()
    }

    /// Whether the edge is name resolution: by port, by the Service's port, or by the port's name.
    fn is_dns(&self, seen: &Seen<'_>, destination: &End, port: u16) -> bool {
        let key = seen.key;
        match key.protocol {
            Protocol::Udp | Protocol::Tcp => {}
            Protocol::Sctp | Protocol::Icmp => return false,
        }
        let named = match destination {
            End::Group(group) => {
                self.groups.at(*group).map(|group| group.port(key.protocol, port)).is_some_and(
                    |port| match port {
                        PortRef::Name(name) => name == "dns" || name.starts_with("dns-"),
                        PortRef::Number(_) => false,
                    },
                )
            }
            End::Node { .. } | End::Outside { .. } => false,
        };
        named || port == DNS_PORT || key.service.as_ref().is_some_and(|of| of.port == DNS_PORT)
    }

    /// Notes what nodes reach without a rule.
    pub(crate) fn note_probes(&self, has: impl Fn(usize) -> bool, notes: &mut BTreeSet<Note>) {
        let mut by_ports: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
        for (index, ports) in self.probes.iter().filter(|(index, _)| has(**index)) {
            let Some(group) = self.groups.at(*index) else { continue };
            let ports = ports.iter().map(String::as_str).collect();
            by_ports.entry(ports).or_default().extend(group.ids());
        }
        for (ports, ids) in by_ports {
            notes.insert(Note {
                kind: NoteKind::AlwaysAllowed,
                subject: ids.join(", "),
                text: format!(
                    "reached by the node it runs on, on {} (probes): Kubernetes always allows \
                     that, so no rule is needed",
                    ports.join(", ")
                ),
            });
        }
    }
}

/// The number of a Service's target port on `endpoint`; None if it has no such name.
pub(crate) fn target(port: &PortRef, endpoint: &Endpoint, protocol: Protocol) -> Option<u16> {
    match port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(name) => endpoint
            .ports
            .iter()
            .find(|port| port.name == *name && port.protocol == protocol)
            .map(|port| port.port),
    }
}

/// Whether both ends are the same pod or host: always allowed.
fn is_itself(source: &Party, destination: &Party) -> bool {
    let same = source.kind == destination.kind && source.workload == destination.workload;
    match source.kind {
        PartyKind::Pod => same && !source.pod.is_empty() && source.pod == destination.pod,
        PartyKind::Host => same,
        PartyKind::Service | PartyKind::Node | PartyKind::External | PartyKind::Unknown => false,
    }
}
