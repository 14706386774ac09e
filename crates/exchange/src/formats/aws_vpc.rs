//! AWS VPC flow logs as text, and as rows of their Parquet files that somebody else made text of.
//!
//! Fields and their meaning: Amazon VPC User Guide, "Flow log records". Without a first line that names
//! them the fields are those of version 2. A record tells one direction of packets at one network
//! interface; who began is told by `tcp-flags`, and guessed without.

use std::net::IpAddr;

use sekisho_model::{Timestamp, Verdict};

use super::text::{address, number, protocol};
use crate::reader::LineFormat;
use crate::record::{Count, End, Item, Orientation, Record, Reject, Side, Sums};

/// Fields of version 2, the default.
const DEFAULT: [&str; 14] = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
];
/// Most fields of a line; version 10 knows about 40.
const FIELDS_MAX: usize = 128;

const SYN: u64 = 2;
const RST: u64 = 4;
const ACK: u64 = 16;

/// Reads lines; remembers which fields they have.
#[derive(Debug, Default)]
pub(crate) struct AwsVpc {
    /// Names of the fields, as a first line gave them.
    named: Option<Vec<String>>,
}

/// Whether the first line names fields, or is a record of version 2.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let words: Vec<&str> = without_time(line).split_ascii_whitespace().take(FIELDS_MAX).collect();
    let is_record = words.len() == DEFAULT.len()
        && words.first() == Some(&"2")
        && words.last().is_some_and(|word| matches!(*word, "OK" | "NODATA" | "SKIPDATA"));
    is_record || is_header(&words)
}

fn is_header(words: &[&str]) -> bool {
    let has = |name: &str| words.iter().any(|word| field(word) == name);
    has("srcaddr") && has("dstaddr") || has("pkt-srcaddr") && has("pkt-dstaddr")
}

/// A field's name as the guide has it: columns of Parquet are called `pkt_srcaddr`, as Athena's names
/// hold no hyphen (Amazon Athena User Guide, "Create tables for flow logs in Apache Parquet format").
fn field(word: &str) -> String {
    word.replace('_', "-")
}

/// Without the time that CloudWatch puts before each message.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((first, rest)) if first.contains('T') && first.parse::<Timestamp>().is_ok() => rest,
        Some(_) | None => line,
    }
}

impl LineFormat for AwsVpc {
    fn line(&mut self, line: &[u8]) -> Result<Option<Item>, Reject> {
        let line = std::str::from_utf8(line).map_err(|_cause| Reject::new("no UTF-8 text"))?;
        let words: Vec<&str> =
            without_time(line.trim()).split_ascii_whitespace().take(FIELDS_MAX).collect();
        if is_header(&words) {
            self.named = Some(words.into_iter().map(field).collect());
            return Ok(None);
        }
        let names: Vec<&str> = match &self.named {
            Some(named) => named.iter().map(String::as_str).collect(),
            None => DEFAULT.to_vec(),
        };
        if words.len() != names.len() {
            return Err(Reject::new(format!(
                "{} fields where {} says {}",
                words.len(),
                if self.named.is_some() { "the first line" } else { "version 2" },
                names.len()
            )));
        }
        Fields { names: &names, words: &words }.item().map(Some)
    }
}

/// One line.
struct Fields<'a> {
    names: &'a [&'a str],
    words: &'a [&'a str],
}

