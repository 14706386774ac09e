//! Live sources over real sockets and files: what comes is in history once, what does not fit is
//! counted with its reason, and a restart goes on where it was.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use sekisho_api::{SourceStatus, Status};
use sekisho_model::{DecidedBy, DenyRecord, Direction, Half, Protocol, Timestamp};
use sekisho_system::wait;
use serde_json::Value;

use super::halves::{Pair, now};
use super::served::{Served, block_on, connections};
use super::tls::Certificates;

/// An address that nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server with one source, `keys` of which stand in the configuration.
fn with_source(keys: &str) -> Served {
    Served::start(&format!("rotate_s = 600\n[[server.sources]]\nname = \"it\"\n{keys}"))
}

fn source(status: &Status) -> &SourceStatus {
    status.sources.iter().find(|source| source.name == "it").unwrap()
}

/// Waits until the source is as `wanted`.
#[track_caller]
fn await_source(served: &Served, wanted: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
    source(&served.await_status(|status| wanted(source(status)))).clone()
}

fn tomorrow() -> String {
    now().plus_seconds(86_400).to_string()
}

/// Edges of a map: who, whom, port, verdict, connections.
fn edges(map: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let keys = ["source", "destination", "port", "verdict", "connections"];
    let edges = map["edges"].as_array().unwrap().iter();
    let mut edges: Vec<String> =
        edges.map(|edge| keys.map(|key| text(&edge[key])).join(" ")).collect();
    edges.sort();
    edges
}

fn report(served: &Served, pair: &mut Pair, count: u64) {
    for batch in pair.batches(count) {
        served.send(&batch).unwrap();
    }
}

pub(crate) fn denial() -> Half {
    Half::Denied(DenyRecord {
        time: now(),
        protocol: Protocol::Tcp,
        source: "10.0.1.3:40000".parse().unwrap(),
        destination: "10.0.2.1:6379".parse().unwrap(),
        decided_by: DecidedBy {
            policy: "shop/db".to_owned(),
            rule: None,
            direction: Direction::Ingress,
        },
        audit: false,
    })
}

#[test]
fn a_server_that_follows_another_has_its_edges_also_across_the_end_of_both() {
    let address = free();
    let mut first = Served::start(&format!("hubble_listen = \"{address}\""));
    let mut pair = Pair::new();
    report(&first, &mut pair, 80);
    first.send(&pair.b.batch(vec![denial()])).unwrap();
    first.await_status(|status| status.flows >= 81);
    // What was there before it came is read, too.
    let mut second = with_source(&format!("from = \"hubble-relay://{address}\""));
    await_source(&second, |source| source.records >= 81);
    report(&first, &mut pair, 40);
    await_source(&second, |source| source.records >= 121);
    assert_eq!(edges(&second.map(&tomorrow())), edges(&first.map(&tomorrow())));
    // The follower ends without warning, and goes on where its history ends.
    second.kill();
    report(&first, &mut pair, 24);
    first.await_status(|status| status.flows >= 145);
    second.up();
    let status = await_source(&second, |source| source.records >= 24);
    assert_eq!((status.records, status.rejected, status.lost), (24, 0, 0), "{status:?}");
    assert_eq!(edges(&second.map(&tomorrow())), edges(&first.map(&tomorrow())));
    // Who is followed ends and comes again.
    assert!(first.stop().success());
    await_source(&second, |source| source.state == "waiting" && !source.problem.is_empty());
    assert!(second.status().problems.iter().any(|problem| problem.contains("source `it`")));
    first.up();
    await_source(&second, |source| source.state == "following" && source.problem.is_empty());
    report(&first, &mut pair, 16);
    await_source(&second, |source| source.records >= 40);
    assert_eq!(edges(&second.map(&tomorrow())), edges(&first.map(&tomorrow())));
    let shown = second.ask(&["status"]).with_code(0).out;
    assert!(shown.contains("hubble-relay://") && shown.contains("following"), "{shown}");
}

#[test]
fn nobody_at_the_relays_address_is_a_problem_with_its_name_and_the_server_works() {
    let served = with_source(&format!("from = \"hubble-relay://{}\"", free()));
    let status = await_source(&served, |source| source.state == "waiting");
    assert!(status.problem.contains("connect to `127.0.0.1:"), "{status:?}");
    report(&served, &mut Pair::new(), 8);
    served.await_status(|status| status.flows >= 8);
}

/// A line of an AWS flow log, of now: client `number` to the database.
fn line(number: u64) -> String {
    let (second, client, port) = (now().nanos() / 1_000_000_000, number % 8 + 1, 40_000 + number);
    let start = second - 30;
    format!("2 1 eni-1 10.0.1.{client} 10.0.2.1 {port} 5432 6 9 840 {start} {second} ACCEPT OK\n")
}

