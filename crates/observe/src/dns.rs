//! Parses DNS answers (RFC 1035 §4) as they were copied from packets.
//!
//! Pure and bounded: at most [`RECORDS_MAX`] records and [`JUMPS_MAX`] compression jumps per name
//! are read, each jump must go backwards, and a cut message gives what was whole before the cut.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Answer records read per message; a real answer has a few dozen at most.
const RECORDS_MAX: u16 = 256;
/// Compression pointers followed per name.
const JUMPS_MAX: u8 = 16;
/// Longest name, in bytes of wire form (RFC 1035 §2.3.4).
const NAME_MAX: usize = 255;

const HEADER: usize = 12;
const FLAG_ANSWER: u8 = 0x80;
const FLAG_TRUNCATED: u8 = 0x02;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// The question's name, lower case, no trailing dot; the root is empty. Bytes that are not
    /// printable ASCII, and dots within a label, are written `\DDD` (RFC 1035 §5.1).
    pub name: String,
    /// Addresses of the A and AAAA records that belong to the name or to one of its aliases, in
    /// the message's order, without repeats.
    pub addresses: Vec<IpAddr>,
    /// Smallest time to live of the records used, aliases included, seconds; 0 if there are none.
    pub ttl_s: u32,
    /// The server cut the answer (TC), or the copy ended before the answers did.
    pub truncated: bool,
}

/// A message that is not a usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsMessageError {
    /// Shorter than a header.
    #[error("dns message is shorter than its header")]
    Short,
    /// A query.
    #[error("dns message is a query, not an answer")]
    Query,
    /// No question, or several: nobody sends that.
    #[error("dns message has {0} questions instead of 1")]
    Questions(u16),
    /// The question's name can't be read.
    #[error("dns question's name is malformed")]
    Name,
}

/// Parses `message`, the payload of a UDP datagram; `cut` says that there was more of it.
///
/// # Errors
/// [`DnsMessageError`] if it is no answer or its question is malformed. Malformed answer records
/// end the list and set `truncated`.
pub fn parse_answer(message: &[u8], cut: bool) -> Result<DnsMessage, DnsMessageError> {
    let header = message.first_chunk::<HEADER>().ok_or(DnsMessageError::Short)?;
    let [_, _, flags, _, questions_hi, questions_lo, answers_hi, answers_lo, ..] = *header;
    if flags & FLAG_ANSWER == 0 {
        return Err(DnsMessageError::Query);
    }
    let questions = u16::from_be_bytes([questions_hi, questions_lo]);
    if questions != 1 {
        return Err(DnsMessageError::Questions(questions));
    }
    let (name, after) = read_name(message, HEADER).ok_or(DnsMessageError::Name)?;
    let mut answers =
        Answers { aliases: vec![name.clone()], addresses: Vec::new(), ttl_s: u32::MAX };
    let mut at = after.saturating_add(4);
    let count = u16::from_be_bytes([answers_hi, answers_lo]);
    let mut truncated = flags & FLAG_TRUNCATED != 0 || cut || count > RECORDS_MAX;
    for _ in 0..count.min(RECORDS_MAX) {
        let Some(next) = answers.read_record(message, at) else {
            truncated = true;
            break;
        };
        at = next;
    }
    let ttl_s = if answers.ttl_s == u32::MAX { 0 } else { answers.ttl_s };
    Ok(DnsMessage { name, addresses: answers.addresses, ttl_s, truncated })
}

struct Answers {
    /// The question's name, then those it is an alias of. Servers give a CNAME before its target.
    aliases: Vec<String>,
    addresses: Vec<IpAddr>,
    ttl_s: u32,
}

