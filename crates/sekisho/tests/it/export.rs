//! History out: from an import to each format and back to counts, to files, pipes and syslog.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::import::{Folder, flows};
use crate::run::{run, sekisho};

/// Connections of each of the four edges in the history below.
const CONNECTIONS: u64 = 50;
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a history of four edges.
fn history() -> (Folder, String) {
    let folder = Folder::new();
    let file = folder.file("flows.json", flows(50).as_bytes());
    let store = folder.path("history");
    run(&["import", "--store", &store, &file]).with_code(0);
    (folder, store)
}

fn export(store: &str, format: &str) -> String {
    run(&["export", "--store", store, "--format", format]).with_code(0).out
}

/// The number that follows `key` in a line.
fn number_after(line: &str, key: &str) -> u64 {
    let (_, rest) = line.split_once(key).unwrap();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

#[test]
fn an_imported_file_comes_out_in_each_format_with_its_counts() {
    let (_folder, store) = history();
    let counts = |format: &str, key: &str| -> Vec<u64> {
        export(&store, format).lines().map(|line| number_after(line, key)).collect()
    };
    let expected = vec![CONNECTIONS; 4];
    assert_eq!(counts("jsonl", "\"connections\":"), expected);
    assert_eq!(counts("ocsf", "\"count\":"), expected);
    assert_eq!(counts("cef", " cnt="), expected);
    assert_eq!(counts("leef", "\tconnections="), expected);
    let text = export(&store, "csv");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let column = rows[0].iter().position(|name| *name == "connections").unwrap();
    let cells: Vec<_> = rows[1..].iter().map(|row| row[column]).collect();
    assert_eq!(cells, ["50"; 4]);
}

#[test]
fn records_name_the_edges_of_the_map() {
    let (_folder, store) = history();
    let map = run(&["map", "--store", &store, "-o", "json"]).with_code(0).json();
    let edge = |edge: &Value| (edge["source"].as_str().unwrap().to_owned(), edge["port"].as_u64());
    let of_map: BTreeSet<_> = map["edges"].as_array().unwrap().iter().map(edge).collect();
    let record = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let source = event["src_endpoint"]["uid"].as_str().unwrap().to_owned();
        (source, event["dst_endpoint"]["port"].as_u64())
    };
    let exported: BTreeSet<_> = export(&store, "ocsf").lines().map(record).collect();
    assert_eq!(exported, of_map);
}

#[test]
fn minutes_have_the_same_connections_in_more_records() {
    let (_folder, store) = history();
    let records = |by: &str| -> Vec<(String, u64)> {
        let words = ["export", "--store", &store, "--format", "jsonl", "--by", by];
        let text = run(&words).with_code(0).out;
        let record = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            let minute = record["first_seen"].as_str().unwrap()[..16].to_owned();
            assert!(by == "day" || record["last_seen"].as_str().unwrap().starts_with(&minute));
            (minute, record["connections"].as_u64().unwrap())
        };
        text.lines().map(record).collect()
    };
    let (days, minutes) = (records("day"), records("minute"));
    let sum = |records: &[(String, u64)]| records.iter().map(|(_, count)| count).sum::<u64>();
    assert_eq!((sum(&days), sum(&minutes)), (4 * CONNECTIONS, 4 * CONNECTIONS));
    assert!(days.len() == 4 && minutes.len() > 100, "{} {}", days.len(), minutes.len());
    assert!(minutes.is_sorted_by_key(|(minute, _)| minute));
}

#[test]
fn filters_leave_out_what_was_not_asked_for() {
    let (_folder, store) = history();
    let lines = |more: &[&str]| {
        let words = [&["export", "--store", &store, "--format", "jsonl"], more].concat();
        run(&words).with_code(0).out.lines().count()
    };
    assert_eq!(lines(&["--namespace", "shop", "--verdict", "allowed"]), 4);
    assert_eq!(lines(&["--namespace", "bank", "--namespace", "shop"]), 4);
    assert_eq!(lines(&["--namespace", "bank"]), 0);
    assert_eq!(lines(&["--verdict", "denied"]), 0);
    assert_eq!(lines(&["--since", "2025-11-23T12:00:00Z", "--until", "2025-11-23T14:00:00Z"]), 4);
}

