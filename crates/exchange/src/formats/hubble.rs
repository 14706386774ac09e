//! Hubble's flows as JSON lines: `hubble observe -o json` or `jsonpb`, and the exporter's files.
//!
//! Fields: cilium `api/v1/flow/flow.proto` and `api/v1/observer/observer.proto`, names as there (or in
//! lowerCamelCase, as other printers of protobuf write them). Hubble tells of packets, not of
//! connections: many records are one connection, at both ends and at several points of a node. It
//! counts no bytes and knows no process.

mod ends;
mod message;

use std::borrow::Cow;
use std::net::IpAddr;

use sekisho_model::{DecidedBy, Direction, Protocol, ServiceRef, Timestamp, Verdict};
use serde::Deserialize;

use self::ends::{Ended, Who};
use super::text::{address, parsed};
use crate::reader::LineFormat;
use crate::record::{Count, End, Item, Orientation, Record, Reject, Side, Sums};

pub(crate) use self::ends::Ends;

/// `event_type.type` of a policy's verdict (cilium pkg/monitor/api, MessageTypePolicyVerdict).
const POLICY_VERDICT: i64 = 5;
/// `drop_reason_desc` of packets that a policy denied (flow.proto, enum DropReason).
const DENIED: [&str; 2] = ["POLICY_DENIED", "POLICY_DENY"];

/// Reads lines; remembers the ends of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Hubble {
    ends: Ends,
}

/// A text that is borrowed unless it has escapes. Serde borrows a `Cow` only where that is the whole
/// field, and neither in an `Option` nor in a `Vec`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for Word<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Whether the first line is one that Hubble writes.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let has = |name: &str| line.contains(name);
    line.trim_start().starts_with('{')
        && (has("\"flow\":")
            || has("\"lost_events\":")
            || has("\"node_status\":")
            || has("\"verdict\":"))
        && (has("\"node_name\":") || has("\"nodeName\":") || has("\"traffic_direction\":"))
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    flow: Option<Flow<'a>>,
    #[serde(alias = "lostEvents")]
    lost_events: Option<Lost>,
    #[serde(alias = "nodeStatus")]
    node_status: Option<serde::de::IgnoredAny>,
    #[serde(alias = "agentEvent")]
    agent_event: Option<serde::de::IgnoredAny>,
    #[serde(alias = "debugEvent")]
    debug_event: Option<serde::de::IgnoredAny>,
    #[serde(borrow)]
    time: Option<Word<'a>>,
    /// Without the frame around it, a flow stands by itself.
    verdict: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Lost {
    /// A 64-bit number is text in the JSON of protobuf.
    #[serde(alias = "numEventsLost")]
    num_events_lost: Option<Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

/// A flow, whichever form it came in.
#[derive(Default, Deserialize)]
pub(crate) struct Flow<'a> {
    #[serde(borrow)]
    time: Option<Word<'a>>,
    #[serde(borrow)]
    verdict: Option<Word<'a>>,
    #[serde(borrow, alias = "dropReasonDesc")]
    drop_reason_desc: Option<Word<'a>>,
    #[serde(borrow, rename = "IP", alias = "ip")]
    ip: Option<Ip<'a>>,
    l4: Option<L4>,
    #[serde(borrow)]
    source: Option<Ended<'a>>,
    #[serde(borrow)]
    destination: Option<Ended<'a>>,
    #[serde(borrow, rename = "Type", alias = "type")]
    kind: Option<Word<'a>>,
    #[serde(borrow, alias = "nodeName")]
    node_name: Option<Word<'a>>,
    #[serde(default, borrow, alias = "sourceNames")]
    source_names: Vec<Word<'a>>,
    #[serde(default, borrow, alias = "destinationNames")]
    destination_names: Vec<Word<'a>>,
    #[serde(alias = "eventType")]
    event_type: Option<EventType>,
    #[serde(borrow, alias = "destinationService")]
    destination_service: Option<Service<'a>>,
    #[serde(borrow, alias = "sourceService")]
    source_service: Option<Service<'a>>,
    #[serde(borrow, alias = "trafficDirection")]
    traffic_direction: Option<Word<'a>>,
    #[serde(alias = "isReply")]
    is_reply: Option<bool>,
    #[serde(default, borrow, alias = "egressDeniedBy")]
    egress_denied_by: Vec<Policy<'a>>,
    #[serde(default, borrow, alias = "ingressDeniedBy")]
    ingress_denied_by: Vec<Policy<'a>>,
}

