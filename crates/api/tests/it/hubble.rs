//! Hubble's Observer API over real sockets: what a follower gets, what it missed, who may ask, and how
//! many.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sekisho_api::{
    HubbleListenError, HubbleListener, Relay, RelayError, RelayFlows, RelayTls, TlsFiles,
};
use sekisho_exchange::observer::messages::{Flow as Message, LostEvent, Told};
use sekisho_model::{
    ClusterName, EdgeKey, EdgeStats, Flow, Party, PartyKind, Protocol, Reporters, Timestamp,
    Verdict, WorkloadRef,
};
use tokio::sync::oneshot;

use crate::memory::Memory;
use crate::tls::Certificates;

const WAIT: Duration = Duration::from_secs(20);

struct Served {
    service: Arc<Memory>,
    port: u16,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(address: &str, files: Option<&TlsFiles>) -> Self {
        let listener = HubbleListener::bind(address, files).await.unwrap();
        let port = listener.address().unwrap().port();
        let service = Arc::new(Memory::default());
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            stopped.await.ok();
        };
        let task = tokio::spawn(listener.serve(Arc::clone(&service) as _, stopped));
        Self { service, port, stop, task }
    }

    async fn plain() -> Self {
        Self::start("127.0.0.1:0", None).await
    }

    fn relay(&self) -> Relay {
        Relay { host: "127.0.0.1".to_owned(), port: self.port, tls: None }
    }

    fn push(&self, seconds: std::ops::Range<u64>) {
        self.service.recent.lock().unwrap().1.extend(seconds.map(flow));
    }
}

/// A connection of a pod with an external, which was last seen in that second.
fn flow(second: u64) -> Flow {
    let workload =
        WorkloadRef { namespace: "shop".into(), name: "cart".into(), kind: "Deployment".into() };
    let source = Party {
        kind: PartyKind::Pod,
        workload,
        pod: "cart-1".to_owned(),
        labels: [("app".to_owned(), "cart".to_owned())].into(),
        address: None,
        dns_name: None,
    };
    let destination: SocketAddr = "203.0.113.1:443".parse().unwrap();
    let name = Some("api.example".to_owned());
    let seen = Timestamp::from_seconds(second);
    Flow {
        key: EdgeKey {
            source: Arc::new(source),
            source_process: None,
            destination: Arc::new(Party::external(destination.ip(), name)),
            destination_process: None,
            protocol: Protocol::Tcp,
            port: 443,
            service: None,
            verdict: Verdict::Allowed,
            decided_by: None,
            direction_inferred: false,
            cluster: ClusterName::default(),
        },
        source: "10.0.0.1:40000".parse().unwrap(),
        destination,
        opened: seen,
        stats: EdgeStats {
            connections: 1,
            first_seen: seen,
            last_seen: seen,
            reporters: Reporters { source: true, ..Reporters::default() },
            ..EdgeStats::default()
        },
    }
}

