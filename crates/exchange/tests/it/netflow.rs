//! NetFlow and IPFIX.

use sekisho_exchange::Format;
use sekisho_model::{EdgeStats, Flow, Timestamp};

use crate::capture::{ethernet, pcap, udp};
use crate::samples::adds_up;
use crate::support::{Imported, edges, import_in};

const ALLOWED: &str = "shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed";
/// When messages were sent, seconds since 1970, and how long the exporter ran then, milliseconds.
const SENT_S: u32 = 1_700_000_100;
const UPTIME_MS: u32 = 500_000;

const CART: [u8; 4] = [10, 0, 1, 5];
const DB: [u8; 4] = [10, 0, 2, 7];

fn import(file: &[u8]) -> Imported {
    let whole = import_in(Format::Netflow, file, usize::MAX);
    for piece in [1, 11, 100] {
        let cut = import_in(Format::Netflow, file, piece);
        assert_eq!((&cut.flows, &cut.tally), (&whole.flows, &whole.tally), "pieces of {piece}");
    }
    adds_up(&whole.tally);
    whole
}

fn sum(flows: &[Flow], of: fn(&EdgeStats) -> u64) -> u64 {
    flows.iter().map(|flow| of(&flow.stats)).sum()
}

fn words(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn longs(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A message of version 5 with both directions of a connection.
pub(crate) fn v5(sequence: u32, sampling: u16) -> Vec<u8> {
    let record = |from: [u8; 4], to: [u8; 4], ports: [u16; 2], flags: u8| {
        [
            &from[..],
            &to,
            &[0; 8],
            &longs(&[10, 1_000, UPTIME_MS - 60_000, UPTIME_MS - 1_000]),
            &words(&ports),
            &[0, flags, 6, 0],
            &[0; 8],
        ]
        .concat()
    };
    [
        words(&[5, 2]),
        longs(&[UPTIME_MS, SENT_S, 0, sequence]),
        words(&[7, sampling]),
        record(CART, DB, [40_112, 5_432], 0x1b),
        record(DB, CART, [5_432, 40_112], 0x1b),
    ]
    .concat()
}

fn set(kind: u16, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let mut set = words(&[kind, u16::try_from(4 + padded).unwrap()]);
    set.extend(body);
    set.resize(4 + padded, 0);
    set
}

fn v9(sequence: u32, source: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let head = [words(&[9, 1]), longs(&[UPTIME_MS, SENT_S, sequence, source])].concat();
    [head, sets.concat()].concat()
}

fn ipfix(sequence: u32, domain: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let sets = sets.concat();
    let length = u16::try_from(16 + sets.len()).unwrap();
    [words(&[10, length]), longs(&[SENT_S, sequence, domain]), sets].concat()
}

/// Template 256: addresses, ports, protocol, flags, bytes, packets, times of uptime.
fn template(kind: u16) -> Vec<u8> {
    let fields = [8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 1, 4, 2, 4, 22, 4, 21, 4];
    set(kind, &[words(&[256, 10]), words(&fields)].concat())
}

fn record(flags: u8) -> Vec<u8> {
    [
        &CART[..],
        &DB,
        &words(&[40_112, 5_432]),
        &[6, flags],
        &longs(&[1_000, 10, UPTIME_MS - 60_000, UPTIME_MS - 1_000]),
    ]
    .concat()
}

#[test]
fn version_5_tells_both_directions_of_a_connection() {
    let all = import(&v5(1, 0));
    assert_eq!(edges(&all.flows), [format!("{ALLOWED} ?")]);
    assert_eq!((all.tally.lines, all.tally.silent, all.tally.connections), (3, 1, 1));
    let both = (sum(&all.flows, |s| s.bytes_sent), sum(&all.flows, |s| s.bytes_received));
    assert_eq!(both, (1_000, 1_000));
    let start = u64::from(SENT_S) - 60;
    assert_eq!(all.flows[0].stats.first_seen, Timestamp::from_seconds(start));
}

#[test]
fn samples_are_scaled_and_said() {
    let all = import(&v5(1, 0x4000 | 100));
    assert_eq!((sum(&all.flows, |s| s.bytes_sent), all.tally.sampled), (100_000, 100));
    // Options template 257: scope system, sampler 48, mode 49, rate 50.
    let options = set(1, &words(&[257, 4, 12, 1, 4, 48, 1, 49, 1, 50, 2]));
    let sampler = set(257, &[0, 0, 0, 1, 7, 2, 0, 50]);
    let flows = set(256, &record(0x1b));
    let all = import(&v9(1, 3, &[options.clone(), sampler, template(0), flows.clone()]));
    assert_eq!((sum(&all.flows, |s| s.bytes_sent), all.tally.sampled), (50_000, 50));
    let two = [[0, 0, 0, 1, 7, 2, 0, 50], [0, 0, 0, 1, 8, 2, 0, 60]].concat();
    let all = import(&v9(1, 3, &[options, set(257, &two), template(0), flows]));
    assert_eq!((sum(&all.flows, |s| s.bytes_sent), all.tally.sampled), (1_000, 0), "which one?");
    let fields = [34, 4, 8, 4, 12, 4, 4, 1];
    let own = set(0, &[words(&[258, 4]), words(&fields)].concat());
    let data = set(258, &[&longs(&[50])[..], &CART, &DB, &[6]].concat());
    assert_eq!(import(&v9(1, 3, &[own, data])).tally.sampled, 50);
}

#[test]
fn templates_hold_for_their_own_exporter_and_come_first() {
    let flows = set(256, &record(0x1b));
    let all = import(&[v9(1, 3, &[template(0)]), v9(2, 3, std::slice::from_ref(&flows))].concat());
    assert_eq!((edges(&all.flows), all.tally.rejected_sum()), (vec![format!("{ALLOWED} ?")], 0));
    let other =
        import(&[v9(1, 3, &[template(0)]), v9(1, 4, std::slice::from_ref(&flows))].concat());
    assert_eq!((other.flows.len(), other.tally.rejected_sum()), (0, 1));
    let late = import(&v9(1, 3, &[flows.clone(), template(0), flows]));
    assert_eq!((late.flows.len(), late.tally.rejected_sum()), (1, 1));
    assert!(late.tally.rejected.contains_key("records whose template did not come before them"));
}

#[test]
fn ipfix_with_enterprise_fields_variable_lengths_and_both_directions_is_read() {
    // Addresses, ports, protocol, counts, those of the other direction, a text, milliseconds.
    let fields = [
        words(&[300, 11, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 8]),
        words(&[0x8001, 8, 0, 29_305, 0x8000 | 99, 0xffff, 0, 9_999]),
        words(&[152, 8, 153, 8, 6, 2]),
    ];
    let start = u64::from(SENT_S - 60) * 1_000;
    let record = [
        &CART[..],
        &DB,
        &words(&[40_112, 5_432]),
        &[6],
        &700_u64.to_be_bytes(),
        &900_u64.to_be_bytes(),
        &[3, b'a', b'b', b'c'],
        &start.to_be_bytes(),
        &(start + 5_000).to_be_bytes(),
        &[0, 0x1b],
    ]
    .concat();
    let all = import(&ipfix(1, 8, &[set(2, &fields.concat()), set(300, &record)]));
    assert_eq!(edges(&all.flows), [ALLOWED], "{:?}", all.tally);
    let stats = &all.flows[0].stats;
    assert_eq!((stats.bytes_sent, stats.bytes_received), (700, 900));
    assert_eq!(stats.last_seen.seconds_since(stats.first_seen), 5);
    let withdrawn = ipfix(2, 8, &[set(2, &words(&[300, 0])), set(300, &record)]);
    let all = import(&[ipfix(1, 8, &[set(2, &fields.concat())]), withdrawn].concat());
    assert_eq!((all.flows.len(), all.tally.rejected_sum()), (0, 1));
}

#[test]
fn what_a_firewall_denied_is_denied_and_what_was_dropped_otherwise_is_unknown() {
    let verdict = |element: u16, value: u8| {
        let fields = words(&[259, 4, 8, 4, 12, 4, 4, 1, element, 1]);
        let data = set(259, &[&CART[..], &DB, &[6, value]].concat());
        let all = import(&v9(1, 3, &[set(0, &fields), data]));
        all.flows[0].key.verdict.to_string()
    };
    assert_eq!((verdict(233, 3), verdict(233, 1)), ("denied".to_owned(), "allowed".to_owned()));
    assert_eq!((verdict(89, 130), verdict(89, 64)), ("denied".to_owned(), "allowed".to_owned()));
    assert_eq!(verdict(89, 131), "unknown");
}

#[test]
fn an_attempt_is_unknown_and_tells_who_began() {
    let all = import(&v9(1, 3, &[template(0), set(256, &record(0x02))]));
    assert_eq!(edges(&all.flows), [ALLOWED.replace("allowed", "unknown")]);
}

#[test]
fn uptime_that_began_anew_gives_the_right_times() {
    let mut message = v5(1, 0);
    // The exporter ran for 1 s; the first flow began 59 s before that.
    message[4..8].copy_from_slice(&longs(&[1_000]));
    message[48..56].copy_from_slice(&longs(&[1_000_u32.wrapping_sub(60_000), 500]));
    message[96..104].copy_from_slice(&longs(&[900, 950]));
    let all = import(&message);
    let start = u64::from(SENT_S) - 60;
    assert_eq!(all.tally.rejected_sum(), 0, "{:?}", all.tally);
    assert_eq!(all.flows[0].stats.first_seen, Timestamp::from_seconds(start));
}

#[test]
fn errors_of_icmp_are_no_connections_and_an_echo_is_one() {
    let icmp = |kind: u16| {
        let mut message = v5(1, 0);
        message[24 + 34..24 + 36].copy_from_slice(&words(&[kind << 8]));
        message[24 + 38] = 1;
        import(&message)
    };
    let (error, echo) = (icmp(3), icmp(8));
    assert_eq!((error.flows.len(), error.tally.skipped.len()), (1, 1));
    assert_eq!((echo.flows.len(), echo.flows[0].key.direction_inferred), (2, false));
}

#[test]
fn times_of_uptime_count_from_what_options_say() {
    // Options template 260: scope of the domain, when the exporter was started.
    let options = set(3, &words(&[260, 2, 1, 149, 4, 160, 8]));
    let booted = u64::from(SENT_S) * 1_000 - u64::from(UPTIME_MS);
    let told = set(260, &[&longs(&[8])[..], &booted.to_be_bytes()].concat());
    let fields =
        set(2, &words(&[256, 10, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 1, 4, 2, 4, 22, 4, 21, 4]));
    let all = import(&ipfix(1, 8, &[options, told, fields, set(256, &record(0x1b))]));
    assert_eq!(all.tally.rejected_sum(), 0, "{:?}", all.tally);
    let start = u64::from(SENT_S) - 60;
    assert_eq!(all.flows[0].stats.first_seen, Timestamp::from_seconds(start));
}

#[test]
fn gaps_of_sequence_numbers_are_losses_and_a_new_start_is_none() {
    let lost = |first: u32, second: u32| import(&[v5(first, 0), v5(second, 0)].concat()).tally.lost;
    assert_eq!((lost(1, 3), lost(1, 10), lost(5_000, 0)), (0, 7, 0));
    let messages = [v9(7, 3, &[template(0)]), v9(9, 3, &[set(256, &record(0x1b))])].concat();
    assert_eq!(import(&messages).tally.lost, 1);
}

#[test]
fn an_exporter_that_counts_a_message_before_it_is_sent_loses_nothing() {
    let message = |sequence: u32, count: usize| {
        ipfix(sequence, 3, &[template(2), set(256, &record(0x1b).repeat(count))])
    };
    let lost = |messages: [(u32, usize); 3]| {
        let file: Vec<u8> = messages.iter().flat_map(|(at, count)| message(*at, *count)).collect();
        import(&file).tally.lost
    };
    assert_eq!(lost([(0, 2), (2, 5), (7, 3)]), 0, "as the RFC has it");
    assert_eq!(lost([(2, 2), (7, 5), (10, 3)]), 0, "as softflowd has it");
    assert_eq!(lost([(0, 2), (4, 5), (9, 3)]), 2, "two before the second");
    assert_eq!(lost([(2, 2), (9, 5), (12, 3)]), 5, "two, and as the RFC has it five");
}

#[test]
fn datagrams_in_a_capture_are_read_if_somebody_asks_for_it() {
    let datagram = |from: &str, payload: &[u8]| ethernet(&udp([from, "192.0.2.9:2055"], payload));
    let flows = set(256, &record(0x1b));
    let file = pcap(
        1,
        &[
            datagram("192.0.2.1:5000", &v9(1, 3, &[template(0)])),
            datagram("192.0.2.2:5000", &v9(1, 3, std::slice::from_ref(&flows))),
            datagram("192.0.2.1:5000", &v9(2, 3, std::slice::from_ref(&flows))),
            datagram("192.0.2.1:5000", &v9(3, 3, &[flows])[..30]),
            datagram("192.0.2.1:5000", b"something else"),
        ],
    );
    assert_eq!(Format::of_content(&file).unwrap(), Format::Pcap);
    let all = import(&file);
    assert_eq!(edges(&all.flows), [format!("{ALLOWED} ?")]);
    assert_eq!((all.tally.records, all.tally.rejected_sum()), (1, 2), "{:?}", all.tally);
    assert_eq!(all.tally.skipped.values().sum::<u64>(), 1);
}

#[test]
fn broken_messages_are_counted_and_end_what_can_be_read() {
    let good = v9(1, 3, &[template(0), set(256, &record(0x1b))]);
    let cut = import(&good[..good.len() - 3]);
    assert_eq!((cut.flows.len(), cut.tally.rejected_sum()), (0, 1));
    let version = import(&[good.clone(), words(&[8, 1, 0, 0, 0, 0, 0, 0])].concat());
    assert_eq!((version.flows.len(), version.tally.rejected_sum()), (1, 1));
    let short = import(&v9(1, 3, &[words(&[256, 3])]));
    assert_eq!(short.tally.rejected_sum(), 1);
    let empty = import(&v9(1, 3, &[set(0, &words(&[256, 1, 8, 0]))]));
    assert_eq!(empty.tally.rejected_sum(), 1, "a record of no bytes would have no end");
    let mut future = v5(1, 0);
    future[8..12].copy_from_slice(&longs(&[u32::MAX]));
    assert_eq!(import(&future).tally.rejected_sum(), 2);
}