#[derive(Deserialize)]
struct Ip<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    destination: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct L4 {
    #[serde(rename = "TCP", alias = "tcp")]
    tcp: Option<Ports>,
    #[serde(rename = "UDP", alias = "udp")]
    udp: Option<Ports>,
    #[serde(rename = "SCTP", alias = "sctp")]
    sctp: Option<Ports>,
    #[serde(rename = "ICMPv4", alias = "icmpv4")]
    icmp: Option<Icmp>,
    #[serde(rename = "ICMPv6", alias = "icmpv6")]
    icmp6: Option<Icmp>,
}

/// Of which only matters that it is there.
#[derive(Deserialize)]
struct Icmp {}

#[derive(Default, Deserialize)]
struct Ports {
    #[serde(default, alias = "sourcePort")]
    source_port: u16,
    #[serde(default, alias = "destinationPort")]
    destination_port: u16,
    #[serde(default)]
    flags: Flags,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Flags {
    #[serde(default, rename = "SYN", alias = "syn")]
    syn: bool,
    #[serde(default, rename = "ACK", alias = "ack")]
    ack: bool,
    #[serde(default, rename = "RST", alias = "rst")]
    rst: bool,
}

#[derive(Deserialize)]
struct EventType {
    #[serde(default, rename = "type")]
    kind: i64,
}

#[derive(Deserialize)]
struct Service<'a> {
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    namespace: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Policy<'a> {
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    namespace: Cow<'a, str>,
}

impl LineFormat for Hubble {
    fn line(&mut self, line: &[u8]) -> Result<Option<Item>, Reject> {
        let line = std::str::from_utf8(line).map_err(|_cause| Reject::new("no UTF-8 text"))?;
        let frame: Line<'_> = parsed(line)?;
        if let Some(flow) = frame.flow {
            flow.item(&mut self.ends).map(Some)
        } else if let Some(lost) = frame.lost_events {
            let at = frame.time.as_deref().and_then(|time| time.parse().ok());
            Ok(Some(Item::Lost { at, records: lost.count()?.max(1) }))
        } else if frame.node_status.is_some() {
            Ok(Some(Item::Skipped("the state of a node")))
        } else if frame.agent_event.is_some() || frame.debug_event.is_some() {
            Ok(Some(Item::Skipped("an event of the agent, not a flow")))
        } else if frame.verdict.is_some() {
            parsed::<Flow<'_>>(line)?.item(&mut self.ends).map(Some)
        } else {
            Err(Reject::new("neither flow nor lost_events nor node_status"))
        }
    }
}

impl Lost {
    fn count(&self) -> Result<u64, Reject> {
        match &self.num_events_lost {
            Some(Number::Plain(count)) => Ok(*count),
            Some(Number::Text(text)) => text
                .parse()
                .map_err(|_cause| Reject::new("lost_events.num_events_lost: no whole number")),
            None => Ok(1),
        }
    }
}

