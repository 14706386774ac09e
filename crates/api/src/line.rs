//! One HTTP connection of a client, over a Unix socket or TLS.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Longest wait for a TCP connection, and for a handshake.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// A connection is used again until it is so old; the next one reads the certificates anew.
const AGE_MAX: Duration = Duration::from_secs(600);

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An open connection.
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    until: Instant,
}

/// How a request ended that was not answered.
pub(crate) enum Unanswered {
    /// Not a byte of it was sent.
    Unsent,
    /// The connection broke.
    Broken(hyper::Error),
}

impl Line {
    /// Opens a connection over a Unix socket.
    pub(crate) async fn socket(path: &Path) -> io::Result<Self> {
        Self::open(UnixStream::connect(path).await?).await
    }

    /// Opens a connection over TLS to `host`, whose certificate must be of `name`.
    pub(crate) async fn tls(
        host: &str,
        port: u16,
        name: ServerName<'static>,
        config: ClientConfig,
    ) -> io::Result<Self> {
        let late = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s");
        let connecting = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect((host, port)));
        let stream = connecting.await.map_err(late)??;
        stream.set_nodelay(true)?;
        let shaking = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
        Self::open(tokio::time::timeout(CONNECT_WAIT, shaking).await.map_err(late)??).await
    }

    async fn open<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // How it ended is told by the request that was under way.
        let driver = Box::pin(async move { connection.await.unwrap_or_default() });
        Ok(Self { sender, driver, until: Instant::now() + AGE_MAX })
    }

    /// The same, used again until `end` at most, if there is one.
    pub(crate) fn ending(self, end: Option<Instant>) -> Self {
        Self { until: end.map_or(self.until, |end| self.until.min(end)), ..self }
    }

    /// Whether it can take another request.
    pub(crate) fn is_good(&self) -> bool {
        !self.sender.is_closed() && Instant::now() < self.until
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Unanswered> {
        let sender = &mut self.sender;
        let exchange = async {
            sender.ready().await.map_err(|_closed| Unanswered::Unsent)?;
            let response =
                sender.try_send_request(request).await.map_err(|mut error| {
                    match error.take_message() {
                        Some(_request) => Unanswered::Unsent,
                        None => Unanswered::Broken(error.into_error()),
                    }
                })?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(Unanswered::Broken)?;
            Ok((status, body.to_bytes()))
        };
        // The connection may end first with the answer already read: a server that stops says so in
        // the answer itself. Then the answer is still there to be taken. It is asked first, because
        // an idle one that has ended meanwhile must not take the request.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            () = &mut self.driver => {
                self.driver = Box::pin(std::future::pending());
                exchange.await
            }
            answer = &mut exchange => answer,
        }
    }
}
