//! Flows to store, made by hand or at random.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use sekisho_model::{
    ClusterName, DecidedBy, Direction, EdgeKey, EdgeMinute, EdgeStats, Flow, Party, PartyKind,
    Process, Protocol, Reporters, ServiceRef, Timestamp, Verdict, WorkloadRef,
};

/// 2026-11-23T00:00:00Z.
pub(crate) const START_S: u64 = 1_795_392_000;

pub(crate) fn pod(name: &str) -> Party {
    Party {
        kind: PartyKind::Pod,
        workload: WorkloadRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            kind: "Deployment".to_owned(),
        },
        pod: format!("{name}-7d4b9-x2x1z"),
        labels: [("app".to_owned(), name.to_owned())].into(),
        address: Some(IpAddr::from([10, 0, 0, 7])),
        dns_name: None,
    }
}

pub(crate) fn key(source: &str, destination: &str, port: u16) -> EdgeKey {
    let process = Process {
        exe: format!("/bin/{source}"),
        comm: source.to_owned(),
        uid: 1000,
        container: None,
    };
    EdgeKey {
        source: Arc::new(pod(source)),
        source_process: Some(Arc::new(process)),
        destination: Arc::new(pod(destination)),
        destination_process: None,
        protocol: Protocol::Tcp,
        port,
        service: None,
        verdict: Verdict::Allowed,
        decided_by: None,
        direction_inferred: false,
        cluster: ClusterName::default(),
    }
}

/// A flow of one connection that ended `second` seconds after [`START_S`].
pub(crate) fn flow(key: EdgeKey, second: u64, bytes_sent: u64) -> Flow {
    let seen = Timestamp::from_seconds(START_S + second);
    Flow {
        source: SocketAddr::from(([10, 0, 0, 7], 40_000)),
        destination: SocketAddr::from(([10, 0, 0, 8], key.port)),
        key,
        opened: seen,
        stats: EdgeStats {
            connections: 1,
            bytes_sent,
            first_seen: seen,
            last_seen: seen,
            ..EdgeStats::default()
        },
    }
}

/// What any store must answer: the plain sum, by value, without limits.
pub(crate) fn sums(flows: &[Flow]) -> BTreeMap<(Timestamp, EdgeKey), EdgeStats> {
    let mut sums: BTreeMap<_, EdgeStats> = BTreeMap::new();
    for flow in flows {
        let place = (flow.stats.last_seen.minute(), flow.key.clone());
        sums.entry(place)
            .and_modify(|sum| sum.add(&flow.stats))
            .or_insert_with(|| flow.stats.clone());
    }
    sums
}

/// Rows as a map; panics if one edge and minute comes twice.
pub(crate) fn by_place(rows: Vec<EdgeMinute>) -> BTreeMap<(Timestamp, EdgeKey), EdgeStats> {
    let count = rows.len();
    let map: BTreeMap<_, _> =
        rows.into_iter().map(|row| ((row.minute, row.key), row.stats)).collect();
    assert_eq!(map.len(), count, "an edge's minute came twice");
    map
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("cart".to_owned()), "[a-z]{1,8}", ".{0,12}"]
}

fn party() -> impl Strategy<Value = Party> {
    use PartyKind::{External, Host, Node, Pod, Service, Unknown};
    let kind = prop::sample::select(vec![Pod, Service, Host, Node, External, Unknown]);
    let rest = (btree_map(text(), text(), 0..3), option::of(any::<IpAddr>()), option::of(text()));
    (kind, text(), text(), text(), text(), rest).prop_map(
        |(kind, namespace, name, owner, pod, (labels, address, dns_name))| Party {
            kind,
            workload: WorkloadRef { namespace, name, kind: owner },
            pod,
            labels,
            address,
            dns_name,
        },
    )
}

fn process() -> impl Strategy<Value = Option<Arc<Process>>> {
    option::of((text(), text(), any::<u32>())).prop_map(|process| {
        process.map(|(exe, comm, uid)| Arc::new(Process { exe, comm, uid, container: None }))
    })
}

fn decided_by() -> impl Strategy<Value = Option<DecidedBy>> {
    let direction = prop::sample::select(vec![Direction::Ingress, Direction::Egress]);
    option::of((text(), option::of(any::<u32>()), direction))
        .prop_map(|by| by.map(|(policy, rule, direction)| DecidedBy { policy, rule, direction }))
}

fn edge_key() -> impl Strategy<Value = EdgeKey> {
    use Verdict::{Allowed, Denied, Unknown, WouldDeny};
    let protocol =
        prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp]);
    let verdict = prop::sample::select(vec![Allowed, Denied, WouldDeny, Unknown]);
    let service = option::of((text(), text(), any::<u16>())).prop_map(|service| {
        service.map(|(namespace, name, port)| ServiceRef { namespace, name, port })
    });
    let ends = (party(), process(), party(), process());
    (ends, protocol, any::<u16>(), service, verdict, decided_by(), any::<bool>()).prop_map(
        |(ends, protocol, port, service, verdict, decided_by, direction_inferred)| EdgeKey {
            source: Arc::new(ends.0),
            source_process: ends.1,
            destination: Arc::new(ends.2),
            destination_process: ends.3,
            protocol,
            port,
            service,
            verdict,
            decided_by,
            direction_inferred,
            cluster: ClusterName::default(),
        },
    )
}

fn stats() -> impl Strategy<Value = EdgeStats> {
    let count = || prop_oneof![0..5_u64, any::<u64>()];
    let time = || (0..400_u64).prop_map(|second| Timestamp::from_seconds(START_S + second));
    let counts = (count(), count(), count(), count(), count(), count());
    let reporters = (any::<bool>(), any::<bool>(), any::<bool>());
    (counts, time(), time(), reporters, any::<bool>()).prop_map(
        |(counts, first, last, (source, destination, datapath), loss)| EdgeStats {
            connections: counts.0,
            bytes_sent: counts.1,
            bytes_received: counts.2,
            packets_sent: counts.3,
            packets_received: counts.4,
            resets: counts.5,
            first_seen: first.min(last),
            last_seen: first.max(last),
            reporters: Reporters { source, destination, datapath },
            loss,
        },
    )
}

/// Flows of a few edges of any shape, so that edges repeat.
pub(crate) fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let keys = prop::collection::vec(edge_key(), 1..6);
    let picks = prop::collection::vec((any::<prop::sample::Index>(), stats()), 0..40);
    (keys, picks).prop_map(|(keys, picks)| {
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let flow = |(index, stats): (prop::sample::Index, EdgeStats)| Flow {
            key: index.get(&keys).clone(),
            source: address,
            destination: address,
            opened: stats.first_seen,
            stats,
        };
        picks.into_iter().map(flow).collect()
    })
}
