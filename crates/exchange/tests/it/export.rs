//! One record of each kind in each format, as docs/export.md shows them.

use std::sync::Arc;

use sekisho_exchange::{ExportFormat, Exporter, Syslog, otlp_logs};
use sekisho_model::{
    ClusterName, Container, DecidedBy, Direction, EdgeDay, EdgeKey, EdgeStats, Labels, Party,
    PartyKind, Process, Protocol, Reporters, ServiceRef, Verdict, WorkloadRef,
};
use serde_json::Value;

use crate::export_readers::{cef, csv, leef};

fn pod(name: &str, address: &str) -> Party {
    Party {
        kind: PartyKind::Pod,
        workload: WorkloadRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            kind: "Deployment".to_owned(),
        },
        pod: format!("{name}-6f9c-x1"),
        labels: Labels::from([("app".to_owned(), name.to_owned())]),
        address: Some(address.parse().unwrap()),
        dns_name: None,
    }
}

fn process(exe: &str) -> Process {
    let comm = exe.rsplit('/').next().unwrap().to_owned();
    Process { exe: exe.to_owned(), comm, uid: 1000, container: None }
}

/// `shop/cart` to `shop/db`, twelve connections of one morning.
pub(crate) fn allowed() -> EdgeDay {
    let mut source = process("/usr/bin/cart");
    let image = "registry.example/cart@sha256:0f3a".to_owned();
    source.container = Some(Container { name: "cart".to_owned(), image });
    EdgeDay {
        key: Arc::new(EdgeKey {
            source: Arc::new(pod("cart", "10.0.1.5")),
            source_process: Some(Arc::new(source)),
            destination: Arc::new(pod("db", "10.0.2.7")),
            destination_process: None,
            protocol: Protocol::Tcp,
            port: 5432,
            service: Some(ServiceRef {
                namespace: "shop".to_owned(),
                name: "db".to_owned(),
                port: 5432,
            }),
            verdict: Verdict::Allowed,
            decided_by: None,
            direction_inferred: false,
            cluster: ClusterName::default(),
        }),
        day: "2026-11-23T00:00:00Z".parse().unwrap(),
        hours: 0b11 << 8,
        stats: EdgeStats {
            connections: 12,
            bytes_sent: 3_400,
            bytes_received: 81_000,
            packets_sent: 40,
            packets_received: 77,
            resets: 1,
            first_seen: "2026-11-23T08:15:00.250Z".parse().unwrap(),
            last_seen: "2026-11-23T09:41:30Z".parse().unwrap(),
            reporters: Reporters { source: true, destination: true, datapath: false },
            loss: false,
        },
    }
}

/// `shop/cart` to a name outside, by IPv6, which a policy denied.
pub(crate) fn denied() -> EdgeDay {
    let mut row = allowed();
    let address = "2001:db8::7".parse().unwrap();
    row.stats.reporters = Reporters { source: false, destination: false, datapath: true };
    row.stats.loss = true;
    (row.stats.bytes_received, row.stats.packets_received) = (0, 0);
    let key = row.key_mut();
    key.source =
        Arc::new(Party { address: Some("2001:db8::5".parse().unwrap()), ..pod("cart", "::1") });
    key.destination = Arc::new(Party::external(address, Some("evil.example".to_owned())));
    key.service = None;
    key.verdict = Verdict::Denied;
    key.decided_by = Some(DecidedBy {
        policy: "shop/default-deny".to_owned(),
        rule: None,
        direction: Direction::Egress,
    });
    row
}

pub(crate) fn exporter(format: ExportFormat) -> Exporter {
    Exporter::new(format, "1.2.3")
}

/// All of `rows`, as a file would hold them.
pub(crate) fn export(format: ExportFormat, rows: &[EdgeDay]) -> String {
    let exporter = exporter(format);
    let mut text = exporter.head();
    for row in rows {
        text += &(exporter.record(row).unwrap() + exporter.line_end());
    }
    text
}

