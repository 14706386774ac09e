//! Rules: what they say of assets, and every way to write them wrongly.

use std::collections::BTreeMap;

use sekisho_model::{ClusterName, PartyKind, WorkloadRef};

use super::*;
use crate::Asset;

const RULES: &str = r#"
# Comments stay: the text is kept as it was written.
rules:
  - name: environment of the namespace
    match:
      namespace: ^(?<environment>prod|dev)-
  - name: databases
    match: { port: [5432, 3306], kind: ^StatefulSet$ }
    set: { role: database, application: "db-of-${team}" , cost: $$1 }
  - match:
      labels: { team: ^(?<team>.+)$ }
      address: 10.0.0.0/8
    set: { application: $team-app }
dimensions:
  application: [app]
  environment: environment
  role: [tier]
  cost: []
"#;

fn asset(namespace: &str, name: &str, kind: &str) -> Asset {
    let (namespace, name, kind) = (namespace.to_owned(), name.to_owned(), kind.to_owned());
    let workload = WorkloadRef { namespace, name, kind };
    Asset::new(ClusterName::default(), workload, PartyKind::Pod)
}

fn derived(rules: &Rules, asset: &Asset) -> BTreeMap<String, String> {
    let found = rules.derive(asset).into_iter();
    found
        .map(|(name, (value, rule))| (name.to_string(), format!("{value} by {}", rule.name)))
        .collect()
}

#[test]
fn rules_say_by_namespace_label_address_and_port() {
    let text = RULES.replace("db-of-${team}", "db");
    let rules = read_rules(&text, "environment").unwrap();
    let mut cart = asset("prod-shop", "cart", "StatefulSet");
    assert_eq!(
        derived(&rules, &cart),
        [("environment".to_owned(), "prod by environment of the namespace".to_owned())].into()
    );
    cart.ports.insert(3306);
    cart.namespace_labels.insert("team".to_owned(), "ann".to_owned());
    cart.addresses.insert("10.1.2.3".parse().unwrap());
    let words: Vec<String> = derived(&rules, &cart).into_values().collect();
    assert_eq!(
        words,
        [
            "db by databases",
            "$1 by databases",
            "prod by environment of the namespace",
            "database by databases"
        ]
    );
    cart.ports.clear();
    let words: Vec<String> = derived(&rules, &cart).into_values().collect();
    assert_eq!(words, ["ann-app by rule 3", "prod by environment of the namespace"]);
    assert_eq!(derived(&rules, &asset("shop", "cart", "StatefulSet")), BTreeMap::new());
}

#[test]
fn each_mistake_says_its_line_its_field_and_what_is_expected() {
    let mut wrong: Vec<String> = Vec::new();
    let mut check = |text: &str, expected: &[&str]| {
        let errors = read_rules(text, "environment").unwrap_err();
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let is_right = |(word, expected): (&String, &&str)| word.starts_with(expected);
        if words.len() != expected.len() || !words.iter().zip(expected).all(is_right) {
            wrong.push(format!("{text:?} gives {words:?}"));
        }
    };
    check(RULES, &["9:41: rules[1].set.application: no pattern of this rule has a group `team`"]);
    check("rule: []", &["1:1: rule: there is no such field; there are dimensions, layers, rules"]);
    check("rules: {}", &["1:8: rules: expected a list"]);
    check("a: [", &["2:1: "]);
    check("---\na: 1\n---\nb: 2", &["4:1: a second document"]);
    check("rules:\n- set: {role: web}\n", &["2:3: rules[0]: needs `match`"]);
    check("rules:\n- match: {name: a}\n", &["2:3: rules[0]: says nothing"]);
    check("rules:\n- match: {}\n  set: {role: a}\n", &["2:10: rules[0].match: would take every"]);
    check(
        "rules:\n- match: {name: '('}\n  set: {role: a}\n",
        &["2:17: rules[0].match.name: unclosed group"],
    );
    check(
        "rules:\n- match: {name: '\\w{900}'}\n  set: {role: a}\n",
        &["2:17: rules[0].match.name: "],
    );
    check(
        "rules:\n- match: {port: 0}\n  set: {role: a}\n",
        &["2:17: rules[0].match.port: expected a port"],
    );
    check(
        "rules:\n- match: {address: x}\n  set: {role: a}\n",
        &["2:20: rules[0].match.address: expected a network"],
    );
    check(
        "rules:\n- match: {name: a}\n  set: {colour: a}\n",
        &["3:9: rules[0].set.colour: there is no such field"],
    );
    check(
        "dimensions: {App: [a]}",
        &["1:13: dimensions: names none", "1:14: dimensions.App: `App` is no name"],
    );
    check(
        "layers: [rule, rule, x]",
        &["1:16: layers: `rule` is there twice", "1:22: layers: `x` is not one of"],
    );
    check("rules: *a", &["1:8: "]);
    let twice = "rules:\n- {name: a, match: {name: a}, set: {role: a}}\n- {name: a, match: {name: b}, set: {role: b}}";
    check(twice, &["3:3: rules[1].name: another rule has this name"]);
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_rules_are_the_usual_dimensions_and_layers() {
    for text in ["", "# nothing\n", "rules: []", "rules:\n", "{}"] {
        let rules = read_rules(text, "stage").unwrap();
        assert_eq!(rules, Rules::usual("stage"), "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd(text in "(rules|match|set|name|layers|[\\[\\]{}:,\\-\"'*&$ \\n(a?)<>])*") {
        drop(read_rules(&text, "environment"));
    }
}
