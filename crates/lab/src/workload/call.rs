//! Calls to upstreams: one request and its answer in each protocol, with time-outs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use super::url::{Scheme, Url};

const TIMEOUT: Duration = Duration::from_secs(3);
const BODY_BYTES_MAX: u64 = 256 * 1024;
const LINE_BYTES_MAX: u64 = 4096;
/// PostgreSQL's messages that we read are short.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// An upstream with, if it is kept, its open connection.
pub(super) struct Caller {
    url: Url,
    open: Option<BufReader<TcpStream>>,
}

impl Caller {
    pub(super) fn new(url: Url) -> Self {
        Self { url, open: None }
    }

    /// Calls once.
    ///
    /// # Errors
    /// What failed, in words.
    pub(super) fn call(&mut self) -> Result<(), String> {
        if self.url.scheme == Scheme::Udp {
            return self.datagram().map_err(|error| error.to_string());
        }
        let (mut stream, fresh) = match self.open.take() {
            Some(stream) => (stream, false),
            None => (connect(&self.url)?, true),
        };
        self.exchange(&mut stream, fresh).map_err(|error| error.to_string())?;
        if self.url.keep {
            self.open = Some(stream);
        } else if self.url.scheme == Scheme::Postgres {
            // Terminate, or the server logs a lost client.
            stream.get_mut().write_all(b"X\0\0\0\x04").ok();
        }
        Ok(())
    }

    fn exchange(&self, stream: &mut BufReader<TcpStream>, fresh: bool) -> io::Result<()> {
        match self.url.scheme {
            Scheme::Http => {
                let status = http_get(stream, &self.url)?.0;
                if (200..400).contains(&status) {
                    Ok(())
                } else {
                    Err(said(format!("status {status}")))
                }
            }
            Scheme::Tcp => {
                stream.get_mut().write_all(b"hello\n")?;
                line(stream).map(drop)
            }
            Scheme::Redis => {
                stream.get_mut().write_all(b"*1\r\n$4\r\nPING\r\n")?;
                let answer = line(stream)?;
                if answer.starts_with('+') { Ok(()) } else { Err(said(answer)) }
            }
            Scheme::Postgres => {
                if fresh {
                    postgres_start(stream, self.url.path.trim_start_matches('/'))?;
                }
                let query = b"SELECT 1\0";
                let length = u32::try_from(query.len() + 4).unwrap_or_default();
                let mut message = vec![b'Q'];
                message.extend(length.to_be_bytes());
                message.extend(query);
                stream.get_mut().write_all(&message)?;
                postgres_until_ready(stream)
            }
            Scheme::Udp => Ok(()),
        }
    }

    fn datagram(&self) -> io::Result<()> {
        let address = resolve(&self.url).map_err(said)?.into_iter().next();
        let address = address.ok_or_else(|| said("no address".to_owned()))?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.send(b"shop.requests:1|c\n").map(drop)
    }
}

fn said(text: String) -> io::Error {
    io::Error::other(text)
}

fn resolve(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let found = (url.host.as_str(), url.port).to_socket_addrs();
    found.map(Iterator::collect).map_err(|error| format!("resolve `{}`: {error}", url.host))
}

/// Connects to the first address that answers.
pub(super) fn connect(url: &Url) -> Result<BufReader<TcpStream>, String> {
    let mut last = format!("`{}` has no address", url.host);
    for address in resolve(url)? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT)).ok();
                stream.set_write_timeout(Some(TIMEOUT)).ok();
                stream.set_nodelay(true).ok();
                return Ok(BufReader::new(stream));
            }
            Err(error) => last = format!("connect to {address}: {error}"),
        }
    }
    Err(last)
}

/// GETs a URL on an open connection and returns status and body.
pub(super) fn http_get(stream: &mut BufReader<TcpStream>, url: &Url) -> io::Result<(u16, String)> {
    let connection = if url.keep { "keep-alive" } else { "close" };
    write!(
        stream.get_mut(),
        "GET {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: sekisho-workload\r\n\
         Connection: {connection}\r\n\r\n",
        url.path,
        url.host,
        url.port
    )?;
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| said(format!("not HTTP: {first}")))?;
    let mut length = None;
    loop {
        let header = line(stream)?;
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let mut body = Vec::new();
    stream.take(length.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX)).read_to_end(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Reads a line of bounded length, without its end; an error at the end of the stream.
pub(super) fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    let count = Read::take(&mut *stream, LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Logs in as `shop` (PostgreSQL 15, chapter 55.7: StartupMessage).
fn postgres_start(stream: &mut BufReader<TcpStream>, database: &str) -> io::Result<()> {
    let database = if database.is_empty() { "postgres" } else { database };
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (key, value) in [("user", "postgres"), ("database", database)] {
        body.extend(key.as_bytes());
        body.push(0);
        body.extend(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or_default();
    let mut message = length.to_be_bytes().to_vec();
    message.extend(body);
    stream.get_mut().write_all(&message)?;
    postgres_until_ready(stream)
}

/// Reads messages until ReadyForQuery.
fn postgres_until_ready(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    loop {
        let mut head = [0_u8; 5];
        stream.read_exact(&mut head)?;
        let [kind, a, b, c, d] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let rest = length.saturating_sub(4);
        if rest > MESSAGE_BYTES_MAX {
            return Err(said(format!("PostgreSQL message of {length} bytes")));
        }
        let mut body = vec![0; rest];
        stream.read_exact(&mut body)?;
        match kind {
            b'Z' => return Ok(()),
            b'E' => return Err(said(String::from_utf8_lossy(&body).replace('\0', " "))),
            // Anything but AuthenticationOk asks for a password.
            b'R' if body != [0; 4] => return Err(said("the server wants a password".to_owned())),
            _ => {}
        }
    }
}
