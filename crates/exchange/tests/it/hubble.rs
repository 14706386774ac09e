//! Hubble's JSON.

use sekisho_exchange::Format;
use sekisho_model::{Direction, PartyKind};

use crate::support::{edges, import};

/// A line around a flow whose verdict, direction and the rest are given.
fn line(verdict: &str, reply: &str, rest: &str) -> String {
    let (from, to) = match reply {
        "true" => (DB, CART),
        _ => (CART, DB),
    };
    let ports = match reply {
        "true" => r#""source_port":5432,"destination_port":40112"#,
        _ => r#""source_port":40112,"destination_port":5432"#,
    };
    let ips = match reply {
        "true" => r#""source":"10.0.2.7","destination":"10.0.1.5""#,
        _ => r#""source":"10.0.1.5","destination":"10.0.2.7""#,
    };
    format!(
        r#"{{"flow":{{"time":"2023-11-14T22:13:20.123456789Z","verdict":"{verdict}","IP":{{{ips},"ipVersion":"IPv4"}},"l4":{{"TCP":{{{ports},"flags":{{"ACK":true}}}}}},"source":{from},"destination":{to},"Type":"L3_L4","node_name":"default/node-1","event_type":{{"type":4,"sub_type":3}},"is_reply":{reply}{rest}}},"node_name":"default/node-1","time":"2023-11-14T22:13:20.123456789Z"}}"#
    )
}

const CART: &str = r#"{"ID":12,"identity":3001,"namespace":"shop","labels":["k8s:app=cart","k8s:io.cilium.k8s.policy.cluster=default","k8s:io.kubernetes.pod.namespace=shop"],"pod_name":"cart-6f9c-x1","workloads":[{"name":"cart","kind":"Deployment"}]}"#;
const DB: &str = r#"{"ID":13,"identity":3002,"namespace":"shop","labels":["k8s:app=db"],"pod_name":"db-1","workloads":[{"name":"db","kind":"StatefulSet"}]}"#;

