//! Listening: on a Unix socket that only its owner may open, or on a TCP address for metrics. What
//! leaves the machine is in `tls`.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::Peer;

/// A bound Unix socket; its file is removed on drop.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A live server answers on it.
    #[error("`{0}` is in use by a running server: stop it, or choose another socket")]
    InUse(PathBuf),
    /// The path can't be used.
    #[error("bind `{path}`")]
    Bind {
        /// Socket path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl UnixSocket {
    /// Binds `path` with mode 0600, making parent folders. A dead socket file is replaced.
    ///
    /// # Errors
    /// [`ListenError::InUse`] if a server answers there; [`ListenError::Bind`] otherwise.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |cause| ListenError::Bind { path: path.to_owned(), cause };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        if path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket()) {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(ListenError::InUse(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Accepts the next connection.
    async fn accept(&self) -> io::Result<tokio::net::UnixStream> {
        self.listener.accept().await.map(|(stream, _peer)| stream)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // The next start replaces a file that could not be removed.
        std::fs::remove_file(&self.path).ok();
    }
}

/// A loopback TCP listener that serves only `GET /metrics`, for Prometheus.
#[derive(Debug)]
pub struct MetricsListener(tokio::net::TcpListener);

/// The metrics address can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MetricsListenError {
    /// It is not an address and port.
    #[error("metrics_listen `{0}` is not an address such as 127.0.0.1:9464")]
    Address(String),
    /// It would be reachable from other machines, and metrics are not encrypted.
    #[error("metrics_listen `{0}` is not a loopback address: put a TLS proxy before it")]
    NotLoopback(String),
    /// It can't be bound.
    #[error("listen on `{address}`")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl MetricsListener {
    /// Binds `address`, which must be a loopback one.
    ///
    /// # Errors
    /// [`MetricsListenError`] if it is none, or in use.
    pub async fn bind(address: &str) -> Result<Self, MetricsListenError> {
        let parsed: std::net::SocketAddr =
            address.parse().map_err(|_wrong| MetricsListenError::Address(address.to_owned()))?;
        if !parsed.ip().is_loopback() {
            return Err(MetricsListenError::NotLoopback(address.to_owned()));
        }
        let failed = |cause| MetricsListenError::Bind { address: address.to_owned(), cause };
        tokio::net::TcpListener::bind(parsed).await.map(Self).map_err(failed)
    }

    /// Serves until `stop` resolves.
    pub async fn serve(
        self,
        service: std::sync::Arc<dyn crate::Service>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let router = crate::router::metrics_router(service);
        let served = axum::serve(self.0, router).with_graceful_shutdown(stop).await;
        if let Err(error) = served {
            tracing::error!(%error, "metrics listener ended");
        }
    }
}

/// Tells connections that the server stops.
pub(crate) type Closed = tokio::sync::watch::Receiver<bool>;

/// Longest wait for the head of a request, and so the longest that a connection stays idle.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// Largest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;

/// Serves `router` on `socket` until `stop` resolves; requests under way are answered first.
/// Whoever may open the socket may do everything: see [`Peer::Local`].
pub async fn serve(socket: UnixSocket, router: Router, stop: impl Future<Output = ()>) {
    let router = router.layer(axum::Extension(Peer::Local));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    let (closing, closed) = tokio::sync::watch::channel(false);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = socket.accept() => match accepted {
                Ok(stream) => {
                    connections.spawn(converse(stream, router.clone(), closed.clone(), None));
                }
                // Out of file descriptors, most likely: try again rather than end.
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    closing.send_replace(true);
    drain(&mut connections).await;
}

/// Waits for requests under way.
pub(crate) async fn drain(connections: &mut JoinSet<()>) {
    let drained = async { while connections.join_next().await.is_some() {} };
    // A hanging order question ends by itself after 10 s; nothing durable waits on it.
    tokio::time::timeout(Duration::from_secs(2), drained).await.ok();
}

/// Answers requests on one connection until the client ends it, the server stops, or it is as old
/// as `age_max`; then the request under way is the last.
pub(crate) async fn converse<S>(
    stream: S,
    router: Router,
    mut closed: Closed,
    age_max: Option<Duration>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper_util::service::TowerToHyperService::new(router);
    let io = hyper_util::rt::TokioIo::new(stream);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let closing = async move { closed.wait_for(|closed| *closed).await.is_ok() };
    let aged = async {
        match age_max {
            Some(age) => tokio::time::sleep(age).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        _closing = closing => None,
        () = aged => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Requests at one time on a connection of gRPC.
const CALLS_PER_CONNECTION_MAX: u32 = 32;
/// How often a client of gRPC that says nothing is asked whether it is there, and how long it has.
const PING_PERIOD: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(20);
/// How long the calls on a connection that is to end may take.
const CALLS_WAIT: Duration = Duration::from_secs(1);

/// As [`converse`], with HTTP/2, for gRPC. Streams of answers may last as long as the connection: they
/// find a [`Closed`] among the request's extensions, which tells them when it ends.
pub(crate) async fn converse_grpc<S>(
    stream: S,
    router: Router,
    mut closed: Closed,
    age_max: Option<Duration>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (ending, ended) = tokio::sync::watch::channel(false);
    let router = router.layer(axum::Extension::<Closed>(ended));
    let service = hyper_util::service::TowerToHyperService::new(router);
    let io = hyper_util::rt::TokioIo::new(stream);
    // Its tasks answer single requests; without the connection they have nobody to answer.
    let connection = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .timer(hyper_util::rt::TokioTimer::new())
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_PERIOD)
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let closing = async move { closed.wait_for(|closed| *closed).await.is_ok() };
    let aged = async {
        match age_max {
            Some(age) => tokio::time::sleep(age).await,
            None => std::future::pending().await,
        }
    };
    let over = tokio::select! {
        over = &mut connection => Some(over),
        _closing = closing => None,
        () = aged => None,
    };
    let over = match over {
        Some(over) => over,
        None => {
            ending.send_replace(true);
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(CALLS_WAIT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = over {
        tracing::debug!(%error, "connection ended early");
    }
}
