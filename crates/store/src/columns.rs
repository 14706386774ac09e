//! Rows to Arrow columns: plain types and names that DuckDB, pandas or ClickHouse read as they are.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, StringBuilder, TimestampNanosecondBuilder, UInt16Builder, UInt32Builder,
    UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema};
use sekisho_model::{EdgeKey, EdgeStats, LossMinute, Party, Process, Timestamp};

use crate::words;

/// Rows of one batch at most.
const BATCH_ROWS_MAX: usize = 32_768;
/// A text column of Arrow ends at 2^31 bytes; a batch ends long before.
const BATCH_TEXT_BYTES_MAX: usize = 256 << 20;

/// The column of the cluster; layout 2 has none.
pub(crate) const CLUSTER: &str = "cluster";

type Column = (&'static str, bool, ArrayRef);

/// Names of the columns of one end of an edge.
pub(crate) struct PartyNames {
    pub(crate) kind: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) workload: &'static str,
    pub(crate) workload_kind: &'static str,
    pub(crate) pod: &'static str,
    pub(crate) labels: &'static str,
    pub(crate) address: &'static str,
    pub(crate) dns_name: &'static str,
    pub(crate) exe: &'static str,
    pub(crate) comm: &'static str,
    pub(crate) uid: &'static str,
    pub(crate) container: &'static str,
    pub(crate) image: &'static str,
}

pub(crate) const SOURCE: PartyNames = PartyNames {
    kind: "source_kind",
    namespace: "source_namespace",
    workload: "source_workload",
    workload_kind: "source_workload_kind",
    pod: "source_pod",
    labels: "source_labels",
    address: "source_address",
    dns_name: "source_dns_name",
    exe: "source_exe",
    comm: "source_comm",
    uid: "source_uid",
    container: "source_container",
    image: "source_image",
};

pub(crate) const DESTINATION: PartyNames = PartyNames {
    kind: "destination_kind",
    namespace: "destination_namespace",
    workload: "destination_workload",
    workload_kind: "destination_workload_kind",
    pod: "destination_pod",
    labels: "destination_labels",
    address: "destination_address",
    dns_name: "destination_dns_name",
    exe: "destination_exe",
    comm: "destination_comm",
    uid: "destination_uid",
    container: "destination_container",
    image: "destination_image",
};

#[derive(Default)]
struct PartyColumns {
    kind: StringBuilder,
    namespace: StringBuilder,
    workload: StringBuilder,
    workload_kind: StringBuilder,
    pod: StringBuilder,
    labels: StringBuilder,
    address: StringBuilder,
    dns_name: StringBuilder,
    exe: StringBuilder,
    comm: StringBuilder,
    uid: UInt32Builder,
    container: StringBuilder,
    image: StringBuilder,
    /// The party of the previous row and its labels as text: rows are sorted, so it often repeats.
    last: Option<(Arc<Party>, String)>,
    /// Bytes of the texts that have no short bound.
    text_bytes: usize,
}

impl PartyColumns {
    fn add(&mut self, party: &Arc<Party>, process: Option<&Process>) {
        if self.last.as_ref().is_none_or(|(last, _)| !Arc::ptr_eq(last, party)) {
            let labels = serde_json::to_string(&party.labels);
            // A map of strings always has a JSON form.
            self.last = Some((Arc::clone(party), labels.unwrap_or_default()));
        }
        let labels = self.last.as_ref().map_or("{}", |(_, labels)| labels);
        let exe = process.map_or(0, |process| process.exe.len());
        let container = process.and_then(|process| process.container.as_ref());
        let image = container.map_or(0, |container| container.image.len());
        let texts = labels.len().saturating_add(exe).saturating_add(image);
        self.text_bytes = self.text_bytes.saturating_add(texts);
        self.labels.append_value(labels);
        self.kind.append_value(words::party_kind(party.kind));
        self.namespace.append_value(&party.workload.namespace);
        self.workload.append_value(&party.workload.name);
        self.workload_kind.append_value(&party.workload.kind);
        self.pod.append_value(&party.pod);
        self.address.append_option(party.address.map(|address| address.to_string()));
        self.dns_name.append_option(party.dns_name.as_deref());
        self.exe.append_option(process.map(|process| process.exe.as_str()));
        self.comm.append_option(process.map(|process| process.comm.as_str()));
        self.uid.append_option(process.map(|process| process.uid));
        self.container.append_option(container.map(|container| container.name.as_str()));
        self.image.append_option(container.map(|container| container.image.as_str()));
    }

