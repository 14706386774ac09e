//! A certificate of the node's own, which an agent gets from its server and renews.
//!
//! The agents of a DaemonSet share one certificate, because one Secret is all that they can mount.
//! With it an agent asks for one that names its node, and shows its service account token, which
//! the API server made for one pod on one node. The key is made here and stays in memory: a new
//! process asks anew. A server that asks for nothing of the kind says so, and the shared one is used.
//!
//! Fails towards silence: where the server wants a certificate of the node's own and none can be
//! had, the agent keeps what it sees and tries again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sekisho_base::error_chain;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use crate::CallError;
use crate::tls::{Material, of_node, request};

/// Longest exchange for a certificate.
const ASK_WAIT: Duration = Duration::from_secs(20);
/// Pause after the first failure in a row; it doubles up to the longest.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Our clock starts later than the server's by as long as its answer takes.
const MARGIN: Duration = Duration::from_secs(1);
/// A certificate that the server refuses after less than this was never good.
const NEW: Duration = Duration::from_secs(5);
/// Longest token that is read, bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What an agent asks. No `Debug`: the token is a secret.
#[derive(Serialize, Deserialize)]
pub(crate) struct Question {
    /// Service account token of its pod.
    pub(crate) token: String,
    /// Request for the certificate: PKCS #10 in PEM.
    pub(crate) request: String,
}

/// What it gets.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The certificate in PEM.
    pub(crate) certificate: String,
    /// How long it is good from now on, seconds: the clocks of nodes differ.
    pub(crate) life_s: u64,
}

/// The way to certificates of a node's own.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) node: String,
    token: PathBuf,
    held: Mutex<Held>,
}

/// What was got so far.
#[derive(Debug, Default)]
pub(crate) struct Held {
    certificate: Option<Certificate>,
    /// Of the certificate; 0 = there was none yet.
    number: u64,
    /// The server said that none is needed.
    unneeded: bool,
    failure: Option<Failure>,
}

/// What a connection is made with.
pub(crate) struct Proof {
    pub(crate) material: Material,
    /// Of our own certificate; 0 = it is the shared one.
    pub(crate) number: u64,
    /// The server ends connections with the certificate, so they are not used until then; None =
    /// that is far away.
    pub(crate) end: Option<Instant>,
}

#[derive(Debug)]
struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    got: Instant,
    renew: Instant,
    end: Instant,
}

#[derive(Debug)]
struct Failure {
    text: String,
    pause: Duration,
    again: Instant,
}

impl Own {
    /// Makes one for the agent on `node`, whose token is in the file `token`.
    pub(crate) fn new(node: &str, token: &Path) -> Self {
        Self { node: node.to_owned(), token: token.to_owned(), held: Mutex::default() }
    }

    /// The state, for one who asks at a time.
    pub(crate) async fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().await
    }

    /// What is used, for people; None while somebody asks for it.
    pub(crate) fn words(&self) -> Option<String> {
        self.held.try_lock().ok().map(|held| held.words())
    }

    /// How long the certificate is still good, where it should have been renewed long ago: less than a
    /// quarter of its life remains.
    pub(crate) fn ending(&self) -> Option<Duration> {
        let held = self.held.try_lock().ok()?;
        let own = held.certificate.as_ref()?;
        let left = own.end.saturating_duration_since(Instant::now());
        (left < own.end.saturating_duration_since(own.renew) / 2).then_some(left)
    }

    /// What to ask with the shared certificate in `shared`, and the key that the answer is for.
    pub(crate) fn question(
        &self,
        shared: &Material,
    ) -> Result<(Question, PrivateKeyDer<'static>), String> {
        let token = std::fs::read_to_string(&self.token)
            .map_err(|cause| format!("read the token `{}`: {cause}", self.token.display()))?;
        let token = token.trim().to_owned();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(format!("`{}` holds no service account token", self.token.display()));
        }
        let cluster = shared.identity().map_err(|error| error_chain(&error))?.cluster;
        let made = of_node(&cluster, &self.node).and_then(|identity| request(&identity));
        let (key, request) = made.map_err(|error| error_chain(&error))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((Question { token, request }, key))
    }
}

impl Held {
    /// Whether the server is to be asked now.
    pub(crate) fn is_due(&self) -> bool {
        let now = Instant::now();
        let paused = self.failure.as_ref().is_some_and(|failure| now < failure.again);
        let fresh = self.certificate.as_ref().is_some_and(|own| now < own.renew);
        !paused && !fresh
    }

    /// Forgets the certificate with that number, as the server does not believe it; true if asking
    /// for another may help. Of one that is quite new it is not the server's end that explains it.
    pub(crate) fn forget(&mut self, number: u64) -> bool {
        if self.number != number {
            // Somebody else has asked for another meanwhile.
            return number != 0;
        }
        let Some(own) = self.certificate.take() else { return false };
        let known = own.got.elapsed() > NEW;
        if !known {
            let text = "the server does not believe what it signed itself: is there more than one \
                        behind its address?";
            self.fail(text.to_owned());
        }
        known
    }

