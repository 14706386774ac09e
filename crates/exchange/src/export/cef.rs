//! CEF: ArcSight Common Event Format, `CEF:0|vendor|product|version|event|name|severity|key=value ...`
//! (Implementing ArcSight CEF, version 25: escapes, and the keys of its extension dictionary).
//!
//! Version 0 has no IPv6 in `src` and `dst`; those addresses go where it wants them, into `c6a2` and
//! `c6a3`.

use std::net::IpAddr;

use sekisho_base::harmless;
use sekisho_model::{EdgeDay, Party, Process, Protocol, Verdict};

use super::text::{PRODUCT, bounded, doubts, milliseconds};

/// The keys of a record, each written only if it has something to say.
struct Extension(String);

impl Extension {
    fn add(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(key);
        self.0.push('=');
        self.0.push_str(&value_of(value));
    }

    fn number(&mut self, key: &str, value: u64) {
        self.add(key, &value.to_string());
    }

    /// One of the fields that the sender names itself.
    fn custom(&mut self, key: &str, label: &str, value: &str) {
        if !value.is_empty() {
            self.add(key, value);
            self.add(&format!("{key}Label"), label);
        }
    }

    fn address(&mut self, party: &Party, keys: (&str, &str), label: &str) {
        match party.address {
            Some(IpAddr::V4(address)) => self.add(keys.0, &address.to_string()),
            Some(IpAddr::V6(address)) => self.custom(keys.1, label, &address.to_string()),
            None => {}
        }
    }

    fn process(&mut self, process: Option<&Process>, keys: (&str, &str)) {
        if let Some(process) = process {
            self.add(keys.0, &process.to_string());
            self.number(keys.1, u64::from(process.uid));
        }
    }
}

/// A value of the extension: `\`, `=` and ends of lines are escaped.
fn value_of(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for c in bounded(text).chars() {
        match c {
            '\\' => value.push_str("\\\\"),
            '=' => value.push_str("\\="),
            '\n' => value.push_str("\\n"),
            '\r' => value.push_str("\\r"),
            other => value.push(other),
        }
    }
    harmless(&value)
}

/// A field of the head: `\` and `|` are escaped, and no line may end in it.
fn header(text: &str) -> String {
    harmless(&bounded(text)).replace('\\', "\\\\").replace('|', "\\|")
}

/// Event, its name, and its severity, 0 to 10 (0 to 3 is low, 4 to 6 medium).
fn event(verdict: Verdict) -> (&'static str, &'static str, u8) {
    match verdict {
        Verdict::Allowed => ("allowed", "Connections allowed", 0),
        Verdict::Denied => ("denied", "Connections denied by policy", 5),
        Verdict::WouldDeny => ("would_deny", "Connections a staged policy would deny", 3),
        Verdict::Unknown => ("unknown", "Connections of unknown fate", 1),
    }
}

/// The name of an end: its pod, else the DNS name that was asked for, else what it is called.
fn host(party: &Party) -> &str {
    if party.pod.is_empty() {
        party.dns_name.as_deref().unwrap_or(&party.workload.name)
    } else {
        &party.pod
    }
}

/// One line.
pub(super) fn record(row: &EdgeDay, version: &str) -> String {
    let (key, stats) = (&row.key, &row.stats);
    let (id, name, severity) = event(key.verdict);
    let mut extension = Extension(String::new());
    extension.number("start", milliseconds(stats.first_seen));
    extension.number("end", milliseconds(stats.last_seen));
    extension.add("act", id);
    extension.add("proto", &key.protocol.to_string());
    extension.address(&key.source, ("src", "c6a2"), "Source IPv6 Address");
    extension.add("shost", host(&key.source));
    extension.process(key.source_process.as_deref(), ("sproc", "suid"));
    extension.address(&key.destination, ("dst", "c6a3"), "Destination IPv6 Address");
    extension.add("dhost", host(&key.destination));
    if key.protocol != Protocol::Icmp {
        extension.number("dpt", u64::from(key.port));
    }
    extension.process(key.destination_process.as_deref(), ("dproc", "duid"));
    extension.number("cnt", stats.connections);
    // The dictionary's directions: in is from source to destination, out is back.
    extension.number("in", stats.bytes_sent);
    extension.number("out", stats.bytes_received);
    extension.custom("cs1", "sourceWorkload", &key.source.id());
    extension.custom("cs2", "destinationWorkload", &key.destination.id());
    let service = key.service.as_ref().map(ToString::to_string).unwrap_or_default();
    extension.custom("cs3", "service", &service);
    let decided = key.decided_by.as_ref().map(ToString::to_string).unwrap_or_default();
    extension.custom("cs4", "decidedBy", &decided);
    extension.custom("cs5", "cluster", key.cluster.as_str());
    extension.custom("cs6", "doubts", &doubts(row));
    extension.custom("cn1", "resets", &stats.resets.to_string());
    extension.custom("cn2", "packetsSent", &stats.packets_sent.to_string());
    extension.custom("cn3", "packetsReceived", &stats.packets_received.to_string());
    let version = header(version);
    format!("CEF:0|{PRODUCT}|{PRODUCT}|{version}|{id}|{name}|{severity}|{}", extension.0)
}
