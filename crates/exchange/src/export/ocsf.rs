//! OCSF 1.3.0, class Network Activity (4001) with the profiles Security Control and Container
//! (schema.ocsf.io/1.3.0/classes/network_activity): one JSON object a line.
//!
//! A record is a report of traffic (activity 6) and not an opened connection: it sums those of a day.
//! What the class has no attribute for stands in `unmapped`; a process does, since OCSF wants its pid
//! and an edge never holds one.

use std::net::IpAddr;

use sekisho_model::{DecidedBy, EdgeDay, EdgeKey, Party, PartyKind, Process, Protocol, Verdict};
use serde_json::{Map, Value, json};

use super::exporter::ExportError;
use super::text::{PRODUCT, ascii, hours, milliseconds, reporters};

const VERSION: &str = "1.3.0";
const CATEGORY: u32 = 4;
const CLASS: u32 = 4_001;

/// Number and caption of an enumeration's value.
type Word = (u32, &'static str);

/// What a verdict is called in each of the enumerations.
struct Words {
    activity: Word,
    severity: Word,
    status: Word,
    action: Word,
    disposition: Word,
}

fn words(verdict: Verdict) -> Words {
    const TRAFFIC: Word = (6, "Traffic");
    const SUCCESS: Word = (1, "Success");
    const UNKNOWN: Word = (0, "Unknown");
    const ALLOWED: Word = (1, "Allowed");
    const INFORMATIONAL: Word = (1, "Informational");
    match verdict {
        Verdict::Allowed => Words {
            activity: TRAFFIC,
            severity: INFORMATIONAL,
            status: SUCCESS,
            action: ALLOWED,
            disposition: ALLOWED,
        },
        Verdict::Denied => Words {
            activity: (5, "Refuse"),
            severity: (3, "Medium"),
            status: (2, "Failure"),
            action: (2, "Denied"),
            disposition: (2, "Blocked"),
        },
        Verdict::WouldDeny => Words {
            activity: TRAFFIC,
            severity: (2, "Low"),
            status: SUCCESS,
            action: ALLOWED,
            disposition: (17, "Logged"),
        },
        Verdict::Unknown => Words {
            activity: UNKNOWN,
            severity: INFORMATIONAL,
            status: UNKNOWN,
            action: UNKNOWN,
            disposition: UNKNOWN,
        },
    }
}

/// One line.
pub(super) fn record(row: &EdgeDay, version: &str) -> Result<String, ExportError> {
    let (key, stats) = (&row.key, &row.stats);
    let words = words(key.verdict);
    let (start, end) = (milliseconds(stats.first_seen), milliseconds(stats.last_seen));
    let event = json!({
        "activity_id": words.activity.0,
        "activity_name": words.activity.1,
        "category_uid": CATEGORY,
        "category_name": "Network Activity",
        "class_uid": CLASS,
        "class_name": "Network Activity",
        "type_uid": CLASS * 100 + words.activity.0,
        "type_name": format!("Network Activity: {}", words.activity.1),
        "severity_id": words.severity.0,
        "severity": words.severity.1,
        "status_id": words.status.0,
        "status": words.status.1,
        "action_id": words.action.0,
        "action": words.action.1,
        "disposition_id": words.disposition.0,
        "disposition": words.disposition.1,
        "firewall_rule": key.decided_by.as_ref().map(rule),
        "time": end,
        "start_time": start,
        "end_time": end,
        "count": long(stats.connections),
        "message": message(row),
        "metadata": metadata("edges", version),
        "src_endpoint": source(key),
        "dst_endpoint": destination(key),
        "connection_info": connection(key),
        "traffic": {
            "bytes": long(stats.bytes_sent.saturating_add(stats.bytes_received)),
            "bytes_in": long(stats.bytes_received),
            "bytes_out": long(stats.bytes_sent),
            "packets": long(stats.packets_sent.saturating_add(stats.packets_received)),
            "packets_in": long(stats.packets_received),
            "packets_out": long(stats.packets_sent),
        },
        "unmapped": unmapped(row),
    });
    Ok(ascii(&serde_json::to_string(&without_nulls(event))?))
}

/// What is told of us in each event; both classes have the same profiles.
pub(super) fn metadata(log: &str, version: &str) -> Value {
    json!({
        "version": VERSION,
        "profiles": ["security_control", "container"],
        "log_name": log,
        "product": { "name": PRODUCT, "vendor_name": PRODUCT, "version": version },
    })
}

fn message(row: &EdgeDay) -> String {
    let EdgeKey { source, destination, protocol, port, verdict, .. } = &*row.key;
    format!("{source} -> {destination} {protocol}/{port}: {verdict}")
}

/// `count` is an integer_t, 32 bits with a sign.
pub(super) fn count(number: u64) -> u64 {
    number.min(u64::from(i32::MAX.unsigned_abs()))
}

/// OCSF's long_t and timestamp_t are signed.
fn long(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

/// The policy that decided; this release has no other place for one in this class.
pub(super) fn rule(decided: &DecidedBy) -> Value {
    json!({ "name": decided.policy, "desc": decided.to_string() })
}

fn endpoint(party: &Party, process: Option<&Process>) -> Value {
    let name = if party.pod.is_empty() { &party.workload.name } else { &party.pod };
    let hostname = party.dns_name.as_deref().filter(|name| is_hostname(name));
    let container = process.and_then(|process| process.container.as_ref()).map(|container| {
        json!({
            "name": container.name,
            "image": { "name": container.image, "uid": container.image },
        })
    });
    json!({
        "name": name,
        "uid": party.id(),
        "ip": party.address,
        "hostname": hostname,
        "container": container,
    })
}

pub(super) fn source(key: &EdgeKey) -> Value {
    endpoint(&key.source, key.source_process.as_deref())
}

pub(super) fn destination(key: &EdgeKey) -> Value {
    let mut endpoint = endpoint(&key.destination, key.destination_process.as_deref());
    if let Value::Object(fields) = &mut endpoint {
        if key.protocol != Protocol::Icmp {
            fields.insert("port".to_owned(), key.port.into());
        }
        if let Some(service) = &key.service {
            fields.insert("svc_name".to_owned(), service.to_string().into());
        }
    }
    endpoint
}

/// OCSF's hostname_t is a name by the rules of DNS; what is not stays in `unmapped` alone.
fn is_hostname(name: &str) -> bool {
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(fits)
}

pub(super) fn connection(key: &EdgeKey) -> Value {
    let address = key.destination.address.or(key.source.address);
    let version = address.map(|address| if address.is_ipv4() { 4 } else { 6 });
    let (number, name) = match (key.protocol, address) {
        (Protocol::Tcp, _) => (6, "tcp"),
        (Protocol::Udp, _) => (17, "udp"),
        (Protocol::Sctp, _) => (132, "sctp"),
        (Protocol::Icmp, Some(IpAddr::V6(_))) => (58, "ipv6-icmp"),
        (Protocol::Icmp, Some(IpAddr::V4(_)) | None) => (1, "icmp"),
    };
    let outside = |party: &Party| party.kind == PartyKind::External;
    let (id, direction) = match (outside(&key.source), outside(&key.destination)) {
        (true, true) => (0, "Unknown"),
        (true, false) => (1, "Inbound"),
        (false, true) => (2, "Outbound"),
        (false, false) => (3, "Lateral"),
    };
    json!({
        "direction_id": id,
        "direction": direction,
        "protocol_num": number,
        "protocol_name": name,
        "protocol_ver_id": version,
    })
}

pub(super) fn unmapped(row: &EdgeDay) -> Value {
    let (key, stats) = (&row.key, &row.stats);
    json!({
        "cluster": key.cluster,
        "verdict": key.verdict,
        "decided_by": key.decided_by,
        "day": row.day,
        "hours": hours(row),
        "resets": stats.resets,
        "reporters": reporters(stats.reporters),
        "loss": stats.loss,
        "direction_inferred": key.direction_inferred,
        "source": party(&key.source, key.source_process.as_deref()),
        "destination": party(&key.destination, key.destination_process.as_deref()),
    })
}

fn party(party: &Party, process: Option<&Process>) -> Value {
    let program =
        |process: &Process| json!({ "exe": process.exe, "comm": process.comm, "uid": process.uid });
    json!({
        "kind": party.kind,
        "namespace": party.workload.namespace,
        "workload": party.workload.name,
        "workload_kind": party.workload.kind,
        "dns_name": party.dns_name,
        "labels": party.labels,
        "process": process.map(program),
    })
}

/// An attribute that is not known is left out: null is no value of OCSF's types.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let told = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                told.map(|(name, value)| (name, without_nulls(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
