//! Asks the directory who stands at both ends of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_model::{
    ClusterName, EdgeKey, HalfFlow, Labels, Party, PartyKind, Protocol, ServiceRef, SocketRole,
    Timestamp, WorkloadRef,
};

use super::connection::{Connection, End};
use crate::{Directory, ServiceTarget};

/// The directory, and the names of nodes that connections hold by number.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) directory: &'a dyn Directory,
    pub(super) nodes: &'a [String],
    pub(super) cluster: &'a ClusterName,
}

impl Who<'_> {
    /// The edge that `connection` belongs to, as far as its reports tell now.
    pub(super) fn edge_of(self, connection: &Connection) -> EdgeKey {
        let opened = connection.opened();
        let target = connection
            .asked()
            .and_then(|asked| self.directory.service_at(asked, connection.protocol, opened));
        let (destination, port) = self.destination_of(connection, target.as_ref());
        let service = target.map(|target| target.service);
        let (verdict, decided_by) = connection.verdict();
        let process = |end: &Option<End>| end.as_ref().and_then(|end| end.process.clone());
        EdgeKey {
            source: self.source_of(connection),
            source_process: process(&connection.source),
            destination,
            destination_process: process(&connection.destination),
            protocol: connection.protocol,
            port,
            service,
            verdict,
            decided_by,
            direction_inferred: connection.direction_inferred(),
            cluster: self.cluster.clone(),
        }
    }

    fn source_of(self, connection: &Connection) -> Arc<Party> {
        match (&connection.source, connection.source_address()) {
            // The source's own address: what the destination saw may be masqueraded.
            (Some(end), _) => self.party_at(end, end.local.ip(), None),
            (None, Some(seen)) => {
                self.directory.party_of_address(seen.ip(), None, connection.opened())
            }
            (None, None) => unknown(),
        }
    }

    fn destination_of(
        self,
        connection: &Connection,
        target: Option<&ServiceTarget>,
    ) -> (Arc<Party>, u16) {
        let opened = connection.opened();
        let name = connection.source.as_ref().and_then(|end| end.remote_name.as_deref());
        if let Some(end) = &connection.destination {
            return (self.party_at(end, end.local.ip(), name), end.local.port());
        }
        if let Some(reached) = connection.reached() {
            let party = self.directory.party_of_address(reached.ip(), name, opened);
            return (party, reached.port());
        }
        match (connection.asked(), target) {
            (Some(asked), Some(target)) => self
                .behind(target, opened)
                .unwrap_or_else(|| (service_party(&target.service, asked.ip()), asked.port())),
            (Some(asked), None) => {
                (self.directory.party_of_address(asked.ip(), name, opened), asked.port())
            }
            (None, _) => (unknown(), 0),
        }
    }

    /// Who stands behind a Service, if all its backends are one workload: nobody saw which of them
    /// answered, so with several the pod and its address stay unknown.
    fn behind(self, target: &ServiceTarget, at: Timestamp) -> Option<(Arc<Party>, u16)> {
        let (first, rest) = target.backends.split_first()?;
        let party = |backend: &SocketAddr| self.directory.party_of_address(backend.ip(), None, at);
        let one = party(first);
        let alike = |backend: &SocketAddr| {
            let other = party(backend);
            backend.port() == first.port()
                && (other.kind, &other.workload, &other.labels)
                    == (one.kind, &one.workload, &one.labels)
        };
        if !rest.iter().all(alike) {
            return None;
        }
        if rest.is_empty() {
            return Some((one, first.port()));
        }
        let any = Party { pod: String::new(), address: None, ..Party::clone(&one) };
        Some((Arc::new(any), first.port()))
    }

    /// Who owns an end's socket; the cgroup knows better than the address, which may be shared.
    fn party_at(self, end: &End, address: IpAddr, name: Option<&str>) -> Arc<Party> {
        let index = usize::try_from(end.node).unwrap_or(usize::MAX);
        let node = self.nodes.get(index).map_or("", String::as_str);
        match self.directory.party_of_cgroup(node, &end.cgroup, end.opened) {
            Some(party) if party.address == Some(address) => party,
            Some(party) => Arc::new(Party { address: Some(address), ..Party::clone(&party) }),
            None => self.directory.party_of_address(address, name, end.opened),
        }
    }

    /// Whether no agent can report the end that `connection` lacks.
    pub(super) fn is_lonely(self, connection: &Connection) -> bool {
        let opened = connection.opened();
        let external = |address: IpAddr| {
            self.directory.party_of_address(address, None, opened).kind == PartyKind::External
        };
        match (&connection.source, &connection.destination) {
            (Some(end), None) => {
                external(end.remote.ip())
                    && self.directory.service_at(end.remote, connection.protocol, opened).is_none()
            }
            (None, Some(end)) => external(end.remote.ip()),
            (None, None) => connection.source_address().is_some_and(|source| external(source.ip())),
            (Some(_), Some(_)) => false,
        }
    }

    pub(super) fn is_node(self, address: IpAddr, at: Timestamp) -> bool {
        self.directory.party_of_address(address, None, at).kind == PartyKind::Node
    }

    /// Whether a packet to `asked` may have reached `reached`, directly or through a Service.
    pub(super) fn leads_to(
        self,
        asked: SocketAddr,
        reached: SocketAddr,
        protocol: Protocol,
        at: Timestamp,
    ) -> bool {
        asked == reached
            || self
                .directory
                .service_at(asked, protocol, at)
                .is_some_and(|target| target.backends.contains(&reached))
    }
}

/// Whether this is nothing but what a Service answered: its address never begins anything.
///
/// The node translates addresses in the network namespace of a pod in its own network: datagrams that
/// leave an unconnected socket are seen with the address of the pod behind the Service, and the
/// answers with that of the Service (linux v6.18: cgroup_skb comes after NAT both ways). The first are
/// the connection, reported by the same agent; the destination counts what it answered.
pub(super) fn is_answer(half: &HalfFlow, directory: &dyn Directory) -> bool {
    half.protocol == Protocol::Udp
        && half.role == SocketRole::Destination
        && !half.role_inferred
        && directory.service_at(half.remote, half.protocol, half.opened).is_some()
}

fn service_party(service: &ServiceRef, address: IpAddr) -> Arc<Party> {
    Arc::new(Party {
        kind: PartyKind::Service,
        workload: WorkloadRef {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            kind: "Service".to_owned(),
        },
        pod: String::new(),
        labels: Labels::new(),
        address: Some(address),
        dns_name: None,
    })
}

fn unknown() -> Arc<Party> {
    Arc::new(Party {
        kind: PartyKind::Unknown,
        workload: WorkloadRef {
            namespace: String::new(),
            name: "unknown".to_owned(),
            kind: "Unknown".to_owned(),
        },
        pod: String::new(),
        labels: Labels::new(),
        address: None,
        dns_name: None,
    })
}
