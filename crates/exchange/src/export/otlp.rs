//! OTLP logs in their JSON form (opentelemetry-proto 1.3, `ExportLogsServiceRequest`, JSON Protobuf
//! encoding): one log record for each edge, all of one resource.

use sekisho_model::{EdgeDay, EdgeKey, Party, Process, Timestamp, Verdict};
use serde_json::{Value, json};

use super::text::{PRODUCT, ascii};

/// The records as one request body.
#[must_use]
pub fn otlp_logs(rows: &[EdgeDay], version: &str) -> String {
    let records: Vec<Value> = rows.iter().map(record).collect();
    let scope = json!({ "name": "sekisho", "version": version });
    let resource = [("service.name", PRODUCT), ("service.version", version)];
    let resource: Vec<Value> = resource.into_iter().map(|(key, value)| text(key, value)).collect();
    let request = json!({
        "resourceLogs": [{
            "resource": { "attributes": resource },
            "scopeLogs": [{ "scope": scope, "logRecords": records }]
        }]
    });
    ascii(&request.to_string())
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit integers are strings in the JSON encoding of protobuf.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanos(time: Timestamp) -> String {
    time.nanos().to_string()
}

/// Severity number and text (opentelemetry-proto, `SeverityNumber`): 9 INFO, 10 INFO2, 13 WARN.
fn severity(verdict: Verdict) -> (u32, &'static str) {
    match verdict {
        Verdict::Allowed | Verdict::Unknown => (9, "INFO"),
        Verdict::WouldDeny => (10, "INFO2"),
        Verdict::Denied => (13, "WARN"),
    }
}

fn record(row: &EdgeDay) -> Value {
    let EdgeDay { key, stats, .. } = row;
    let (number_of, severity) = severity(key.verdict);
    let body = format!(
        "{} -> {}:{}/{} {}",
        key.source, key.destination, key.port, key.protocol, key.verdict
    );
    json!({
        "timeUnixNano": nanos(stats.last_seen),
        "observedTimeUnixNano": nanos(stats.last_seen),
        "severityNumber": number_of,
        "severityText": severity,
        "body": { "stringValue": body },
        "attributes": attributes(key, row),
    })
}

/// Names of the OpenTelemetry semantic conventions where there is one, else with our own prefix.
fn attributes(key: &EdgeKey, row: &EdgeDay) -> Vec<Value> {
    let stats = &row.stats;
    let mut all = vec![
        text("k8s.cluster.name", key.cluster.as_str()),
        text("network.transport", &key.protocol.to_string().to_ascii_lowercase()),
        number("destination.port", u64::from(key.port)),
        text("sekisho.verdict", &key.verdict.to_string()),
        number("sekisho.connections", stats.connections),
        number("sekisho.bytes_sent", stats.bytes_sent),
        number("sekisho.bytes_received", stats.bytes_received),
        number("sekisho.packets_sent", stats.packets_sent),
        number("sekisho.packets_received", stats.packets_received),
        number("sekisho.resets", stats.resets),
        text("sekisho.first_seen", &stats.first_seen.to_string()),
    ];
    end("source", &key.source, key.source_process.as_deref(), &mut all);
    end("destination", &key.destination, key.destination_process.as_deref(), &mut all);
    if let Some(service) = &key.service {
        all.push(text("sekisho.service", &service.to_string()));
    }
    if let Some(decided) = &key.decided_by {
        all.push(text("sekisho.decided_by", &decided.to_string()));
    }
    all
}

fn end(name: &str, party: &Party, process: Option<&Process>, all: &mut Vec<Value>) {
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            all.push(text(&format!("{name}.{key}"), value));
        }
    };
    if let Some(address) = party.address {
        add("address", &address.to_string());
    }
    add("k8s.namespace.name", &party.workload.namespace);
    add("k8s.pod.name", &party.pod);
    add("workload", &party.id());
    add("domain", party.dns_name.as_deref().unwrap_or_default());
    if let Some(process) = process {
        add("process.executable.path", &process.exe);
        add("process.command", &process.comm);
        let container = process.container.as_ref();
        add("container.image.name", container.map_or("", |container| &container.image));
    }
}
