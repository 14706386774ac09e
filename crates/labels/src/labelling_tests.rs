//! Which of several voices holds, and that nothing but their order decides.

use proptest::prelude::*;
use sekisho_model::{PartyKind, Timestamp};

use super::*;
use crate::{ByHand, Import, LabelState, TableRow, assign, read_rules, unmatched};

const RULES: &str =
    "rules:\n- name: by namespace\n  match: {namespace: '^(?<environment>prod|dev)-'}\n";

fn asset(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Asset {
    let workload = WorkloadRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: "Deployment".to_owned(),
    };
    let mut asset = Asset::new(ClusterName::default(), workload, PartyKind::Pod);
    asset.labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    asset
}

fn row(line: u32, asset: &str, value: &str) -> TableRow {
    let dimension = "environment".parse().unwrap();
    TableRow { line, asset: asset.to_owned(), dimension, value: value.to_owned() }
}

fn import(name: &str, rows: Vec<TableRow>) -> Import {
    let (by, time) = ("ann".to_owned(), Timestamp::from_seconds(1));
    Import { name: name.to_owned(), cluster: None, by, time, rows }
}

fn by_hand(asset: &Asset, value: &str) -> ByHand {
    ByHand {
        cluster: asset.cluster.clone(),
        id: asset.id(),
        dimension: "environment".parse().unwrap(),
        value: value.to_owned(),
        by: "ann".to_owned(),
        time: Timestamp::from_seconds(1),
    }
}

fn settled(assets: &[Asset], rules: &str, state: &LabelState) -> Vec<String> {
    let rules = read_rules(rules, "environment").unwrap();
    let labelling = Labelling::new(rules.clone(), assign(assets, &rules, state));
    let environment = "environment".parse().unwrap();
    let word = |asset: &Asset| match labelling.settled(asset, &environment) {
        None => format!("{}: none", asset.id()),
        Some(settled) => {
            let said = settled.said.iter();
            let said: Vec<String> = said
                .map(|said| format!("{} ({}: {})", said.value, said.layer, said.source))
                .collect();
            let conflict = if settled.conflict { "!" } else { "" };
            format!("{}{conflict}: {}", asset.id(), said.join(", "))
        }
    };
    assets.iter().map(word).collect()
}

#[test]
fn the_first_layer_holds_and_what_others_say_is_told() {
    let mut cart = asset("prod-shop", "cart", &[("environment", "staging")]);
    cart.namespace_labels.insert("environment".to_owned(), "prod".to_owned());
    cart.node_labels.insert("environment".to_owned(), "".to_owned());
    let blog = asset("blog", "web", &[]);
    let assets = [cart.clone(), blog];
    let mut state = LabelState::default();
    assert_eq!(
        settled(&assets, "", &state),
        [
            "prod-shop/cart[Deployment]!: staging (workload: environment), prod (namespace: environment)",
            "blog/web[Deployment]: none",
        ]
    );
    state.imports.push(import("old", vec![row(2, "prod-shop/cart", "dev"), row(3, "web", "test")]));
    state.imports.push(import("cmdb", vec![row(9, "CART", "prod")]));
    assert_eq!(
        settled(&assets, RULES, &state),
        [
            "prod-shop/cart[Deployment]!: prod (import: cmdb, line 9), dev (import: old, line 2), \
         prod (rule: by namespace), staging (workload: environment), prod (namespace: environment)",
            "blog/web[Deployment]: test (import: old, line 3)",
        ]
    );
    // Whoever decides by hand ends the conflict.
    state.by_hand.push(by_hand(&cart, "prod"));
    let words = settled(&assets, RULES, &state);
    assert!(words[0].starts_with("prod-shop/cart[Deployment]: prod (manual: ann), "), "{words:?}");
    // Layers that are not in the order say nothing.
    let order = format!("layers: [namespace, rule]\n{RULES}");
    assert_eq!(
        settled(&assets, &order, &state),
        [
            "prod-shop/cart[Deployment]: prod (namespace: environment), prod (rule: by namespace)",
            "blog/web[Deployment]: none",
        ]
    );
}

