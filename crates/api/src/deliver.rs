//! Gives bytes to somebody else's server: HTTP, or a stream of syslog, with TLS or without.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use crate::MaterialError;
use crate::tls::client_of_strangers;

/// Longest wait for a connection and for a handshake.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Longest answer that is read, bytes: only its beginning is told.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// So much of an answer that says no is told, characters.
const TOLD_MAX: usize = 200;
/// Where the machine keeps the authorities that it believes; the first that is there.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How something is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP POST.
    Http,
    /// HTTP POST over TLS.
    Https,
    /// Bytes in a TCP stream.
    Tcp,
    /// Bytes in a TCP stream over TLS (RFC 5425 for syslog).
    Tls,
    /// One datagram a message.
    Udp,
}

/// Where something is given to: `https://HOST[:PORT]/PATH`, `tls://HOST:PORT`, ...
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// How.
    pub transport: Transport,
    /// Name or address.
    host: String,
    port: u16,
    /// Path and query, for HTTP.
    path: String,
}

/// A text is no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is none of https://HOST[:PORT]/PATH, http://HOST[:PORT]/PATH, tls://HOST:PORT, \
     tcp://HOST:PORT, udp://HOST:PORT"
)]
pub struct DestinationError(String);

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || DestinationError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (transport, usual) = match scheme {
            "http" => (Transport::Http, Some(80)),
            "https" => (Transport::Https, Some(443)),
            "tcp" => (Transport::Tcp, None),
            "tls" => (Transport::Tls, None),
            "udp" => (Transport::Udp, None),
            _ => return Err(wrong()),
        };
        let slash = rest.find('/').unwrap_or(rest.len());
        let (place, path) = rest.split_at(slash);
        if usual.is_none() && !path.trim_end_matches('/').is_empty() {
            return Err(wrong());
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_cause| wrong())?)
            }
            Some(_) | None => (place, usual.ok_or_else(wrong)?),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_plain = |letter: char| letter.is_ascii_graphic() && !"@#?\\".contains(letter);
        if host.is_empty() || port == 0 || !host.chars().all(is_plain) {
            return Err(wrong());
        }
        if !path.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(wrong());
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { transport, host: host.to_owned(), port, path: path.to_owned() })
    }
}

/// Without the path: it may hold a secret.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Http => "http",
            Transport::Https => "https",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Udp => "udp",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// Something could not be given; it may be given again.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// No connection, or it broke.
    #[error("{0}")]
    Io(String),
    /// The authorities can't be used.
    #[error("TLS")]
    Material(#[from] MaterialError),
    /// The other end says no.
    #[error("it answered {status}: {told}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The beginning of its answer.
        told: String,
    },
    /// No answer in time.
    #[error("no answer within {0} s")]
    Timeout(u64),
}

/// An answer that says no; what it says beyond its status is for people only.
fn refused(status: StatusCode, told: Option<&Bytes>) -> DeliverError {
    let told: &[u8] = told.map(AsRef::as_ref).unwrap_or_default();
    let told: String = String::from_utf8_lossy(told).chars().take(TOLD_MAX).collect();
    DeliverError::Refused { status: status.as_u16(), told: sekisho_base::harmless(&told) }
}

