//! Serves listeners and calls upstreams until the process is ended.

use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sekisho_system::wait;

use super::args::{Args, Service};
use super::call::{Caller, line};
use super::metrics::Metrics;
use super::url::Url;
use super::{say, scrape};

/// Connections served at a time by one workload; more are closed at once.
const CONNECTIONS_MAX: usize = 128;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const HEADERS_MAX: usize = 100;
const DATAGRAM_BYTES_MAX: usize = 2048;

/// Runs until the process is ended.
pub(super) fn run(words: &[&str]) -> Result<ExitCode, String> {
    let args = Args::parse(words)?;
    if args == Args::default() {
        return Err("nothing to serve and nothing to call".to_owned());
    }
    let metrics = Arc::new(Metrics::default());
    let open = Arc::new(AtomicUsize::new(0));
    for (service, port) in &args.listeners {
        listen(*service, args.bind, *port, (&metrics, &open))
            .map_err(|error| format!("listen at port {port}: {error}"))?;
    }
    for url in args.calls {
        let metrics = Arc::clone(&metrics);
        thread::spawn(move || call_forever(url, &metrics));
    }
    if let Some(every) = args.scrape {
        let metrics = Arc::clone(&metrics);
        thread::spawn(move || scrape::forever(every, &metrics));
    }
    say("serving");
    loop {
        thread::park();
    }
}

fn call_forever(url: Url, metrics: &Metrics) {
    let name = url.to_string();
    let every = url.every;
    let mut caller = Caller::new(url);
    let mut due = Instant::now();
    loop {
        wait::pause_for(due.saturating_duration_since(Instant::now()));
        metrics.call(&name, caller.call());
        // After a slow call go on from now: no burst to catch up.
        due = (due + every).max(Instant::now());
    }
}

pub(super) type Shared<'a> = (&'a Arc<Metrics>, &'a Arc<AtomicUsize>);

pub(super) fn listen(
    service: Service,
    bind: Option<IpAddr>,
    port: u16,
    shared: Shared<'_>,
) -> io::Result<()> {
    // The IPv6 socket takes IPv4 too; where there is no IPv6 the other is taken.
    let addresses: Vec<SocketAddr> = match bind {
        Some(ip) => vec![(ip, port).into()],
        None => vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()],
    };
    let (metrics, open) = (Arc::clone(shared.0), Arc::clone(shared.1));
    if service == Service::Udp {
        let socket = UdpSocket::bind(addresses.as_slice())?;
        thread::spawn(move || take_datagrams(&socket, port, &metrics));
        return Ok(());
    }
    let listener = TcpListener::bind(addresses.as_slice())?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of descriptors: give the open connections time to end.
                wait::pause_for(Duration::from_millis(50));
                continue;
            };
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (metrics, open) = (Arc::clone(&metrics), Arc::clone(&open));
            thread::spawn(move || {
                // A client that breaks off is its own affair.
                converse(service, port, stream, &metrics).ok();
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    Ok(())
}

fn take_datagrams(socket: &UdpSocket, port: u16, metrics: &Metrics) {
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    let name = format!("udp:{port}");
    loop {
        match socket.recv_from(&mut buffer) {
            Ok(_) => metrics.request(&name),
            Err(_) => wait::pause_for(Duration::from_millis(50)),
        }
    }
}

fn converse(service: Service, port: u16, stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    match service {
        Service::Http => http(&mut requests, &mut answers, || {
            metrics.request(&format!("http:{port}"));
            "ok\n".to_owned()
        }),
        Service::Metrics => http(&mut requests, &mut answers, || metrics.text()),
        Service::Tcp => loop {
            let text = line(&mut requests)?;
            metrics.request(&format!("tcp:{port}"));
            writeln!(answers, "{text}")?;
        },
        Service::Redis => loop {
            redis_command(&mut requests)?;
            metrics.request(&format!("redis:{port}"));
            answers.write_all(b"+PONG\r\n")?;
        },
        Service::Postgres => postgres(&mut requests, &mut answers, || {
            metrics.request(&format!("postgres:{port}"));
        }),
        Service::Udp => Ok(()),
    }
}

fn http(
    requests: &mut BufReader<TcpStream>,
    answers: &mut TcpStream,
    body: impl Fn() -> String,
) -> io::Result<()> {
    loop {
        let first = line(requests)?;
        let mut close = first.ends_with("HTTP/1.0");
        for _ in 0..HEADERS_MAX {
            let header = line(requests)?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            close |= header.starts_with("connection:") && header.contains("close");
        }
        let (status, body) = if first.starts_with("GET ") {
            ("200 OK", body())
        } else {
            close = true;
            ("405 Method Not Allowed", String::new())
        };
        let connection = if close { "close" } else { "keep-alive" };
        let length = body.len();
        answers.write_all(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                 Connection: {connection}\r\n\r\n{body}"
            )
            .as_bytes(),
        )?;
        if close {
            return Ok(());
        }
    }
}

/// Reads a command in RESP arrays of bulk strings, whatever it is.
fn redis_command(requests: &mut BufReader<TcpStream>) -> io::Result<()> {
    let head = line(requests)?;
    let count: usize = head.strip_prefix('*').and_then(|it| it.parse().ok()).unwrap_or(0);
    for _ in 0..count.min(HEADERS_MAX) * 2 {
        line(requests)?;
    }
    Ok(())
}

/// Answers as a PostgreSQL that trusts everybody and whose queries return nothing: a stand-in
/// where no PostgreSQL is installed.
fn postgres(
    requests: &mut BufReader<TcpStream>,
    answers: &mut TcpStream,
    count: impl Fn(),
) -> io::Result<()> {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    let mut started = false;
    loop {
        let kind = if started { read_bytes::<1>(requests)? } else { [b'S'] };
        let length =
            usize::try_from(u32::from_be_bytes(read_bytes(requests)?)).unwrap_or(usize::MAX);
        let rest = length.saturating_sub(4);
        if rest > DATAGRAM_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        io::copy(&mut requests.by_ref().take(rest as u64), &mut io::sink())?;
        match kind {
            [b'S'] => {
                started = true;
                answers.write_all(b"R\0\0\0\x08\0\0\0\0")?;
            }
            [b'Q'] => {
                count();
                answers.write_all(b"C\0\0\0\x0dSELECT 0\0")?;
            }
            _ => return Ok(()),
        }
        answers.write_all(READY)?;
    }
}

fn read_bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves on a free port and calls it once with each scheme given.
    fn answered(service: Service, scheme: &str) -> Result<(), String> {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let metrics = Arc::new(Metrics::default());
        let open = Arc::new(AtomicUsize::new(0));
        let local = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        listen(service, local, port, (&metrics, &open)).unwrap();
        let url = Url::parse(&format!("{scheme}://127.0.0.1:{port}")).unwrap();
        let mut caller = Caller::new(url);
        caller.call().and_then(|()| caller.call())
    }

    #[test]
    fn each_listener_answers_its_own_client_once_and_kept() {
        let pairs = [
            (Service::Http, "http"),
            (Service::Tcp, "tcp"),
            (Service::Redis, "redis"),
            (Service::Postgres, "postgres"),
        ];
        for (service, scheme) in pairs {
            answered(service, scheme).unwrap();
            answered(service, &format!("keep+{scheme}")).unwrap();
        }
    }

    #[test]
    fn a_listener_that_speaks_otherwise_counts_as_an_error() {
        assert!(answered(Service::Tcp, "postgres").is_err());
        assert!(answered(Service::Http, "redis").is_err());
    }
}