#[test]
fn packets_of_one_connection_at_both_ends_are_one_connection() {
    let egress = line("FORWARDED", "false", r#","traffic_direction":"EGRESS""#);
    let ingress = line("FORWARDED", "false", r#","traffic_direction":"INGRESS""#);
    let reply = line("FORWARDED", "true", r#","traffic_direction":"INGRESS""#);
    let all = import(Format::Hubble, &[egress, ingress, reply].join("\n"));
    assert_eq!(edges(&all.flows), ["shop/cart[Deployment] -> shop/db[StatefulSet]:5432 allowed"]);
    assert_eq!((all.tally.records, all.tally.connections), (3, 1));
    let reporters = all
        .flows
        .iter()
        .map(|flow| (flow.stats.reporters.source, flow.stats.reporters.destination));
    assert_eq!(reporters.collect::<Vec<_>>(), [(true, false), (false, true), (false, true)]);
}

#[test]
fn labels_are_those_of_the_pod_and_not_those_that_cilium_adds() {
    let all = import(Format::Hubble, &line("FORWARDED", "false", ""));
    let labels = &all.flows[0].key.source.labels;
    assert_eq!(labels.iter().collect::<Vec<_>>(), [(&"app".to_owned(), &"cart".to_owned())]);
    assert_eq!(all.flows[0].key.source.pod, "cart-6f9c-x1");
}

#[test]
fn a_drop_by_policy_is_denied_by_it_and_another_drop_is_not() {
    let by_policy = line(
        "DROPPED",
        "false",
        r#","drop_reason_desc":"POLICY_DENIED","traffic_direction":"INGRESS","ingress_denied_by":[{"name":"db-only","namespace":"shop","kind":"CiliumNetworkPolicy"}]"#,
    );
    let other = line("DROPPED", "false", r#","drop_reason_desc":"CT_MAP_INSERTION_FAILED""#);
    let denied = import(Format::Hubble, &by_policy);
    assert_eq!(edges(&denied.flows), ["shop/cart[Deployment] -> shop/db[StatefulSet]:5432 denied"]);
    let by = denied.flows[0].key.decided_by.as_ref().unwrap();
    assert_eq!((by.policy.as_str(), by.direction), ("shop/db-only", Direction::Ingress));
    let unknown = import(Format::Hubble, &other);
    assert_eq!(
        edges(&unknown.flows),
        ["shop/cart[Deployment] -> shop/db[StatefulSet]:5432 unknown"]
    );
}

#[test]
fn audit_is_would_deny_and_forwarded_is_not() {
    let audit = import(Format::Hubble, &line("AUDIT", "false", ""));
    assert_eq!(
        edges(&audit.flows),
        ["shop/cart[Deployment] -> shop/db[StatefulSet]:5432 would_deny"]
    );
    let forwarded = import(Format::Hubble, &line("FORWARDED", "false", ""));
    assert_eq!(
        edges(&forwarded.flows),
        ["shop/cart[Deployment] -> shop/db[StatefulSet]:5432 allowed"]
    );
}

#[test]
fn who_began_is_guessed_only_if_nothing_tells_it() {
    let guessed = import(Format::Hubble, &line("FORWARDED", "null", ""));
    assert_eq!(
        edges(&guessed.flows),
        ["shop/cart[Deployment] -> shop/db[StatefulSet]:5432 allowed ?"]
    );
    let syn = line("FORWARDED", "null", "").replace(r#""ACK":true"#, r#""SYN":true"#);
    let told = import(Format::Hubble, &syn);
    assert_eq!(edges(&told.flows), ["shop/cart[Deployment] -> shop/db[StatefulSet]:5432 allowed"]);
}

#[test]
fn the_world_has_its_dns_name_and_a_node_its_own() {
    let world = line("FORWARDED", "false", r#","destination_names":["api.payments.example."]"#)
        .replace(DB, r#"{"identity":2,"labels":["reserved:world"]}"#)
        .replace("10.0.2.7", "203.0.113.9");
    let all = import(Format::Hubble, &world);
    assert_eq!(
        edges(&all.flows),
        ["shop/cart[Deployment] -> api.payments.example[External]:5432 allowed"]
    );
    let host = line("FORWARDED", "false", "")
        .replace(CART, r#"{"identity":1,"labels":["reserved:host"]}"#)
        .replace("10.0.1.5", "10.0.0.1");
    let all = import(Format::Hubble, &host);
    assert_eq!(edges(&all.flows), ["node-1[Node] -> shop/db[StatefulSet]:5432 allowed"]);
    assert_eq!(all.flows[0].key.source.kind, PartyKind::Node);
}

#[test]
fn a_flow_without_identities_asks_the_inventory() {
    let bare = line("FORWARDED", "false", "").replace(CART, "{}").replace(DB, "{}");
    let all = import(Format::Hubble, &bare);
    assert_eq!(edges(&all.flows), ["shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed"]);
}

#[test]
fn lost_events_are_a_loss_and_node_states_are_nothing() {
    let lost = r#"{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"7"},"node_name":"node-1","time":"2023-11-14T22:13:21Z"}"#;
    let state = r#"{"node_status":{"state_change":"NODE_CONNECTED"},"node_name":"node-1"}"#;
    let text = [line("FORWARDED", "false", "").as_str(), lost, state].join("\n");
    let all = import(Format::Hubble, &text);
    assert_eq!((all.tally.lost, all.tally.rejected_sum()), (7, 0));
    assert_eq!(all.tally.skipped.values().sum::<u64>(), 1);
    let (produced, dropped) =
        all.losses.iter().fold((0, 0), |sum, loss| (sum.0 + loss.produced, sum.1 + loss.dropped));
    assert_eq!((produced, dropped), (8, 7));
}

#[test]
fn a_flow_without_its_frame_and_with_camel_case_names_is_read() {
    let framed = line("FORWARDED", "false", r#","traffic_direction":"EGRESS""#);
    let bare = framed.strip_prefix(r#"{"flow":"#).unwrap();
    let bare = bare.split(r#","node_name":"default/node-1","time""#).next().unwrap();
    let camel = framed
        .replace("source_port", "sourcePort")
        .replace("destination_port", "destinationPort")
        .replace("pod_name", "podName")
        .replace("is_reply", "isReply")
        .replace("node_name", "nodeName")
        .replace("event_type", "eventType")
        .replace("traffic_direction", "trafficDirection");
    let expected = import(Format::Hubble, &framed).flows;
    assert_eq!(import(Format::Hubble, bare).flows, expected);
    assert_eq!(import(Format::Hubble, &camel).flows, expected);
}

#[test]
fn what_is_wrong_is_counted_by_reason_with_the_first_line() {
    let good = line("FORWARDED", "false", "");
    let text = [
        good.as_str(),
        "not json",
        &good.replace("FORWARDED", "MAYBE"),
        &good.replace("10.0.1.5", "ten"),
        &good.replace("MAYBE", "x").replace("FORWARDED", "PERHAPS"),
        r#"{"something":1}"#,
    ]
    .join("\n");
    let all = import(Format::Hubble, &text);
    assert_eq!((all.tally.records, all.tally.rejected_sum()), (1, 5));
    let verdict = &all.tally.rejected["verdict: not one of Hubble's"];
    assert_eq!((verdict.count, verdict.line), (2, 3));
    assert!(all.tally.rejected.contains_key("IP.source: no IP address"));
    let lost: u64 = all.losses.iter().map(|loss| loss.dropped).sum();
    assert_eq!(lost, 5, "what could not be read is missing");
}
