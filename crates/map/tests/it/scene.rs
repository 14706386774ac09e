//! What a scene promises: everything has a place of its own, and keeps it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sekisho_map::{
    Area, AreaKind, Coverage, Encryption, GlyphState, Grouping, Map, MapOptions, Scene,
    SceneOptions, build, scene,
};
use sekisho_model::{EdgeDay, Verdict};

use crate::samples::{complete, row, rows, shop, with_verdict};

fn map(rows: &[EdgeDay], grouping: Grouping) -> Map {
    build(rows, &MapOptions { grouping, ..MapOptions::default() }, complete())
}

fn laid(rows: &[EdgeDay]) -> Scene {
    scene(&map(rows, Grouping::Workload), &SceneOptions::default())
}

/// `count` workloads in namespaces of very different sizes, each calling the next.
fn large(count: usize) -> Vec<EdgeDay> {
    let name = |number: usize| {
        let namespace = (number * number) % 97 % 41;
        format!("team-{namespace}/service-{number}")
    };
    (0..count).map(|number| row(&name(number), &name((number + 1) % count), 80, 1)).collect()
}

fn groupings() -> [Grouping; 9] {
    [
        Grouping::Cluster,
        Grouping::Namespace,
        Grouping::Application,
        Grouping::Label("app".parse().unwrap()),
        "environment".parse().unwrap(),
        Grouping::Node,
        Grouping::Workload,
        Grouping::Pod,
        Grouping::Process,
    ]
}

fn places(scene: &Scene) -> BTreeMap<&str, (i32, i32)> {
    scene.glyphs.iter().map(|glyph| (glyph.id.as_str(), (glyph.x, glyph.y))).collect()
}

/// Glyphs of both scenes that stand elsewhere in the second.
fn moved(before: &Scene, after: &Scene) -> usize {
    let after = places(after);
    let both = places(before);
    both.iter().filter(|(id, place)| after.get(*id).is_some_and(|other| other != *place)).count()
}

fn inside(inner: &Area, outer: &Area) -> bool {
    inner.x >= outer.x
        && inner.y >= outer.y
        && inner.x + inner.w <= outer.x + outer.w
        && inner.y + inner.h <= outer.y + outer.h
}

fn apart(a: &Area, b: &Area) -> bool {
    a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y
}

fn check_places(scene: &Scene) {
    let areas: BTreeMap<&str, &Area> = scene.areas.iter().map(|a| (a.id.as_str(), a)).collect();
    assert_eq!(areas.len(), scene.areas.len(), "ids of areas are unique");
    for area in &scene.areas {
        let parent = area.parent.as_deref().map(|parent| areas[parent]);
        assert!(parent.is_none_or(|parent| inside(area, parent)), "{area:?} in {parent:?}");
        assert!(area.x >= scene.x && area.x + area.w <= scene.x + scene.width);
        assert!(area.y >= scene.y && area.y + area.h <= scene.y + scene.height);
        let siblings = scene.areas.iter().filter(|other| other.parent == area.parent);
        for other in siblings.filter(|other| other.id != area.id) {
            assert!(apart(area, other), "{area:?} and {other:?}");
        }
    }
    let mut seats = BTreeMap::new();
    for glyph in &scene.glyphs {
        let area = areas[glyph.area.as_str()];
        assert!(glyph.x - glyph.r >= area.x && glyph.x + glyph.r <= area.x + area.w, "{glyph:?}");
        assert!(glyph.y - glyph.r >= area.y && glyph.y + glyph.r <= area.y + area.h, "{glyph:?}");
        let other = seats.insert((glyph.x, glyph.y), &glyph.id);
        assert_eq!(other, None, "{} has the place of another", glyph.id);
    }
}

proptest! {
    #[test]
    fn every_node_has_a_place_of_its_own_in_its_area(rows in rows(), clusters in any::<bool>()) {
        for grouping in groupings() {
            let options = MapOptions { grouping, clusters, ..MapOptions::default() };
            let map = build(&rows, &options, complete());
            let scene = scene(&map, &SceneOptions::default());
            check_places(&scene);
            prop_assert_eq!(scene.glyphs.len(), map.nodes.len());
            prop_assert_eq!(scene.partial, None);
        }
    }

    #[test]
    fn joined_edges_lose_no_connection_and_no_row(rows in rows()) {
        let map = map(&rows, Grouping::Workload);
        let scene = scene(&map, &SceneOptions::default());
        let sum = |verdict| -> (u64, usize) {
            let edges = scene.edges.iter().filter(|edge| edge.verdict == verdict);
            edges.fold((0, 0), |sum, edge| (sum.0 + edge.connections, sum.1 + edge.rows))
        };
        for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::WouldDeny, Verdict::Unknown] {
            let rows: Vec<_> = map.edges.iter().filter(|edge| edge.verdict == verdict).collect();
            let connections = rows.iter().map(|edge| edge.connections).sum::<u64>();
            prop_assert_eq!(sum(verdict), (connections, rows.len()));
        }
    }
}

