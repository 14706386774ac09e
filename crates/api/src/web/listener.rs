//! The listener for people: plain on the machine itself, TLS beyond it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::sign_in::Remote;
use crate::MaterialError;
use crate::listen::{Closed, converse, drain};
use crate::tls::{Slot, Slots, server_of_people};

/// Connections at one time, altogether and of one address. A browser opens six.
const CONNECTIONS_MAX: usize = 2_048;
const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// Longest handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// How often renewed files are looked for.
const RELOAD_PERIOD: Duration = Duration::from_secs(30);
/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The certificate that browsers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebTls {
    /// Certificate, then intermediate ones, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// A bound listener for people.
#[derive(Debug)]
pub struct WebListener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<(WebTls, Arc<ServerConfig>)>,
    slots: Arc<Slots<IpAddr>>,
}

/// The listener can't start.
#[derive(Debug, thiserror::Error)]
pub enum WebListenError {
    /// It is not an address and port.
    #[error("web_listen `{0}` is not an address such as 127.0.0.1:8484")]
    Address(String),
    /// It would carry tokens over a network in plain text.
    #[error(
        "web_listen `{0}` is not a loopback address: give `web_cert` and `web_key`, or listen on \
         127.0.0.1 and put a TLS proxy before it"
    )]
    Plain(String),
    /// The files can't be used.
    #[error("TLS of web_listen")]
    Material(#[from] MaterialError),
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

impl WebListener {
    /// Binds `address`; without `tls` it must be a loopback one.
    ///
    /// # Errors
    /// [`WebListenError`]; nothing listens then.
    pub async fn bind(address: &str, tls: Option<WebTls>) -> Result<Self, WebListenError> {
        let wanted: SocketAddr =
            address.parse().map_err(|_cause| WebListenError::Address(address.to_owned()))?;
        if tls.is_none() && !wanted.ip().is_loopback() {
            return Err(WebListenError::Plain(address.to_owned()));
        }
        let tls = match tls {
            None => None,
            Some(files) => {
                let server = server_of_people(&files.certificate, &files.key)?;
                Some((files, server))
            }
        };
        let failed = |cause| WebListenError::Bind { address: address.to_owned(), cause };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let slots = Slots::new(CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX);
        Ok(Self { listener, address, tls, slots })
    }

    /// Where the console is.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Serves `router` until `stop` resolves.
    pub async fn serve(mut self, router: Router, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let (closing, closed) = tokio::sync::watch::channel(false);
        let mut files = tokio::time::interval(RELOAD_PERIOD);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = files.tick() => self.reload(),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        // Who has too many connections is closed without a word.
                        if let Some(slot) = self.slots.take(from.ip()) {
                            let tls = self.tls.as_ref().map(|(_, server)| Arc::clone(server));
                            let remote =
                                Remote { address: from.ip(), encrypted: tls.is_some() };
                            let router = router.clone().layer(axum::Extension(remote));
                            let guest = guest((stream, slot), tls, router, closed.clone());
                            connections.spawn(guest);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_ended) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        closing.send_replace(true);
        drain(&mut connections).await;
    }

    /// Takes renewed files, if they are good.
    fn reload(&mut self) {
        let Some((files, server)) = &mut self.tls else { return };
        match server_of_people(&files.certificate, &files.key) {
            Ok(renewed) => *server = renewed,
            Err(error) => {
                let error = sekisho_base::error_chain(&error);
                tracing::error!(error, "the files of web_listen can't be used; the old ones are");
            }
        }
    }
}

async fn guest(
    (stream, _slot): (TcpStream, Slot<IpAddr>),
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    closed: Closed,
) {
    // Small answers must not wait for a full packet; without it they are only later.
    stream.set_nodelay(true).ok();
    let Some(server) = tls else { return converse(stream, router, closed, None).await };
    let shaking = TlsAcceptor::from(server).accept(stream);
    match tokio::time::timeout(HANDSHAKE_WAIT, shaking).await {
        Ok(Ok(stream)) => converse(stream, router, closed, None).await,
        Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
        Err(_elapsed) => tracing::debug!("handshake took too long"),
    }
}
