//! Arrow columns back to rows. A column that is missing, of another type, or holds an unknown word
//! is an error that names column and row; columns that are not known are ignored.

use std::sync::Arc;

use arrow_array::{
    Array, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, StringArray,
    types::{
        ArrowPrimitiveType, TimestampMillisecondType, TimestampNanosecondType, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use sekisho_model::{
    ClusterName, Container, DecidedBy, EdgeKey, EdgeStats, Labels, LossMinute, Party, Process,
    Reporters, ServiceRef, Timestamp, WorkloadRef,
};

use crate::SegmentError;
use crate::columns::{
    CLUSTER, CONNECTIONS, COUNTS, DAY, DECIDED_BY, DESTINATION, EDGE, FLAGS, HOURS, ID, LOSS,
    MINUTE, MINUTES, PORT, PROTOCOL, PartyNames, SEEN, SOURCE, VERDICT,
};
use crate::layout::Layout;
use crate::parties::{PartyWords, Shared};
use crate::run::EdgeId;
use crate::words;

const NANOS_PER_MILLISECOND: u64 = 1_000_000;

/// A text column by name.
struct Texts<'a>(&'static str, &'a StringArray);
/// A number column by name.
struct Numbers<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);
/// A yes/no column by name.
struct Flags<'a>(&'a BooleanArray);

fn column<'a, A: Array + 'static>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a A, SegmentError> {
    let column = batch.column_by_name(name).ok_or(SegmentError::Column(name))?;
    column.as_any().downcast_ref().ok_or(SegmentError::Column(name))
}

impl<'a> Texts<'a> {
    fn of(batch: &'a RecordBatch, name: &'static str) -> Result<Self, SegmentError> {
        Ok(Self(name, column(batch, name)?))
    }

    fn optional(&self, row: usize) -> Option<&'a str> {
        (row < self.1.len() && !self.1.is_null(row)).then(|| self.1.value(row))
    }

    fn text(&self, row: usize) -> &'a str {
        self.optional(row).unwrap_or_default()
    }

    fn word<T>(&self, row: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, SegmentError> {
        let text = self.text(row);
        parse(text).ok_or_else(|| self.wrong(row))
    }

    fn wrong(&self, row: usize) -> SegmentError {
        SegmentError::Value { column: self.0, row, value: self.text(row).to_owned() }
    }
}

/// The column of the cluster. Rows of layout 2 have none: they were made when there was one cluster,
/// which has the default name since.
struct Clusters<'a>(Option<Texts<'a>>);

impl<'a> Clusters<'a> {
    fn of(batch: &'a RecordBatch, layout: Layout) -> Result<Self, SegmentError> {
        match layout {
            Layout::WithoutCluster => Ok(Self(None)),
            Layout::Current | Layout::ByMinute => Ok(Self(Some(Texts::of(batch, CLUSTER)?))),
        }
    }

    fn is_same(&self, a: usize, b: usize) -> bool {
        self.0.as_ref().is_none_or(|texts| texts.optional(a) == texts.optional(b))
    }

    fn name(&self, row: usize) -> Result<ClusterName, SegmentError> {
        match &self.0 {
            Some(texts) => texts.word(row, |text| text.parse().ok()),
            None => Ok(ClusterName::default()),
        }
    }
}

impl<'a, T: ArrowPrimitiveType> Numbers<'a, T> {
    fn of(batch: &'a RecordBatch, name: &'static str) -> Result<Self, SegmentError> {
        column(batch, name).map(Self)
    }

    fn optional(&self, row: usize) -> Option<T::Native> {
        (row < self.0.len() && !self.0.is_null(row)).then(|| self.0.value(row))
    }

    /// Of a column without nulls.
    fn number(&self, row: usize) -> T::Native {
        self.0.values().get(row).copied().unwrap_or_default()
    }
}