#[test]
fn the_same_map_gives_the_same_bytes() {
    let mut rows = shop();
    let first = serde_json::to_string(&laid(&rows)).unwrap();
    rows.reverse();
    assert_eq!(first, serde_json::to_string(&laid(&rows)).unwrap());
}

#[test]
fn what_is_outside_stands_left_and_machines_above_the_cluster() {
    let scene = laid(&shop());
    let area = |id: &str| scene.areas.iter().find(|area| area.id == id).unwrap();
    let cluster = area("cluster");
    assert_eq!((cluster.x, cluster.kind), (0, AreaKind::Cluster));
    assert!(area("cluster/[External]").x + area("cluster/[External]").w < 0);
    assert!(area("cluster/[Host]").y + area("cluster/[Host]").h < cluster.y);
    assert_eq!(area("cluster/shop").parent.as_deref(), Some("cluster"));
    assert_eq!(area("cluster/hosts").kind, AreaKind::Host);
}

#[test]
fn thousands_of_nodes_have_places_of_their_own() {
    let scene = laid(&large(5_000));
    assert_eq!(scene.glyphs.len(), 5_000);
    check_places(&scene);
}

#[test]
fn a_namespace_of_thousands_has_a_place_for_each() {
    let rows: Vec<EdgeDay> =
        (0..3_000).map(|number| row(&format!("one/s{number}"), "one/s0", 80, 1)).collect();
    check_places(&laid(&rows));
}

#[test]
fn a_node_that_comes_or_goes_moves_almost_nobody() {
    let rows = large(600);
    let before = laid(&rows);
    let moves: Vec<usize> = (0..20)
        .map(|number| {
            let mut more = rows.clone();
            more.push(row(&format!("team-{number}/newcomer"), "team-1/service-1", 443, 1));
            moved(&before, &laid(&more))
        })
        .collect();
    // Most namespaces have a free seat. One that outgrows its box takes another place on the ground.
    assert!(moves.iter().filter(|&&moved| moved <= 3).count() >= 16, "{moves:?}");
    assert!(moves.iter().all(|&moved| moved <= 120), "{moves:?}");
}

#[test]
fn what_is_hidden_or_seen_at_another_time_moves_nobody_whose_area_is_as_full() {
    let rows = shop();
    let all = laid(&rows);
    let hidden = MapOptions { hide_dns: true, hide_probes: true, ..MapOptions::default() };
    let without = scene(&build(&rows, &hidden, complete()), &SceneOptions::default());
    assert!(all.glyphs.len() > without.glyphs.len());
    let (before, after) = (places(&all), places(&without));
    for (id, place) in after.iter().filter(|(id, _)| id.starts_with("shop/")) {
        let shift = (place.0 - before["shop/cart[Deployment]"].0, before[id].0);
        let cart = after["shop/cart[Deployment]"].0;
        assert_eq!(place.0 - cart, before[id].0 - before["shop/cart[Deployment]"].0, "{shift:?}");
    }
}

#[test]
fn externals_that_come_push_no_namespace() {
    let mut rows = shop();
    let before = laid(&rows);
    for number in 0..50 {
        rows.push(row("shop/cart", &format!("!peer-{number}.example"), 443, 1));
    }
    let after = laid(&rows);
    let (old, new) = (places(&before), places(&after));
    assert!(old.iter().filter(|(id, _)| !id.ends_with("[External]")).all(|(id, p)| new[id] == *p));
}

#[test]
fn limits_keep_the_busiest_nodes_and_what_was_denied_and_are_said() {
    let mut rows = large(60);
    rows.push(with_verdict(row("team-1/service-1", "team-1/service-1", 22, 1), Verdict::Denied));
    rows.extend((0..30).map(|port| row("busy/a", "busy/b", port, 1_000)));
    let map = map(&rows, Grouping::Workload);
    let few = SceneOptions { glyphs_max: 5, ..SceneOptions::default() };
    let few = scene(&map, &few);
    assert!(few.glyphs.iter().any(|glyph| glyph.id == "busy/a[Deployment]"));
    let partial = few.partial.unwrap();
    assert_eq!((partial.glyphs_shown, partial.glyphs_total), (5, 62));
    let one = SceneOptions { edges_max: 1, ..SceneOptions::default() };
    let one = scene(&map, &one);
    assert_eq!(one.edges.iter().map(|edge| edge.verdict).collect::<Vec<_>>(), [Verdict::Denied]);
    let all = scene(&map, &SceneOptions::default());
    let busy = all.edges.iter().find(|edge| edge.source.starts_with("busy/")).unwrap();
    assert_eq!((busy.rows, busy.ports.len(), busy.connections), (30, 16, 30_000));
    assert_eq!(all.partial, None);
}

