//! Findings of OCSF, as a receiver of alerts takes them in.

use std::sync::Arc;

use sekisho_exchange::{FindingActivity, Stamp, Syslog, findings_of, ocsf_finding};
use sekisho_model::{EdgeDay, Party, Process, Timestamp, Verdict};
use serde_json::Value;

use crate::export::{allowed, denied};

fn would_deny() -> EdgeDay {
    let mut row = denied();
    row.key_mut().verdict = Verdict::WouldDeny;
    row
}

pub(crate) fn event(row: &EdgeDay, activity: FindingActivity) -> Value {
    let finding = findings_of([row]).remove(0);
    serde_json::from_str(&ocsf_finding(&finding, activity, "1.2.3")).unwrap()
}

#[test]
fn a_denied_edge_is_a_finding_with_its_evidence() {
    let event = event(&denied(), FindingActivity::Create);
    insta::assert_snapshot!(serde_json::to_string_pretty(&event).unwrap());
}

#[test]
fn what_is_allowed_or_unknown_is_no_finding_and_what_is_or_would_be_denied_is_one() {
    let mut unknown = allowed();
    unknown.key_mut().verdict = Verdict::Unknown;
    assert!(findings_of([&allowed(), &unknown]).is_empty());
    for (row, kind, severity, control) in
        [(denied(), "denied", 3, [2, 2]), (would_deny(), "would-deny", 2, [1, 17])]
    {
        let event = event(&row, FindingActivity::Create);
        assert_eq!(event["finding_info"]["types"][0], kind);
        assert_eq!(event["severity_id"], severity);
        assert_eq!(
            ["action_id", "disposition_id"].map(|name| event[name].as_u64()),
            control.map(Some)
        );
        assert!(event["finding_info"]["attacks"].is_null(), "a denial alone is no attack");
    }
}

#[test]
fn pods_processes_days_and_numbers_of_rules_are_one_matter_and_another_port_is_another() {
    let mut rows: Vec<EdgeDay> = (0..20).map(|_| denied()).collect();
    for (place, row) in rows.iter_mut().enumerate() {
        row.day = row.day.plus_seconds(86_400 * place as u64);
        row.stats.last_seen = row.stats.last_seen.plus_seconds(86_400 * place as u64);
        let key = row.key_mut();
        let pod = format!("cart-{place}");
        key.source = Arc::new(Party { pod, address: None, ..(*key.source).clone() });
        let comm = place.to_string();
        key.source_process =
            Some(Arc::new(Process { exe: String::new(), comm, uid: 0, container: None }));
        key.decided_by.as_mut().unwrap().rule = Some(u32::try_from(place).unwrap());
    }
    let found = findings_of(&rows);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].count, found[0].evidence.len()), (240, 16));
    assert_eq!(found[0].first_seen, rows[0].stats.first_seen);
    assert_eq!(found[0].last_seen, rows[19].stats.last_seen);
    rows[0].key_mut().port = 1;
    let names: Vec<String> = findings_of(&rows).iter().map(|one| one.uid()).collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
    let prefix = "sekisho/default/denied/shop/cart[Deployment] -> evil.example[External] TCP/";
    assert!(names.iter().all(|name| name.starts_with(prefix)), "{names:?}");
}

#[test]
fn a_finding_is_created_updated_and_closed_under_one_name() {
    let over = Timestamp::from_seconds(1_800_000_000);
    let all = [FindingActivity::Create, FindingActivity::Update, FindingActivity::Close(over)]
        .map(|activity| event(&denied(), activity));
    let numbers = |name: &str| all.each_ref().map(|event| event[name].as_u64().unwrap());
    assert_eq!(numbers("activity_id"), [1, 2, 3]);
    assert_eq!(numbers("type_uid"), [200_401, 200_402, 200_403]);
    assert_eq!(numbers("status_id"), [1, 2, 4]);
    assert_eq!(numbers("time")[2], 1_800_000_000_000);
    let uid = |event: &Value| event["finding_info"]["uid"].clone();
    assert_eq!(uid(&all[0]), uid(&all[1]));
    assert_eq!(uid(&all[0]), uid(&all[2]));
}

/// Requirement `required` in schema.ocsf.io/1.3.0/classes/detection_finding, and of the objects.
#[test]
fn every_attribute_that_the_class_requires_is_there() {
    let event = event(&denied(), FindingActivity::Create);
    for path in [
        "/activity_id",
        "/category_uid",
        "/class_uid",
        "/finding_info/title",
        "/finding_info/uid",
        "/finding_info/analytic/type_id",
        "/metadata/product/vendor_name",
        "/metadata/version",
        "/severity_id",
        "/time",
        "/type_uid",
        // Of the profile Security Control.
        "/action_id",
        "/evidences/0/connection_info/direction_id",
        "/remediation/desc",
    ] {
        assert!(event.pointer(path).is_some_and(|value| !value.is_null()), "{path}");
    }
}

#[test]
fn a_count_beyond_32_bits_is_one_that_ocsf_can_hold() {
    let mut row = denied();
    row.stats.connections = u64::MAX;
    let event = event(&row, FindingActivity::Create);
    assert_eq!(event["count"].as_i64(), Some(i64::from(i32::MAX)));
}

#[test]
fn a_name_from_the_network_stays_on_its_line_and_reads_back() {
    let name = "evil\n{\"class_uid\":2004}\r\u{2028}\u{202e}\"\\";
    let mut row = denied();
    let address = "2001:db8::7".parse().unwrap();
    row.key_mut().destination = Arc::new(Party::external(address, Some(name.to_owned())));
    let finding = findings_of([&row]).remove(0);
    let line = ocsf_finding(&finding, FindingActivity::Create, "1");
    assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["class_uid"], 2004);
    assert_eq!(event["evidences"][0]["data"]["destination"]["dns_name"], name);
}

#[test]
fn syslog_tells_a_findings_severity_and_last_moment() {
    let syslog = Syslog::new("node-1", "ocsf-findings");
    for (row, priority) in [(denied(), 132), (would_deny(), 133)] {
        let message = syslog.message(Stamp::from(&findings_of([&row])[0]), "{}");
        assert_eq!(
            message,
            format!("<{priority}>1 2026-11-23T09:41:30.000Z node-1 sekisho - ocsf-findings - {{}}")
        );
    }
}
