//! Zeek's conn.log, as tab-separated text or as JSON lines.
//!
//! Fields: Zeek documentation, `base/protocols/conn/main.zeek`, record `Conn::Info`. A record is a whole
//! connection with its initiator; `conn_state` tells what became of it.

use sekisho_model::{Protocol, Timestamp, Verdict};
use serde_json::{Map, Value};

use super::text::{address, protocol};
use crate::reader::LineFormat;
use crate::record::{Count, End, Item, Orientation, Record, Reject, Side, Sums};

/// Fields of a line at most; scripts may add some to the usual 22.
const FIELDS_MAX: usize = 256;

/// Reads lines; remembers what the head of the file says.
#[derive(Debug)]
pub(crate) struct Zeek {
    separator: char,
    unset: String,
    empty: String,
    fields: Vec<String>,
    /// Another log than conn, as its `#path` says.
    other: bool,
}

impl Default for Zeek {
    fn default() -> Self {
        Self {
            separator: '\t',
            unset: "-".to_owned(),
            empty: "(empty)".to_owned(),
            fields: Vec::new(),
            other: false,
        }
    }
}

/// Whether it begins as Zeek's logs do.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    // Others may have put a comment before Zeek's own head.
    let mut lines = head.split(|byte| *byte == b'\n').take(8);
    // Who cuts a log often keeps the names only.
    let is_head = |line: &[u8]| {
        line.starts_with(b"#separator") || line.starts_with(b"#fields\tts\tuid\tid.orig_h\t")
    };
    if lines.clone().any(is_head) {
        return true;
    }
    let Ok(line) = std::str::from_utf8(lines.next().unwrap_or_default()) else { return false };
    line.starts_with('{') && line.contains("\"id.orig_h\"") && line.contains("\"id.resp_h\"")
}

impl LineFormat for Zeek {
    fn line(&mut self, line: &[u8]) -> Result<Option<Item>, Reject> {
        let line = std::str::from_utf8(line).map_err(|_cause| Reject::new("no UTF-8 text"))?;
        if let Some(head) = line.strip_prefix('#') {
            return self.head(head).map(|()| None);
        }
        if line.starts_with('{') {
            let object: Map<String, Value> =
                serde_json::from_str(line).map_err(|_cause| Reject::new("no JSON object"))?;
            return item(|name| object.get(name).and_then(plain)).map(Some);
        }
        if self.other {
            return Err(Reject::new("#path: another log than conn"));
        }
        if self.fields.is_empty() {
            return Err(Reject::new("a record before #fields"));
        }
        let words: Vec<&str> = line.split(self.separator).take(FIELDS_MAX).collect();
        if words.len() != self.fields.len() {
            return Err(Reject::new(format!(
                "{} fields where #fields names {}",
                words.len(),
                self.fields.len()
            )));
        }
        let word = |name: &str| {
            let at = self.fields.iter().position(|field| field == name)?;
            let word = words.get(at).copied()?;
            (word != self.unset && word != self.empty).then(|| word.to_owned())
        };
        item(word).map(Some)
    }
}

impl Zeek {
    fn head(&mut self, line: &str) -> Result<(), Reject> {
        if let Some(told) = line.strip_prefix("separator ") {
            // Written as \x09, so that it can be seen.
            let code =
                told.trim().strip_prefix("\\x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
            self.separator = code
                .and_then(char::from_u32)
                .or_else(|| told.chars().next())
                .ok_or_else(|| Reject::new("#separator: no character"))?;
            return Ok(());
        }
        let mut words = line.split(self.separator);
        let name = words.next().unwrap_or_default();
        let mut rest = words.map(str::to_owned);
        match name {
            "unset_field" => self.unset = rest.next().unwrap_or_default(),
            "empty_field" => self.empty = rest.next().unwrap_or_default(),
            "fields" => self.fields = rest.take(FIELDS_MAX).collect(),
            "path" => self.other = rest.next().is_some_and(|path| !path.starts_with("conn")),
            // set_separator, types, open, close and what later versions add.
            _ => {}
        }
        Ok(())
    }
}

/// A JSON value as the text that the other form has.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn item(get: impl Fn(&str) -> Option<String>) -> Result<Item, Reject> {
    let must = |name: &str| get(name).ok_or_else(|| Reject::new(format!("{name}: it is missing")));
    let Some(protocol) = protocol("proto", &must("proto")?)? else {
        return Ok(Item::Skipped("a protocol that policies don't speak about"));
    };
    let count = |name: &str| match get(name) {
        Some(word) => {
            word.parse::<u64>().map_err(|_cause| Reject::new(format!("{name}: no whole number")))
        }
        None => Ok(0),
    };
    let port = |name: &str| {
        let port = must(name)?.parse::<u16>();
        port.map_err(|_cause| Reject::new(format!("{name}: no port")))
    };
    let (from, to) =
        (address("id.orig_h", &must("id.orig_h")?)?, address("id.resp_h", &must("id.resp_h")?)?);
    let (from_port, to_port) = match protocol {
        // Type and code of the message stand there.
        Protocol::Icmp => (0, 0),
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => (port("id.orig_p")?, port("id.resp_p")?),
    };
    let start = moment("ts", &must("ts")?)?;
    let lasted = get("duration").map(|word| seconds("duration", &word)).transpose()?.unwrap_or(0);
    let state = get("conn_state").unwrap_or_default();
    let end = |address, port| End { address: Some(address), port, ..End::default() };
    Ok(Item::Record(Box::new(Record {
        source: end(from, from_port),
        destination: end(to, to_port),
        orientation: orientation(&state),
        protocol,
        verdict: verdict(&state),
        decided_by: None,
        start,
        end: Timestamp::from_nanos(start.nanos().saturating_add(lasted)),
        connections: Count::Told(1),
        sums: Sums {
            bytes_sent: count("orig_bytes")?,
            bytes_received: count("resp_bytes")?,
            packets_sent: count("orig_pkts")?,
            packets_received: count("resp_pkts")?,
        },
        reset: matches!(state.as_str(), "REJ" | "RSTO" | "RSTR" | "RSTOS0" | "RSTRH"),
        service: None,
        asked: None,
        observer: String::new(),
        side: Side::Between,
    })))
}

