//! What class a row of history gets.

use std::net::IpAddr;

use sekisho_manifest::{Meta, PortRef, Service, ServicePort};
use sekisho_model::{EdgeDay, Labels, Party, PartyKind, Protocol, Verdict};
use sekisho_policy::{Cluster, OutsideBackend};
use sekisho_verify::EdgeClass;

use crate::world::{
    DENY, WEB_OUT, WEB_TO_DB, cluster, judge, judge_in, named, pod, replay, row, rules, workload,
};

fn web_to_db() -> EdgeDay {
    row(pod(&cluster(), "web"), pod(&cluster(), "db"))
}

fn with_verdict(verdict: Verdict) -> EdgeDay {
    let mut row = web_to_db();
    row.key_mut().verdict = verdict;
    row
}

#[test]
fn what_works_and_would_be_denied_is_would_block_with_the_policy_named() {
    let edge = judge(web_to_db(), &[], &[DENY]);
    assert_eq!(edge.class, EdgeClass::WouldBlock);
    assert_eq!((edge.before.as_str(), edge.after.as_str()), ("allowed", "denied"));
    assert_eq!(edge.decided_by.unwrap().policy, "a/p0");
    insta::assert_snapshot!(edge.reason, @"no egress rule of `a/p0` allows `a/web[Deployment]` to reach `a/db[Deployment]` on TCP 8080; no ingress rule of `a/p0` lets `a/db[Deployment]` in from `a/web[Deployment]` on TCP 8080");
}

#[test]
fn what_works_and_stays_allowed_is_unchanged_with_the_rule_named() {
    let edge = judge(web_to_db(), &[], &[DENY, WEB_TO_DB, WEB_OUT]);
    assert_eq!(edge.class, EdgeClass::Unchanged);
    assert_eq!(edge.reason, "allowed by `a/p2` egress rule 0 and `a/p1` ingress rule 0");
}

#[test]
fn a_staged_denial_is_traffic_that_works() {
    assert_eq!(judge(with_verdict(Verdict::WouldDeny), &[], &[DENY]).class, EdgeClass::WouldBlock);
}

#[test]
fn attempts_that_never_got_through_cannot_be_lost() {
    for verdict in [Verdict::Denied, Verdict::Unknown] {
        assert_eq!(judge(with_verdict(verdict), &[], &[DENY]).class, EdgeClass::Unchanged);
    }
}

#[test]
fn what_is_denied_now_and_would_be_allowed_is_newly_allowed() {
    for verdict in [Verdict::Denied, Verdict::Unknown, Verdict::Allowed] {
        let edge = judge(with_verdict(verdict), &[DENY], &[]);
        assert_eq!(edge.class, EdgeClass::NewlyAllowed, "{verdict}");
        assert!(edge.reason.starts_with("no policy applies; now no egress rule"));
    }
}

#[test]
fn traffic_seen_although_it_is_denied_is_pointed_out() {
    let edge = judge(web_to_db(), &[DENY], &[DENY]);
    assert_eq!(edge.class, EdgeClass::Unchanged);
    assert!(edge.reason.contains("seen allowed although the policy in force denies it"));
    let edge = judge(with_verdict(Verdict::Denied), &[], &[]);
    assert!(edge.reason.contains("seen denied although the policy in force allows it"));
}

#[test]
fn lost_records_and_refused_connections_are_pointed_out() {
    let mut row = web_to_db();
    row.stats.loss = true;
    row.stats.resets = 10;
    row.stats.bytes_received = 0;
    let edge = judge(row, &[], &[DENY]);
    assert_eq!(edge.class, EdgeClass::WouldBlock);
    assert!(edge.reason.contains("every connection was refused or reset"));
    assert!(edge.reason.contains("records were lost"));
}

#[test]
fn the_labels_of_that_time_decide_not_those_of_today() {
    let mut source = pod(&cluster(), "web");
    source.labels = Labels::from([("app".to_owned(), "former".to_owned())]);
    let edge = judge(row(source, pod(&cluster(), "db")), &[], &[WEB_TO_DB]);
    assert_eq!(edge.class, EdgeClass::WouldBlock);
    let edge = judge(web_to_db(), &[], &[WEB_TO_DB]);
    assert_eq!(edge.class, EdgeClass::Unchanged);
}

#[test]
fn a_pod_that_is_gone_has_the_port_names_of_its_workload() {
    let mut destination = pod(&cluster(), "db");
    destination.pod = "db-9".to_owned();
    destination.address = Some(IpAddr::from([10, 0, 0, 99]));
    let edge = judge(row(pod(&cluster(), "web"), destination), &[], &[WEB_TO_DB]);
    assert_eq!(edge.class, EdgeClass::Unchanged);
}