/// A column of times, in milliseconds; in nanoseconds before layout 4.
enum Times<'a> {
    Millis(Numbers<'a, TimestampMillisecondType>),
    Nanos(Numbers<'a, TimestampNanosecondType>),
}

impl<'a> Times<'a> {
    fn of(batch: &'a RecordBatch, name: &'static str) -> Result<Self, SegmentError> {
        let millis = Numbers::of(batch, name).map(Self::Millis);
        millis.or_else(|_other| Numbers::of(batch, name).map(Self::Nanos))
    }

    fn time(&self, row: usize) -> Timestamp {
        let (number, unit) = match self {
            Self::Millis(column) => (column.number(row), NANOS_PER_MILLISECOND),
            Self::Nanos(column) => (column.number(row), 1),
        };
        Timestamp::from_nanos(u64::try_from(number).unwrap_or_default().saturating_mul(unit))
    }
}

impl<'a> Flags<'a> {
    fn of(batch: &'a RecordBatch, name: &'static str) -> Result<Self, SegmentError> {
        column(batch, name).map(Self)
    }

    fn flag(&self, row: usize) -> bool {
        row < self.0.len() && self.0.value(row)
    }
}

struct PartyReader<'a> {
    kind: Texts<'a>,
    namespace: Texts<'a>,
    workload: Texts<'a>,
    workload_kind: Texts<'a>,
    pod: Texts<'a>,
    labels: Texts<'a>,
    address: Texts<'a>,
    dns_name: Texts<'a>,
    exe: Texts<'a>,
    comm: Texts<'a>,
    uid: Numbers<'a, UInt32Type>,
    container: Texts<'a>,
    image: Texts<'a>,
}

impl<'a> PartyReader<'a> {
    fn of(batch: &'a RecordBatch, names: &PartyNames) -> Result<Self, SegmentError> {
        Ok(Self {
            kind: Texts::of(batch, names.kind)?,
            namespace: Texts::of(batch, names.namespace)?,
            workload: Texts::of(batch, names.workload)?,
            workload_kind: Texts::of(batch, names.workload_kind)?,
            pod: Texts::of(batch, names.pod)?,
            labels: Texts::of(batch, names.labels)?,
            address: Texts::of(batch, names.address)?,
            dns_name: Texts::of(batch, names.dns_name)?,
            exe: Texts::of(batch, names.exe)?,
            comm: Texts::of(batch, names.comm)?,
            uid: Numbers::of(batch, names.uid)?,
            container: Texts::of(batch, names.container)?,
            image: Texts::of(batch, names.image)?,
        })
    }

    fn same_party(&self, a: usize, b: usize) -> bool {
        let texts = [&self.workload, &self.namespace, &self.pod, &self.address, &self.labels];
        let more = [&self.kind, &self.workload_kind, &self.dns_name];
        texts.into_iter().chain(more).all(|column| column.optional(a) == column.optional(b))
    }

    fn same_process(&self, a: usize, b: usize) -> bool {
        let texts = [&self.exe, &self.comm, &self.container, &self.image];
        texts.into_iter().all(|column| column.optional(a) == column.optional(b))
            && self.uid.optional(a) == self.uid.optional(b)
    }

    /// The words that make the party of a row.
    fn words(&self, row: usize) -> PartyWords<'a> {
        let texts = [&self.kind, &self.namespace, &self.workload, &self.workload_kind];
        let [a, b, c, d] = texts.map(|column| column.optional(row));
        let more = [&self.pod, &self.labels, &self.address, &self.dns_name];
        let [e, f, g, h] = more.map(|column| column.optional(row));
        [a, b, c, d, e, f, g, h]
    }

    fn shared(&self, row: usize, shared: &mut Shared) -> Result<Arc<Party>, SegmentError> {
        shared.party(self.words(row), || self.party(row))
    }

    fn shared_process(&self, row: usize, shared: &mut Shared) -> Option<Arc<Process>> {
        self.comm.optional(row)?;
        let words = [&self.exe, &self.comm, &self.container, &self.image];
        let words = (words.map(|column| column.optional(row)), self.uid.number(row));
        Some(shared.process(words, || self.process(row)))
    }

    fn party(&self, row: usize) -> Result<Party, SegmentError> {
        let labels: Labels = self.labels.word(row, |text| serde_json::from_str(text).ok())?;
        let address = match self.address.optional(row) {
            Some(_) => Some(self.address.word(row, |text| text.parse().ok())?),
            None => None,
        };
        Ok(Party {
            kind: self.kind.word(row, words::party_kind_of)?,
            workload: WorkloadRef {
                namespace: self.namespace.text(row).to_owned(),
                name: self.workload.text(row).to_owned(),
                kind: self.workload_kind.text(row).to_owned(),
            },
            pod: self.pod.text(row).to_owned(),
            labels,
            address,
            dns_name: self.dns_name.optional(row).map(str::to_owned),
        })
    }

    fn process(&self, row: usize) -> Process {
        let comm = self.comm.text(row).to_owned();
        let container = self.container.optional(row).map(|name| Container {
            name: name.to_owned(),
            image: self.image.text(row).to_owned(),
        });
        let exe = self.exe.text(row).to_owned();
        Process { exe, comm, uid: self.uid.number(row), container }
    }
}

