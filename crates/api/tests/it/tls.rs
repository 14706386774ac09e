//! TLS between real ends: who may do what, what each failure says, and who can't disturb whom.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sekisho_api::{
    Authority, CallError, Client, ClientError, Identity, Issued, ListenerFigures, RollbackRequest,
    ServerAddress, SnapshotQuery, TlsFiles, TlsListenError, TlsListener,
};
use sekisho_base::Clock;
use sekisho_model::{TimeRange, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use crate::memory::{Memory, batch};

pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(sekisho_system::SystemClock.now())
}

/// An authority and what it signed, as files.
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let authority = Authority::make("a", now(), 30).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), authority }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, authority: &str, issued: &Issued) -> TlsFiles {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        let files = TlsFiles {
            ca: folder.join("ca.crt"),
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        std::fs::write(&files.ca, authority).unwrap();
        std::fs::write(&files.certificate, &issued.certificate).unwrap();
        std::fs::write(&files.key, &issued.key).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    /// Files of the holder of `uri`, valid for `days` from `from` on.
    fn issue(&self, uri: &str, from: Timestamp, days: u32) -> TlsFiles {
        let identity: Identity = uri.parse().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let names = if uri.ends_with("/server") { names.as_slice() } else { &[] };
        let issued = self.authority.issue(&identity, names, from, days).unwrap();
        self.write(&uri.replace('/', "_"), self.authority.certificate(), &issued)
    }

    pub(crate) fn of(&self, uri: &str) -> TlsFiles {
        self.issue(uri, now(), 10)
    }
}

/// A running server.
pub(crate) struct Served {
    pub(crate) certificates: Certificates,
    pub(crate) service: Arc<Memory>,
    pub(crate) address: SocketAddr,
    figures: Arc<ListenerFigures>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::start_with("127.0.0.1:0", Certificates::new(), 86_400).await
    }

    /// Certificates of single nodes are good for `life_s` seconds.
    pub(crate) async fn start_with(address: &str, certificates: Certificates, life_s: u64) -> Self {
        let files = certificates.of("spiffe://a/server");
        let listener = TlsListener::bind(address, &files).await.unwrap().with_node_life(life_s);
        let (address, figures) = (listener.address(), listener.figures());
        let service = Arc::new(Memory::default());
        let wait = Duration::from_millis(100);
        let router = sekisho_api::router_with(Arc::clone(&service) as _, wait);
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            stopped.await.ok();
        };
        let task = tokio::spawn(listener.serve(router, stopped));
        Self { certificates, service, address, figures, stop: Some(stop), task }
    }

    pub(crate) fn client(&self, files: TlsFiles) -> Client {
        let address = format!("https://localhost:{}", self.address.port());
        Client::at(address.parse().unwrap(), Some(files), None).unwrap()
    }

    pub(crate) fn as_(&self, uri: &str) -> Client {
        self.client(self.certificates.of(uri))
    }

    /// Waits until the listener's figures are as wanted.
    async fn await_figures(&self, wanted: impl Fn(&ListenerFigures) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !wanted(&self.figures) {
            assert!(Instant::now() < end, "{:?}", self.figures.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a failed call says; its whole chain.
#[track_caller]
fn words<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    sekisho_base::error_chain(&result.expect_err("it should fail"))
}

#[track_caller]
pub(crate) fn forbidden<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    match result {
        Err(CallError::Refused { status: 403, text }) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_reports_for_its_own_node_and_for_no_other() {
    let served = Served::start().await;
    let agent = served.as_("spiffe://a/agent/node-1").keep_alive();
    assert_eq!(agent.send_batch(&batch("node-1", 1)).await.unwrap().sequence, 1);
    assert_eq!(agent.order("node-1", 0).await.unwrap(), None);
    agent.report("node-1", &Default::default()).await.unwrap();
    for refused in [
        forbidden(agent.send_batch(&batch("node-2", 1)).await),
        forbidden(agent.order("node-2", 0).await),
        forbidden(agent.report("node-2", &Default::default()).await),
    ] {
        assert!(refused.contains("`node-1`") && refused.contains("`node-2`"), "{refused}");
    }
    assert_eq!(served.service.batches.lock().unwrap().len(), 1);
    let shared = served.as_("spiffe://a/agent");
    shared.send_batch(&batch("node-2", 1)).await.unwrap();
    assert_eq!(served.figures.status().accepted, 2, "the first one kept its connection");
}

#[tokio::test]
async fn agents_ask_nothing_that_operators_do_and_operators_report_nothing() {
    let served = Served::start().await;
    let (agent, operator) = (served.as_("spiffe://a/agent"), served.as_("spiffe://a/operator/ann"));
    let back = RollbackRequest {
        cluster: None,
        revision: Some(9),
        repair: false,
        operator: "eve".to_owned(),
    };
    assert!(forbidden(agent.status().await).contains("is no operator"));
    forbidden(agent.revisions(None).await);
    forbidden(agent.snapshot(SnapshotQuery::of(TimeRange::ALL)).await);
    forbidden(agent.flows(None, 0, 1).await);
    forbidden(agent.drops(None, 0, 1).await);
    forbidden(agent.rollback(&back).await);
    forbidden(agent.metrics().await);
    operator.status().await.unwrap();
    operator.revisions(None).await.unwrap();
    operator.flows(None, 0, 1).await.unwrap();
    operator.drops(None, 0, 1).await.unwrap();
    operator.metrics().await.unwrap();
    assert_eq!(operator.rollback(&back).await.unwrap_err().to_string(), "no such revision");
    assert_eq!(*served.service.operators.lock().unwrap(), ["ann"], "not whom it claims to be");
    assert!(forbidden(operator.send_batch(&batch("n", 1)).await).contains("is no agent"));
    let monitor = served.as_("spiffe://a/monitor");
    monitor.metrics().await.unwrap();
    forbidden(monitor.status().await);
    assert!(
        forbidden(served.as_("spiffe://b/operator/x").status().await).contains("another cluster")
    );
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let served = Served::start().await;
    let other = Certificates::new();
    let stranger = other.of("spiffe://a/operator/eve");
    let said = words(served.client(stranger.clone()).status().await);
    assert!(said.contains("not of the authority") && said.contains("--tls-ca"), "{said}");
    // It trusts our server, and shows a certificate of another authority.
    std::fs::copy(&served.certificates.of("spiffe://a/agent").ca, &stranger.ca).unwrap();
    let said = words(served.client(stranger).status().await);
    assert!(said.contains("does not know the authority that signed"), "{said}");

    let ended =
        served.certificates.issue("spiffe://a/operator/old", now().minus_seconds(9 << 17), 10);
    let said = words(served.client(ended).status().await);
    assert!(said.contains("has expired") && said.contains("operator_old"), "{said}");

    let files = served.certificates.of("spiffe://a/operator/ann");
    let address: ServerAddress =
        format!("https://127.0.0.2:{}", served.address.port()).parse().unwrap();
    let elsewhere = Client::at(address, Some(files.clone()), Some("sekisho.example")).unwrap();
    let said = words(elsewhere.status().await);
    assert!(said.contains("no server at"), "nobody listens there: {said}");
    let address: ServerAddress =
        format!("https://127.0.0.1:{}", served.address.port()).parse().unwrap();
    let tunnel = Client::at(address.clone(), Some(files.clone()), Some("sekisho.example")).unwrap();
    let said = words(tunnel.status().await);
    assert!(said.contains("`localhost`") && said.contains("not for `sekisho.example`"), "{said}");
    Client::at(address.clone(), Some(files), None).unwrap().status().await.unwrap();

    let said = Client::at(address, None, None).unwrap_err();
    assert!(matches!(said, ClientError::NoCertificate(_)), "{said}");
    // A server's certificate is none for clients.
    let said = words(served.client(served.certificates.of("spiffe://a/server")).status().await);
    assert!(said.contains("refuses the certificate"), "{said}");
    served.as_("spiffe://a/operator/ann").status().await.unwrap();
}

#[tokio::test]
async fn a_client_without_a_certificate_learns_nothing() {
    let served = Served::start().await;
    let mut stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    served.await_figures(|figures| figures.status().failed == 1).await;
    assert_eq!(served.figures.status().accepted, 0);
}

#[tokio::test]
async fn a_key_for_everybody_or_of_another_certificate_is_refused() {
    let certificates = Certificates::new();
    let files = certificates.of("spiffe://a/server");
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o604)).unwrap();
    let refused = TlsListener::bind("127.0.0.1:0", &files).await.unwrap_err();
    assert!(sekisho_base::error_chain(&refused).contains("chmod 600"), "{refused:?}");
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o640)).unwrap();
    TlsListener::bind("127.0.0.1:0", &files).await.unwrap();

    let agent = certificates.of("spiffe://a/agent");
    let refused = TlsListener::bind("127.0.0.1:0", &agent).await.unwrap_err();
    assert!(
        matches!(&refused, TlsListenError::NoServer { identity, .. } if identity == "spiffe://a/agent")
    );
    let mixed = TlsFiles { key: agent.key, ..files.clone() };
    let refused = TlsListener::bind("127.0.0.1:0", &mixed).await.unwrap_err();
    assert!(sekisho_base::error_chain(&refused).contains("replace both"), "{refused:?}");
    for (text, words) in [("", "no certificate in PEM"), ("garbage", "no certificate in PEM")] {
        std::fs::write(&files.certificate, text).unwrap();
        let refused = TlsListener::bind("127.0.0.1:0", &files).await.unwrap_err();
        assert!(sekisho_base::error_chain(&refused).contains(words), "{refused:?}");
    }
    let missing = TlsFiles { ca: certificates.path("nowhere"), ..files };
    let refused = TlsListener::bind("127.0.0.1:0", &missing).await.unwrap_err();
    assert!(sekisho_base::error_chain(&refused).contains("nowhere"), "{refused:?}");
}

