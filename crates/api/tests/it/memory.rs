//! A service that keeps everything in memory, and a server of it on a socket of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho_api::{
    Ack, AgentReport, ApplyRequest, ApplyResponse, Client, DropPage, FlowPage, Order, Refusal,
    Revision, RollbackRequest, Service, Snapshot, SnapshotQuery, Status, UnixSocket,
};
use sekisho_model::{Batch, ClusterName, Flow, Timestamp};
use sekisho_policy::Cluster;
use tokio::sync::oneshot;

/// What came in, and what is to be said.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) batches: Mutex<Vec<(Batch, Vec<u8>)>>,
    /// The clusters that they were for.
    pub(crate) clusters: Mutex<Vec<ClusterName>>,
    pub(crate) orders: Mutex<BTreeMap<String, Order>>,
    pub(crate) reports: Mutex<Vec<(String, AgentReport)>>,
    /// Why nothing can be stored; empty = it can.
    pub(crate) full: Mutex<String>,
    /// Who asked to roll back.
    pub(crate) operators: Mutex<Vec<String>>,
    /// Tokens and the nodes that they are of; None: nobody has to prove a node.
    pub(crate) tokens: Mutex<Option<BTreeMap<String, String>>>,
    /// How often a token was looked at.
    pub(crate) attested: AtomicUsize,
    /// How many flows were asked for last.
    pub(crate) asked: Mutex<usize>,
    /// Flows in memory, and how many there were before them.
    pub(crate) recent: Mutex<(u64, Vec<Flow>)>,
    /// Asked to stop in the middle of a batch: waits for this long.
    pub(crate) slow: Mutex<Duration>,
}

impl Service for Memory {
    fn clusters(&self) -> Vec<ClusterName> {
        vec![ClusterName::default()]
    }

    fn proves_nodes(&self, _cluster: &ClusterName) -> bool {
        self.tokens.lock().unwrap().is_some()
    }

    fn attest(&self, _cluster: &ClusterName, node: &str, token: &str) -> Result<(), Refusal> {
        self.attested.fetch_add(1, Ordering::Relaxed);
        let tokens = self.tokens.lock().unwrap().clone().unwrap_or_default();
        match tokens.get(token) {
            Some(found) if found == node => Ok(()),
            Some(found) => Err(Refusal::Denied(format!("the token is of `{found}`"))),
            None => Err(Refusal::Denied("no such token".to_owned())),
        }
    }

    fn ingest(&self, cluster: &ClusterName, batch: Batch, frame: &[u8]) -> Result<Ack, Refusal> {
        self.clusters.lock().unwrap().push(cluster.clone());
        let full = self.full.lock().unwrap().clone();
        if !full.is_empty() {
            return Err(Refusal::Unavailable(full));
        }
        let slow = *self.slow.lock().unwrap();
        sekisho_system::wait::pause_for(slow);
        assert_ne!(batch.node, "panics", "as asked");
        let sequence = batch.sequence;
        self.batches.lock().unwrap().push((batch, frame.to_vec()));
        Ok(Ack { sequence })
    }

    fn order(&self, _cluster: &ClusterName, node: &str, after: u64) -> Option<Order> {
        let order = self.orders.lock().unwrap().get(node).cloned();
        order.filter(|order| order.generation > after)
    }

    fn report(&self, _cluster: &ClusterName, node: &str, report: AgentReport) {
        self.reports.lock().unwrap().push((node.to_owned(), report));
    }

