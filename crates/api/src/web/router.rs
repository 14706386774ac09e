//! Puts the table of endpoints on HTTP, and the console beside it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Query, RawPathParams, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use axum::{RequestPartsExt, Router};
use sekisho_base::Clock;
use sekisho_model::Timestamp;
use sekisho_system::SystemClock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answers::Answers;
use super::endpoints::{Kind, flows_question};
use super::oidc::{self, Pending, Provider};
use super::parameters::Asked;
use super::pulse::Pulse;
use super::reports::Media;
use super::session::Sessions;
use super::sign_in::{Asker, Remote, asker, session, sign_in, sign_out, ways};
use super::threads::Threads;
use super::throttle::Throttle;
use super::{
    Assets, Endpoint, OidcSettings, People, Problem, Question, assets, changes, endpoints, openapi,
    stream, upload,
};
use crate::Refusal;

/// Before each path of the table.
const API: &str = "/api/v1";
/// Largest body, bytes: the policies of a large cluster.
const BODY_BYTES_MAX: usize = 8 << 20;
/// Longest time for a body to come in.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// Questions that are worked on at one time: each may hold the history of a window in memory.
const AT_ONCE: usize = 4;
/// Longest wait for one's turn.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// Streams of flows at one time.
const STREAMS_MAX: usize = 128;

/// Files that come in at one time.
const UPLOADS_MAX: usize = 2;

/// What browsers are told with everything: nothing but our own files is run, drawn or asked, and no
/// other page shows ours (CSP Level 3).
static HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
         font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) people: Arc<dyn People>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) streams: Arc<Semaphore>,
    /// Files that come in.
    pub(crate) uploads: Arc<Semaphore>,
    /// By whose word people sign in, besides tokens.
    pub(crate) provider: Option<Arc<Provider>>,
    /// Who is on the way there and back.
    pub(crate) pending: Arc<Pending>,
    answers: Arc<Answers>,
    pulse: Arc<Pulse>,
    turns: Arc<Semaphore>,
    threads: Arc<Threads>,
    assets: Arc<dyn Assets>,
}

impl Context {
    /// See [`Pulse`].
    pub(crate) async fn pulse(&self) -> u64 {
        let (pulse, people) = (Arc::clone(&self.pulse), Arc::clone(&self.people));
        // Whoever holds a cluster's state makes this wait.
        let now =
            tokio::task::spawn_blocking(move || pulse.at(Instant::now(), || people.revision()));
        now.await.unwrap_or(0)
    }
}

/// The HTTP API of `people` under `/api/v1`, and the console's files. People sign in with tokens, and
/// as `oidc` says, if that names a provider.
pub fn web_router(people: Arc<dyn People>, assets: Arc<dyn Assets>, oidc: &OidcSettings) -> Router {
    let context = Context {
        people,
        sessions: Arc::default(),
        throttle: Arc::default(),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
        provider: oidc.is_on().then(|| Arc::new(Provider::new(oidc.clone()))),
        pending: Arc::default(),
        answers: Arc::default(),
        pulse: Arc::default(),
        turns: Arc::new(Semaphore::new(AT_ONCE)),
        threads: Arc::default(),
        assets,
    };
    let mut router = Router::new();
    for endpoint in endpoints() {
        router = router.route(&format!("{API}{}", endpoint.path), route(endpoint));
    }
    router
        // Not of the table: what a browser is sent to is no answer to a question.
        .route(&format!("{API}/session/oidc"), get(oidc::begin))
        .route(&format!("{API}/session/oidc/callback"), get(oidc::end))
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            Problem::method(method.as_str(), uri.path()).into_response()
        })
        .fallback(other)
        .layer(from_fn(with_headers))
        .with_state(context)
}

fn route(endpoint: Endpoint) -> MethodRouter<Context> {
    let filter = MethodFilter::try_from(endpoint.method.clone()).unwrap_or(MethodFilter::GET);
    on(
        filter,
        move |State(context): State<Context>,
              Extension(remote): Extension<Remote>,
              request: Request| async move {
            match answer(context, endpoint, remote, request).await {
                Ok(response) => response,
                Err(problem) => problem.into_response(),
            }
        },
    )
}