#[test]
fn what_a_table_says_of_nobody_is_told_and_of_two_is_not_guessed() {
    let assets = [asset("shop", "cart", &[]), asset("blog", "cart", &[])];
    let table = import("t", vec![row(2, "cart", "a"), row(3, "shop/cart", "b"), row(4, "x", "c")]);
    let found = unmatched(&assets, &table);
    assert_eq!((found.matched, found.ambiguous, found.unknown), (1, 1, 1));
    let lines: Vec<u32> = found.told.iter().map(|(row, _)| row.line).collect();
    assert_eq!(lines, [2, 4]);
    let state = LabelState { imports: vec![table], ..LabelState::default() };
    assert_eq!(
        settled(&assets, "", &state),
        ["shop/cart[Deployment]: b (import: t, line 3)", "blog/cart[Deployment]: none",]
    );
}

#[test]
fn an_asset_of_another_cluster_is_another_asset() {
    let (here, mut there) = (asset("shop", "cart", &[]), asset("shop", "cart", &[]));
    there.cluster = "west".parse().unwrap();
    let state = LabelState { by_hand: vec![by_hand(&here, "prod")], ..LabelState::default() };
    let words = settled(&[there, here], "", &state);
    assert_eq!(
        words,
        ["shop/cart[Deployment]: none", "shop/cart[Deployment]: prod (manual: ann)",]
    );
}

/// Assets with labels, rows of tables that may name them, and values by hand.
fn worlds() -> impl Strategy<Value = (Vec<Asset>, LabelState)> {
    let value = || prop::sample::select(vec!["prod", "dev", "test"]);
    let place = || (prop::sample::select(vec!["prod-a", "dev-b", "c"]), 0..4_u8);
    let assets = prop::collection::btree_map(place(), prop::option::of(value()), 1..8);
    let rows = prop::collection::vec((place(), any::<bool>(), value()), 0..12);
    let hands = prop::collection::btree_map(place(), value(), 0..4);
    (assets, rows, hands).prop_map(|(assets, rows, hands)| {
        let named = |(namespace, number): (&str, u8)| format!("{namespace}/w{number}");
        let rows = rows.into_iter().zip(2_u32..).map(|((place, is_bare, value), line)| {
            let name = if is_bare { format!("w{}", place.1) } else { named(place) };
            row(line, &name, value)
        });
        let mut state =
            LabelState { imports: vec![import("t", rows.collect())], ..LabelState::default() };
        let assets: Vec<Asset> = assets
            .into_iter()
            .map(|((namespace, number), value)| {
                let labels = value.map(|value| ("environment", value));
                asset(namespace, &format!("w{number}"), labels.as_slice())
            })
            .collect();
        for ((namespace, number), value) in hands {
            state.by_hand.push(by_hand(&asset(namespace, &format!("w{number}"), &[]), value));
        }
        (assets, state)
    })
}

proptest! {
    #[test]
    fn the_order_of_assets_decides_nothing((assets, state) in worlds(), turn in 0..8_usize) {
        let mut turned = assets.clone();
        turned.rotate_left(turn % assets.len());
        let (mut a, mut b) = (settled(&assets, RULES, &state), settled(&turned, RULES, &state));
        a.sort();
        b.sort();
        prop_assert_eq!(a, b);
    }

    #[test]
    fn who_decides_by_hand_is_heard_and_the_value_is_the_first_that_is_said(
        (assets, state) in worlds()
    ) {
        let rules = read_rules(RULES, "environment").unwrap();
        let labelling = Labelling::new(rules.clone(), assign(&assets, &rules, &state));
        let environment = "environment".parse().unwrap();
        for asset in &assets {
            let settled = labelling.settled(asset, &environment);
            let place = (&asset.cluster, &asset.workload);
            let value = labelling.value(place, "environment", &asset.labels, |_key| None);
            prop_assert_eq!(value, settled.as_ref().map(Settled::value));
            if let Some(told) = state.by_hand.iter().find(|told| told.id == asset.id()) {
                prop_assert_eq!(value, Some(told.value.as_str()));
                prop_assert!(!settled.is_some_and(|settled| settled.conflict));
            } else if let Some(settled) = settled {
                let values: std::collections::BTreeSet<&str> =
                    settled.said.iter().map(|said| said.value.as_str()).collect();
                prop_assert_eq!(settled.conflict, values.len() > 1);
                let ranks: Vec<_> = settled.said.iter().map(|said| said.layer).collect();
                prop_assert!(ranks.is_sorted(), "{ranks:?}");
            }
        }
    }
}
