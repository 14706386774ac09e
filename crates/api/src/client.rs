//! The other end of the wire: one connection per call, because a local socket costs nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use sekisho_model::Batch;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::{
    Ack, AgentReport, ApplyRequest, ApplyResponse, DropPage, FlowPage, Order, Revision,
    RollbackRequest, Snapshot, SnapshotQuery, Status,
};

/// Longest wait for an answer; the server holds an order question for at most 10 s, and an apply
/// waits for the nodes.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of a server's Unix socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("no server at `{socket}`: start one with `sekisho demo` or `sekisho server`")]
    Connect {
        /// Socket path.
        socket: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The connection broke.
    #[error("talk to the server at `{socket}`")]
    Http {
        /// Socket path.
        socket: PathBuf,
        /// Why.
        #[source]
        cause: hyper::Error,
    },
    /// No answer in time.
    #[error("the server did not answer within {0} s")]
    Timeout(u64),
    /// The server says no.
    #[error("{text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words.
        text: String,
    },
    /// The answer can't be read: another version, most likely.
    #[error("unreadable answer: {0}")]
    Decode(String),
}

impl CallError {
    /// Whether sending the same again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Http { .. } | Self::Timeout(_) => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Decode(_) => false,
        }
    }
}

impl Client {
    /// Makes a client of the server that listens on `socket`. Connects with each call.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Sends a batch.
    ///
    /// # Errors
    /// [`CallError`]; the batch is durable only if this returns `Ok`.
    pub async fn send_batch(&self, batch: &Batch) -> Result<Ack, CallError> {
        let path = format!("/v1/agents/{}/batches", batch.node);
        postcard_answer(self.call("POST", &path, encoded(batch)?).await?)
    }

    /// Waits up to 10 s for an order newer than `after`; None = none yet.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn order(&self, node: &str, after: u64) -> Result<Option<Order>, CallError> {
        let path = format!("/v1/agents/{node}/order?after={after}");
        let body = self.call("GET", &path, Bytes::new()).await?;
        if body.is_empty() { Ok(None) } else { postcard_answer(body).map(Some) }
    }

    /// Sends an agent's words about itself.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn report(&self, node: &str, report: &AgentReport) -> Result<(), CallError> {
        let path = format!("/v1/agents/{node}/report");
        self.call("POST", &path, encoded(report)?).await.map(|_empty| ())
    }

    /// Asks for health and figures.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn status(&self) -> Result<Status, CallError> {
        json_answer(&self.call("GET", "/v1/status", Bytes::new()).await?)
    }

    /// Asks for all revisions, oldest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn revisions(&self) -> Result<Vec<Revision>, CallError> {
        json_answer(&self.call("GET", "/v1/revisions", Bytes::new()).await?)
    }

    /// Asks for history and cluster.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, CallError> {
        postcard_answer(self.call("POST", "/v1/snapshot", encoded(&query)?).await?)
    }

    /// Asks for at most `count` flows after `cursor`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn flows(&self, cursor: u64, count: usize) -> Result<FlowPage, CallError> {
        let path = format!("/v1/flows?cursor={cursor}&count={count}");
        postcard_answer(self.call("GET", &path, Bytes::new()).await?)
    }

    /// Asks for at most `count` records of packets that kernels dropped, after `cursor`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn drops(&self, cursor: u64, count: usize) -> Result<DropPage, CallError> {
        let path = format!("/v1/drops?cursor={cursor}&count={count}");
        postcard_answer(self.call("GET", &path, Bytes::new()).await?)
    }

    /// Asks to verify and put in force.
    ///
    /// # Errors
    /// [`CallError`]; a refusal by the replay is an `Ok` without a revision.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyResponse, CallError> {
        json_answer(&self.call("POST", "/v1/apply", json(request)?).await?)
    }

    /// Asks to go back.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn rollback(&self, request: &RollbackRequest) -> Result<ApplyResponse, CallError> {
        json_answer(&self.call("POST", "/v1/rollback", json(request)?).await?)
    }

    /// Asks for the Prometheus text.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn metrics(&self) -> Result<String, CallError> {
        let body = self.call("GET", "/metrics", Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn call(&self, method: &str, path: &str, body: Bytes) -> Result<Bytes, CallError> {
        match tokio::time::timeout(CALL_TIMEOUT, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(CallError::Timeout(CALL_TIMEOUT.as_secs())),
        }
    }

    async fn exchange(&self, method: &str, path: &str, body: Bytes) -> Result<Bytes, CallError> {
        let broken = |cause| CallError::Http { socket: self.socket.clone(), cause };
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|cause| CallError::Connect { socket: self.socket.clone(), cause })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "sekisho")
            .body(Full::new(body))
            .map_err(|error| CallError::Decode(error.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
            Ok((status, body))
        };
        // The connection may end first with the answer already read: a server that stops says so in
        // the answer itself. Then the answer is still there to be taken.
        let mut exchange = std::pin::pin!(exchange);
        let (status, body) = tokio::select! {
            answer = &mut exchange => answer?,
            _ended = connection => exchange.await?,
        };
        accepted(status, body)
    }
}

fn accepted(status: StatusCode, body: Bytes) -> Result<Bytes, CallError> {
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let text = if text.is_empty() { format!("the server answered {status}") } else { text };
    Err(CallError::Refused { status: status.as_u16(), text })
}

fn encoded<T: Serialize>(value: &T) -> Result<Bytes, CallError> {
    postcard::to_stdvec(value)
        .map(Bytes::from)
        .map_err(|error| CallError::Decode(error.to_string()))
}

fn json<T: Serialize>(value: &T) -> Result<Bytes, CallError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| CallError::Decode(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the body is done with")]
fn postcard_answer<T: DeserializeOwned>(body: Bytes) -> Result<T, CallError> {
    postcard::from_bytes(&body).map_err(|error| CallError::Decode(error.to_string()))
}

fn json_answer<T: DeserializeOwned>(body: &Bytes) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| CallError::Decode(error.to_string()))
}
