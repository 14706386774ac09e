//! What a rule changes: against a naive judge that takes the rule out of the policy and asks about
//! every pair of ends and every port, before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_manifest::NetworkPolicy;
use sekisho_model::Direction;
use sekisho_policy::ir::{Policy, Rulebook};
use sekisho_policy::{
    Cluster, Connection, Dialect, Effect, Endpoint, Peer, RuleId, RuleSet, effects,
};

use crate::properties::{cluster, ends, policy};
use crate::reference::PROTOCOLS;
use crate::tier_properties::objects;
use crate::world::{World, policy_named};

/// Ends outside, some in ranges that the policies of the properties name.
const OUTSIDE: [&str; 13] = [
    "10.0.0.0",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.5",
    "10.0.0.6",
    "fd00::",
    "192.0.2.77",
    "203.0.113.1",
    "203.0.113.200",
    "198.51.100.1",
    "fd00::4",
    "2001:db8::1",
];

/// Names outside, some of which the tiers of the properties name.
const NAMES: [&str; 5] =
    ["example.com", "www.example.com", "a.b.example.com", "x.com.org", "example.net"];

/// The book without one rule.
fn without(book: &Rulebook, gone: &RuleId) -> Rulebook {
    let mut book = book.clone();
    let strip = |policy: &mut Policy, way: Direction| {
        let copy = policy.clone();
        let side = match way {
            Direction::Ingress => &mut policy.ingress,
            Direction::Egress => &mut policy.egress,
        };
        if let Some(side) = side {
            side.rules.retain(|rule| RuleId::of(&copy, way, rule) != *gone);
        }
    };
    for policy in book.tiers.iter_mut().flat_map(|tier| &mut tier.policies) {
        strip(policy, Direction::Ingress);
        strip(policy, Direction::Egress);
    }
    book
}

/// Whether any connection of `subject` with `other` is decided otherwise without the rule.
fn differs(
    (book, fewer): (&Rulebook, &Rulebook),
    cluster: &Cluster,
    (way, subject): (Direction, &Endpoint),
    (other, address): (Peer<'_>, Option<IpAddr>),
) -> bool {
    let own = subject.addresses.iter();
    let own = own.copied().find(|own| address.is_none_or(|one| one.is_ipv4() == own.is_ipv4()));
    if own.is_none() && !subject.addresses.is_empty() {
        return false;
    }
    let subject = Peer::Endpoint(subject);
    let (source, destination, source_address, destination_address) = match way {
        Direction::Ingress => (other, subject, address, own),
        Direction::Egress => (subject, other, own, address),
    };
    // All ports that rules name, and one that only whole protocols have.
    PROTOCOLS.iter().any(|protocol| {
        (78..=88).chain([1, 7, 443, 444, 65534, 65535]).any(|port| {
            let connection = Connection {
                source,
                destination,
                source_address,
                destination_address,
                protocol: *protocol,
                port,
            };
            let allows = |book: &Rulebook| {
                let decision = book.decide(cluster, &connection);
                match way {
                    Direction::Ingress => decision.ingress.allows(),
                    Direction::Egress => decision.egress.allows(),
                }
            };
            allows(book) != allows(fewer)
        })
    })
}

fn naive(rules: &RuleSet, cluster: &Cluster, rule: &RuleId) -> bool {
    let book = rules.rulebook();
    let fewer = without(book, rule);
    let subjects = cluster.endpoints.iter().filter(|one| !one.host_network);
    let mut found = false;
    for subject in subjects {
        let mut asked = |other: Peer<'_>, address: Option<IpAddr>| {
            found |= differs((book, &fewer), cluster, (rule.direction, subject), (other, address));
        };
        for (other, address) in ends(cluster) {
            match other {
                // Another pod like it, where it meets itself.
                Peer::Endpoint(one) if one.is(subject) => {
                    let like = Endpoint { name: format!("{}-like", one.name), ..one.clone() };
                    asked(Peer::Endpoint(&like), address);
                }
                Peer::Endpoint(_) | Peer::Node { .. } | Peer::Address(_) | Peer::Domain(_) => {
                    asked(other, address);
                }
            }
        }
        for name in NAMES {
            asked(Peer::Domain(name), None);
        }
        for address in OUTSIDE {
            let address: IpAddr = address.parse().unwrap();
            asked(Peer::Address(address), Some(address));
        }
    }
    found
}

