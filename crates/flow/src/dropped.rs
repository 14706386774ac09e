//! Whose packets the kernel dropped.

use std::net::IpAddr;
use std::sync::Arc;

use sekisho_model::{
    ClusterName, Direction, DropRecord, Dropped, DroppedKey, DroppedVerdict, EdgeStats, Party,
    Protocol,
};

use crate::Directory;

/// Names both ends of what `node` of `cluster` reported, as of the time of the drop.
///
/// The end at which a socket was found is known by its cgroup, the other by its address; so is what
/// was dropped on the way. A loopback address is the namespace's own.
#[must_use]
pub fn identify(
    cluster: &ClusterName,
    node: &str,
    record: &DropRecord,
    directory: &dyn Directory,
) -> Dropped {
    let at = record.time;
    let party = |address: IpAddr, side: Direction| {
        let own = record.direction == Some(side) || address.is_loopback();
        let known = own.then(|| directory.party_of_cgroup(node, &record.cgroup, at)).flatten();
        match known {
            Some(party) if party.address == Some(address) => party,
            Some(party) => Arc::new(Party { address: Some(address), ..Party::clone(&party) }),
            None => directory.party_of_address(address, None, at),
        }
    };
    let target = |protocol: Protocol| directory.service_at(record.destination, protocol, at);
    Dropped {
        key: DroppedKey {
            source: party(record.source.ip(), Direction::Egress),
            destination: party(record.destination.ip(), Direction::Ingress),
            protocol: record.protocol,
            port: record.destination.port(),
            service: record.protocol.and_then(target).map(|target| target.service),
            verdict: DroppedVerdict::Dropped,
        },
        drop_reason: record.reason.clone(),
        direction: record.direction,
        cluster: cluster.clone(),
        node: node.to_owned(),
        source: record.source,
        destination: record.destination,
        stats: EdgeStats {
            packets_sent: record.packets,
            first_seen: record.first,
            last_seen: record.time,
            ..EdgeStats::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use sekisho_model::{Labels, PartyKind, ServiceRef, Timestamp, WorkloadRef};

    use super::*;
    use crate::ServiceTarget;

    /// Knows the pod of cgroup `/a` and the Service at 10.96.0.1; everybody else is external.
    struct Lab;

    fn pod() -> Arc<Party> {
        Arc::new(Party {
            kind: PartyKind::Pod,
            workload: WorkloadRef {
                namespace: "shop".to_owned(),
                name: "cart".to_owned(),
                kind: "Deployment".to_owned(),
            },
            pod: "cart-1".to_owned(),
            labels: Labels::new(),
            address: None,
            dns_name: None,
        })
    }

    impl Directory for Lab {
        fn party_of_cgroup(&self, node: &str, cgroup: &str, _: Timestamp) -> Option<Arc<Party>> {
            (node == "n1" && cgroup == "/a").then(pod)
        }

        fn party_of_address(&self, ip: IpAddr, _: Option<&str>, _: Timestamp) -> Arc<Party> {
            Arc::new(Party::external(ip, None))
        }

        fn service_at(&self, at: SocketAddr, _: Protocol, _: Timestamp) -> Option<ServiceTarget> {
            (at.ip().to_string() == "10.96.0.1").then(|| ServiceTarget {
                service: ServiceRef { namespace: "x".to_owned(), name: "y".to_owned(), port: 53 },
                backends: Vec::new(),
            })
        }
    }

    fn identified(source: &str, destination: &str, direction: Option<Direction>) -> Dropped {
        let record = DropRecord {
            time: Timestamp::from_seconds(2),
            first: Timestamp::from_seconds(1),
            protocol: Some(Protocol::Udp),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            direction,
            reason: "NO_SOCKET".to_owned(),
            packets: 7,
            cgroup: "/a".to_owned(),
        };
        identify(&ClusterName::default(), "n1", &record, &Lab)
    }

    #[test]
    fn the_end_with_the_socket_is_known_by_its_cgroup_and_the_other_by_its_address() {
        let out = identified("10.0.0.1:9", "10.96.0.1:53", Some(Direction::Egress));
        assert_eq!((out.key.source.pod.as_str(), out.key.port), ("cart-1", 53));
        assert_eq!(out.key.source.address, Some(out.source.ip()));
        assert_eq!(out.key.destination.kind, PartyKind::External);
        assert_eq!(out.key.service.map(|service| service.name).as_deref(), Some("y"));
        assert_eq!((out.stats.packets_sent, out.stats.connections), (7, 0));
        let into = identified("192.0.2.1:9", "10.0.0.1:80", Some(Direction::Ingress));
        assert_eq!(
            (into.key.source.kind, into.key.destination.kind),
            (PartyKind::External, PartyKind::Pod)
        );
    }

    #[test]
    fn without_a_socket_addresses_tell_and_loopback_is_the_namespaces_own() {
        let forwarded = identified("10.0.0.1:9", "10.0.0.2:80", None);
        assert_eq!(forwarded.key.source.kind, PartyKind::External);
        let own = identified("127.0.0.1:9", "127.0.0.1:80", None);
        assert_eq!(
            (own.key.source.kind, own.key.destination.kind),
            (PartyKind::Pod, PartyKind::Pod)
        );
    }
}
