//! Google Cloud: VPC flow logs and firewall logs, as Cloud Logging writes them (`gcloud logging read
//! --format json`, a sink's files).
//!
//! Fields: Google Cloud documentation, "VPC Flow Logs record format" and "Firewall Rules Logging record
//! format". A flow record tells one direction of packets as one end saw it; the service has scaled its
//! samples up. A firewall record tells of the first packet of a connection, and what the rule did.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_model::{
    DecidedBy, Direction, Labels, PartyKind, ServiceRef, Timestamp, Verdict, WorkloadRef,
};
use serde::Deserialize;

use super::text::{NOT_OURS, Number, address, has_members, moment, parsed, port, protocol, utf8};
use crate::reader::{ElementFormat, Told};
use crate::record::{Count, End, Identity, Item, Orientation, Record, Reject, Side, Sums};

/// Reads entries.
#[derive(Debug)]
pub(crate) struct Gcp;

/// Whether it begins as entries of Cloud Logging about connections do.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    has_members(head, &["jsonPayload", "connection", "src_ip", "dest_ip"])
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, rename = "jsonPayload")]
    payload: Option<Payload<'a>>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    connection: Option<Connection<'a>>,
    #[serde(borrow)]
    start_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    end_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reporter: Option<Cow<'a, str>>,
    bytes_sent: Option<Number>,
    packets_sent: Option<Number>,
    #[serde(borrow)]
    src_instance: Option<Instance<'a>>,
    #[serde(borrow)]
    dest_instance: Option<Instance<'a>>,
    #[serde(borrow)]
    src_gke_details: Option<Gke<'a>>,
    #[serde(borrow)]
    dest_gke_details: Option<Gke<'a>>,
    #[serde(borrow)]
    src_google_service: Option<Service<'a>>,
    #[serde(borrow)]
    dest_google_service: Option<Service<'a>>,
    /// Of firewall records.
    #[serde(borrow)]
    disposition: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rule_details: Option<Rule<'a>>,
    #[serde(borrow)]
    instance: Option<Instance<'a>>,
    #[serde(borrow)]
    remote_instance: Option<Instance<'a>>,
}

#[derive(Deserialize)]
struct Connection<'a> {
    #[serde(borrow)]
    src_ip: Cow<'a, str>,
    #[serde(borrow)]
    dest_ip: Cow<'a, str>,
    src_port: Option<Number>,
    dest_port: Option<Number>,
    protocol: Number,
}

#[derive(Deserialize)]
struct Instance<'a> {
    #[serde(default, borrow)]
    vm_name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Gke<'a> {
    #[serde(borrow)]
    pod: Option<Pod<'a>>,
    #[serde(default, borrow)]
    service: Vec<Service<'a>>,
}

#[derive(Deserialize)]
struct Pod<'a> {
    #[serde(default, borrow)]
    pod_name: Cow<'a, str>,
    #[serde(default, borrow)]
    pod_namespace: Cow<'a, str>,
    #[serde(borrow)]
    pod_workload: Option<Workload<'a>>,
}

#[derive(Deserialize)]
struct Workload<'a> {
    #[serde(default, borrow)]
    workload_name: Cow<'a, str>,
    #[serde(default, borrow)]
    workload_type: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Service<'a> {
    #[serde(default, borrow)]
    service_name: Cow<'a, str>,
    #[serde(default, borrow)]
    service_namespace: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Rule<'a> {
    #[serde(default, borrow)]
    reference: Cow<'a, str>,
    #[serde(default, borrow)]
    direction: Cow<'a, str>,
}

impl ElementFormat for Gcp {
    fn element(&mut self, element: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        tell(Told::Unit(element, item(element).map(Some)));
    }
}

fn item(element: &[u8]) -> Result<Item, Reject> {
    let entry: Entry<'_> = parsed(utf8(element)?)?;
    let Some(payload) = entry.payload else {
        return Ok(Item::Skipped("an entry of another log"));
    };
    let Some(connection) = &payload.connection else {
        return Ok(Item::Skipped("an entry of another log"));
    };
    let number = connection.protocol.0.to_string();
    let Some(protocol) = protocol("connection.protocol", &number)? else {
        return Ok(Item::Skipped(NOT_OURS));
    };
    let ends = connection.ends()?;
    let mut record = Record {
        source: ends.0,
        destination: ends.1,
        orientation: Orientation::Packets,
        protocol,
        verdict: Verdict::Allowed,
        decided_by: None,
        start: Timestamp::EPOCH,
        end: Timestamp::EPOCH,
        connections: Count::ByTuple,
        sums: Sums {
            bytes_sent: payload.bytes_sent.unwrap_or_default().0,
            packets_sent: payload.packets_sent.unwrap_or_default().0,
            ..Sums::default()
        },
        reset: false,
        service: None,
        asked: None,
        observer: String::new(),
        side: Side::Between,
    };
    match &payload.disposition {
        Some(word) => payload.firewall(word, entry.timestamp.as_deref(), &mut record)?,
        None => payload.flow(&mut record)?,
    }
    Ok(Item::Record(Box::new(record)))
}

