//! Captures of packets.

use sekisho_exchange::Format;
use sekisho_model::{EdgeStats, Flow, Timestamp};

use crate::capture::{
    ACK, RST, START_S, SYN, block, client_hello, connection, dns_answer, enhanced, ethernet, ip,
    option, pcap, section, tcp, udp,
};
use crate::support::{Imported, edges, import_in};

const ETHERNET: u32 = 1;
const CART: &str = "10.0.1.5:40112";
const DB: &str = "10.0.2.7:5432";
const ALLOWED: &str = "shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed";

fn import(file: &[u8]) -> Imported {
    let whole = import_in(Format::Pcap, file, usize::MAX);
    for piece in [1, 7, 1_000] {
        let cut = import_in(Format::Pcap, file, piece);
        assert_eq!((&cut.flows, &cut.tally), (&whole.flows, &whole.tally), "pieces of {piece}");
    }
    whole
}

fn sum(flows: &[Flow], of: fn(&EdgeStats) -> u64) -> u64 {
    flows.iter().map(|flow| of(&flow.stats)).sum()
}

fn frames(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    packets.iter().map(|packet| ethernet(packet)).collect()
}

#[test]
fn the_packets_of_a_connection_are_one_flow_with_its_payload() {
    let all = import(&pcap(ETHERNET, &connection(CART, DB, &[7; 900])));
    assert_eq!(edges(&all.flows), [ALLOWED]);
    assert_eq!((all.tally.lines, all.tally.used, all.tally.silent), (9, 8, 1));
    assert_eq!((all.tally.records, all.tally.connections), (1, 1));
    let stats = &all.flows[0].stats;
    assert_eq!((stats.bytes_sent, stats.bytes_received), (900, 6));
    assert_eq!((stats.packets_sent, stats.packets_received), (5, 3));
    assert_eq!(stats.first_seen, Timestamp::from_seconds(START_S));
}

#[test]
fn both_byte_orders_nanoseconds_and_captures_put_together_are_read() {
    let little = pcap(ETHERNET, &connection(CART, DB, b"x"));
    // Every number of the file's own, the other way round.
    let mut big = Vec::new();
    big.extend([0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4]);
    big.extend([0; 8]);
    big.extend([0, 0, 0xff, 0xff, 0, 0, 0, 1]);
    for (number, frame) in (0_u32..).zip(connection(CART, DB, b"x")) {
        let length = u32::try_from(frame.len()).unwrap();
        let second = u32::try_from(START_S).unwrap();
        for word in [second, number * 1_000_000, length, length] {
            big.extend(word.to_be_bytes());
        }
        big.extend(frame);
    }
    let (one, other) = (import(&little), import(&big));
    assert_eq!(one.flows, other.flows);
    let both = import(&[little, big].concat());
    assert_eq!((both.tally.connections, both.tally.rejected_sum()), (2, 0));
}

#[test]
fn pcapng_with_sections_interfaces_and_drops_is_read() {
    let frames = connection(CART, DB, b"x");
    let mut file = section();
    for (millis, frame) in (0..).zip(&frames) {
        file.extend(enhanced(millis, frame, &[]));
    }
    assert_eq!(import(&file).flows, import(&pcap(ETHERNET, &frames)).flows);
    // Interface statistics: seven dropped by the interface, three by the system; told twice.
    let drops = [option(5, &7_u64.to_le_bytes()), option(7, &3_u64.to_le_bytes())].concat();
    let statistics = block(5, &[&[0; 12][..], &drops, &option(0, b"")].concat());
    let lost = [&file[..], &statistics, &statistics].concat();
    assert_eq!(import(&lost).tally.lost, 10);
    let between = enhanced(9, &frames[0], &option(4, &2_u64.to_le_bytes()));
    assert_eq!(import(&[&file[..], &between].concat()).tally.lost, 2);
    let sections = import(&[&file[..], &file].concat());
    assert_eq!((sections.tally.connections, sections.tally.rejected_sum()), (2, 0));
}

#[test]
fn an_attempt_without_an_answer_is_unknown_and_a_refused_one_was_let_through() {
    let syn = tcp([CART, DB], SYN, 1, b"");
    let unknown = import(&pcap(ETHERNET, &frames(&[syn.clone(), syn.clone()])));
    assert_eq!(edges(&unknown.flows), [ALLOWED.replace("allowed", "unknown")]);
    assert_eq!(unknown.tally.connections, 1);
    let refused = import(&pcap(ETHERNET, &frames(&[syn, tcp([DB, CART], RST | ACK, 0, b"")])));
    assert_eq!(edges(&refused.flows), [ALLOWED]);
    assert_eq!(sum(&refused.flows, |stats| stats.resets), 1);
}

