//! A client of somebody else's Observer API: Hubble Relay, a Cilium agent, or another Sekisho.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use sekisho_exchange::observer::instant;
use sekisho_exchange::observer::messages::{GetFlowsRequest, GetFlowsResponse};
use sekisho_model::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use crate::tls::{Material, Speech, nameless_client};
use crate::{MaterialError, TlsFiles};

/// Longest wait for a TCP connection, for a handshake, and for the head of an answer.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How often a server that says nothing is asked whether it is there, and how long it has.
const PING_PERIOD: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(20);
/// Largest answer, bytes: one flow.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How to prove who is at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayTls {
    /// Certificates of the authority that signed the server's.
    pub ca: PathBuf,
    /// Our certificate and key, where the server asks for them.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Name in the server's certificate, where it is not the host of its address.
    pub server_name: Option<String>,
}

/// Where flows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// DNS name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// None = in the clear.
    pub tls: Option<RelayTls>,
}

/// Flows do not come, or come no longer.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Nobody answers, or the handshake failed.
    #[error("connect to `{place}`")]
    Connect {
        /// Host and port.
        place: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Our files can't be used.
    #[error("TLS for `{place}`")]
    Material {
        /// Host and port.
        place: String,
        /// Why.
        #[source]
        cause: MaterialError,
    },
    /// The name of the server is none.
    #[error("`{0}` is no name that a certificate could have")]
    Name(String),
    /// The server refused, or the connection broke.
    #[error("`{place}` answered {code}: {text}")]
    Answer {
        /// Host and port.
        place: String,
        /// Code of gRPC.
        code: String,
        /// Its words.
        text: String,
    },
}

/// Flows that come from a server.
pub struct RelayFlows {
    place: String,
    stream: Streaming<GetFlowsResponse>,
    /// What moves bytes; it ends with this.
    _driver: JoinSet<()>,
}

impl Relay {
    /// Host and port.
    #[must_use]
    pub fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Connects, and follows all flows from `since` on; None = from now on.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn follow(&self, since: Option<Timestamp>) -> Result<RelayFlows, RelayError> {
        let place = self.place();
        let failed = |cause| RelayError::Connect { place: self.place(), cause };
        let dialing = tokio::time::timeout(CONNECT_WAIT, self.dial());
        let (sender, driver) = dialing.await.unwrap_or_else(|_late| Err(failed(late())))?;
        let authority = if self.tls.is_some() { "https" } else { "http" };
        let origin = format!("{authority}://{place}").parse::<http::Uri>();
        let origin = origin.map_err(|_wrong| RelayError::Name(self.host.clone()))?;
        let mut client =
            Grpc::with_origin(Sender(sender), origin).max_decoding_message_size(ANSWER_BYTES_MAX);
        let request = GetFlowsRequest {
            follow: true,
            since: since.map(instant),
            ..GetFlowsRequest::default()
        };
        let path = PathAndQuery::from_static("/observer.Observer/GetFlows");
        let codec = ProstCodec::<GetFlowsRequest, GetFlowsResponse>::default();
        let asked = client.server_streaming(tonic::Request::new(request), path, codec);
        let answered = tokio::time::timeout(CONNECT_WAIT, asked).await;
        let answered = answered.map_err(|_elapsed| failed(late()))?;
        let stream = answered.map_err(|status| answer(&place, &status))?.into_inner();
        Ok(RelayFlows { place, stream, _driver: driver })
    }

    async fn dial(&self) -> Result<(SendRequest<Body>, JoinSet<()>), RelayError> {
        let failed = |cause| RelayError::Connect { place: self.place(), cause };
        let config = match &self.tls {
            None => None,
            Some(tls) => Some(self.tls_of(tls)?),
        };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        match config {
            None => speak(stream).await.map_err(failed),
            Some((config, name)) => {
                let shaking =
                    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
                speak(shaking.await.map_err(failed)?).await.map_err(failed)
            }
        }
    }

    /// Read anew for each connection, so that a renewed certificate is used.
    fn tls_of(
        &self,
        tls: &RelayTls,
    ) -> Result<(rustls::ClientConfig, ServerName<'static>), RelayError> {
        let unusable = |cause| RelayError::Material { place: self.place(), cause };
        let config = match &tls.own {
            None => nameless_client(&tls.ca, Speech::Grpc),
            Some((certificate, key)) => {
                let (ca, certificate, key) = (tls.ca.clone(), certificate.clone(), key.clone());
                Material::load(&TlsFiles { ca, certificate, key })
                    .and_then(|material| material.client(Speech::Grpc))
            }
        };
        let name = tls.server_name.as_ref().unwrap_or(&self.host);
        let name =
            ServerName::try_from(name.clone()).map_err(|_cause| RelayError::Name(name.clone()))?;
        Ok((config.map_err(unusable)?, name))
    }
}

impl RelayFlows {
    /// The next answer; None = the server ended the stream.
    ///
    /// # Errors
    /// [`RelayError::Answer`]; nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<GetFlowsResponse>, RelayError> {
        self.stream.message().await.map_err(|status| answer(&self.place, &status))
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s")
}

fn answer(place: &str, status: &Status) -> RelayError {
    let text: String = sekisho_base::harmless(status.message()).chars().take(300).collect();
    RelayError::Answer { place: place.to_owned(), code: format!("{:?}", status.code()), text }
}

async fn speak<S>(stream: S) -> io::Result<(SendRequest<Body>, JoinSet<()>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_PERIOD)
        .keep_alive_timeout(PING_WAIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let mut driver = JoinSet::new();
    // How it ended is told by the stream of answers.
    driver.spawn(async move { connection.await.unwrap_or_default() });
    Ok((sender, driver))
}

/// A connection as tonic's client wants it.
struct Sender(SendRequest<Body>);

impl GrpcService<Body> for Sender {
    type ResponseBody = hyper::body::Incoming;
    type Error = hyper::Error;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<http::Response<Self::ResponseBody>, hyper::Error>> + Send>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
