//! Input that nobody meant: it is counted, and nothing else.

use proptest::prelude::*;
use sekisho_exchange::Format;

use crate::support::{import, import_in};

/// Pieces of all formats, to be put together wrongly.
const PIECES: &[&str] = &[
    "2 1 eni-0a 10.0.1.5 10.0.2.7 49152 5432 6 12 3400 1700000000 1700000060 ACCEPT OK",
    "srcaddr dstaddr srcport dstport protocol start end action",
    r#"{"flow":{"time":"2023-11-14T22:13:20Z","verdict":"FORWARDED","IP":{"source":"10.0.1.5","destination":"10.0.2.7"},"l4":{"UDP":{"source_port":1,"destination_port":2}}},"node_name":"n"}"#,
    r#"{"lost_events":{"num_events_lost":"18446744073709551615"}}"#,
    r#"{"flow":{"verdict":"#,
    "#separator \\x09",
    "#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto",
    "1700000000.5\t10.0.1.5\t1\t10.0.2.7\t2\ttcp",
    "tcp 6 9 ESTABLISHED src=10.0.1.5 dst=10.0.2.7 sport=1 dport=2 src=10.0.2.7 dst=10.0.1.5 sport=2 dport=1",
    "\"\u{0}\u{1b}[31m\"",
    "18446744073709551616",
    "\r",
    "-",
    "{",
    "[[[[[[[[[[[[[[[[",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        2 => Just(b"\n".to_vec()),
        1 => Just(b" ".to_vec()),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_line_is_a_record_or_counted_wherever_pieces_end(text in text(), piece in 1..64_usize) {
        for format in Format::all() {
            let whole = import_in(format, &text, usize::MAX);
            let cut = import_in(format, &text, piece);
            prop_assert_eq!(&whole.flows, &cut.flows);
            prop_assert_eq!(&whole.tally, &cut.tally);
            prop_assert_eq!(&whole.losses, &cut.losses);
            prop_assert_eq!(whole.flows.len() as u64, whole.tally.records);
            for one in whole.tally.rejected.values() {
                prop_assert!(one.count > 0 && one.line > 0 && one.line <= whole.tally.lines);
                prop_assert!(!one.sample.chars().any(char::is_control), "{:?}", one.sample);
            }
        }
    }

    #[test]
    fn the_format_of_any_content_is_known_or_refused(head in text()) {
        let _known_or_not = Format::of_content(&head);
    }
}

#[test]
fn reasons_are_bounded_and_nothing_is_left_uncounted() {
    // Each line has another number of fields, which the reason names.
    let text: String = (0..200).map(|fields| "x ".repeat(fields + 1) + "\n").collect();
    let all = import(Format::AwsVpc, &text);
    assert!(all.tally.rejected.len() <= 65);
    assert_eq!(all.tally.rejected_sum(), 200);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{{\"flow\":{{\"l4\":{}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    let all = import(Format::Hubble, &deep);
    assert_eq!(all.tally.rejected_sum(), 1);
}

#[test]
fn names_of_formats_are_told_when_one_is_wrong() {
    let error = "hubbel".parse::<Format>().unwrap_err().to_string();
    assert!(error.contains("hubbel") && error.contains("aws-vpc"), "{error}");
    for format in Format::all() {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
    }
}