#[test]
fn a_scan_of_addresses_is_one_node_and_loses_no_connection() {
    let mut rows = shop();
    let few = laid(&rows);
    assert!(few.glyphs.iter().all(|glyph| glyph.folded == 0));
    rows.extend((0..100).map(|host| {
        with_verdict(row("shop/ad", &format!("!203.0.113.{host}"), 22, 1), Verdict::Denied)
    }));
    let map = map(&rows, Grouping::Workload);
    let scene = scene(&map, &SceneOptions::default());
    check_places(&scene);
    let folded = scene.glyphs.iter().find(|glyph| glyph.id == "addresses[External]").unwrap();
    // With the shop's own two.
    assert_eq!(folded.folded, 101);
    assert_eq!(scene.partial, None);
    let to = |id: &str, verdict| {
        let edges = scene.edges.iter().filter(|edge| edge.destination == id);
        edges.filter(|edge| edge.verdict == verdict).map(|edge| edge.connections).sum::<u64>()
    };
    assert_eq!(to("addresses[External]", Verdict::Denied), 104);
    assert_eq!(to("smtp.mail.example[External]", Verdict::Allowed), 903);
}

#[test]
fn nobody_is_said_to_be_without_policy_unless_somebody_looked() {
    let map = map(&shop(), Grouping::Workload);
    let half = Coverage {
        state: GlyphState::Enforced,
        ingress: GlyphState::Enforced,
        egress: GlyphState::NoPolicy,
    };
    let open = Coverage::all(GlyphState::NoPolicy);
    let coverage = [("shop/cart[Deployment]".to_owned(), open.weakest(half))].into();
    let scene = scene(&map, &SceneOptions { coverage, ..SceneOptions::default() });
    let state = |id: &str| scene.glyphs.iter().find(|glyph| glyph.id == id).unwrap().state;
    assert_eq!(state("shop/cart[Deployment]"), GlyphState::NoPolicy);
    assert_eq!(state("shop/checkout[Deployment]"), GlyphState::Unknown);
    assert_eq!(state("smtp.mail.example[External]"), GlyphState::External);
}

#[test]
fn clusters_are_islands_that_do_not_touch_and_one_that_grows_moves_few_others() {
    let clusters = |sizes: &[(&str, usize)]| -> Scene {
        let of = |&(name, count): &(&str, usize)| {
            let mut rows = large(count);
            rows.push(row("team-1/service-1", "!198.51.100.7", 443, 1));
            for row in &mut rows {
                row.key_mut().cluster = name.parse().unwrap();
            }
            rows
        };
        let rows: Vec<EdgeDay> = sizes.iter().flat_map(of).collect();
        let options = MapOptions { clusters: true, ..MapOptions::default() };
        scene(&build(&rows, &options, complete()), &SceneOptions::default())
    };
    let before = clusters(&[("east", 30), ("north", 400), ("south", 30), ("west", 90)]);
    check_places(&before);
    let frames = |scene: &Scene| -> BTreeMap<String, (i32, i32)> {
        let frames = scene.areas.iter().filter(|area| area.kind == AreaKind::Cluster);
        frames.map(|area| (area.id.clone(), (area.x, area.y))).collect()
    };
    let columns: std::collections::BTreeSet<i32> =
        frames(&before).values().map(|at| at.0).collect();
    assert!(columns.len() > 1, "they do not only stack: {:?}", frames(&before));
    let after = clusters(&[("east", 31), ("north", 401), ("south", 30), ("west", 90)]);
    check_places(&after);
    let stay = frames(&before).iter().filter(|(id, at)| frames(&after)[*id] == **at).count();
    assert!(stay >= 3, "{:?} {:?}", frames(&before), frames(&after));
    assert!(after.glyphs.iter().all(|glyph| glyph.cluster.is_some()));
}

#[test]
fn encryption_is_what_the_ports_say_and_no_guess() {
    let of = |ports: &[u16]| {
        let rows: Vec<EdgeDay> = ports.iter().map(|port| row("a/web", "a/db", *port, 1)).collect();
        laid(&rows).edges[0].encryption
    };
    assert_eq!(of(&[443]), Encryption::Encrypted);
    assert_eq!(of(&[443, 22]), Encryption::Encrypted);
    assert_eq!(of(&[80]), Encryption::Clear);
    assert_eq!(of(&[80, 443]), Encryption::Mixed);
    assert_eq!(of(&[5432]), Encryption::Unknown);
    assert_eq!(of(&[443, 80, 8080]), Encryption::Unknown);
}

#[test]
fn an_edge_names_the_processes_at_its_ends_and_says_where_none_was_seen() {
    let edge_of = |rows: &[EdgeDay]| laid(rows).edges[0].clone();
    let edge = edge_of(&[row("a/web", "a/db", 5432, 1)]);
    assert_eq!(
        (&*edge.source_processes[0], &*edge.destination_processes[0], edge.ends_seen),
        ("/usr/bin/web", "/usr/bin/db", 2)
    );
    let edge = edge_of(&[row("a/web", "!198.51.100.7", 443, 1)]);
    assert_eq!((edge.source_processes.len(), edge.destination_processes.len()), (1, 0));
    assert_eq!(edge.ends_seen, 1);
    let mut unseen = row("a/web", "a/db", 5433, 1);
    unseen.key_mut().source_process = None;
    let edge = edge_of(&[row("a/web", "a/db", 5432, 1), unseen]);
    assert_eq!((edge.source_processes.len(), edge.ends_seen), (1, 1), "not each time");
}
