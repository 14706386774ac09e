//! Flows on their way out, to real sockets: given at least once, whatever happens in between.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho_model::Half;
use sekisho_system::wait;
use serde_json::Value;

use super::halves::Pair;
use super::served::Served;
use super::sources::denial;

const WAIT: Duration = Duration::from_secs(60);

/// A POST as it came.
#[derive(Clone, Debug)]
struct Post {
    headers: BTreeMap<String, String>,
    body: String,
}

/// A receiver of POSTs that answers with the status it is told to.
struct Hook {
    url: String,
    status: Arc<AtomicU16>,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Hook {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (status, posts) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(Vec::new())));
        let (answer, taken) = (Arc::clone(&status), Arc::clone(&posts));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(post) = read(&mut BufReader::new(stream.try_clone().unwrap())) else {
                    continue;
                };
                let status = answer.load(Ordering::Relaxed);
                taken.lock().unwrap().push(post);
                let head = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
                );
                // Who asked may have gone.
                stream.write_all(format!("{head}no\n").as_bytes()).ok();
            }
        });
        Self { url, status, posts }
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// Connections in the records of batches, each batch once.
    fn connections(&self) -> u64 {
        let batches: BTreeMap<String, String> = self
            .posts()
            .into_iter()
            .map(|post| (post.headers["x-sekisho-batch"].clone(), post.body))
            .collect();
        batches.values().flat_map(|body| body.lines()).map(connections).sum()
    }
}

fn connections(line: &str) -> u64 {
    let record: Value = serde_json::from_str(line).unwrap();
    record["connections"].as_u64().unwrap()
}

fn read(stream: &mut impl BufRead) -> Option<Post> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    while stream.read_line(&mut line).ok()? > 2 {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        line.clear();
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some(Post { headers, body: String::from_utf8(body).unwrap() })
}

fn served(sinks: &[String]) -> Served {
    Served::start(&format!("sinks = [{}]", sinks.join(", ")))
}

fn sink(name: &str, url: &str, more: &str) -> String {
    format!("{{ name = '{name}', url = '{url}', interval_s = 1, {more} }}")
}

fn send(served: &Served, pair: &mut Pair, count: u64) {
    for batch in pair.batches(count) {
        served.send(&batch).unwrap();
    }
}

#[test]
fn every_connection_reaches_a_webhook_once_signed_and_a_refused_batch_comes_again() {
    let hook = Hook::new();
    hook.status.store(503, Ordering::Relaxed);
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, "open sesame\n").unwrap();
    let more = format!("format = 'jsonl', secret_file = {secret:?}");
    let served = served(&[sink("hook", &hook.url, &more)]);
    send(&served, &mut Pair::new(), 80);
    let status = served.await_status(|status| !status.sinks[0].error.is_empty());
    assert!(status.sinks[0].error.contains("it answered 503: no"), "{status:#?}");
    assert!(status.problems.iter().any(|text| text.contains("sink `hook` (http://127.0.0.1:")));
    assert!(!format!("{status:?}").contains("/hook"), "a path may be a secret");
    hook.status.store(204, Ordering::Relaxed);
    wait::until(WAIT, || (hook.connections() == 80).then_some(())).expect("all arrive");
    let status = served.await_status(|status| status.sinks[0].waiting == 0);
    assert_eq!((status.sinks[0].lost, status.sinks[0].error.as_str()), (0, ""));
    let posts = hook.posts();
    let numbers: Vec<&String> = posts.iter().map(|post| &post.headers["x-sekisho-batch"]).collect();
    assert_eq!(numbers[0], numbers[1], "the same batch was tried again: {numbers:?}");
    for post in &posts {
        assert!(post.headers["x-sekisho-signature"].starts_with("sha256="));
        assert_eq!(post.headers["content-type"], "application/x-ndjson");
    }
    assert!(!served.log().contains("sesame"));
}

#[test]
fn what_a_killed_server_had_queued_or_only_recorded_arrives_after_its_next_start() {
    let hook = Hook::new();
    hook.status.store(500, Ordering::Relaxed);
    let mut served = served(&[sink("hook", &hook.url, "format = 'jsonl'")]);
    let mut pair = Pair::new();
    send(&served, &mut pair, 40);
    served.await_status(|status| status.sinks[0].waiting > 0);
    send(&served, &mut pair, 40);
    served.kill();
    hook.status.store(200, Ordering::Relaxed);
    served.up();
    let arrived = || (hook.connections() >= 80).then_some(());
    wait::until(WAIT, arrived).unwrap_or_else(|| panic!("{} of 80", hook.connections()));
}

