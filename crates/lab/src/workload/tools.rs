//! What an attacker brings: scanner, fetcher, exfiltration over TCP and DNS. Exit code 0 means
//! that it worked.

use std::io::{BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;

use super::call::{connect, http_get, line};
use super::dns_wire::{Question, TYPE_TXT, query, response_code};
use super::say;
use super::url::{Url, split_host};

const SCAN_TIMEOUT: Duration = Duration::from_millis(400);
const SCAN_THREADS: usize = 64;
const SCAN_SOCKETS_MAX: usize = 100_000;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const EXFIL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Hex digits per label: 63 characters at most (RFC 1035 §2.3.4).
const TUNNEL_BYTES_PER_LABEL: usize = 30;

fn outcome(worked: bool) -> ExitCode {
    if worked { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Fetches a URL and prints the body; works if the status is 200 to 399.
pub(super) fn get(url: &str) -> Result<ExitCode, String> {
    let url = Url::parse(url)?;
    let answer = connect(&url)
        .and_then(|mut stream| http_get(&mut stream, &url).map_err(|error| error.to_string()));
    Ok(match answer {
        Ok((status, body)) => {
            say(body.trim_end());
            outcome((200..400).contains(&status))
        }
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    })
}

/// Tries all ports (commas) of all targets (addresses, ranges, names; commas); works if at least
/// `least` are open.
pub(super) fn scan(targets: &str, ports: &str, least: &str) -> Result<ExitCode, String> {
    let least: usize = least.parse().map_err(|_text| format!("`{least}` is no number"))?;
    let ports = ports
        .split(',')
        .map(|port| port.parse::<u16>().map_err(|_text| format!("`{port}` is no port")))
        .collect::<Result<Vec<u16>, String>>()?;
    let mut sockets = Vec::new();
    for ip in addresses(targets)? {
        sockets.extend(ports.iter().map(|port| SocketAddr::new(ip, *port)));
    }
    let next = AtomicUsize::new(0);
    let open = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SCAN_THREADS.min(sockets.len()) {
            scope.spawn(|| {
                while let Some(socket) = sockets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if TcpStream::connect_timeout(socket, SCAN_TIMEOUT).is_ok() {
                        open.lock().unwrap_or_else(PoisonError::into_inner).push(*socket);
                    }
                }
            });
        }
    });
    let mut open = open.into_inner().unwrap_or_else(PoisonError::into_inner);
    open.sort();
    open.iter().for_each(|socket| say(&format!("open {socket}")));
    say(&format!("{} of {} open", open.len(), sockets.len()));
    Ok(outcome(open.len() >= least))
}

fn addresses(targets: &str) -> Result<Vec<IpAddr>, String> {
    let mut all = Vec::new();
    for target in targets.split(',') {
        if let Ok(range) = target.parse::<IpNet>() {
            all.extend(range.hosts().take(SCAN_SOCKETS_MAX));
        } else if let Ok(ip) = target.parse() {
            all.push(ip);
        } else {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&(target, 0))
                .map_err(|error| format!("resolve `{target}`: {error}"))?;
            all.extend(found.map(|socket| socket.ip()));
        }
    }
    if all.len() > SCAN_SOCKETS_MAX {
        return Err(format!("{} addresses; at most {SCAN_SOCKETS_MAX}", all.len()));
    }
    Ok(all)
}

/// Sends `bytes` bytes over TCP; works if the other side takes them and answers.
pub(super) fn exfil(target: &str, bytes: &str) -> Result<ExitCode, String> {
    let (host, port) =
        split_host(target, 0).ok_or_else(|| format!("`{target}` is no host:port"))?;
    let count: usize = bytes.parse().map_err(|_text| format!("`{bytes}` is no number"))?;
    let url = Url::parse(&format!("tcp://{target}"))?;
    let send = || -> Result<String, String> {
        let mut stream: BufReader<TcpStream> = connect(&url)?;
        let text = |error: std::io::Error| error.to_string();
        let mut left = count.min(EXFIL_BYTES_MAX);
        let chunk = [b'x'; 1024];
        while left > 0 {
            let size = left.min(chunk.len());
            stream.get_mut().write_all(chunk.get(..size).unwrap_or_default()).map_err(text)?;
            stream.get_mut().write_all(b"\n").map_err(text)?;
            line(&mut stream).map_err(text)?;
            left -= size;
        }
        Ok(format!("{count} bytes sent to {host}:{port}"))
    };
    let result = send();
    say(result.as_ref().unwrap_or_else(|why| why));
    Ok(outcome(result.is_ok()))
}

/// Asks `resolver` for names that carry `text`; works if each question is answered.
pub(super) fn dnstunnel(resolver: &str, domain: &str, text: &str) -> Result<ExitCode, String> {
    let address: IpAddr =
        resolver.parse().map_err(|_text| format!("`{resolver}` is no address"))?;
    let ask = |id: u16, part: &[u8]| -> Result<(), String> {
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let question = Question { name: format!("{hex}.{domain}"), kind: TYPE_TXT };
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let text = |error: std::io::Error| error.to_string();
        let socket = UdpSocket::bind(any).map_err(text)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(text)?;
        socket.connect((address, 53)).map_err(text)?;
        socket.send(&query(id, &question)).map_err(text)?;
        let mut buffer = [0; 512];
        let size = socket.recv(&mut buffer).map_err(text)?;
        match response_code(buffer.get(..size).unwrap_or_default(), id) {
            Some(0) => Ok(()),
            code => Err(format!("answer code {code:?}")),
        }
    };
    let parts = text.as_bytes().chunks(TUNNEL_BYTES_PER_LABEL);
    let result = (1..).zip(parts).try_for_each(|(id, part)| ask(id, part));
    match result {
        Ok(()) => say(&format!("{} bytes carried to {resolver}", text.len())),
        Err(ref why) => say(why),
    }
    Ok(outcome(result.is_ok()))
}
