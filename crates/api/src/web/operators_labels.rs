//! Assets and labels for who may open the server's socket or has an operator's certificate: the same
//! questions as over HTTP, from the same table, for the command line.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, Query, RawPathParams, State};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{MethodFilter, get, on};
use axum::{RequestPartsExt, Router};
use http::Request;
use http::request::Parts;

use super::endpoints::Kind;
use super::label_endpoints::label_endpoints;
use super::operators::ask;
use super::parameters::Asked;
use super::{Endpoint, People, Question};
use crate::router::{operator, refused};
use crate::{Peer, Refusal, admit};

type Shared = Arc<dyn People>;

/// Name of the parameter that says who asks, where no certificate does.
const OPERATOR: &str = "operator";

/// The endpoints of labels as they are under `/api/v1`, under `/v1`, each with `?operator=NAME`; and
/// GET /v1/labels/state, all that was told as it is kept, JSON.
pub fn operators_labels_router(people: Shared) -> Router {
    let mut router = Router::new().route("/v1/labels/state", get(state));
    for endpoint in label_endpoints() {
        let filter = MethodFilter::try_from(endpoint.method.clone()).unwrap_or(MethodFilter::GET);
        let method = on(
            filter,
            move |State(people): State<Shared>,
                  Extension(peer): Extension<Peer>,
                  request: Request<axum::body::Body>| async move {
                answer(people, endpoint, &peer, request).await
            },
        );
        router = router.route(&format!("/v1{}", endpoint.path), method);
    }
    router.route_layer(from_fn(admit::operators)).with_state(people)
}

async fn state(State(people): State<Shared>, Extension(peer): Extension<Peer>) -> Response {
    ask(people, operator(&peer, String::new()), Question::LabelState).await
}

async fn answer(
    people: Shared,
    endpoint: Endpoint,
    peer: &Peer,
    request: Request<axum::body::Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    // The layer above has read it, within its bound.
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    match read(&endpoint, parts, &body).await {
        Ok((who, question)) => ask(people, operator(peer, who), question).await,
        Err(refusal) => refused(&refusal),
    }
}

/// Who asks, as they say, and what.
async fn read(
    endpoint: &Endpoint,
    mut parts: Parts,
    body: &Bytes,
) -> Result<(String, Question), Refusal> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(query) =
        query.map_err(|cause| Refusal::Invalid(format!("the query can't be read: {cause}")))?;
    let (who, query): (Vec<_>, Vec<_>) = query.into_iter().partition(|(name, _)| name == OPERATOR);
    let who = who.into_iter().next().map(|(_, who)| who).unwrap_or_default();
    let names = parts.extract::<RawPathParams>().await.ok();
    let name = names.iter().flatten().map(|(_, value)| value.to_owned()).next().unwrap_or_default();
    let now = super::router::now();
    let asked = Asked { now, query: &query, name: &name, body };
    asked.only(endpoint.parameters.iter().copied().flatten().map(|parameter| parameter.name))?;
    match endpoint.kind {
        Kind::Ask(ask) | Kind::Look(ask) => Ok((who, ask(&asked)?)),
        Kind::Stream
        | Kind::Changes
        | Kind::Session
        | Kind::Upload
        | Kind::Ways
        | Kind::SignIn
        | Kind::SignOut
        | Kind::OpenApi => Err(Refusal::Unknown("there is no such question".to_owned())),
    }
}
