//! Access logs of Envoy and Istio: Istio's default text, and JSON with Istio's names.
//!
//! Format: Istio documentation, "Envoy Access Logs"; Envoy documentation, "Access logging" and
//! "Response flags". A line is a request or a TCP connection at one proxy. It tells up to two hops: from
//! downstream to the proxy, and from the proxy upstream. A sidecar is a part of its pod, so its hop to
//! the workload in the same pod is none.

use std::borrow::Cow;
use std::net::SocketAddr;

use sekisho_model::{DecidedBy, Direction, Protocol, ServiceRef, Timestamp, Verdict};
use serde::Deserialize;

use super::text::{Number, moment, parsed, utf8};
use crate::lines::{Line, Lines};
use crate::reader::{Reader, Told};
use crate::record::{Count, End, Item, Orientation, Record, Reject, Side, Sums};

/// Words of a line at most.
const WORDS_MAX: usize = 64;

/// Reads lines.
#[derive(Debug, Default)]
pub(crate) struct Envoy {
    lines: Lines,
}

/// Whether a line is one of these; the first ones of a container's log may be others.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n').take(32);
    lines.filter_map(|line| std::str::from_utf8(line).ok()).any(|line| {
        let json = line.starts_with('{')
            && line.contains("\"downstream_remote_address\"")
            && line.contains("\"upstream_cluster\"");
        json || line.starts_with('[') && words(line).is_some_and(|words| Access::of(&words).is_ok())
    })
}

#[derive(Default, Deserialize)]
struct Access<'a> {
    #[serde(borrow)]
    start_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    protocol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response_flags: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response_code_details: Option<Cow<'a, str>>,
    bytes_received: Option<Number>,
    bytes_sent: Option<Number>,
    duration: Option<Number>,
    #[serde(borrow)]
    upstream_host: Option<Cow<'a, str>>,
    #[serde(borrow)]
    upstream_cluster: Option<Cow<'a, str>>,
    #[serde(borrow)]
    upstream_local_address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    downstream_local_address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    downstream_remote_address: Option<Cow<'a, str>>,
}

/// Words of a line: quoted, in brackets, or between blanks.
fn words(line: &str) -> Option<Vec<&str>> {
    let (mut words, mut rest) = (Vec::new(), line.trim());
    while !rest.is_empty() && words.len() < WORDS_MAX {
        let (word, after) = match rest.as_bytes().first() {
            Some(b'"') => rest.get(1..)?.split_once('"')?,
            Some(b'[') if words.is_empty() => rest.get(1..)?.split_once(']')?,
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

impl<'a> Access<'a> {
    /// The fields of Istio's default text, by place. Versions before 1.9 have no details of
    /// connections' ends.
    fn of(words: &[&'a str]) -> Result<Self, Reject> {
        // From the end, because what stands before differs between versions.
        let length = words.len();
        if length < 17 {
            return Err(Reject::new("less fields than Istio's default format has"));
        }
        let last = |back: usize| {
            let word = length.checked_sub(back).and_then(|at| words.get(at)).copied();
            word.filter(|word| *word != "-").map(Cow::Borrowed)
        };
        let first = |at: usize| words.get(at).copied();
        let count = |back: usize| last(back).and_then(|word| word.parse().ok()).map(Number);
        let remote = last(3);
        if remote.as_deref().and_then(socket).is_none()
            || first(0).is_none_or(|t| !t.ends_with('Z'))
        {
            return Err(Reject::new("not Istio's default format"));
        }
        Ok(Self {
            start_time: first(0).map(Cow::Borrowed),
            protocol: first(1).and_then(|word| word.rsplit(' ').next()).map(Cow::Borrowed),
            response_flags: first(3).map(Cow::Borrowed),
            response_code_details: first(4).map(Cow::Borrowed),
            bytes_received: count(15),
            bytes_sent: count(14),
            duration: count(13),
            upstream_host: last(7),
            upstream_cluster: last(6),
            upstream_local_address: last(5),
            downstream_local_address: last(4),
            downstream_remote_address: remote,
        })
    }
}

impl Reader for Envoy {
    fn feed(&mut self, piece: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        self.lines.feed(piece, |line| one(line, tell));
    }

    fn end(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        self.lines.end(|line| one(line, tell));
    }
}

fn one(line: Line<'_>, tell: &mut dyn FnMut(Told<'_>)) {
    let bytes = match line {
        Line::TooLong(bytes) => {
            return tell(Told::Unit(bytes, Err(Reject::new("a line of more than 1 MiB"))));
        }
        Line::Whole(bytes) => bytes,
    };
    match utf8(bytes).and_then(hops) {
        Err(reject) => tell(Told::Unit(bytes, Err(reject))),
        Ok(Hops::Silent) => tell(Told::Unit(bytes, Ok(None))),
        Ok(Hops::Other(why)) => tell(Told::Unit(bytes, Ok(Some(Item::Skipped(why))))),
        Ok(Hops::Told(first, second)) => {
            tell(Told::Unit(bytes, Ok(Some(Item::Record(first)))));
            if let Some(second) = second {
                tell(Told::Gathered(Item::Record(second)));
            }
        }
    }
}

/// What a line tells.
enum Hops {
    Silent,
    Other(&'static str),
    Told(Box<Record>, Option<Box<Record>>),
}

fn hops(line: &str) -> Result<Hops, Reject> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Hops::Silent);
    }
    if line.starts_with('{') {
        let access = parsed::<Access<'_>>(line)?;
        if access.downstream_remote_address.is_none() {
            return Ok(Hops::Other("a line of the proxy's own log"));
        }
        return access.hops();
    }
    let is_own = line.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit()));
    if is_own {
        // `2024-01-01T00:00:00Z info ...`
        return Ok(Hops::Other("a line of the proxy's own log"));
    }
    let words = words(line).ok_or_else(|| Reject::new("a quote that does not end"))?;
    Access::of(&words)?.hops()
}