impl DeliverError {
    fn io(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Destination {
    /// Whether what is given can be read by nobody else: it is encrypted, or stays on this machine.
    pub(crate) fn is_private(&self) -> bool {
        let is_loopback = |ip: IpAddr| ip.is_loopback();
        match self.transport {
            Transport::Https | Transport::Tls => true,
            Transport::Http | Transport::Tcp | Transport::Udp => {
                self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
            }
        }
    }

    /// Name or address of the other end.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Gives `messages`: as the body of one POST with these headers, one after the other in a stream,
    /// or each as a datagram. A stream tells nothing of what became of them beyond this machine.
    ///
    /// # Errors
    /// [`DeliverError`]; some of it may have arrived.
    pub async fn deliver(
        &self,
        messages: Bytes,
        headers: &[(&str, String)],
        authorities: Option<&Path>,
    ) -> Result<(), DeliverError> {
        let giving = async {
            match self.transport {
                Transport::Http | Transport::Https => {
                    let wire = self.connect(authorities).await?;
                    self.post(wire, messages, headers).await
                }
                Transport::Tcp | Transport::Tls => {
                    let mut wire = self.connect(authorities).await?;
                    wire.write_all(&messages).await.map_err(DeliverError::io)?;
                    wire.flush().await.map_err(DeliverError::io)?;
                    wire.shutdown().await.map_err(DeliverError::io)
                }
                Transport::Udp => self.datagrams(&messages).await,
            }
        };
        match tokio::time::timeout(ANSWER_WAIT, giving).await {
            Ok(given) => given,
            Err(_elapsed) => Err(DeliverError::Timeout(ANSWER_WAIT.as_secs())),
        }
    }

    async fn connect(&self, authorities: Option<&Path>) -> Result<Box<dyn Wire>, DeliverError> {
        let late = |_elapsed| DeliverError::Timeout(CONNECT_WAIT.as_secs());
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(CONNECT_WAIT, connecting).await.map_err(late)?;
        let stream = stream.map_err(DeliverError::io)?;
        match self.transport {
            Transport::Http | Transport::Tcp | Transport::Udp => Ok(Box::new(stream)),
            Transport::Https | Transport::Tls => {
                let usual = AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
                let none =
                    || DeliverError::Io("no authorities are known: name them (`ca`)".to_owned());
                let authorities = authorities.or(usual).ok_or_else(none)?;
                let config = Arc::new(client_of_strangers(authorities)?);
                let name = ServerName::try_from(self.host.clone());
                let name = name.map_err(|cause| DeliverError::Io(cause.to_string()))?;
                let shaking = TlsConnector::from(config).connect(name, stream);
                let stream = tokio::time::timeout(CONNECT_WAIT, shaking).await.map_err(late)?;
                Ok(Box::new(stream.map_err(DeliverError::io)?))
            }
        }
    }

    async fn post(
        &self,
        wire: Box<dyn Wire>,
        body: Bytes,
        headers: &[(&str, String)],
    ) -> Result<(), DeliverError> {
        let asked = (Method::POST, self.path.as_str(), body);
        let (status, told) = self.talk(wire, asked, headers, ANSWER_BYTES_MAX).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(refused(status, told.as_ref())),
        }
    }

    /// Asks over HTTP, and gives the answer if it is a good one and has at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`DeliverError`], also for an answer that is longer.
    pub(crate) async fn ask(
        &self,
        (method, body): (Method, Bytes),
        headers: &[(&str, String)],
        authorities: Option<&Path>,
        bytes_max: usize,
    ) -> Result<Bytes, DeliverError> {
        let asking = async {
            let wire = self.connect(authorities).await?;
            let asked = (method, self.path.as_str(), body);
            let (status, told) = self.talk(wire, asked, headers, bytes_max).await?;
            match status.is_success() {
                true => told.ok_or_else(|| {
                    DeliverError::Io(format!(
                        "the answer broke off, or has more than {bytes_max} bytes"
                    ))
                }),
                false => Err(refused(status, told.as_ref())),
            }
        };
        match tokio::time::timeout(ANSWER_WAIT, asking).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(DeliverError::Timeout(ANSWER_WAIT.as_secs())),
        }
    }

    /// One request and its answer; a body that can't be read whole is None.
    async fn talk(
        &self,
        wire: Box<dyn Wire>,
        (method, path, body): (Method, &str, Bytes),
        headers: &[(&str, String)],
        bytes_max: usize,
    ) -> Result<(StatusCode, Option<Bytes>), DeliverError> {
        let broken = |error: hyper::Error| DeliverError::Io(error.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(wire)).await.map_err(broken)?;
        let place = match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        };
        let mut request = Request::builder().method(method).uri(path).header("host", place);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|error| DeliverError::Io(error.to_string()))?;
        let answering = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), bytes_max).collect().await;
            Ok::<_, DeliverError>((status, body.ok().map(|body| body.to_bytes())))
        };
        let mut answering = std::pin::pin!(answering);
        tokio::select! {
            biased;
            answer = &mut answering => answer,
            // The end of the connection is told by the answer, or by its absence.
            _ended = connection => answering.await,
        }
    }

    /// Each line of `messages` as a datagram.
    async fn datagrams(&self, messages: &[u8]) -> Result<(), DeliverError> {
        let any = if self.host.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any).await.map_err(DeliverError::io)?;
        let place = (self.host.as_str(), self.port);
        socket.connect(place).await.map_err(DeliverError::io)?;
        for message in messages.split(|byte| *byte == b'\n').filter(|one| !one.is_empty()) {
            socket.send(message).await.map_err(DeliverError::io)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_a_transport_a_host_and_a_port() {
        for (text, told) in [
            ("https://siem.example/hook?key=1", "https://siem.example:443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://[::1]:8443/x", "https://[::1]:8443"),
            ("https://[::1]/x", "https://[::1]:443"),
            ("tls://logs.example:6514", "tls://logs.example:6514"),
            ("udp://10.0.0.1:514/", "udp://10.0.0.1:514"),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), told);
        }
        for text in [
            "siem.example",
            "ftp://a:1",
            "tcp://a",
            "tcp://a:0",
            "tcp://a:601/path",
            "https://user:pw@a/",
            "https://:443/",
            "http://a/b c",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
