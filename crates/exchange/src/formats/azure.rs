//! Azure: virtual network flow logs (version 4) and network security group flow logs (1 and 2).
//!
//! Fields: Azure documentation, "Virtual network flow logs" and "Flow logging for network security
//! groups". A file is one answer with a record a minute and interface; the units counted here are the
//! tuples in it. A tuple tells a connection from its initiator, and which rule decided.

use std::borrow::Cow;

use sekisho_model::{DecidedBy, Direction, Timestamp, Verdict};
use serde::Deserialize;

use super::text::{NOT_OURS, address, has_members, number, parsed, protocol, utf8};
use crate::reader::{ElementFormat, Told};
use crate::record::{Count, End, Item, Orientation, Record, Reject, Side, Sums};

/// Reads records.
#[derive(Debug)]
pub(crate) struct Azure;

/// Whether it begins as these files do.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let has = |name| has_members(head, &[name]);
    has("flowRecords") && has("flowGroups") || has("flowTuples") && has("flows")
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default, rename = "macAddress")]
    mac: Cow<'a, str>,
    #[serde(borrow, rename = "flowRecords")]
    network: Option<Network<'a>>,
    #[serde(borrow, rename = "properties")]
    group: Option<Group<'a>>,
}

#[derive(Deserialize)]
struct Network<'a> {
    #[serde(borrow, default)]
    flows: Vec<Acl<'a>>,
}

#[derive(Deserialize)]
struct Acl<'a> {
    #[serde(borrow, default, rename = "flowGroups")]
    groups: Vec<Tuples<'a>>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow, default)]
    flows: Vec<Rule<'a>>,
}

#[derive(Deserialize)]
struct Rule<'a> {
    #[serde(borrow, default)]
    rule: Cow<'a, str>,
    #[serde(borrow, default)]
    flows: Vec<Tuples<'a>>,
}

#[derive(Deserialize)]
struct Tuples<'a> {
    #[serde(borrow, default)]
    rule: Cow<'a, str>,
    #[serde(borrow, default)]
    mac: Cow<'a, str>,
    #[serde(borrow, default, rename = "flowTuples")]
    tuples: Vec<Cow<'a, str>>,
}

impl ElementFormat for Azure {
    fn element(&mut self, element: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        let read = utf8(element).and_then(parsed::<Entry<'_>>);
        let entry = match read {
            Ok(entry) => entry,
            Err(reject) => return tell(Told::Unit(element, Err(reject))),
        };
        let mut tuples = 0_u64;
        for acl in entry.network.iter().flat_map(|network| &network.flows) {
            for group in &acl.groups {
                for tuple in &group.tuples {
                    let read = virtual_network(tuple, (&group.rule, &entry.mac));
                    tell(Told::Unit(tuple.as_bytes(), read.map(Some)));
                    tuples += 1;
                }
            }
        }
        for rule in entry.group.iter().flat_map(|group| &group.flows) {
            for group in &rule.flows {
                for tuple in &group.tuples {
                    let read = security_group(tuple, (&rule.rule, &group.mac));
                    tell(Told::Unit(tuple.as_bytes(), read.map(Some)));
                    tuples += 1;
                }
            }
        }
        if tuples == 0 {
            let known = entry.network.is_some() || entry.group.is_some();
            let why = "neither flowRecords nor properties.flows";
            let none = if known { Ok(None) } else { Err(Reject::new(why)) };
            tell(Told::Unit(element, none));
        }
    }
}

/// Words between commas, by place.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn get(&self, at: usize) -> &'a str {
        self.0.get(at).copied().unwrap_or_default()
    }

    fn count(&self, field: &str, at: usize) -> Result<u64, Reject> {
        match self.get(at) {
            "" => Ok(0),
            word => number(field, word),
        }
    }

    /// Counts that begin at a place: packets and bytes sent, then received.
    fn sums(&self, at: usize) -> Result<Sums, Reject> {
        Ok(Sums {
            packets_sent: self.count("packets sent", at)?,
            bytes_sent: self.count("bytes sent", at + 1)?,
            packets_received: self.count("packets received", at + 2)?,
            bytes_received: self.count("bytes received", at + 3)?,
        })
    }

    fn end(&self, name: &str, at: usize) -> Result<End, Reject> {
        let read = number(name, self.get(at + 2))?;
        let port = u16::try_from(read)
            .map_err(|_cause| Reject::new(format!("{name}: no port is above 65535")))?;
        Ok(End { address: Some(address(name, self.get(at))?), port, ..End::default() })
    }
}

/// `ms,source,destination,port,port,protocol,I|O,B|C|E|D,encryption,4 counts`.
fn virtual_network(tuple: &str, by: (&str, &str)) -> Result<Item, Reject> {
    let words = Words(tuple.split(',').take(32).collect());
    if words.0.len() < 9 {
        return Err(Reject::new("a tuple of less than 9 fields"));
    }
    let denied = match words.get(7) {
        "B" | "C" | "E" => false,
        "D" => true,
        _ => return Err(Reject::new("flow state: not B, C, E or D")),
    };
    let time = Timestamp::from_nanos(number("time", words.get(0))?.saturating_mul(1_000_000));
    record(&words, (denied, words.sums(9)?), time, by)
}

/// `s,source,destination,port,port,T|U,I|O,A|D`, and in version 2 `,B|C|E,4 counts`.
fn security_group(tuple: &str, by: (&str, &str)) -> Result<Item, Reject> {
    let words = Words(tuple.split(',').take(32).collect());
    if words.0.len() < 8 {
        return Err(Reject::new("a tuple of less than 8 fields"));
    }
    let denied = match words.get(7) {
        "A" => false,
        "D" => true,
        _ => return Err(Reject::new("decision: not A or D")),
    };
    let time = Timestamp::from_seconds(number("time", words.get(0))?);
    record(&words, (denied, words.sums(9)?), time, by)
}

fn record(
    words: &Words<'_>,
    (denied, sums): (bool, Sums),
    time: Timestamp,
    (rule, observer): (&str, &str),
) -> Result<Item, Reject> {
    let word = match words.get(5) {
        "T" => "6",
        "U" => "17",
        other => other,
    };
    let Some(protocol) = protocol("protocol", word)? else { return Ok(Item::Skipped(NOT_OURS)) };
    let (side, direction) = match words.get(6) {
        "I" => (Side::Destination, Direction::Ingress),
        "O" => (Side::Source, Direction::Egress),
        _ => return Err(Reject::new("direction: not I or O")),
    };
    Ok(Item::Record(Box::new(Record {
        source: words.end("source", 1)?,
        destination: words.end("destination", 2)?,
        orientation: Orientation::Initiator,
        protocol,
        verdict: if denied { Verdict::Denied } else { Verdict::Allowed },
        decided_by: denied.then(|| DecidedBy { policy: rule.to_owned(), rule: None, direction }),
        start: time,
        end: time,
        connections: Count::ByTuple,
        sums,
        reset: false,
        service: None,
        asked: None,
        observer: observer.to_owned(),
        side,
    })))
}
