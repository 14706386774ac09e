//! NetObserv: flows as its pipeline writes them, one JSON object each, or as Loki hands them out.
//!
//! Fields: netobserv/network-observability-operator `docs/flows-format.adoc`. A record tells one
//! direction of packets at one node. In Loki some fields are labels of the stream, and not in the lines.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_model::{
    DecidedBy, Direction, Labels, PartyKind, ServiceRef, Timestamp, Verdict, WorkloadRef,
};
use serde::Deserialize;

use super::text::{NOT_OURS, Number, address, has_members, parsed, port, protocol, utf8};
use crate::reader::{ElementFormat, Told};
use crate::record::{Count, End, Identity, Item, Orientation, Record, Reject, Side, Sums};

/// Drops that a packet filter decided (linux v6.18 include/net/dropreason-core.h).
const FILTERED: [&str; 3] =
    ["SKB_DROP_REASON_NETFILTER_DROP", "SKB_DROP_REASON_BPF_CGROUP_EGRESS", "OVS_DROP_EXPLICIT"];

/// Reads records.
#[derive(Debug)]
pub(crate) struct NetObserv;

/// Whether it begins as these records do; Loki quotes them once more.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let fields = ["SrcAddr", "DstAddr", "TimeFlowEndMs"];
    let quoted = fields.map(|field| format!("\\\"{field}\\"));
    let text = String::from_utf8_lossy(head);
    has_members(head, &fields) || quoted.iter().all(|field| text.contains(field.as_str()))
}

/// A stream of Loki's: labels, and lines with their times.
#[derive(Deserialize)]
struct Stream<'a> {
    #[serde(borrow)]
    stream: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    #[serde(default, borrow)]
    values: Vec<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Flow<'a> {
    #[serde(borrow)]
    src_addr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dst_addr: Option<Cow<'a, str>>,
    src_port: Option<Number>,
    dst_port: Option<Number>,
    proto: Option<Number>,
    bytes: Option<Number>,
    packets: Option<Number>,
    sampling: Option<Number>,
    time_flow_start_ms: Option<Number>,
    time_flow_end_ms: Option<Number>,
    flow_direction: Option<Number>,
    #[serde(default, borrow)]
    flags: Flags<'a>,
    duplicate: Option<bool>,
    #[serde(borrow, rename = "_RecordType")]
    record_type: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "AgentIP")]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    xlat_dst_addr: Option<Cow<'a, str>>,
    xlat_dst_port: Option<Number>,
    pkt_drop_packets: Option<Number>,
    #[serde(borrow)]
    pkt_drop_latest_drop_cause: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    network_events: Vec<Event<'a>>,
    /// Names of the ends: `SrcK8S_Name` and others.
    #[serde(flatten, borrow)]
    names: BTreeMap<Cow<'a, str>, Text<'a>>,
}

/// Flags of TCP: a list of names, or one number in older versions.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flags<'a> {
    #[serde(borrow)]
    Names(Vec<Cow<'a, str>>),
    Bits(u64),
}

impl Default for Flags<'_> {
    fn default() -> Self {
        Self::Bits(0)
    }
}

impl Flags<'_> {
    /// Whether it holds a flag. An answer to SYN has a flag of its own, so that both are told apart.
    fn has(&self, name: &str, bit: u64) -> bool {
        match self {
            Self::Names(names) => names.iter().any(|own| own == name),
            Self::Bits(bits) => bits & bit != 0,
        }
    }
}

/// Text; what is none is of no interest.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(default, borrow)]
    feature: Cow<'a, str>,
    #[serde(default, borrow)]
    action: Cow<'a, str>,
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    namespace: Cow<'a, str>,
    #[serde(default, borrow)]
    direction: Cow<'a, str>,
}

impl ElementFormat for NetObserv {
    fn element(&mut self, element: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        let text = match utf8(element) {
            Ok(text) => text,
            Err(reject) => return tell(Told::Unit(element, Err(reject))),
        };
        if !text.contains("\"values\"") {
            return one(text, &BTreeMap::new(), tell);
        }
        match parsed::<Stream<'_>>(text) {
            Ok(Stream { stream: Some(labels), values }) if !values.is_empty() => {
                for value in &values {
                    match value.get(1) {
                        Some(line) => one(line, &labels, tell),
                        None => tell(Told::Unit(b"", Err(Reject::new("values: no line")))),
                    }
                }
            }
            Ok(_) => tell(Told::Unit(element, Ok(None))),
            Err(reject) => tell(Told::Unit(element, Err(reject))),
        }
    }
}

fn one(line: &str, labels: &BTreeMap<Cow<'_, str>, Cow<'_, str>>, tell: &mut dyn FnMut(Told<'_>)) {
    let read = parsed::<Flow<'_>>(line).and_then(|mut flow| {
        for (name, value) in labels {
            flow.names.entry(name.clone()).or_insert_with(|| Text::Text(value.clone()));
        }
        if flow.flow_direction.is_none() {
            flow.flow_direction =
                flow.name("FlowDirection").and_then(|n| n.parse().ok()).map(Number);
        }
        if let Some(Number(rate @ 2..)) = flow.sampling {
            tell(Told::Sampled(rate));
        }
        flow.item()
    });
    tell(Told::Unit(line.as_bytes(), read.map(Some)));
}

