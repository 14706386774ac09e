//! A good sample of each format, and what holds for all of them: each is detected as itself only, and
//! whatever is broken in it is counted, once.

use proptest::prelude::*;
use sekisho_exchange::{Format, Tally};

use crate::capture::{connection, dns_answer, ethernet, pcap, udp};
use crate::support::{Imported, edges, import_in};

/// A whole connection from shop/cart to shop/db as each format tells it.
pub(crate) fn sample(format: Format) -> Vec<u8> {
    match format {
        Format::Hubble => br#"{"flow":{"time":"2023-11-14T22:13:20Z","verdict":"FORWARDED","IP":{"source":"10.0.1.5","destination":"10.0.2.7"},"l4":{"TCP":{"source_port":40112,"destination_port":5432,"flags":{"SYN":true}}},"node_name":"n"},"node_name":"n"}
"#.to_vec(),
        Format::AwsVpc => b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags\n5 1 eni-0a 10.0.1.5 10.0.2.7 40112 5432 6 12 3400 1700000000 1700000060 ACCEPT OK 3\n".to_vec(),
        Format::Zeek => b"#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n1700000000.5\t10.0.1.5\t40112\t10.0.2.7\t5432\ttcp\tSF\n".to_vec(),
        Format::Conntrack => b"tcp 6 9 ESTABLISHED src=10.0.1.5 dst=10.0.2.7 sport=40112 dport=5432 src=10.0.2.7 dst=10.0.1.5 sport=5432 dport=40112 [ASSURED] use=1\n".to_vec(),
        Format::Pcap => {
            let answer = dns_answer("db.example", "10.0.2.7".parse().unwrap());
            let dns = ethernet(&udp(["10.0.1.5:53", "10.0.1.5:53"], &answer));
            let mut frames = connection("10.0.1.5:40112", "10.0.2.7:5432", b"hello");
            frames.push(dns[..40].to_vec());
            frames.truncate(8);
            pcap(1, &frames)
        }
        Format::Netflow => crate::netflow::v5(1, 0),
        Format::Gcp => crate::json::GCP_FIREWALL.as_bytes().to_vec(),
        Format::Azure => crate::json::AZURE.as_bytes().to_vec(),
        Format::Calico => crate::json::WHISKER.as_bytes().to_vec(),
        Format::NetObserv => crate::json::NETOBSERV.as_bytes().to_vec(),
        Format::Envoy => crate::envoy::OUTBOUND.as_bytes().to_vec(),
    }
}

/// Every unit is counted once: as used, silent, skipped or rejected.
#[track_caller]
pub(crate) fn adds_up(tally: &Tally) {
    let skipped: u64 = tally.skipped.values().sum();
    let sum = tally.used + tally.silent + skipped + tally.rejected_sum();
    assert_eq!(sum, tally.lines, "{tally:?}");
}

#[test]
fn each_sample_is_detected_as_itself_and_gives_the_same_edge() {
    for format in Format::all() {
        let sample = sample(format);
        assert_eq!(Format::of_content(&sample).unwrap(), format);
        let all = import_in(format, &sample, usize::MAX);
        adds_up(&all.tally);
        assert_eq!(all.tally.rejected_sum(), 0, "{format}: {:?}", all.tally.rejected);
        let told: Vec<String> =
            edges(&all.flows).iter().map(|edge| edge.trim_end_matches(" ?").to_owned()).collect();
        let expected = "shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed";
        assert_eq!(told, [expected], "{format}");
    }
}

#[test]
fn no_format_takes_the_sample_of_another_for_its_own() {
    for format in Format::all() {
        let sample = sample(format);
        for other in Format::all().filter(|other| *other != format) {
            let all = import_in(other, &sample, usize::MAX);
            adds_up(&all.tally);
            assert_eq!(all.flows, [], "{format} read as {other}");
        }
    }
}

/// What happens to files.
#[derive(Clone, Debug)]
enum Harm {
    CutAt(usize),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Double(usize, usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = 0..4_096_usize;
    prop_oneof![
        1 => at.clone().prop_map(Harm::CutAt),
        6 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Harm::Flip(at, byte)),
        2 => (at.clone(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        2 => (at.clone(), 1..60_usize).prop_map(|(at, length)| Harm::Remove(at, length)),
        1 => (at, 1..400_usize).prop_map(|(at, length)| Harm::Double(at, length)),
    ]
}

fn harmed(mut bytes: Vec<u8>, harm: &Harm) -> Vec<u8> {
    let length = bytes.len().max(1);
    let place = |at: usize| (at % length).min(bytes.len());
    match harm {
        Harm::CutAt(at) => bytes.truncate(place(*at)),
        Harm::Flip(at, byte) => {
            let at = place(*at);
            if let Some(slot) = bytes.get_mut(at) {
                *slot ^= byte;
            }
        }
        Harm::Insert(at, more) => {
            let at = place(*at);
            bytes.splice(at..at, more.iter().copied());
        }
        Harm::Remove(at, count) => {
            let at = place(*at);
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Harm::Double(at, count) => {
            let at = place(*at);
            let part = bytes[at..(at + count).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
    }
    bytes
}

fn same(one: &Imported, other: &Imported) -> bool {
    one.flows == other.flows && one.tally == other.tally && one.losses == other.losses
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn harmed_samples_are_counted_to_the_last_unit_wherever_pieces_end(
        harms in prop::collection::vec(harm(), 1..6),
        copies in 1..4_usize,
        piece in 1..200_usize,
    ) {
        for format in Format::all() {
            let file = sample(format).repeat(copies);
            let file = harms.iter().fold(file, harmed);
            let whole = import_in(format, &file, usize::MAX);
            adds_up(&whole.tally);
            prop_assert!(same(&whole, &import_in(format, &file, piece)), "{format} {piece}");
            let _known_or_not = Format::of_content(&file);
        }
    }
}

#[test]
fn noise_and_one_huge_line_are_refused_in_bounded_memory() {
    let noise: Vec<u8> =
        (0_u32..200_000).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let line = [b"{\"a\":\"".to_vec(), vec![b'x'; 18 << 20]].concat();
    for format in Format::all() {
        for file in [&noise, &line] {
            let all = import_in(format, file, 256 << 10);
            adds_up(&all.tally);
            assert_eq!(all.flows, [], "{format}");
            assert!(all.tally.rejected_sum() > 0, "{format}: {:?}", all.tally);
        }
    }
}