    fn status(&self) -> Status {
        Status {
            cluster_name: ClusterName::default(),
            version: "1".to_owned(),
            time: Timestamp::from_seconds(1),
            started: Timestamp::EPOCH,
            agents: Vec::new(),
            completeness: 0.5,
            gaps: Vec::new(),
            flows: 3,
            flows_held: 2,
            flows_held_max: 10,
            revision: 0,
            staged: 0,
            objects: 0,
            store: sekisho_api::StoreFigures::default(),
            memory_bytes: 0,
            joiner: Vec::new(),
            joiner_held: Vec::new(),
            ingest: sekisho_api::IngestFigures::default(),
            generation: 0,
            cluster: None,
            sources: Vec::new(),
            problems: Vec::new(),
            listener: None,
            console: None,
            enforcement: sekisho_api::Enforcement::default(),
            native: None,
            images: None,
            sinks: Vec::new(),
            others: Vec::new(),
        }
    }

    fn snapshot(&self, _query: SnapshotQuery) -> Result<Snapshot, Refusal> {
        Err(Refusal::Unavailable("nothing is kept".to_owned()))
    }

    fn flows(
        &self,
        _cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<FlowPage, Refusal> {
        *self.asked.lock().unwrap() = count;
        let recent = self.recent.lock().unwrap();
        let (before, flows) = (recent.0, &recent.1);
        let newest = before + flows.len() as u64;
        if cursor >= newest {
            return Ok(FlowPage { cursor: newest, missed: 0, flows: Vec::new() });
        }
        let from = cursor.max(before);
        let skip = usize::try_from(from - before).unwrap();
        let flows: Vec<Flow> = flows.iter().skip(skip).take(count).cloned().collect();
        Ok(FlowPage { cursor: from + flows.len() as u64, missed: from - cursor, flows })
    }

    fn drops(
        &self,
        _cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<DropPage, Refusal> {
        let _none = (cursor, count);
        Ok(DropPage::default())
    }

    fn nodes_of(&self, _cluster: &ClusterName, pods: &[(&str, &str)]) -> Vec<Option<String>> {
        pods.iter().map(|(_, pod)| pod.starts_with("cart").then(|| "node-1".to_owned())).collect()
    }

    fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Refusal> {
        Err(Refusal::Invalid(format!("{} files", request.files.len())))
    }

    fn rollback(&self, request: RollbackRequest) -> Result<ApplyResponse, Refusal> {
        self.operators.lock().unwrap().push(request.operator);
        Err(Refusal::Unknown("no such revision".to_owned()))
    }

    fn revisions(&self, _cluster: Option<&ClusterName>) -> Result<Vec<Revision>, Refusal> {
        Ok(Vec::new())
    }

    fn metrics(&self) -> String {
        "sekisho_flows_total 3\n".to_owned()
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) service: Arc<Memory>,
    pub(crate) client: Client,
    pub(crate) socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts one whose answers to questions for an order come within `order_wait`.
    pub(crate) fn start(order_wait: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run").join("api.sock");
        let service = Arc::new(Memory::default());
        let router = sekisho_api::router_with(Arc::clone(&service) as _, order_wait);
        let bound = UnixSocket::bind(&socket).unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            stopped.await.ok();
        };
        let task = tokio::spawn(sekisho_api::serve(bound, router, stopped));
        let client = Client::new(&socket);
        Self { service, client, socket, stop: Some(stop), task, _folder: folder }
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) -> (Arc<Memory>, PathBuf) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
        (self.service, self.socket)
    }
}

/// A batch of `node`.
pub(crate) fn batch(node: &str, sequence: u64) -> Batch {
    Batch {
        node: node.to_owned(),
        epoch: Timestamp::from_seconds(1),
        sequence,
        time: Timestamp::from_seconds(2),
        halves: Vec::new(),
        counters: Vec::new(),
        shed: 0,
    }
}

/// An order.
pub(crate) fn order(generation: u64) -> Order {
    Order {
        generation,
        enforce: None,
        audit: None,
        revision: 0,
        cut: false,
        cluster: Cluster::default(),
    }
}

/// Sends raw bytes and gives the answer's first line and body.
pub(crate) async fn raw(socket: &Path, head: &str, body: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let head = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer, and close, before it read a body that is too long.
    stream.write_all(body).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}
