//! Calls, refusals and bad input.

use std::time::{Duration, Instant};

use sekisho_api::{AgentReport, CallError, RollbackRequest};

use crate::memory::{Server, batch, order, raw};

const SHORT: Duration = Duration::from_millis(150);

fn status_of(error: &CallError) -> u16 {
    match error {
        CallError::Refused { status, .. } => *status,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_batch_arrives_as_it_was_sent_and_is_acknowledged_by_its_sequence() {
    let server = Server::start(SHORT);
    let sent = batch("node-1", 7);
    assert_eq!(server.client.send_batch(&sent).await.unwrap().sequence, 7);
    let (service, _) = server.stop().await;
    let taken = service.batches.lock().unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!((&taken[0].0, &taken[0].1), (&sent, &postcard::to_stdvec(&sent).unwrap()));
}

#[tokio::test]
async fn a_batch_says_of_which_cluster_its_agent_is_and_none_means_the_default() {
    let server = Server::start(SHORT);
    let east = server.client.clone().in_cluster("east".parse().unwrap());
    east.send_batch(&batch("node-1", 1)).await.unwrap();
    server.client.send_batch(&batch("node-1", 1)).await.unwrap();
    for wrong in ["East", "a.b", "-"] {
        let head = format!("POST /v1/clusters/{wrong}/agents/node-1/batches");
        let body = postcard::to_stdvec(&batch("node-1", 2)).unwrap();
        let answer = raw(&server.socket, &head, &body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("no name of a cluster"), "{answer}");
    }
    let (service, _) = server.stop().await;
    let clusters = service.clusters.lock().unwrap();
    let clusters: Vec<&str> = clusters.iter().map(|cluster| cluster.as_str()).collect();
    assert_eq!(clusters, ["east", "default"]);
}

#[tokio::test]
async fn a_server_that_cannot_store_says_503_and_asks_to_send_again() {
    let server = Server::start(SHORT);
    *server.service.full.lock().unwrap() = "no space left".to_owned();
    let error = server.client.send_batch(&batch("node-1", 1)).await.unwrap_err();
    assert_eq!((status_of(&error), error.is_temporary()), (503, true));
    assert_eq!(error.to_string(), "no space left");
    server.service.full.lock().unwrap().clear();
    server.client.send_batch(&batch("node-1", 1)).await.unwrap();
}

#[tokio::test]
async fn a_question_for_an_order_hangs_until_there_is_one() {
    let server = Server::start(Duration::from_secs(20));
    let client = server.client.clone();
    let asked = tokio::spawn(async move { client.order("node-1", 4).await });
    tokio::time::sleep(SHORT).await;
    assert!(!asked.is_finished());
    server.service.orders.lock().unwrap().insert("node-1".to_owned(), order(5));
    assert_eq!(asked.await.unwrap().unwrap().map(|order| order.generation), Some(5));
}

#[tokio::test]
async fn without_an_order_the_answer_is_none_after_the_wait_and_not_before() {
    let server = Server::start(SHORT);
    server.service.orders.lock().unwrap().insert("node-1".to_owned(), order(5));
    let began = Instant::now();
    assert_eq!(server.client.order("node-1", 5).await.unwrap(), None);
    assert!(began.elapsed() >= SHORT);
    assert!(server.client.order("node-1", 4).await.unwrap().is_some());
    let answer = raw(&server.socket, "GET /v1/agents/node-1/order?after=5", &[]).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

#[tokio::test]
async fn bad_requests_are_4xx_with_a_reason_and_the_server_lives_on() {
    let server = Server::start(SHORT);
    let foreign = postcard::to_stdvec(&batch("node-2", 1)).unwrap();
    let cases: [(&str, &[u8], &str, &str); 9] = [
        ("POST /v1/agents/node-1/batches", b"garbage", "400", "unreadable body"),
        ("POST /v1/agents/node-1/batches", b"", "400", "unreadable body"),
        ("POST /v1/agents/node-1/batches", &foreign, "400", "`node-2` sent as `node-1`"),
        ("GET /v1/agents/node-1/batches", b"", "405", ""),
        ("GET /v1/agents/node-1/order?after=x", b"", "400", "after"),
        ("GET /v1/agents/node-1/order", b"", "400", "after"),
        ("POST /v1/apply", b"{\"files\": 3}", "400", "unreadable body"),
        ("POST /v1/snapshot", b"\xff", "400", "unreadable body"),
        ("GET /v1/nothing", b"", "404", ""),
    ];
    for (head, body, status, words) in cases {
        let answer = raw(&server.socket, head, body).await;
        let first = answer.lines().next().unwrap_or_default();
        assert!(first.contains(status) && answer.contains(words), "{head}: {answer}");
    }
    server.client.send_batch(&batch("node-1", 1)).await.unwrap();
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_413_and_one_below_is_read() {
    let server = Server::start(SHORT);
    let head = "POST /v1/agents/node-1/batches";
    let answer = raw(&server.socket, head, &vec![0xff; (32 << 20) + 1]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = raw(&server.socket, head, &vec![0xff; 32 << 20]).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    server.client.send_batch(&batch("node-1", 1)).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_the_service_is_500_and_the_next_call_works() {
    let server = Server::start(SHORT);
    let error = server.client.send_batch(&batch("panics", 1)).await.unwrap_err();
    assert_eq!((status_of(&error), error.is_temporary()), (500, true));
    server.client.send_batch(&batch("node-1", 1)).await.unwrap();
}

#[tokio::test]
async fn refusals_keep_their_words_and_their_kind() {
    let server = Server::start(SHORT);
    let request = RollbackRequest {
        cluster: None,
        revision: Some(9),
        repair: false,
        operator: "me".to_owned(),
    };
    let error = server.client.rollback(&request).await.unwrap_err();
    assert_eq!((status_of(&error), error.to_string().as_str()), (404, "no such revision"));
    assert!(!error.is_temporary());
    let report = AgentReport { version: "9".to_owned(), ..AgentReport::default() };
    server.client.report("node-1", &report).await.unwrap();
    assert_eq!(*server.service.reports.lock().unwrap(), [("node-1".to_owned(), report)]);
    assert_eq!(server.client.metrics().await.unwrap(), "sekisho_flows_total 3\n");
    assert_eq!(server.client.status().await.unwrap().flows, 3);
}

#[tokio::test]
async fn a_page_of_flows_is_bounded_whatever_is_asked() {
    let server = Server::start(SHORT);
    server.client.flows(None, 5, 1_000_000_000).await.unwrap();
    assert_eq!(*server.service.asked.lock().unwrap(), 10_000);
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_an_orderly_end() {
    let server = Server::start(SHORT);
    *server.service.slow.lock().unwrap() = Duration::from_millis(400);
    let client = server.client.clone();
    let sent = tokio::spawn(async move { client.send_batch(&batch("node-1", 1)).await });
    tokio::time::sleep(SHORT).await;
    let (service, socket) = server.stop().await;
    assert_eq!(sent.await.unwrap().unwrap().sequence, 1);
    assert_eq!(service.batches.lock().unwrap().len(), 1);
    assert!(!socket.exists());
}