#[test]
fn a_named_port_of_a_workload_that_is_gone_is_uncertain() {
    let mut cluster = cluster();
    let edge_row = web_to_db();
    cluster.endpoints.retain(|endpoint| endpoint.workload.name != "db");
    let edge = judge_in(&cluster, edge_row.clone(), &[], &[WEB_TO_DB]);
    assert_eq!(edge.class, EdgeClass::Uncertain);
    assert_eq!((edge.before.as_str(), edge.after.as_str()), ("allowed", "unknown"));
    assert!(edge.reason.contains("port names of `a/db[Deployment]` are not known"));
    assert!(edge.may_block);
    // Where no name decides, the gap does not matter.
    assert_eq!(judge_in(&cluster, edge_row, &[], &[DENY]).class, EdgeClass::WouldBlock);
}

#[test]
fn an_address_that_nobody_knows_is_uncertain() {
    let nobody = named(PartyKind::Unknown, "", "10.0.0.77", "Unknown");
    let edge = judge(row(nobody, pod(&cluster(), "db")), &[], &[DENY]);
    assert_eq!(edge.class, EdgeClass::Uncertain);
    assert!(edge.may_block);
    let outside = named(PartyKind::External, "", "x.example", "External");
    let edge = judge(row(pod(&cluster(), "web"), outside), &[], &[DENY]);
    assert_eq!(edge.reason, "the address of `x.example[External]` was not recorded");
}

#[test]
fn an_outside_address_is_judged_by_its_blocks() {
    let allow = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: \
                 203.0.113.0/24}}]}]}";
    for (address, class) in
        [([203, 0, 113, 7], EdgeClass::Unchanged), ([198, 51, 100, 7], EdgeClass::WouldBlock)]
    {
        let outside = Party::external(IpAddr::from(address), None);
        let edge = judge(row(pod(&cluster(), "web"), outside), &[], &[allow]);
        assert_eq!(edge.class, class);
    }
}

#[test]
fn probes_of_the_own_node_are_never_blocked_but_other_nodes_are() {
    let node = |name: &str, address| {
        let mut node = named(PartyKind::Node, "", name, "Node");
        node.address = Some(IpAddr::from(address));
        node
    };
    let own = row(node("node-1", [172, 18, 0, 2]), pod(&cluster(), "db"));
    let edge = judge(own.clone(), &[], &[DENY]);
    assert_eq!(edge.class, EdgeClass::Unchanged);
    assert_eq!(edge.reason, "allowed by probes from the pod's own node");
    let other = row(node("node-2", [172, 18, 0, 3]), pod(&cluster(), "db"));
    assert_eq!(judge(other, &[], &[DENY]).class, EdgeClass::WouldBlock);
    // Of a pod that is gone nobody knows where it ran.
    let mut cluster = cluster();
    cluster.endpoints.clear();
    let edge = judge_in(&cluster, own, &[], &[DENY]);
    assert_eq!(edge.class, EdgeClass::Uncertain);
    // Every rollout leaves such a pod, and its probes are not what would be lost.
    assert!(!edge.may_block);
}

#[test]
fn what_is_uncertain_may_be_blocked_only_if_it_works_and_the_change_takes_it() {
    let mut cluster = cluster();
    cluster.endpoints.retain(|endpoint| endpoint.workload.name != "db");
    let before = judge_in(&cluster, web_to_db(), &[WEB_TO_DB], &[WEB_TO_DB]);
    assert_eq!((before.class, before.may_block), (EdgeClass::Uncertain, false), "nothing changes");
    for (verdict, may_block) in [(Verdict::Denied, false), (Verdict::Allowed, true)] {
        let mut row = web_to_db();
        row.key_mut().verdict = verdict;
        assert_eq!(judge_in(&cluster, row, &[], &[WEB_TO_DB]).may_block, may_block);
    }
}

#[test]
fn a_record_in_doubt_does_not_count_where_another_of_its_edge_gets_through() {
    let mut doubtful = web_to_db();
    doubtful.key_mut().direction_inferred = true;
    let proposed = rules(&[DENY, WEB_TO_DB, WEB_OUT]);
    let ask = |rows: &[EdgeDay]| replay(&cluster(), rows, &rules(&[]), &proposed);
    let alone = ask(std::slice::from_ref(&doubtful));
    assert_eq!(alone.report.may_block_unaccepted(), 1);
    assert!(alone.verified.is_none(), "none may be uncertain");
    let both = ask(&[doubtful, web_to_db()]);
    assert_eq!(both.report.may_block_unaccepted(), 0);
    assert_eq!(both.report.edges[0].class, EdgeClass::Uncertain);
    assert!(both.verified.is_some());
}

#[test]
fn an_inferred_direction_counts_only_if_both_agree() {
    let mut row = web_to_db();
    row.key_mut().direction_inferred = true;
    // Denied both ways: certain. Allowed only one way: uncertain.
    assert_eq!(judge(row.clone(), &[], &[DENY]).class, EdgeClass::WouldBlock);
    let edge = judge(row.clone(), &[], &[DENY, WEB_TO_DB, WEB_OUT]);
    assert_eq!(edge.class, EdgeClass::Uncertain);
    assert!(edge.reason.contains("who began the connection was not seen"));
    // A port that only the other direction could have used makes it uncertain too.
    let back = "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: \
                40000, endPort: 50000}]}], egress: [{}]}";
    assert_eq!(judge(row, &[], &[back]).class, EdgeClass::Uncertain);
}

