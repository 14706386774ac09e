//! What the fields of one record mean: IANA "IP Flow Information Export (IPFIX) Entities", whose first
//! 127 elements are those of NetFlow 9 (RFC 3954, section 8).

use std::net::{IpAddr, SocketAddr};

use sekisho_model::{Protocol, Timestamp, Verdict};

use super::super::text::NOT_OURS;
use super::template::{Field, REVERSE};
use crate::frames::{u8_at, u16_at, u32_at, v4_at, v6_at};
use crate::record::{Count, End, Item, Orientation, Record, Reject, Side, Sums};

/// Seconds from 1900, where NTP counts from, to 1970 (RFC 5905).
const NTP_S: u64 = 2_208_988_800;
const SYN: u64 = 0x02;
const RST: u64 = 0x04;
const ACK: u64 = 0x10;

/// The fields of a record that matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: u16,
    destination_port: u16,
    protocol: Option<u8>,
    flags: u64,
    sent: (u64, u64),
    received: (u64, u64),
    /// The record counts both directions, from its initiator.
    both: bool,
    start: Option<Moment>,
    end: Option<Moment>,
    /// When the exporter was started, milliseconds since 1970.
    pub(crate) booted_ms: Option<u64>,
    /// Source and destination after translation.
    translated: (Option<IpAddr>, Option<u16>),
    /// Type of a message of ICMP.
    icmp: Option<u8>,
    firewall: Option<u64>,
    forwarding: Option<u64>,
    /// Number of the sampler, and the rate that the record itself names.
    pub(crate) sampler: Option<u64>,
    pub(crate) rate: Option<u64>,
    /// Packets that a sampler takes, and passes over, one after the other.
    taken: Option<u64>,
    passed: Option<u64>,
}

/// A time in a record.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Of the clock.
    Clock(Timestamp),
    /// Milliseconds since the exporter was started, as in [`Head::uptime`].
    Uptime(u32),
}

/// What the head of a message tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// When it was sent.
    pub(crate) sent: Timestamp,
    /// How long the exporter ran then, milliseconds; it begins at 0 again after 49 days. None if it
    /// does not tell.
    pub(crate) uptime: Option<u32>,
    /// When it was started, milliseconds since 1970, as its options say (IPFIX).
    pub(crate) booted_ms: Option<u64>,
}

impl Head {
    /// What a counter of milliseconds that began at `booted_ms` showed when the message was sent.
    fn since(&self, booted_ms: u64) -> u32 {
        let passed = (self.sent.nanos() / 1_000_000).saturating_sub(booted_ms);
        u32::try_from(passed % (1 << 32)).unwrap_or(0)
    }
}

/// A number of up to eight bytes, the high one first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn millis(value: u64) -> Timestamp {
    Timestamp::from_nanos(value.saturating_mul(1_000_000))
}

/// A time of 64 bits as NTP writes it.
fn ntp(bytes: &[u8]) -> Option<Moment> {
    let (seconds, part) = (u64::from(u32_at(bytes, 0)?), u64::from(u32_at(bytes, 4)?));
    let nanos = seconds.checked_sub(NTP_S)? * 1_000_000_000 + ((part * 1_000_000_000) >> 32);
    Some(Moment::Clock(Timestamp::from_nanos(nanos)))
}

impl Fields {
    /// The fields of a record of version 5.
    pub(crate) fn of_v5(record: &[u8]) -> Self {
        let word = |at| u32_at(record, at).unwrap_or(0);
        let long = |at| u64::from(word(at));
        let port = |at| u16_at(record, at).unwrap_or(0);
        Self {
            source: v4_at(record, 0),
            destination: v4_at(record, 4),
            sent: (long(20), long(16)),
            start: Some(Moment::Uptime(word(24))),
            end: Some(Moment::Uptime(word(28))),
            source_port: port(32),
            destination_port: port(34),
            flags: u8_at(record, 37).map_or(0, u64::from),
            protocol: u8_at(record, 38),
            ..Self::default()
        }
    }

