//! Our flows in Hubble's words and back, and filters on them.

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;
use sekisho_exchange::observer::messages::{
    EventTypeFilter, FlowFilter, GetFlowsResponse, LostEvent, NodeStatusEvent, Told, Workload,
};
use sekisho_exchange::observer::{Filters, RefusedFilter, Stand, flow, read, stand};
use sekisho_exchange::{Format, Import, Item};
use sekisho_model::{
    ClusterName, DecidedBy, Direction, EdgeKey, EdgeStats, Flow, Party, PartyKind, Protocol,
    Reporters, ServiceRef, Timestamp, Verdict, WorkloadRef,
};

use crate::support::Cluster;

fn pod(name: &str, owner: &str) -> Arc<Party> {
    Arc::new(Party {
        kind: PartyKind::Pod,
        workload: WorkloadRef {
            namespace: "shop".to_owned(),
            name: owner.to_owned(),
            kind: "Deployment".to_owned(),
        },
        pod: name.to_owned(),
        labels: [("app".to_owned(), owner.to_owned())].into(),
        address: None,
        dns_name: None,
    })
}

fn example(verdict: Verdict) -> Flow {
    let seen: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
    let denies = matches!(verdict, Verdict::Denied | Verdict::WouldDeny);
    Flow {
        key: EdgeKey {
            source: pod("cart-1", "cart"),
            source_process: None,
            destination: pod("db-0", "db"),
            destination_process: None,
            protocol: Protocol::Tcp,
            port: 5_432,
            service: Some(ServiceRef {
                namespace: "shop".to_owned(),
                name: "db".to_owned(),
                port: 5_432,
            }),
            verdict,
            decided_by: denies.then(|| DecidedBy {
                policy: "shop/db".to_owned(),
                rule: None,
                direction: Direction::Ingress,
            }),
            direction_inferred: false,
            cluster: ClusterName::default(),
        },
        source: "10.0.1.1:40000".parse().unwrap(),
        destination: "10.0.2.1:5432".parse().unwrap(),
        opened: seen,
        stats: EdgeStats {
            connections: 1,
            first_seen: seen,
            last_seen: seen,
            reporters: Reporters { source: true, destination: true, datapath: false },
            ..EdgeStats::default()
        },
    }
}

/// What a follower makes of our flow.
fn back(ours: &Flow) -> Flow {
    let told = Some(Told::Flow(Box::new(flow(ours, "node-1"))));
    // Over the wire, as bytes.
    let bytes = GetFlowsResponse { told, ..GetFlowsResponse::default() }.encode_to_vec();
    let response = GetFlowsResponse::decode(bytes.as_slice()).unwrap();
    let mut import = Import::new(Format::Hubble, "2026-11-24T00:00:00Z".parse().unwrap());
    let mut flows = Vec::new();
    import.take(b"", read(&response), &Cluster, &mut flows);
    assert_eq!((flows.len(), import.tally().rejected_sum()), (1, 0), "{:?}", import.tally());
    flows.remove(0)
}

#[test]
fn what_another_sekisho_reads_of_our_flows_is_the_same_edge() {
    for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::WouldDeny, Verdict::Unknown] {
        let ours = example(verdict);
        let theirs = back(&ours);
        let (a, b) = (&ours.key, &theirs.key);
        assert_eq!((&a.source.workload, &a.source.labels), (&b.source.workload, &b.source.labels));
        assert_eq!(a.destination.workload, b.destination.workload);
        assert_eq!((a.protocol, a.port, a.verdict), (b.protocol, b.port, b.verdict));
        assert_eq!((&a.decided_by, &a.service), (&b.decided_by, &b.service));
        assert_eq!((theirs.stats.connections, theirs.stats.last_seen), (1, ours.stats.last_seen));
        assert!(!b.direction_inferred);
    }
}

#[test]
fn a_guessed_direction_is_told_as_one() {
    let mut ours = example(Verdict::Allowed);
    ours.key.direction_inferred = true;
    assert_eq!(flow(&ours, "").is_reply, None);
    assert_eq!(flow(&example(Verdict::Allowed), "").is_reply.map(|it| it.value), Some(false));
}

#[test]
fn a_flow_is_told_from_the_end_that_saw_it_or_decided() {
    let mut ours = example(Verdict::Allowed);
    assert_eq!(stand(&ours), Stand::Pod("shop", "cart-1"));
    ours.stats.reporters.source = false;
    assert_eq!(stand(&ours), Stand::Pod("shop", "db-0"));
    assert_eq!(stand(&example(Verdict::Denied)), Stand::Pod("shop", "db-0"));
    let address = "203.0.113.1".parse().unwrap();
    ours.key.destination = Arc::new(Party::external(address, Some("a.example".to_owned())));
    ours.stats.reporters = Reporters { source: true, ..Reporters::default() };
    let told = flow(&ours, "node-1");
    assert_eq!(told.destination_names, ["a.example"]);
    assert_eq!(told.destination.unwrap().labels, ["reserved:world"]);
}