struct KeyReader<'a> {
    source: PartyReader<'a>,
    destination: PartyReader<'a>,
    protocol: Texts<'a>,
    port: Numbers<'a, UInt16Type>,
    service_namespace: Texts<'a>,
    service_name: Texts<'a>,
    service_port: Numbers<'a, UInt16Type>,
    verdict: Texts<'a>,
    decided_by_policy: Texts<'a>,
    decided_by_rule: Numbers<'a, UInt32Type>,
    decided_by_direction: Texts<'a>,
    direction_inferred: Flags<'a>,
    cluster: Clusters<'a>,
}

impl<'a> KeyReader<'a> {
    fn of(batch: &'a RecordBatch, layout: Layout) -> Result<Self, SegmentError> {
        Ok(Self {
            source: PartyReader::of(batch, &SOURCE)?,
            destination: PartyReader::of(batch, &DESTINATION)?,
            protocol: Texts::of(batch, PROTOCOL)?,
            port: Numbers::of(batch, PORT)?,
            service_namespace: Texts::of(batch, "service_namespace")?,
            service_name: Texts::of(batch, "service_name")?,
            service_port: Numbers::of(batch, "service_port")?,
            verdict: Texts::of(batch, VERDICT)?,
            decided_by_policy: Texts::of(batch, DECIDED_BY)?,
            decided_by_rule: Numbers::of(batch, "decided_by_rule")?,
            decided_by_direction: Texts::of(batch, "decided_by_direction")?,
            direction_inferred: Flags::of(batch, "direction_inferred")?,
            cluster: Clusters::of(batch, layout)?,
        })
    }

    fn same_rest(&self, a: usize, b: usize) -> bool {
        let texts = [&self.protocol, &self.service_namespace, &self.service_name, &self.verdict];
        let more = [&self.decided_by_policy, &self.decided_by_direction];
        texts.into_iter().chain(more).all(|column| column.optional(a) == column.optional(b))
            && self.port.number(a) == self.port.number(b)
            && self.service_port.optional(a) == self.service_port.optional(b)
            && self.decided_by_rule.optional(a) == self.decided_by_rule.optional(b)
            && self.direction_inferred.flag(a) == self.direction_inferred.flag(b)
            && self.cluster.is_same(a, b)
    }

    /// The key of `row`; `last` is the row before it with its key, whose parts are shared where
    /// they are the same: rows are sorted, so most of them are.
    fn key(
        &self,
        row: usize,
        last: Option<(usize, &Arc<EdgeKey>)>,
        shared: &mut Shared,
    ) -> Result<Arc<EdgeKey>, SegmentError> {
        let (source_same, destination_same) = match last {
            Some((before, _)) => {
                (self.source.same_party(row, before), self.destination.same_party(row, before))
            }
            None => (false, false),
        };
        if let Some((before, key)) = last
            && source_same
            && destination_same
            && self.source.same_process(row, before)
            && self.destination.same_process(row, before)
            && self.same_rest(row, before)
        {
            return Ok(Arc::clone(key));
        }
        let source = match last {
            Some((_, key)) if source_same => Arc::clone(&key.source),
            _ => self.source.shared(row, shared)?,
        };
        let destination = match last {
            Some((_, key)) if destination_same => Arc::clone(&key.destination),
            _ => self.destination.shared(row, shared)?,
        };
        Ok(Arc::new(EdgeKey {
            source,
            source_process: self.source.shared_process(row, shared),
            destination,
            destination_process: self.destination.shared_process(row, shared),
            protocol: self.protocol.word(row, words::protocol_of)?,
            port: self.port.number(row),
            service: self.service(row),
            verdict: self.verdict.word(row, words::verdict_of)?,
            decided_by: self.decided_by(row)?,
            direction_inferred: self.direction_inferred.flag(row),
            cluster: match last {
                Some((before, key)) if self.cluster.is_same(row, before) => key.cluster.clone(),
                _ => self.cluster.name(row)?,
            },
        }))
    }

