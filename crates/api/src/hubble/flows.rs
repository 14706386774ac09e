//! GetFlows: the rings of flows and of dropped packets of all clusters, as one stream by time.
//!
//! Nothing is queued for a client but one batch: it is read when the client takes it. A client that is
//! slower than the rings turn is overtaken, and told how much it missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use sekisho_base::Clock;
use sekisho_exchange::observer::messages::{Flow, GetFlowsResponse, Told};
use sekisho_exchange::observer::{Stand, flow, instant, kernel_drop, lost, stand};
use sekisho_model::{ClusterName, Timestamp};
use sekisho_system::SystemClock;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::question::Question;
use crate::listen::Closed;
use crate::{Refusal, Service};

/// Flows that are read at once.
const PAGE: usize = 512;
/// Answers that are made at once.
const BATCH: usize = 256;
/// Between two looks for what is new.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// Reads the rings for one client.
pub(super) struct Reader {
    service: Arc<dyn Service>,
    question: Question,
    rings: Vec<Ring>,
    /// Answers that may still be given.
    left: usize,
}

/// One ring, and how far it was read.
struct Ring {
    cluster: ClusterName,
    kind: Kind,
    cursor: u64,
    /// Where it ends for who does not follow.
    end: u64,
    /// Whether nothing was left at the last look.
    dry: bool,
    /// Read and asked for, oldest first.
    ready: VecDeque<(Timestamp, Flow)>,
    missed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flows,
    Drops,
}

/// A part of a ring.
struct Part {
    cursor: u64,
    missed: u64,
    flows: Vec<(Timestamp, Flow)>,
}

impl Reader {
    /// Finds where to begin.
    pub(super) fn start(service: Arc<dyn Service>, question: Question) -> Result<Self, Refusal> {
        let mut rings = Vec::new();
        for cluster in service.clusters() {
            for kind in [Kind::Flows, Kind::Drops] {
                let newest = read(service.as_ref(), (&cluster, kind), u64::MAX, 0)?.cursor;
                let cluster = cluster.clone();
                let ready = VecDeque::new();
                let (cursor, end) = (newest, newest);
                rings.push(Ring { cluster, kind, cursor, end, dry: false, ready, missed: 0 });
            }
        }
        // Who follows and names no time wants the last ones first, or none; who does not wants a part.
        let last = question.since.is_none() && !question.first;
        let left = match question.number {
            Some(number) if !question.follow => number,
            Some(_) | None => usize::MAX,
        };
        let mut reader = Self { service, question, rings, left };
        match reader.question.number {
            Some(number) if last => reader.rewind(number)?,
            None if last && reader.question.follow => {}
            Some(_) | None => reader.begin_at_oldest()?,
        }
        Ok(reader)
    }

    fn begin_at_oldest(&mut self) -> Result<(), Refusal> {
        for ring in &mut self.rings {
            ring.cursor = oldest(self.service.as_ref(), ring)?;
        }
        Ok(())
    }

    /// Goes back to where the last `number` that are asked for begin.
    fn rewind(&mut self, number: usize) -> Result<(), Refusal> {
        let mut found: Vec<(Timestamp, usize)> = Vec::new();
        let mut places: Vec<Vec<u64>> = Vec::new();
        for (at, ring) in self.rings.iter().enumerate() {
            let oldest = oldest(self.service.as_ref(), ring)?;
            let (mut hi, mut own) = (ring.end, Vec::new());
            while hi > oldest && own.len() < number {
                let lo = hi.saturating_sub(PAGE as u64).max(oldest);
                let count = usize::try_from(hi - lo).unwrap_or(PAGE);
                let part = read(self.service.as_ref(), (&ring.cluster, ring.kind), lo, count)?;
                for (back, (time, flow)) in part.flows.iter().rev().enumerate() {
                    if own.len() < number && self.question.takes(*time, flow) {
                        own.push(part.cursor - back as u64 - 1);
                        found.push((*time, at));
                    }
                }
                hi = lo;
            }
            places.push(own);
        }
        // The newest of all rings together; of each ring those that are newest in it.
        found.sort_by(|a, b| b.cmp(a));
        let mut counts = vec![0_usize; self.rings.len()];
        for (_, at) in found.into_iter().take(number) {
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
        }
        for ((ring, places), count) in self.rings.iter_mut().zip(places).zip(counts) {
            let begin = count.checked_sub(1).and_then(|last| places.get(last));
            ring.cursor = begin.copied().unwrap_or(ring.end);
        }
        Ok(())
    }

    /// The next answers; none = there is nothing now, and nothing later unless the client follows.
    fn batch(&mut self) -> Result<Vec<GetFlowsResponse>, Refusal> {
        let mut answers = Vec::new();
        while answers.len() < BATCH && self.left > 0 {
            for ring in &mut self.rings {
                ring.fill(self.service.as_ref(), &self.question)?;
                let missed = std::mem::take(&mut ring.missed);
                if missed > 0 {
                    let now = Timestamp::from_nanos(SystemClock.now());
                    answers.push(lost(missed, now, ring.cluster.as_str()));
                }
            }
            let earliest = self.rings.iter_mut().filter(|ring| !ring.ready.is_empty());
            let earliest = earliest.min_by_key(|ring| ring.ready.front().map(|(time, _)| *time));
            let Some((time, flow)) = earliest.and_then(|ring| ring.ready.pop_front()) else {
                break;
            };
            self.left = self.left.saturating_sub(1);
            answers.push(self.answer(time, flow));
        }
        for ring in &mut self.rings {
            ring.dry = false;
        }
        Ok(answers)
    }

