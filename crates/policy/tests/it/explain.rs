//! `policy explain`: what words mean, which witnesses are named, what denials lack.

use sekisho_model::Protocol;
use sekisho_policy::explain::{Answers, Question, TargetError, Why};

use crate::world::World;

const CLUSTER: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: a, labels: {app: web}}, spec: {containers: [{name: m}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: a, labels: {app: db}}, spec: {containers: [{name: m, ports: [{name: sql, containerPort: 5432}]}]}, status: {podIP: 10.0.0.9}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db-1, namespace: a, labels: {app: db}}, spec: {containers: [{name: m, ports: [{name: sql, containerPort: 5432}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: data, namespace: a}, spec: {clusterIP: 10.96.0.5, selector: {app: db}, ports: [{port: 80, targetPort: sql}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db, namespace: a}, spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}]}, {from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 198.51.100.0/24}}], ports: [{port: sql}]}]}}
";

const GUARD: &str = "
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: guard}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{name: next, action: Pass, from: [{namespaces: {}}]}]}}
";

fn ask(world: &World, from: &str, to: &str, port: Option<u16>) -> Result<Answers, TargetError> {
    Question { from, to, protocol: None, port }.answer(&world.rules, &world.cluster)
}

fn allows(world: &World, from: &str, to: &str, port: u16) -> bool {
    let answers = ask(world, from, to, Some(port)).unwrap();
    answers.explanations.iter().all(|one| one.allows_any())
}

#[test]
fn a_service_stands_for_its_pods_and_their_port() {
    let world = World::of(CLUSTER);
    for to in ["a/data", "service/a/data", "data.a.svc", "data.a.svc.cluster.local", "10.96.0.5"] {
        let answers = ask(&world, "a/web-0", to, Some(80)).unwrap();
        assert_eq!(answers.notes, ["Service a/data TCP 80 -> port sql of a/db-0, a/db-1"], "{to}");
        assert!(answers.explanations.iter().all(|one| one.allowed.contains(Protocol::Tcp, 5432)));
    }
    assert!(!allows(&world, "a/web-0", "a/db-0", 80));
    let wrong = ask(&world, "a/web-0", "a/data", Some(81)).unwrap_err();
    assert!(wrong.to_string().contains("it has TCP 80"), "{wrong}");
    assert!(matches!(ask(&world, "a/data", "a/db-0", None), Err(TargetError::ServiceAsSource(_))));
}

#[test]
fn external_is_every_range_that_policies_tell_apart() {
    let world = World::of(CLUSTER);
    let answers = ask(&world, "external", "a/db-0", Some(5432)).unwrap();
    let named: Vec<(&str, bool)> =
        answers.explanations.iter().map(|one| (one.source.as_str(), one.allows_any())).collect();
    assert_eq!(
        named,
        [
            (
                "0.0.0.0-198.51.99.255, 198.51.101.0-255.255.255.255, ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                false
            ),
            ("198.51.100.0-198.51.100.255", true)
        ]
    );
}

#[test]
fn nodes_addresses_and_names_are_ends_and_other_words_are_none() {
    let world = World::of(CLUSTER);
    assert!(!allows(&world, "node/n1", "a/db-0", 5432));
    assert!(allows(&world, "node/n1", "a/db-0", 1));
    assert!(allows(&world, "a/web-0", "10.0.0.9", 5432));
    assert!(allows(&world, "a/web-0", "example.com", 443));
    assert!(allows(&world, "a/web-0", "*.example.com", 443));
    for wrong in ["nope", "a/nope", "pod/a/nope", "", "a/b/c/d", "x..y"] {
        assert!(ask(&world, wrong, "a/db-0", None).is_err(), "{wrong}");
    }
}

#[test]
fn without_a_port_segments_cover_everything_and_the_text_is_aligned() {
    let world = World::of(CLUSTER);
    let answers = ask(&world, "a/web-0", "a/db-0", None).unwrap();
    let explanation = &answers.explanations[0];
    let all = explanation.ingress.segments.iter();
    let all = all.fold(sekisho_policy::PortSet::none(), |set, one| set.union(&one.ports));
    assert!(all.is_all());
    insta::assert_snapshot!(explanation.text(false));
}

#[test]
fn passes_are_named_on_the_way() {
    let world = World::of(&format!("{CLUSTER}{GUARD}"));
    let answers = ask(&world, "a/web-0", "a/db-0", Some(5432)).unwrap();
    let segment = &answers.explanations[0].ingress.segments[0];
    assert_eq!(segment.why, Why::Rule);
    let tiers: Vec<&str> = segment.witnesses.iter().map(|one| one.tier.as_str()).collect();
    assert_eq!(tiers, ["admin", "network_policy"]);
    assert!(answers.explanations[0].to_string().contains("passed on by ingress[0] `next`"));
}

#[test]
fn denials_name_first_what_lacks_the_least() {
    let world = World::of(CLUSTER);
    let answers = ask(&world, "node/n1", "a/db-0", Some(5432)).unwrap();
    let segment = &answers.explanations[0].ingress.segments[0];
    assert_eq!(segment.why, Why::NoRule);
    let lacks: Vec<(u32, bool, bool)> = segment
        .misses
        .iter()
        .map(|miss| (miss.rule, miss.peer_matches, miss.port_matches))
        .collect();
    assert_eq!(lacks, [(0, true, false), (1, false, true)]);
    let allowed = ask(&world, "a/web-0", "a/db-0", Some(5432)).unwrap();
    assert!(allowed.explanations[0].ingress.segments[0].misses.is_empty());
}

#[test]
fn json_has_the_documented_fields() {
    let world = World::of(CLUSTER);
    let answers = ask(&world, "a/web-0", "a/db-0", Some(5432)).unwrap();
    let json = serde_json::to_string_pretty(&answers.explanations[0].json()).unwrap();
    insta::assert_snapshot!(json);
}
