//! Which of two sets of policies allows more.

use sekisho_policy::{Cluster, Comparison, Dialect, Relation, RuleSet, compare};

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.2}]}
";

fn policy(rules: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: db, namespace: \
         shop}}\nspec: {{podSelector: {{matchLabels: {{app: db}}}}, policyTypes: [Ingress], \
         ingress: [{rules}]}}\n"
    )
}

fn check(first: &str, second: &str, any_pods: bool) -> Comparison {
    let read = |text: &str| sekisho_manifest::parse("f", text).unwrap();
    let rules = |text: &str| RuleSet::from_objects(&read(&policy(text)), Dialect::Spec);
    let cluster = Cluster::from_objects(&read(PODS));
    compare(&rules(first), &rules(second), &cluster, any_pods)
}

const FROM_WEB: &str = "{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}";
const FROM_INSIDE: &str = "{from: [{podSelector: {}}], ports: [{port: 80}]}";

#[test]
fn a_set_is_equal_to_itself_however_it_is_written() {
    let split = "{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80, endPort: \
                 90}]}";
    let parts = "{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80, endPort: \
                 85}, {port: 86, endPort: 90}]}";
    let found = check(split, parts, true);
    assert_eq!((found.relation, found.complete), (Relation::Equal, true), "{found:?}");
}

#[test]
fn pods_that_might_exist_tell_sets_apart_that_given_pods_do_not() {
    assert_eq!(check(FROM_WEB, FROM_INSIDE, false).relation, Relation::Subset);
    let found = check(FROM_WEB, FROM_INSIDE, true);
    assert_eq!(found.relation, Relation::Subset);
    let sources: Vec<&str> = found.only_second.iter().map(|one| one.source.as_str()).collect();
    assert!(sources.contains(&"shop/any pod"), "{sources:?}");
    assert_eq!(check(FROM_INSIDE, FROM_WEB, true).relation, Relation::Superset);
}

#[test]
fn ranges_of_both_sets_are_told_apart() {
    let range = |cidr: &str| format!("{{from: [{{ipBlock: {{cidr: {cidr}}}}}]}}");
    let found = check(&range("192.0.2.0/25"), &range("192.0.2.64/26"), true);
    assert_eq!(found.relation, Relation::Superset);
    assert_eq!(found.only_first[0].source, "192.0.2.0-192.0.2.63");
    let found = check(&range("192.0.2.0/26"), &range("192.0.2.64/26"), true);
    assert_eq!(found.relation, Relation::Neither);
    assert_eq!((found.first_pairs, found.second_pairs), (2, 2));
}
