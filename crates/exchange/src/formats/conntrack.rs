//! Listings of the kernel's connection tracking: `/proc/net/nf_conntrack` and `conntrack -L`.
//!
//! Format: linux v6.18 `net/netfilter/nf_conntrack_standalone.c`, `ct_seq_show`; conntrack-tools
//! `libnetfilter_conntrack/src/conntrack/snprintf_default.c`. The first tuple is what the initiator
//! sent, the second one what is expected back: where they differ, addresses were translated, and the
//! destination is who answers. A listing has no times: its entries were there when it was read.

use std::net::{IpAddr, SocketAddr};

use sekisho_model::{Protocol, Timestamp, Verdict};

use super::text::{address, number, protocol};
use crate::reader::LineFormat;
use crate::record::{Count, End, Item, Orientation, Record, Reject, Side, Sums};

/// Reads lines.
#[derive(Debug)]
pub(crate) struct Conntrack {
    /// When the listing is taken to have been made.
    pub(crate) now: Timestamp,
}

/// How a line begins in which `conntrack -L` says how many entries it showed.
const OWN_WORDS: &[u8] = b"conntrack v";

/// Whether the first line is an entry.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    // What `conntrack -L` says of itself may have come into the same file.
    let mut lines = head.split(|byte| *byte == b'\n').take(8);
    let line = lines.find(|line| !line.starts_with(OWN_WORDS)).unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return false };
    line.matches(" src=").count() == 2 && line.matches(" dst=").count() == 2
}

/// One direction of an entry.
#[derive(Default)]
struct Tuple<'a> {
    source: Option<&'a str>,
    destination: Option<&'a str>,
    source_port: Option<&'a str>,
    destination_port: Option<&'a str>,
    packets: Option<&'a str>,
    bytes: Option<&'a str>,
}

impl LineFormat for Conntrack {
    fn line(&mut self, line: &[u8]) -> Result<Option<Item>, Reject> {
        let line = std::str::from_utf8(line).map_err(|_cause| Reject::new("no UTF-8 text"))?;
        if line.as_bytes().starts_with(OWN_WORDS) {
            return Ok(None);
        }
        item(line, self.now).map(Some)
    }
}

fn item(line: &str, now: Timestamp) -> Result<Item, Reject> {
    // The address family comes first in /proc; both then say the protocol's name and number.
    let mut words = line.split_ascii_whitespace().peekable();
    if words.next_if(|word| matches!(*word, "ipv4" | "ipv6")).is_some() {
        words.next();
    }
    let name = words.next().unwrap_or_default();
    let Some(protocol) = protocol("protocol", name)? else {
        return Ok(Item::Skipped("a protocol that policies don't speak about"));
    };
    let (mut forth, mut back) = (Tuple::default(), Tuple::default());
    let mut unreplied = false;
    let mut state = "";
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            unreplied |= word == "[UNREPLIED]";
            if word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
                state = word;
            }
            continue;
        };
        let tuple = if is_to_come(&forth, key) { &mut forth } else { &mut back };
        let slot = match key {
            "src" => &mut tuple.source,
            "dst" => &mut tuple.destination,
            "sport" => &mut tuple.source_port,
            "dport" => &mut tuple.destination_port,
            "packets" => &mut tuple.packets,
            "bytes" => &mut tuple.bytes,
            _ => continue,
        };
        *slot = Some(value);
    }
    record((protocol, state, unreplied), (&forth, &back), now)
}

/// Whether a field of the first tuple is still to come.
fn is_to_come(tuple: &Tuple<'_>, key: &str) -> bool {
    match key {
        "src" => tuple.source.is_none(),
        "dst" => tuple.destination.is_none(),
        "sport" => tuple.source_port.is_none(),
        "dport" => tuple.destination_port.is_none(),
        "packets" => tuple.packets.is_none(),
        "bytes" => tuple.bytes.is_none(),
        _ => false,
    }
}

