//! JSON Lines of our own (docs/export.md): every field, by names that the inside of the program may
//! not change. So the record is written here, and not derived from the model.

use std::net::IpAddr;

use sekisho_model::{
    ClusterName, DecidedBy, EdgeDay, Labels, Party, PartyKind, Process, Protocol, ServiceRef,
    Timestamp, Verdict,
};
use serde::Serialize;

use super::exporter::ExportError;
use super::text::{ascii, hours, reporters};

/// Names the fields and their meaning; another number means that one of them changed.
const SCHEMA: &str = "sekisho.edge.v1";

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    cluster: &'a ClusterName,
    day: Timestamp,
    hours: Vec<u32>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    source: End<'a>,
    destination: End<'a>,
    protocol: Protocol,
    port: u16,
    service: Option<&'a ServiceRef>,
    verdict: Verdict,
    decided_by: Option<&'a DecidedBy>,
    connections: u64,
    bytes_sent: u64,
    bytes_received: u64,
    packets_sent: u64,
    packets_received: u64,
    resets: u64,
    reporters: Vec<&'static str>,
    direction_inferred: bool,
    loss: bool,
}

#[derive(Serialize)]
struct End<'a> {
    kind: PartyKind,
    namespace: &'a str,
    workload: &'a str,
    workload_kind: &'a str,
    pod: &'a str,
    address: Option<IpAddr>,
    dns_name: Option<&'a str>,
    labels: &'a Labels,
    process: Option<Program<'a>>,
}

#[derive(Serialize)]
struct Program<'a> {
    exe: &'a str,
    comm: &'a str,
    uid: u32,
    container: Option<&'a str>,
    image: Option<&'a str>,
}

fn end<'a>(party: &'a Party, process: Option<&'a Process>) -> End<'a> {
    End {
        kind: party.kind,
        namespace: &party.workload.namespace,
        workload: &party.workload.name,
        workload_kind: &party.workload.kind,
        pod: &party.pod,
        address: party.address,
        dns_name: party.dns_name.as_deref(),
        labels: &party.labels,
        process: process.map(|process| Program {
            exe: &process.exe,
            comm: &process.comm,
            uid: process.uid,
            container: process.container.as_ref().map(|container| container.name.as_str()),
            image: process.container.as_ref().map(|container| container.image.as_str()),
        }),
    }
}

/// One line.
pub(super) fn record(row: &EdgeDay) -> Result<String, ExportError> {
    let (key, stats) = (&row.key, &row.stats);
    let line = Line {
        schema: SCHEMA,
        cluster: &key.cluster,
        day: row.day,
        hours: hours(row),
        first_seen: stats.first_seen,
        last_seen: stats.last_seen,
        source: end(&key.source, key.source_process.as_deref()),
        destination: end(&key.destination, key.destination_process.as_deref()),
        protocol: key.protocol,
        port: key.port,
        service: key.service.as_ref(),
        verdict: key.verdict,
        decided_by: key.decided_by.as_ref(),
        connections: stats.connections,
        bytes_sent: stats.bytes_sent,
        bytes_received: stats.bytes_received,
        packets_sent: stats.packets_sent,
        packets_received: stats.packets_received,
        resets: stats.resets,
        reporters: reporters(stats.reporters),
        direction_inferred: key.direction_inferred,
        loss: stats.loss,
    };
    Ok(ascii(&serde_json::to_string(&line)?))
}