#[tokio::test]
async fn renewed_files_are_used_without_a_restart_and_bad_ones_are_not() {
    let served = Served::start().await;
    let operator = served.as_("spiffe://a/operator/ann").keep_alive();
    operator.status().await.unwrap();
    let until = served.figures.status().not_after;
    let files = served.certificates.issue("spiffe://a/server", now(), 20);
    served.await_figures(|figures| figures.status().not_after > until).await;
    served.as_("spiffe://a/operator/ann").status().await.unwrap();
    std::fs::write(&files.certificate, "half").unwrap();
    served.await_figures(|figures| !figures.status().problem.is_empty()).await;
    served.as_("spiffe://a/operator/ann").status().await.unwrap();
    operator.status().await.unwrap();
    served.certificates.of("spiffe://a/server");
    served.await_figures(|figures| figures.status().problem.is_empty()).await;
}

#[tokio::test]
async fn an_authority_that_was_replaced_opens_nothing() {
    let served = Served::start().await;
    let old = served.as_("spiffe://a/operator/ann");
    old.status().await.unwrap();
    let next = Certificates::new();
    let server = next.issue("spiffe://a/server", now(), 20);
    let here = served.certificates.path("spiffe:__a_server");
    let until = served.figures.status().not_after;
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        std::fs::copy(server.ca.with_file_name(name), here.join(name)).unwrap();
    }
    served.await_figures(|figures| figures.status().not_after > until).await;
    assert!(words(old.status().await).contains("not of the authority"));
    served.client(next.of("spiffe://a/operator/ann")).status().await.unwrap();
}

