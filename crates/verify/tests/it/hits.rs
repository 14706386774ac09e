//! Hits of rules: told ones, and all against a naive count row by row and rule by rule.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sekisho_manifest::{NetworkPolicy, Object, PolicyRule};
use sekisho_model::{Direction, EdgeDay, Party, PartyKind, Verdict};
use sekisho_policy::{Cluster, Connection, Endpoint, Peer, RuleId, RuleSet};
use sekisho_verify::{Hit, Hits, HitsRequest, Word, hits};

use crate::property::{histories, policies, tiers};
use crate::world::{DENY, WEB_TO_DB, cluster, named, pod, row, rules};

fn ask(history: &[EdgeDay], enforced: &RuleSet, staged: &RuleSet) -> Hits {
    hits(&HitsRequest { enforced, staged, cluster: &cluster(), history })
}

fn of<'h>(hits: &'h Hits, rule: &str) -> &'h Hit {
    let found = hits.enforced.words.iter().find(|(word, _)| match word {
        Word::Rule(id) => id.to_string() == rule,
        Word::Isolation(policy, way) => format!("{policy} {way}") == rule,
    });
    found.unwrap_or_else(|| panic!("{rule} in {hits:#?}")).1
}

#[test]
fn a_rule_is_hit_by_what_it_lets_through_and_isolation_by_the_rest() {
    let cluster = cluster();
    let history = [
        row(pod(&cluster, "web"), pod(&cluster, "db")),
        row(pod(&cluster, "other"), pod(&cluster, "db")),
    ];
    let hits = ask(&history, &rules(&[WEB_TO_DB]), &RuleSet::default());
    let rule = of(&hits, "a/p0 ingress[0]");
    assert_eq!((rule.connections, rule.alone, rule.uncertain), (10, 10, 0));
    let (edge, (connections, _)) = rule.edges.iter().next().unwrap();
    assert_eq!((edge.source.as_str(), *connections), ("a/web[Deployment]", 10));
    assert_eq!(rule.edges.len(), 1);
    let isolation = of(&hits, "a/p0 ingress");
    assert_eq!((isolation.connections, isolation.edges.len()), (10, 1));
    assert_eq!(isolation.edges.keys().next().unwrap().source, "a/other[Deployment]");
    let edges: Vec<_> =
        hits.enforced.edges.values().map(|edge| (edge.allowed, edge.denied)).collect();
    assert_eq!(edges, [(0, 10), (10, 0)]);
    assert!(hits.enforced.edges.values().all(|edge| edge.covered == 10));
    assert!(hits.staged.edges.values().all(|edge| edge.covered == 0 && edge.allowed == 10));
}

#[test]
fn two_rules_that_allow_the_same_are_both_hit_and_neither_alone() {
    let cluster = cluster();
    let history = [row(pod(&cluster, "web"), pod(&cluster, "db"))];
    let hits = ask(&history, &rules(&[WEB_TO_DB, WEB_TO_DB, DENY]), &RuleSet::default());
    for rule in ["a/p0 ingress[0]", "a/p1 ingress[0]"] {
        let hit = of(&hits, rule);
        assert_eq!((hit.connections, hit.alone), (10, 0), "{rule}");
    }
    assert!(of(&hits, "a/p2 ingress").is_unused(), "a rule allowed it");
    assert_eq!(of(&hits, "a/p2 egress").connections, 10, "web is let out by nobody");
}

#[test]
fn a_rule_that_nothing_asked_for_is_told_as_unused() {
    let cluster = cluster();
    let history = [row(pod(&cluster, "client"), pod(&cluster, "other"))];
    let hits = ask(&history, &rules(&[WEB_TO_DB]), &RuleSet::default());
    assert!(of(&hits, "a/p0 ingress[0]").is_unused());
    assert_eq!(of(&hits, "a/p0 ingress[0]").seen, None);
    assert_eq!(hits.enforced.edges.values().map(|edge| edge.covered).sum::<u64>(), 0);
}

#[test]
fn what_can_be_read_in_two_ways_makes_a_rule_uncertain_and_not_unused() {
    // The pod is gone, and nobody knows whether its port 8080 was the one named http.
    let mut gone = pod(&cluster(), "db");
    gone.pod = "db-gone".to_owned();
    gone.workload.name = "db-gone".to_owned();
    let history = [row(pod(&cluster(), "web"), gone)];
    let hits = ask(&history, &rules(&[WEB_TO_DB]), &RuleSet::default());
    let rule = of(&hits, "a/p0 ingress[0]");
    assert_eq!((rule.connections, rule.uncertain, rule.is_unused()), (0, 10, false));
    let edge = hits.enforced.edges.values().next().unwrap();
    assert_eq!((edge.allowed, edge.denied), (0, 0), "nobody knows");
}

