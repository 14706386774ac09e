//! The provider: where it is, what its keys are, and what it gives for a code.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Method;
use sekisho_model::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::OidcSettings;
use super::claims::Claims;
use super::id_token::{Expected, IdTokenError, Keys};
use super::pending::{Begun, Carried};
use crate::web::Account;
use crate::{DeliverError, Destination, DestinationError};

/// Where a provider says what it has (OpenID Connect Discovery 1.0, section 4).
const WELL_KNOWN: &str = "/.well-known/openid-configuration";
/// Longest document of a provider, bytes.
const DOCUMENT_BYTES_MAX: usize = 512 << 10;
/// How long what it says is believed.
const FRESH: Duration = Duration::from_secs(3_600);
/// After a key that we do not know it is asked anew, but not more often than so.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A provider, as the settings name it.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(super) settings: OidcSettings,
    known: Mutex<Option<Known>>,
}

/// What it said of itself.
#[derive(Debug)]
struct Known {
    document: Document,
    keys: Keys,
    at: Instant,
}

/// As far as we need it.
#[derive(Clone, Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    /// `client_secret_basic` alone if absent.
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What it gives for a code (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Given {
    id_token: String,
    access_token: String,
}

/// Sign-in does not work, through no fault of who signs in.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderError {
    /// It did not answer, or said no.
    #[error("`{0}`")]
    Asked(String, #[source] DeliverError),
    /// An address of its own is none.
    #[error("`{0}`")]
    Address(String, #[source] DestinationError),
    /// An address of its own is one over which secrets must not go.
    #[error("`{0}` is not https")]
    Plain(String),
    /// It is another one.
    #[error(
        "the provider calls itself `{0}`: set `server.oidc.issuer` to exactly that, if it is the one"
    )]
    Issuer(String),
    /// What it says can't be read.
    #[error("what `{0}` answers is not what the specification says")]
    Answer(String, #[source] serde_json::Error),
    /// What we send can't be written.
    #[error("the request can't be written")]
    Request(#[from] serde_urlencoded::ser::Error),
    /// Our secret can't be read.
    #[error("`server.oidc.client_secret_file` `{0}`")]
    Secret(String, #[source] std::io::Error),
    /// The ID token is not to be believed.
    #[error("the ID token is not taken")]
    IdToken(#[from] IdTokenError),
    /// UserInfo is of somebody else (OpenID Connect Core 1.0, section 5.3.2).
    #[error("UserInfo is of another subject than the ID token")]
    Subject,
}

/// Who came back.
#[derive(Debug)]
pub(super) enum Person {
    /// Somebody who may do this.
    Admitted(Account),
    /// Somebody, by name and groups, whom no grant names.
    Stranger { name: String, groups: String },
}

/// Text of bytes as RFC 4648, section 5, without padding.
pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Provider {
    /// A provider that is asked when somebody signs in, not before.
    pub(crate) fn new(settings: OidcSettings) -> Self {
        Self { settings, known: Mutex::default() }
    }

    /// What the sign-in page calls it.
    pub(crate) fn shown_name(&self) -> String {
        self.settings.shown_name()
    }

    async fn get(&self, url: &str, authorization: Option<String>) -> Result<Value, ProviderError> {
        let headers = [("accept", "application/json".to_owned())];
        let own = authorization.map(|value| ("authorization", value));
        let headers: Vec<_> = headers.into_iter().chain(own).collect();
        self.ask(url, (Method::GET, Bytes::new()), &headers).await
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        asked: (Method, Bytes),
        headers: &[(&str, String)],
    ) -> Result<T, ProviderError> {
        let place: Destination =
            url.parse().map_err(|cause| ProviderError::Address(url.to_owned(), cause))?;
        if !place.is_private() {
            return Err(ProviderError::Plain(url.to_owned()));
        }
        let ca = self.settings.ca.as_deref();
        let answer = place.ask(asked, headers, ca, DOCUMENT_BYTES_MAX).await;
        let answer = answer.map_err(|cause| ProviderError::Asked(url.to_owned(), cause))?;
        serde_json::from_slice(&answer)
            .map_err(|cause| ProviderError::Answer(url.to_owned(), cause))
    }

    /// Asks what it says of itself, unless that is known and was asked less than `within` ago.
    async fn document(
        &self,
        known: &mut Option<Known>,
        within: Duration,
    ) -> Result<Document, ProviderError> {
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < within) {
            return Ok(known.document.clone());
        }
        let url = format!("{}{WELL_KNOWN}", self.settings.issuer.trim_end_matches('/'));
        let document = self.get(&url, None).await?;
        let document: Document =
            serde_json::from_value(document).map_err(|cause| ProviderError::Answer(url, cause))?;
        if document.issuer != self.settings.issuer {
            return Err(ProviderError::Issuer(sekisho_base::harmless(&document.issuer)));
        }
        let keys = Keys::read(&self.get(&document.jwks_uri, None).await?);
        *known = Some(Known { document: document.clone(), keys, at: Instant::now() });
        Ok(document)
    }

    /// Where the browser is sent (OpenID Connect Core 1.0, section 3.1.2.1).
    pub(super) async fn address(&self, carried: &Carried) -> Result<String, ProviderError> {
        let document = self.document(&mut *self.known.lock().await, FRESH).await?;
        let endpoint = document.authorization_endpoint;
        // A browser is sent there: nothing but a web address.
        let place: Result<Destination, _> = endpoint.parse();
        match place {
            Ok(place) if place.is_private() => {}
            Ok(_) => return Err(ProviderError::Plain(endpoint)),
            Err(cause) => return Err(ProviderError::Address(endpoint, cause)),
        }
        let challenge = base64url(&Sha256::digest(carried.begun.verifier.reveal().as_bytes()));
        let query = serde_urlencoded::to_string([
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &self.settings.redirect_uri()),
            ("scope", &self.settings.scopes.join(" ")),
            ("state", carried.state.reveal()),
            ("nonce", carried.begun.nonce.reveal()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])?;
        let between = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{between}{query}"))
    }

    /// Takes a code for the person it stands for.
    pub(super) async fn redeem(
        &self,
        code: &str,
        begun: &Begun,
        now: Timestamp,
    ) -> Result<Person, ProviderError> {
        let document = self.document(&mut *self.known.lock().await, FRESH).await?;
        let given = self.take(&document, code, begun).await?;
        let mut known = self.known.lock().await;
        let settings = &self.settings;
        let expected = Expected {
            issuer: &settings.issuer,
            client_id: &settings.client_id,
            nonce: &begun.nonce,
            now,
        };
        let read = |known: &Option<Known>| {
            let keys = known.as_ref().map(|known| &known.keys);
            keys.ok_or(IdTokenError::NoKey)?.claims(&given.id_token, &expected)
        };
        let claims = match read(&known) {
            Err(IdTokenError::NoKey) => {
                // Keys are changed from time to time.
                self.document(&mut known, ASK_AGAIN).await?;
                read(&known)?
            }
            read => read?,
        };
        drop(known);
        let more = match (claims.groups(&settings.groups_claim), &document.userinfo_endpoint) {
            (None, Some(endpoint)) => self.more(endpoint, &given, &claims).await?,
            (Some(_), _) | (None, None) => Claims::default(),
        };
        let name = match (claims.0.contains_key(&settings.name_claim), &more) {
            (false, more) if more.0.contains_key(&settings.name_claim) => more,
            _ => &claims,
        }
        .name(&settings.name_claim);
        let groups = claims.groups(&settings.groups_claim);
        let groups = groups.or_else(|| more.groups(&settings.groups_claim)).unwrap_or_default();
        Ok(match settings.account(name.clone(), &groups, now) {
            Some(account) => Person::Admitted(account),
            None => Person::Stranger { name, groups: sekisho_base::harmless(&groups.join(", ")) },
        })
    }

    /// Claims of the UserInfo endpoint: many providers have groups there alone.
    async fn more(
        &self,
        endpoint: &str,
        given: &Given,
        claims: &Claims,
    ) -> Result<Claims, ProviderError> {
        let said = self.get(endpoint, Some(format!("Bearer {}", given.access_token))).await?;
        let more: Map<String, Value> = serde_json::from_value(said)
            .map_err(|cause| ProviderError::Answer(endpoint.to_owned(), cause))?;
        let more = Claims(more);
        match more.text("sub").is_some() && more.text("sub") == claims.text("sub") {
            true => Ok(more),
            false => Err(ProviderError::Subject),
        }
    }

    /// Asks the token endpoint (RFC 6749, sections 2.3.1 and 4.1.3).
    async fn take(
        &self,
        document: &Document,
        code: &str,
        begun: &Begun,
    ) -> Result<Given, ProviderError> {
        let (id, back) = (self.settings.client_id.as_str(), self.settings.redirect_uri());
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &back),
            ("code_verifier", begun.verifier.reveal()),
        ];
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ];
        let secret = self.secret()?;
        let ways = document.token_endpoint_auth_methods_supported.as_ref();
        let by_header = ways.is_none_or(|ways| ways.iter().any(|way| way == "client_secret_basic"));
        match &secret {
            Some(secret) if by_header => {
                let encoded = serde_urlencoded::to_string([(id, secret.as_str())])?;
                let pair = encoded.replacen('=', ":", 1);
                headers.push(("authorization", format!("Basic {}", STANDARD.encode(pair))));
            }
            Some(secret) => form.extend([("client_id", id), ("client_secret", secret.as_str())]),
            None => form.push(("client_id", id)),
        }
        let body = Bytes::from(serde_urlencoded::to_string(form)?);
        self.ask(&document.token_endpoint, (Method::POST, body), &headers).await
    }

    /// Our secret, read anew each time: it may be changed without a restart.
    fn secret(&self) -> Result<Option<String>, ProviderError> {
        let Some(path) = &self.settings.client_secret_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ProviderError::Secret(path.display().to_string(), cause))?;
        Ok(Some(text.trim().to_owned()))
    }
}