impl Answers {
    /// Reads the record at `at`; gives the position after it, None if it is malformed.
    fn read_record(&mut self, message: &[u8], at: usize) -> Option<usize> {
        let (owner, after) = read_name(message, at)?;
        let head = message.get(after..)?.first_chunk::<10>()?;
        let [type_hi, type_lo, class_hi, class_lo, ttl @ .., length_hi, length_lo] = *head;
        let data_at = after.checked_add(10)?;
        let end = data_at.checked_add(usize::from(u16::from_be_bytes([length_hi, length_lo])))?;
        let data = message.get(data_at..end)?;
        let class = u16::from_be_bytes([class_hi, class_lo]);
        if class != CLASS_IN || !self.aliases.contains(&owner) {
            return Some(end);
        }
        match u16::from_be_bytes([type_hi, type_lo]) {
            TYPE_A => self.add_address(IpAddr::V4(Ipv4Addr::from(exactly::<4>(data)?))),
            TYPE_AAAA => self.add_address(IpAddr::V6(Ipv6Addr::from(exactly::<16>(data)?))),
            TYPE_CNAME => {
                let (target, _) = read_name(message, data_at)?;
                if !self.aliases.contains(&target) {
                    self.aliases.push(target);
                }
            }
            _ => return Some(end),
        }
        // The upper bit of a TTL is never set by an honest server (RFC 2181 §8).
        let ttl = u32::from_be_bytes(ttl);
        self.ttl_s = self.ttl_s.min(if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl });
        Some(end)
    }

    fn add_address(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }
}

fn exactly<const N: usize>(data: &[u8]) -> Option<[u8; N]> {
    data.try_into().ok()
}

/// Reads the name at `at`: its text, and the position after it in the uncompressed stream.
fn read_name(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut wire_length = 0_usize;
    let mut jumps = 0_u8;
    let mut position = at;
    // Where the run of labels being read began: a jump must go before it, so no loop is possible.
    let mut run = at;
    let mut after = None;
    loop {
        let length = *message.get(position)?;
        match length >> 6 {
            0 if length == 0 => {
                return Some((text, after.unwrap_or(position.checked_add(1)?)));
            }
            0 => {
                let start = position.checked_add(1)?;
                let end = start.checked_add(usize::from(length))?;
                wire_length = wire_length.checked_add(usize::from(length))?.checked_add(1)?;
                if wire_length > NAME_MAX {
                    return None;
                }
                push_label(&mut text, message.get(start..end)?);
                position = end;
            }
            3 => {
                let low = *message.get(position.checked_add(1)?)?;
                let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                after.get_or_insert(position.checked_add(2)?);
                jumps = jumps.checked_add(1)?;
                if jumps > JUMPS_MAX || target >= run {
                    return None;
                }
                (position, run) = (target, target);
            }
            _ => return None,
        }
    }
}