#[test]
fn losses_and_states_of_nodes_are_told_apart_and_what_is_newer_is_rejected() {
    let response = |told| GetFlowsResponse { told, ..GetFlowsResponse::default() };
    let lost = LostEvent { num_events_lost: 7, ..LostEvent::default() };
    let read_lost = read(&response(Some(Told::Lost(lost)))).unwrap();
    assert_eq!(read_lost, Some(Item::Lost { at: None, records: 7 }));
    let node = NodeStatusEvent::default();
    let state = read(&response(Some(Told::NodeStatus(node)))).unwrap();
    assert!(matches!(state, Some(Item::Skipped(_))), "{state:?}");
    assert!(read(&response(None)).is_err());
    let mut newer = flow(&example(Verdict::Allowed), "");
    newer.verdict = 99;
    let newer = response(Some(Told::Flow(Box::new(newer))));
    assert!(read(&newer).unwrap_err().reason.contains("verdict"));
}

fn takes(white: FlowFilter, verdict: Verdict) -> bool {
    let filters = Filters::read(&[white.encode_to_vec()], &[]).unwrap();
    filters.take(&flow(&example(verdict), "node-1"))
}

#[test]
fn each_field_that_is_answered_takes_what_it_means_and_nothing_else() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let workload =
        |name: &str, kind: &str| vec![Workload { name: name.to_owned(), kind: kind.to_owned() }];
    let told = flow(&example(Verdict::Allowed), "node-1");
    let identity = |end: &Option<_>| -> u32 {
        let end: &sekisho_exchange::observer::messages::Endpoint = end.as_ref().unwrap();
        end.identity
    };
    let (cart, db) = (identity(&told.source), identity(&told.destination));
    assert_ne!(cart, db);
    let event = |kind, sub_type: Option<i32>| {
        let (match_sub_type, sub_type) = (sub_type.is_some(), sub_type.unwrap_or(0));
        vec![EventTypeFilter { kind, match_sub_type, sub_type }]
    };
    let f = FlowFilter::default;
    let cases = [
        (FlowFilter { source_ip: words(&["10.0.1.0/24"]), ..f() }, true),
        (FlowFilter { source_ip: words(&["10.0.2.1"]), ..f() }, false),
        (FlowFilter { destination_ip: words(&["::1", "10.0.2.1"]), ..f() }, true),
        (FlowFilter { source_pod: words(&["shop/cart"]), ..f() }, true),
        (FlowFilter { source_pod: words(&["cart"]), ..f() }, false),
        (FlowFilter { source_pod: words(&["shop/"]), ..f() }, true),
        (FlowFilter { destination_pod: words(&["bank/", "/db"]), ..f() }, true),
        (FlowFilter { destination_pod: words(&["shop/cart"]), ..f() }, false),
        (FlowFilter { verdict: vec![1], ..f() }, true),
        (FlowFilter { verdict: vec![2, 4], ..f() }, false),
        (FlowFilter { event_type: event(4, None), ..f() }, true),
        (FlowFilter { event_type: event(4, Some(5)), ..f() }, true),
        (FlowFilter { event_type: event(4, Some(0)), ..f() }, false),
        (FlowFilter { event_type: event(1, None), ..f() }, false),
        (FlowFilter { source_label: words(&["app in (cart)"]), ..f() }, true),
        (FlowFilter { destination_label: words(&["app=cart"]), ..f() }, false),
        (FlowFilter { protocol: words(&["udp", "TCP"]), ..f() }, true),
        (FlowFilter { protocol: words(&["icmp"]), ..f() }, false),
        (FlowFilter { source_port: words(&["40000"]), ..f() }, true),
        (FlowFilter { destination_port: words(&["40000"]), ..f() }, false),
        (FlowFilter { reply: vec![false], ..f() }, true),
        (FlowFilter { reply: vec![true], ..f() }, false),
        (FlowFilter { source_service: words(&["shop/cart"]), ..f() }, false),
        (FlowFilter { destination_service: words(&["shop/db"]), ..f() }, true),
        (FlowFilter { source_identity: vec![cart], ..f() }, true),
        (FlowFilter { destination_identity: vec![cart], ..f() }, false),
        (FlowFilter { node_name: words(&["default/node-*"]), ..f() }, true),
        (FlowFilter { node_name: words(&["node-2"]), ..f() }, false),
        (FlowFilter { ip_version: vec![1], ..f() }, true),
        (FlowFilter { ip_version: vec![2], ..f() }, false),
        (FlowFilter { source_workload: workload("cart", ""), ..f() }, true),
        (FlowFilter { destination_workload: workload("db", "StatefulSet"), ..f() }, false),
        (FlowFilter { traffic_direction: vec![2], ..f() }, true),
        (FlowFilter { traffic_direction: vec![1], ..f() }, false),
        (FlowFilter { drop_reason_desc: vec![133], ..f() }, false),
        (FlowFilter { source_cluster_name: words(&["default"]), ..f() }, true),
        (FlowFilter { destination_cluster_name: words(&["west"]), ..f() }, false),
        (FlowFilter { source_fqdn: words(&["*"]), ..f() }, false),
        // All fields of one filter must hold.
        (FlowFilter { verdict: vec![1], source_port: words(&["1"]), ..f() }, false),
        (f(), true),
    ];
    for (filter, expected) in cases {
        assert_eq!(takes(filter.clone(), Verdict::Allowed), expected, "{filter:?}");
    }
    assert!(takes(FlowFilter { drop_reason_desc: vec![133], ..f() }, Verdict::Denied));
    assert!(takes(FlowFilter { verdict: vec![4], ..f() }, Verdict::WouldDeny));
}