    /// Asks by `asking`, but not for ever, and takes what comes of it.
    pub(crate) async fn ask(
        &mut self,
        key: PrivateKeyDer<'static>,
        asking: impl Future<Output = Result<(StatusCode, Bytes), CallError>>,
    ) {
        let answer = match tokio::time::timeout(ASK_WAIT, asking).await {
            Ok(Ok((StatusCode::NOT_FOUND, _))) => {
                *self = Self { unneeded: true, number: self.number, ..Self::default() };
                return;
            }
            Ok(Ok((status, body))) if !status.is_success() => {
                Err(String::from_utf8_lossy(&body).into_owned())
            }
            Ok(Ok((_, body))) => Certificate::read(&body, key),
            Ok(Err(error)) => Err(error_chain(&error)),
            Err(_elapsed) => Err(format!("no answer within {} s", ASK_WAIT.as_secs())),
        };
        match answer {
            Ok(own) => {
                tracing::info!(
                    life_s = own.end.saturating_duration_since(Instant::now()).as_secs(),
                    "got a certificate of this node's own"
                );
                let number = self.number + 1;
                *self = Self { certificate: Some(own), number, ..Self::default() };
            }
            Err(text) => self.fail(text),
        }
    }

    /// Learns that no certificate could be had; told when it is news.
    pub(crate) fn fail(&mut self, text: String) {
        let last = self.failure.take();
        if last.as_ref().is_none_or(|last| last.text != text) {
            tracing::warn!(error = text, "no new certificate of this node's own; tried again");
        }
        let pause = last.map_or(RETRY_MIN, |last| (last.pause * 2).min(RETRY_MAX));
        self.failure = Some(Failure { text, pause, again: Instant::now() + pause });
    }

    /// What to prove ourselves with: our own certificate, or the `shared` one where none is needed.
    pub(crate) fn proof(&self, shared: Material) -> Result<Proof, CallError> {
        match &self.certificate {
            Some(own) if Instant::now() < own.end => Ok(Proof {
                material: shared.with(own.chain.clone(), own.key.clone_key()),
                number: self.number,
                end: Some(own.pause()),
            }),
            _ if self.unneeded => Ok(Proof { material: shared, number: 0, end: None }),
            Some(_) | None => {
                let text = self.failure.as_ref().map(|failure| failure.text.clone());
                Err(CallError::NoOwn(text.unwrap_or_else(|| "it has ended".to_owned())))
            }
        }
    }

    fn words(&self) -> String {
        let failing = self.failure.as_ref().map(|failure| failure.text.as_str());
        match (&self.certificate, failing) {
            (Some(_), None) => "this node's own".to_owned(),
            (Some(_), Some(why)) => format!("this node's own, which is not renewed: {why}"),
            (None, Some(why)) => format!("none of this node's own: {why}"),
            (None, None) if self.unneeded => {
                "as given: the server asks for none of this node's own".to_owned()
            }
            (None, None) => "none of this node's own yet".to_owned(),
        }
    }
}

impl Certificate {
    /// Until when connections that are made with it now are used again: until it is to be renewed, and
    /// where that failed, until shortly before the server ends them.
    fn pause(&self) -> Instant {
        if Instant::now() < self.renew {
            return self.renew;
        }
        self.end.checked_sub(MARGIN).unwrap_or(self.end)
    }

    fn read(body: &[u8], key: PrivateKeyDer<'static>) -> Result<Self, String> {
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|error| format!("the server's answer can't be read: {error}"))?;
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(answer.certificate.as_bytes()).collect();
        let chain = chain.map_err(|error| format!("the server's certificate: {error}"))?;
        if chain.is_empty() {
            return Err("the server's answer holds no certificate".to_owned());
        }
        let (now, life) = (Instant::now(), Duration::from_secs(answer.life_s));
        let end = now.checked_add(life).ok_or("the certificate's life can't be")?;
        Ok(Self { chain, key, got: now, renew: now + life / 2, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(held: &mut Held, status: StatusCode, body: &str) {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(vec![0]));
        let body = Bytes::from(body.to_owned());
        held.ask(key, async { Ok((status, body)) }).await;
    }

    #[tokio::test]
    async fn a_server_that_needs_none_is_asked_with_each_connection_and_another_after_a_pause() {
        let mut held = Held::default();
        assert!(held.is_due());
        answered(&mut held, StatusCode::NOT_FOUND, "").await;
        assert!(held.is_due() && held.words().contains("as given"), "{}", held.words());
        answered(&mut held, StatusCode::FORBIDDEN, "why not").await;
        assert!(!held.is_due());
        assert!(held.words().contains("why not"), "{}", held.words());
    }

    #[tokio::test]
    async fn pauses_between_failures_grow_to_a_minute() {
        let mut held = Held::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            held.fail("x".to_owned());
            pauses.push(held.failure.as_ref().unwrap().pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test]
    async fn answers_that_are_none_are_failures() {
        let long = r#"{"certificate":"","life_s":18446744073709551615}"#;
        for body in ["", "{}", r#"{"certificate":"","life_s":9}"#, long] {
            let mut held = Held::default();
            answered(&mut held, StatusCode::OK, body).await;
            assert!(held.certificate.is_none() && held.failure.is_some(), "{body}");
        }
    }
}