/// An address with port; None for `-` and for sockets of Unix.
fn socket(word: &str) -> Option<SocketAddr> {
    let socket: SocketAddr = word.parse().ok()?;
    Some(SocketAddr::new(socket.ip().to_canonical(), socket.port()))
}

impl Access<'_> {
    fn hops(&self) -> Result<Hops, Reject> {
        let read = |word: &Option<Cow<'_, str>>| word.as_deref().and_then(socket);
        let remote = read(&self.downstream_remote_address)
            .ok_or_else(|| Reject::new("downstream_remote_address: no address"))?;
        let local = read(&self.downstream_local_address);
        let upstream = read(&self.upstream_host);
        let from = read(&self.upstream_local_address);
        let cluster = self.upstream_cluster.as_deref().unwrap_or_default();
        let inward = cluster.starts_with("inbound|");
        let blank = self.blank()?;
        // The workload itself asks its sidecar: no hop of the network.
        let own = !inward
            && (remote.ip().is_loopback()
                || from.is_some_and(|from| from.ip() == remote.ip())
                || (from.is_none() && cluster.starts_with("outbound|")));
        let to_proxy = local.filter(|_| !own).map(|local| {
            let denied = self.denied();
            let verdict = if denied.is_some() { Verdict::Denied } else { Verdict::Allowed };
            Box::new(Record {
                source: end(remote),
                destination: end(local),
                verdict,
                decided_by: denied.flatten(),
                observer: "downstream".to_owned(),
                side: Side::Destination,
                ..blank.clone()
            })
        });
        let upstream = upstream.filter(|host| !inward && !host.ip().is_loopback());
        let onward = upstream.map(|host| {
            let source = match from {
                Some(from) if own && from.ip() == remote.ip() => from,
                Some(from) if !own => from,
                Some(_) | None => remote,
            };
            let asked = local.filter(|local| own && *local != host);
            Box::new(Record {
                source: end(source),
                destination: end(host),
                verdict: self.reached(),
                service: service(cluster),
                asked,
                observer: "upstream".to_owned(),
                side: Side::Source,
                ..blank
            })
        });
        Ok(match (to_proxy, onward) {
            (Some(first), second) => Hops::Told(first, second),
            (None, Some(first)) => Hops::Told(first, None),
            (None, None) => Hops::Other("a request that went to nobody"),
        })
    }

    fn blank(&self) -> Result<Record, Reject> {
        let start = self.start_time.as_deref().unwrap_or_default();
        let start = moment("start_time", start)?;
        let lasted = self.duration.unwrap_or_default().0.saturating_mul(1_000_000);
        let http3 = self.protocol.as_deref() == Some("HTTP/3");
        Ok(Record {
            source: End::default(),
            destination: End::default(),
            orientation: Orientation::Initiator,
            protocol: if http3 { Protocol::Udp } else { Protocol::Tcp },
            verdict: Verdict::Allowed,
            decided_by: None,
            start,
            end: Timestamp::from_nanos(start.nanos().saturating_add(lasted)),
            connections: Count::ByTuple,
            sums: Sums {
                bytes_sent: self.bytes_received.unwrap_or_default().0,
                bytes_received: self.bytes_sent.unwrap_or_default().0,
                ..Sums::default()
            },
            reset: false,
            service: None,
            asked: None,
            observer: String::new(),
            side: Side::Between,
        })
    }

    /// The policy that denied, if one did: `rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]`.
    fn denied(&self) -> Option<Option<DecidedBy>> {
        let details = self.response_code_details.as_deref().unwrap_or_default();
        let matched = details.strip_prefix("rbac_access_denied_matched_policy[")?;
        let part = |name: &str| {
            let (_, after) = matched.split_once(&format!("{name}["))?;
            Some(after.split_once(']')?.0)
        };
        let policy = part("ns").zip(part("policy"));
        Some(policy.map(|(namespace, name)| DecidedBy {
            policy: format!("{namespace}/{name}"),
            rule: part("rule").and_then(|rule| rule.parse().ok()),
            direction: Direction::Ingress,
        }))
    }

    /// Without a connection upstream nobody knows what became of the attempt.
    fn reached(&self) -> Verdict {
        let flags = self.response_flags.as_deref().unwrap_or_default();
        let failed = flags.split(',').any(|flag| matches!(flag, "UF" | "URX"));
        if failed { Verdict::Unknown } else { Verdict::Allowed }
    }
}

fn end(socket: SocketAddr) -> End {
    End { address: Some(socket.ip()), port: socket.port(), ..End::default() }
}

/// `outbound|8000||httpbin.foo.svc.cluster.local`.
fn service(cluster: &str) -> Option<ServiceRef> {
    let mut words = cluster.strip_prefix("outbound|")?.split('|');
    let (port, host) = (words.next()?.parse().ok()?, words.nth(1)?);
    let (name, rest) = host.split_once('.')?;
    let (namespace, domain) = rest.split_once('.')?;
    domain.starts_with("svc").then(|| ServiceRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        port,
    })
}
