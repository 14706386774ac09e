//! Certificates of single nodes: who gets one, what it opens, and that it is had again in time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sekisho_api::{CallError, Client};

use crate::memory::batch;
use crate::tls::{Certificates, Served, forbidden};

const LONG_S: u64 = 86_400;

impl Served {
    /// One that asks agents to prove their nodes; token `of-X` is of node X.
    async fn proving(life_s: u64) -> Self {
        let served = Self::start_with("127.0.0.1:0", Certificates::new(), life_s).await;
        served.know();
        served
    }

    fn know(&self) {
        let token = |node: &str| (format!("of-{node}"), node.to_owned());
        let tokens = BTreeMap::from(["node-1", "node-2"].map(token));
        *self.service.tokens.lock().unwrap() = Some(tokens);
    }

    fn attested(&self) -> usize {
        self.service.attested.load(Ordering::Relaxed)
    }

    fn token(&self, token: &str) -> PathBuf {
        let file = self.certificates.path(token);
        std::fs::write(&file, format!("{token}\n")).unwrap();
        file
    }

    /// An agent on `node` with the shared certificate and that token.
    fn agent(&self, node: &str, token: &str) -> Client {
        self.as_("spiffe://a/agent").proving_node(node, &self.token(token))
    }
}

#[tokio::test]
async fn a_nodes_own_certificate_speaks_for_that_node_and_the_shared_one_for_none() {
    let served = Served::proving(LONG_S).await;
    let agent = served.agent("node-1", "of-node-1");
    agent.send_batch(&batch("node-1", 1)).await.unwrap();
    agent.report("node-1", &Default::default()).await.unwrap();
    assert_eq!(agent.order("node-1", 0).await.unwrap(), None);
    assert_eq!(served.attested(), 1, "one certificate for all connections");
    assert_eq!(agent.certificate_words().unwrap(), "this node's own");
    for refused in [
        forbidden(agent.send_batch(&batch("node-2", 1)).await),
        forbidden(agent.order("node-2", 0).await),
        forbidden(agent.report("node-2", &Default::default()).await),
    ] {
        assert!(refused.contains("`node-1`") && refused.contains("`node-2`"), "{refused}");
    }
    let shared = served.as_("spiffe://a/agent");
    for node in ["node-1", "node-2"] {
        let refused = forbidden(shared.send_batch(&batch(node, 1)).await);
        assert!(refused.contains("all agents share") && refused.contains("--token"), "{refused}");
    }
    assert_eq!(served.service.batches.lock().unwrap().len(), 1);
    served.agent("node-2", "of-node-2").send_batch(&batch("node-2", 1)).await.unwrap();
    // Plain hosts have no token: the authority's own certificates go on.
    served.as_("spiffe://a/agent/host-1").send_batch(&batch("host-1", 1)).await.unwrap();
}

#[tokio::test]
async fn a_token_of_another_node_or_none_gets_nothing_until_there_is_a_good_one() {
    let served = Served::proving(LONG_S).await;
    let agent = served.agent("node-2", "of-node-1");
    let error = agent.send_batch(&batch("node-2", 1)).await.unwrap_err();
    assert!(matches!(error, CallError::NoOwn(_)) && error.is_temporary(), "{error:?}");
    assert!(error.to_string().contains("the token is of `node-1`"), "{error}");
    assert!(agent.certificate_words().unwrap().contains("the token is of `node-1`"));
    // It pauses: the server and the API server behind it are not asked with each call.
    agent.send_batch(&batch("node-2", 1)).await.unwrap_err();
    assert_eq!(served.attested(), 1);
    std::fs::write(served.certificates.path("of-node-1"), "of-node-2").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    agent.send_batch(&batch("node-2", 1)).await.unwrap();

    let nowhere = served.as_("spiffe://a/agent");
    let nowhere = nowhere.proving_node("node-1", &served.certificates.path("nowhere"));
    let error = nowhere.order("node-1", 0).await.unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let unnamed = served.agent("../node-1", "of-node-1").order("../node-1", 0).await.unwrap_err();
    assert!(unnamed.to_string().contains("no name of a node"), "{unnamed}");
}

#[tokio::test]
async fn only_agents_ask_and_one_with_a_node_in_its_certificate_for_that_node_only() {
    let served = Served::proving(LONG_S).await;
    for (uri, node, may) in [
        ("spiffe://a/agent/node-1", "node-1", true),
        ("spiffe://a/agent/node-1", "node-2", false),
        ("spiffe://a/operator/ann", "node-1", false),
        ("spiffe://a/monitor", "node-1", false),
        ("spiffe://b/agent", "node-1", false),
    ] {
        let token = served.token(&format!("of-{node}"));
        let agent = served.as_(uri).proving_node(node, &token);
        let asked = agent.order(node, 0).await;
        assert_eq!(asked.is_ok(), may, "{uri} for {node}: {asked:?}");
    }
    assert_eq!(served.attested(), 1, "who may not ask has no token looked at");
}

#[tokio::test]
async fn a_certificate_is_renewed_while_it_is_good_and_nothing_is_refused_meanwhile() {
    let served = Served::proving(4).await;
    let agent = served.agent("node-1", "of-node-1").keep_alive();
    let end = Instant::now() + Duration::from_secs(9);
    let mut sequence = 0;
    while Instant::now() < end {
        sequence += 1;
        agent.send_batch(&batch("node-1", sequence)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A connection ends with the certificate, and the next one is made with a new one.
    assert!((3..=5).contains(&served.attested()), "{}", served.attested());
    // What can't be renewed is used to its end, and not longer.
    *served.service.tokens.lock().unwrap() = Some(BTreeMap::new());
    let end = Instant::now() + Duration::from_secs(12);
    let refused = loop {
        match agent.send_batch(&batch("node-1", 1)).await {
            Ok(_) => assert!(Instant::now() < end, "its certificate has ended"),
            Err(error) => break error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(refused.contains("no such token"), "{refused}");
}

#[tokio::test]
async fn a_server_that_was_started_again_believes_no_old_certificate_and_gives_new_ones() {
    let mut served = Served::proving(LONG_S).await;
    let agent = served.agent("node-1", "of-node-1").keep_alive();
    agent.send_batch(&batch("node-1", 1)).await.unwrap();
    // As if the one that is to be forgotten had been used for a while.
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    served.stop.take().unwrap().send(()).unwrap();
    (&mut served.task).await.unwrap();
    assert!(agent.send_batch(&batch("node-1", 2)).await.unwrap_err().is_temporary());
    let place = served.address.to_string();
    let again = Served::start_with(&place, served.certificates, LONG_S).await;
    again.know();
    agent.send_batch(&batch("node-1", 2)).await.unwrap();
    assert_eq!(again.attested(), 1);
}

#[tokio::test]
async fn a_server_that_asks_for_no_proof_is_told_the_shared_certificate() {
    let served = Served::start().await;
    let agent = served.agent("node-1", "of-node-1");
    agent.send_batch(&batch("node-1", 1)).await.unwrap();
    assert!(agent.certificate_words().unwrap().contains("as given"));
    assert_eq!(served.attested(), 0);
    // From now on it asks.
    served.know();
    agent.send_batch(&batch("node-1", 2)).await.unwrap();
    assert_eq!(served.attested(), 1);
}
