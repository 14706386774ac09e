//! What goes wrong on the way to ClickHouse: each fault is an error that says what it was, and none
//! is taken for an answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sekisho_store::{Archive, ArchiveError, ArchiveSettings};

/// Answers one request with `answer`, then the connection ends after `pause`. Returns its address
/// and what it was sent.
fn serve(answer: Vec<u8>, pause: Duration) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = request(&mut stream);
        stream.write_all(&answer).ok();
        sekisho_system::wait::pause_for(pause);
        request
    });
    (port, server)
}

/// Reads a request with its body.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lower = text.to_ascii_lowercase();
        let Some(head) = lower.find("\r\n\r\n") else { continue };
        let length = lower.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        if bytes.len() >= head + 4 + length.unwrap_or(0) || read == 0 {
            return text;
        }
    }
}

fn archive(port: u16, timeout_s: u64) -> Archive {
    let settings = ArchiveSettings {
        url: format!("http://127.0.0.1:{port}/path"),
        database: "sekisho".to_owned(),
        user: "me".to_owned(),
        password_file: None,
        ca: None,
        plaintext: false,
        cluster: None,
        ttl_days: 1,
        batch_rows: 1,
        timeout_s,
    };
    Archive::new(&settings, &"default".parse().unwrap()).unwrap()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What becomes of the first question, whether the database is there.
fn fails_with(bytes: Vec<u8>) -> ArchiveError {
    let (port, server) = serve(bytes, Duration::ZERO);
    let error = archive(port, 5).writing().ledger("x").unwrap_err();
    let request = server.join().unwrap();
    assert!(request.starts_with("POST /path?wait_end_of_query=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("x-clickhouse-user: me\r\n"), "{request}");
    error
}

/// The question after one that was answered well: what `1` leads to.
fn gets_past(bytes: Vec<u8>) {
    let (port, server) = serve(bytes, Duration::ZERO);
    let error = archive(port, 5).writing().ledger("x").unwrap_err();
    server.join().unwrap();
    // The fake answers once: the next question finds nobody.
    assert!(matches!(error, ArchiveError::Connect { .. }), "{error}");
}

#[test]
fn a_plain_and_a_compressed_answer_are_taken() {
    gets_past(answer("200 OK", "", b"1\n"));
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n0\r\n\r\n";
    gets_past(chunked.to_vec());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"1\n").unwrap();
    gets_past(answer("200 OK", "Content-Encoding: gzip\r\n", &gzip.finish().unwrap()));
}

#[test]
fn a_refusal_tells_its_number_and_what_to_do() {
    let header = "X-ClickHouse-Exception-Code: 516\r\n";
    let error = fails_with(answer("403 Forbidden", header, b"Code: 516. DB::Exception: no"));
    assert!(matches!(error, ArchiveError::Refused { status: 403, code: 516, .. }), "{error:?}");
    assert!(error.to_string().contains("check `user` and `password_file`"), "{error}");
    let error = fails_with(answer("503 Service Unavailable", "", b"<h1>no server\x1b[2J</h1>"));
    let text = error.to_string();
    assert!(text.contains("HTTP 503") && text.contains("is it starting"), "{text}");
    assert!(!text.contains('\x1b'), "a terminal obeys it");
    let error = fails_with(answer("404 Not Found", "", b""));
    assert!(error.to_string().contains("8123"), "{error}");
}

#[test]
fn an_exception_in_an_answer_of_200_is_no_answer() {
    let late = b"1\n\r\n__exception__\r\nCode: 241. DB::Exception: Memory limit exceeded";
    let error = fails_with(answer("200 OK", "", late));
    assert!(matches!(error, ArchiveError::Refused { code: 241, .. }), "{error:?}");
    let header = "X-ClickHouse-Exception-Code: 394\r\n";
    let error = fails_with(answer("200 OK", header, b"1\n"));
    assert!(matches!(error, ArchiveError::Refused { code: 394, .. }), "{error:?}");
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    let cut = |bytes: &[u8]| {
        let error = fails_with(bytes.to_vec());
        assert!(matches!(error, ArchiveError::Broken(_)), "{error:?}");
    };
    cut(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1\n");
    cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n");
    cut(b"HTTP/1.1 200 OK\r\nConte");
    cut(b"");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&[b'1'; 5_000]).unwrap();
    let whole = gzip.finish().unwrap();
    let error =
        fails_with(answer("200 OK", "Content-Encoding: gzip\r\n", &whole[..whole.len() - 9]));
    assert!(error.to_string().contains("no whole gzip"), "{error}");
}

#[test]
fn what_is_no_clickhouse_is_told_by_what_it_says() {
    let error = fails_with(answer("200 OK", "", b"<html>Welcome to nginx!</html>"));
    assert!(
        error.to_string().contains("`<html>Welcome to nginx!</html>` is not 1 numbers"),
        "{error}"
    );
    let error = fails_with(answer("200 OK", "Content-Encoding: br\r\n", b"xx"));
    assert!(matches!(&error, ArchiveError::Encoding(encoding) if encoding == "br"), "{error:?}");
    let error = fails_with(b"SSH-2.0-OpenSSH_10\r\n".to_vec());
    assert!(matches!(error, ArchiveError::Broken(_)), "{error:?}");
}

#[test]
fn a_redirection_is_not_followed() {
    let (elsewhere, listener) = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        (listener.local_addr().unwrap().port(), listener)
    };
    let to = format!("Location: http://127.0.0.1:{elsewhere}/\r\n");
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let error = fails_with(answer(status, &to, b""));
        assert!(matches!(error, ArchiveError::Redirected { .. }), "{error:?}");
        assert!(error.to_string().contains("set `url` to ClickHouse itself"), "{error}");
    }
    assert!(listener.accept().is_err(), "somebody went there");
}

#[test]
fn a_slow_answer_ends_in_time() {
    let slow = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1".to_vec();
    let (port, server) = serve(slow, Duration::from_secs(3));
    let started = Instant::now();
    let error = archive(port, 1).writing().ledger("x").unwrap_err();
    assert!(matches!(error, ArchiveError::Late { seconds: 1 }), "{error:?}");
    assert!(started.elapsed() < Duration::from_millis(2_500));
    server.join().unwrap();
}