#[test]
fn an_end_that_nobody_knows_hits_nothing_and_is_not_covered() {
    let nobody = named(PartyKind::Unknown, "", "10.0.9.9", "Unknown");
    let history = [row(nobody, pod(&cluster(), "db"))];
    let hits = ask(&history, &rules(&[DENY]), &RuleSet::default());
    assert!(of(&hits, "a/p0 ingress").is_unused());
    let edge = hits.enforced.edges.values().next().unwrap();
    assert_eq!((edge.connections, edge.covered, edge.allowed, edge.denied), (10, 0, 0, 0));
}

/// Straight from the cluster with the labels of its time.
fn allows(rules: &RuleSet, cluster: &Cluster, row: &EdgeDay, way: Direction) -> bool {
    let endpoint = |party: &Party| -> Option<Endpoint> {
        let endpoint = cluster.endpoints.iter().find(|endpoint| endpoint.name == party.pod)?;
        Some(Endpoint { labels: party.labels.clone(), ..endpoint.clone() })
    };
    let (source, destination) = (&row.key.source, &row.key.destination);
    let (from, to) = (endpoint(source), endpoint(destination));
    let address = |party: &Party| Peer::Address(party.address.unwrap());
    let decision = rules.decide(
        cluster,
        &Connection {
            source: from.as_ref().map_or_else(|| address(source), Peer::Endpoint),
            destination: to.as_ref().map_or_else(|| address(destination), Peer::Endpoint),
            source_address: source.address,
            destination_address: destination.address,
            protocol: row.key.protocol,
            port: row.key.port,
        },
    );
    match way {
        Direction::Ingress => decision.ingress.allows(),
        Direction::Egress => decision.egress.allows(),
    }
}

/// The list of a policy that holds the rule.
fn list<'p>(policy: &'p mut NetworkPolicy, rule: &RuleId) -> &'p mut Vec<PolicyRule> {
    match rule.direction {
        Direction::Ingress => &mut policy.ingress,
        Direction::Egress => &mut policy.egress,
    }
}

/// The policies without the rule; the rule as the only one of its policy; its policy with none.
fn edited(rules: &RuleSet, rule: &RuleId) -> [RuleSet; 3] {
    let is_own = |policy: &&NetworkPolicy| policy.meta.name == rule.policy.name;
    let own = rules.policies().iter().find(is_own).unwrap();
    let (mut without, mut only, mut none) = (own.clone(), own.clone(), own.clone());
    let it = list(&mut without, rule).remove(rule.index as usize);
    *list(&mut only, rule) = vec![it];
    list(&mut none, rule).clear();
    let without = rules.with([Object::NetworkPolicy(without)]);
    [without, RuleSet::new([only]), RuleSet::new([none])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hits_agree_with_a_count_row_by_row(rows in histories(), policies in policies()) {
        let (cluster, rules) = (cluster(), RuleSet::new(policies));
        let found = ask(&rows, &RuleSet::default(), &rules).staged;
        for (word, hit) in &found.words {
            let Word::Rule(id) = word else { continue };
            let [without, only, none] = edited(&rules, id);
            let (mut connections, mut alone) = (0, 0);
            for row in &rows {
                // It allows what is allowed by its policy with this rule alone, and not without it.
                let asked = |rules: &RuleSet| allows(rules, &cluster, row, id.direction);
                if asked(&only) && !asked(&none) {
                    connections += row.stats.connections;
                    alone += if asked(&without) { 0 } else { row.stats.connections };
                }
            }
            prop_assert_eq!((hit.connections, hit.alone, hit.uncertain), (connections, alone, 0), "{}", id);
        }
    }

    #[test]
    fn every_connection_is_counted_once_on_its_edge_and_allowed_as_the_evaluator_says(
        rows in histories(), policies in policies(), tiers in tiers()
    ) {
        let cluster = cluster();
        let rules = RuleSet::new(policies).with(tiers);
        let found = ask(&rows, &rules, &RuleSet::default()).enforced;
        let mut naive: BTreeMap<(String, String, u16, Verdict), (u64, u64)> = BTreeMap::new();
        for row in &rows {
            let key = &row.key;
            let name = (key.source.id(), key.destination.id(), key.port, key.verdict);
            let both = [Direction::Ingress, Direction::Egress];
            let is_allowed = both.iter().all(|way| allows(&rules, &cluster, row, *way));
            let own = naive.entry(name).or_default();
            let sum = if is_allowed { &mut own.0 } else { &mut own.1 };
            *sum += row.stats.connections;
        }
        let told: BTreeMap<_, _> = found.edges.iter().map(|(edge, own)| {
            let name = (edge.source.clone(), edge.destination.clone(), edge.port, edge.verdict);
            (name, (own.allowed, own.denied))
        }).collect();
        prop_assert_eq!(told, naive);
        for (edge, own) in &found.edges {
            prop_assert_eq!(own.connections, own.allowed + own.denied, "{:?}", edge);
            let by: u64 = own.decided_by.values().copied().max().unwrap_or(0);
            prop_assert!(by <= own.covered && own.covered <= own.connections);
            for word in own.decided_by.keys() {
                prop_assert!(found.words[word].edges.contains_key(edge), "both ways of counting agree");
            }
        }
    }
}