/// A connection from `from`, which need not be the address of the others.
async fn connected(from: &str, to: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn silent_and_babbling_clients_stop_nobody_and_are_gone_after_five_seconds() {
    let served = Served::start().await;
    let agent = served.as_("spiffe://a/agent").keep_alive();
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = connected("127.0.0.9", served.address).await;
        if number % 2 == 0 {
            // A record of TLS that never ends; what is refused at once can't be written to.
            stream.write_all(b"\x16\x03\x01\x40\x00\x01").await.ok();
        }
        silent.push(stream);
    }
    let began = Instant::now();
    for sequence in 1..=20 {
        agent.send_batch(&batch("n", sequence)).await.unwrap();
        served.as_("spiffe://a/operator/ann").status().await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(served.figures.status().refused >= 200 - 64, "{:?}", served.figures.status());
    for mut stream in silent {
        let mut bytes = [0; 64];
        let read = tokio::time::timeout(Duration::from_secs(8), stream.read(&mut bytes));
        // An alert may come first; what matters is that it does not hang.
        read.await.expect("it is closed, or told why").ok();
    }
    served.await_figures(|figures| figures.status().failed >= 64).await;
}

#[tokio::test]
async fn garbage_of_every_kind_is_refused_and_counted() {
    let served = Served::start().await;
    let cases: [&[u8]; 5] = [
        b"\x00",
        b"\x16\x03\x01\xff\xff",
        b"SSH-2.0-x\r\n",
        &[0xff; 4_096],
        b"\x15\x03\x03\x00\x02\x02\x28",
    ];
    for bytes in cases {
        let mut stream = connected("127.0.0.8", served.address).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        assert!(answer.len() < 64, "{answer:?}");
    }
    served.await_figures(|figures| figures.status().failed == 5).await;
    served.as_("spiffe://a/operator/ann").status().await.unwrap();
}

#[tokio::test]
async fn one_certificate_takes_its_share_of_connections_and_not_those_of_others() {
    let served = Served::start().await;
    let files = served.certificates.of("spiffe://a/agent/greedy");
    let mut held = Vec::new();
    for _ in 0..32 {
        let client = served.client(files.clone()).keep_alive();
        client.order("greedy", 0).await.unwrap();
        held.push(client);
    }
    assert_eq!(served.figures.status().connections, 32);
    let error = served.client(files.clone()).order("greedy", 0).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    served.as_("spiffe://a/agent/modest").order("modest", 0).await.unwrap();
    drop(held);
    served.await_figures(|figures| figures.status().connections == 0).await;
    served.client(files).order("greedy", 0).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_answers_what_is_under_way_and_kept_connections_are_opened_anew() {
    let mut served = Served::start().await;
    let agent = served.as_("spiffe://a/agent").keep_alive();
    agent.send_batch(&batch("n", 1)).await.unwrap();
    *served.service.slow.lock().unwrap() = Duration::from_millis(400);
    let sender = agent.clone();
    let sent = tokio::spawn(async move { sender.send_batch(&batch("n", 2)).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    served.stop.take().unwrap().send(()).unwrap();
    assert_eq!(sent.await.unwrap().unwrap().sequence, 2);
    (&mut served.task).await.unwrap();
    assert!(agent.send_batch(&batch("n", 3)).await.unwrap_err().is_temporary());
    let files = served.certificates.of("spiffe://a/server");
    let listener = TlsListener::bind(&served.address.to_string(), &files).await.unwrap();
    let router = sekisho_api::router(Arc::new(Memory::default()) as _);
    let again = tokio::spawn(listener.serve(router, std::future::pending()));
    agent.send_batch(&batch("n", 3)).await.unwrap();
    again.abort();
}

#[tokio::test]
async fn an_address_that_is_none_or_taken_is_said() {
    let certificates = Certificates::new();
    let files = certificates.of("spiffe://a/server");
    for wrong in ["", "7443", "localhost:7443", "127.0.0.1"] {
        let refused = TlsListener::bind(wrong, &files).await;
        assert!(matches!(refused, Err(TlsListenError::Address(_))), "{wrong}");
    }
    let taken = TlsListener::bind("127.0.0.1:0", &files).await.unwrap();
    let refused = TlsListener::bind(&taken.address().to_string(), &files).await;
    assert!(matches!(refused, Err(TlsListenError::Bind { .. })));
}

#[test]
fn an_authority_is_read_back_and_only_with_its_own_key() {
    let (one, two) = (Certificates::new(), Certificates::new());
    let read = |certificate: &Authority, key: &Authority| {
        Authority::read(certificate.certificate(), key.key()).map(|found| found.not_after())
    };
    assert_eq!(read(&one.authority, &one.authority).unwrap(), one.authority.not_after());
    assert!(read(&one.authority, &two.authority).is_err());
    assert!(Authority::read("", one.authority.key()).is_err());
    let text = format!("{:?}", one.authority);
    assert!(!text.contains("PRIVATE"), "{text}");
    let until = one.authority.not_after().plus_seconds(1);
    let identity = "spiffe://a/agent".parse().unwrap();
    assert!(one.authority.issue(&identity, &[], until, 1).is_err());
    assert!(one.authority.issue(&identity, &["a b".to_owned()], now(), 1).is_err());
}