impl<'a> Fields<'a> {
    /// A field; None if the line has none of this name, or `-`.
    fn get(&self, name: &str) -> Option<&'a str> {
        let at = self.names.iter().position(|own| *own == name)?;
        self.words.get(at).copied().filter(|word| *word != "-")
    }

    fn must(&self, name: &str) -> Result<&'a str, Reject> {
        self.get(name).ok_or_else(|| Reject::new(format!("{name}: it is missing")))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Reject> {
        self.get(name).map(|word| number(name, word)).transpose()
    }

    /// The address of the packet rather than of the interface, where a NAT gateway or the like
    /// stands between.
    fn address(&self, packet: &str, interface: &str) -> Result<IpAddr, Reject> {
        match self.get(packet) {
            Some(word) => address(packet, word),
            None => address(interface, self.must(interface)?),
        }
    }

    fn port(&self, name: &str) -> Result<u16, Reject> {
        let port = self.number(name)?.unwrap_or(0);
        u16::try_from(port).map_err(|_cause| Reject::new(format!("{name}: no port is above 65535")))
    }

    /// Transit gateways decide nothing and have no field for it: what they passed on was allowed there.
    fn verdict(&self) -> Result<Verdict, Reject> {
        if !self.names.contains(&"action") && self.names.contains(&"tgw-id") {
            let mut lost = 0_u64;
            for name in self.names.iter().filter(|name| name.starts_with("packets-lost-")) {
                lost = lost.saturating_add(self.number(name)?.unwrap_or(0));
            }
            let passed = self.number("packets")?.unwrap_or(0) > lost;
            return Ok(if passed { Verdict::Allowed } else { Verdict::Unknown });
        }
        match self.must("action")? {
            "ACCEPT" => Ok(Verdict::Allowed),
            "REJECT" => Ok(Verdict::Denied),
            _ => Err(Reject::new("action: not ACCEPT or REJECT")),
        }
    }

    fn item(&self) -> Result<Item, Reject> {
        match self.get("log-status") {
            Some("NODATA") => return Ok(Item::Skipped("an interval without traffic (NODATA)")),
            Some("SKIPDATA") => {
                let at = self.number("end")?.map(Timestamp::from_seconds);
                return Ok(Item::Lost { at, records: 1 });
            }
            Some("OK") | None => {}
            Some(_) => return Err(Reject::new("log-status: not OK, NODATA or SKIPDATA")),
        }
        let Some(protocol) = protocol("protocol", self.must("protocol")?)? else {
            return Ok(Item::Skipped("a protocol that policies don't speak about"));
        };
        let flags = self.number("tcp-flags")?.unwrap_or(0);
        let orientation = match (flags & SYN != 0, flags & ACK != 0) {
            (true, false) => Orientation::Initiator,
            (true, true) => Orientation::Responder,
            (false, _) => Orientation::Packets,
        };
        let side = match self.get("flow-direction") {
            Some("egress") => Side::Source,
            Some("ingress") => Side::Destination,
            Some(_) | None => Side::Between,
        };
        let verdict = self.verdict()?;
        let end =
            |address: IpAddr, port: u16| End { address: Some(address), port, ..End::default() };
        let time = |name| self.must(name).and_then(|word| number(name, word));
        Ok(Item::Record(Box::new(Record {
            source: end(self.address("pkt-srcaddr", "srcaddr")?, self.port("srcport")?),
            destination: end(self.address("pkt-dstaddr", "dstaddr")?, self.port("dstport")?),
            orientation,
            protocol,
            verdict,
            decided_by: None,
            start: Timestamp::from_seconds(time("start")?),
            end: Timestamp::from_seconds(time("end")?),
            connections: Count::ByTuple,
            sums: Sums {
                bytes_sent: self.number("bytes")?.unwrap_or(0),
                packets_sent: self.number("packets")?.unwrap_or(0),
                ..Sums::default()
            },
            reset: flags & RST != 0,
            service: None,
            asked: None,
            observer: self
                .get("interface-id")
                .or_else(|| self.get("tgw-id"))
                .unwrap_or_default()
                .to_owned(),
            side,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{last_record, last_reject, read};
    use super::*;

    fn record(line: &str) -> Record {
        last_record(AwsVpc::default(), line)
    }

    const ACCEPTED: &str = "2 111111111111 eni-0a 10.0.1.5 10.0.2.7 49152 5432 6 12 3400 1700000000 1700000060 ACCEPT OK";

    #[test]
    fn a_record_of_version_2_tells_one_direction_of_packets() {
        let record = record(ACCEPTED);
        assert_eq!(record.orientation, Orientation::Packets);
        assert_eq!(record.verdict, Verdict::Allowed);
        assert_eq!((record.source.port, record.destination.port), (49152, 5432));
        assert_eq!((record.sums.bytes_sent, record.sums.packets_sent), (3400, 12));
        assert_eq!(record.start, Timestamp::from_seconds(1_700_000_000));
        assert_eq!(record.observer, "eni-0a");
    }

    #[test]
    fn a_rejected_record_is_denied() {
        let record = record(&ACCEPTED.replace("ACCEPT", "REJECT"));
        assert_eq!(record.verdict, Verdict::Denied);
    }

    #[test]
    fn a_first_line_names_the_fields_in_any_order() {
        let lines = [
            "dstaddr srcaddr srcport dstport protocol start end action tcp-flags flow-direction \
             pkt-srcaddr bytes",
            "10.0.2.7 10.0.9.9 40000 443 6 1700000000 1700000060 ACCEPT 3 ingress 198.51.100.4 77",
        ];
        let record = record(&lines.join("\n"));
        assert_eq!(record.source.address, Some("198.51.100.4".parse().unwrap()));
        assert_eq!(record.orientation, Orientation::Initiator);
        assert_eq!(record.side, Side::Destination);
        assert_eq!(record.sums.bytes_sent, 77);
    }

    #[test]
    fn columns_of_parquet_are_the_fields_with_hyphens_in_their_names() {
        let lines = "version srcaddr dstaddr srcport dstport protocol start end action tcp_flags \
                     flow_direction pkt_srcaddr log_status interface_id\n\
                     5 10.0.2.7 10.0.9.9 40000 443 6 1700000000 1700000060 REJECT 2 egress \
                     198.51.100.4 OK eni-1";
        assert!(looks_like(lines.as_bytes()));
        let record = record(lines);
        assert_eq!(record.source.address, Some("198.51.100.4".parse().unwrap()));
        assert_eq!((record.orientation, record.side), (Orientation::Initiator, Side::Source));
        assert_eq!((record.verdict, &*record.observer), (Verdict::Denied, "eni-1"));
    }

    #[test]
    fn a_syn_that_is_acknowledged_comes_from_the_responder() {
        let header = "srcaddr dstaddr srcport dstport protocol start end action tcp-flags";
        let line = "10.0.2.7 10.0.1.5 443 40000 6 1700000000 1700000060 ACCEPT 18";
        let record = record(&format!("{header}\n{line}"));
        assert_eq!(record.orientation, Orientation::Responder);
    }

    #[test]
    fn a_transit_gateway_allows_what_it_passes_on() {
        let header = "tgw-id srcaddr dstaddr srcport dstport protocol start end packets packets-lost-no-route";
        let line = "tgw-0a 10.0.2.7 10.0.1.5 40000 443 6 1700000000 1700000060 9 3";
        let verdict = |line: &str| record(&format!("{header}\n{line}")).verdict;
        assert_eq!(verdict(line), Verdict::Allowed);
        assert_eq!(verdict(&line.replace("9 3", "9 9")), Verdict::Unknown);
    }

    #[test]
    fn an_interval_without_data_is_nothing_and_one_that_was_skipped_is_a_loss() {
        let none = "2 1 eni-0a - - - - - - - 1700000000 1700000060 - NODATA";
        let skipped = none.replace("NODATA", "SKIPDATA");
        let read = read(AwsVpc::default(), &format!("{none}\n{skipped}"));
        assert!(matches!(read[0], Ok(Item::Skipped(_))), "{read:?}");
        let at = Some(Timestamp::from_seconds(1_700_000_060));
        assert_eq!(read[1], Ok(Item::Lost { at, records: 1 }));
    }

    #[test]
    fn what_is_wrong_is_named_by_field() {
        let bad = [
            (ACCEPTED.replace("10.0.1.5", "10.0.1.500"), "srcaddr"),
            (ACCEPTED.replace("5432", "99999"), "dstport"),
            (ACCEPTED.replace(" 6 ", " x "), "protocol"),
            (ACCEPTED.replace("1700000060", "-"), "end"),
            (ACCEPTED.replace("ACCEPT", "PERHAPS"), "action"),
            (ACCEPTED.replace(" OK", " WELL"), "log-status"),
            (ACCEPTED.replace(" OK", ""), "13 fields"),
        ];
        for (line, field) in bad {
            let reason = last_reject(AwsVpc::default(), &line);
            assert!(reason.contains(field), "{line}: {reason}");
        }
    }

    #[test]
    fn cloudwatch_puts_a_time_before_each_message() {
        let line = format!("2023-11-14T22:13:20.000Z {ACCEPTED}");
        assert_eq!(record(&line), record(ACCEPTED));
        assert!(looks_like(line.as_bytes()) && looks_like(ACCEPTED.as_bytes()));
    }
}