fn record(
    (protocol, state, unreplied): (Protocol, &str, bool),
    (forth, back): (&Tuple<'_>, &Tuple<'_>),
    now: Timestamp,
) -> Result<Item, Reject> {
    let must = |field: &str, word: Option<&str>| -> Result<IpAddr, Reject> {
        address(field, word.ok_or_else(|| Reject::new(format!("{field}: it is missing")))?)
    };
    let port = |field: &str, word: Option<&str>| -> Result<u16, Reject> {
        let port = word.map(|word| number(field, word)).transpose()?.unwrap_or(0);
        u16::try_from(port)
            .map_err(|_cause| Reject::new(format!("{field}: no port is above 65535")))
    };
    let count = |field: &str, word: Option<&str>| word.map_or(Ok(0), |word| number(field, word));
    let asked = (must("dst", forth.destination)?, port("dport", forth.destination_port)?);
    // Who answers: behind a translated address, the other side of the second tuple.
    let answers = (must("reply src", back.source)?, port("reply sport", back.source_port)?);
    let (from, from_port) = (must("src", forth.source)?, port("sport", forth.source_port)?);
    let begun = matches!(state, "SYN_SENT" | "SYN_SENT2");
    let end =
        |(address, port): (IpAddr, u16)| End { address: Some(address), port, ..End::default() };
    Ok(Item::Record(Box::new(Record {
        source: end((from, from_port)),
        destination: end(answers),
        orientation: Orientation::Initiator,
        protocol,
        verdict: if unreplied || begun { Verdict::Unknown } else { Verdict::Allowed },
        decided_by: None,
        start: now,
        end: now,
        connections: Count::ByTuple,
        sums: Sums {
            bytes_sent: count("bytes", forth.bytes)?,
            bytes_received: count("reply bytes", back.bytes)?,
            packets_sent: count("packets", forth.packets)?,
            packets_received: count("reply packets", back.packets)?,
        },
        reset: false,
        service: None,
        asked: (asked != answers).then(|| SocketAddr::new(asked.0, asked.1)),
        observer: String::new(),
        side: Side::Between,
    })))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{last_record, last_reject, read};
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_700_000_000)
    }

    fn format() -> Conntrack {
        Conntrack { now: now() }
    }

    fn record(line: &str) -> Record {
        last_record(format(), line)
    }

    const SERVICE: &str = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.1.5 dst=10.96.0.10 sport=40112 dport=5432 packets=5 bytes=400 src=10.0.2.7 dst=10.0.1.5 sport=5433 dport=40112 packets=4 bytes=9000 [ASSURED] mark=0 zone=0 use=2";

    #[test]
    fn who_answers_is_the_destination_and_who_was_asked_the_service() {
        let record = record(SERVICE);
        assert_eq!(record.source.address, Some("10.0.1.5".parse().unwrap()));
        assert_eq!(record.destination.address, Some("10.0.2.7".parse().unwrap()));
        assert_eq!(record.destination.port, 5_433);
        assert_eq!(record.asked, Some("10.96.0.10:5432".parse().unwrap()));
        assert_eq!((record.sums.bytes_sent, record.sums.bytes_received), (400, 9_000));
        assert_eq!((record.verdict, record.start), (Verdict::Allowed, now()));
    }

    #[test]
    fn an_entry_without_translation_asked_for_nobody_else() {
        let plain = SERVICE.replace("10.96.0.10", "10.0.2.7").replace("sport=5433", "sport=5432");
        assert_eq!(record(&plain).asked, None);
    }

    #[test]
    fn the_listing_of_the_tool_has_no_family_and_ends_with_a_count() {
        let tool = SERVICE.replace("ipv4     2 ", "");
        assert_eq!(record(&tool), record(SERVICE));
        let count = "conntrack v1.4.7 (conntrack-tools): 1 flow entries have been shown.";
        assert_eq!(read(format(), count), []);
    }

    #[test]
    fn a_listing_is_known_also_where_the_tool_speaks_first() {
        let entry = "tcp 6 114 TIME_WAIT src=10.0.0.1 dst=10.0.0.2 sport=5383 dport=80 src=10.0.0.2 \
                     dst=10.0.0.1 sport=80 dport=5383 [ASSURED] mark=0 use=1\n";
        let words = "conntrack v1.4.6 (conntrack-tools): 296 flow entries have been shown.\n";
        assert!(looks_like(entry.as_bytes()));
        assert!(looks_like(format!("{words}{entry}").as_bytes()));
        assert!(!looks_like(words.as_bytes()));
    }

    #[test]
    fn an_attempt_without_an_answer_is_unknown() {
        let udp = "udp 17 29 src=10.0.1.5 dst=10.0.9.9 sport=5000 dport=53 [UNREPLIED] src=10.0.9.9 dst=10.0.1.5 sport=53 dport=5000 use=1";
        assert_eq!(record(udp).verdict, Verdict::Unknown);
        assert_eq!(record(&udp.replace("[UNREPLIED] ", "")).verdict, Verdict::Allowed);
        assert_eq!(record(&SERVICE.replace("ESTABLISHED", "SYN_SENT")).verdict, Verdict::Unknown);
    }

    #[test]
    fn what_is_wrong_is_named_by_field() {
        let bad = [
            (SERVICE.replace("dst=10.96.0.10", "dst=ten"), "dst"),
            (SERVICE.replace("sport=40112", "sport=70000"), "sport"),
            (SERVICE.replace("bytes=400", "bytes=many"), "bytes"),
            ("tcp 6 src=10.0.0.1".to_owned(), "dst"),
            ("no entry at all".to_owned(), "protocol"),
        ];
        for (line, field) in bad {
            let reason = last_reject(format(), &line);
            assert!(reason.contains(field), "{line}: {reason}");
        }
        assert!(looks_like(SERVICE.as_bytes()) && !looks_like(b"tcp 6 src=10.0.0.1"));
    }
}
