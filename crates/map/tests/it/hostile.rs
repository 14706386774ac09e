//! Names come from processes, DNS answers and labels: none may become markup, syntax or an escape.

use std::sync::Arc;

use sekisho_map::{Grouping, Map, MapOptions, build, dot, json, mermaid, svg, table};
use sekisho_model::{EdgeDay, Verdict};

use crate::samples::{complete, row, with_verdict};

const NASTY: [&str; 8] = [
    "</text><script>alert(1)</script>",
    "\"]; evil -> all; x[label=\"",
    "a\"] --> b; click a href \"javascript:alert(1)\"",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{202e}txt.exe",
    "line\nbreak\r\n",
    "back\\slash\\",
    "\u{0}\u{fffe}",
];

fn nasty_map() -> Map {
    let rename = |name: &str| -> EdgeDay {
        let mut row = row("a/web#1", "!x", 443, 1);
        let source = Arc::make_mut(&mut row.key_mut().source);
        source.workload.namespace = name.to_owned();
        source.labels.insert(name.to_owned(), name.to_owned());
        let destination = Arc::make_mut(&mut row.key_mut().destination);
        destination.workload.name = name.to_owned();
        destination.dns_name = Some(name.to_owned());
        let mut process = row.key.source_process.as_deref().unwrap().clone();
        process.exe = name.to_owned();
        row.key_mut().source_process = Some(Arc::new(process));
        let mut row = with_verdict(row, Verdict::Denied);
        row.key_mut().decided_by.as_mut().unwrap().policy = name.to_owned();
        row
    };
    let mut complete = complete();
    complete.gaps = NASTY.map(str::to_owned).into();
    let options = MapOptions { grouping: Grouping::Process, ..MapOptions::default() };
    build(&NASTY.map(rename), &options, complete)
}

/// Everything but line breaks that a terminal or reader would obey.
fn commands(text: &str) -> Vec<char> {
    text.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}').collect()
}

#[test]
fn no_name_reaches_a_terminal_as_a_command_or_a_line_of_its_own() {
    let text = table(&nasty_map(), 100, false);
    assert_eq!(commands(&text), []);
    assert!(!text.lines().any(|line| line.starts_with("break")), "{text}");
}

#[test]
fn no_name_leaves_its_text_in_an_svg() {
    let text = svg(&nasty_map());
    assert_eq!(commands(&text), []);
    assert!(!text.contains("<script") && !text.contains('\u{fffe}'));
    // Every `<` begins one of the elements that we write ourselves.
    let ours = ["svg", "title", "desc", "rect", "text", "path", "circle", "g"];
    for part in text.split('<').skip(1) {
        let name: String =
            part.trim_start_matches('/').chars().take_while(char::is_ascii_alphabetic).collect();
        assert!(ours.contains(&name.as_str()), "<{part}");
    }
}

#[test]
fn no_name_leaves_its_string_in_dot() {
    let text = dot(&nasty_map());
    assert_eq!(commands(&text), []);
    for line in text.lines() {
        let unescaped = line.replace("\\\\", "").replace("\\\"", "");
        assert!(unescaped.matches('"').count().is_multiple_of(2), "{line}");
        let outside: String = unescaped.split('"').step_by(2).collect();
        assert!(!outside.contains("evil"), "{line}");
    }
}

#[test]
fn no_name_leaves_its_string_in_mermaid() {
    let text = mermaid(&nasty_map());
    assert_eq!(commands(&text), []);
    for line in text.lines().filter(|line| line.contains('"')) {
        assert_eq!(line.matches('"').count(), 2, "{line}");
        let inside = line.split('"').nth(1).unwrap().replace("<br/>", "");
        assert!(!inside.contains(['<', '>', '[', ']', '(']) || line.contains("|\""), "{line}");
        assert!(!inside.contains(['<', '>', '[', ']', '`']), "{line}");
    }
}

#[test]
fn json_keeps_every_name_as_it_was() {
    let map = nasty_map();
    let value: serde_json::Value = serde_json::from_str(&json(&map).unwrap()).unwrap();
    let gaps = value["completeness_detail"]["gaps"].as_array().unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.as_str().unwrap()).collect::<Vec<_>>(), NASTY);
}
