//! Hubble's Observer API and the health service of gRPC, as routes.
//!
//! Sources: cilium v1.20 `api/v1/observer/observer.proto`, and the gRPC Health Checking Protocol, by
//! which `hubble status` asks whether anybody is there.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::Stream;
use futures_util::stream::Empty as NoStream;
use sekisho_exchange::observer::messages::{
    Empty, GetFlowsRequest, GetFlowsResponse, HealthCheckRequest, HealthCheckResponse,
};
use tokio::sync::Semaphore;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Request as Asked, Response as Answer, Status};
use tonic_prost::ProstCodec;

use super::question::Question;
use super::{answers, flows};
use crate::admit::may_view;
use crate::listen::Closed;
use crate::{Peer, Refusal, Service};

/// Streams of flows at one time.
const STREAMS_MAX: usize = 64;
/// Largest question, bytes.
const QUESTION_BYTES_MAX: usize = 1 << 20;
/// What clients ask the health of: `hubble status` calls it otherwise than its proto (cilium
/// pkg/hubble/api/v1, ObserverServiceName).
const SERVED: [&str; 3] = ["", "hubble.server.Observer", "observer.Observer"];
/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;

#[derive(Clone)]
struct Observer {
    service: Arc<dyn Service>,
    streams: Arc<Semaphore>,
}

/// Routes of the Observer API over `service`. A listener adds who asks ([`Peer`]) and when the
/// connection ends.
pub fn hubble_router(service: Arc<dyn Service>) -> Router {
    let observer = Observer { service, streams: Arc::new(Semaphore::new(STREAMS_MAX)) };
    Router::new()
        .route("/observer.Observer/GetFlows", post(get_flows))
        .route("/observer.Observer/ServerStatus", post(server_status))
        .route("/observer.Observer/GetNodes", post(get_nodes))
        .route("/observer.Observer/GetNamespaces", post(get_namespaces))
        .route("/observer.Observer/GetAgentEvents", post(agent_events))
        .route("/observer.Observer/GetDebugEvents", post(debug_events))
        .route("/grpc.health.v1.Health/Check", post(check))
        .fallback(unknown)
        .layer(axum::middleware::from_fn(viewers))
        .with_state(observer)
}

/// Only who may look at flows.
async fn viewers(request: Request, next: Next) -> Response {
    let allowed = match request.extensions().get::<Peer>() {
        Some(peer) => may_view(peer),
        None => Err("the listener did not say who asks".to_owned()),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(why) => refusal(&Status::permission_denied(why)),
    }
}

fn refusal(status: &Status) -> Response {
    status.clone().into_http::<axum::body::Body>().into_response()
}

async fn unknown(request: Request) -> Response {
    let path: String = sekisho_base::harmless(request.uri().path()).chars().take(100).collect();
    refusal(&Status::unimplemented(format!("`{path}` is not served here")))
}

/// Answers a question; it may wait.
type Answerer<Q, A> = fn(&Arc<dyn Service>, Q) -> Result<A, Status>;

/// A call with one answer, made on a thread that may wait.
struct Once<Q, A>(Observer, Answerer<Q, A>);

impl<Q, A> UnaryService<Q> for Once<Q, A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    type Response = A;
    type Future = Pin<Box<dyn Future<Output = Result<Answer<A>, Status>> + Send>>;

    fn call(&mut self, question: Asked<Q>) -> Self::Future {
        let (service, answer) = (Arc::clone(&self.0.service), self.1);
        Box::pin(async move {
            let work = move || answer(&service, question.into_inner());
            let answered = tokio::task::spawn_blocking(work).await;
            answered.map_err(|_panicked| Status::internal("no answer"))?.map(Answer::new)
        })
    }
}

async fn once<Q, A>(observer: Observer, request: Request, answer: Answerer<Q, A>) -> Response
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
{
    let mut grpc =
        Grpc::new(ProstCodec::<A, Q>::default()).max_decoding_message_size(QUESTION_BYTES_MAX);
    grpc.unary(Once(observer, answer), request).await.into_response()
}

