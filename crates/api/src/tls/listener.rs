//! The listener that leaves the machine: TCP with TLS 1.3, and a certificate from everybody.
//!
//! It fails closed: without good files it does not start, and a renewed file that is not good is
//! told and not used. What a client can take is bounded before and after it has proved who it is:
//! slots per address while it shakes hands, slots per certificate and address after, a time for the
//! handshake, for each request's head, and for the connection, so that neither a slow client nor a
//! certificate that was taken away stays for ever.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use sekisho_base::{Clock, error_chain};
use sekisho_model::Timestamp;
use sekisho_system::SystemClock;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::identity::validity;
use super::slots::{Slot, Slots};
use super::{
    AuthorityError, Identity, Lifetime, Material, MaterialError, Peer, Role, Signer, Speech,
    TlsFiles,
};
use crate::listen::{Closed, converse, converse_grpc};

/// Connections that shake hands at one time, altogether and of one address.
const HANDSHAKES_MAX: usize = 512;
const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;
/// Connections that may ask, altogether and of one certificate at one address. An agent holds four.
const CONNECTIONS_MAX: usize = 16_384;
const CONNECTIONS_PER_PEER_MAX: usize = 32;
/// Longest handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// After this a connection ends with the request under way, and the client proves itself anew.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3_600);
/// How often the files are looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(5);
/// How often an old certificate, or a failing handshake, is told at most.
const EXPIRY_TOLD_PERIOD: Duration = Duration::from_secs(21_600);
const FAILURE_TOLD_PERIOD: Duration = Duration::from_secs(10);
/// What a refused client may still send while it reads why, and how long.
const LINGER_BYTES_MAX: u64 = 64 << 10;
const LINGER_WAIT: Duration = Duration::from_secs(1);
/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound TLS listener.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    address: SocketAddr,
    signer: Arc<Signer>,
    speech: Speech,
    current: Current,
    figures: Arc<ListenerFigures>,
}

/// The TLS listener can't start.
#[derive(Debug, thiserror::Error)]
pub enum TlsListenError {
    /// It is not an address and port.
    #[error("listen `{0}` is not an address such as 0.0.0.0:7443")]
    Address(String),
    /// The files can't be used.
    #[error("TLS of the listener")]
    Material(#[from] MaterialError),
    /// No authority can be made for the agents of single nodes.
    #[error("make an authority for agents")]
    Signer(#[from] AuthorityError),
    /// The certificate is of somebody else.
    #[error(
        "`{path}` is the certificate of `{identity}`, and a server needs one of spiffe://CLUSTER/server"
    )]
    NoServer {
        /// The file.
        path: String,
        /// Who it names.
        identity: String,
    },
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

/// What a listener does, for whoever asks meanwhile.
#[derive(Debug)]
pub struct ListenerFigures {
    address: SocketAddr,
    handshaking: Arc<Slots<IpAddr>>,
    connected: Arc<Slots<(String, IpAddr)>>,
    accepted: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    certificate: Mutex<(Lifetime, String)>,
}

/// A listener's state at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Where it listens.
    pub address: String,
    /// Clients that proved who they are and are connected now.
    pub connections: u64,
    /// Clients that did so since the start.
    pub accepted: u64,
    /// Handshakes that failed or took too long.
    pub failed: u64,
    /// Connections refused because there were too many of the same source, or altogether.
    pub refused: u64,
    /// End of the server's certificate.
    pub not_after: Timestamp,
    /// Whether it is time to renew it.
    pub old: bool,
    /// Why the newest files are not used; empty = they are.
    pub problem: String,
}

/// The files in use.
#[derive(Debug)]
struct Current {
    material: Material,
    server: Arc<ServerConfig>,
    home: String,
}

impl Current {
    fn load(files: &TlsFiles, signer: &Signer, speech: Speech) -> Result<Self, TlsListenError> {
        let material = Material::load(files)?;
        let identity = material.identity()?;
        if identity.role != Role::Server {
            return Err(TlsListenError::NoServer {
                path: files.certificate.display().to_string(),
                identity: identity.to_string(),
            });
        }
        let server = Arc::new(material.server(signer.root(), speech)?);
        Ok(Self { material, server, home: identity.cluster })
    }
}

