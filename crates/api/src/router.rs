//! The endpoints.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, FromRef, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use sekisho_base::Clock;
use sekisho_model::{Batch, ClusterName, Timestamp};
use sekisho_system::SystemClock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::own::{Answer, Question};
use crate::tls::Signer;
use crate::{
    AgentReport, ApplyRequest, AuthorityError, Identity, Peer, Refusal, Role, RollbackRequest,
    Service, SnapshotQuery, admit, admit::AgentPath,
};

/// How long an agent's question for an order may hang, where nothing else is said.
pub(crate) const ORDER_WAIT: Duration = Duration::from_secs(10);
const ORDER_POLL: Duration = Duration::from_millis(100);
/// Flows in one page.
const FLOWS_PER_PAGE_MAX: usize = 10_000;

type Shared = Arc<dyn Service>;

/// What the handlers share.
#[derive(Clone)]
struct Context {
    service: Shared,
    order_wait: Duration,
}

impl FromRef<Context> for Shared {
    fn from_ref(context: &Context) -> Self {
        Self::clone(&context.service)
    }
}

/// Puts `service` on HTTP. Who may ask what is decided by the [`Peer`] that the listener puts on
/// each request; without one, nothing is answered.
///
/// | method and path | does | for |
/// |---|---|---|
/// | POST /v1/agents/{node}/batches | ingest; postcard in and out | the node's agent |
/// | GET /v1/agents/{node}/order?after=N | next order, waits up to 10 s; 204 = none | the node's agent |
/// | POST /v1/agents/{node}/report | an agent's state | the node's agent |
/// | POST /v1/agents/{node}/certificate | a certificate of the node's own; JSON; 404 = none is needed | the node's agent |
/// | /v1/clusters/{cluster}/agents/{node}/... | the same, for agents of a cluster with a name | the node's agent |
/// | GET /v1/clusters | the clusters' names, JSON | operators |
/// | GET /v1/status, /v1/revisions | JSON | operators |
/// | POST /v1/snapshot | postcard | operators |
/// | GET /v1/flows?cursor=N&count=N, /v1/drops?cursor=N&count=N | postcard | operators |
/// | POST /v1/apply, /v1/rollback | JSON | operators |
/// | GET /metrics | Prometheus text | operators, monitors |
///
/// Agents of the cluster `default` use the paths that all had before clusters had names: an agent of
/// another one is refused by an older server instead of being mixed with others. What operators ask
/// takes `cluster=NAME`, which may be left out where the server has one only.
pub fn router(service: Shared) -> Router {
    router_with(service, ORDER_WAIT)
}

/// As [`router`], with another longest wait for an order.
pub fn router_with(service: Shared, order_wait: Duration) -> Router {
    let of_agents = || {
        Router::new()
            .route("/agents/{node}/batches", post(ingest))
            .route("/agents/{node}/order", get(order))
            .route("/agents/{node}/report", post(report))
            .route_layer(from_fn_with_state(Arc::clone(&service), admit::agents))
            .merge(
                Router::new()
                    .route("/agents/{node}/certificate", post(certificate))
                    .route_layer(from_fn(admit::nodes)),
            )
    };
    let agents = Router::new().nest("/v1", of_agents()).nest("/v1/clusters/{cluster}", of_agents());
    let operators = Router::new()
        .route("/v1/status", get(|State(s): State<Shared>| blocking_json(s, |s| Ok(s.status()))))
        .route(
            "/v1/clusters",
            get(|State(s): State<Shared>| blocking_json(s, |s| Ok(s.clusters()))),
        )
        .route("/v1/revisions", get(revisions))
        .route("/v1/snapshot", post(snapshot))
        .route("/v1/flows", get(flows))
        .route("/v1/drops", get(drops))
        .route("/v1/apply", post(apply))
        .route("/v1/rollback", post(rollback))
        .route_layer(from_fn(admit::operators));
    let monitors =
        Router::new().route("/metrics", get(metrics)).route_layer(from_fn(admit::monitors));
    agents
        .merge(operators)
        .merge(monitors)
        // `admit` has read the body already, within its own bounds.
        .layer(DefaultBodyLimit::disable())
        .with_state(Context { service, order_wait })
}

/// Only the metrics: for a listener that everybody on the machine may open.
pub(crate) fn metrics_router(service: Shared) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(service)
}

async fn ingest(
    State(service): State<Shared>,
    Path(AgentPath { cluster, node }): Path<AgentPath>,
    body: Bytes,
) -> Response {
    let batch: Batch = match from_postcard(&body) {
        Ok(batch) => batch,
        Err(refusal) => return refused(&refusal),
    };
    if batch.node != node {
        let text = format!("batch of `{}` sent as `{node}`", batch.node);
        return refused(&Refusal::Invalid(text));
    }
    blocking(service, move |service| service.ingest(&cluster, batch, &body), postcard_body).await
}

#[derive(Deserialize)]
struct After {
    after: u64,
}

