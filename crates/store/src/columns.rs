//! Rows to Arrow columns: plain types and names that DuckDB, pandas or ClickHouse read as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, FixedSizeBinaryBuilder, StringBuilder, UInt16Builder, UInt32Builder,
    UInt64Builder,
};
use arrow_array::{
    ArrayRef, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, Field, Schema};
use sekisho_model::{EdgeKey, EdgeStats, LossMinute, Party, Process, Reporters, Timestamp};

use crate::run::{EdgeId, Run};
use crate::words;

/// Rows of one batch at most.
const BATCH_ROWS_MAX: usize = 32_768;
/// A text column of Arrow ends at 2^31 bytes; a batch ends long before.
const BATCH_TEXT_BYTES_MAX: usize = 256 << 20;

const NANOS_PER_MILLISECOND: u64 = 1_000_000;
/// Bytes of an edge's id as Arrow counts them.
const ID_BYTES: i32 = 16;

/// Number of the first log of the segment: with the edge's number it joins the files.
pub(crate) const SEGMENT: &str = "segment";
/// Number of the edge and day in its segment, from 0.
pub(crate) const EDGE: &str = "edge";
/// What the edge is known by in all segments.
pub(crate) const ID: &str = "id";
pub(crate) const DAY: &str = "day";
/// Bits of the hours of the day in which it was seen.
pub(crate) const HOURS: &str = "hours";
/// How many minutes it has in the file of minutes.
pub(crate) const MINUTES: &str = "minutes";
pub(crate) const HOUR: &str = "hour";
pub(crate) const MINUTE: &str = "minute";
pub(crate) const CONNECTIONS: &str = "connections";
pub(crate) const LOSS: &str = "loss";
/// The columns of sums.
pub(crate) const COUNTS: [&str; 6] =
    [CONNECTIONS, "bytes_sent", "bytes_received", "packets_sent", "packets_received", "resets"];
pub(crate) const SEEN: [&str; 2] = ["first_seen", "last_seen"];
pub(crate) const FLAGS: [&str; 4] =
    ["reported_by_source", "reported_by_destination", "reported_by_datapath", LOSS];

pub(crate) const PROTOCOL: &str = "protocol";
pub(crate) const PORT: &str = "port";
pub(crate) const VERDICT: &str = "verdict";
pub(crate) const DECIDED_BY: &str = "decided_by_policy";

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
    /// Labels as text, by the address of a party that is kept: parties repeat.
    known: BTreeMap<usize, (Arc<Party>, String)>,
    /// Bytes of the texts that have no short bound.
    text_bytes: usize,
}

impl PartyColumns {
    fn add(&mut self, party: &Arc<Party>, process: Option<&Process>) {
        let (_, labels) = self.known.entry(Arc::as_ptr(party).addr()).or_insert_with(|| {
            // A map of strings always has a JSON form.
            let labels = serde_json::to_string(&party.labels).unwrap_or_default();
            (Arc::clone(party), labels)
        });
        let exe = process.map_or(0, |process| process.exe.len());
        let container = process.and_then(|process| process.container.as_ref());
        let image = container.map_or(0, |container| container.image.len());
        let texts = labels.len().saturating_add(exe).saturating_add(image);
        self.text_bytes = self.text_bytes.saturating_add(texts);
        self.labels.append_value(&*labels);
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
            (PROTOCOL, false, Arc::new(self.protocol.finish())),
            (PORT, false, Arc::new(self.port.finish())),
            ("service_namespace", true, Arc::new(self.service_namespace.finish())),
            ("service_name", true, Arc::new(self.service_name.finish())),
            ("service_port", true, Arc::new(self.service_port.finish())),
            (VERDICT, false, Arc::new(self.verdict.finish())),
            (DECIDED_BY, true, Arc::new(self.decided_by_policy.finish())),
            ("decided_by_rule", true, Arc::new(self.decided_by_rule.finish())),
            ("decided_by_direction", true, Arc::new(self.decided_by_direction.finish())),
            ("direction_inferred", false, Arc::new(self.direction_inferred.finish())),
            (CLUSTER, false, Arc::new(self.cluster.finish())),
        ]
    }
}

#[derive(Default)]
struct StatsColumns {
    counts: [Vec<u64>; 6],
    first_seen: Vec<i64>,
    last_seen: Vec<i64>,
    flags: [Vec<bool>; 4],
}

impl StatsColumns {
    fn add(&mut self, stats: &EdgeStats) {
        let counts = [
            stats.connections,
            stats.bytes_sent,
            stats.bytes_received,
            stats.packets_sent,
            stats.packets_received,
            stats.resets,
        ];
        for (column, count) in self.counts.iter_mut().zip(counts) {
            column.push(count);
        }
        self.first_seen.push(millis(stats.first_seen));
        self.last_seen.push(millis(stats.last_seen));
        let Reporters { source, destination, datapath } = stats.reporters;
        for (column, flag) in self.flags.iter_mut().zip([source, destination, datapath, stats.loss])
        {
            column.push(flag);
        }
    }

    fn finish(self) -> Vec<Column> {
        let counts = COUNTS.into_iter().zip(self.counts);
        let mut columns: Vec<Column> = counts.map(|(name, column)| longs(name, column)).collect();
        let [first_seen, last_seen] = SEEN;
        columns.push((first_seen, false, times(self.first_seen)));
        columns.push((last_seen, false, times(self.last_seen)));
        let flags = FLAGS.into_iter().zip(self.flags);
        columns.extend(flags.map(|(name, column)| -> Column {
            (name, false, Arc::new(BooleanArray::from(column)))
        }));
        columns
    }
}