async fn with_headers(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with(API);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in &HEADERS {
        // A report brings a stricter policy of its own.
        let is_own = *name == header::CONTENT_SECURITY_POLICY && headers.contains_key(name);
        if !is_own {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if is_api {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What is no path of the table: a file or a page of the console.
async fn other(State(context): State<Context>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return Problem::unknown_path(path).into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Problem::method(request.method().as_str(), path).into_response();
    }
    assets::respond(&*context.assets, path, request.headers())
}

/// The time now.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

/// Who asks, if that is enough.
fn permitted(
    context: &Context,
    endpoint: &Endpoint,
    found: Option<Asker>,
    remote: Remote,
) -> Result<Option<Asker>, Problem> {
    let Some(needed) = endpoint.access else { return Ok(found) };
    let action = format!("{} {API}{}", endpoint.method, endpoint.path);
    let Some(asker) = found else {
        // Reading without a session is how a page finds out that it has none.
        if endpoint.method != Method::GET {
            context.people.denied(&remote.address.to_string(), &action, "nobody is signed in");
        }
        let text = "send `Authorization: Bearer TOKEN` (`sekisho token create`), or sign in";
        return Err(Problem::unauthorized(text));
    };
    if asker.account.role < needed {
        let text = format!(
            "it takes the role {needed}, and `{}` is {}",
            asker.account.name, asker.account.role
        );
        context.people.denied(&asker.account.name, &action, &text);
        return Err(Problem::forbidden(text));
    }
    Ok(Some(asker))
}

async fn answer(
    context: Context,
    endpoint: Endpoint,
    remote: Remote,
    request: Request,
) -> Result<Response, Problem> {
    let now = now();
    let (mut parts, body) = request.into_parts();
    let found = asker(&context, (&parts.method, &parts.headers), remote, now);
    let found = match (&endpoint.kind, found) {
        // Whoever signs in anew may come with an old cookie or a wrong token.
        (Kind::SignIn | Kind::SignOut | Kind::Ways | Kind::OpenApi, _) => None,
        (
            Kind::Look(_)
            | Kind::Ask(_)
            | Kind::Stream
            | Kind::Changes
            | Kind::Upload
            | Kind::Session,
            found,
        ) => found?,
    };
    let asker = permitted(&context, &endpoint, found, remote)?;
    // A file is taken as it comes; everything else is small.
    let (body, file) = match endpoint.kind {
        Kind::Upload => (Bytes::new(), body),
        _small => (read(body).await?, Body::empty()),
    };
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(query) = query.map_err(|cause| {
        Problem::from(Refusal::Invalid(format!("the query can't be read: {cause}")))
    })?;
    let names = parts.extract::<RawPathParams>().await.ok();
    let name = names.iter().flatten().map(|(_, value)| value.to_owned()).next().unwrap_or_default();
    let asked = Asked { now, query: &query, name: &name, body: &body };
    asked.only(endpoint.parameters.iter().copied().flatten().map(|parameter| parameter.name))?;
    match (endpoint.kind, asker) {
        (Kind::OpenApi, _) => Ok(axum::Json(openapi()).into_response()),
        (Kind::Ways, _) => Ok(ways(&context)),
        (Kind::SignIn, _) => Ok(sign_in(&context, &body, remote, now)),
        (Kind::SignOut, _) => Ok(sign_out(&context, &parts.headers, remote)),
        (Kind::Session, Some(asker)) => Ok(session(&asker.account)),
        (Kind::Stream, Some(asker)) => {
            let question = flows_question(&asked)?;
            Ok(stream::begin(context, asker, question, &parts.headers).await)
        }
        (Kind::Upload, Some(asker)) => {
            upload::take(context, asker.account, asked.upload()?, file).await
        }
        (Kind::Changes, Some(asker)) => Ok(changes::begin(context, asker)),
        (Kind::Look(ask), Some(asker)) => {
            let question = ask(&asked)?;
            // What is asked, and of what it may be cut.
            let own = context.people.own(&asker.account);
            let key = format!("{:?} {own} {}", asker.account.namespaces, parts.uri);
            asked_of(&context, asker, question, Some(key)).await
        }
        (Kind::Ask(ask), Some(asker)) => {
            let question = ask(&asked)?;
            let answer = asked_of(&context, asker, question, None).await;
            if endpoint.method != Method::GET {
                // Who changed something looks at what it is now.
                context.answers.forget();
            }
            answer
        }
        // Only of endpoints that everybody may ask, and these are above.
        (
            Kind::Session
            | Kind::Stream
            | Kind::Changes
            | Kind::Upload
            | Kind::Look(_)
            | Kind::Ask(_),
            None,
        ) => Err(Problem::internal()),
    }
}

async fn asked_of(
    context: &Context,
    asker: Asker,
    question: Question,
    key: Option<String>,
) -> Result<Response, Problem> {
    let media = Media::of(&question);
    let work = || work(context, asker, question);
    let body = match key {
        Some(key) => context.answers.get((key, context.pulse().await), work).await?,
        None => work().await?,
    };
    if body.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut response = ([(header::CONTENT_TYPE, media.kind)], body).into_response();
    let headers = response.headers_mut();
    headers.extend(media.name.map(|name| (header::CONTENT_DISPOSITION, name)));
    headers.extend(media.policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    Ok(response)
}

async fn work(context: &Context, asker: Asker, question: Question) -> Result<Bytes, Problem> {
    let turn = tokio::time::timeout(TURN_WAIT, Arc::clone(&context.turns).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let text = "too many questions are being worked on: try again in a moment";
        return Err(Refusal::Unavailable(text.to_owned()).into());
    };
    let people = Arc::clone(&context.people);
    let done = context.threads.run(move || (people.answer(&asker.account, &question), turn));
    match done.await {
        Some((answer, _turn)) => Ok(answer?),
        None => Err(Problem::internal()),
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_WAIT, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_broken)) => {
            Err(Problem::body(format!("it broke off, or has more than {BODY_BYTES_MAX} bytes")))
        }
        Err(_elapsed) => {
            Err(Problem::body(format!("it did not come within {} s", BODY_WAIT.as_secs())))
        }
    }
}