#[test]
fn a_gateway_that_prohibits_denies_and_a_closed_port_does_not() {
    let syn = tcp([CART, DB], SYN, 1, b"");
    let error = |code: u8| {
        let body = [&[3, code, 0, 0, 0, 0, 0, 0][..], &syn[..28]].concat();
        ip("10.0.0.1".parse().unwrap(), "10.0.1.5".parse().unwrap(), 1, &body)
    };
    let denied = import(&pcap(ETHERNET, &frames(&[syn.clone(), error(13)])));
    assert_eq!(edges(&denied.flows), [ALLOWED.replace("allowed", "denied")]);
    let unreachable = import(&pcap(ETHERNET, &frames(&[syn.clone(), error(1)])));
    assert_eq!(edges(&unreachable.flows), [ALLOWED.replace("allowed", "unknown")]);
}

#[test]
fn who_began_is_told_by_the_first_packets_and_guessed_in_the_middle() {
    let late = import(&pcap(ETHERNET, &connection(CART, DB, b"x")[3..]));
    assert_eq!(edges(&late.flows), [format!("{ALLOWED} ?")]);
    let answer = import(&pcap(ETHERNET, &connection(CART, DB, b"x")[1..]));
    assert_eq!(edges(&answer.flows), [ALLOWED]);
    let datagrams = [udp([CART, DB], b"ask"), udp([DB, CART], b"answer")];
    assert_eq!(edges(&import(&pcap(ETHERNET, &frames(&datagrams))).flows), [ALLOWED]);
    let turned = [datagrams[1].clone(), datagrams[0].clone()];
    assert_eq!(edges(&import(&pcap(ETHERNET, &frames(&turned))).flows), [format!("{ALLOWED} ?")]);
    let alone = import(&pcap(ETHERNET, &frames(&datagrams[..1])));
    assert_eq!(edges(&alone.flows), [ALLOWED.replace("allowed", "unknown")]);
}

#[test]
fn a_long_connection_is_one_connection_whose_bytes_stand_in_their_minutes() {
    let packets: Vec<_> = connection(CART, DB, &[0; 100]);
    let mut file = section();
    for minute in 0..5 {
        let frame = if minute == 0 { &packets[0] } else { &packets[3] };
        file.extend(enhanced(minute * 60_000, frame, &[]));
        file.extend(enhanced(minute * 60_000 + 1, &packets[if minute == 0 { 1 } else { 4 }], &[]));
    }
    let all = import(&file);
    assert_eq!((all.tally.connections, all.flows.len()), (1, 5));
    assert_eq!(sum(&all.flows, |stats| stats.bytes_sent), 400);
    let minutes: Vec<u64> =
        all.flows.iter().map(|flow| flow.stats.last_seen.seconds_since(flow.opened)).collect();
    assert_eq!(minutes, [0; 5]);
}

#[test]
fn the_same_packet_at_two_interfaces_counts_once() {
    let cooked = |device: u8, packet: &[u8]| {
        [&[8, 0, 0, 0, 0, 0, 0, device, 0, 1, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0][..], packet].concat()
    };
    let packets = connection(CART, DB, &[1; 50]);
    let twice: Vec<Vec<u8>> = packets
        .iter()
        .flat_map(|frame| [3, 4].map(|device| cooked(device, &frame[14..])))
        .collect();
    let all = import(&pcap(276, &twice));
    assert_eq!(edges(&all.flows), [ALLOWED]);
    assert_eq!((sum(&all.flows, |stats| stats.bytes_sent), all.tally.connections), (50, 1));
}

#[test]
fn every_link_type_tag_and_tunnel_leads_to_the_same_edge() {
    let plain = connection(CART, DB, b"x");
    let expected = import(&pcap(ETHERNET, &plain)).flows;
    let with = |link: u32, head: &[u8]| {
        let frames: Vec<_> = plain.iter().map(|frame| [head, &frame[14..]].concat()).collect();
        import(&pcap(link, &frames)).flows
    };
    let tagged = [&[2; 12][..], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 7, 8, 0]].concat();
    assert_eq!(with(ETHERNET, &tagged), expected, "two VLAN tags");
    assert_eq!(with(101, &[]), expected, "raw");
    assert_eq!(with(113, &[&[0; 14][..], &[8, 0]].concat()), expected, "Linux cooked");
    assert_eq!(with(0, &[2, 0, 0, 0]), expected, "BSD loopback");
    let outer = |head: &[u8], port: u16, frame: &[u8]| {
        let body = [head, frame].concat();
        ethernet(&udp(["192.0.2.1:55555", &format!("192.0.2.2:{port}")], &body))
    };
    let vxlan: Vec<_> =
        plain.iter().map(|frame| outer(&[8, 0, 0, 0, 0, 0, 1, 0], 4789, frame)).collect();
    assert_eq!(import(&pcap(ETHERNET, &vxlan)).flows, expected, "VXLAN");
    let geneve = [1, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 2, 3, 4];
    let geneve: Vec<_> = plain.iter().map(|frame| outer(&geneve, 6081, frame)).collect();
    assert_eq!(import(&pcap(ETHERNET, &geneve)).flows, expected, "Geneve");
    let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let ipip: Vec<_> = plain.iter().map(|frame| ethernet(&ip(a, b, 4, &frame[14..]))).collect();
    assert_eq!(import(&pcap(ETHERNET, &ipip)).flows, expected, "IP in IP");
}