fn longs(name: &'static str, column: Vec<u64>) -> Column {
    (name, false, Arc::new(UInt64Array::from(column)))
}

fn ints(name: &'static str, column: Vec<u32>) -> Column {
    (name, false, Arc::new(UInt32Array::from(column)))
}

/// Rows of edges, one for each edge and day.
pub(crate) struct EdgeBatch {
    segment: u64,
    numbers: Vec<u32>,
    ids: Vec<u8>,
    days: Vec<i64>,
    hours: Vec<u32>,
    minutes: Vec<u32>,
    source: PartyColumns,
    destination: PartyColumns,
    keys: KeyColumns,
    sums: StatsColumns,
}

impl EdgeBatch {
    /// An empty batch of the segment whose first log is `segment`.
    pub(crate) fn new(segment: u64) -> Self {
        Self {
            segment,
            numbers: Vec::new(),
            ids: Vec::new(),
            days: Vec::new(),
            hours: Vec::new(),
            minutes: Vec::new(),
            source: PartyColumns::default(),
            destination: PartyColumns::default(),
            keys: KeyColumns::default(),
            sums: StatsColumns::default(),
        }
    }

    /// Adds `run` as the edge `number` of the segment.
    pub(crate) fn add(&mut self, number: u32, run: &Run) {
        self.numbers.push(number);
        self.ids.extend(run.id.bytes());
        self.days.push(millis(run.day));
        self.hours.push(run.hours());
        self.minutes.push(u32::try_from(run.minutes.len()).unwrap_or(u32::MAX));
        self.source.add(&run.key.source, run.key.source_process.as_deref());
        self.destination.add(&run.key.destination, run.key.destination_process.as_deref());
        self.keys.add(&run.key);
        self.sums.add(&run.total());
    }

    pub(crate) fn is_full(&self) -> bool {
        self.numbers.len() >= BATCH_ROWS_MAX
            || self.source.text_bytes >= BATCH_TEXT_BYTES_MAX
            || self.destination.text_bytes >= BATCH_TEXT_BYTES_MAX
    }

    /// The rows as Arrow columns; none gives the columns alone.
    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let segments = vec![self.segment; self.numbers.len()];
        let mut ids = FixedSizeBinaryBuilder::with_capacity(self.numbers.len(), ID_BYTES);
        for id in self.ids.chunks_exact(EdgeId::BYTES) {
            ids.append_value(id)?;
        }
        let mut columns = vec![
            longs(SEGMENT, segments),
            ints(EDGE, self.numbers),
            (ID, false, Arc::new(ids.finish()) as ArrayRef),
            (DAY, false, times(self.days)),
            ints(HOURS, self.hours),
            ints(MINUTES, self.minutes),
        ];
        columns.extend(self.source.finish(&SOURCE));
        columns.extend(self.destination.finish(&DESTINATION));
        columns.extend(self.keys.finish());
        columns.extend(self.sums.finish());
        batch(columns)
    }
}

/// Counts of edges, one row for each edge and minute or hour.
pub(crate) struct CountBatch {
    segment: u64,
    /// The column of time: `minute` or `hour`.
    time: &'static str,
    edges: Vec<u32>,
    times: Vec<i64>,
    sums: StatsColumns,
}

impl CountBatch {
    pub(crate) fn new(segment: u64, time: &'static str) -> Self {
        let sums = StatsColumns::default();
        Self { segment, time, edges: Vec::new(), times: Vec::new(), sums }
    }

    pub(crate) fn add(&mut self, edge: u32, time: Timestamp, stats: &EdgeStats) {
        self.edges.push(edge);
        self.times.push(millis(time));
        self.sums.add(stats);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.edges.len() >= BATCH_ROWS_MAX
    }

    /// The rows as Arrow columns; none gives the columns alone.
    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let mut columns = vec![
            longs(SEGMENT, vec![self.segment; self.edges.len()]),
            ints(EDGE, self.edges),
            (self.time, false, times(self.times)),
        ];
        columns.extend(self.sums.finish());
        batch(columns)
    }
}

/// Turns losses into one batch.
pub(crate) fn losses(rows: impl Iterator<Item = LossMinute>) -> Result<RecordBatch, ArrowError> {
    let mut minutes = Vec::new();
    let mut cluster = StringBuilder::new();
    let (mut node, mut hook) = (StringBuilder::new(), StringBuilder::new());
    let (mut produced, mut dropped) = (UInt64Builder::new(), UInt64Builder::new());
    for row in rows {
        minutes.push(millis(row.minute));
        cluster.append_value(row.cluster.as_str());
        node.append_value(&row.node);
        hook.append_value(&row.hook);
        produced.append_value(row.produced);
        dropped.append_value(row.dropped);
    }
    batch(vec![
        (MINUTE, false, times(minutes)),
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

fn times(millis: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(millis).with_timezone("UTC"))
}

fn millis(time: Timestamp) -> i64 {
    // A Timestamp is at most i64::MAX nanoseconds by construction.
    i64::try_from(time.nanos() / NANOS_PER_MILLISECOND).unwrap_or(i64::MAX)
}