#[test]
fn a_service_without_a_known_backend_counts_only_if_all_backends_agree() {
    let mut cluster = cluster();
    cluster.services.push(Service {
        meta: Meta { namespace: "a".to_owned(), name: "s".to_owned(), ..Meta::default() },
        selector: Labels::from([("tier".to_owned(), "back".to_owned())]),
        ports: vec![ServicePort {
            name: String::new(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: PortRef::Name("http".to_owned()),
            node_port: None,
        }],
        ..Service::default()
    });
    for endpoint in &mut cluster.endpoints {
        if endpoint.namespace == "a" && endpoint.workload.name != "web" {
            endpoint.labels.insert("tier".to_owned(), "back".to_owned());
        }
    }
    let mut to_service = row(pod(&cluster, "web"), named(PartyKind::Service, "a", "s", "Service"));
    to_service.key_mut().port = 80;
    let both = "{podSelector: {matchLabels: {tier: back}}, policyTypes: [Ingress], ingress: \
                [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]}";
    let check = |proposed: &[&str], class| {
        let edge = judge_in(&cluster, to_service.clone(), &[], proposed);
        assert_eq!(edge.class, class, "{}", edge.reason);
    };
    check(&[DENY], EdgeClass::WouldBlock);
    check(&[both], EdgeClass::Unchanged);
    check(&[DENY, WEB_OUT, WEB_TO_DB], EdgeClass::Uncertain);
    to_service.key_mut().port = 81;
    let edge = judge_in(&cluster, to_service, &[], &[DENY]);
    assert_eq!(edge.class, EdgeClass::Uncertain);
}

/// The API server is such a Service: what its slices name stands behind it, each of them.
#[test]
fn a_service_without_a_selector_is_judged_by_the_addresses_behind_it() {
    let mut cluster = cluster();
    cluster.services.push(Service {
        meta: Meta { namespace: "a".to_owned(), name: "api".to_owned(), ..Meta::default() },
        ports: vec![ServicePort {
            name: "https".to_owned(),
            protocol: Protocol::Tcp,
            port: 443,
            target_port: PortRef::Number(6443),
            node_port: None,
        }],
        ..Service::default()
    });
    let mut to_service =
        row(pod(&cluster, "web"), named(PartyKind::Service, "a", "api", "Service"));
    to_service.key_mut().port = 443;
    let out = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: \
               [{to: [{ipBlock: {cidr: 192.0.2.0/30}}], ports: [{port: 6443}]}]}";
    let check = |cluster: &Cluster, class| {
        let edge = judge_in(cluster, to_service.clone(), &[], &[out]);
        assert_eq!(edge.class, class, "{}", edge.reason);
    };
    check(&cluster, EdgeClass::Uncertain);
    let behind = |last: u8| OutsideBackend {
        service_port: 443,
        protocol: Protocol::Tcp,
        address: IpAddr::from([192, 0, 2, last]),
        port: 6443,
    };
    let mut with = |backends: Vec<OutsideBackend>| {
        cluster.outside_backends = [("a".to_owned(), [("api".to_owned(), backends)].into())].into();
        cluster.clone()
    };
    check(&with(vec![behind(1), behind(2)]), EdgeClass::Unchanged);
    check(&with(vec![behind(1), behind(9)]), EdgeClass::Uncertain);
    check(&with(vec![behind(9)]), EdgeClass::WouldBlock);
}

#[test]
fn pods_of_one_workload_without_names_are_not_taken_for_one_pod() {
    let mut source = pod(&cluster(), "web");
    source.pod.clear();
    let mut destination = source.clone();
    destination.address = Some(IpAddr::from([10, 0, 0, 88]));
    assert_eq!(judge(row(source, destination), &[], &[DENY]).class, EdgeClass::WouldBlock);
    let same = pod(&cluster(), "web");
    assert_eq!(judge(row(same.clone(), same), &[], &[DENY]).class, EdgeClass::Unchanged);
}

#[test]
fn an_edge_gets_the_class_of_its_worst_pod_and_says_how_much_that_is() {
    let cluster = cluster();
    let mut former = pod(&cluster, "web");
    former.labels.clear();
    let rows = [web_to_db(), row(former, pod(&cluster, "db"))];
    let answer = replay(&cluster, &rows, &rules(&[]), &rules(&[WEB_TO_DB]));
    let [edge] = answer.report.edges.as_slice() else { panic!("one edge expected") };
    assert_eq!(edge.class, EdgeClass::WouldBlock);
    assert_eq!(edge.connections, 20);
    assert!(edge.reason.starts_with("10 of 20 connections: "), "{}", edge.reason);
    assert_eq!(edge.source, workload("a", "web").to_string());
}