#[test]
fn ipv6_with_extension_headers_and_fragments_is_read() {
    let (from, to) = ("[2001:db8::5]:40112", "[2001:db8::7]:5432");
    let plain = udp([from, to], &[9; 64]);
    let (address, port) = (&plain[8..40], &plain[40..]);
    let packet = |next: u8, extra: &[u8], rest: &[u8]| {
        let length = u16::try_from(extra.len() + rest.len()).unwrap().to_be_bytes();
        let head = [0x60, 0, 0, 0, length[0], length[1], next, 64];
        ethernet(&[&head[..], address, extra, rest].concat())
    };
    let destination = [17, 0, 1, 4, 0, 0, 0, 0];
    let first = [17, 0, 0, 1, 0, 0, 0, 5];
    let second = [17, 0, 0, 40, 0, 0, 0, 5];
    let stranger = [17, 0, 0, 40, 0, 0, 0, 6];
    let frames = [
        packet(60, &destination, port),
        packet(44, &first, &port[..40]),
        packet(44, &second, &port[40..]),
        packet(44, &stranger, &port[40..]),
    ];
    let all = import(&pcap(ETHERNET, &frames));
    assert_eq!(all.flows.len(), 1);
    assert_eq!((all.flows[0].key.port, all.flows[0].stats.bytes_sent), (5432, 128));
    assert_eq!((all.tally.used, all.tally.skipped.values().sum::<u64>()), (3, 1));
}

#[test]
fn names_are_those_that_were_asked_for_or_said() {
    let outside = "203.0.113.9:443";
    let answer = dns_answer("API.payments.example", "203.0.113.9".parse().unwrap());
    let dns = ethernet(&udp(["10.0.0.53:53", "10.0.1.5:40000"], &answer));
    let named = [vec![dns.clone()], connection(CART, outside, b"x")].concat();
    let of = |frames: &[Vec<u8>]| import(&pcap(ETHERNET, frames)).flows.pop().unwrap();
    let name = |flow: Flow| flow.key.destination.dns_name.clone();
    assert_eq!(name(of(&named)).as_deref(), Some("api.payments.example"));
    let other = [vec![dns], connection("10.0.9.9:40112", outside, b"x")].concat();
    let other = import(&pcap(ETHERNET, &other));
    let to = |flow: &&Flow| flow.key.port == 443;
    assert_eq!(other.flows.iter().find(to).unwrap().key.destination.dns_name, None);
    let hello = client_hello("shop.example", 20);
    assert_eq!(name(of(&connection(CART, outside, &hello))).as_deref(), Some("shop.example"));
    // Post-quantum keys make it longer than a segment.
    let long = client_hello("big.example", 2_000);
    let mut packets = connection(CART, outside, &long);
    let halves = [
        tcp([CART, outside], ACK, 101, &long[..1_400]),
        tcp([CART, outside], ACK, 1_501, &long[1_400..]),
    ];
    packets.splice(3..4, frames(&halves));
    assert_eq!(name(of(&packets)).as_deref(), Some("big.example"));
    packets.remove(3);
    assert_eq!(name(of(&packets)), None);
}

#[test]
fn what_is_cut_off_or_no_packet_of_ours_is_counted() {
    let frames = connection(CART, DB, b"x");
    let file = pcap(ETHERNET, &frames);
    let cut = import(&file[..file.len() - 3]);
    assert_eq!((cut.tally.rejected_sum(), cut.tally.used), (1, 7));
    assert!(cut.tally.rejected.contains_key("the capture ends within a packet"));
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 28]].concat();
    let short = frames[0][..30].to_vec();
    let odd = import(&pcap(ETHERNET, &[arp, short, frames[0].clone()]));
    assert_eq!((odd.tally.skipped.len(), odd.tally.rejected_sum(), odd.tally.used), (1, 1, 1));
    let mut huge = file.clone();
    huge[24 + 8..24 + 12].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    let huge = import(&huge);
    assert_eq!((huge.tally.rejected_sum(), huge.flows.len()), (1, 0));
    let mut late = file;
    late[24..28].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let late = import(&late);
    assert_eq!((late.tally.rejected_sum(), late.tally.connections), (1, 1));
    let link = import(&pcap(147, &frames));
    assert_eq!(link.tally.rejected_sum(), 8);
}