fn append(path: &Path, text: &str) {
    let file = std::fs::File::options().create(true).append(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(line).collect()
}

#[test]
fn a_file_is_followed_through_growth_rotation_truncation_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let mut served = with_source(&format!("from = \"file://{}\"", path.display()));
    await_source(&served, |source| source.state == "waiting");
    append(&path, &lines(0..10));
    await_source(&served, |source| source.records == 10 && source.state == "following");
    // Half a line is none yet.
    let last = line(10);
    append(&path, &last[..20]);
    append(&path, &last[20..]);
    await_source(&served, |source| source.records == 11 && source.rejected == 0);
    // The last lines of the old file are read although it has another name.
    append(&path, &lines(11..14));
    std::fs::rename(&path, folder.path().join("flows.log.1")).unwrap();
    append(&path, &lines(14..20));
    await_source(&served, |source| source.records == 20 && source.restarts == 1);
    // Cut off, and written anew.
    std::fs::write(&path, "").unwrap();
    await_source(&served, |source| source.restarts == 2);
    append(&path, &lines(20..23));
    append(&path, "what is this\n");
    let status = await_source(&served, |source| source.records == 23 && source.rejected == 1);
    assert!(status.reasons.iter().any(|one| one.sample.contains("what is this")), "{status:?}");
    assert_eq!(connections(&served.map(&tomorrow())), 23);
    // It grows and is rotated while nobody follows.
    served.kill();
    append(&path, &lines(23..27));
    std::fs::rename(&path, folder.path().join("flows.log.2")).unwrap();
    append(&path, &lines(27..30));
    served.up();
    let all = || connections(&served.map(&tomorrow()));
    let came = wait::until(Duration::from_secs(20), || (all() >= 30).then_some(()));
    assert!(came.is_some(), "{}", served.log());
    await_source(&served, |source| source.state == "following");
    assert_eq!(all(), 30, "{}", served.log());
}

#[test]
fn a_file_of_no_known_format_is_a_problem_and_the_right_one_after_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    append(&path, "what is this\n");
    let served = with_source(&format!("from = \"file://{}\"", path.display()));
    let status = await_source(&served, |source| source.state == "waiting");
    assert!(status.problem.contains("`format`"), "{status:?}");
    std::fs::remove_file(&path).unwrap();
    append(&path, &lines(0..5));
    await_source(&served, |source| source.records == 5 && source.problem.is_empty());
}

/// A message of syslog that carries `line`.
fn message(line: &str) -> String {
    format!("<134>1 2026-11-23T10:00:00Z fw flows 1 - - {}", line.trim_end())
}

#[test]
fn syslog_over_tcp_is_read_however_its_frames_are_split() {
    let address = free();
    let served = with_source(&format!("from = \"syslog+tcp://{address}\""));
    await_source(&served, |source| source.state == "listening");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let counted = |number| {
        let text = message(&line(number));
        format!("{} {text}", text.len())
    };
    let text = counted(0) + &counted(1) + &message(&line(2)) + "\n" + &counted(3);
    for piece in text.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
        stream.flush().unwrap();
    }
    await_source(&served, |source| source.records == 4 && source.rejected == 0);
    // What is no syslog, no flow, and no end of a message, is told apart.
    stream.write_all(b"GET / HTTP/1.1\n\n").unwrap();
    stream.write_all(message("what is this").as_bytes()).unwrap();
    stream.write_all(b"\n999999 x\n").unwrap();
    stream.write_all(format!("{}\n", message(&line(4))).as_bytes()).unwrap();
    stream.write_all(b"500 <1>1 - - ").unwrap();
    drop(stream);
    let status = await_source(&served, |source| source.records == 5 && source.rejected == 4);
    assert_eq!(status.reasons.len(), 4, "{status:?}");
    assert_eq!(connections(&served.map(&tomorrow())), 5);
}

/// `text` given over TLS to `address`, which must show a certificate of `authority`; by a sender with
/// the certificate of `own`, if there is one. None: it is not let in.
fn give_over_tls(
    address: SocketAddr,
    authority: &Certificates,
    own: Option<&Certificates>,
    text: &str,
) -> Option<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let mut roots = RootCertStore::empty();
    let ca = authority.path().join("server/ca.crt");
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let file = |name: &str| own.path().join("operator").join(name);
            let chain = vec![CertificateDer::from_pem_file(file("tls.crt")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file("tls.key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let mut stream = connector.connect(name, stream).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
        stream.shutdown().await.ok()?;
        // In TLS 1.3 a client learns after its handshake that its certificate is not believed.
        stream.read_to_end(&mut Vec::new()).await.ok().map(drop)
    })
}

