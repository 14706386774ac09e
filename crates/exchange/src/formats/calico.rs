//! Calico: flows of Whisker (calico whisker-backend, `FlowResponse`), and flow logs of Calico Enterprise
//! and Cloud (Calico Enterprise documentation, "Flow log data types"), from files or Elasticsearch.
//!
//! A record sums connections of some seconds or minutes that one end reports. Pods of one owner are put
//! together under a name that ends with `*`. Processes are not read: they come without their user.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_model::{
    DecidedBy, Direction, Labels, PartyKind, ServiceRef, Timestamp, Verdict, WorkloadRef,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::text::{NOT_OURS, Number, address, has_members, parsed, port, protocol, utf8};
use crate::reader::{ElementFormat, Told};
use crate::record::{Count, End, Identity, Item, Orientation, Record, Reject, Side, Sums};

/// Reads records.
#[derive(Debug)]
pub(crate) struct Calico;

/// Whether it begins as these records do.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    has_members(head, &["source_namespace", "dest_namespace", "reporter", "action"])
        && (has_members(head, &["source_name"]) || has_members(head, &["source_name_aggr"]))
}

/// A hit of Elasticsearch around a record.
#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(borrow, rename = "_source")]
    source: Flow<'a>,
}

#[derive(Deserialize)]
struct Flow<'a> {
    start_time: Option<Moment<'a>>,
    end_time: Option<Moment<'a>>,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reporter: Option<Cow<'a, str>>,
    #[serde(borrow, alias = "protocol")]
    proto: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source_ip: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dest_ip: Option<Cow<'a, str>>,
    source_port: Option<Number>,
    dest_port: Option<Number>,
    #[serde(borrow)]
    source_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dest_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dest_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source_name_aggr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dest_name_aggr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source_namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dest_namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source_labels: Option<Words<'a>>,
    #[serde(borrow)]
    dest_labels: Option<Words<'a>>,
    #[serde(borrow)]
    dest_service_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dest_service_namespace: Option<Cow<'a, str>>,
    dest_service_port_num: Option<Number>,
    #[serde(borrow)]
    dest_domains: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    policies: Option<Policies<'a>>,
    bytes_in: Option<Number>,
    bytes_out: Option<Number>,
    packets_in: Option<Number>,
    packets_out: Option<Number>,
    num_flows: Option<Number>,
    #[serde(alias = "connections_started")]
    num_flows_started: Option<Number>,
}

