//! Two maps side by side, and the first edges of one.

use proptest::prelude::*;
use sekisho_map::{Map, MapOptions, Order, Top, build, compare, diff_json, diff_table};
use sekisho_model::{EdgeDay, Verdict};

use crate::samples::{complete, row, rows, shop, with_verdict};

fn map(rows: &[EdgeDay]) -> Map {
    build(rows, &MapOptions::default(), complete())
}

fn hour_later(mut row: EdgeDay) -> EdgeDay {
    for time in [&mut row.stats.first_seen, &mut row.stats.last_seen] {
        *time = time.plus_seconds(3_600);
    }
    row
}

/// An hour ago, and now: cart talks to a new cache, ad is gone, web is denied, db is as it was.
fn both() -> [Map; 2] {
    let old = [
        row("shop/cart", "shop/db", 5432, 10),
        row("shop/ad", "shop/db", 5432, 3),
        row("shop/web", "shop/cart", 8080, 7),
    ];
    let new = [
        row("shop/cart", "shop/db", 5432, 12),
        row("shop/cart", "shop/cache", 6379, 40_000),
        with_verdict(row("shop/web", "shop/cart", 8080, 2), Verdict::Denied),
    ];
    [map(&old), map(&new.map(hour_later))]
}

#[test]
fn what_is_new_gone_or_decided_otherwise_is_told_and_the_rest_counted() {
    let [before, after] = both();
    let diff = compare(&before, &after);
    let names = |edges: &[&sekisho_map::MapEdge]| -> Vec<String> {
        edges.iter().map(|edge| format!("{} {}", edge.source, edge.destination)).collect()
    };
    assert_eq!(names(&diff.added), ["shop/cart[Deployment] shop/cache[Deployment]"]);
    assert_eq!(names(&diff.removed), ["shop/ad[Deployment] shop/db[Deployment]"]);
    assert_eq!((diff.changed.len(), diff.unchanged), (1, 1));
    let changed = &diff.changed[0];
    assert_eq!(changed.before[0].verdict, Verdict::Allowed);
    assert_eq!(changed.after[0].verdict, Verdict::Denied);
    insta::assert_snapshot!(diff_table(&diff, 120, false));
    insta::assert_snapshot!("narrow", diff_table(&diff, 80, false));
    let json: serde_json::Value = serde_json::from_str(&diff_json(&diff).unwrap()).unwrap();
    assert_eq!(json["added"][0]["port"], 6379);
    assert_eq!(json["changed"][0]["after"][0]["verdict"], "denied");
    assert_eq!((&json["unchanged"], &json["before"]["completeness"]), (&1.into(), &0.998.into()));
}

#[test]
fn a_window_with_gaps_says_what_that_means_for_the_difference() {
    let [mut before, mut after] = both();
    (before.completeness.ratio, after.completeness.ratio) = (1.0, 1.0);
    let warned = |before: &Map, after: &Map| diff_table(&compare(before, after), 120, false);
    assert!(!warned(&before, &after).contains('!'));
    before.completeness.ratio = 0.9;
    assert!(warned(&before, &after).contains("what is new may have been there before"));
    after.completeness.ratio = 0.9;
    assert!(warned(&before, &after).contains("what is gone may still be there"));
}

#[test]
fn the_first_edges_by_any_measure_are_kept_and_the_rest_is_counted() {
    let rows = shop();
    let all = map(&rows);
    for order in [Order::Connections, Order::Bytes, Order::Resets, Order::Newest] {
        let options = MapOptions { top: Some(Top { count: 2, order }), ..MapOptions::default() };
        let top = build(&rows, &options, complete());
        let measure = |edge: &sekisho_map::MapEdge| match order {
            Order::Connections => edge.connections,
            Order::Bytes => edge.bytes_sent + edge.bytes_received,
            Order::Resets => edge.resets,
            Order::Newest => edge.first_seen.nanos(),
        };
        let mut best: Vec<u64> = all.edges.iter().map(measure).collect();
        best.sort_unstable_by(|a, b| b.cmp(a));
        let mut kept: Vec<u64> = top.edges.iter().map(measure).collect();
        kept.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(kept, best[..2]);
        assert_eq!(top.hidden.edges, all.edges.len() as u64 - 2);
        let sum = |map: &Map| map.edges.iter().map(|edge| edge.connections).sum::<u64>();
        assert_eq!(top.hidden.connections, sum(&all) - sum(&top));
        let has_edge = |id: &str| top.edges.iter().any(|e| e.source == id || e.destination == id);
        assert!(top.nodes.iter().all(|node| has_edge(&node.id)));
    }
    let many = MapOptions {
        top: Some(Top { count: usize::MAX, order: Order::Bytes }),
        ..MapOptions::default()
    };
    assert_eq!(build(&rows, &many, complete()), all);
}

proptest! {
    #[test]
    fn a_map_differs_not_from_itself_and_what_is_added_one_way_is_removed_the_other(
        old in rows(), new in rows(),
    ) {
        let (old, new) = (map(&old), map(&new));
        prop_assert!(compare(&old, &old).is_empty());
        let (there, back) = (compare(&old, &new), compare(&new, &old));
        prop_assert_eq!(&there.added, &back.removed);
        prop_assert_eq!(&there.removed, &back.added);
        prop_assert_eq!(there.unchanged, back.unchanged);
        prop_assert_eq!(there.changed.len(), back.changed.len());
        let told = there.added.len() + there.changed.iter().map(|c| c.after.len()).sum::<usize>();
        prop_assert!(told <= new.edges.len());
    }
}