    fn service(&self, row: usize) -> Option<ServiceRef> {
        let name = self.service_name.optional(row)?.to_owned();
        let namespace = self.service_namespace.text(row).to_owned();
        Some(ServiceRef { namespace, name, port: self.service_port.number(row) })
    }

    fn decided_by(&self, row: usize) -> Result<Option<DecidedBy>, SegmentError> {
        let Some(policy) = self.decided_by_policy.optional(row) else { return Ok(None) };
        let direction = self.decided_by_direction.word(row, words::direction_of)?;
        let rule = self.decided_by_rule.optional(row);
        Ok(Some(DecidedBy { policy: policy.to_owned(), rule, direction }))
    }
}

struct StatsReader<'a> {
    counts: [Numbers<'a, UInt64Type>; 6],
    times: [Times<'a>; 2],
    flags: [Flags<'a>; 4],
}

impl<'a> StatsReader<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, SegmentError> {
        let [a, b, c, d, e, f] = COUNTS.map(|name| Numbers::of(batch, name));
        let [first, last] = SEEN.map(|name| Times::of(batch, name));
        let [g, h, i, j] = FLAGS.map(|name| Flags::of(batch, name));
        Ok(Self {
            counts: [a?, b?, c?, d?, e?, f?],
            times: [first?, last?],
            flags: [g?, h?, i?, j?],
        })
    }

    fn stats(&self, row: usize) -> EdgeStats {
        let [connections, bytes_sent, bytes_received, packets_sent, packets_received, resets] =
            self.counts.each_ref().map(|column| column.number(row));
        let [first_seen, last_seen] = self.times.each_ref().map(|column| column.time(row));
        let [source, destination, datapath, loss] =
            self.flags.each_ref().map(|column| column.flag(row));
        EdgeStats {
            connections,
            bytes_sent,
            bytes_received,
            packets_sent,
            packets_received,
            resets,
            first_seen,
            last_seen,
            reporters: Reporters { source, destination, datapath },
            loss,
        }
    }
}

/// Gives each row of `batch`, of a layout before 4, to `visit`.
pub(crate) fn rows(
    batch: &RecordBatch,
    layout: Layout,
    shared: &mut Shared,
    mut visit: impl FnMut(&Arc<EdgeKey>, Timestamp, EdgeStats),
) -> Result<(), SegmentError> {
    let minutes = Times::of(batch, MINUTE)?;
    let stats = StatsReader::of(batch)?;
    for (row, key) in keys(batch, layout, shared)?.iter().enumerate() {
        visit(key, minutes.time(row), stats.stats(row));
    }
    Ok(())
}

/// The keys of the rows of `batch`; they and their parts are shared where they repeat.
pub(crate) fn keys(
    batch: &RecordBatch,
    layout: Layout,
    shared: &mut Shared,
) -> Result<Vec<Arc<EdgeKey>>, SegmentError> {
    let keys = KeyReader::of(batch, layout)?;
    let mut found: Vec<Arc<EdgeKey>> = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let last = found.last().map(|key| (row.saturating_sub(1), key));
        let key = keys.key(row, last, shared)?;
        found.push(key);
    }
    Ok(found)
}

/// What a row of edges says beside key and sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeHead {
    pub(crate) id: EdgeId,
    /// Start of the day.
    pub(crate) day: Timestamp,
    /// Bits of the hours in which it was seen.
    pub(crate) hours: u32,
    /// How many minutes it has.
    pub(crate) minutes: u32,
}

/// The columns of [`EdgeHead`].
pub(crate) const HEAD: [&str; 4] = [ID, DAY, HOURS, MINUTES];

/// The heads of the rows of `batch`.
pub(crate) fn heads(batch: &RecordBatch) -> Result<Vec<EdgeHead>, SegmentError> {
    let ids: &FixedSizeBinaryArray = column(batch, ID)?;
    let days = Times::of(batch, DAY)?;
    let hours: Numbers<'_, UInt32Type> = Numbers::of(batch, HOURS)?;
    let minutes: Numbers<'_, UInt32Type> = Numbers::of(batch, MINUTES)?;
    let head = |row: usize| {
        let id = EdgeId::of_bytes(ids.value(row)).ok_or(SegmentError::Column(ID))?;
        let (hours, minutes) = (hours.number(row), minutes.number(row));
        Ok(EdgeHead { id, day: days.time(row), hours, minutes })
    };
    (0..batch.num_rows()).map(head).collect()
}

