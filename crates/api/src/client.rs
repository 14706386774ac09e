//! The other end of the wire: one connection per call over a socket, because a local one costs
//! nothing; over TLS a long-lived client keeps its connections ([`Client::keep_alive`]).

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use rustls::pki_types::ServerName;
use sekisho_model::{Batch, ClusterName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client_words::word;
use crate::line::{Line, Unanswered};
use crate::own::{Own, Proof};
use crate::tls::{Cause, Material, Speech, explained};
use crate::{
    Ack, AgentReport, ApplyRequest, ApplyResponse, CreatedToken, DropPage, FlowPage, MaterialError,
    NewToken, Order, Revision, RollbackRequest, ServerAddress, Snapshot, SnapshotQuery, Status,
    TlsFiles, TokenInfo,
};

/// Longest wait for an answer; the server holds an order question for at most 10 s, and an apply
/// waits for the nodes.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections that are kept for the next call.
const KEPT_MAX: usize = 4;

/// A client of a server, over its Unix socket or over TLS.
#[derive(Clone, Debug)]
pub struct Client {
    address: ServerAddress,
    tls: Option<Tls>,
    kept: Option<Arc<Kept>>,
    /// Of an agent.
    cluster: ClusterName,
}

/// What a client needs for TLS.
#[derive(Clone, Debug)]
struct Tls {
    files: TlsFiles,
    name: ServerName<'static>,
    /// Of an agent that proves its node.
    own: Option<Arc<Own>>,
}

/// Connections that wait for the next call.
#[derive(Default)]
struct Kept(Mutex<Vec<Line>>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// A client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Over the network without a certificate.
    #[error(
        "the server `{0}` is on the network and asks who you are: give --tls-ca, --tls-cert and \
         --tls-key (or their keys in the configuration file)"
    )]
    NoCertificate(ServerAddress),
    /// A name of the server that is none.
    #[error("`{0}` is no name of a server: a DNS name or an address is needed")]
    Name(String),
}

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("no server at `{0}`: {how}", how = if matches!(.0, ServerAddress::Socket(_)) {
        "start one with `sekisho demo` or `sekisho server`"
    } else {
        "is the address right, and does a server listen there?"
    })]
    Connect(ServerAddress, #[source] io::Error),
    /// Our own certificate, key or authority can't be used.
    #[error("TLS to the server at `{0}`")]
    Material(ServerAddress, #[source] MaterialError),
    /// One end does not trust the other; the text says what to do.
    #[error("{0}")]
    Tls(String),
    /// The server wants a certificate of the node's own, and there is none.
    #[error("no certificate of this node's own: {0}")]
    NoOwn(String),
    /// The connection broke.
    #[error("talk to the server at `{0}`")]
    Http(ServerAddress, #[source] hyper::Error),
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
    /// Whether sending the same again may help. Certificates are renewed while we run, so what they
    /// forbid may be allowed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(..)
            | Self::Material(..)
            | Self::Tls(_)
            | Self::NoOwn(_)
            | Self::Http(..)
            | Self::Timeout(_) => true,
            Self::Refused { status, .. } => {
                *status >= 500
                    || *status == StatusCode::FORBIDDEN.as_u16()
                    || *status == StatusCode::REQUEST_TIMEOUT.as_u16()
            }
            Self::Decode(_) => false,
        }
    }
}