impl Flow<'_> {
    /// What it tells; `ends` were read before.
    pub(crate) fn item(&self, ends: &mut Ends) -> Result<Item, Reject> {
        let (source, destination) =
            (ends.who(self.source.as_ref())?, ends.who(self.destination.as_ref())?);
        if self.kind.as_deref() == Some("SOCK") || self.verdict.as_deref() == Some("TRANSLATED") {
            return Ok(Item::Skipped("a translation at a socket, whose packets are told apart"));
        }
        let Some(ip) = &self.ip else { return Ok(Item::Skipped("a flow without IP addresses")) };
        let Some((protocol, ports)) = self.ports() else {
            return Ok(Item::Skipped("a protocol that policies don't speak about"));
        };
        let time = self.time.as_deref().ok_or_else(|| Reject::new("time: it is missing"))?;
        let time: Timestamp =
            time.parse().map_err(|_cause| Reject::new("time: no RFC 3339 time"))?;
        let (verdict, decided_by) = self.verdict()?;
        let orientation = self.orientation(ports.flags, verdict);
        let node = self.node();
        let from = address("IP.source", &ip.source)?;
        let to = address("IP.destination", &ip.destination)?;
        let source = end((from, ports.source_port), source, &self.source_names, node);
        let destination =
            end((to, ports.destination_port), destination, &self.destination_names, node);
        let (service, service_port) = match orientation {
            Orientation::Responder => (&self.source_service, ports.source_port),
            Orientation::Initiator | Orientation::Packets => {
                (&self.destination_service, ports.destination_port)
            }
        };
        let service = service.as_ref().filter(|service| !service.name.is_empty());
        Ok(Item::Record(Box::new(Record {
            source,
            destination,
            orientation,
            protocol,
            verdict,
            decided_by,
            start: time,
            end: time,
            connections: Count::ByTuple,
            sums: Sums::default(),
            reset: ports.flags.rst,
            service: service.map(|service| ServiceRef {
                namespace: service.namespace.clone().into_owned(),
                name: service.name.clone().into_owned(),
                port: service_port,
            }),
            asked: None,
            observer: node.to_owned(),
            side: self.side(orientation),
        })))
    }

    /// Name of the node without that of its cluster.
    fn node(&self) -> &str {
        let name = self.node_name.as_deref().unwrap_or_default();
        name.rsplit('/').next().unwrap_or_default()
    }

    fn ports(&self) -> Option<(Protocol, Ports)> {
        let l4 = self.l4.as_ref()?;
        let of = |ports: &Ports| Ports { flags: ports.flags, ..*ports };
        let with = [(Protocol::Tcp, &l4.tcp), (Protocol::Udp, &l4.udp), (Protocol::Sctp, &l4.sctp)];
        let found =
            with.into_iter().find_map(|(protocol, ports)| Some((protocol, of(ports.as_ref()?))));
        let icmp = l4.icmp.is_some() || l4.icmp6.is_some();
        found.or_else(|| icmp.then(|| (Protocol::Icmp, Ports::default())))
    }

    /// What became of the packet, and who decided if a policy did. Other drops are no verdicts of
    /// policy: what would have become of them is unknown.
    fn verdict(&self) -> Result<(Verdict, Option<DecidedBy>), Reject> {
        let word = self.verdict.as_deref().ok_or_else(|| Reject::new("verdict: it is missing"))?;
        let denied = || {
            let egress = self.egress_denied_by.first().map(|one| (one, Direction::Egress));
            let ingress = self.ingress_denied_by.first().map(|one| (one, Direction::Ingress));
            egress.or(ingress).map(|(policy, direction)| DecidedBy {
                policy: policy.full_name(),
                rule: None,
                direction,
            })
        };
        match word {
            "FORWARDED" | "REDIRECTED" | "TRACED" => Ok((Verdict::Allowed, None)),
            "AUDIT" => Ok((Verdict::WouldDeny, denied())),
            "DROPPED" => {
                let by = denied();
                let reason = self.drop_reason_desc.as_deref();
                let by_policy = reason.is_none_or(|reason| DENIED.contains(&reason));
                let verdict =
                    if by_policy || by.is_some() { Verdict::Denied } else { Verdict::Unknown };
                Ok((verdict, by))
            }
            "ERROR" | "VERDICT_UNKNOWN" => Ok((Verdict::Unknown, None)),
            _ => Err(Reject::new("verdict: not one of Hubble's")),
        }
    }

    fn orientation(&self, flags: Flags, verdict: Verdict) -> Orientation {
        let about_the_first_packet = verdict != Verdict::Allowed
            || self.event_type.as_ref().is_some_and(|event| event.kind == POLICY_VERDICT);
        match (self.is_reply, flags.syn, flags.ack) {
            (Some(true), ..) | (None, true, true) => Orientation::Responder,
            (Some(false), ..) | (None, true, false) => Orientation::Initiator,
            (None, false, _) if about_the_first_packet => Orientation::Initiator,
            (None, false, _) => Orientation::Packets,
        }
    }

    /// `traffic_direction` is that of the connection: egress at the initiator's node.
    fn side(&self, orientation: Orientation) -> Side {
        match (self.traffic_direction.as_deref(), orientation) {
            (Some("EGRESS"), Orientation::Responder) => Side::Destination,
            (Some("EGRESS"), _) => Side::Source,
            (Some("INGRESS"), Orientation::Responder) => Side::Source,
            (Some("INGRESS"), _) => Side::Destination,
            (Some(_) | None, _) => Side::Between,
        }
    }
}

impl Policy<'_> {
    fn full_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone().into_owned()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

fn end((address, port): (IpAddr, u16), who: Who, names: &[Word<'_>], node: &str) -> End {
    let identity = who.identity(address, node);
    let dns_name = names.first().map(|name| name.trim_end_matches('.').to_owned());
    // An external is called by its name where there is one; that is the inventory's business.
    End { address: Some(address), port, identity, dns_name, process: None }
}
