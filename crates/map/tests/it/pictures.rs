//! Every output as it looks, for the shop and for an empty map.

use sekisho_map::{Grouping, MapOptions, build, dot, json, mermaid, svg, table};
use sekisho_model::{Completeness, TimeRange};

use crate::samples::{complete, minute, row, shop, with_verdict};

fn options() -> MapOptions {
    MapOptions { hide_dns: true, hide_probes: true, ..MapOptions::default() }
}

fn small() -> sekisho_map::Map {
    let rows = [
        row("!203.0.113.7", "shop/web#1", 8080, 1_234_567),
        row("!203.0.113.7", "shop/web#2", 8080, 1),
        row("shop/web#1", "data/redis", 6379, 42),
        with_verdict(row("shop/web#1", "!evil.example", 443, 3), sekisho_model::Verdict::Denied),
        with_verdict(row("shop/web#1", "data/db", 5432, 3), sekisho_model::Verdict::WouldDeny),
        with_verdict(row("data/redis", "data/db", 5432, 3), sekisho_model::Verdict::Unknown),
    ];
    build(&rows, &MapOptions::default(), complete())
}

fn empty() -> sekisho_map::Map {
    let nothing = Completeness {
        ratio: 0.0,
        produced: 0,
        dropped: 0,
        gaps: vec!["no agent reported".to_owned()],
    };
    let range = TimeRange { from: minute(0), to: minute(15) };
    build(&[], &MapOptions { range, ..MapOptions::default() }, nothing)
}

#[test]
fn the_table_of_the_shop() {
    let map = build(&shop(), &options(), complete());
    insta::assert_snapshot!(table(&map, 132, false));
}

#[test]
fn the_table_by_namespace() {
    let options = MapOptions { grouping: Grouping::Namespace, ..MapOptions::default() };
    insta::assert_snapshot!(table(&build(&shop(), &options, complete()), 110, false));
}

#[test]
fn the_table_by_process() {
    let options = MapOptions { grouping: Grouping::Process, ..options() };
    let rows = &shop()[..6];
    insta::assert_snapshot!(table(&build(rows, &options, complete()), 132, false));
}

#[test]
fn the_table_in_colour_on_a_narrow_terminal() {
    insta::assert_snapshot!(table(&small(), 80, true).replace('\u{1b}', "ESC"));
}

#[test]
fn the_empty_table() {
    insta::assert_snapshot!(table(&empty(), 80, false));
}

#[test]
fn the_json() {
    let denied =
        with_verdict(row("shop/web#1", "!evil.example", 443, 3), sekisho_model::Verdict::Denied);
    let rows = [denied, row("shop/web#1", "data/redis", 6379, 42)];
    let map = build(&rows, &MapOptions::default(), complete());
    insta::assert_snapshot!(json(&map).unwrap());
}

#[test]
fn the_dot() {
    insta::assert_snapshot!(dot(&small()));
}

#[test]
fn the_mermaid() {
    insta::assert_snapshot!(mermaid(&small()));
}

#[test]
fn the_svg() {
    insta::assert_snapshot!(svg(&small()));
}

#[test]
fn the_svg_of_nothing() {
    insta::assert_snapshot!(svg(&empty()));
}

#[test]
fn no_line_of_a_table_is_wider_than_the_terminal() {
    for width in [80, 100, 132, 200] {
        let map = build(&shop(), &options(), complete());
        let text = table(&map, width, false);
        for line in text.lines().filter(|line| !line.starts_with("  ! ")) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

/// Writes the shop as a picture to the file named by SEKISHO_MAP_PICTURE, for looking at.
#[test]
fn the_shop_is_drawn_the_same_each_time() {
    let map = build(&shop(), &options(), complete());
    let picture = svg(&map);
    assert_eq!(picture, svg(&map));
    if let Some(path) = std::env::var_os("SEKISHO_MAP_PICTURE") {
        std::fs::write(path, picture).unwrap();
    }
}
