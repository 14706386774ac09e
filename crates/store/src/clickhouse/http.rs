//! One request to ClickHouse's HTTP interface, and its answer as a whole.
//!
//! A connection for each request: there are few, and what was open while the server was away is
//! never used again. An answer is trusted only if it came whole, said 200 and holds no exception:
//! ClickHouse says 200 before it knows how a query ends (ClickHouse docs, interfaces/http).

use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, LOCATION};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::ArchiveError;
use super::settings::Target;

/// Longest wait for a connection and its handshake.
const CONNECT_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
/// An answer is held in memory: bytes at most.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Characters of ClickHouse's own words that are told.
const TOLD_CHARS_MAX: usize = 400;
/// Where in a broken answer the exception stands: its last so many bytes.
const TAIL_BYTES: usize = 32_768;
const EXCEPTION_CODE: &str = "X-ClickHouse-Exception-Code";

/// What is asked: settings go into the address, the query too where there is a body of rows.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub(crate) sql: String,
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Rows to be inserted.
    pub(crate) rows: Option<Bytes>,
    /// Whether the database need not be there yet.
    pub(crate) without_database: bool,
}

/// Sends `ask` and waits for the answer. Blocks.
pub(crate) fn post(target: &Target, ask: Ask) -> Result<Bytes, ArchiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|cause| ArchiveError::Connect { server: server_of(target), cause })?;
    let request = request(target, ask)?;
    let tls = if target.tls { Some(tls_config(target)?) } else { None };
    runtime.block_on(async {
        let late = ArchiveError::Late { seconds: target.timeout.as_secs() };
        tokio::time::timeout(target.timeout, exchange(target, tls, request))
            .await
            .map_err(|_elapsed| late)?
    })
}