impl TlsListener {
    /// Binds `address` (address and port) with the certificate in `files`.
    ///
    /// # Errors
    /// [`TlsListenError`]; nothing listens then.
    pub async fn bind(address: &str, files: &TlsFiles) -> Result<Self, TlsListenError> {
        let wanted: SocketAddr =
            address.parse().map_err(|_cause| TlsListenError::Address(address.to_owned()))?;
        let signer = Arc::new(Signer::make(now())?);
        let speech = Speech::Http1;
        let current = Current::load(files, &signer, speech)?;
        let failed = |cause| TlsListenError::Bind { address: address.to_owned(), cause };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let figures = Arc::new(ListenerFigures {
            address,
            handshaking: Slots::new(HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX),
            connected: Slots::new(CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX),
            accepted: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            certificate: Mutex::new((current.material.lifetime, String::new())),
        });
        Ok(Self { listener, address, signer, speech, current, figures })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes the certificates of agents of single nodes good for `life_s` seconds; else for a day.
    #[must_use]
    pub fn with_node_life(mut self, life_s: u64) -> Self {
        // Nobody shares it before `serve`.
        if let Some(signer) = Arc::get_mut(&mut self.signer) {
            signer.life_s = life_s;
        }
        self
    }

    /// Makes it speak HTTP/2 for gRPC, and nothing else.
    pub(crate) fn for_grpc(mut self) -> Result<Self, TlsListenError> {
        self.speech = Speech::Grpc;
        let files = self.current.material.files().clone();
        self.current = Current::load(&files, &self.signer, self.speech)?;
        Ok(self)
    }

    /// Its figures, from now on.
    #[must_use]
    pub fn figures(&self) -> Arc<ListenerFigures> {
        Arc::clone(&self.figures)
    }

    /// Serves `router` until `stop` resolves; requests under way are answered first.
    pub async fn serve(mut self, router: Router, stop: impl Future<Output = ()>) {
        let router = router.layer(axum::Extension(Arc::clone(&self.signer)));
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let (closing, closed) = tokio::sync::watch::channel(false);
        let mut files = tokio::time::interval(RELOAD_PERIOD);
        let mut told = Told::default();
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = files.tick() => {
                    self.reload();
                    told.expiry(&self.figures);
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        if let Some(guest) = self.guest(stream, from) {
                            connections.spawn(guest.serve(router.clone(), closed.clone()));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_ended) = connections.join_next() => told.failures(&self.figures),
            }
        }
        drop(self.listener);
        closing.send_replace(true);
        crate::listen::drain(&mut connections).await;
    }

    /// A new connection with its slot; None = there is none for it, and it is closed.
    fn guest(&self, stream: TcpStream, from: SocketAddr) -> Option<Guest> {
        let Some(slot) = self.figures.handshaking.take(from.ip()) else {
            self.figures.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(Guest {
            stream,
            from,
            slot,
            acceptor: TlsAcceptor::from(Arc::clone(&self.current.server)),
            home: self.current.home.clone(),
            speech: self.speech,
            figures: Arc::clone(&self.figures),
        })
    }

    /// Takes files that changed, if they are good.
    fn reload(&mut self) {
        let files = self.current.material.files().clone();
        let loaded = match self.current.material.has_changed() {
            Ok(false) => return self.figures.certificate().1.clear(),
            Ok(true) => Current::load(&files, &self.signer, self.speech),
            Err(error) => Err(TlsListenError::from(error)),
        };
        match loaded {
            Ok(current) => {
                *self.figures.certificate() = (current.material.lifetime, String::new());
                tracing::info!(until = %current.material.lifetime.not_after, "new certificate in use");
                self.current = current;
            }
            Err(error) => {
                let problem = error_chain(&error);
                let mut certificate = self.figures.certificate();
                if certificate.1 != problem {
                    tracing::error!(
                        error = problem,
                        "renewed TLS files can't be used; the old ones are"
                    );
                    certificate.1 = problem;
                }
            }
        }
    }
}

impl ListenerFigures {
    fn certificate(&self) -> MutexGuard<'_, (Lifetime, String)> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state now.
    #[must_use]
    pub fn status(&self) -> ListenerStatus {
        let (lifetime, problem) = self.certificate().clone();
        ListenerStatus {
            address: self.address.to_string(),
            connections: self.connected.count() as u64,
            accepted: self.accepted.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            not_after: lifetime.not_after,
            old: lifetime.is_old(now()),
            problem,
        }
    }
}

/// What was said when, so that neither an attacker nor a forgotten certificate fills the log.
#[derive(Default)]
struct Told {
    expiry: Option<Instant>,
    failures: Option<Instant>,
    failed: u64,
}

impl Told {
    fn expiry(&mut self, figures: &ListenerFigures) {
        let status = figures.status();
        if status.old && is_due(self.expiry, EXPIRY_TOLD_PERIOD) {
            self.expiry = Some(Instant::now());
            tracing::warn!(
                until = %status.not_after,
                "the server's certificate ends soon: renew it (`sekisho certificates`)"
            );
        }
    }