/// The numbers of a column of `batch`.
pub(crate) fn numbers(batch: &RecordBatch, name: &'static str) -> Result<Vec<u32>, SegmentError> {
    let numbers: Numbers<'_, UInt32Type> = Numbers::of(batch, name)?;
    Ok(numbers.0.values().to_vec())
}

/// The sums of the rows of `batch`.
pub(crate) fn sums(batch: &RecordBatch) -> Result<impl Fn(usize) -> EdgeStats, SegmentError> {
    let stats = StatsReader::of(batch)?;
    Ok(move |row| stats.stats(row))
}

/// Gives each row of minutes or hours, by the column `time`, to `visit`: edge, time, and its sums
/// when they are asked for.
pub(crate) fn counts(
    batch: &RecordBatch,
    time: &'static str,
    mut visit: impl FnMut(u32, Timestamp, &dyn Fn() -> EdgeStats) -> Result<(), SegmentError>,
) -> Result<(), SegmentError> {
    let edges: Numbers<'_, UInt32Type> = Numbers::of(batch, EDGE)?;
    let times = Times::of(batch, time)?;
    let stats = StatsReader::of(batch)?;
    for row in 0..batch.num_rows() {
        visit(edges.number(row), times.time(row), &|| stats.stats(row))?;
    }
    Ok(())
}

/// Gives the connections of each row of minutes or hours to `visit`: edge, time, how many and
/// whether records of them were lost.
pub(crate) fn connections(
    batch: &RecordBatch,
    time: &'static str,
    mut visit: impl FnMut(u32, Timestamp, (u64, bool)) -> Result<(), SegmentError>,
) -> Result<(), SegmentError> {
    let edges: Numbers<'_, UInt32Type> = Numbers::of(batch, EDGE)?;
    let times = Times::of(batch, time)?;
    let counts: Numbers<'_, UInt64Type> = Numbers::of(batch, CONNECTIONS)?;
    let loss = Flags::of(batch, LOSS)?;
    for row in 0..batch.num_rows() {
        visit(edges.number(row), times.time(row), (counts.number(row), loss.flag(row)))?;
    }
    Ok(())
}

/// The ids of the rows of `batch`.
pub(crate) fn ids(batch: &RecordBatch) -> Result<Vec<EdgeId>, SegmentError> {
    let ids: &FixedSizeBinaryArray = column(batch, ID)?;
    let id = |row: usize| EdgeId::of_bytes(ids.value(row)).ok_or(SegmentError::Column(ID));
    (0..batch.num_rows()).map(id).collect()
}

/// Gives each row of minutes that names its edge by id to `visit`.
pub(crate) fn minutes(
    batch: &RecordBatch,
    mut visit: impl FnMut(EdgeId, Timestamp, EdgeStats),
) -> Result<(), SegmentError> {
    let minutes = Times::of(batch, MINUTE)?;
    let stats = StatsReader::of(batch)?;
    for (row, id) in ids(batch)?.into_iter().enumerate() {
        visit(id, minutes.time(row), stats.stats(row));
    }
    Ok(())
}

/// Gives each loss of `batch` to `visit`.
pub(crate) fn losses(
    batch: &RecordBatch,
    layout: Layout,
    mut visit: impl FnMut(LossMinute),
) -> Result<(), SegmentError> {
    let minutes = Times::of(batch, MINUTE)?;
    let cluster = Clusters::of(batch, layout)?;
    let (node, hook) = (Texts::of(batch, "node")?, Texts::of(batch, "hook")?);
    let produced: Numbers<'_, UInt64Type> = Numbers::of(batch, "produced")?;
    let dropped: Numbers<'_, UInt64Type> = Numbers::of(batch, "dropped")?;
    for row in 0..batch.num_rows() {
        visit(LossMinute {
            minute: minutes.time(row),
            cluster: cluster.name(row)?,
            node: node.text(row).to_owned(),
            hook: hook.text(row).to_owned(),
            produced: produced.number(row),
            dropped: dropped.number(row),
        });
    }
    Ok(())
}