fn push_label(text: &mut String, label: &[u8]) {
    if !text.is_empty() {
        text.push('.');
    }
    for byte in label {
        match byte {
            b'.' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b'!'..=b'~' => text.push(char::from(byte.to_ascii_lowercase())),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in name.split('.').filter(|part| !part.is_empty()) {
            bytes.push(u8::try_from(part.len()).unwrap());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn message(flags: u8, question: &[u8], answers: &[Vec<u8>]) -> Vec<u8> {
        let count = u8::try_from(answers.len()).unwrap();
        let mut bytes = vec![0, 1, flags, 0, 0, 1, 0, count, 0, 0, 0, 0];
        bytes.extend_from_slice(question);
        bytes.extend_from_slice(&[0, 1, 0, 1]);
        answers.iter().for_each(|answer| bytes.extend_from_slice(answer));
        bytes
    }

    fn record(owner: &[u8], kind: u8, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = owner.to_vec();
        bytes.extend_from_slice(&[0, kind, 0, 1]);
        bytes.extend_from_slice(&ttl.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    const TO_QUESTION: &[u8] = &[0xc0, 12];

    #[test]
    fn an_address_of_the_asked_name_is_given() {
        let bytes = message(
            0x81,
            &label("Pay.Example.COM"),
            &[
                record(TO_QUESTION, 1, 60, &[192, 0, 2, 1]),
                record(TO_QUESTION, 28, 30, &[0x20; 16]),
            ],
        );
        let answer = parse_answer(&bytes, false).unwrap();
        assert_eq!(answer.name, "pay.example.com");
        assert_eq!(answer.addresses.len(), 2);
        assert_eq!((answer.ttl_s, answer.truncated), (30, false));
    }

    #[test]
    fn aliases_are_followed_and_strangers_are_not() {
        let bytes = message(
            0x81,
            &label("www.shop.test"),
            &[
                record(TO_QUESTION, 5, 9, &label("edge.cdn.test")),
                record(&label("edge.cdn.test"), 1, 60, &[192, 0, 2, 2]),
                record(&label("other.test"), 1, 60, &[203, 0, 113, 9]),
            ],
        );
        let answer = parse_answer(&bytes, false).unwrap();
        assert_eq!(answer.addresses, ["192.0.2.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(answer.ttl_s, 9);
    }

    #[test]
    fn an_empty_answer_gives_the_name_alone() {
        let answer = parse_answer(&message(0x81, &label("no.such"), &[]), false).unwrap();
        assert_eq!((answer.name.as_str(), answer.addresses.len(), answer.ttl_s), ("no.such", 0, 0));
    }

    #[test]
    fn a_pointer_that_does_not_go_back_is_refused() {
        let loop_at_12 = [0xc0, 12];
        assert_eq!(
            parse_answer(&message(0x81, &loop_at_12, &[]), false),
            Err(DnsMessageError::Name)
        );
        // A pointer to the label before it that leads to the same pointer again.
        let ring = [1, b'a', 0xc0, 12];
        assert_eq!(parse_answer(&message(0x81, &ring, &[]), false), Err(DnsMessageError::Name));
    }

    #[test]
    fn a_query_is_no_answer_but_its_answer_is() {
        let question = label("a.test");
        assert_eq!(parse_answer(&message(1, &question, &[]), false), Err(DnsMessageError::Query));
        assert!(parse_answer(&message(0x81, &question, &[]), false).is_ok());
    }

    #[test]
    fn a_cut_message_gives_what_was_whole() {
        let mut bytes = message(
            0x81,
            &label("a.test"),
            &[
                record(TO_QUESTION, 1, 5, &[192, 0, 2, 1]),
                record(TO_QUESTION, 1, 5, &[192, 0, 2, 2]),
            ],
        );
        bytes.truncate(bytes.len() - 1);
        let answer = parse_answer(&bytes, false).unwrap();
        assert_eq!((answer.addresses.len(), answer.truncated), (1, true));
    }

    #[test]
    fn bytes_that_are_not_text_are_escaped() {
        let name = [3, b'a', b'.', 0xff, 0];
        let answer = parse_answer(&message(0x81, &name, &[]), false).unwrap();
        assert_eq!(answer.name, "a\\.\\255");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            parse_answer(&bytes, false).ok();
        }

        #[test]
        fn no_bytes_behind_a_right_header_make_the_parser_panic(
            tail in proptest::collection::vec(
                prop_oneof![Just(0xc0), Just(12), Just(0), Just(1), any::<u8>()], 0..300),
        ) {
            let mut bytes = vec![0, 1, 0x81, 0, 0, 1, 0, 9, 0, 0, 0, 0];
            bytes.extend_from_slice(&tail);
            if let Ok(answer) = parse_answer(&bytes, false) {
                prop_assert!(answer.name.len() <= 4 * NAME_MAX);
            }
        }

        #[test]
        fn a_written_address_is_read_back(octets in any::<[u8; 4]>(), ttl in 0u32..1_000_000) {
            let bytes = message(0x81, &label("x.test"), &[record(TO_QUESTION, 1, ttl, &octets)]);
            let answer = parse_answer(&bytes, false).unwrap();
            prop_assert_eq!(answer.addresses, vec![IpAddr::from(octets)]);
            prop_assert_eq!(answer.ttl_s, ttl);
        }
    }
}