impl Connection<'_> {
    fn ends(&self) -> Result<(End, End), Reject> {
        let end = |address: IpAddr, port| End { address: Some(address), port, ..End::default() };
        Ok((
            end(
                address("connection.src_ip", &self.src_ip)?,
                port("connection.src_port", self.src_port)?,
            ),
            end(
                address("connection.dest_ip", &self.dest_ip)?,
                port("connection.dest_port", self.dest_port)?,
            ),
        ))
    }
}

impl Payload<'_> {
    /// What a flow record says besides the connection.
    fn flow(&self, record: &mut Record) -> Result<(), Reject> {
        let time = |field: &str, word: &Option<Cow<'_, str>>| match word {
            Some(word) => moment(field, word),
            None => Err(Reject::new(format!("{field}: it is missing"))),
        };
        record.start = time("start_time", &self.start_time)?;
        record.end = time("end_time", &self.end_time)?;
        record.side = match self.reporter.as_deref() {
            Some("SRC") => Side::Source,
            Some("DEST") => Side::Destination,
            Some(_) | None => Side::Between,
        };
        let (observer, end) = match record.side {
            Side::Destination => ("DEST", record.destination.address),
            Side::Source | Side::Between => ("SRC", record.source.address),
        };
        record.observer =
            end.map_or_else(|| observer.to_owned(), |address| format!("{observer} {address}"));
        record.source.identity = identity(&self.src_gke_details, &self.src_instance).map(Arc::new);
        let destination = identity(&self.dest_gke_details, &self.dest_instance);
        record.destination.identity = destination.map(Arc::new);
        record.source.dns_name = name(&self.src_google_service);
        record.destination.dns_name = name(&self.dest_google_service);
        let service = self.dest_gke_details.as_ref().and_then(|gke| gke.service.first());
        record.service = service.filter(|own| !own.service_name.is_empty()).map(|own| ServiceRef {
            namespace: own.service_namespace.clone().into_owned(),
            name: own.service_name.clone().into_owned(),
            port: record.destination.port,
        });
        Ok(())
    }

    /// What a firewall record says besides the connection.
    fn firewall(
        &self,
        word: &str,
        timestamp: Option<&str>,
        record: &mut Record,
    ) -> Result<(), Reject> {
        let rule = self.rule_details.as_ref();
        let inward = rule.is_some_and(|rule| rule.direction == "INGRESS");
        let direction = if inward { Direction::Ingress } else { Direction::Egress };
        record.verdict = match word {
            "ALLOWED" => Verdict::Allowed,
            "DENIED" => Verdict::Denied,
            _ => return Err(Reject::new("disposition: not ALLOWED or DENIED")),
        };
        record.decided_by = rule
            .filter(|_| record.verdict == Verdict::Denied)
            .map(|rule| DecidedBy { policy: rule.reference.to_string(), rule: None, direction });
        let time = timestamp.ok_or_else(|| Reject::new("timestamp: it is missing"))?;
        record.start = moment("timestamp", time)?;
        record.end = record.start;
        record.orientation = Orientation::Initiator;
        let of = |instance| identity(&None, instance).map(Arc::new);
        let (own, other) = (of(&self.instance), of(&self.remote_instance));
        (record.source.identity, record.destination.identity, record.side) =
            if inward { (other, own, Side::Destination) } else { (own, other, Side::Source) };
        record.observer = format!("firewall {direction}");
        Ok(())
    }
}

/// The pod, or else the machine: an external one, unless the inventory knows its address.
fn identity(gke: &Option<Gke<'_>>, instance: &Option<Instance<'_>>) -> Option<Identity> {
    let pod = gke.as_ref().and_then(|gke| gke.pod.as_ref());
    if let Some(pod) = pod.filter(|pod| !pod.pod_name.is_empty()) {
        let namespace = pod.pod_namespace.clone().into_owned();
        let owner = pod.pod_workload.as_ref().filter(|own| !own.workload_name.is_empty());
        return Some(Identity {
            kind: PartyKind::Pod,
            name: pod.pod_name.clone().into_owned(),
            workload: owner.map(|owner| WorkloadRef {
                namespace: namespace.clone(),
                name: owner.workload_name.clone().into_owned(),
                kind: kind(&owner.workload_type),
            }),
            namespace,
            labels: Labels::new(),
        });
    }
    let machine = instance.as_ref().filter(|instance| !instance.vm_name.is_empty())?;
    Some(Identity {
        kind: PartyKind::External,
        namespace: String::new(),
        name: machine.vm_name.clone().into_owned(),
        workload: None,
        labels: Labels::new(),
    })
}

/// `DEPLOYMENT` as Kubernetes writes it.
fn kind(word: &str) -> String {
    match word {
        "REPLICA_SET" => "ReplicaSet".to_owned(),
        "STATEFUL_SET" | "STATEFULSET" => "StatefulSet".to_owned(),
        "DAEMON_SET" | "DAEMONSET" => "DaemonSet".to_owned(),
        "CRON_JOB" | "CRONJOB" => "CronJob".to_owned(),
        "REPLICATION_CONTROLLER" => "ReplicationController".to_owned(),
        _ => {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect()
        }
    }
}

/// The name of a service of Google's.
fn name(service: &Option<Service<'_>>) -> Option<String> {
    let service = service.as_ref().filter(|service| !service.service_name.is_empty())?;
    Some(service.service_name.clone().into_owned())
}
