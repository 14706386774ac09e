//! Who asks: a token in the request, or the cookie that was had for one.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sekisho_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::session::{COOKIE, LIFE_S};
use super::{Account, Problem, Secret};
use crate::web::router::Context;

/// What a page must send with a request that changes something, beside its cookie: no other page can
/// send it without asking first (Fetch standard, CORS-safelisted request-header).
const OWN_HEADER: &str = "x-sekisho-request";

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    /// Address of the client.
    pub(crate) address: IpAddr,
    /// Whether the connection is encrypted.
    pub(crate) encrypted: bool,
}

/// Who asks, and by which token.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) account: Account,
    /// Digest of the token: it may be revoked while a stream is open.
    pub(crate) token: String,
}

/// The session as a page sees it.
#[derive(Serialize)]
struct Session<'a> {
    #[serde(flatten)]
    account: &'a Account,
    version: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::shown(token.trim()))
}

fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE).map(|(_, value)| Secret::shown(value.trim()))
}

/// Who asks; None = nobody said.
pub(crate) fn asker(
    context: &Context,
    (method, headers): (&Method, &HeaderMap),
    remote: Remote,
    now: Timestamp,
) -> Result<Option<Asker>, Problem> {
    let tokens = context.people.tokens();
    if let Some(secret) = bearer(headers) {
        // Before the throttle: behind a proxy all have one address, and who guesses must not lock out
        // who knows. A secret has 256 bits, so nobody guesses one the faster for it.
        let Some(account) = tokens.account(&secret, now) else {
            if let Some(wait_s) = context.throttle.wait(remote.address, now) {
                return Err(Problem::throttled(wait_s));
            }
            context.throttle.wrong(remote.address, now);
            return Err(Problem::unauthorized("this token is not known, or over"));
        };
        return Ok(Some(Asker { account, token: secret.digest() }));
    }
    let Some(cookie) = cookie(headers) else { return Ok(None) };
    let Some(token) = context.sessions.token(&cookie, now) else { return Ok(None) };
    let Some(account) = tokens.account_of(&token, now) else { return Ok(None) };
    if method != Method::GET && !headers.contains_key(OWN_HEADER) {
        let text = format!("a page that changes something sends the header `{OWN_HEADER}`");
        return Err(Problem::forbidden(text));
    }
    Ok(Some(Asker { account, token }))
}

/// Tells who is signed in.
pub(crate) fn session(account: &Account) -> Response {
    axum::Json(Session { account, version: env!("CARGO_PKG_VERSION") }).into_response()
}

/// Gives a cookie for a token.
pub(crate) fn sign_in(context: &Context, body: &Bytes, remote: Remote, now: Timestamp) -> Response {
    let shown: SignIn = match serde_json::from_slice(body) {
        Ok(shown) => shown,
        Err(cause) => {
            let text = format!("the body is not as it must be: {cause}");
            return Problem::from(crate::Refusal::Invalid(text)).into_response();
        }
    };
    let secret = Secret::shown(shown.token.trim());
    let Some(account) = context.people.tokens().account(&secret, now) else {
        if let Some(wait_s) = context.throttle.wait(remote.address, now) {
            return Problem::throttled(wait_s).into_response();
        }
        context.throttle.wrong(remote.address, now);
        let who = remote.address.to_string();
        context.people.denied(&who, "POST /api/v1/session", "a token that is not known, or over");
        return Problem::unauthorized("this token is not known, or over").into_response();
    };
    let Ok(cookie) = context.sessions.begin(&secret, now) else {
        return Problem::internal().into_response();
    };
    with_cookie(session(&account), cookie.reveal(), LIFE_S, remote)
}

/// Ends the session, if there is one.
pub(crate) fn sign_out(context: &Context, headers: &HeaderMap, remote: Remote) -> Response {
    if let Some(cookie) = cookie(headers) {
        context.sessions.end(&cookie);
    }
    with_cookie(StatusCode::NO_CONTENT.into_response(), "", 0, remote)
}

fn with_cookie(mut response: Response, value: &str, life_s: u64, remote: Remote) -> Response {
    let secure = if remote.encrypted { "; Secure" } else { "" };
    let text =
        format!("{COOKIE}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Strict{secure}");
    match HeaderValue::from_str(&text) {
        Ok(value) => {
            response.headers_mut().insert(header::SET_COOKIE, value);
            response
        }
        Err(_invalid) => Problem::internal().into_response(),
    }
}