impl Client {
    /// Makes a client of the server that listens on `socket`. Connects with each call.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        let (address, cluster) = (ServerAddress::Socket(socket.to_owned()), ClusterName::default());
        Self { address, tls: None, kept: None, cluster }
    }

    /// Makes a client of the server at `address`. Over TLS it needs `files`, which are read with
    /// each new connection; `name` is the name that the server's certificate must have, where it is
    /// not the host of the address (a tunnel). Connects with each call.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn at(
        address: ServerAddress,
        files: Option<TlsFiles>,
        name: Option<&str>,
    ) -> Result<Self, ClientError> {
        let tls = match (&address, files) {
            (ServerAddress::Socket(_), _) => None,
            (ServerAddress::Tls { .. }, None) => return Err(ClientError::NoCertificate(address)),
            (ServerAddress::Tls { host, .. }, Some(files)) => {
                let name = name.unwrap_or(host).to_owned();
                let parsed = ServerName::try_from(name.clone());
                let name = parsed.map_err(|_cause| ClientError::Name(name))?;
                Some(Tls { files, name, own: None })
            }
        };
        Ok(Self { address, tls, kept: None, cluster: ClusterName::default() })
    }

    /// Speaks as an agent of `cluster`; for agents only, what operators ask names a cluster itself.
    #[must_use]
    pub fn in_cluster(mut self, cluster: ClusterName) -> Self {
        self.cluster = cluster;
        self
    }

    /// Speaks as the agent on `node` by a certificate of that node's own, if the server asks for one:
    /// it is had for the service account token in the file `token`, and renewed when half of its life
    /// is over. Over a socket nothing is to be proved.
    #[must_use]
    pub fn proving_node(mut self, node: &str, token: &Path) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.own = Some(Arc::new(Own::new(node, token)));
        }
        self
    }

    /// Which certificate an agent proves itself with, for people; None = nothing can be said now.
    #[must_use]
    pub fn certificate_words(&self) -> Option<String> {
        match &self.tls.as_ref()?.own {
            Some(own) => own.words(),
            None => Some("as given".to_owned()),
        }
    }

    /// How long the certificate of an agent's own node is still good, where it can't be renewed; None
    /// = nothing is wrong with it, or it is not of that kind.
    #[must_use]
    pub fn ending_certificate(&self) -> Option<Duration> {
        self.tls.as_ref()?.own.as_ref()?.ending()
    }

    fn agent_path(&self, node: &str, what: &str) -> String {
        match self.cluster.is_default() {
            true => format!("/v1/agents/{node}/{what}"),
            false => format!("/v1/clusters/{}/agents/{node}/{what}", self.cluster),
        }
    }

    /// Keeps connections for later calls; for clients that live in one runtime only, whose end
    /// would leave the connections dead.
    #[must_use]
    pub fn keep_alive(mut self) -> Self {
        self.kept = Some(Arc::default());
        self
    }

    /// The files it proves itself with; None over a socket.
    #[must_use]
    pub fn tls_files(&self) -> Option<&TlsFiles> {
        self.tls.as_ref().map(|tls| &tls.files)
    }

    /// Sends a batch.
    ///
    /// # Errors
    /// [`CallError`]; the batch is durable only if this returns `Ok`.
    pub async fn send_batch(&self, batch: &Batch) -> Result<Ack, CallError> {
        let path = self.agent_path(&batch.node, "batches");
        postcard_answer(self.call("POST", &path, encoded(batch)?).await?)
    }

    /// Waits up to 10 s for an order newer than `after`; None = none yet.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn order(&self, node: &str, after: u64) -> Result<Option<Order>, CallError> {
        let path = self.agent_path(node, &format!("order?after={after}"));
        let body = self.call("GET", &path, Bytes::new()).await?;
        if body.is_empty() { Ok(None) } else { postcard_answer(body).map(Some) }
    }

    /// Sends an agent's words about itself.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn report(&self, node: &str, report: &AgentReport) -> Result<(), CallError> {
        let path = self.agent_path(node, "report");
        self.call("POST", &path, encoded(report)?).await.map(|_empty| ())
    }

    /// Asks for health and figures.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn status(&self) -> Result<Status, CallError> {
        json_answer(&self.call("GET", "/v1/status", Bytes::new()).await?)
    }

    /// Asks which clusters the server has, by name.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn clusters(&self) -> Result<Vec<ClusterName>, CallError> {
        json_answer(&self.call("GET", "/v1/clusters", Bytes::new()).await?)
    }

    /// Asks for all revisions of `cluster`, or of the only one, oldest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn revisions(
        &self,
        cluster: Option<&ClusterName>,
    ) -> Result<Vec<Revision>, CallError> {
        let path = match cluster {
            Some(cluster) => format!("/v1/revisions?cluster={cluster}"),
            None => "/v1/revisions".to_owned(),
        };
        json_answer(&self.call("GET", &path, Bytes::new()).await?)
    }

    /// Asks for history and cluster.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, CallError> {
        postcard_answer(self.call("POST", "/v1/snapshot", encoded(&query)?).await?)
    }

    /// Asks for at most `count` flows of `cluster`, or of the only one, after `cursor`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn flows(
        &self,
        cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<FlowPage, CallError> {
        let path = paged("flows", cluster, cursor, count);
        postcard_answer(self.call("GET", &path, Bytes::new()).await?)
    }

    /// As [`Self::flows`], for packets that kernels dropped.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn drops(
        &self,
        cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<DropPage, CallError> {
        let path = paged("drops", cluster, cursor, count);
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

    /// Asks for all tokens.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, CallError> {
        json_answer(&self.call("GET", "/v1/tokens", Bytes::new()).await?)
    }

    /// Asks for a new token, in the name of `operator`, a plain word.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn create_token(
        &self,
        wanted: &NewToken,
        operator: &str,
    ) -> Result<CreatedToken, CallError> {
        let path = format!("/v1/tokens?operator={}", word(operator));
        json_answer(&self.call("POST", &path, json(wanted)?).await?)
    }

    /// Asks to end the token `name`, in the name of `operator`, a plain word.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn revoke_token(&self, name: &str, operator: &str) -> Result<(), CallError> {
        let path = format!("/v1/tokens/{}?operator={}", word(name), word(operator));
        self.call("DELETE", &path, Bytes::new()).await.map(drop)
    }

    /// Asks for the Prometheus text.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn metrics(&self) -> Result<String, CallError> {
        let body = self.call("GET", "/metrics", Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        match tokio::time::timeout(CALL_TIMEOUT, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(CallError::Timeout(CALL_TIMEOUT.as_secs())),
        }
    }

    async fn exchange(&self, method: &str, path: &str, body: Bytes) -> Result<Bytes, CallError> {
        let request = || {
            let request = Request::builder().method(method).uri(path).header("host", "sekisho");
            request
                .body(Full::new(body.clone()))
                .map_err(|error| CallError::Decode(error.to_string()))
        };
        // A kept connection may have ended meanwhile. What was not sent at all can be sent anew.
        while let Some(mut line) = self.kept_line() {
            match line.ask(request()?).await {
                Ok((status, body)) => {
                    self.keep(line);
                    return accepted(status, body);
                }
                Err(Unanswered::Unsent) => {}
                Err(Unanswered::Broken(cause)) => return Err(self.broken(cause)),
            }
        }
        let (mut line, number) = self.connect().await?;
        let cause = match line.ask(request()?).await {
            Err(Unanswered::Broken(cause)) => cause,
            answered => return self.answered(line, answered),
        };
        if !self.lost_own(&cause, number).await {
            return Err(self.broken(cause));
        }
        let (mut line, _number) = self.connect().await?;
        let answer = line.ask(request()?).await;
        self.answered(line, answer)
    }

    fn answered(
        &self,
        line: Line,
        answer: Result<(StatusCode, Bytes), Unanswered>,
    ) -> Result<Bytes, CallError> {
        let (status, body) = answer.map_err(|unanswered| self.unanswered(unanswered))?;
        self.keep(line);
        accepted(status, body)
    }

    fn unanswered(&self, unanswered: Unanswered) -> CallError {
        match unanswered {
            Unanswered::Unsent => {
                let ended = io::Error::from(io::ErrorKind::ConnectionAborted);
                CallError::Connect(self.address.clone(), ended)
            }
            Unanswered::Broken(cause) => self.broken(cause),
        }
    }

    /// Whether the server did not believe our node's own certificate with that number, because it is
    /// of an earlier process of the server; then it is forgotten.
    async fn lost_own(&self, cause: &hyper::Error, number: u64) -> bool {
        let own = self.tls.as_ref().and_then(|tls| tls.own.as_ref());
        match (own, Cause::of(cause)) {
            (Some(own), Some(Cause::Ours(_))) => own.held().await.forget(number),
            (Some(_) | None, _) => false,
        }
    }

    /// A new connection, and the number of the node's own certificate that it was made with.
    async fn connect(&self) -> Result<(Line, u64), CallError> {
        let tls = match (&self.address, &self.tls) {
            (ServerAddress::Socket(path), _) => {
                let opened = Line::socket(path).await;
                let failed = |cause| CallError::Connect(self.address.clone(), cause);
                return opened.map(|line| (line, 0)).map_err(failed);
            }
            (ServerAddress::Tls { .. }, None) => {
                let unsupported = io::ErrorKind::Unsupported.into();
                return Err(CallError::Connect(self.address.clone(), unsupported));
            }
            (ServerAddress::Tls { host, port }, Some(tls)) => (host.as_str(), *port, tls),
        };
        let (_, _, Tls { files, own, .. }) = tls;
        let shared = Material::load(files).map_err(|cause| self.unusable(cause))?;
        match own {
            None => Ok((self.dial(tls, &shared).await?, 0)),
            Some(own) => {
                let Proof { material, number, end } = self.own_proof(tls, own, shared).await?;
                Ok((self.dial(tls, &material).await?.ending(end), number))
            }
        }
    }

    /// Opens a connection, and proves who we are by `material`.
    async fn dial(
        &self,
        (host, port, tls): (&str, u16, &Tls),
        material: &Material,
    ) -> Result<Line, CallError> {
        let config = material.client(Speech::Http1).map_err(|cause| self.unusable(cause))?;
        let opened = Line::tls(host, port, tls.name.clone(), config).await;
        opened.map_err(|cause| match Cause::of(&cause) {
            Some(found) => self.distrust(&found),
            None => CallError::Connect(self.address.clone(), cause),
        })
    }

    /// The node's own certificate, got or renewed where it is time for that.
    async fn own_proof(
        &self,
        way: (&str, u16, &Tls),
        own: &Own,
        shared: Material,
    ) -> Result<Proof, CallError> {
        let mut held = own.held().await;
        if held.is_due() {
            match own.question(&shared) {
                Ok((question, key)) => {
                    let asking = self.ask_for_own(way, &own.node, &shared, json(&question)?);
                    held.ask(key, asking).await;
                }
                Err(text) => held.fail(text),
            }
        }
        held.proof(shared)
    }

    async fn ask_for_own(
        &self,
        way: (&str, u16, &Tls),
        node: &str,
        shared: &Material,
        question: Bytes,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let path = self.agent_path(node, "certificate");
        let request = Request::builder().method("POST").uri(path).header("host", "sekisho");
        let request = request
            .body(Full::new(question))
            .map_err(|error| CallError::Decode(error.to_string()))?;
        let mut line = self.dial(way, shared).await?;
        line.ask(request).await.map_err(|unanswered| self.unanswered(unanswered))
    }

    fn unusable(&self, cause: MaterialError) -> CallError {
        CallError::Material(self.address.clone(), cause)
    }

    fn broken(&self, cause: hyper::Error) -> CallError {
        match Cause::of(&cause) {
            Some(found) => self.distrust(&found),
            None => CallError::Http(self.address.clone(), cause),
        }
    }

    fn distrust(&self, cause: &Cause) -> CallError {
        let shown = |pick: fn(&TlsFiles) -> &Path| {
            self.tls_files().map_or_else(String::new, |files| pick(files).display().to_string())
        };
        let (ca, own) = (shown(|files| &files.ca), shown(|files| &files.certificate));
        CallError::Tls(explained(cause, &self.address.to_string(), &ca, &own))
    }

    fn kept_line(&self) -> Option<Line> {
        let kept = self.kept.as_ref()?;
        let mut lines = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| lines.pop()).find(Line::is_good)
    }

    fn keep(&self, line: Line) {
        let Some(kept) = &self.kept else { return };
        let mut lines = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_good() && lines.len() < KEPT_MAX {
            lines.push(line);
        }
    }
}

fn paged(what: &str, cluster: Option<&ClusterName>, cursor: u64, count: usize) -> String {
    let of = cluster.map(|cluster| format!("&cluster={cluster}")).unwrap_or_default();
    format!("/v1/{what}?cursor={cursor}&count={count}{of}")
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

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Bytes, CallError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| CallError::Decode(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the body is done with")]
fn postcard_answer<T: DeserializeOwned>(body: Bytes) -> Result<T, CallError> {
    postcard::from_bytes(&body).map_err(|error| CallError::Decode(error.to_string()))
}

pub(crate) fn json_answer<T: DeserializeOwned>(body: &Bytes) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| CallError::Decode(error.to_string()))
}