    fn finish(mut self, names: &PartyNames) -> Vec<Column> {
        vec![
            (names.kind, false, Arc::new(self.kind.finish())),
            (names.namespace, false, Arc::new(self.namespace.finish())),
            (names.workload, false, Arc::new(self.workload.finish())),
            (names.workload_kind, false, Arc::new(self.workload_kind.finish())),
            (names.pod, false, Arc::new(self.pod.finish())),
            (names.labels, false, Arc::new(self.labels.finish())),
            (names.address, true, Arc::new(self.address.finish())),
            (names.dns_name, true, Arc::new(self.dns_name.finish())),
            (names.exe, true, Arc::new(self.exe.finish())),
            (names.comm, true, Arc::new(self.comm.finish())),
            (names.uid, true, Arc::new(self.uid.finish())),
            (names.container, true, Arc::new(self.container.finish())),
            (names.image, true, Arc::new(self.image.finish())),
        ]
    }
}

#[derive(Default)]
struct KeyColumns {
    protocol: StringBuilder,
    port: UInt16Builder,
    service_namespace: StringBuilder,
    service_name: StringBuilder,
    service_port: UInt16Builder,
    verdict: StringBuilder,
    decided_by_policy: StringBuilder,
    decided_by_rule: UInt32Builder,
    decided_by_direction: StringBuilder,
    direction_inferred: BooleanBuilder,
    cluster: StringBuilder,
}

impl KeyColumns {
    fn add(&mut self, key: &EdgeKey) {
        let (service, decided_by) = (key.service.as_ref(), key.decided_by.as_ref());
        self.protocol.append_value(words::protocol(key.protocol));
        self.port.append_value(key.port);
        self.service_namespace.append_option(service.map(|service| &service.namespace));
        self.service_name.append_option(service.map(|service| &service.name));
        self.service_port.append_option(service.map(|service| service.port));
        self.verdict.append_value(words::verdict(key.verdict));
        self.decided_by_policy.append_option(decided_by.map(|by| &by.policy));
        self.decided_by_rule.append_option(decided_by.and_then(|by| by.rule));
        let direction = decided_by.map(|by| words::direction(by.direction));
        self.decided_by_direction.append_option(direction);
        self.direction_inferred.append_value(key.direction_inferred);
        self.cluster.append_value(key.cluster.as_str());
    }

    fn finish(mut self) -> Vec<Column> {
        vec![
            ("protocol", false, Arc::new(self.protocol.finish())),
            ("port", false, Arc::new(self.port.finish())),
            ("service_namespace", true, Arc::new(self.service_namespace.finish())),
            ("service_name", true, Arc::new(self.service_name.finish())),
            ("service_port", true, Arc::new(self.service_port.finish())),
            ("verdict", false, Arc::new(self.verdict.finish())),
            ("decided_by_policy", true, Arc::new(self.decided_by_policy.finish())),
            ("decided_by_rule", true, Arc::new(self.decided_by_rule.finish())),
            ("decided_by_direction", true, Arc::new(self.decided_by_direction.finish())),
            ("direction_inferred", false, Arc::new(self.direction_inferred.finish())),
            (CLUSTER, false, Arc::new(self.cluster.finish())),
        ]
    }
}

#[derive(Default)]
struct StatsColumns {
    connections: UInt64Builder,
    bytes_sent: UInt64Builder,
    bytes_received: UInt64Builder,
    packets_sent: UInt64Builder,
    packets_received: UInt64Builder,
    resets: UInt64Builder,
    first_seen: Vec<i64>,
    last_seen: Vec<i64>,
    reported_by_source: BooleanBuilder,
    reported_by_destination: BooleanBuilder,
    reported_by_datapath: BooleanBuilder,
    loss: BooleanBuilder,
}

impl StatsColumns {
    fn add(&mut self, stats: &EdgeStats) {
        self.connections.append_value(stats.connections);
        self.bytes_sent.append_value(stats.bytes_sent);
        self.bytes_received.append_value(stats.bytes_received);
        self.packets_sent.append_value(stats.packets_sent);
        self.packets_received.append_value(stats.packets_received);
        self.resets.append_value(stats.resets);
        self.first_seen.push(nanos(stats.first_seen));
        self.last_seen.push(nanos(stats.last_seen));
        self.reported_by_source.append_value(stats.reporters.source);
        self.reported_by_destination.append_value(stats.reporters.destination);
        self.reported_by_datapath.append_value(stats.reporters.datapath);
        self.loss.append_value(stats.loss);
    }

