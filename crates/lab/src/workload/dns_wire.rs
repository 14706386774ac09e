//! DNS messages (RFC 1035 §4), as much as an authoritative server of one zone file needs.

use std::net::IpAddr;

pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_TXT: u16 = 16;
pub(super) const TYPE_AAAA: u16 = 28;
/// QTYPE that asks for all types.
pub(super) const TYPE_ANY: u16 = 255;

/// Response codes (RFC 1035 §4.1.1).
pub(super) const CODE_OK: u8 = 0;
pub(super) const CODE_NO_NAME: u8 = 3;
const CODE_NOT_IMPLEMENTED: u8 = 4;
const CODE_FORMAT: u8 = 1;

const CLASS_IN: u16 = 1;
const HEADER_BYTES: usize = 12;
const TTL_S: u32 = 5;
/// Longest UDP answer without EDNS (RFC 1035 §2.3.4).
pub(super) const UDP_BYTES_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 255;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Lower case, without the final dot.
    pub(super) name: String,
    pub(super) kind: u16,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Response code and addresses of the kind asked for.
    Addresses(u8, Vec<IpAddr>),
    /// One text record.
    Text(String),
}

/// Answers a query; None for what is no query at all. `lookup` decides. An answer longer than
/// `bytes_max` is cut to its question and marked as truncated.
pub(super) fn respond(
    message: &[u8],
    bytes_max: usize,
    lookup: impl FnOnce(&Question) -> Answer,
) -> Option<Vec<u8>> {
    let [id1, id2, flags, ..] = *message else { return None };
    // A response, or too short: answering could make two servers talk for ever.
    if message.len() < HEADER_BYTES || flags & 0x80 != 0 {
        return None;
    }
    let id = [id1, id2];
    if flags & 0x78 != 0 {
        return Some(header(id, flags, CODE_NOT_IMPLEMENTED, 0, 0));
    }
    let Some((question, end)) = read_question(message) else {
        return Some(header(id, flags, CODE_FORMAT, 0, 0));
    };
    let asked = message.get(HEADER_BYTES..end)?;
    let (code, records) = match lookup(&question) {
        Answer::Addresses(code, ips) => (code, ips.iter().map(|ip| address_record(*ip)).collect()),
        Answer::Text(text) => (CODE_OK, vec![text_record(&text)]),
    };
    let records: Vec<Vec<u8>> = records;
    let count = u16::try_from(records.len()).ok()?;
    let mut answer = header(id, flags, code, 1, count);
    answer.extend(asked);
    answer.extend(records.concat());
    if answer.len() > bytes_max {
        // TC, the second bit of byte 2, asks the client to come back over TCP.
        let mut cut = header(id, flags | 0x02, code, 1, 0);
        cut.extend(asked);
        return Some(cut);
    }
    Some(answer)
}

/// Header with QR and AA set, opcode and RD of the query kept.
fn header(id: [u8; 2], flags: u8, code: u8, questions: u16, answers: u16) -> Vec<u8> {
    let mut bytes = id.to_vec();
    bytes.extend([flags & 0x7b | 0x84, 0x80 | code]);
    for count in [questions, answers, 0, 0] {
        bytes.extend(count.to_be_bytes());
    }
    bytes
}

fn read_question(message: &[u8]) -> Option<(Question, usize)> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut name = String::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Compression has no place in a first name, and labels are at most 63 bytes.
        if length > 63 || at - HEADER_BYTES + length > NAME_BYTES_MAX {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = message.get(at..at + length)?;
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let [kind1, kind2, class1, class2] = *message.get(at..at + 4)? else { return None };
    (u16::from_be_bytes([class1, class2]) == CLASS_IN)
        .then(|| (Question { name, kind: u16::from_be_bytes([kind1, kind2]) }, at + 4))
}

/// A record that points to the question's name.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 0x0c];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    bytes.extend(TTL_S.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    bytes.extend(data);
    bytes
}

fn address_record(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => record(TYPE_A, &v4.octets()),
        IpAddr::V6(v6) => record(TYPE_AAAA, &v6.octets()),
    }
}

fn text_record(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..bytes.len().min(255)).unwrap_or_default();
    let mut data = vec![u8::try_from(bytes.len()).unwrap_or_default()];
    data.extend(bytes);
    record(TYPE_TXT, &data)
}

/// Makes a recursive query.
pub(super) fn query(id: u16, question: &Question) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in question.name.split('.').filter(|label| !label.is_empty()) {
        let label = label.as_bytes();
        let label = label.get(..label.len().min(63)).unwrap_or_default();
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label);
    }
    bytes.push(0);
    bytes.extend(question.kind.to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    bytes
}

/// The response code of an answer to query `id`; None if it is none.
pub(super) fn response_code(message: &[u8], id: u16) -> Option<u8> {
    let [id1, id2, flags, code, ..] = *message else { return None };
    (u16::from_be_bytes([id1, id2]) == id && flags & 0x80 != 0).then_some(code & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question { name: "cart.shop.svc.cluster.local".to_owned(), kind: TYPE_A }
    }

    #[test]
    fn a_query_is_answered_with_its_id_its_question_and_the_addresses() {
        let ip: IpAddr = "10.96.0.7".parse().unwrap();
        let answer = respond(&query(7, &question()), UDP_BYTES_MAX, |asked| {
            assert_eq!(*asked, question());
            Answer::Addresses(CODE_OK, vec![ip])
        })
        .unwrap();
        assert_eq!(response_code(&answer, 7), Some(CODE_OK));
        assert_eq!(response_code(&answer, 8), None);
        assert!(answer.ends_with(&[0, 4, 10, 96, 0, 7]));
        assert_eq!(answer.get(6..8).unwrap(), [0, 1]);
    }

    #[test]
    fn a_long_answer_is_cut_and_marked() {
        let ips: Vec<IpAddr> = (0..60_u8).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let answer = respond(&query(1, &question()), UDP_BYTES_MAX, |_| {
            Answer::Addresses(CODE_OK, ips.clone())
        });
        let answer = answer.unwrap();
        assert!(answer.len() <= UDP_BYTES_MAX && answer[2] & 0x02 != 0);
        let whole = respond(&query(1, &question()), usize::from(u16::MAX), |_| {
            Answer::Addresses(CODE_OK, ips.clone())
        });
        assert!(whole.unwrap()[2] & 0x02 == 0);
    }

    #[test]
    fn no_bytes_make_it_panic_and_responses_are_not_answered() {
        let whole = query(7, &question());
        for end in 0..whole.len() {
            let cut = whole.get(..end).unwrap();
            respond(cut, UDP_BYTES_MAX, |_| Answer::Addresses(CODE_NO_NAME, Vec::new()));
        }
        for byte in 0..=255_u8 {
            let noise: Vec<u8> = (0..64_u8).map(|at| at.wrapping_mul(byte) ^ byte).collect();
            respond(&noise, UDP_BYTES_MAX, |_| Answer::Text("x".to_owned()));
        }
        let mut response = whole;
        response[2] |= 0x80;
        assert_eq!(respond(&response, UDP_BYTES_MAX, |_| Answer::Text(String::new())), None);
    }
}