fn counted(number: u64) -> String {
    let text = message(&line(number));
    format!("{} {text}", text.len())
}

#[test]
fn syslog_over_tls_is_read_from_everybody_where_no_certificate_is_asked_for() {
    let (address, ours) = (free(), Certificates::new());
    let file = |name: &str| ours.path().join("server").join(name);
    let (cert, key) = (file("tls.crt"), file("tls.key"));
    let served = with_source(&format!(
        "from = \"syslog+tls://{address}\"\ntls.cert = {cert:?}\ntls.key = {key:?}"
    ));
    await_source(&served, |source| source.state == "listening");
    give_over_tls(address, &ours, None, &(counted(0) + &counted(1))).unwrap();
    await_source(&served, |source| source.records == 2 && source.rejected == 0);
    // What speaks no TLS is refused, and so is a listener that is not who the sender believes.
    TcpStream::connect(address).unwrap().write_all(counted(2).as_bytes()).unwrap();
    await_source(&served, |source| source.refused == 1 && source.records == 2);
    assert_eq!(give_over_tls(address, &Certificates::new(), None, &counted(2)), None);
    await_source(&served, |source| source.refused == 2 && source.records == 2);
    give_over_tls(address, &ours, None, &counted(3)).unwrap();
    await_source(&served, |source| source.records == 3);
    assert_eq!(connections(&served.map(&tomorrow())), 3);
}

#[test]
fn syslog_over_mutual_tls_is_read_from_who_has_a_certificate_and_from_nobody_else() {
    let (address, ours, strangers) = (free(), Certificates::new(), Certificates::new());
    let file = |name: &str| ours.path().join("server").join(name);
    let (ca, cert, key) = (file("ca.crt"), file("tls.crt"), file("tls.key"));
    let served = with_source(&format!(
        "from = \"syslog+tls://{address}\"\n\
         tls.ca = {ca:?}\ntls.cert = {cert:?}\ntls.key = {key:?}"
    ));
    await_source(&served, |source| source.state == "listening");
    assert_eq!(give_over_tls(address, &ours, None, &counted(0)), None, "it shows none");
    assert_eq!(give_over_tls(address, &ours, Some(&strangers), &counted(1)), None);
    await_source(&served, |source| source.refused == 2 && source.records == 0);
    give_over_tls(address, &ours, Some(&ours), &counted(2)).unwrap();
    await_source(&served, |source| source.records == 1 && source.rejected == 0);
    assert!(served.log().contains("is not let in"), "{}", served.log());
}

#[test]
fn a_listener_with_tls_does_not_start_with_files_that_cannot_be_used() {
    let keys = "[[server.sources]]\nname = \"it\"\nfrom = \"syslog+tls://127.0.0.1:0\"\n\
                tls.cert = \"/nowhere/tls.crt\"\ntls.key = \"/nowhere/tls.key\"";
    let (code, log) = Served::prepared(keys).refused();
    assert!(code == 2 && log.contains("/nowhere/tls.key"), "{log}");
}

#[test]
fn syslog_over_udp_is_read_from_who_may_send_and_from_nobody_else() {
    let (address, closed) = (free(), free());
    let keys = format!("from = \"syslog+udp://{address}\"\nformat = \"aws-vpc\"");
    let other = format!(
        "[[server.sources]]\nname = \"closed\"\nfrom = \"syslog+udp://{closed}\"\n\
         senders = [\"192.0.2.0/24\"]"
    );
    let served = with_source(&format!("{keys}\n{other}"));
    await_source(&served, |source| source.state == "listening");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..6 {
        let old = format!("<13>Nov 23 10:00:00 fw flows[1]: {}", line(number).trim_end());
        let text = if number % 2 == 0 { message(&line(number)) } else { old };
        socket.send_to(text.as_bytes(), address).unwrap();
        socket.send_to(text.as_bytes(), closed).unwrap();
    }
    await_source(&served, |source| source.records == 6 && source.rejected == 0);
    let refused = |status: &Status| {
        status.sources.iter().any(|one| (one.name.as_str(), one.refused) == ("closed", 6))
    };
    served.await_status(refused);
    assert_eq!(connections(&served.map(&tomorrow())), 6);
}

/// Numbers, most significant byte first.
fn be(fields: &[(u64, usize)]) -> Vec<u8> {
    fields.iter().flat_map(|(value, size)| value.to_be_bytes()[8 - size..].to_vec()).collect()
}