fn check(rules: &RuleSet, cluster: &Cluster) -> Result<(), TestCaseError> {
    let found = effects(rules, cluster).unwrap();
    let all = rules.rulebook().rules();
    let all = all.map(|(policy, way, rule)| RuleId::of(policy, way, rule));
    prop_assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), all.collect());
    for (rule, effect) in &found {
        let is_needed = *effect == Effect::Needed;
        prop_assert_eq!(is_needed, naive(rules, cluster, rule), "{} {:?}", rule, effect);
        if let Effect::Shadowed(shadow) = effect {
            prop_assert!(!shadow.by.contains(rule), "{}", rule);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_is_needed_just_where_a_connection_is_decided_otherwise_without_it(
        policies in vec(policy(), 1..5), cluster in cluster()
    ) {
        check(&RuleSet::new(policies), &cluster)?;
    }

    #[test]
    fn the_same_holds_where_tiers_deny_and_pass(objects in objects()) {
        let text: Vec<String> = objects.iter().map(ToString::to_string).collect();
        let read = sekisho_manifest::read("random.yaml", &text.join("\n---\n")).objects;
        let rules = RuleSet::from_objects(&read, Dialect::Spec);
        check(&rules, &Cluster::from_objects(&read))?;
    }

    #[test]
    fn a_rule_said_twice_is_shadowed_by_its_twin(
        policies in vec(policy(), 1..4), cluster in cluster()
    ) {
        let twice = |policy: NetworkPolicy| NetworkPolicy {
            ingress: [policy.ingress.clone(), policy.ingress].concat(),
            egress: [policy.egress.clone(), policy.egress].concat(),
            ..policy
        };
        let rules = RuleSet::new(policies.into_iter().map(twice));
        for (rule, effect) in effects(&rules, &cluster).unwrap() {
            prop_assert_ne!(effect, Effect::Needed, "{}", rule);
        }
    }
}

fn told(world: &World) -> BTreeMap<String, Effect> {
    let all = effects(&world.rules, &world.cluster).unwrap();
    all.into_iter().map(|(rule, effect)| (rule.to_string(), effect)).collect()
}

#[test]
fn each_effect_is_told_with_who_stands_before_it() {
    let narrow = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: \
                  {matchLabels: {app: web}}}], ports: [{port: 9090}]}, {from: [{podSelector: \
                  {matchLabels: {app: gone}}}]}]}";
    let wide = "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}";
    let nobody = "{podSelector: {matchLabels: {app: gone}}, ingress: [{}]}";
    let world = World::with(&[
        policy_named("a", "narrow", narrow),
        policy_named("a", "wide", wide),
        policy_named("a", "nobody", nobody),
    ]);
    let told = told(&world);
    let Effect::Shadowed(shadow) = &told["a/narrow ingress[0]"] else { panic!("{told:?}") };
    let by: Vec<String> = shadow.by.iter().map(ToString::to_string).collect();
    assert_eq!((by, shadow.always), (vec!["a/wide ingress[0]".to_owned()], true));
    assert_eq!(told["a/narrow ingress[1]"], Effect::MatchesNothing);
    assert_eq!(told["a/wide ingress[0]"], Effect::Needed, "web may still come");
    assert_eq!(told["a/nobody ingress[0]"], Effect::SelectsNothing);
}

#[test]
fn what_two_allow_together_is_shadowed_by_both_and_only_for_now() {
    let policy = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: \
                  {matchLabels: {app: web}}}]}, {from: [{podSelector: {matchLabels: {app: db}}}]}, \
                  {from: [{podSelector: {}}]}]}";
    let told = told(&World::with(&[policy_named("a", "p", policy)]));
    let Effect::Shadowed(shadow) = &told["a/p ingress[2]"] else { panic!("{told:?}") };
    let by: Vec<String> = shadow.by.iter().map(ToString::to_string).collect();
    assert_eq!(by, ["a/p ingress[0]", "a/p ingress[1]"]);
    assert!(!shadow.always, "a pod of another app would be let in by this one alone");
}

#[test]
fn a_rule_behind_a_denial_of_a_tier_before_is_shadowed_by_it() {
    let deny = "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: \
                {name: deny}, spec: {priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, \
                from: [{namespaces: {}}]}]}}\n";
    let allow = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}, {from: \
                 [{ipBlock: {cidr: 203.0.113.0/24}}]}]}";
    let told = told(&World::with(&[deny.to_owned(), policy_named("a", "p", allow)]));
    let Effect::Shadowed(shadow) = &told["a/p ingress[0]"] else { panic!("{told:?}") };
    let by: Vec<String> = shadow.by.iter().map(ToString::to_string).collect();
    assert_eq!((by, shadow.always), (vec!["deny ingress[0]".to_owned()], false));
    assert_eq!(told["a/p ingress[1]"], Effect::Needed, "the denial is about pods");
    assert_eq!(told["deny ingress[0]"], Effect::Needed);
}

#[test]
fn rules_are_told_in_words() {
    let spec = "{podSelector: {}, ingress: [{}, {from: [{podSelector: {matchLabels: {app: web}}}, \
                {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80}, {port: http}, \
                {port: 8000, endPort: 9000, protocol: UDP}]}]}";
    let world = World::policy(spec);
    let words: Vec<String> =
        world.rules.rulebook().rules().map(|(_, _, rule)| rule.words()).collect();
    assert_eq!(
        words,
        [
            "anybody: all ports",
            "app=web in namespace a, 10.0.0.0/8 but 10.1.0.0/16: TCP 80, TCP http, UDP 8000-9000"
        ]
    );
}