#[test]
fn any_filter_of_the_whitelist_will_do_and_none_of_the_blacklist_may() {
    let denied = FlowFilter { verdict: vec![2], ..FlowFilter::default() }.encode_to_vec();
    let tcp = FlowFilter { protocol: vec!["tcp".to_owned()], ..FlowFilter::default() };
    let tcp = tcp.encode_to_vec();
    let told = flow(&example(Verdict::Allowed), "");
    let take =
        |white: &[Vec<u8>], black: &[Vec<u8>]| Filters::read(white, black).unwrap().take(&told);
    assert!(take(&[denied.clone(), tcp.clone()], &[]));
    assert!(!take(std::slice::from_ref(&denied), &[]));
    assert!(take(&[], std::slice::from_ref(&denied)));
    assert!(!take(&[], &[denied, tcp]));
}

/// An encoded text field.
fn field(number: u32, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut key = (number << 3) | 2;
    while key >= 0x80 {
        bytes.push(u8::try_from(key & 0x7f).unwrap() | 0x80);
        key >>= 7;
    }
    bytes.extend([u8::try_from(key).unwrap(), u8::try_from(text.len()).unwrap()]);
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn a_field_that_cannot_be_answered_or_is_not_known_is_refused_and_never_ignored() {
    let refused = |bytes: Vec<u8>| Filters::read(&[bytes], &[]).unwrap_err().to_string();
    for (number, name) in [
        (9, "http_status_code"),
        (18, "dns_query"),
        (29, "uuid"),
        (36, "node_labels"),
        (40, "encrypted"),
        (999, "experimental"),
    ] {
        let words = refused(field(number, "x"));
        assert!(words.contains(name), "{words}");
    }
    let words = refused(field(41, "x"));
    assert!(words.contains("41") && words.contains("not known"), "{words}");
    for (number, value) in [
        (1, "10.0.0"),
        (2, ""),
        (7, "a b"),
        (10, "a in (b"),
        (12, "http"),
        (12, "gre"),
        (13, "99999"),
        (24, "a/b/c"),
    ] {
        assert!(refused(field(number, value)).contains("filter field"), "{number} {value}");
    }
    let many = vec![Vec::new(); 257];
    assert_eq!(Filters::read(&many, &[]).unwrap_err(), RefusedFilter::TooMany);
    assert_eq!(
        Filters::read(&[field(1, "10.0.0.1").repeat(1_025)], &[]).unwrap_err(),
        RefusedFilter::TooMany
    );
    assert_eq!(Filters::read(&[], &[vec![0xff; 3]]).unwrap_err(), RefusedFilter::Undecodable);
}

proptest! {
    #[test]
    fn no_bytes_of_a_filter_or_an_answer_reach_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let told = flow(&example(Verdict::Allowed), "node-1");
        if let Ok(filters) = Filters::read(std::slice::from_ref(&bytes), &[]) {
            prop_assert!(matches!(filters.take(&told), true | false));
        }
        if let Ok(response) = GetFlowsResponse::decode(bytes.as_slice()) {
            let _any = read(&response);
        }
    }

    #[test]
    fn no_text_of_a_filter_reaches_a_panic(number in 1_u32..40, text in ".{0,40}") {
        let told = flow(&example(Verdict::Allowed), "node-1");
        if text.len() < 128 && let Ok(filters) = Filters::read(&[field(number, &text)], &[]) {
            prop_assert!(matches!(filters.take(&told), true | false));
        }
    }
}
