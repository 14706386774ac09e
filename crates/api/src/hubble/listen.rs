//! Where the Observer API is served: without TLS on loopback addresses only, elsewhere with
//! certificates at both ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::routes::hubble_router;
use crate::listen::{converse_grpc, drain};
use crate::{Peer, Service, TlsFiles, TlsListenError, TlsListener};

/// Connections without TLS at one time.
const CONNECTIONS_MAX: usize = 128;
/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener for clients of Hubble.
#[derive(Debug)]
pub struct HubbleListener(Way);

#[derive(Debug)]
enum Way {
    Plain(TcpListener),
    Tls(Box<TlsListener>),
}

/// The address for clients of Hubble can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HubbleListenError {
    /// It is not an address and port.
    #[error("hubble_listen `{0}` is not an address such as 127.0.0.1:4245")]
    Address(String),
    /// It would be reachable from other machines without TLS.
    #[error(
        "hubble_listen `{0}` is not a loopback address, and nothing is served on the network without \
         TLS: give --tls-ca, --tls-cert and --tls-key (`sekisho certificates` makes them)"
    )]
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
    /// TLS can't be served there.
    #[error("hubble_listen")]
    Tls(#[from] TlsListenError),
}

impl HubbleListener {
    /// Binds `address` (address and port): a loopback one without TLS, another one with `files`.
    ///
    /// # Errors
    /// [`HubbleListenError`]; nothing listens then.
    pub async fn bind(address: &str, files: Option<&TlsFiles>) -> Result<Self, HubbleListenError> {
        let parsed: SocketAddr =
            address.parse().map_err(|_wrong| HubbleListenError::Address(address.to_owned()))?;
        if parsed.ip().is_loopback() {
            let failed = |cause| HubbleListenError::Bind { address: address.to_owned(), cause };
            return TcpListener::bind(parsed).await.map(|it| Self(Way::Plain(it))).map_err(failed);
        }
        let files = files.ok_or_else(|| HubbleListenError::NotLoopback(address.to_owned()))?;
        let listener = TlsListener::bind(address, files).await?.for_grpc()?;
        Ok(Self(Way::Tls(Box::new(listener))))
    }

    /// Where it listens; None if the system does not say.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Way::Plain(listener) => listener.local_addr().ok(),
            Way::Tls(listener) => Some(listener.address()),
        }
    }

    /// Serves until `stop` resolves; then streams end.
    pub async fn serve(self, service: Arc<dyn Service>, stop: impl Future<Output = ()>) {
        match self.0 {
            Way::Plain(listener) => plain(listener, service, stop).await,
            Way::Tls(listener) => listener.serve(hubble_router(service), stop).await,
        }
    }
}

async fn plain(listener: TcpListener, service: Arc<dyn Service>, stop: impl Future<Output = ()>) {
    // Who may open a loopback port is on this machine; it only reads.
    let router = hubble_router(service).layer(axum::Extension(Peer::Local));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    let (closing, closed) = tokio::sync::watch::channel(false);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _from)) => {
                    // Small answers must not wait for a full packet; without it they are only later.
                    stream.set_nodelay(true).ok();
                    connections.spawn(converse_grpc(stream, router.clone(), closed.clone(), None));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    drop(listener);
    closing.send_replace(true);
    drain(&mut connections).await;
}
