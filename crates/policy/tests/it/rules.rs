//! Traps 11-20: what rules and policies add up to.

use crate::world::{World, policy_named};

// 11
#[test]
fn no_ingress_rules_deny_all_and_one_empty_rule_allows_all() {
    for none in ["{podSelector: {}, ingress: []}", "{podSelector: {}, policyTypes: [Ingress]}"] {
        World::policy(none).denies(&["a/db a/web 80", "203.0.113.1 a/web 80"]);
    }
    for all in ["{podSelector: {}, ingress: [{}]}", "{podSelector: {}, ingress: [null]}"] {
        World::policy(all).allows(&["a/db a/web 80", "203.0.113.1 a/web UDP 1", "b/web a/web 80"]);
    }
}

// 12
#[test]
fn no_peers_are_any_peer_even_outside_and_all_namespaces_are_pods_only() {
    for any in ["{from: []}", "{ports: []}", "{from: null}"] {
        World::policy(&format!("{{podSelector: {{}}, ingress: [{any}]}}")).allows(&[
            "b/web a/web 80",
            "203.0.113.1 a/web 80",
            "node:n2@192.0.2.2 a/web 80",
        ]);
    }
    World::policy("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}")
        .allows(&["b/web a/web 80", "c/web a/web 80"])
        .denies(&["203.0.113.1 a/web 80", "node:n2@192.0.2.2 a/web 80"]);
}

// 13
#[test]
fn no_ports_are_all_ports_of_all_protocols() {
    for ports in ["", ", ports: []"] {
        World::policy(&format!(
            "{{podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {{}}}}]{ports}}}]}}"
        ))
        .allows(&["b/web a/web 1", "b/web a/web UDP 65535", "b/web a/web SCTP 7"])
        .allows(&["b/web a/web ICMP 0"])
        .denies(&["203.0.113.1 a/web 1"]);
    }
}

// 14
#[test]
fn a_port_without_a_number_is_all_ports_of_its_protocol() {
    World::policy("{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}")
        .allows(&["b/web a/web UDP 1", "b/web a/web UDP 65535"])
        .denies(&["b/web a/web 1", "b/web a/web ICMP 0"]);
}

// 15
#[test]
fn the_protocol_of_a_port_is_tcp_if_left_out() {
    World::policy("{podSelector: {}, ingress: [{ports: [{port: 53}]}]}")
        .allows(&["b/web a/web TCP 53"])
        .denies(&["b/web a/web UDP 53"]);
}

// 16
#[test]
fn policy_types_default_to_ingress_and_to_egress_only_with_egress_rules() {
    World::policy("{podSelector: {}, egress: []}")
        .denies(&["b/web a/web 80"])
        .allows(&["a/web b/web 80"]);
    World::policy("{podSelector: {}, egress: [{ports: [{port: 53}]}]}")
        .denies(&["b/web a/web 80", "a/web b/web 80"])
        .allows(&["a/web b/web 53"]);
    World::policy("{podSelector: {}, policyTypes: []}")
        .denies(&["b/web a/web 80"])
        .allows(&["a/web b/web 80"]);
}

// 16
#[test]
fn egress_as_the_only_type_does_not_isolate_ingress_even_with_ingress_rules() {
    World::policy("{podSelector: {}, policyTypes: [Egress], ingress: [{ports: [{port: 1}]}]}")
        .allows(&["b/web a/web 80"])
        .denies(&["a/web b/web 80"]);
    World::policy("{podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 1}]}]}")
        .allows(&["a/web b/web 80"])
        .denies(&["b/web a/web 80"]);
}

// 17
#[test]
fn policies_add_up_and_none_takes_away() {
    let deny = || policy_named("a", "deny", "{podSelector: {}}");
    let web = || policy_named("a", "web", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}");
    let dns = || policy_named("a", "dns", "{podSelector: {}, ingress: [{ports: [{port: 53}]}]}");
    for order in [[deny(), web(), dns()], [dns(), web(), deny()], [web(), deny(), dns()]] {
        World::with(&order)
            .allows(&["b/web a/web 80", "b/web a/web 53"])
            .denies(&["b/web a/web 81"]);
    }
}

// 18
#[test]
fn both_sides_must_allow() {
    let out = || {
        policy_named(
            "b",
            "out",
            "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}",
        )
    };
    let into = |port: u16| {
        policy_named(
            "a",
            "in",
            &format!("{{podSelector: {{}}, ingress: [{{ports: [{{port: {port}}}]}}]}}"),
        )
    };
    World::with(&[out(), into(80)]).allows(&["b/web a/web 80"]).denies(&["b/web a/web 81"]);
    let world = World::with(&[out(), into(81)]);
    world.denies(&["b/web a/web 80", "b/web a/web 81"]);
    let decision = world.decide("b/web a/web 80");
    assert!(decision.egress.allows() && !decision.ingress.allows());
    let decision = world.decide("b/web a/web 81");
    assert!(!decision.egress.allows() && decision.ingress.allows());
}

// 19
#[test]
fn isolation_is_per_pod_and_per_direction() {
    World::policy("{podSelector: {matchLabels: {app: db}}}").denies(&["b/web a/db 80"]).allows(&[
        "b/web a/web 80",
        "a/db b/web 80",
        "a/db a/web 80",
    ]);
}

// 20
#[test]
fn policies_of_one_name_in_two_namespaces_are_two_and_in_one_namespace_the_later_wins() {
    World::with(&[
        policy_named("a", "p", "{podSelector: {}}"),
        policy_named("b", "p", "{podSelector: {}}"),
    ])
    .denies(&["c/web a/web 80", "c/web b/web 80"]);
    World::with(&[
        policy_named("a", "p", "{podSelector: {}}"),
        policy_named("a", "p", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"),
    ])
    .allows(&["c/web a/web 80"])
    .denies(&["c/web a/web 81"]);
}
