//! Who asks: a token in the request, or the cookie that was had for one.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sekisho_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::session::{COOKIE, Holder, LIFE_S};
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

/// Who asks, and by what: it may end while a stream is open.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) account: Account,
    by: By,
}

/// What somebody showed.
#[derive(Clone, Debug)]
enum By {
    /// The digest of a token.
    Token(String),
    /// The cookie of a session.
    Session(Secret),
}

impl Asker {
    /// Whether what they showed is still good.
    pub(crate) fn is_good(&self, context: &Context, now: Timestamp) -> bool {
        match &self.by {
            By::Token(digest) => context.people.tokens().account_of(digest, now).is_some(),
            By::Session(cookie) => context.account_of(cookie, now).is_some(),
        }
    }
}

impl Context {
    /// Whose session this cookie is, if it is good.
    fn account_of(&self, cookie: &Secret, now: Timestamp) -> Option<Account> {
        match self.sessions.holder(cookie, now)? {
            Holder::Token(digest) => self.people.tokens().account_of(&digest, now),
            Holder::Person(account) => Some(account),
        }
    }
}

/// How somebody may sign in, as the sign-in page is told.
#[derive(Serialize)]
struct Ways {
    /// What the provider of OpenID Connect is called; null = there is none.
    oidc: Option<String>,
}

/// Tells how somebody may sign in.
pub(crate) fn ways(context: &Context) -> Response {
    let oidc = context.provider.as_ref().map(|provider| provider.shown_name());
    axum::Json(Ways { oidc }).into_response()
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

/// The cookie of this name.
pub(super) fn cookie_named(headers: &HeaderMap, wanted: &str) -> Option<Secret> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == wanted).map(|(_, value)| Secret::shown(value.trim()))
}

fn cookie(headers: &HeaderMap) -> Option<Secret> {
    cookie_named(headers, COOKIE)
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
        return Ok(Some(Asker { account, by: By::Token(secret.digest()) }));
    }
    let Some(cookie) = cookie(headers) else { return Ok(None) };
    let Some(account) = context.account_of(&cookie, now) else { return Ok(None) };
    if method != Method::GET && !headers.contains_key(OWN_HEADER) {
        let text = format!("a page that changes something sends the header `{OWN_HEADER}`");
        return Err(Problem::forbidden(text));
    }
    Ok(Some(Asker { account, by: By::Session(cookie) }))
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

/// Sets the cookie of a session.
fn with_cookie(response: Response, value: &str, life_s: u64, remote: Remote) -> Response {
    set_cookie(response, (COOKIE, value), ("/", life_s, "Strict", remote.encrypted))
}

/// Sets a cookie that no script can read (RFC 6265bis): its path, life in seconds, when other sites'
/// links send it along, and whether it is only for TLS.
pub(super) fn set_cookie(
    mut response: Response,
    (name, value): (&str, &str),
    (path, life_s, same_site, is_encrypted): (&str, u64, &str, bool),
) -> Response {
    let secure = if is_encrypted { "; Secure" } else { "" };
    let text = format!(
        "{name}={value}; Path={path}; Max-Age={life_s}; HttpOnly; SameSite={same_site}{secure}"
    );
    match HeaderValue::from_str(&text) {
        Ok(value) => {
            response.headers_mut().append(header::SET_COOKIE, value);
            response
        }
        Err(_invalid) => Problem::internal().into_response(),
    }
}