/// Without an answer nobody knows what became of an attempt: a policy may have stopped it.
fn verdict(state: &str) -> Verdict {
    match state {
        "S0" | "RSTOS0" | "SH" => Verdict::Unknown,
        _ => Verdict::Allowed,
    }
}

/// Zeek saw no beginning of these, and took the first packet's sender for the initiator.
fn orientation(state: &str) -> Orientation {
    match state {
        "OTH" | "SHR" | "RSTRH" => Orientation::Packets,
        _ => Orientation::Initiator,
    }
}

/// Seconds since 1970 with a fraction, or RFC 3339 where Zeek is told to write it.
fn moment(field: &str, word: &str) -> Result<Timestamp, Reject> {
    match word.parse::<Timestamp>() {
        Ok(time) => Ok(time),
        Err(_not_rfc3339) => seconds(field, word).map(Timestamp::from_nanos),
    }
}

/// Seconds with a fraction, in nanoseconds; more digits than nine are cut.
fn seconds(field: &str, word: &str) -> Result<u64, Reject> {
    let wrong = || Reject::new(format!("{field}: no seconds"));
    let (whole, part) = word.split_once('.').unwrap_or((word, ""));
    let digits: String = part.chars().chain(std::iter::repeat('0')).take(9).collect();
    let whole: u64 = whole.parse().map_err(|_cause| wrong())?;
    let part: u64 = digits.parse().map_err(|_cause| wrong())?;
    Ok(whole.saturating_mul(1_000_000_000).saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{last_record, last_reject};
    use super::*;

    const HEAD: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2023-11-14-22-13-20\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\torig_pkts\tresp_pkts\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tcount\tcount";
    const ROW: &str = "1700000000.250000\tCabc\t10.0.1.5\t40112\t10.0.2.7\t5432\ttcp\t-\t1.5\t120\t4000\tSF\t7\t8";

    fn record(row: &str) -> Record {
        last_record(Zeek::default(), &format!("{HEAD}\n{row}"))
    }

    #[test]
    fn a_row_is_a_connection_with_its_initiator() {
        let record = record(ROW);
        assert_eq!(record.orientation, Orientation::Initiator);
        assert_eq!(record.connections, Count::Told(1));
        assert_eq!((record.source.port, record.destination.port), (40_112, 5_432));
        assert_eq!(record.start, Timestamp::from_nanos(1_700_000_000_250_000_000));
        assert_eq!(record.end, Timestamp::from_nanos(1_700_000_001_750_000_000));
        assert_eq!((record.sums.bytes_sent, record.sums.packets_received), (120, 8));
    }

    #[test]
    fn an_attempt_without_an_answer_is_unknown_and_an_answered_one_is_allowed() {
        assert_eq!(record(&ROW.replace("SF", "S0")).verdict, Verdict::Unknown);
        assert_eq!(record(&ROW.replace("SF", "S1")).verdict, Verdict::Allowed);
        let refused = record(&ROW.replace("SF", "REJ"));
        assert_eq!((refused.verdict, refused.reset), (Verdict::Allowed, true));
    }

    #[test]
    fn json_is_read_as_the_other_form() {
        let json = r#"{"ts":1700000000.25,"uid":"Cabc","id.orig_h":"10.0.1.5","id.orig_p":40112,"id.resp_h":"10.0.2.7","id.resp_p":5432,"proto":"tcp","duration":1.5,"orig_bytes":120,"resp_bytes":4000,"conn_state":"SF","orig_pkts":7,"resp_pkts":8}"#;
        assert!(looks_like(json.as_bytes()) && looks_like(HEAD.as_bytes()));
        let cut = HEAD.split_once("\n#fields").map(|(_, rest)| format!("#fields{rest}"));
        assert!(looks_like(cut.unwrap().as_bytes()), "a log of which only the names are left");
        assert!(!looks_like(b"#fields\tts\tuid\tname\n"));
        assert_eq!(last_record(Zeek::default(), json), record(ROW));
    }

    #[test]
    fn what_is_wrong_is_named_by_field() {
        let bad = [
            (ROW.replace("10.0.2.7", "db"), "id.resp_h"),
            (ROW.replace("5432", "x"), "id.resp_p"),
            (ROW.replace("1700000000.25", "yesterday"), "ts"),
            (ROW.replace("\t120\t", "\t-5\t"), "orig_bytes"),
            (ROW.replace("\tSF", ""), "fields"),
        ];
        for (row, field) in bad {
            let reason = last_reject(Zeek::default(), &format!("{HEAD}\n{row}"));
            assert!(reason.contains(field), "{row}: {reason}");
        }
        let dns = HEAD.replace("path\tconn", "path\tdns");
        assert!(last_reject(Zeek::default(), &format!("{dns}\n{ROW}")).contains("#path"));
    }
}
