//! What a browser asks for on its way to the provider and back.

use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::pending::LIFE_S;
use super::provider::{Person, ProviderError};
use crate::web::router::{Context, now};
use crate::web::sign_in::{Remote, cookie_named, set_cookie};
use crate::web::{Problem, Secret};

/// Name of the cookie of who is on the way, and where it is sent to.
const COOKIE: &str = "sekisho_signin";
const COOKIE_PATH: &str = "/api/v1/session/oidc";
/// Longest path to come back to, bytes.
const NEXT_MAX: usize = 2_048;
/// What the audit log calls it.
const ACTION: &str = "sign_in";

/// Where to go in the end.
#[derive(Deserialize)]
pub(crate) struct Begin {
    next: Option<String>,
}

/// What the provider sends a browser back with (RFC 6749, section 4.1.2; `iss`: RFC 9207).
#[derive(Deserialize)]
pub(crate) struct Back {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Why nobody is signed in, as the sign-in page is told.
#[derive(Clone, Copy, Debug)]
enum Failed {
    /// The provider can't be asked, or what it said was not right.
    Provider,
    /// It said no.
    Refused,
    /// It took too long, was begun elsewhere, or was over already.
    Over,
    /// No grant names them.
    Stranger,
}

impl Failed {
    /// The sign-in page, which tells why.
    fn page(self) -> Response {
        let why = match self {
            Self::Provider => "provider",
            Self::Refused => "refused",
            Self::Over => "over",
            Self::Stranger => "stranger",
        };
        to(&format!("/#signin={why}"))
    }
}

/// Sends a browser on (303: by GET).
fn to(place: &str) -> Response {
    match HeaderValue::from_str(place) {
        Ok(place) => (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response(),
        Err(_invalid) => Problem::internal().into_response(),
    }
}

/// A path of ours: whoever makes somebody sign in must not choose where they end.
fn own_path(next: Option<String>) -> String {
    let is_own = |path: &String| {
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        path.len() <= NEXT_MAX && plain && path.starts_with('/') && !path.starts_with("//")
    };
    next.filter(is_own).unwrap_or_else(|| "/".to_owned())
}

/// Sends a browser to the provider.
pub(crate) async fn begin(
    State(context): State<Context>,
    Extension(remote): Extension<Remote>,
    Query(asked): Query<Begin>,
) -> Response {
    let Some(provider) = &context.provider else {
        return Problem::unknown_path(COOKIE_PATH).into_response();
    };
    let Ok(carried) = context.pending.begin(own_path(asked.next), now()) else {
        return Problem::internal().into_response();
    };
    match provider.address(&carried).await {
        Ok(place) => {
            let is_encrypted = remote.encrypted || provider.settings.is_encrypted();
            // Lax: it must come along when the provider sends the browser back.
            let rules = (COOKIE_PATH, LIFE_S, "Lax", is_encrypted);
            set_cookie(to(&place), (COOKIE, carried.cookie.reveal()), rules)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &ProviderError) -> Response {
    let error = sekisho_base::error_chain(error);
    tracing::error!(error, "nobody can sign in by OpenID Connect");
    Failed::Provider.page()
}

/// Takes a browser back, with a session if all is right.
pub(crate) async fn end(
    State(context): State<Context>,
    Extension(remote): Extension<Remote>,
    Query(back): Query<Back>,
    headers: HeaderMap,
) -> Response {
    let Some(provider) = &context.provider else {
        return Problem::unknown_path(COOKIE_PATH).into_response();
    };
    let now = now();
    let state = back.state.as_deref().map(Secret::shown);
    let cookie = cookie_named(&headers, COOKIE);
    let begun =
        state.zip(cookie).and_then(|(state, cookie)| context.pending.end(&state, &cookie, now));
    let Some(begun) = begun else { return Failed::Over.page() };
    if back.iss.is_some_and(|issuer| issuer != provider.settings.issuer) {
        tracing::error!("a sign-in came back from another provider than it was sent to");
        return Failed::Provider.page();
    }
    let Some(code) = back.code.filter(|_| back.error.is_none()) else {
        let told = [back.error, back.error_description].into_iter().flatten();
        let told = sekisho_base::harmless(&told.collect::<Vec<_>>().join(": "));
        tracing::warn!(told, "the provider signed nobody in");
        return Failed::Refused.page();
    };
    let account = match provider.redeem(&code, &begun, now).await {
        Ok(Person::Admitted(account)) => account,
        Ok(Person::Stranger { name, groups }) => {
            let why = format!("no grant of [server.oidc] names a group of theirs: {groups}");
            context.people.denied(&name, ACTION, &why);
            return Failed::Stranger.page();
        }
        Err(error) => return failed(&error),
    };
    let (people, who) = (context.people.clone(), account.clone());
    let noted = tokio::task::spawn_blocking(move || people.signed_in(&who)).await;
    match noted {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => return Problem::from(refusal).into_response(),
        Err(_panicked) => return Problem::internal().into_response(),
    }
    let life_s = provider.settings.session_s;
    let Ok(cookie) = context.sessions.begin_of(account, now, life_s) else {
        return Problem::internal().into_response();
    };
    let is_encrypted = remote.encrypted || provider.settings.is_encrypted();
    let response = to(&begun.next);
    let response = set_cookie(response, (COOKIE, ""), (COOKIE_PATH, 0, "Lax", is_encrypted));
    let session = (crate::web::session::COOKIE, cookie.reveal());
    set_cookie(response, session, ("/", life_s, "Strict", is_encrypted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_comes_back_to_a_page_of_ours() {
        let own = |path: &str| own_path(Some(path.to_owned()));
        assert_eq!(own("/map?by=pod&node=a%20b"), "/map?by=pod&node=a%20b");
        let long = format!("/{}", "a".repeat(NEXT_MAX));
        for path in [
            "",
            "map",
            "//evil.example",
            "/\\evil",
            "https://evil.example",
            "/a b",
            "/a\r\nb",
            "/é",
            &long,
        ] {
            assert_eq!(own(path), "/", "{path}");
        }
        assert_eq!(own_path(None), "/");
    }
}