    fn answer(&self, time: Timestamp, flow: Flow) -> GetFlowsResponse {
        let node_name = flow.node_name.clone();
        let flow = match &self.question.mask {
            Some(mask) => mask.cut(&flow),
            None => flow,
        };
        let told = Some(Told::Flow(Box::new(flow)));
        GetFlowsResponse { told, node_name, time: Some(instant(time)) }
    }

    /// Whether nothing can come any more.
    fn is_over(&self) -> bool {
        let past = |until: Timestamp| until.nanos() < SystemClock.now();
        !self.question.follow || self.question.until.is_some_and(past)
    }
}

impl Ring {
    /// Reads until something is ready, or nothing is left for now.
    fn fill(&mut self, service: &dyn Service, question: &Question) -> Result<(), Refusal> {
        while self.ready.is_empty() && !self.dry {
            let room = match question.follow {
                true => PAGE,
                false => usize::try_from(self.end.saturating_sub(self.cursor)).unwrap_or(PAGE),
            };
            let part = read(service, (&self.cluster, self.kind), self.cursor, room.min(PAGE))?;
            self.dry = part.flows.is_empty();
            self.cursor = part.cursor;
            self.missed = self.missed.saturating_add(part.missed);
            let wanted = part.flows.into_iter().filter(|(time, flow)| question.takes(*time, flow));
            self.ready.extend(wanted);
        }
        Ok(())
    }
}

/// The oldest cursor from which a ring can be read.
fn oldest(service: &dyn Service, ring: &Ring) -> Result<u64, Refusal> {
    let part = read(service, (&ring.cluster, ring.kind), 0, 1)?;
    Ok(part.cursor.saturating_sub(part.flows.len() as u64).min(ring.end))
}

fn read(
    service: &dyn Service,
    (cluster, kind): (&ClusterName, Kind),
    cursor: u64,
    count: usize,
) -> Result<Part, Refusal> {
    match kind {
        Kind::Drops => {
            let page = service.drops(Some(cluster), cursor, count)?;
            let told = |one: &sekisho_model::Dropped| (one.stats.last_seen, kernel_drop(one));
            let flows = page.drops.iter().map(told).collect();
            Ok(Part { cursor: page.cursor, missed: page.missed, flows })
        }
        Kind::Flows => {
            let page = service.flows(Some(cluster), cursor, count)?;
            let nodes = nodes(service, cluster, &page.flows);
            let told = |one: &sekisho_model::Flow| {
                let node = match stand(one) {
                    Stand::Pod(namespace, pod) => {
                        nodes.get(&(namespace, pod)).map_or("", String::as_str)
                    }
                    Stand::Node(name) => name,
                    Stand::Unknown => "",
                };
                (one.stats.last_seen, flow(one, node))
            };
            let flows = page.flows.iter().map(told).collect();
            Ok(Part { cursor: page.cursor, missed: page.missed, flows })
        }
    }
}

/// The nodes of the pods that `flows` are told from.
fn nodes<'a>(
    service: &dyn Service,
    cluster: &ClusterName,
    flows: &'a [sekisho_model::Flow],
) -> BTreeMap<(&'a str, &'a str), String> {
    let mut pods: Vec<(&str, &str)> = flows
        .iter()
        .filter_map(|one| match stand(one) {
            Stand::Pod(namespace, pod) => Some((namespace, pod)),
            Stand::Node(_) | Stand::Unknown => None,
        })
        .collect();
    pods.sort_unstable();
    pods.dedup();
    let nodes = service.nodes_of(cluster, &pods);
    pods.into_iter().zip(nodes).filter_map(|(pod, node)| Some((pod, node?))).collect()
}

/// A client's stream while it lasts.
struct Running {
    reader: Option<Reader>,
    ready: VecDeque<GetFlowsResponse>,
    closed: Closed,
    _permit: OwnedSemaphorePermit,
}

/// What `reader` reads, until the client is satisfied or gone, or the connection is to end.
pub(super) fn stream(
    reader: Reader,
    closed: Closed,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<GetFlowsResponse, Status>> + Send + use<> {
    let running = Running { reader: Some(reader), ready: VecDeque::new(), closed, _permit: permit };
    unfold(
        running,
        |mut running| async move { running.next().await.map(|answer| (answer, running)) },
    )
}

impl Running {
    async fn next(&mut self) -> Option<Result<GetFlowsResponse, Status>> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Some(Ok(answer));
            }
            let mut reader = self.reader.take()?;
            // It waits for the lock on the flows, and a filter may look at many.
            let read = tokio::task::spawn_blocking(move || {
                let batch = reader.batch();
                (reader, batch)
            });
            let (reader, batch) = match read.await {
                Ok((reader, Ok(batch))) => (reader, batch),
                Ok((_, Err(refusal))) => return Some(Err(refused(&refusal))),
                Err(_panicked) => return Some(Err(Status::internal("flows can't be read"))),
            };
            if batch.is_empty() && (reader.left == 0 || reader.is_over()) {
                return None;
            }
            let is_empty = batch.is_empty();
            self.ready.extend(batch);
            self.reader = Some(reader);
            if is_empty {
                tokio::select! {
                    () = tokio::time::sleep(FOLLOW_PAUSE) => {}
                    _closed = self.closed.wait_for(|closed| *closed) => {
                        self.reader = None;
                        return Some(Err(Status::unavailable("the connection ends: ask again")));
                    }
                }
            }
        }
    }
}

/// A refusal in gRPC's words.
pub(super) fn refused(refusal: &Refusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::Invalid(_) => Status::invalid_argument(text),
        Refusal::Unknown(_) => Status::not_found(text),
        Refusal::Denied(_) => Status::permission_denied(text),
        Refusal::Unavailable(_) => Status::unavailable(text),
    }
}