impl Flow<'_> {
    fn name(&self, name: &str) -> Option<&str> {
        match self.names.get(name)? {
            Text::Text(text) if !text.is_empty() => Some(text),
            Text::Text(_) | Text::Other(_) => None,
        }
    }

    fn item(&self) -> Result<Item, Reject> {
        if self.record_type.as_deref().is_some_and(|kind| kind != "flowLog") {
            return Ok(Item::Skipped("a summary of a conversation, whose flows are told apart"));
        }
        if self.duplicate == Some(true) {
            return Ok(Item::Skipped("a duplicate of another interface"));
        }
        let must = |field: &str, word: &Option<Cow<'_, str>>| match word {
            Some(word) => address(field, word),
            None => Err(Reject::new(format!("{field}: it is missing"))),
        };
        let word = self.proto.ok_or_else(|| Reject::new("Proto: it is missing"))?.0.to_string();
        let Some(protocol) = protocol("Proto", &word)? else {
            return Ok(Item::Skipped(NOT_OURS));
        };
        let end =
            self.time_flow_end_ms.ok_or_else(|| Reject::new("TimeFlowEndMs: it is missing"))?;
        let start = self.time_flow_start_ms.unwrap_or(end);
        let time = |ms: Number| Timestamp::from_nanos(ms.0.saturating_mul(1_000_000));
        let (from, to) = (must("SrcAddr", &self.src_addr)?, must("DstAddr", &self.dst_addr)?);
        let (verdict, decided_by) = self.verdict();
        let mut destination = End {
            address: Some(to),
            port: port("DstPort", self.dst_port)?,
            identity: self.identity("Dst").map(Arc::new),
            ..End::default()
        };
        let asked = destination.clone();
        // Who answers, where the address that was asked for is a Service's.
        if let Some(translated) = &self.xlat_dst_addr {
            let translated = address("XlatDstAddr", translated)?;
            if translated != to {
                destination.address = Some(translated);
                destination.port = port("XlatDstPort", self.xlat_dst_port)?;
                destination.identity = self.identity("XlatDst").map(Arc::new);
            }
        }
        let orientation = match (self.flags.has("SYN", 0x02), self.flags.has("SYN_ACK", 0x100)) {
            (_, true) => Orientation::Responder,
            (true, false) => Orientation::Initiator,
            (false, false) => Orientation::Packets,
        };
        let times = self.sampling.map_or(1, |sampling| sampling.0.max(1));
        let scaled = |count: Option<Number>| count.unwrap_or_default().0.saturating_mul(times);
        Ok(Item::Record(Box::new(Record {
            source: End {
                address: Some(from),
                port: port("SrcPort", self.src_port)?,
                identity: self.identity("Src").map(Arc::new),
                ..End::default()
            },
            service: asked.identity.as_ref().and_then(|own| service(own, asked.port)),
            asked: asked.address.map(|ip| (ip, asked.port).into()),
            destination,
            orientation,
            protocol,
            verdict,
            decided_by,
            start: time(start),
            end: time(end),
            connections: Count::ByTuple,
            sums: Sums {
                bytes_sent: scaled(self.bytes),
                packets_sent: scaled(self.packets),
                ..Sums::default()
            },
            reset: self.flags.has("RST", 0x04),
            observer: self.observer(),
            side: self.side(),
        })))
    }

    /// A node sees a connection between two of its pods twice, in each direction.
    fn observer(&self) -> String {
        let direction = self.flow_direction.unwrap_or_default().0;
        format!("{} {direction}", self.agent.as_deref().unwrap_or_default())
    }

    fn side(&self) -> Side {
        match self.flow_direction {
            Some(Number(0)) => Side::Destination,
            Some(Number(1)) => Side::Source,
            Some(_) | None => Side::Between,
        }
    }

    /// Denied is what an ACL or packet filter dropped as a whole; other drops are no verdict of policy.
    fn verdict(&self) -> (Verdict, Option<DecidedBy>) {
        let acl = self
            .network_events
            .iter()
            .find(|event| event.feature == "acl" && matches!(&*event.action, "drop" | "reject"));
        if let Some(acl) = acl {
            let inward = acl.direction.eq_ignore_ascii_case("ingress");
            let by = DecidedBy {
                policy: format!("{}/{}", acl.namespace, acl.name).trim_matches('/').to_owned(),
                rule: None,
                direction: if inward { Direction::Ingress } else { Direction::Egress },
            };
            return (Verdict::Denied, Some(by));
        }
        let dropped = self.pkt_drop_packets.unwrap_or_default().0;
        let all = dropped > 0 && dropped >= self.packets.unwrap_or_default().0;
        let cause = self.pkt_drop_latest_drop_cause.as_deref().unwrap_or_default();
        match (all, FILTERED.contains(&cause)) {
            (true, true) => (Verdict::Denied, None),
            (true, false) => (Verdict::Unknown, None),
            (false, _) => (Verdict::Allowed, None),
        }
    }

    fn identity(&self, end: &str) -> Option<Identity> {
        let get = |field: &str| self.name(&format!("{end}K8S_{field}"));
        let name = get("Name")?.to_owned();
        let kind = match get("Type")? {
            "Pod" => PartyKind::Pod,
            "Service" => PartyKind::Service,
            "Node" => PartyKind::Node,
            _ => return None,
        };
        let namespace = get("Namespace").unwrap_or_default().to_owned();
        let owner = get("OwnerName").zip(get("OwnerType"));
        let owner = owner.filter(|_| kind == PartyKind::Pod);
        let workload = owner.map(|(name, kind)| WorkloadRef {
            namespace: namespace.clone(),
            name: name.to_owned(),
            kind: kind.to_owned(),
        });
        Some(Identity { kind, namespace, name, workload, labels: Labels::new() })
    }
}

fn service(identity: &Identity, port: u16) -> Option<ServiceRef> {
    (identity.kind == PartyKind::Service).then(|| ServiceRef {
        namespace: identity.namespace.clone(),
        name: identity.name.clone(),
        port,
    })
}
