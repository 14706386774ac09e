//! Metrics and logs, as other programs read them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use super::halves::Pair;
use super::served::{Served, block_on};

/// Reads the text format (Prometheus exposition format 0.0.4): series to value. Panics on anything
/// that the format does not allow.
fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line must end, too");
    let mut series = BTreeMap::new();
    let (mut family, mut seen) = (String::new(), BTreeSet::new());
    let mut typed = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty(), "{line}");
            assert!(seen.insert(name.to_owned()), "family twice: {line}");
            (family, typed) = (name.to_owned(), false);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(name == family && !typed, "{line}");
            assert!(["counter", "gauge", "untyped"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            typed = true;
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match key.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (key, ""),
            };
            assert!(typed && name == family, "a series outside of its family: {line}");
            check_labels(labels);
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(series.insert(key.to_owned(), value).is_none(), "series twice: {line}");
        }
    }
    series
}

fn is_name(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(ok) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// `name="value",...` with backslash, quote and line feed escaped.
fn check_labels(mut labels: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").unwrap();
        assert!(is_name(name), "{labels}");
        let mut escaped = false;
        let end = rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let rest = &rest[end.unwrap() + 1..];
        labels = rest.strip_prefix(',').unwrap_or(rest);
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_parse_and_say_the_same_on_loopback_and_socket() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut served = Served::start(&format!("metrics_listen = \"{free}\""));
    for batch in Pair::new().batches(4) {
        served.send(&batch).unwrap();
        served.send(&batch).unwrap();
    }
    let answer = get(&free, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"));
    let tcp = parse(body);
    let unix = parse(&block_on(served.client().metrics()).unwrap());
    assert_eq!(tcp.keys().collect::<Vec<_>>(), unix.keys().collect::<Vec<_>>());
    assert_eq!(unix["sekisho_batches_total{state=\"taken\"}"], 2.0);
    assert_eq!(unix["sekisho_batches_total{state=\"repeated\"}"], 2.0);
    assert_eq!(unix["sekisho_agent_up{node=\"node-a\"}"], 1.0);
    assert_eq!(unix["sekisho_objects"], 11.0);
    let records = |state| {
        unix[&format!("sekisho_records_total{{node=\"node-a\",hook=\"tcp\",state=\"{state}\"}}")]
    };
    assert_eq!(records("produced"), records("delivered") + records("dropped"));
    // Nothing but metrics leaves the socket.
    assert!(get(&free, "/v1/status").starts_with("HTTP/1.1 404"));
    assert!(served.stop().success());
}

#[test]
fn a_metrics_address_that_others_could_reach_is_refused() {
    for address in ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:9464", "nonsense"] {
        let mut served = Served::prepared(&format!("metrics_listen = \"{address}\""));
        let (code, log) = served.refused();
        let last = log.lines().last().unwrap_or_default();
        assert!(code == 2 && last.contains("metrics_listen") && last.contains(address), "{log}");
        assert!(!served.socket.exists());
    }
}

#[test]
fn every_line_of_a_json_log_is_one_object() {
    let mut served = Served::start("");
    for batch in Pair::new().batches(1) {
        served.send(&batch).unwrap();
    }
    assert!(served.stop().success());
    let log = served.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let said = |message: &str| lines.iter().any(|line| line["message"] == message);
    assert!(said("serving") && said("server stopped, history sealed"), "{log}");
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
}

/// Names and labels of series that a query asks for: `sekisho_...`, and what stands in `by (...)` or
/// `$labels.`.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with("sekisho_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_series_that_there_are() {
    let own = env!("CARGO_MANIFEST_DIR");
    let files = std::fs::read_dir(format!("{own}/src/server")).unwrap();
    let source: String =
        files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok()).collect();
    let known = names_in(&source);
    assert!(known.len() > 40, "{known:?}");
    for file in ["grafana/sekisho.json", "prometheus/alerts.yaml"] {
        let text = std::fs::read_to_string(format!("{own}/../../deploy/{file}")).unwrap();
        let asked = names_in(&text);
        assert!(asked.len() > 5, "{file}");
        assert!(asked.is_subset(&known), "{file}: {:?}", asked.difference(&known));
    }
    let text = std::fs::read_to_string(format!("{own}/../../deploy/grafana/sekisho.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
}
