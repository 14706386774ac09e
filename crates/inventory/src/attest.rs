//! Which node a service account token is of, by the word of the cluster's API server.
//!
//! A token that the kubelet puts into a pod (a projected volume) is bound to that pod; the API server
//! writes the pod's node into it (Kubernetes v1.30, KEP-4193) and tells both when it is asked for a
//! review. So a node that was taken over has tokens of its own pods only, and can't be another node.
//!
//! Fails closed: what the API server does not say is not believed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};
use sekisho_base::harmless;
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::Semaphore;

use crate::watch::{Cluster, ConnectError, client};

/// For whom the tokens are: the API server itself takes none that is for us.
pub const AUDIENCE: &str = "sekisho";
/// Longest answer of the API server.
const REVIEW_WAIT: Duration = Duration::from_secs(10);
/// Tokens that are reviewed at one time; who comes later waits, but not longer than for an answer.
const REVIEWS_MAX: usize = 8;
/// Keys of what a review tells besides the name (Kubernetes v1.30, serviceaccount.UserInfo).
const NODE: &str = "authentication.kubernetes.io/node-name";
const POD: &str = "authentication.kubernetes.io/pod-name";

/// A service account, `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Account {
    namespace: String,
    name: String,
}

/// A text is no service account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no service account: NAMESPACE/NAME")]
pub struct AccountError(String);

/// Asks an API server whose tokens it made.
#[derive(Clone)]
pub struct Attestor {
    api: Api<TokenReview>,
    account: Account,
    turns: std::sync::Arc<Semaphore>,
}

/// A pod that a token was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// Its name.
    pub pod: String,
}

/// A token proves nothing, or nobody can tell.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// It is none of this cluster's, or not good any more.
    #[error("the API server does not take the token: {0}")]
    Refused(String),
    /// It is for somebody else.
    #[error("the token is for {found}, and not for `{AUDIENCE}`")]
    Audience {
        /// For whom.
        found: String,
    },
    /// It is of another account.
    #[error("the token is of `{found}`, and agents here are `{wanted}`")]
    Account {
        /// Whose it is.
        found: String,
        /// Whose it must be.
        wanted: Account,
    },
    /// It names no pod and node.
    #[error(
        "the token names no pod and node: it must be one that a kubelet put into a pod, and the API \
         server one of Kubernetes 1.30 or newer"
    )]
    Unbound,
    /// It is of another node.
    #[error("the token is of the pod `{pod}` on `{found}`, which can't speak for `{asked}`")]
    Node {
        /// The pod.
        pod: String,
        /// Its node.
        found: String,
        /// The node that was asked for.
        asked: String,
    },
    /// We may not ask.
    #[error(
        "the server may not create `tokenreviews.authentication.k8s.io`: give its account that right \
         (docs/install.md)"
    )]
    Forbidden,
    /// The API server does not answer.
    #[error("ask the API server about a token")]
    Failed(#[source] Box<kube::Error>),
    /// Nor in time.
    #[error("the API server said nothing about a token within {} s", REVIEW_WAIT.as_secs())]
    Late,
}

impl AttestError {
    /// Whether asking again with the same token may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Forbidden | Self::Failed(_) | Self::Late => true,
            Self::Refused(_)
            | Self::Audience { .. }
            | Self::Account { .. }
            | Self::Unbound
            | Self::Node { .. } => false,
        }
    }
}

impl Attestor {
    /// Prepares to ask the API server of `cluster` about agents, whose service account is `account`.
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(cluster: &Cluster, account: Account) -> Result<Self, ConnectError> {
        let (client, _server) = client(cluster).await?;
        let turns = std::sync::Arc::new(Semaphore::new(REVIEWS_MAX));
        Ok(Self { api: Api::all(client), account, turns })
    }

    /// Asks whether `token` is of our account and of a pod on `node`.
    ///
    /// # Errors
    /// [`AttestError`].
    pub async fn attest(&self, token: &str, node: &str) -> Result<Attested, AttestError> {
        let audiences = Some(vec![AUDIENCE.to_owned()]);
        let spec = TokenReviewSpec { audiences, token: token.to_owned() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let asking = async {
            // Nobody closes it; without a turn it would be asked all the same.
            let _turn = self.turns.acquire().await.ok();
            self.api.create(&PostParams::default(), &review).await
        };
        let answer = match tokio::time::timeout(REVIEW_WAIT, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                return Err(AttestError::Forbidden);
            }
            Ok(Err(error)) => return Err(AttestError::Failed(Box::new(error))),
            Err(_elapsed) => return Err(AttestError::Late),
        };
        judge(answer.status.unwrap_or_default(), &self.account, node)
    }
}