    fn failures(&mut self, figures: &ListenerFigures) {
        let failed = figures.failed.load(Ordering::Relaxed);
        if failed > self.failed && is_due(self.failures, FAILURE_TOLD_PERIOD) {
            tracing::warn!(count = failed - self.failed, "clients failed to prove who they are");
            self.failures = Some(Instant::now());
            self.failed = failed;
        }
    }
}

fn is_due(last: Option<Instant>, period: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= period)
}

/// A connection from its first byte on.
struct Guest {
    stream: TcpStream,
    from: SocketAddr,
    slot: Slot<IpAddr>,
    acceptor: TlsAcceptor,
    home: String,
    speech: Speech,
    figures: Arc<ListenerFigures>,
}

impl Guest {
    async fn serve(self, router: Router, closed: Closed) {
        let Self { stream, from, slot, acceptor, home, speech, figures } = self;
        // Small answers must not wait for a full packet; without it they are only later.
        stream.set_nodelay(true).ok();
        let shaking = acceptor.accept(stream).into_fallible();
        let tls = match tokio::time::timeout(HANDSHAKE_WAIT, shaking).await {
            Ok(Ok(tls)) => tls,
            Ok(Err((error, stream))) => {
                figures.failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%from, %error, "handshake failed");
                return linger(stream).await;
            }
            Err(_elapsed) => {
                figures.failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%from, "handshake took too long");
                return;
            }
        };
        drop(slot);
        let (peer, name, age) = introduced(&tls, home);
        let Some(_slot) = figures.connected.take((name, from.ip())) else {
            figures.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        figures.accepted.fetch_add(1, Ordering::Relaxed);
        let router = router.layer(axum::Extension(peer));
        match speech {
            Speech::Http1 => converse(tls, router, closed, Some(age)).await,
            Speech::Grpc => converse_grpc(tls, router, closed, Some(age)).await,
        }
    }
}

/// Who it is, by which name its slots are counted, and how long the connection may last.
fn introduced(tls: &TlsStream<TcpStream>, home: String) -> (Peer, String, Duration) {
    let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let der = certificates.first().map_or([].as_slice(), AsRef::as_ref);
    let left_s = validity(der).map_or(0, |(_from, until)| until.seconds_since(now()));
    let age = CONNECTION_AGE_MAX.min(Duration::from_secs(left_s));
    match Identity::of_certificate(der) {
        Ok(identity) => {
            let name = identity.to_string();
            (Peer::Certified { identity, home }, name, age)
        }
        Err(error) => (Peer::Nameless(error.to_string()), String::new(), age),
    }
}

/// Lets a refused client read why: a socket that is closed with bytes unread takes the words back.
async fn linger(mut stream: TcpStream) {
    let reading = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // It was refused already: nothing depends on how this ends.
    tokio::time::timeout(LINGER_WAIT, reading).await.ok();
}

fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}