/// Seconds since 1970, or RFC 3339.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Moment<'a> {
    Seconds(u64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

/// Labels: `a=b | c=d`, a list, or a list in an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words<'a> {
    #[serde(borrow)]
    Line(Cow<'a, str>),
    #[serde(borrow)]
    List(Vec<Cow<'a, str>>),
    Inside {
        #[serde(borrow)]
        labels: Vec<Cow<'a, str>>,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Policies<'a> {
    // The first that fits is taken, so the one that must have a field comes first.
    Lines {
        #[serde(borrow, alias = "enforced_policies")]
        all_policies: Vec<Cow<'a, str>>,
    },
    Trace {
        #[serde(default, borrow)]
        enforced: Vec<Policy<'a>>,
        #[serde(default, borrow)]
        pending: Vec<Policy<'a>>,
    },
    #[serde(borrow)]
    List(Vec<Cow<'a, str>>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Policy<'a> {
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    namespace: Cow<'a, str>,
    #[serde(default, borrow)]
    action: Cow<'a, str>,
    rule_index: Option<i64>,
    /// The policy whose tier ended, if none of its rules matched.
    #[serde(borrow)]
    trigger: Option<Box<Policy<'a>>>,
}

impl ElementFormat for Calico {
    fn element(&mut self, element: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        let read = utf8(element).and_then(|text| {
            let flow = if text.contains("\"_source\"") {
                parsed::<Hit<'_>>(text)?.source
            } else {
                parsed::<Flow<'_>>(text)?
            };
            flow.item()
        });
        tell(Told::Unit(element, read.map(Some)));
    }
}

/// One end of a record.
struct Ends<'a> {
    ip: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    labels: Labels,
}

/// A word; `-` and empty ones are none.
fn word<'a>(word: &'a Option<Cow<'_, str>>) -> Option<&'a str> {
    word.as_deref().filter(|word| !matches!(*word, "" | "-"))
}

impl Flow<'_> {
    fn item(&self) -> Result<Item, Reject> {
        let must = |field: &str, value: Option<&str>| {
            value.map(str::to_owned).ok_or_else(|| Reject::new(format!("{field}: it is missing")))
        };
        let proto = must("protocol", word(&self.proto))?;
        let Some(protocol) = protocol("protocol", &proto)? else {
            return Ok(Item::Skipped(NOT_OURS));
        };
        let side = match self.reporter.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("src" | "source") => Side::Source,
            Some("dst" | "dest" | "destination") => Side::Destination,
            Some(_) | None => return Err(Reject::new("reporter: not src or dst")),
        };
        let (verdict, decided_by) = self.verdict(side)?;
        let start = moment("start_time", &self.start_time)?;
        let (source, destination) = self.ends();
        let in_and_out = |into: Option<Number>, out: Option<Number>| {
            let (into, out) = (into.unwrap_or_default().0, out.unwrap_or_default().0);
            // In and out are those of the end that reports.
            if side == Side::Source { (out, into) } else { (into, out) }
        };
        let (bytes_sent, bytes_received) = in_and_out(self.bytes_in, self.bytes_out);
        let (packets_sent, packets_received) = in_and_out(self.packets_in, self.packets_out);
        let started = self.num_flows_started.map(|told| told.0);
        let denied = self.num_flows.unwrap_or(Number(1)).0;
        let connections = if verdict == Verdict::Denied { Some(denied) } else { started };
        let name = self.dest_domains.as_ref().and_then(|names| names.first());
        Ok(Item::Record(Box::new(Record {
            source: source.end(port("source_port", self.source_port)?, None)?,
            destination: destination
                .end(port("dest_port", self.dest_port)?, name.map(|name| name.to_string()))?,
            orientation: Orientation::Initiator,
            protocol,
            verdict,
            decided_by,
            start,
            end: moment("end_time", &self.end_time)?.max(start),
            connections: Count::Told(connections.unwrap_or(1)),
            sums: Sums { bytes_sent, bytes_received, packets_sent, packets_received },
            reset: false,
            service: self.service()?,
            asked: None,
            observer: if side == Side::Source { "src" } else { "dst" }.to_owned(),
            side,
        })))
    }

    fn ends(&self) -> (Ends<'_>, Ends<'_>) {
        let name = |name, aggregated| {
            let pod = word(name).filter(|name| !name.ends_with('*'));
            pod.or_else(|| word(aggregated)).or_else(|| word(name)).unwrap_or_default()
        };
        let labels = |words: &Option<Words<'_>>| words.as_ref().map(Words::labels);
        let source = Ends {
            ip: word(&self.source_ip),
            kind: word(&self.source_type).unwrap_or_default(),
            name: name(&self.source_name, &self.source_name_aggr),
            namespace: word(&self.source_namespace).unwrap_or_default(),
            labels: labels(&self.source_labels).unwrap_or_default(),
        };
        let destination = Ends {
            ip: word(&self.dest_ip),
            kind: word(&self.dest_type).unwrap_or_default(),
            name: name(&self.dest_name, &self.dest_name_aggr),
            namespace: word(&self.dest_namespace).unwrap_or_default(),
            labels: labels(&self.dest_labels).unwrap_or_default(),
        };
        (source, destination)
    }

    fn service(&self) -> Result<Option<ServiceRef>, Reject> {
        let own = word(&self.dest_service_name).zip(word(&self.dest_service_namespace));
        let Some((name, namespace)) = own else { return Ok(None) };
        let told = self.dest_service_port_num.or(self.dest_port);
        Ok(Some(ServiceRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port: port("dest_service_port_num", told)?,
        }))
    }

    /// What became of it. Where staged policies would deny what is allowed, it would be denied.
    fn verdict(&self, side: Side) -> Result<(Verdict, Option<DecidedBy>), Reject> {
        let direction = if side == Side::Source { Direction::Egress } else { Direction::Ingress };
        let action = self.action.as_deref().unwrap_or_default().to_ascii_lowercase();
        let by = |policy: Option<DecidedBy>| policy.map(|by| DecidedBy { direction, ..by });
        match (action.as_str(), &self.policies) {
            ("deny", Some(policies)) => Ok((Verdict::Denied, by(policies.denying(false)))),
            ("deny", None) => Ok((Verdict::Denied, None)),
            ("allow", Some(policies)) => Ok(match policies.denying(true) {
                Some(policy) => (Verdict::WouldDeny, by(Some(policy))),
                None => (Verdict::Allowed, None),
            }),
            ("allow", None) => Ok((Verdict::Allowed, None)),
            _ => Err(Reject::new("action: not allow or deny")),
        }
    }
}

fn moment(field: &str, time: &Option<Moment<'_>>) -> Result<Timestamp, Reject> {
    match time {
        Some(Moment::Seconds(seconds)) => Ok(Timestamp::from_seconds(*seconds)),
        Some(Moment::Text(text)) => super::text::moment(field, text),
        None => Err(Reject::new(format!("{field}: it is missing"))),
    }
}

impl Words<'_> {
    fn labels(&self) -> Labels {
        let pair = |word: &str| {
            let (key, value) = word.trim().split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        };
        match self {
            Self::Line(line) => line.split(['|', ',']).filter_map(pair).collect(),
            Self::List(labels) | Self::Inside { labels } => {
                labels.iter().filter_map(|label| pair(label)).collect()
            }
            Self::Other(_) => Labels::new(),
        }
    }
}

impl Policies<'_> {
    /// The policy that denied, or that would if it were enforced.
    fn denying(&self, pending: bool) -> Option<DecidedBy> {
        match self {
            Self::Trace { enforced, pending: staged } => {
                let last = if pending { staged.last() } else { enforced.last() }?;
                last.action.eq_ignore_ascii_case("deny").then(|| last.decision())
            }
            Self::Lines { all_policies: lines } | Self::List(lines) => {
                lines.iter().rev().find_map(|line| denying(line, pending))
            }
            Self::Other(_) => None,
        }
    }
}

