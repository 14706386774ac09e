//! What the measured edges do.

use sekisho_model::{EdgeKey, EdgeStats, Flow, Reporters, Timestamp};

const MINUTES_OF_DAY: u64 = 1_440;

/// Numbers that look random, the same in each run.
fn scramble(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn flow(key: &EdgeKey, second: u64, random: u64) -> Flow {
    let first = Timestamp::from_nanos(second * 1_000_000_000 + random % 20_000_000_000);
    let last = Timestamp::from_nanos(first.nanos() + (random >> 32) % 39_000_000_000);
    let connections = 1 + random % 30;
    Flow {
        key: key.clone(),
        source: ([10, 42, 0, 1], 40_000).into(),
        destination: ([10, 42, 0, 2], key.port).into(),
        opened: first,
        stats: EdgeStats {
            connections,
            bytes_sent: connections * (300 + (random >> 8) % 1_500),
            bytes_received: connections * (1_000 + (random >> 16) % 40_000),
            packets_sent: connections * 6,
            packets_received: connections * (9 + (random >> 24) % 30),
            resets: 0,
            first_seen: first,
            last_seen: last,
            reporters: Reporters { source: true, destination: true, datapath: false },
            loss: false,
        },
    }
}

/// What happens in the `minute`th minute after `start_s`, seconds since 1970: each edge is seen in
/// `per_day` minutes of a day.
pub(crate) fn flows(keys: &[EdgeKey], start_s: u64, (minute, per_day): (u64, u64)) -> Vec<Flow> {
    let step = MINUTES_OF_DAY / per_day.min(MINUTES_OF_DAY);
    let numbered = (0_u64..).zip(keys);
    let active = numbered.filter(|(edge, _)| (minute + edge).is_multiple_of(step));
    active
        .map(|(edge, key)| flow(key, start_s + minute * 60, scramble(minute << 32 | edge)))
        .collect()
}
