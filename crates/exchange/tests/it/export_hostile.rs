//! Names that somebody chose to break a record: each line stays one line, and reads back.

use std::sync::Arc;

use proptest::prelude::*;
use sekisho_base::harmless;
use sekisho_exchange::{ExportFormat, Syslog};
use sekisho_model::{DecidedBy, Direction, EdgeDay};
use serde_json::Value;

use crate::export::{allowed, export};
use crate::export_readers::{cef, csv, leef};

/// Pieces of names, to be put together.
const PIECES: &[&str] = &[
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    "|",
    "=",
    "\\",
    "\\n",
    "\"",
    "\"\"",
    ",",
    "'",
    " ",
    "\u{202e}",
    "\u{2028}",
    "\u{85}",
    "\u{7f}",
    "\u{1b}[31m",
    "\u{feff}",
    "関所",
    "𝔖",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    "＝1",
    "CEF:0|",
    "LEEF:2.0|",
    " act=allowed",
    "\tcat=allowed",
    "{}",
    "a",
];

fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => Just("x".repeat(4_096)),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// A record in which `name` stands wherever a name may.
fn named(name: &str) -> EdgeDay {
    let mut row = allowed();
    let key = row.key_mut();
    for party in [&mut key.source, &mut key.destination] {
        let party = Arc::make_mut(party);
        party.workload.namespace = name.to_owned();
        party.workload.name = name.to_owned();
        party.workload.kind = name.to_owned();
        party.pod = name.to_owned();
        party.dns_name = Some(name.to_owned());
        party.labels.insert(name.to_owned(), name.to_owned());
    }
    let process = Arc::make_mut(key.source_process.as_mut().unwrap());
    process.exe = name.to_owned();
    process.comm = name.to_owned();
    name.clone_into(&mut process.container.as_mut().unwrap().image);
    name.clone_into(&mut key.service.as_mut().unwrap().name);
    key.decided_by =
        Some(DecidedBy { policy: name.to_owned(), rule: Some(1), direction: Direction::Ingress });
    row
}

/// As CEF and LEEF bound a text.
fn bounded(text: &str) -> String {
    if text.chars().count() <= 1_023 {
        return text.to_owned();
    }
    text.chars().take(1_022).chain(['…']).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_name_ends_a_line_in_any_format(name in name()) {
        let row = named(&name);
        for format in ExportFormat::all() {
            let end = if format == ExportFormat::Csv { "\r\n" } else { "\n" };
            let text = export(format, &[row.clone(), row.clone()]);
            let expected = if format == ExportFormat::Csv { 3 } else { 2 };
            let body = text.strip_suffix(end).unwrap();
            prop_assert_eq!(body.split(end).count(), expected, "{}", format);
            // As the least careful reader sees it: no other control, no separator, nothing reversed.
            for line in body.split(end) {
                let line = if format == ExportFormat::Leef { line.replace('\t', " ") } else { line.to_owned() };
                prop_assert_eq!(&harmless(&line), &line, "{}", format);
            }
        }
    }

    #[test]
    fn json_reads_back_whole(name in name()) {
        let row = named(&name);
        let line: Value = serde_json::from_str(&export(ExportFormat::Jsonl, std::slice::from_ref(&row))).unwrap();
        for text in [&line["source"]["pod"], &line["destination"]["dns_name"], &line["source"]["process"]["exe"],
            &line["decided_by"]["policy"], &line["source"]["labels"][&name]] {
            prop_assert_eq!(text.as_str(), Some(name.as_str()));
        }
        let event: Value = serde_json::from_str(&export(ExportFormat::Ocsf, &[row])).unwrap();
        for text in [&event["firewall_rule"]["name"], &event["src_endpoint"]["name"],
            &event["src_endpoint"]["container"]["image"]["name"], &event["unmapped"]["source"]["dns_name"]] {
            prop_assert_eq!(text.as_str(), Some(name.as_str()));
        }
    }

    #[test]
    fn csv_reads_back_and_holds_no_formula(name in name()) {
        let rows = csv(&export(ExportFormat::Csv, &[named(&name)]));
        prop_assert_eq!(rows.len(), 1);
        let shown = harmless(&name);
        let cell = &rows[0]["source_pod"];
        prop_assert!(*cell == shown || *cell == format!("'{shown}"), "{:?}", cell);
        for cell in rows[0].values() {
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']), "{:?}", cell);
        }
        let labels: Value = serde_json::from_str(&rows[0]["source_labels"]).unwrap();
        prop_assert_eq!(labels[&name].as_str(), Some(name.as_str()));
    }

    #[test]
    fn cef_reads_back_and_nothing_is_smuggled_in(name in name()) {
        let text = export(ExportFormat::Cef, &[named(&name)]);
        let (head, pairs) = cef(text.strip_suffix('\n').unwrap());
        prop_assert_eq!(&head[..], &["0", "Sekisho", "Sekisho", "1.2.3", "allowed", "Connections allowed", "0"]);
        prop_assert_eq!(&*pairs["act"], "allowed");
        let ends = |c: char| matches!(c, '\n' | '\r');
        let shown: String = bounded(&name).chars()
            .map(|c| if ends(c) { c.to_string() } else { harmless(&c.to_string()) }).collect();
        prop_assert_eq!(pairs.get("shost").cloned().unwrap_or_default(), shown);
    }

    #[test]
    fn leef_reads_back_and_nothing_is_smuggled_in(name in name()) {
        let text = export(ExportFormat::Leef, &[named(&name)]);
        let (head, pairs) = leef(text.strip_suffix('\n').unwrap());
        prop_assert_eq!(&head[..], &["LEEF:2.0", "Sekisho", "Sekisho", "1.2.3", "allowed", "x09"]);
        prop_assert_eq!(&*pairs["cat"], "allowed");
        prop_assert_eq!(pairs.get("srcPod").cloned().unwrap_or_default(), harmless(&bounded(&name)));
    }

    #[test]
    fn a_frame_is_as_long_as_it_says(name in name()) {
        let row = named(&name);
        let syslog = Syslog::new(&name, "leef");
        let message = syslog.message(&row, export(ExportFormat::Leef, std::slice::from_ref(&row)).trim_end_matches('\n'));
        let framed = Syslog::framed(&message);
        let (length, rest) = framed.split_once(' ').unwrap();
        prop_assert_eq!(length.parse::<usize>().unwrap(), rest.len());
        prop_assert_eq!(message.split(' ').nth(5), Some("leef"));
    }
}