fn server_of(target: &Target) -> String {
    let Target { host, port, .. } = target;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn request(target: &Target, ask: Ask) -> Result<Request<Full<Bytes>>, ArchiveError> {
    let mut address = format!("{}?wait_end_of_query=1", target.path);
    let mut add = |key: &str, value: &str| {
        address.push('&');
        address.push_str(key);
        address.push('=');
        encode(value, &mut address);
    };
    for (key, value) in &ask.settings {
        add(key, value);
    }
    let body = match ask.rows {
        Some(rows) => {
            add("query", &ask.sql);
            rows
        }
        None => Bytes::from(ask.sql),
    };
    let unusable = |error: hyper::http::Error| ArchiveError::Setting {
        key: "url",
        text: format!("it makes no request: {error}"),
    };
    let mut request = Request::post(address)
        .header(HOST, server_of(target))
        .header(ACCEPT_ENCODING, "identity")
        .header("X-ClickHouse-User", &target.user);
    if !ask.without_database {
        request = request.header("X-ClickHouse-Database", &target.database);
    }
    if let Some(password) = password(target)? {
        request = request.header("X-ClickHouse-Key", password);
    }
    request.body(Full::new(body)).map_err(unusable)
}

/// The password, read anew: it may have been changed. Never part of an error.
fn password(target: &Target) -> Result<Option<hyper::header::HeaderValue>, ArchiveError> {
    let Some(path) = &target.password_file else { return Ok(None) };
    let failed = |cause| ArchiveError::File { key: "password_file", path: path.clone(), cause };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let line = text.trim_end_matches(['\r', '\n']);
    let mut value = hyper::header::HeaderValue::from_str(line).map_err(|_invalid| {
        failed(io::Error::new(io::ErrorKind::InvalidData, "it holds more than one line of text"))
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Percent-encodes all that is not plain (RFC 3986 §2.3).
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn tls_config(target: &Target) -> Result<ClientConfig, ArchiveError> {
    let path = target.ca.clone().unwrap_or_default();
    let failed = |cause| ArchiveError::File { key: "ca", path: path.clone(), cause };
    let invalid = |text: String| failed(io::Error::new(io::ErrorKind::InvalidData, text));
    let bytes = std::fs::read(&path).map_err(failed)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("it holds no certificate in PEM".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange(
    target: &Target,
    tls: Option<ClientConfig>,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, ArchiveError> {
    let unreachable = |cause| ArchiveError::Connect { server: server_of(target), cause };
    let place = (target.host.as_str(), target.port);
    let stream = in_time(TcpStream::connect(place)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let Some(config) = tls else { return answered(stream, request).await };
    let name = ServerName::try_from(target.host.clone())
        .map_err(|error| unreachable(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let shaking = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
    answered(in_time(shaking).await.map_err(unreachable)?, request).await
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s");
    tokio::time::timeout(CONNECT_WAIT, work).await.map_err(late)?
}

async fn answered<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Bytes, ArchiveError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ArchiveError::Broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(ArchiveError::Broken)?;
        whole(response).await
    };
    let mut exchange = std::pin::pin!(exchange);
    // How the connection ended is told by the exchange.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ended = connection => exchange.await,
    }
}

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Bytes, ArchiveError> {
    let (parts, body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if parts.status.is_redirection() {
        let to = header(LOCATION.as_str()).unwrap_or_default();
        return Err(ArchiveError::Redirected { to: to.chars().take(TOLD_CHARS_MAX).collect() });
    }
    let code = header(EXCEPTION_CODE).and_then(|code| code.parse().ok());
    let encoding = header(CONTENT_ENCODING.as_str()).unwrap_or("identity").to_ascii_lowercase();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(broken)?.to_bytes();
    let body = match encoding.as_str() {
        "identity" | "" => body,
        "gzip" => inflated(&body)?,
        _ => return Err(ArchiveError::Encoding(encoding.chars().take(40).collect())),
    };
    match (parts.status, code) {
        (StatusCode::OK, None) => Ok(body),
        (status, code) => Err(refused(status, code, &body)),
    }
}

fn broken(error: Box<dyn std::error::Error + Send + Sync>) -> ArchiveError {
    match error.downcast::<hyper::Error>() {
        Ok(error) => ArchiveError::Broken(*error),
        Err(error) if error.is::<LengthLimitError>() => {
            ArchiveError::TooLarge { limit: ANSWER_BYTES_MAX }
        }
        Err(error) => ArchiveError::Answer(error.to_string()),
    }
}

/// A proxy may compress what was not asked to be.
fn inflated(body: &[u8]) -> Result<Bytes, ArchiveError> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(body).take(ANSWER_BYTES_MAX as u64 + 1);
    let read = decoder.read_to_end(&mut plain);
    read.map_err(|error| ArchiveError::Answer(format!("it is no whole gzip: {error}")))?;
    if plain.len() > ANSWER_BYTES_MAX {
        return Err(ArchiveError::TooLarge { limit: ANSWER_BYTES_MAX });
    }
    Ok(plain.into())
}

fn refused(status: StatusCode, code: Option<u32>, body: &[u8]) -> ArchiveError {
    let text = exception_in(body);
    let (found, text) = text.unwrap_or_else(|| {
        let said = told(&String::from_utf8_lossy(body));
        (
            0,
            if said.is_empty() {
                format!("HTTP {status}")
            } else {
                format!("HTTP {status}: {said}")
            },
        )
    });
    ArchiveError::Refused { status: status.as_u16(), code: code.unwrap_or(found), text }
}

/// The exception in a body that says 200: the last thing in it, `Code: N. DB::Exception: ...`.
pub(crate) fn exception_in(body: &[u8]) -> Option<(u32, String)> {
    let tail = body.get(body.len().saturating_sub(TAIL_BYTES)..)?;
    let text = String::from_utf8_lossy(tail);
    let at = text.rfind("DB::Exception")?;
    let start = text.get(..at)?.rfind("Code: ")?;
    let text = text.get(start..)?;
    let digits: String = text.chars().skip(6).take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, told(text)))
}

/// Somebody else's words, without what could move a terminal's cursor.
fn told(text: &str) -> String {
    let line = text.trim().chars().take(TOLD_CHARS_MAX);
    line.map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// An exception that an answer of 200 holds where rows of Parquet were asked for.
pub(crate) fn not_rows(body: &[u8]) -> ArchiveError {
    match exception_in(body) {
        Some((code, text)) => ArchiveError::Refused { status: 200, code, text },
        None => ArchiveError::Answer(format!("{} bytes that are no whole Parquet", body.len())),
    }
}