/// What a review says of a token that shall be of `account` and of a pod on `node`.
fn judge(
    status: TokenReviewStatus,
    account: &Account,
    node: &str,
) -> Result<Attested, AttestError> {
    if status.authenticated != Some(true) {
        let why = status.error.unwrap_or_else(|| "it is none of this cluster's".to_owned());
        return Err(AttestError::Refused(harmless(&why)));
    }
    // An API server that knows no audiences answers for its own (TokenReviewStatus.audiences).
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|audience| audience == AUDIENCE) {
        let named: Vec<String> =
            audiences.iter().map(|one| format!("`{}`", harmless(one))).collect();
        let found = if named.is_empty() { "the API server".to_owned() } else { named.join(", ") };
        return Err(AttestError::Audience { found });
    }
    let user = status.user.unwrap_or_default();
    let found = user.username.unwrap_or_default();
    if found != account.user() {
        return Err(AttestError::Account { found: harmless(&found), wanted: account.clone() });
    }
    let extra = user.extra.unwrap_or_default();
    let (Some(pod), Some(found)) = (only(&extra, POD), only(&extra, NODE)) else {
        return Err(AttestError::Unbound);
    };
    if found != node {
        let (pod, found, asked) = (harmless(pod), harmless(found), harmless(node));
        return Err(AttestError::Node { pod, found, asked });
    }
    Ok(Attested { pod: pod.to_owned() })
}

/// The one value under `key`.
fn only<'a>(extra: &'a BTreeMap<String, Vec<String>>, key: &str) -> Option<&'a str> {
    match extra.get(key)?.as_slice() {
        [one] if !one.is_empty() => Some(one),
        _ => None,
    }
}

impl Account {
    /// Its name as a user (Kubernetes, serviceaccount.MakeUsername).
    fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl FromStr for Account {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        // Names of Kubernetes objects hold neither; a colon would be another user.
        let is_name = |part: &str| {
            let plain = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
            };
            (1..=253).contains(&part.len()) && part.bytes().all(plain)
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => Err(AccountError(harmless(text))),
        }
    }
}

impl TryFrom<String> for Account {
    type Error = AccountError;

    fn try_from(text: String) -> Result<Self, AccountError> {
        text.parse()
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What Kubernetes 1.37 answers about the token of an agent on node-1.
    fn good() -> Value {
        json!({
            "authenticated": true,
            "audiences": ["sekisho"],
            "user": {
                "username": "system:serviceaccount:sekisho:sekisho-agent",
                "uid": "0b6c8d2e-0000-4000-8000-000000000000",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "extra": {
                    "authentication.kubernetes.io/credential-id": ["JTI=7"],
                    "authentication.kubernetes.io/node-name": ["node-1"],
                    "authentication.kubernetes.io/node-uid": ["n"],
                    "authentication.kubernetes.io/pod-name": ["sekisho-agent-x"],
                    "authentication.kubernetes.io/pod-uid": ["p"],
                },
            },
        })
    }

    fn judged(status: Value, node: &str) -> Result<Attested, AttestError> {
        let account = "sekisho/sekisho-agent".parse().unwrap();
        judge(serde_json::from_value(status).unwrap(), &account, node)
    }

    #[test]
    fn a_token_of_an_agents_pod_proves_its_node_and_no_other() {
        assert_eq!(judged(good(), "node-1").unwrap().pod, "sekisho-agent-x");
        let error = judged(good(), "node-2").unwrap_err();
        assert!(matches!(error, AttestError::Node { .. }) && !error.is_temporary());
        let text = error.to_string();
        assert!(text.contains("`node-1`") && text.contains("`node-2`"), "{text}");
    }

    #[test]
    fn whatever_a_review_lacks_or_says_otherwise_proves_nothing() {
        let node = "/user/extra/authentication.kubernetes.io~1node-name";
        let pod = "/user/extra/authentication.kubernetes.io~1pod-name";
        for (place, value, words) in [
            ("/authenticated", json!(false), "none of this cluster"),
            ("/authenticated", Value::Null, "does not take"),
            ("/audiences", json!(["https://kubernetes.default.svc"]), "is for `https://"),
            ("/audiences", json!([]), "is for the API server"),
            ("/audiences", json!(["sekisho2", "Sekisho"]), "not for `sekisho`"),
            ("/user/username", json!("system:serviceaccount:shop:sekisho-agent"), "`system:"),
            ("/user/username", json!("system:serviceaccount:sekisho:default"), "agents here are"),
            ("/user/username", json!("system:node:node-1"), "agents here are"),
            ("/user/username", json!(""), "agents here are"),
            ("/user", json!({}), "agents here are"),
            ("/user/extra", Value::Null, "names no pod and node"),
            (node, json!([]), "names no pod and node"),
            (node, json!(["node-1", "node-2"]), "names no pod and node"),
            (node, json!([""]), "names no pod and node"),
            (pod, json!([]), "names no pod and node"),
        ] {
            let mut status = good();
            *status.pointer_mut(place).unwrap() = value;
            let text = judged(status, "node-1").unwrap_err().to_string();
            assert!(text.contains(words), "{place}: {text}");
        }
        let ended = json!({"error": "[invalid bearer token, token has expired]"});
        let text = judged(ended, "node-1").unwrap_err().to_string();
        assert!(text.contains("token has expired"), "{text}");
    }

    #[test]
    fn an_account_is_a_namespace_and_a_name() {
        let account: Account = "sekisho/sekisho-agent".parse().unwrap();
        assert_eq!(account.to_string(), "sekisho/sekisho-agent");
        assert_eq!(account.user(), "system:serviceaccount:sekisho:sekisho-agent");
        for text in ["", "x", "/x", "x/", "a/b/c", "a:b/c", "a/b c", "A/b"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }
}
