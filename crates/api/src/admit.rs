//! Who may ask what, and how large a question may be.
//!
//! It fails closed: a request without a [`Peer`] comes from a listener that forgot to say who it is,
//! and is refused.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sekisho_model::ClusterName;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{Identity, Peer, Role, Service};

/// Largest request body, bytes: a batch of 8,192 halves with the longest names fits, and what the
/// server adds to a batch still fits in a frame of the store.
const BODY_BYTES_MAX: usize = 32 << 20;
/// Bytes of all bodies that are read or worked on at one time; who comes later waits.
const BODIES_KIB_MAX: usize = 256 << 10;
const KIB: usize = 1 << 10;
/// Longest time for a body to come in, its turn included.
const BODY_WAIT: Duration = Duration::from_secs(30);

static BODIES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(BODIES_KIB_MAX)));

/// Which agent a path is for.
#[derive(Debug, Deserialize)]
pub(crate) struct AgentPath {
    /// The cluster; the path of an agent of `default` names none.
    #[serde(default)]
    pub(crate) cluster: ClusterName,
    pub(crate) node: String,
}

/// Only the agent of the cluster and node in the path.
pub(crate) async fn agents(
    State(service): State<Arc<dyn Service>>,
    Path(path): Path<AgentPath>,
    request: Request,
    next: Next,
) -> Response {
    let shared = if service.proves_nodes(&path.cluster) { Shared::Asks } else { Shared::Speaks };
    pass(request, next, |peer| may_speak_for(peer, &path, shared)).await
}

/// Only who may ask for a certificate of the node in the path: an agent of its cluster.
pub(crate) async fn nodes(Path(path): Path<AgentPath>, request: Request, next: Next) -> Response {
    pass(request, next, |peer| may_speak_for(peer, &path, Shared::Speaks)).await
}

/// What a certificate opens that all agents of a cluster share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    /// It speaks for each of their nodes.
    Speaks,
    /// Nothing but the question for a certificate of one node.
    Asks,
}

/// Only people, and programs in their name.
pub(crate) async fn operators(request: Request, next: Next) -> Response {
    pass(request, next, may_order).await
}

/// Only who reads metrics.
pub(crate) async fn monitors(request: Request, next: Next) -> Response {
    pass(request, next, may_monitor).await
}

async fn pass(
    request: Request,
    next: Next,
    may: impl FnOnce(&Peer) -> Result<(), String>,
) -> Response {
    let allowed = match request.extensions().get::<Peer>() {
        Some(peer) => may(peer),
        None => Err("the listener did not say who asks".to_owned()),
    };
    match allowed {
        Ok(()) => read(request, next).await,
        Err(why) => (StatusCode::FORBIDDEN, why).into_response(),
    }
}

/// Reads the body whole, within the bounds, before anything works on it.
async fn read(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let declared = parts.headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    // What does not say its length may be as long as the bound.
    let most = match declared {
        Some(length) => length,
        None if parts.headers.contains_key(header::TRANSFER_ENCODING) => BODY_BYTES_MAX,
        None => 0,
    };
    if most > BODY_BYTES_MAX {
        return too_large();
    }
    let kib = u32::try_from(most.div_ceil(KIB)).unwrap_or(u32::MAX);
    let reading = async {
        let turn = Arc::clone(&BODIES).acquire_many_owned(kib).await;
        (turn, axum::body::to_bytes(body, BODY_BYTES_MAX).await)
    };
    match tokio::time::timeout(BODY_WAIT, reading).await {
        Ok((_turn, Ok(bytes))) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok((_turn, Err(_broken))) => too_large(),
        Err(_elapsed) => {
            let text = format!("the body did not come within {} s", BODY_WAIT.as_secs());
            (StatusCode::REQUEST_TIMEOUT, text).into_response()
        }
    }
}