fn address_of(client: u64) -> u64 {
    u64::from(u32::from_be_bytes([10, 0, 1, u8::try_from(client % 8 + 1).unwrap()]))
}

const DATABASE: u64 = 0x0a00_0201;

/// A message of NetFlow 9 with a template, records, or both.
fn netflow_9(sequence: u64, template: bool, clients: std::ops::Range<u64>) -> Vec<u8> {
    let seconds = now().nanos() / 1_000_000_000;
    let mut sets = Vec::new();
    if template {
        let fields = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 4), (2, 4)];
        sets.extend(be(&[(0, 2), (8 + 4 * fields.len() as u64, 2), (256, 2), (7, 2)]));
        fields.iter().for_each(|(kind, size)| sets.extend(be(&[(*kind, 2), (*size, 2)])));
    }
    if !clients.is_empty() {
        let count = clients.end - clients.start;
        sets.extend(be(&[(256, 2), (4 + 21 * count, 2)]));
        for client in clients {
            let (from, port) = (address_of(client), 40_000 + client);
            sets.extend(be(&[
                (from, 4),
                (DATABASE, 4),
                (port, 2),
                (5_432, 2),
                (6, 1),
                (840, 4),
                (9, 4),
            ]));
        }
    }
    let head = be(&[(9, 2), (1, 2), (60_000, 4), (seconds, 4), (sequence, 4), (7, 4)]);
    [head, sets].concat()
}

#[test]
fn netflow_is_read_from_its_template_on_and_all_else_is_counted() {
    let address = free();
    let served = with_source(&format!("from = \"netflow://{address}\""));
    await_source(&served, |source| source.state == "listening");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |bytes: &[u8]| socket.send_to(bytes, address).unwrap();
    // Records before their template can't be read; the same after it can.
    send(&netflow_9(0, false, 0..4));
    await_source(&served, |source| source.rejected == 1 && source.records == 0);
    send(&netflow_9(1, true, 0..0));
    send(&netflow_9(2, false, 4..8));
    let status = await_source(&served, |source| source.records == 4);
    assert!(status.reasons[0].reason.contains("template"), "{status:?}");
    // A gap in the numbers is loss: two messages.
    send(&netflow_9(5, false, 8..9));
    await_source(&served, |source| source.records == 5 && source.lost == 2);
    // The template is the exporter's own: another one has none.
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.send_to(&netflow_9(0, false, 9..10), address).unwrap();
    await_source(&served, |source| source.rejected == 2 && source.records == 5);
    // Noise, a version that there is not, and a message that is cut off.
    send(b"what is this");
    send(&be(&[(8, 2), (1, 2), (0, 8), (0, 8)]));
    let whole = netflow_9(6, false, 10..12);
    send(&whole[..whole.len() - 5]);
    send(b"");
    let status = await_source(&served, |source| source.rejected >= 5);
    assert_eq!(status.records, 5, "{status:?}");
    send(&netflow_9(7, false, 12..13));
    await_source(&served, |source| source.records == 6);
    assert_eq!(connections(&served.map(&tomorrow())), 6);
    assert!(Timestamp::EPOCH < status.last.unwrap());
}

#[test]
fn what_a_source_could_not_read_makes_the_map_incomplete_and_metrics_tell() {
    let (address, metrics) = (free(), free());
    let served = Served::start(&format!(
        "metrics_listen = \"{metrics}\"\n[[server.sources]]\nname = \"it\"\n\
         from = \"netflow://{address}\""
    ));
    await_source(&served, |source| source.state == "listening");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&netflow_9(0, true, 0..1), address).unwrap();
    socket.send_to(b"what is this", address).unwrap();
    await_source(&served, |source| source.records == 1 && source.rejected == 1);
    let map = served.map(&tomorrow());
    let gaps = map["completeness_detail"]["gaps"].to_string();
    assert!(gaps.contains("source:it"), "{gaps}");
    let text = block_on(served.client().metrics()).unwrap();
    for wanted in [
        "sekisho_source_up{source=\"it\"} 1",
        "sekisho_source_records_total{source=\"it\"} 1",
        "sekisho_source_rejected_total{source=\"it\"} 1",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

#[test]
fn a_source_that_cannot_work_stops_the_start_with_its_name() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (keys, words) in [
        (format!("from = \"netflow://{address}\""), "source `it`"),
        ("from = \"netflow://0.0.0.0:2055\"".to_owned(), "senders"),
        ("from = \"kafka://a\"".to_owned(), "kafka://a"),
    ] {
        let keys = format!("[[server.sources]]\nname = \"it\"\n{keys}");
        let (code, log) = Served::prepared(&keys).refused();
        assert!(code == 2 && log.contains(words), "{code} {log}");
    }
}
