//! Which fields an encoded message has (protobuf encoding, "Message Structure"): what a decoder skips,
//! a filter must not.

/// Bytes of a number at most (protobuf encoding, "Base 128 Varints").
const VARINT_BYTES_MAX: usize = 10;

/// The numbers of the fields of a message in the order in which they stand; None = it is no message.
pub(super) fn fields(bytes: &[u8]) -> Option<Vec<u64>> {
    Some(parts(bytes)?.into_iter().map(|(number, _)| number).collect())
}

/// The fields of a message, each with its number and its bytes, key and all.
pub(super) fn parts(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (key, rest) = varint(bytes)?;
        let length = match key & 7 {
            0 => rest.len() - varint(rest)?.1.len(),
            1 => 8,
            2 => {
                let (length, after) = varint(rest)?;
                (rest.len() - after.len()).checked_add(usize::try_from(length).ok()?)?
            }
            5 => 4,
            _ => return None,
        };
        let after = rest.get(length..)?;
        parts.push((key >> 3, bytes.get(..bytes.len() - after.len())?));
        bytes = after;
    }
    Some(parts)
}

/// A number, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(VARINT_BYTES_MAX) {
        number |= u64::from(byte & 0x7f) << (7 * at).min(63);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::observer::messages::{EventTypeFilter, Flow, FlowFilter, Policy};

    #[test]
    fn fields_of_each_kind_are_walked_over_and_numbered() {
        let filter = FlowFilter {
            source_ip: vec!["10.0.0.1".to_owned()],
            verdict: vec![2, 4],
            event_type: vec![EventTypeFilter { kind: 1, match_sub_type: true, sub_type: 0 }],
            reply: vec![true],
            ..FlowFilter::default()
        };
        assert_eq!(fields(&filter.encode_to_vec()).unwrap(), [1, 5, 6, 15]);
        let flow = Flow { egress_denied_by: vec![Policy::default()], ..Flow::default() };
        assert_eq!(fields(&flow.encode_to_vec()).unwrap(), [21_001 + 3]);
        assert_eq!(fields(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 21, 1, 2, 3, 4]).unwrap(), [1, 2]);
    }

    #[test]
    fn what_is_no_message_is_none_and_no_panic() {
        for bytes in [
            &[0x0a, 5, 1][..],
            &[0x0a],
            &[0x0b],
            &[0xff; 12],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(fields(bytes), None, "{bytes:?}");
        }
        assert_eq!(fields(b""), Some(Vec::new()));
    }
}