    /// Takes a field of a record.
    pub(crate) fn take(&mut self, field: Field, bytes: &[u8]) {
        let value = number(bytes);
        match (field.enterprise, field.element) {
            (0, element) => self.plain(element, bytes, value),
            (REVERSE, 1 | 85) => (self.received.0, self.both) = (value, true),
            (REVERSE, 2 | 86) => (self.received.1, self.both) = (value, true),
            _ => {}
        }
    }

    fn plain(&mut self, element: u16, bytes: &[u8], value: u64) {
        let port = || u16_at(bytes, 0).unwrap_or(0);
        match element {
            1 | 85 => self.sent.0 = value,
            2 | 86 => self.sent.1 = value,
            // What left, where nothing tells what came.
            23 if self.sent.0 == 0 => self.sent.0 = value,
            24 if self.sent.1 == 0 => self.sent.1 = value,
            231 => (self.sent.0, self.both) = (value, true),
            232 => (self.received.0, self.both) = (value, true),
            298 => (self.sent.1, self.both) = (value, true),
            299 => (self.received.1, self.both) = (value, true),
            4 => self.protocol = bytes.last().copied(),
            6 => self.flags = value,
            7 => self.source_port = port(),
            11 => self.destination_port = port(),
            8 => self.source = self.source.or(v4_at(bytes, 0)),
            12 => self.destination = self.destination.or(v4_at(bytes, 0)),
            // Exporters send zeros for the family that a flow does not have.
            27 => self.source = v6_at(bytes, 0).filter(|ip| !ip.is_unspecified()).or(self.source),
            28 => {
                self.destination =
                    v6_at(bytes, 0).filter(|ip| !ip.is_unspecified()).or(self.destination);
            }
            21 | 22 | 150..=157 => self.time(element, bytes, value),
            160 => self.booted_ms = Some(value),
            32 | 139 | 176 | 178 => self.icmp = bytes.first().copied(),
            226 => self.translated.0 = v4_at(bytes, 0),
            282 => self.translated.0 = v6_at(bytes, 0),
            228 => self.translated.1 = u16_at(bytes, 0),
            89 => self.forwarding = bytes.first().map(|byte| u64::from(*byte)),
            233 => self.firewall = Some(value),
            34 | 50 => self.rate = Some(value),
            48 | 302 => self.sampler = Some(value),
            305 => self.taken = Some(value),
            306 => self.passed = Some(value),
            _ => {}
        }
    }

    fn time(&mut self, element: u16, bytes: &[u8], value: u64) {
        let time = match element {
            21 | 22 => u32::try_from(value).ok().map(Moment::Uptime),
            150 | 151 => Some(Moment::Clock(Timestamp::from_seconds(value))),
            152 | 153 => Some(Moment::Clock(millis(value))),
            _ => ntp(bytes),
        };
        // Of each pair the first one is the start, but for those of uptime.
        let starts = element == 22 || (element >= 150 && element.is_multiple_of(2));
        if starts {
            self.start = time.or(self.start);
        } else {
            self.end = time.or(self.end);
        }
    }

    /// The rate that a record about a sampler names: of so many packets one is looked at.
    pub(crate) fn sampling(&self) -> Option<u64> {
        match (self.rate, self.taken, self.passed) {
            (Some(rate), ..) => Some(rate),
            (None, Some(taken), Some(passed)) if taken > 0 => {
                Some(taken.saturating_add(passed) / taken)
            }
            (None, ..) => None,
        }
    }

    fn clock(&self, moment: Option<Moment>, head: Head) -> Option<Timestamp> {
        match moment? {
            Moment::Clock(time) => Some(time),
            // Half of the range lies before the message, so that a counter that began anew, and a flow
            // from before the exporter's start, come out right.
            Moment::Uptime(ms) => {
                let uptime = self.booted_ms.or(head.booted_ms).map(|booted| head.since(booted));
                let ago = uptime.or(head.uptime)?.wrapping_sub(ms).cast_signed();
                let nanos = head.sent.nanos().saturating_add_signed(-i64::from(ago) * 1_000_000);
                Some(Timestamp::from_nanos(nanos))
            }
        }
    }