async fn order(
    State(Context { service, order_wait }): State<Context>,
    Path(AgentPath { cluster, node }): Path<AgentPath>,
    Query(After { after }): Query<After>,
) -> Response {
    let end = Instant::now() + order_wait;
    loop {
        let (asked, cluster, name) = (Arc::clone(&service), cluster.clone(), node.clone());
        match tokio::task::spawn_blocking(move || asked.order(&cluster, &name, after)).await {
            Ok(Some(order)) => return postcard_body(&order),
            Ok(None) if Instant::now() >= end => return StatusCode::NO_CONTENT.into_response(),
            Ok(None) => tokio::time::sleep(ORDER_POLL).await,
            Err(_panicked) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

async fn report(
    State(service): State<Shared>,
    Path(AgentPath { cluster, node }): Path<AgentPath>,
    body: Bytes,
) -> Response {
    match from_postcard::<AgentReport>(&body) {
        Ok(report) => {
            let work = move |service: &dyn Service| {
                service.report(&cluster, &node, report);
                Ok(())
            };
            blocking(service, work, postcard_body).await
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Makes a certificate of its own for a node's agent: its service account token proves the node, the
/// request that it has the key.
async fn certificate(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    signer: Option<Extension<Arc<Signer>>>,
    Path(AgentPath { cluster, node }): Path<AgentPath>,
    body: Bytes,
) -> Response {
    if !service.proves_nodes(&cluster) {
        let text = format!("agents of the cluster `{cluster}` need no certificate of their own");
        return refused(&Refusal::Unknown(text));
    }
    let (Some(Extension(signer)), Peer::Certified { identity, .. }) = (signer, peer) else {
        let text = "over a socket an agent needs no certificate";
        return refused(&Refusal::Invalid(text.to_owned()));
    };
    let question: Question = match from_json(&body) {
        Ok(question) => question,
        Err(refusal) => return refused(&refusal),
    };
    let work = move |service: &dyn Service| {
        // Before anybody is asked: it costs nothing, and what it makes is kept from whom it is not for.
        let signed = signer.sign(&identity.cluster, &node, &question.request, now());
        let certificate = signed.map_err(|error| match error {
            AuthorityError::Request(_) => Refusal::Invalid(error.to_string()),
            AuthorityError::Unreadable(_)
            | AuthorityError::Ended(_)
            | AuthorityError::Name(_)
            | AuthorityError::Make(_) => Refusal::Unavailable(sekisho_base::error_chain(&error)),
        })?;
        service.attest(&cluster, &node, &question.token)?;
        Ok(Answer { certificate, life_s: signer.life_s })
    };
    blocking(service, work, |answer| axum::Json(answer).into_response()).await
}

fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

async fn snapshot(State(service): State<Shared>, body: Bytes) -> Response {
    match from_postcard::<SnapshotQuery>(&body) {
        Ok(query) => blocking(service, move |s| s.snapshot(query), postcard_body).await,
        Err(refusal) => refused(&refusal),
    }
}

#[derive(Deserialize)]
struct FlowQuery {
    cursor: u64,
    count: usize,
    cluster: Option<ClusterName>,
}

#[derive(Deserialize)]
struct OfCluster {
    cluster: Option<ClusterName>,
}

async fn revisions(
    State(service): State<Shared>,
    Query(OfCluster { cluster }): Query<OfCluster>,
) -> Response {
    blocking_json(service, move |s| s.revisions(cluster.as_ref())).await
}

async fn flows(State(service): State<Shared>, Query(query): Query<FlowQuery>) -> Response {
    let count = query.count.min(FLOWS_PER_PAGE_MAX);
    blocking(service, move |s| s.flows(query.cluster.as_ref(), query.cursor, count), postcard_body)
        .await
}

async fn drops(State(service): State<Shared>, Query(query): Query<FlowQuery>) -> Response {
    let count = query.count.min(FLOWS_PER_PAGE_MAX);
    blocking(service, move |s| s.drops(query.cluster.as_ref(), query.cursor, count), postcard_body)
        .await
}

async fn apply(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Response {
    match from_json::<ApplyRequest>(&body) {
        Ok(mut request) => {
            request.operator = operator(&peer, request.operator);
            blocking_json(service, move |s| s.apply(request)).await
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn rollback(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Response {
    match from_json::<RollbackRequest>(&body) {
        Ok(mut request) => {
            request.operator = operator(&peer, request.operator);
            blocking_json(service, move |s| s.rollback(request)).await
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Who asks, for the record: the name in the certificate, where there is one, and not what the
/// client claims.
pub(crate) fn operator(peer: &Peer, claimed: String) -> String {
    match peer {
        Peer::Certified { identity: Identity { role: Role::Operator(name), .. }, .. } => {
            name.clone()
        }
        Peer::Certified { .. } | Peer::Local | Peer::Nameless(_) => claimed,
    }
}

async fn metrics(State(service): State<Shared>) -> Response {
    let text = |text: &String| {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.clone()).into_response()
    };
    blocking(service, |s| Ok(s.metrics()), text).await
}

async fn blocking_json<T: Serialize + Send + 'static>(
    service: Shared,
    work: impl FnOnce(&dyn Service) -> Result<T, Refusal> + Send + 'static,
) -> Response {
    blocking(service, work, |value| axum::Json(value).into_response()).await
}

/// Runs `work` where it may block, and renders its answer.
async fn blocking<T: Send + 'static>(
    service: Shared,
    work: impl FnOnce(&dyn Service) -> Result<T, Refusal> + Send + 'static,
    render: impl FnOnce(&T) -> Response,
) -> Response {
    match tokio::task::spawn_blocking(move || work(&*service)).await {
        Ok(Ok(value)) => render(&value),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
        Refusal::Denied(_) => StatusCode::FORBIDDEN,
        Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, refusal.to_string()).into_response()
}

fn postcard_body<T: Serialize>(value: &T) -> Response {
    match postcard::to_stdvec(value) {
        Ok(bytes) => Body::from(bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "answer could not be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn from_postcard<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    postcard::from_bytes(body)
        .map_err(|error| Refusal::Invalid(format!("unreadable body: {error}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::Invalid(format!("unreadable body: {error}")))
}
