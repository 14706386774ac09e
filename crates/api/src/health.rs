//! `/healthz` and `/readyz` for those who start and stop us (kubelet, a load balancer). They have no
//! certificate, so they learn nothing but yes or no.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::listen::{converse, drain};

/// Connections at one time; a probe opens one.
const CONNECTIONS_MAX: usize = 32;
/// Longest life of one.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a probe may ask. Asked on the runtime: must not wait.
pub trait Health: Send + Sync + 'static {
    /// False = only a restart helps.
    fn is_alive(&self) -> bool;

    /// Whether it does its work now.
    fn is_ready(&self) -> bool;
}

/// A bound listener for probes.
#[derive(Debug)]
pub struct HealthListener(TcpListener);

/// The address can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HealthListenError {
    /// It is not an address and port.
    #[error("health_listen `{0}` is not an address such as 127.0.0.1:7480")]
    Address(String),
    /// It can't be bound.
    #[error("listen on `{address}` for probes")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl HealthListener {
    /// Binds `address` (address and port).
    ///
    /// # Errors
    /// [`HealthListenError`].
    pub async fn bind(address: &str) -> Result<Self, HealthListenError> {
        let parsed: SocketAddr =
            address.parse().map_err(|_wrong| HealthListenError::Address(address.to_owned()))?;
        let failed = |cause| HealthListenError::Bind { address: address.to_owned(), cause };
        TcpListener::bind(parsed).await.map(Self).map_err(failed)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// From the kernel.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers 200 for yes and 503 for no, until `stop` resolves.
    pub async fn serve(self, health: Arc<dyn Health>, stop: impl Future<Output = ()>) {
        let ready = Arc::clone(&health);
        let router = Router::new()
            .route("/healthz", get(async move || said(health.is_alive())))
            .route("/readyz", get(async move || said(ready.is_ready())));
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let (closing, closed) = tokio::sync::watch::channel(false);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_ended) = connections.join_next() => {}
                accepted = self.0.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _from)) => {
                        let age = Some(CONNECTION_AGE_MAX);
                        connections.spawn(bounded(stream, router.clone(), closed.clone(), age));
                    }
                    Err(_cause) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        closing.send_replace(true);
        drain(&mut connections).await;
    }
}

/// A probe that sends half a request must not outlive its time.
async fn bounded(
    stream: tokio::net::TcpStream,
    router: Router,
    closed: crate::listen::Closed,
    age: Option<Duration>,
) {
    tokio::time::timeout(CONNECTION_AGE_MAX * 2, converse(stream, router, closed, age)).await.ok();
}

fn said(yes: bool) -> (StatusCode, &'static str) {
    if yes { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "no\n") }
}
