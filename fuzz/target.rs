//! What is fuzzed: an import of one format, and what must hold whatever it reads. Used by the targets of
//! cargo-fuzz (fuzz/README.md) and by our own tests on stable (crates/exchange/tests/it/fuzz.rs).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_exchange::{Format, Import, Tally};
use sekisho_flow::{Directory, ServiceTarget};
use sekisho_model::{Flow, LossMinute, Party, Protocol, Timestamp};

/// When the imports happen, seconds since 1970: 2024-01-01.
const NOW_S: u64 = 1_704_067_200;
/// The latest time of a flow: a day after the import, and the rest of its minute.
const LATEST_S: u64 = NOW_S + 86_400 + 60;
/// Different reasons that are counted apart, and one for all others.
const REASONS_MAX: usize = 65;

/// Knows nobody.
pub(crate) struct Nobody;

impl Directory for Nobody {
    fn party_of_cgroup(&self, _: &str, _: &str, _: Timestamp) -> Option<Arc<Party>> {
        None
    }

    fn party_of_address(&self, address: IpAddr, name: Option<&str>, _: Timestamp) -> Arc<Party> {
        Arc::new(Party::external(address, name.map(str::to_owned)))
    }

    fn service_at(&self, _: SocketAddr, _: Protocol, _: Timestamp) -> Option<ServiceTarget> {
        None
    }
}

/// An import that begins now.
pub(crate) fn begin(format: Format) -> Import {
    Import::new(format, Timestamp::from_seconds(NOW_S))
}

fn import(format: Format, data: &[u8], piece: usize) -> (Vec<Flow>, Tally, Vec<LossMinute>) {
    let (mut import, mut flows) = (begin(format), Vec::new());
    for piece in data.chunks(piece) {
        import.feed(piece, &Nobody, &mut flows);
    }
    import.end(&Nobody, &mut flows);
    (flows, import.tally(), import.take_losses())
}

/// Imports `data` whole and in pieces. Panics if one of these does not hold:
/// each unit is counted once; each flow is one that was counted, of a time that may be; what is told
/// of a rejected unit is bounded text; where pieces end makes no difference.
pub(crate) fn check(format: Format, data: &[u8]) {
    let _known_or_not = Format::of_content(data);
    let whole = import(format, data, data.len().max(1));
    let (flows, tally, losses) = &whole;
    let skipped: u64 = tally.skipped.values().sum();
    let sum = tally.used + tally.silent + skipped + tally.rejected_sum();
    assert_eq!(sum, tally.lines, "a unit is counted twice or not at all: {tally:?}");
    assert_eq!(flows.len() as u64, tally.records);
    for flow in flows {
        assert!(flow.stats.first_seen <= flow.stats.last_seen, "{flow:?}");
        assert!(flow.stats.last_seen <= Timestamp::from_seconds(LATEST_S), "{flow:?}");
    }
    assert!(tally.rejected.len() <= REASONS_MAX, "{} reasons", tally.rejected.len());
    for (reason, one) in &tally.rejected {
        assert!(one.count > 0 && one.line > 0 && one.line <= tally.lines, "{one:?}");
        assert!(one.sample.chars().count() <= 160 && !reason.is_empty(), "{one:?}");
        assert!(!one.sample.chars().any(char::is_control), "{:?}", one.sample);
    }
    assert!(losses.iter().all(|loss| loss.dropped <= loss.produced), "{losses:?}");
    // The data itself says where it is cut.
    let piece = data.iter().fold(1_usize, |sum, byte| (sum * 31 + usize::from(*byte)) % 251) + 1;
    assert!(whole == import(format, data, piece), "cut every {piece} bytes it says something else");
}
