//! `dns`: a small authoritative DNS server over UDP and TCP that answers from the lab's zone file.
//! The file is read anew when it changes; unknown names get NXDOMAIN.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use sekisho_system::wait;

use super::args::Service;
use super::dns_wire::{
    Answer, CODE_NO_NAME, CODE_OK, Question, TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_TXT, UDP_BYTES_MAX,
    respond,
};
use super::metrics::Metrics;
use super::say;
use crate::{SHARED_INSIDE, ZONE_FILE};

const PORT: u16 = 53;
const CONNECTIONS_MAX: usize = 32;
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs until the process is ended.
pub(super) fn run(words: &[&str]) -> Result<ExitCode, String> {
    let mut bind = None;
    let mut wildcards = Vec::new();
    let mut port = PORT;
    let mut metrics_port = None;
    let mut words = words.iter();
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
        let wrong = || format!("`{value}` is no value for `{flag}`");
        match *flag {
            "--bind" => bind = Some(value.parse().map_err(|_text| wrong())?),
            "--port" => port = value.parse().map_err(|_text| wrong())?,
            "--metrics" => metrics_port = Some(value.parse::<u16>().map_err(|_text| wrong())?),
            "--wildcard" => {
                let (domain, ip) = value.split_once('=').ok_or_else(wrong)?;
                let ip: IpAddr = ip.parse().map_err(|_text| wrong())?;
                wildcards.push((domain.to_ascii_lowercase(), ip));
            }
            _ => return Err(format!("unknown argument `{flag}`")),
        }
    }
    let zone = Arc::new(Zone {
        path: Path::new(SHARED_INSIDE).join(ZONE_FILE),
        wildcards,
        names: Mutex::default(),
    });
    let metrics = Arc::new(Metrics::default());
    let text = |error: io::Error| format!("listen at port {port}: {error}");
    let ip = bind.unwrap_or_else(any_address);
    let socket = UdpSocket::bind((ip, port)).map_err(text)?;
    let listener = TcpListener::bind((ip, port)).map_err(text)?;
    let (zone_udp, metrics_udp) = (Arc::clone(&zone), Arc::clone(&metrics));
    thread::spawn(move || serve_udp(&socket, &zone_udp, &metrics_udp));
    let metrics_tcp = Arc::clone(&metrics);
    thread::spawn(move || serve_tcp(&listener, &zone, &metrics_tcp));
    if let Some(port) = metrics_port {
        let open = Arc::new(AtomicUsize::new(0));
        super::serve::listen(Service::Metrics, None, port, (&metrics, &open)).map_err(text)?;
    }
    say("serving DNS");
    loop {
        thread::park();
    }
}

/// All addresses of both families; without IPv6, of the other. A pod has one address of each
/// family, so answers leave from the one that was asked.
fn any_address() -> IpAddr {
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

type Names = BTreeMap<String, Vec<IpAddr>>;

struct Zone {
    path: PathBuf,
    wildcards: Vec<(String, IpAddr)>,
    /// When the file was changed that was read last, and its names.
    names: Mutex<(Option<SystemTime>, Names)>,
}

impl Zone {
    fn lookup(&self, question: &Question) -> Answer {
        let wildcard = self.wildcards.iter().find(|(domain, _)| {
            question
                .name
                .strip_suffix(domain.as_str())
                .is_some_and(|it| it.is_empty() || it.ends_with('.'))
        });
        if let Some((_, ip)) = wildcard {
            return match question.kind {
                TYPE_TXT => Answer::Text("ok".to_owned()),
                kind => Answer::Addresses(CODE_OK, of_kind(kind, &[*ip])),
            };
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = fs::metadata(&self.path).and_then(|meta| meta.modified()).ok();
        if changed.is_none() || names.0 != changed {
            let text = fs::read_to_string(&self.path).unwrap_or_default();
            // The file is replaced as a whole; if it is broken the former names stay.
            if let Ok(read) = serde_json::from_str(&text) {
                *names = (changed, read);
            }
        }
        match names.1.get(&question.name) {
            Some(ips) => Answer::Addresses(CODE_OK, of_kind(question.kind, ips)),
            None => Answer::Addresses(CODE_NO_NAME, Vec::new()),
        }
    }
}

fn of_kind(kind: u16, ips: &[IpAddr]) -> Vec<IpAddr> {
    let wanted = |ip: &&IpAddr| match kind {
        TYPE_A => ip.is_ipv4(),
        TYPE_AAAA => ip.is_ipv6(),
        TYPE_ANY => true,
        _ => false,
    };
    ips.iter().filter(wanted).copied().collect()
}

fn serve_udp(socket: &UdpSocket, zone: &Zone, metrics: &Metrics) {
    let mut buffer = [0; 1500];
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer) else {
            wait::pause_for(Duration::from_millis(20));
            continue;
        };
        let message = buffer.get(..size).unwrap_or_default();
        if let Some(answer) = respond(message, UDP_BYTES_MAX, |question| zone.lookup(question)) {
            metrics.request("dns:udp");
            send_answer(socket, &answer, from);
        }
    }
}

fn send_answer(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    // A client that is gone asks no more.
    socket.send_to(answer, to).ok();
}

fn serve_tcp(listener: &TcpListener, zone: &Arc<Zone>, metrics: &Arc<Metrics>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            wait::pause_for(Duration::from_millis(20));
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (zone, metrics, open) = (Arc::clone(zone), Arc::clone(metrics), Arc::clone(&open));
        thread::spawn(move || {
            // A client that breaks off is its own affair.
            converse(stream, &zone, &metrics).ok();
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Two bytes of length before each message (RFC 1035 §4.2.2).
fn converse(mut stream: TcpStream, zone: &Zone, metrics: &Metrics) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message)?;
        let answer = respond(&message, usize::from(u16::MAX), |question| zone.lookup(question));
        let Some(answer) = answer else { return Ok(()) };
        metrics.request("dns:tcp");
        stream.write_all(&u16::try_from(answer.len()).unwrap_or_default().to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}