    fn finish(mut self) -> Vec<Column> {
        vec![
            ("connections", false, Arc::new(self.connections.finish())),
            ("bytes_sent", false, Arc::new(self.bytes_sent.finish())),
            ("bytes_received", false, Arc::new(self.bytes_received.finish())),
            ("packets_sent", false, Arc::new(self.packets_sent.finish())),
            ("packets_received", false, Arc::new(self.packets_received.finish())),
            ("resets", false, Arc::new(self.resets.finish())),
            ("first_seen", false, times(&self.first_seen)),
            ("last_seen", false, times(&self.last_seen)),
            ("reported_by_source", false, Arc::new(self.reported_by_source.finish())),
            ("reported_by_destination", false, Arc::new(self.reported_by_destination.finish())),
            ("reported_by_datapath", false, Arc::new(self.reported_by_datapath.finish())),
            ("loss", false, Arc::new(self.loss.finish())),
        ]
    }
}

/// Turns the next rows into one batch: at most [`BATCH_ROWS_MAX`] of them, fewer if their texts are
/// long. No row at all gives a batch with the columns and no rows.
pub(crate) fn edges<'a>(
    rows: &mut impl Iterator<Item = (&'a EdgeKey, Timestamp, &'a EdgeStats)>,
) -> Result<RecordBatch, ArrowError> {
    let mut minutes = Vec::new();
    let (mut source, mut destination) = (PartyColumns::default(), PartyColumns::default());
    let (mut keys, mut sums) = (KeyColumns::default(), StatsColumns::default());
    while minutes.len() < BATCH_ROWS_MAX
        && source.text_bytes < BATCH_TEXT_BYTES_MAX
        && destination.text_bytes < BATCH_TEXT_BYTES_MAX
        && let Some((key, minute, stats)) = rows.next()
    {
        minutes.push(nanos(minute));
        source.add(&key.source, key.source_process.as_deref());
        destination.add(&key.destination, key.destination_process.as_deref());
        keys.add(key);
        sums.add(stats);
    }
    let mut columns: Vec<Column> = vec![("minute", false, times(&minutes))];
    columns.extend(source.finish(&SOURCE));
    columns.extend(destination.finish(&DESTINATION));
    columns.extend(keys.finish());
    columns.extend(sums.finish());
    batch(columns)
}

/// Turns losses into one batch.
pub(crate) fn losses(rows: impl Iterator<Item = LossMinute>) -> Result<RecordBatch, ArrowError> {
    let mut minutes = Vec::new();
    let mut cluster = StringBuilder::new();
    let (mut node, mut hook) = (StringBuilder::new(), StringBuilder::new());
    let (mut produced, mut dropped) = (UInt64Builder::new(), UInt64Builder::new());
    for row in rows {
        minutes.push(nanos(row.minute));
        cluster.append_value(row.cluster.as_str());
        node.append_value(&row.node);
        hook.append_value(&row.hook);
        produced.append_value(row.produced);
        dropped.append_value(row.dropped);
    }
    batch(vec![
        ("minute", false, times(&minutes)),
        (CLUSTER, false, Arc::new(cluster.finish())),
        ("node", false, Arc::new(node.finish())),
        ("hook", false, Arc::new(hook.finish())),
        ("produced", false, Arc::new(produced.finish())),
        ("dropped", false, Arc::new(dropped.finish())),
    ])
}

fn batch(columns: Vec<Column>) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, nullable, array)| Field::new(*name, array.data_type().clone(), *nullable))
        .collect();
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn times(nanos: &[i64]) -> ArrayRef {
    let mut builder = TimestampNanosecondBuilder::with_capacity(nanos.len());
    builder.append_slice(nanos);
    let array = builder.finish();
    Arc::new(array.with_timezone("UTC"))
}

fn nanos(time: Timestamp) -> i64 {
    // A Timestamp is at most i64::MAX by construction.
    i64::try_from(time.nanos()).unwrap_or(i64::MAX)
}
