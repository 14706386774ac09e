//! Tokens and the audit log for who may open the server's socket or has an operator's certificate: so
//! the first token is made, and nobody needs a default password.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde::Deserialize;

use super::parameters::Asked;
use super::reports::report_question;
use super::router::now;
use super::{Access, Account, NewToken, PageQuestion, People, Question};
use crate::router::{from_json, operator, refused};
use crate::{Peer, admit};

type Shared = Arc<dyn People>;

/// Entries of the audit log in one page.
const ENTRIES_MAX: usize = 1_000;

/// The endpoints, beside those of [`crate::router`].
///
/// | method and path | does |
/// |---|---|
/// | GET /v1/tokens | all tokens, JSON |
/// | POST /v1/tokens?operator=NAME | makes one; JSON in and out |
/// | DELETE /v1/tokens/{name}?operator=NAME | ends one |
/// | GET /v1/audit?before=N&limit=N | a page of the audit log, newest first, JSON |
/// | GET /v1/reports/{kind}?... | a report, as `GET /api/v1/reports/{kind}` with its parameters |
pub fn operators_router(people: Shared) -> Router {
    Router::new()
        .route("/v1/tokens", get(list).post(create))
        .route("/v1/tokens/{name}", delete(revoke))
        .route("/v1/audit", get(audit))
        .route("/v1/reports/{kind}", get(report))
        .route_layer(from_fn(admit::operators))
        .with_state(people)
}

#[derive(Deserialize)]
struct By {
    #[serde(default)]
    operator: String,
}

#[derive(Deserialize)]
struct Page {
    before: Option<u64>,
    limit: Option<usize>,
}

async fn list(State(people): State<Shared>, Extension(peer): Extension<Peer>) -> Response {
    ask(people, operator(&peer, String::new()), Question::Tokens).await
}

async fn create(
    State(people): State<Shared>,
    Extension(peer): Extension<Peer>,
    Query(by): Query<By>,
    body: Bytes,
) -> Response {
    match from_json::<NewToken>(&body) {
        Ok(wanted) => {
            ask(people, operator(&peer, by.operator), Question::CreateToken(wanted)).await
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn revoke(
    State(people): State<Shared>,
    Extension(peer): Extension<Peer>,
    Query(by): Query<By>,
    Path(name): Path<String>,
) -> Response {
    ask(people, operator(&peer, by.operator), Question::RevokeToken(name)).await
}

async fn audit(
    State(people): State<Shared>,
    Extension(peer): Extension<Peer>,
    Query(page): Query<Page>,
) -> Response {
    let limit = page.limit.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
    let question = Question::Audit(PageQuestion { before: page.before, limit });
    ask(people, operator(&peer, String::new()), question).await
}

async fn report(
    State(people): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(kind): Path<String>,
    Query(mut query): Query<Vec<(String, String)>>,
) -> Response {
    let is_name = |(name, _): &(String, String)| name == "operator";
    let by = query.iter().find(|one| is_name(one)).map(|(_, by)| by.clone()).unwrap_or_default();
    query.retain(|one| !is_name(one));
    let asked = Asked { now: now(), query: &query, name: "", body: &[] };
    match report_question(&kind, &asked) {
        Ok(question) => ask(people, operator(&peer, by), question).await,
        Err(refusal) => refused(&refusal),
    }
}

pub(super) async fn ask(people: Shared, who: String, question: Question) -> Response {
    // The socket's owner and an operator's certificate may do everything.
    let account = Account { name: who, role: Access::Operator, namespaces: None, expires: None };
    match tokio::task::spawn_blocking(move || people.answer(&account, &question)).await {
        Ok(Ok(body)) if body.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(Ok(body)) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