fn too_large() -> Response {
    let text = format!("the body is longer than {BODY_BYTES_MAX} bytes, or broke off");
    (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
}

/// Whether `peer` may report as the agent of `path` and take its orders.
fn may_speak_for(peer: &Peer, path: &AgentPath, shared: Shared) -> Result<(), String> {
    let (identity, home) = match peer {
        Peer::Local => return Ok(()),
        Peer::Certified { identity, home } => (identity, home),
        Peer::Nameless(why) => return Err(why.clone()),
    };
    let node = path.node.as_str();
    match &identity.role {
        Role::Agent(_) => at_own_cluster(identity, home, &path.cluster)?,
        Role::Operator(_) | Role::Viewer(_) | Role::Monitor | Role::Server => {}
    }
    match &identity.role {
        Role::Agent(None) if shared == Shared::Speaks => Ok(()),
        Role::Agent(None) => Err(format!(
            "`{identity}` is the certificate that all agents share, and here each proves its node: \
             give the agent on `{}` its service account token (--token)",
            sekisho_base::harmless(node)
        )),
        Role::Agent(Some(own)) if own == node => Ok(()),
        Role::Agent(Some(own)) => Err(format!(
            "the certificate is of the agent on `{own}`, which can't speak for `{}`: give that node \
             a certificate of its own, or start the agent with --node {own}",
            sekisho_base::harmless(node)
        )),
        Role::Operator(_) | Role::Viewer(_) | Role::Monitor | Role::Server => Err(format!(
            "`{identity}` is no agent: only an agent's certificate may report and take orders"
        )),
    }
}

/// Whether `peer` may ask and order as people do.
fn may_order(peer: &Peer) -> Result<(), String> {
    let identity = match peer {
        Peer::Local => return Ok(()),
        Peer::Certified { identity, home } => at_home(identity, home)?,
        Peer::Nameless(why) => return Err(why.clone()),
    };
    match &identity.role {
        Role::Operator(_) => Ok(()),
        Role::Agent(_) | Role::Viewer(_) | Role::Monitor | Role::Server => Err(format!(
            "`{identity}` is no operator: use an operator's certificate (--tls-cert, --tls-key)"
        )),
    }
}

/// Whether `peer` may read the metrics.
fn may_monitor(peer: &Peer) -> Result<(), String> {
    match peer {
        Peer::Certified { identity, home } if identity.role == Role::Monitor => {
            at_home(identity, home).map(|_identity| ())
        }
        Peer::Local | Peer::Certified { .. } | Peer::Nameless(_) => may_order(peer),
    }
}

/// Whether `peer` may look at flows.
pub(crate) fn may_view(peer: &Peer) -> Result<(), String> {
    match peer {
        Peer::Certified { identity, home } if matches!(identity.role, Role::Viewer(_)) => {
            at_home(identity, home).map(|_identity| ())
        }
        Peer::Local | Peer::Certified { .. } | Peer::Nameless(_) => may_order(peer),
    }
}

/// An agent speaks for the cluster that its certificate names; where the server is at home, that is
/// also the cluster without a name.
fn at_own_cluster(identity: &Identity, home: &str, cluster: &ClusterName) -> Result<(), String> {
    if identity.cluster == cluster.as_str() {
        return Ok(());
    }
    if cluster.is_default() {
        return at_home(identity, home)
            .map(|_identity| ())
            .map_err(|why| format!("{why}: start the agent with --cluster {}", identity.cluster));
    }
    Err(format!(
        "the certificate is of an agent of the cluster `{}`, which can't speak for `{cluster}`: give \
         the agents there certificates of their own (`sekisho certificates add DIR agent --cluster \
         {cluster}`)",
        identity.cluster
    ))
}

/// One authority may sign for several clusters: each server is for its own.
fn at_home<'a>(identity: &'a Identity, home: &str) -> Result<&'a Identity, String> {
    if identity.cluster == home {
        Ok(identity)
    } else {
        Err(format!("`{identity}` is of another cluster than this server, which is of `{home}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uri: &str) -> Peer {
        Peer::Certified { identity: uri.parse().unwrap(), home: "a".to_owned() }
    }

    fn path(cluster: &str) -> AgentPath {
        AgentPath { cluster: cluster.parse().unwrap(), node: "node-1".to_owned() }
    }

    #[test]
    fn an_agent_speaks_for_the_cluster_in_its_certificate_and_for_no_other() {
        // For the clusters default, b and c of a server at home in `a`.
        let cases = [
            (Peer::Local, [true, true, true]),
            (peer("spiffe://a/agent"), [true, false, false]),
            (peer("spiffe://b/agent"), [false, true, false]),
            (peer("spiffe://b/agent/node-1"), [false, true, false]),
            (peer("spiffe://b/agent/node-2"), [false, false, false]),
            (peer("spiffe://default/agent"), [true, false, false]),
            (peer("spiffe://b/operator/ann"), [false, false, false]),
        ];
        for (peer, expected) in cases {
            let may = |cluster| may_speak_for(&peer, &path(cluster), Shared::Speaks).is_ok();
            assert_eq!(["default", "b", "c"].map(may), expected, "{peer:?}");
        }
        let refused = |cluster| {
            let peer = peer("spiffe://b/agent");
            may_speak_for(&peer, &path(cluster), Shared::Speaks).unwrap_err()
        };
        let words = refused("c");
        assert!(words.contains("`b`") && words.contains("--cluster c"), "{words}");
        let words = refused("default");
        assert!(words.contains("--cluster b"), "{words}");
    }

    #[test]
    fn where_nodes_are_proved_the_shared_certificate_speaks_for_none() {
        let may = |uri, shared| may_speak_for(&peer(uri), &path("default"), shared);
        assert!(may("spiffe://a/agent", Shared::Speaks).is_ok());
        let words = may("spiffe://a/agent", Shared::Asks).unwrap_err();
        assert!(words.contains("all agents share") && words.contains("`node-1`"), "{words}");
        assert!(may("spiffe://a/agent/node-1", Shared::Asks).is_ok());
        assert!(may("spiffe://a/agent/node-2", Shared::Asks).is_err());
        assert!(may_speak_for(&Peer::Local, &path("default"), Shared::Asks).is_ok());
    }

    #[test]
    fn each_role_may_do_its_own_and_nothing_else() {
        // For node-1, as an operator, as a monitor, as a viewer.
        let cases = [
            (Peer::Local, [true, true, true, true]),
            (peer("spiffe://a/agent"), [true, false, false, false]),
            (peer("spiffe://a/agent/node-1"), [true, false, false, false]),
            (peer("spiffe://a/agent/node-10"), [false, false, false, false]),
            (peer("spiffe://a/operator/ann"), [false, true, true, true]),
            (peer("spiffe://a/monitor"), [false, false, true, false]),
            (peer("spiffe://a/viewer/ui"), [false, false, false, true]),
            (peer("spiffe://b/viewer/ui"), [false, false, false, false]),
            (peer("spiffe://a/server"), [false, false, false, false]),
            (peer("spiffe://b/agent"), [false, false, false, false]),
            (peer("spiffe://b/operator/ann"), [false, false, false, false]),
            (peer("spiffe://b/monitor"), [false, false, false, false]),
            (Peer::Nameless("why".to_owned()), [false, false, false, false]),
        ];
        for (peer, expected) in cases {
            let found = [
                may_speak_for(&peer, &path("default"), Shared::Speaks).is_ok(),
                may_order(&peer).is_ok(),
                may_monitor(&peer).is_ok(),
                may_view(&peer).is_ok(),
            ];
            assert_eq!(found, expected, "{peer:?}");
        }
    }
}
