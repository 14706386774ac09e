//! Traps 1-10: what selectors select.

use crate::world::{World, errors, policy};

// 1
#[test]
fn an_empty_pod_selector_selects_all_pods_of_the_namespace_and_no_others() {
    for selector in ["{podSelector: {}}", "{}", "{podSelector: null}"] {
        World::policy(selector)
            .denies(&["b/web a/web 80", "b/web a/db 80"])
            .allows(&["a/web b/web 80", "a/web c/web 80"]);
    }
}

// 2
#[test]
fn a_pod_selector_alone_means_pods_of_the_policys_own_namespace() {
    World::policy(
        "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}",
    )
    .allows(&["a/web a/db 80"])
    .denies(&["b/web a/db 80", "203.0.113.1 a/db 80"]);
}

// 3
#[test]
fn an_empty_namespace_selector_is_every_namespace_and_a_null_one_is_the_own() {
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]}]}",
    )
    .allows(&["a/web a/db 80", "b/web a/db 80", "c/web a/db 80"])
    .denies(&["b/bare a/db 80"]);
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: null, podSelector: {matchLabels: {app: web}}}]}]}",
    )
    .allows(&["a/web a/db 80"])
    .denies(&["b/web a/db 80"]);
}

// 4
#[test]
fn two_selectors_in_one_peer_must_both_match_and_two_peers_need_one() {
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}]}]}",
    )
    .allows(&["b/web a/db 80"])
    .denies(&["a/web a/db 80", "b/bare a/db 80", "c/web a/db 80"]);
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: web}}}]}]}",
    )
    .allows(&["b/web a/db 80", "b/bare a/db 80", "a/web a/db 80"])
    .denies(&["c/web a/db 80"]);
}

// 5
#[test]
fn not_in_and_does_not_exist_match_objects_without_the_key_and_in_does_not() {
    let from = |expression: &str| {
        World::policy(&format!(
            "{{podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {{}}, podSelector: {{matchExpressions: [{expression}]}}}}]}}]}}"
        ))
    };
    from("{key: app, operator: NotIn, values: [web]}")
        .allows(&["b/bare a/web 80", "a/db a/web 80"])
        .denies(&["b/web a/web 80"]);
    from("{key: app, operator: DoesNotExist}")
        .allows(&["b/bare a/web 80"])
        .denies(&["b/web a/web 80"]);
    from("{key: app, operator: In, values: [web, db]}")
        .allows(&["b/web a/db 80", "a/db a/web 80"])
        .denies(&["b/bare a/web 80"]);
    from("{key: app, operator: Exists}").allows(&["b/web a/web 80"]).denies(&["b/bare a/web 80"]);
}

// 5
#[test]
fn in_without_values_and_unknown_operators_are_refused() {
    let selector = |expression: &str| {
        errors(&policy(&format!("{{podSelector: {{matchExpressions: [{expression}]}}}}")))
    };
    assert!(selector("{key: app, operator: In, values: []}").contains("must not be empty"));
    assert!(selector("{key: app, operator: NotIn}").contains("must not be empty"));
    assert!(selector("{key: app, operator: Exists, values: [x]}").contains("must be empty"));
    assert!(selector("{key: app, operator: Equals, values: [x]}").contains("found `Equals`"));
}

// 6
#[test]
fn namespaces_carry_their_name_as_a_label_though_manifests_leave_it_out() {
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]}]}",
    )
    .allows(&["b/web a/web 80"])
    .denies(&["c/web a/web 80", "a/db a/web 80"]);
}

// 7
#[test]
fn a_namespace_without_an_object_has_its_name_as_its_only_label() {
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: c}}}]}]}",
    )
    .allows(&["c/web a/web 80"])
    .denies(&["b/web a/web 80"]);
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}]}]}",
    )
    .allows(&["c/web a/web 80"])
    .denies(&["b/web a/web 80"]);
}

// 8
#[test]
fn labels_and_expressions_of_one_selector_must_all_hold() {
    World::policy(
        "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: Exists}]}, namespaceSelector: {}}]}]}",
    )
    .allows(&["a/web a/db 80"])
    .denies(&["b/web a/db 80"]);
}

// 9
#[test]
fn an_empty_label_value_is_not_an_absent_label() {
    let from = |selector: &str| {
        World::policy(&format!(
            "{{podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {{}}, podSelector: {selector}}}]}}]}}"
        ))
    };
    from("{matchLabels: {note: ''}}").allows(&["b/web a/web 80"]).denies(&["b/bare a/web 80"]);
    from("{matchExpressions: [{key: note, operator: Exists}]}")
        .allows(&["b/web a/web 80"])
        .denies(&["b/bare a/web 80"]);
    from("{matchExpressions: [{key: note, operator: DoesNotExist}]}")
        .allows(&["b/bare a/web 80"])
        .denies(&["b/web a/web 80"]);
}

// 10
#[test]
fn a_peer_without_any_field_is_refused() {
    assert!(errors(&policy("{podSelector: {}, ingress: [{from: [{}]}]}")).contains("must have"));
    assert!(errors(&policy("{podSelector: {}, egress: [{to: [null]}]}")).contains("must have"));
    // Twin: a rule without any field is fine, and means everything.
    World::policy("{podSelector: {}, ingress: [{}]}").allows(&["203.0.113.1 a/web 80"]);
}