/// The next answer, which comes soon.
async fn next(flows: &mut RelayFlows) -> Result<Told, String> {
    let answer = tokio::time::timeout(WAIT, flows.next()).await.expect("nothing comes");
    match answer {
        Ok(Some(response)) => Ok(response.told.unwrap()),
        Ok(None) => Err("the end".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn next_flow(flows: &mut RelayFlows) -> Message {
    match next(flows).await {
        Ok(Told::Flow(flow)) => *flow,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_follows_gets_what_was_since_then_and_what_comes_in_order() {
    let served = Served::plain().await;
    served.push(1..1_001);
    let since = Some(Timestamp::from_seconds(501));
    let mut flows = served.relay().follow(since).await.unwrap();
    for second in 501..1_001 {
        assert_eq!(next_flow(&mut flows).await.time.unwrap().seconds, second);
    }
    served.push(1_001..1_004);
    let told = next_flow(&mut flows).await;
    assert_eq!(told.node_name, "default/node-1");
    assert_eq!(told.destination_names, ["api.example"]);
    assert_eq!(told.source.unwrap().pod_name, "cart-1");
    assert_eq!(told.destination.unwrap().labels, ["reserved:world"]);
    served.stop.send(()).unwrap();
    while next(&mut flows).await.is_ok() {}
    served.task.await.unwrap();
}

#[tokio::test]
async fn who_is_overtaken_is_told_exactly_how_much_was_missed() {
    let served = Served::plain().await;
    served.push(1..11);
    let mut flows = served.relay().follow(Some(Timestamp::EPOCH)).await.unwrap();
    for _ in 1..11 {
        next_flow(&mut flows).await;
    }
    // The ring turned: 700 came and went.
    *served.service.recent.lock().unwrap() = (710, (711..713).map(flow).collect());
    let Ok(Told::Lost(LostEvent { num_events_lost, source, .. })) = next(&mut flows).await else {
        panic!("nothing is told");
    };
    assert_eq!((num_events_lost, source), (700, 3));
    assert_eq!(next_flow(&mut flows).await.time.unwrap().seconds, 711);
}

#[tokio::test]
async fn streams_are_bounded_and_one_that_ends_makes_room() {
    let served = Served::plain().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(served.relay().follow(None).await.unwrap());
    }
    let refused = served.relay().follow(None).await;
    let Err(RelayError::Answer { code, text, .. }) = refused else { panic!("65 are open") };
    assert!(code == "ResourceExhausted" && text.contains("64"), "{code} {text}");
    open.pop();
    let room = async {
        while served.relay().follow(None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT, room).await.expect("there is no room");
}

fn tls(files: &TlsFiles, own: bool) -> Option<RelayTls> {
    let pair =
        |files: &TlsFiles| -> (PathBuf, PathBuf) { (files.certificate.clone(), files.key.clone()) };
    Some(RelayTls {
        ca: files.ca.clone(),
        own: own.then(|| pair(files)),
        server_name: Some("localhost".to_owned()),
    })
}

#[tokio::test]
async fn over_the_network_operators_and_viewers_look_and_nobody_else() {
    let certificates = Certificates::new();
    let server = certificates.of("spiffe://a/server");
    let served = Served::start("0.0.0.0:0", Some(&server)).await;
    served.push(1..2);
    let ask = |uri: &str, own| {
        let files = certificates.of(uri);
        let relay = Relay { tls: tls(&files, own), ..served.relay() };
        async move {
            let mut flows = relay.follow(Some(Timestamp::EPOCH)).await?;
            flows.next().await
        }
    };
    for uri in ["spiffe://a/viewer/ui", "spiffe://a/operator/ann"] {
        assert!(ask(uri, true).await.unwrap().is_some(), "{uri}");
    }
    for uri in [
        "spiffe://a/agent",
        "spiffe://a/agent/node-1",
        "spiffe://a/monitor",
        "spiffe://b/viewer/ui",
        "spiffe://b/operator/ann",
    ] {
        match ask(uri, true).await {
            Err(RelayError::Answer { code, .. }) => assert_eq!(code, "PermissionDenied", "{uri}"),
            other => panic!("{uri}: {other:?}"),
        }
    }
    assert!(ask("spiffe://a/operator/ann", false).await.is_err(), "without a certificate");
    assert!(served.relay().follow(None).await.is_err(), "without TLS");
    let other = Certificates::new();
    let stranger = Relay { tls: tls(&other.of("spiffe://a/operator/x"), true), ..served.relay() };
    assert!(stranger.follow(None).await.is_err(), "of another authority");
}

#[tokio::test]
async fn off_the_machine_nothing_is_served_without_tls() {
    let bind = |address| HubbleListener::bind(address, None);
    assert!(matches!(bind("0.0.0.0:0").await, Err(HubbleListenError::NotLoopback(_))));
    assert!(matches!(bind("here").await, Err(HubbleListenError::Address(_))));
    assert!(bind("[::1]:0").await.is_ok());
}

#[tokio::test]
async fn bytes_that_are_no_grpc_disturb_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let served = Served::plain().await;
    served.push(1..3);
    for noise in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4_096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxx"]
    {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
        stream.write_all(noise).await.ok();
        let mut answer = Vec::new();
        tokio::time::timeout(WAIT, stream.read_to_end(&mut answer)).await.expect("it hangs").ok();
    }
    let mut flows = served.relay().follow(Some(Timestamp::EPOCH)).await.unwrap();
    assert_eq!(next_flow(&mut flows).await.time.unwrap().seconds, 1);
}