fn check(format: ExportFormat) -> String {
    export(format, &[allowed(), denied()])
}

/// JSON on many lines, for a snapshot that people read.
fn pretty(text: &str) -> String {
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    values.map(|value| serde_json::to_string_pretty(&value).unwrap() + "\n").collect()
}

#[test]
fn our_own_json_has_the_documented_fields() {
    insta::assert_snapshot!(pretty(&check(ExportFormat::Jsonl)));
}

#[test]
fn csv_has_a_head_and_a_row_for_each_record() {
    insta::assert_snapshot!(check(ExportFormat::Csv));
}

#[test]
fn ocsf_is_network_activity_with_what_the_policy_did() {
    insta::assert_snapshot!(pretty(&export(ExportFormat::Ocsf, &[denied()])));
}

#[test]
fn cef_uses_the_keys_of_its_dictionary() {
    insta::assert_snapshot!(check(ExportFormat::Cef));
}

#[test]
fn leef_declares_its_delimiter() {
    insta::assert_snapshot!(check(ExportFormat::Leef));
}

#[test]
fn ocsf_words_agree_with_each_verdict() {
    let expected = [
        (Verdict::Allowed, [6, 400_106, 1, 1, 1]),
        (Verdict::Denied, [5, 400_105, 2, 2, 2]),
        (Verdict::WouldDeny, [6, 400_106, 1, 1, 17]),
        (Verdict::Unknown, [0, 400_100, 0, 0, 0]),
    ];
    for (verdict, numbers) in expected {
        let mut row = allowed();
        row.key_mut().verdict = verdict;
        let event: Value = serde_json::from_str(&export(ExportFormat::Ocsf, &[row])).unwrap();
        let names = ["activity_id", "type_uid", "status_id", "action_id", "disposition_id"];
        assert_eq!(names.map(|name| event[name].as_u64().unwrap()), numbers, "{verdict}");
    }
}

#[test]
fn a_direction_of_ocsf_is_seen_from_the_cluster() {
    let outside = || Arc::new(Party::external("192.0.2.1".parse().unwrap(), None));
    let direction = |row: EdgeDay| {
        let event: Value = serde_json::from_str(&export(ExportFormat::Ocsf, &[row])).unwrap();
        event["connection_info"]["direction_id"].as_u64().unwrap()
    };
    let (mut inbound, mut outbound) = (allowed(), allowed());
    inbound.key_mut().source = outside();
    outbound.key_mut().destination = outside();
    assert_eq!([direction(allowed()), direction(inbound), direction(outbound)], [3, 1, 2]);
}

#[test]
fn what_readers_get_is_what_was_counted() {
    let row = allowed();
    let (_, pairs) = cef(export(ExportFormat::Cef, std::slice::from_ref(&row)).trim_end());
    assert_eq!([&*pairs["cnt"], &*pairs["in"], &*pairs["out"]], ["12", "3400", "81000"]);
    let (_, pairs) = leef(export(ExportFormat::Leef, std::slice::from_ref(&row)).trim_end());
    assert_eq!(
        [&*pairs["connections"], &*pairs["srcBytes"], &*pairs["dstBytes"]],
        ["12", "3400", "81000"]
    );
    let rows = csv(&export(ExportFormat::Csv, &[row]));
    assert_eq!(
        [&*rows[0]["connections"], &*rows[0]["port"], &*rows[0]["hours"]],
        ["12", "5432", "8 9"]
    );
}

#[test]
fn counts_beyond_a_signed_number_stay_numbers_that_ocsf_can_hold() {
    let mut row = allowed();
    row.stats.bytes_sent = u64::MAX;
    let event: Value = serde_json::from_str(&export(ExportFormat::Ocsf, &[row])).unwrap();
    assert_eq!(event["traffic"]["bytes"].as_i64(), Some(i64::MAX));
}