#[test]
fn a_file_holds_what_standard_output_would_and_nothing_is_left_beside_it() {
    let (folder, store) = history();
    let file = folder.file("edges.csv", b"old");
    // What a killed export left.
    folder.file("edges.csv.part", b"half of a much longer fi".repeat(1_000).as_slice());
    run(&["export", "--store", &store, "--format", "csv", "-o", &file]).with_code(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), export(&store, "csv"));
    let names = std::fs::read_dir(folder.path("")).unwrap();
    let names: BTreeSet<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn two_exports_to_one_file_at_once_are_kept_apart() {
    let (folder, store) = history();
    let file = folder.file("edges.csv", b"old");
    let part = std::fs::File::create(folder.path("edges.csv.part")).unwrap();
    part.lock().unwrap();
    let words = ["export", "--store", &store, "--format", "csv", "-o", &file];
    let answer = run(&words).with_code(2);
    assert!(answer.err.contains("another export"), "{}", answer.err);
    assert_eq!(std::fs::read(&file).unwrap(), b"old");
    drop(part);
    run(&words).with_code(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), export(&store, "csv"));
}

#[test]
fn what_cannot_be_written_is_said_and_an_old_file_stays() {
    let (folder, store) = history();
    let nowhere = folder.path("absent/edges.csv");
    let answer =
        run(&["export", "--store", &store, "--format", "csv", "-o", &nowhere]).with_code(2);
    assert!(answer.err.contains(&nowhere), "{}", answer.err);
    let full =
        run(&["export", "--store", &store, "--format", "csv", "-o", "/dev/full"]).with_code(2);
    assert!(full.err.contains("/dev/full"), "{}", full.err);
    let syslog = ["export", "--store", &store, "--format", "csv", "--syslog", "udp://127.0.0.1:9"];
    assert!(run(&syslog).with_code(2).err.contains("csv"));
}

#[test]
fn gaps_in_history_end_with_code_3_after_all_records() {
    let folder = Folder::new();
    let lost = r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"7"},"node_name":"node-1","time":"2025-11-23T12:10:00Z"}"#;
    let file = folder.file("flows.json", format!("{}{lost}\n", flows(50)).as_bytes());
    let store = folder.path("history");
    run(&["import", "--store", &store, &file]).with_code(3);
    let answer = run(&["export", "--store", &store, "--format", "jsonl"]).with_code(3);
    assert_eq!(answer.out.lines().count(), 4);
    assert!(answer.err.contains("gap: "), "{}", answer.err);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let (_folder, store) = history();
    let words = ["export", "--store", &store, "--format", "jsonl"];
    let mut child = sekisho(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_collector_gets_each_record_as_one_message_over_tcp() {
    let (_folder, store) = history();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let collector = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut reader, mut messages) = (BufReader::new(stream), Vec::new());
        loop {
            let mut length = Vec::new();
            if reader.read_until(b' ', &mut length).unwrap() == 0 {
                return messages;
            }
            let length: usize = String::from_utf8(length).unwrap().trim().parse().unwrap();
            let mut message = vec![0; length];
            reader.read_exact(&mut message).unwrap();
            messages.push(String::from_utf8(message).unwrap());
        }
    });
    run(&["export", "--store", &store, "--format", "cef", "--syslog", &url]).with_code(0);
    let messages = collector.join().unwrap();
    let records: Vec<_> =
        messages.iter().map(|text| text.split_once(" - cef - ").unwrap().1).collect();
    assert_eq!(records, export(&store, "cef").lines().collect::<Vec<_>>());
    assert!(messages.iter().all(|text| text.starts_with("<134>1 2025-11-23T")), "{messages:?}");
}

#[test]
fn a_collector_gets_each_record_as_one_datagram_over_udp() {
    let (_folder, store) = history();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    run(&["export", "--store", &store, "--format", "leef", "--syslog", &url]).with_code(0);
    let mut records = Vec::new();
    for _ in 0..4 {
        let mut datagram = vec![0; 65_536];
        let bytes = socket.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(&datagram[..bytes]).into_owned();
        records.push(text.split_once(" - leef - ").unwrap().1.to_owned());
    }
    assert_eq!(records, export(&store, "leef").lines().collect::<Vec<_>>());
}

#[test]
fn a_collector_that_is_not_there_is_said() {
    let (_folder, store) = history();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("tcp://127.0.0.1:{port}");
    let answer =
        run(&["export", "--store", &store, "--format", "cef", "--syslog", &url]).with_code(2);
    assert!(answer.err.contains(&url), "{}", answer.err);
}
