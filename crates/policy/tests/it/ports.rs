//! Traps 21-27: what ports match.

use crate::world::{World, errors, policy};

// 21
#[test]
fn a_named_port_is_resolved_on_the_destination_of_each_connection() {
    World::policy("{podSelector: {}, ingress: [{ports: [{port: http}]}]}")
        .allows(&["b/web a/web 8080", "b/web a/db 9090"])
        .denies(&["b/web a/web 9090", "b/web a/db 8080", "b/web a/web UDP 8080"]);
    World::policy(
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: http}]}]}",
    )
    // 8080 is what the source calls http; the destination calls 9090 so.
    .allows(&["a/web a/db 9090"])
    .denies(&["a/web a/db 8080"]);
}

// 21
#[test]
fn the_protocol_of_a_named_port_must_match_too() {
    World::policy("{podSelector: {}, ingress: [{ports: [{port: dns, protocol: UDP}]}]}")
        .allows(&["b/web a/web UDP 53"])
        .denies(&["b/web a/web TCP 53"]);
    World::policy("{podSelector: {}, ingress: [{ports: [{port: dns}]}]}")
        .denies(&["b/web a/web UDP 53", "b/web a/web TCP 53"]);
}

// 21
#[test]
fn a_name_that_the_destination_does_not_have_matches_nothing() {
    World::policy("{podSelector: {}, ingress: [{ports: [{port: metrics}, {port: 80}]}]}")
        .allows(&["b/web a/web 80"])
        .denies(&["b/web a/web 8080", "b/web a/web 0"]);
}

// 21
#[test]
fn ports_of_all_containers_and_sidecars_count_and_of_init_containers_do_not() {
    let pod = "apiVersion: v1
kind: Pod
metadata: {name: many, namespace: a, labels: {app: many}}
spec:
  containers:
    - {name: one, ports: [{name: web, containerPort: 81}]}
    - {name: two, ports: [{name: web, containerPort: 82}]}
  initContainers:
    - {name: side, restartPolicy: Always, ports: [{name: web, containerPort: 83}]}
    - {name: init, ports: [{name: web, containerPort: 84}]}
status: {podIP: 10.0.0.9}
";
    World::with(&[pod.to_owned(), policy("{podSelector: {}, ingress: [{ports: [{port: web}]}]}")])
        .allows(&["b/web a/many 81", "b/web a/many 82", "b/web a/many 83"])
        .denies(&["b/web a/many 84"]);
}

// 22
#[test]
fn a_named_port_never_matches_an_address_outside() {
    World::policy(
        "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}, {port: 443}]}]}",
    )
    .allows(&["a/web 203.0.113.1 443"])
    .denies(&["a/web 203.0.113.1 8080", "a/web 203.0.113.1 80"]);
}

// 22, towards the subject: the name is the subject's own.
#[test]
fn a_named_port_with_a_range_of_sources_resolves_on_the_subject() {
    World::policy(
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: http}]}]}",
    )
    .allows(&["203.0.113.1 a/web 8080"])
    .denies(&["203.0.113.1 a/web 9090", "198.51.100.1 a/web 8080"]);
}

// 23
#[test]
fn a_range_of_ports_holds_both_its_ends() {
    World::policy("{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}]}]}")
        .allows(&["b/web a/web 80", "b/web a/web 85", "b/web a/web 90"])
        .denies(&["b/web a/web 79", "b/web a/web 91", "b/web a/web UDP 85"]);
    World::policy("{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 80}]}]}")
        .allows(&["b/web a/web 80"])
        .denies(&["b/web a/web 81"]);
}

// 23
#[test]
fn a_range_that_ends_below_its_start_or_starts_at_a_name_is_refused() {
    let port = |port: &str| errors(&policy(&format!("{{ingress: [{{ports: [{port}]}}]}}")));
    assert!(port("{port: 80, endPort: 79}").contains("must not be below port 80"));
    assert!(port("{port: http, endPort: 90}").contains("named port `http`"));
    assert!(port("{endPort: 90}").contains("needs `port`"));
}

// 24
#[test]
fn policy_sees_the_port_of_the_pod_and_not_of_the_service() {
    let service = "apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
";
    let world = World::with(&[
        service.to_owned(),
        policy("{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"),
    ]);
    world.denies(&["b/web a/web 8080"]).allows(&["b/web a/web 80"]);
}

// 24
#[test]
fn a_rule_for_pods_does_not_reach_the_address_of_their_service() {
    World::policy(
        "{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}",
    )
    .allows(&["a/db a/web 80"])
    .denies(&["a/db 10.96.0.1 80"]);
}

// 25
#[test]
fn a_host_port_is_no_port_of_policy() {
    let pod = "apiVersion: v1
kind: Pod
metadata: {name: hp, namespace: a}
spec: {containers: [{name: m, ports: [{name: hp, containerPort: 8080, hostPort: 80}]}]}
status: {podIP: 10.0.0.8}
";
    World::with(&[pod.to_owned(), policy("{podSelector: {}, ingress: [{ports: [{port: hp}]}]}")])
        .allows(&["b/web a/hp 8080"])
        .denies(&["b/web a/hp 80"]);
}

// 26
#[test]
fn sctp_ports_are_their_own_and_icmp_needs_a_rule_without_ports() {
    World::policy("{podSelector: {}, ingress: [{ports: [{port: 80, protocol: SCTP}]}]}")
        .allows(&["b/web a/web SCTP 80"])
        .denies(&["b/web a/web TCP 80", "b/web a/web UDP 80", "b/web a/web ICMP 0"]);
    World::policy("{podSelector: {}, ingress: [{}]}").allows(&["b/web a/web ICMP 0"]);
}

// 27
#[test]
fn the_edges_of_the_port_space_are_exact_and_port_zero_is_refused() {
    World::policy("{podSelector: {}, ingress: [{ports: [{port: 1}, {port: 65535}]}]}")
        .allows(&["b/web a/web 1", "b/web a/web 65535"])
        .denies(&["b/web a/web 0", "b/web a/web 2", "b/web a/web 65534"]);
    World::policy("{podSelector: {}, ingress: [{ports: [{port: 1, endPort: 65535}]}]}")
        .allows(&["b/web a/web 1", "b/web a/web 65535"])
        .denies(&["b/web a/web UDP 1"]);
    let port =
        |port: &str| errors(&policy(&format!("{{ingress: [{{ports: [{{port: {port}}}]}}]}}")));
    assert!(port("0").contains("must be from 1 to 65535, found 0"));
    assert!(port("65536").contains("must be from 1 to 65535, found 65536"));
}