async fn server_status(State(observer): State<Observer>, request: Request) -> Response {
    let answer: Answerer<Empty, _> = |service, _question| {
        answers::server_status(service.as_ref()).map_err(|refusal| flows::refused(&refusal))
    };
    once(observer, request, answer).await
}

async fn get_nodes(State(observer): State<Observer>, request: Request) -> Response {
    let answer: Answerer<Empty, _> = |service, _question| Ok(answers::nodes(service.as_ref()));
    once(observer, request, answer).await
}

async fn get_namespaces(State(observer): State<Observer>, request: Request) -> Response {
    let answer: Answerer<Empty, _> = |service, _question| {
        answers::namespaces(service.as_ref()).map_err(|refusal| flows::refused(&refusal))
    };
    once(observer, request, answer).await
}

async fn check(State(observer): State<Observer>, request: Request) -> Response {
    let answer: Answerer<HealthCheckRequest, _> =
        |_service, question| match SERVED.contains(&question.service.as_str()) {
            true => Ok(HealthCheckResponse { status: SERVING }),
            false => Err(Status::not_found("there is the service observer.Observer alone")),
        };
    once(observer, request, answer).await
}

/// A call that is answered by flows.
struct Flows {
    observer: Observer,
    closed: Option<Closed>,
}

impl ServerStreamingService<GetFlowsRequest> for Flows {
    type Response = GetFlowsResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<GetFlowsResponse, Status>> + Send>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Answer<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, question: Asked<GetFlowsRequest>) -> Self::Future {
        let (observer, closed) = (self.observer.clone(), self.closed.take());
        Box::pin(async move {
            let closed = closed.ok_or_else(|| Status::internal("the listener says no end"))?;
            let permit = Arc::clone(&observer.streams).try_acquire_owned().map_err(|_full| {
                Status::resource_exhausted(format!("{STREAMS_MAX} streams are open already"))
            })?;
            let question = Question::read(question.get_ref())?;
            let start = move || flows::Reader::start(observer.service, question);
            let started: Result<_, Refusal> = tokio::task::spawn_blocking(start)
                .await
                .map_err(|_panicked| Status::internal("flows can't be read"))?;
            let reader = started.map_err(|refusal| flows::refused(&refusal))?;
            Ok(Answer::new(Box::pin(flows::stream(reader, closed, permit)) as Self::ResponseStream))
        })
    }
}

async fn get_flows(State(observer): State<Observer>, request: Request) -> Response {
    let closed = request.extensions().get::<Closed>().cloned();
    let mut grpc = Grpc::new(ProstCodec::<GetFlowsResponse, GetFlowsRequest>::default())
        .max_decoding_message_size(QUESTION_BYTES_MAX);
    grpc.server_streaming(Flows { observer, closed }, request).await.into_response()
}

/// A stream that there is not, and why.
struct Never(&'static str);

impl ServerStreamingService<Empty> for Never {
    type Response = Empty;
    type ResponseStream = NoStream<Result<Empty, Status>>;
    type Future = Ready<Result<Answer<Self::ResponseStream>, Status>>;

    fn call(&mut self, _question: Asked<Empty>) -> Self::Future {
        ready(Err(Status::unimplemented(self.0)))
    }
}

async fn agent_events(request: Request) -> Result<Response, Infallible> {
    let mut grpc = Grpc::new(ProstCodec::<Empty, Empty>::default());
    let why = Never("there is no Cilium agent here whose events could be told");
    Ok(grpc.server_streaming(why, request).await.into_response())
}

async fn debug_events(request: Request) -> Result<Response, Infallible> {
    let mut grpc = Grpc::new(ProstCodec::<Empty, Empty>::default());
    let why = Never("there is no Cilium datapath here whose debug events could be told");
    Ok(grpc.server_streaming(why, request).await.into_response())
}
