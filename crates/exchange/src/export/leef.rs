//! LEEF 2.0: Log Event Extended Format of `QRadar`, `LEEF:2.0|vendor|product|version|event|delimiter|`,
//! then `key=value` by tabs (IBM, LEEF event components and Predefined LEEF event attributes).
//!
//! LEEF has no escapes, so what would end a field or a line is replaced.

use sekisho_model::{EdgeDay, Process, Protocol, Verdict};

use super::text::{PRODUCT, doubts, milliseconds, plain};

/// The delimiter as the head declares it: a tab, hexadecimal.
const DELIMITER: (&str, &str) = ("x09", "\t");

/// Severity, 1 to 10.
fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allowed => 1,
        Verdict::Denied => 5,
        Verdict::WouldDeny => 3,
        Verdict::Unknown => 2,
    }
}

fn program(process: Option<&Process>) -> String {
    process.map(ToString::to_string).unwrap_or_default()
}

/// One line.
pub(super) fn record(row: &EdgeDay, version: &str) -> String {
    let (key, stats) = (&row.key, &row.stats);
    let text = |value: Option<String>| value.unwrap_or_default();
    let ends = [&key.source, &key.destination];
    let [source, destination] = ends.map(|end| text(end.address.map(|ip| ip.to_string())));
    let port = if key.protocol == Protocol::Icmp { String::new() } else { key.port.to_string() };
    let fields = [
        // Thirteen digits are milliseconds by definition, without a devTimeFormat.
        ("devTime", milliseconds(stats.last_seen).to_string()),
        ("cat", key.verdict.to_string()),
        ("sev", severity(key.verdict).to_string()),
        ("proto", key.protocol.to_string()),
        ("src", source),
        ("dst", destination),
        ("dstPort", port),
        ("srcBytes", stats.bytes_sent.to_string()),
        ("dstBytes", stats.bytes_received.to_string()),
        ("srcPackets", stats.packets_sent.to_string()),
        ("dstPackets", stats.packets_received.to_string()),
        ("policy", text(key.decided_by.as_ref().map(ToString::to_string))),
        ("firstSeen", milliseconds(stats.first_seen).to_string()),
        ("connections", stats.connections.to_string()),
        ("resets", stats.resets.to_string()),
        ("srcWorkload", key.source.id()),
        ("dstWorkload", key.destination.id()),
        ("srcPod", key.source.pod.clone()),
        ("dstPod", key.destination.pod.clone()),
        ("dstName", key.destination.dns_name.clone().unwrap_or_default()),
        ("srcProcess", program(key.source_process.as_deref())),
        ("dstProcess", program(key.destination_process.as_deref())),
        ("service", text(key.service.as_ref().map(ToString::to_string))),
        ("cluster", key.cluster.to_string()),
        ("doubts", doubts(row)),
    ];
    let told = fields.iter().filter(|(_, value)| !value.is_empty());
    let told: Vec<_> = told.map(|(name, value)| format!("{name}={}", plain(value))).collect();
    let version = plain(version).replace('|', "_");
    let head = format!("LEEF:2.0|{PRODUCT}|{PRODUCT}|{version}|{}|{}|", key.verdict, DELIMITER.0);
    head + &told.join(DELIMITER.1)
}