#[test]
fn a_syslog_collector_gets_what_it_asks_for_by_octet_counting_and_an_otlp_receiver_its_logs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hook = Hook::new();
    let served = served(&[
        sink("all", &format!("tcp://{address}"), "format = 'cef'"),
        sink("none", &hook.url, "format = 'jsonl', verdicts = ['denied']"),
        sink("otlp", &hook.url, "format = 'otlp', namespaces = ['shop']"),
    ]);
    send(&served, &mut Pair::new(), 16);
    let (mut stream, _from) = listener.accept().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let mut rest = text.as_str();
    let mut messages = 0;
    while !rest.is_empty() {
        let (length, after) = rest.split_once(' ').unwrap();
        let (message, after) = after.split_at(length.parse().unwrap());
        assert!(message.starts_with("<134>1 ") && message.contains("CEF:0|"), "{message}");
        (rest, messages) = (after, messages + 1);
    }
    assert_eq!(messages, 8, "one record for each of eight clients");
    let otlp = wait::until(WAIT, || hook.posts().into_iter().next()).unwrap();
    assert_eq!(otlp.headers["x-sekisho-sink"], "otlp", "nothing was denied");
    let body: Value = serde_json::from_str(&otlp.body).unwrap();
    let logs = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().len();
    assert_eq!(logs, 8);
    let status =
        served.await_status(|status| status.sinks[0].sent == 8 && status.sinks[2].sent == 8);
    assert_eq!(status.sinks[1].sent, 0);
    let metrics = super::served::block_on(served.client().metrics()).unwrap();
    assert!(
        metrics.contains("sekisho_sink_records_total{sink=\"otlp\",state=\"sent\"} 8"),
        "{metrics}"
    );
}

#[test]
fn an_otlp_receiver_gets_the_numbers_of_metrics_again_and_again_without_any_flow() {
    let hook = Hook::new();
    let served = served(&[sink("figures", &hook.url, "format = 'otlp-metrics'")]);
    send(&served, &mut Pair::new(), 16);
    let last = |name: &str| -> Option<Value> {
        let post = hook.posts().pop()?;
        let body: Value = serde_json::from_str(&post.body).unwrap();
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array()?.clone();
        metrics.into_iter().find(|metric| metric["name"] == name)
    };
    let flows = wait::until(WAIT, || {
        let flows = last("sekisho_flows_total")?;
        (flows["sum"]["dataPoints"][0]["asInt"] == "16").then_some(flows)
    });
    let flows = flows.expect("the flows are in the figures");
    assert_eq!(flows["sum"]["aggregationTemporality"], 2);
    let start = flows["sum"]["dataPoints"][0]["startTimeUnixNano"].as_str().unwrap().to_owned();
    let text = super::served::block_on(served.client().metrics()).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in names.filter_map(|line| line.split(' ').next()) {
        let has_series = text
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        assert!(!has_series || last(name).is_some(), "{name}");
    }
    let before = hook.posts().len();
    wait::until(WAIT, || (hook.posts().len() > before + 1).then_some(())).expect("goes on");
    let again = last("sekisho_flows_total").unwrap();
    assert_eq!(again["sum"]["dataPoints"][0]["startTimeUnixNano"], *start, "one start");
}

#[test]
fn a_receiver_of_findings_gets_what_is_denied_once_and_then_updates_and_nothing_allowed() {
    let hook = Hook::new();
    let served = served(&[sink("alerts", &hook.url, "format = 'ocsf-findings'")]);
    let mut pair = Pair::new();
    send(&served, &mut pair, 16);
    let events = || -> Vec<Value> {
        let posts = hook.posts();
        let lines = posts.iter().flat_map(|post| post.body.lines());
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    served.send(&pair.b.batch(vec![denial()])).unwrap();
    let created = wait::until(WAIT, || events().into_iter().next()).expect("a finding");
    assert_eq!((&created["class_uid"], &created["activity_id"]), (&2004.into(), &1.into()));
    assert_eq!(created["finding_info"]["types"][0], "denied");
    let mut another = denial();
    if let Half::Denied(record) = &mut another {
        // The same port within a while is the same attempt.
        record.source.set_port(40_001);
    }
    served.send(&pair.b.batch(vec![another])).unwrap();
    let updated = wait::until(WAIT, || events().into_iter().nth(1)).expect("an update");
    assert_eq!(updated["activity_id"], 2);
    assert_eq!(updated["finding_info"]["uid"], created["finding_info"]["uid"]);
    assert!(events().iter().all(|event| event["action"] == "Denied"), "nothing allowed is told");
}

#[test]
fn a_sink_that_cannot_work_is_refused_at_the_start() {
    let mut served = Served::prepared("sinks = [{ name = 'a', url = 'ftp://x', format = 'cef' }]");
    let (code, log) = served.refused();
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("ftp://x"), "{log}");
}