#[test]
fn a_syslog_message_has_its_severity_time_and_length() {
    let syslog = Syslog::new("node-1", "cef");
    let denied = syslog.message(&denied(), "CEF:0|x");
    assert_eq!(denied, "<132>1 2026-11-23T09:41:30.000Z node-1 sekisho - cef - CEF:0|x");
    assert_eq!(Syslog::framed("關 x"), "5 關 x");
    let allowed = Syslog::new("a b", "cef").message(&allowed(), "x");
    assert_eq!(allowed, "<134>1 2026-11-23T09:41:30.000Z - sekisho - cef - x");
}

#[test]
fn every_format_is_called_as_it_is_asked_for() {
    for format in ExportFormat::all() {
        assert_eq!(format.name().parse::<ExportFormat>(), Ok(format));
    }
    let error = "xml".parse::<ExportFormat>().unwrap_err().to_string();
    assert_eq!(error, "`xml` is not one of jsonl, csv, ocsf, cef, leef");
}

/// The blocks of docs/export.md that are written in `language`.
fn examples(language: &str) -> Vec<&'static str> {
    let text = include_str!("../../../../docs/export.md");
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)).collect()
}

/// Whether all that `example` tells is in `record`; `"...": "..."` stands for more.
#[track_caller]
fn assert_holds(record: &Value, example: &Value) {
    let Value::Object(fields) = example else { return assert_eq!(record, example) };
    for (name, value) in fields.iter().filter(|(name, _)| *name != "...") {
        assert_holds(&record[name], value);
    }
}

#[test]
fn examples_in_the_documentation_are_what_is_written() {
    let parsed: Vec<Value> =
        examples("json\n").into_iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let [own, ocsf, finding] = &parsed[..] else { panic!("{parsed:?}") };
    let record = |format, row| serde_json::from_str(&export(format, &[row])).unwrap();
    assert_holds(&record(ExportFormat::Jsonl, allowed()), own);
    assert_holds(&record(ExportFormat::Ocsf, denied()), ocsf);
    let created = crate::findings::event(&denied(), sekisho_exchange::FindingActivity::Create);
    assert_holds(&created, finding);
    let texts = examples("text\n");
    let [csv, cef, leef, syslog] = &texts[..] else { panic!("{texts:?}") };
    for (format, example) in
        [(ExportFormat::Csv, csv), (ExportFormat::Cef, cef), (ExportFormat::Leef, leef)]
    {
        let text = export(format, &[allowed()]);
        for (line, example) in text.lines().zip(example.lines()) {
            let example = example.trim_end_matches("...").trim_end().replace("<tab>", "\t");
            assert!(line.starts_with(&example), "{line}\nis not as\n{example}");
        }
    }
    let record = exporter(ExportFormat::Cef).record(&allowed()).unwrap();
    let message = Syslog::new("node-1", "cef").message(&allowed(), &record);
    assert!(message.starts_with(syslog.trim_end_matches("...")), "{message}");
}

#[test]
fn otlp_logs_carry_both_ends_and_numbers_of_64_bits_as_texts() {
    let rows = [allowed(), denied()];
    let body: Value = serde_json::from_str(&otlp_logs(&rows, "1.2.3")).unwrap();
    let logs = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    assert_eq!(logs.len(), 2);
    for (log, row) in logs.iter().zip(&rows) {
        assert_eq!(log["timeUnixNano"], row.stats.last_seen.nanos().to_string());
        let value = |key: &str| {
            let mut all = log["attributes"].as_array().unwrap().iter();
            let found = all.find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key}"));
            found["value"].clone()
        };
        assert_eq!(value("sekisho.verdict")["stringValue"], row.key.verdict.to_string());
        assert_eq!(value("sekisho.connections")["intValue"], row.stats.connections.to_string());
        assert_eq!(value("source.workload")["stringValue"], row.key.source.id());
        assert_eq!(value("destination.workload")["stringValue"], row.key.destination.id());
    }
    assert_eq!(
        (&logs[0]["severityText"], &logs[1]["severityText"]),
        (&"INFO".into(), &"WARN".into())
    );
}