    /// The connection that the record tells of; its counts stand for `rate` times as many.
    pub(crate) fn item(&self, head: Head, rate: u64, observer: &str) -> Result<Item, Reject> {
        let protocol = match self.protocol {
            Some(6) => Protocol::Tcp,
            Some(17) => Protocol::Udp,
            Some(132) => Protocol::Sctp,
            Some(1 | 58) => Protocol::Icmp,
            Some(_) => return Ok(Item::Skipped(NOT_OURS)),
            None => return Ok(Item::Skipped("a record without a protocol")),
        };
        if let Some(why) = self.no_connection() {
            return Ok(Item::Skipped(why));
        }
        let (Some(from), Some(to)) = (self.source, self.destination) else {
            return Ok(Item::Skipped("a record without IP addresses"));
        };
        // There the type of a message of ICMP stands in the place of ports.
        let ports = if protocol == Protocol::Icmp { (0, 0) } else { self.ports() };
        let end = self.clock(self.end, head).unwrap_or(head.sent);
        let start = self.clock(self.start, head).unwrap_or(end);
        let orientation = self.orientation();
        let mut destination = End { address: Some(to), port: ports.1, ..End::default() };
        let mut asked = None;
        if let (Orientation::Initiator, Some(address)) = (orientation, self.translated.0)
            && !address.is_unspecified()
            && address != to
        {
            asked = Some(SocketAddr::new(to, ports.1));
            destination.address = Some(address);
            destination.port = self.translated.1.filter(|port| *port > 0).unwrap_or(ports.1);
        }
        let scaled = |count: u64| count.saturating_mul(rate.max(1));
        Ok(Item::Record(Box::new(Record {
            source: End { address: Some(from), port: ports.0, ..End::default() },
            destination,
            orientation,
            protocol,
            verdict: self.verdict(),
            decided_by: None,
            start,
            end,
            connections: Count::ByTuple,
            sums: Sums {
                bytes_sent: scaled(self.sent.0),
                bytes_received: scaled(self.received.0),
                packets_sent: scaled(self.sent.1),
                packets_received: scaled(self.received.1),
            },
            reset: self.flags & RST != 0,
            service: None,
            asked,
            observer: observer.to_owned(),
            side: Side::Between,
        })))
    }

    fn ports(&self) -> (u16, u16) {
        (self.source_port, self.destination_port)
    }

    /// Why a flow of ICMP is no connection: errors, and what neighbours on a link tell each other
    /// (RFC 792, RFC 4443, RFC 4861, RFC 3810). Older exporters write the type in the place of the port.
    fn no_connection(&self) -> Option<&'static str> {
        let [high, _] = self.destination_port.to_be_bytes();
        match (self.protocol, self.icmp.unwrap_or(high)) {
            (Some(1), 3 | 4 | 5 | 11 | 12) | (Some(58), 1..=4) => {
                Some("an ICMP error about another packet")
            }
            (Some(58), 130..=137 | 143) => Some("ICMP that asks for no answer from a workload"),
            _ => None,
        }
    }

    /// A connection of TCP of which only attempts were seen.
    fn is_attempt(&self) -> bool {
        self.protocol == Some(6) && self.flags & SYN != 0 && self.flags & ACK == 0
    }

    /// Flags are those of all packets together: only SYN without ACK tells who began. Records of both
    /// directions and those of firewalls begin with the initiator.
    fn orientation(&self) -> Orientation {
        let [high, _] = self.destination_port.to_be_bytes();
        let asks =
            matches!((self.protocol, self.icmp.unwrap_or(high)), (Some(1), 8) | (Some(58), 128));
        if asks || self.is_attempt() || self.both || self.firewall.is_some() {
            Orientation::Initiator
        } else {
            Orientation::Packets
        }
    }

    /// Denied is what a firewall or an access list denied; other drops are no verdict of policy.
    fn verdict(&self) -> Verdict {
        match (self.firewall, self.forwarding) {
            (Some(3), _) | (_, Some(129 | 130)) => Verdict::Denied,
            (_, Some(128..=191)) => Verdict::Unknown,
            // Nobody knows what became of it: a policy may have stopped it.
            (None, None) if self.is_attempt() => Verdict::Unknown,
            _ => Verdict::Allowed,
        }
    }
}