impl Policy<'_> {
    fn decision(&self) -> DecidedBy {
        // The end of a tier denies on behalf of the policies in it that selected the end.
        let policy = self.trigger.as_deref().unwrap_or(self);
        let own = [&*policy.namespace, &*policy.name];
        let rule = self.rule_index.and_then(|index| u32::try_from(index).ok());
        DecidedBy {
            policy: own.join("/").trim_start_matches('/').to_owned(),
            rule: rule.filter(|_| self.trigger.is_none()),
            direction: Direction::Egress,
        }
    }
}

/// `index|tier|namespace/tier.name|action|rule`; a name with `staged:` is not enforced.
fn denying(line: &str, pending: bool) -> Option<DecidedBy> {
    let mut words = line.split('|').skip(2);
    let (name, action, rule) = (words.next()?, words.next()?, words.next());
    let staged = name.contains("staged:");
    if action != "deny" || staged != pending {
        return None;
    }
    let rule = rule.and_then(|rule| rule.parse().ok());
    let policy = name.replace("staged:", "");
    Some(DecidedBy { policy, rule, direction: Direction::Egress })
}

impl Ends<'_> {
    fn end(self, port: u16, dns_name: Option<String>) -> Result<End, Reject> {
        let read = |ip: &str| -> Result<IpAddr, Reject> { address("ip", ip) };
        let address = self.ip.map(read).transpose()?;
        let dns_name = dns_name.filter(|_| self.namespace.is_empty());
        let identity = self.identity(address).map(Arc::new);
        Ok(End { address, port, identity, dns_name, process: None })
    }

    /// Pods have a namespace; networks, sets of them, and hosts have none.
    fn identity(self, address: Option<IpAddr>) -> Option<Identity> {
        let kind = match self.kind {
            "wep" => PartyKind::Pod,
            "hep" => PartyKind::Node,
            "" if !self.namespace.is_empty() => PartyKind::Pod,
            _ => PartyKind::External,
        };
        // The inventory, or its own address, says more than `pub` and `pvt` do.
        if self.name.is_empty() || (kind == PartyKind::External && address.is_some()) {
            return None;
        }
        let name = match self.name {
            "pub" | "PUBLIC NETWORK" => "public network",
            "pvt" | "PRIVATE NETWORK" => "private network",
            other => other,
        };
        let pod = kind == PartyKind::Pod;
        let workload = if pod { owner(name, self.namespace, &self.labels) } else { None };
        Some(Identity {
            kind,
            namespace: if pod { self.namespace.to_owned() } else { String::new() },
            name: name.to_owned(),
            workload,
            labels: if pod { self.labels } else { Labels::new() },
        })
    }
}

/// The owner of a pod, or of pods put together, as the labels that controllers add tell it.
fn owner(name: &str, namespace: &str, labels: &Labels) -> Option<WorkloadRef> {
    let (own, _) = name.rsplit_once('-')?;
    let (name, kind) = if let Some(hash) = labels.get("pod-template-hash") {
        (own.strip_suffix(hash.as_str())?.strip_suffix('-')?, "Deployment")
    } else if labels.contains_key("statefulset.kubernetes.io/pod-name") {
        (own, "StatefulSet")
    } else if labels.contains_key("pod-template-generation") {
        (own, "DaemonSet")
    } else if let Some(job) = labels.get("batch.kubernetes.io/job-name") {
        (job.as_str(), "Job")
    } else {
        return None;
    };
    Some(WorkloadRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
    })
}
