//! Properties: whatever the order, the cuts and the repetitions, the sums are right.

use proptest::prelude::*;

use super::*;

/// A connection in the property tests: the cuts of its reports at both ends.
#[derive(Clone, Debug)]
struct Talk {
    service: bool,
    source_cuts: Vec<u64>,
    destination_cuts: Vec<u64>,
    reset: bool,
    source_seen: bool,
    destination_seen: bool,
    audit: bool,
}

fn talk() -> impl Strategy<Value = Talk> {
    let cuts = || prop::collection::vec(0_u64..100, 0..4);
    (any::<bool>(), cuts(), cuts(), any::<bool>(), 0_u8..8, any::<bool>()).prop_map(
        |(service, source_cuts, destination_cuts, reset, seen, audit)| Talk {
            service,
            source_cuts,
            destination_cuts,
            reset,
            source_seen: seen != 0,
            destination_seen: seen != 1,
            audit,
        },
    )
}

/// The reports of one end: `sent` and `received` split at `cuts`, the rest in the last.
fn reports(base: HalfFlow, cuts: &[u64], reset: bool) -> Vec<HalfFlow> {
    let mut left = (base.bytes_sent, base.bytes_received);
    let mut out = Vec::new();
    for n in 0..=cuts.len() {
        let last = n == cuts.len();
        let part = |left: u64| if last { left } else { left.min(cuts[n]) };
        let (sent, received) = (part(left.0), part(left.1));
        left = (left.0 - sent, left.1 - received);
        out.push(HalfFlow {
            first: n == 0,
            last,
            seen: ms(100 + n as u64 * 500),
            reset: last && reset,
            bytes_sent: sent,
            bytes_received: received,
            packets_sent: if n == 0 { 3 } else { 0 },
            packets_received: if n == 0 { 3 } else { 0 },
            ..base.clone()
        });
    }
    out
}

/// Per node, what its agent reports in order.
fn halves_of(talks: &[Talk]) -> [Vec<Vec<Half>>; 2] {
    let mut nodes = [Vec::new(), Vec::new()];
    for (n, talk) in talks.iter().enumerate() {
        let id = n as u64 * 2 + 10;
        let source = format!("10.244.1.1:{}", 40_000 + n);
        let asked = if talk.service { VIP } else { B };
        let mut first = Vec::new();
        if talk.audit {
            first.push(Half::Denied(denial(&source, B, true)));
        }
        if talk.source_seen {
            let base = half(id, SocketRole::Source, &source, asked);
            let reports = reports(base, &talk.source_cuts, talk.reset);
            nodes[0].push(reports.into_iter().map(Half::Flow).collect());
        }
        if talk.destination_seen {
            let base = half(id + 1, SocketRole::Destination, B, &source);
            let reports = reports(base, &talk.destination_cuts, talk.reset);
            first.extend(reports.into_iter().map(Half::Flow));
        }
        nodes[1].push(first);
    }
    nodes
}

/// A schedule: which node's which connection reports next, in one batch or another, how the time
/// goes on, and whether the batch is sent again.
type Schedule = Vec<(bool, prop::sample::Index, u64, bool, bool)>;

fn schedule() -> impl Strategy<Value = Schedule> {
    let step =
        (any::<bool>(), any::<prop::sample::Index>(), 0_u64..1_500, any::<bool>(), any::<bool>());
    prop::collection::vec(step, 0..80)
}

/// What happens to a joiner.
#[derive(Clone, Debug)]
enum Step {
    Push(Batch),
    Advance(Timestamp),
}

fn steps(talks: &[Talk], schedule: Schedule) -> Vec<Step> {
    let mut nodes = halves_of(talks);
    for queue in nodes.iter_mut().flatten() {
        queue.reverse();
    }
    let mut maker = Test::new(JoinLimits::default());
    let mut steps = Vec::new();
    let mut now = 200;
    let mut open: [Vec<Half>; 2] = Default::default();
    let mut send = |maker: &mut Test, node: usize, halves: &mut Vec<Half>, now, again| {
        let batch = maker.batch(["n1", "n2"][node], now, std::mem::take(halves));
        if again {
            steps.push(Step::Push(batch.clone()));
        }
        steps.push(Step::Push(batch));
        steps.push(Step::Advance(ms(now)));
    };
    for (second, pick, wait, cut, again) in schedule {
        now += wait;
        let node = usize::from(second);
        if nodes[node].is_empty() {
            continue;
        }
        let queue = pick.index(nodes[node].len());
        open[node].extend(nodes[node][queue].pop());
        if cut {
            send(&mut maker, node, &mut open[node], now, again);
        }
    }
    for node in [0, 1] {
        for queue in std::mem::take(&mut nodes[node]) {
            open[node].extend(queue.into_iter().rev());
        }
        send(&mut maker, node, &mut open[node], now, false);
    }
    steps.push(Step::Advance(ms(now + 200_000)));
    steps
}

fn run(joiner: &mut Joiner, steps: &[Step]) -> Vec<Flow> {
    let mut out = Vec::new();
    for step in steps {
        match step {
            Step::Push(batch) => drop(joiner.push(batch.clone(), &Lab, &mut out)),
            Step::Advance(now) => joiner.advance(*now, &Lab, &mut out),
        }
    }
    out
}

/// What the flows of `talks` must sum up to.
fn expected(talks: &[Talk]) -> [u64; 6] {
    let mut sums = [0; 6];
    for talk in talks {
        let seen = talk.source_seen || talk.destination_seen;
        sums[0] += u64::from(seen || talk.audit);
        if seen {
            let counts = [10, 700, 3, 3, u64::from(talk.reset)];
            for (sum, count) in sums[1..].iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
    sums
}

proptest! {
    /// Both agents' batches in any order, cut anywhere, sent again: the same sums.
    #[test]
    fn nothing_is_counted_twice_and_nothing_is_lost(
        talks in prop::collection::vec(talk(), 1..6),
        schedule in schedule(),
    ) {
        let steps = steps(&talks, schedule);
        let mut joiner = Joiner::new(JoinLimits::default(), ClusterName::default());
        let flows = run(&mut joiner, &steps);
        prop_assert_eq!(sums(&flows), expected(&talks));
        prop_assert_eq!(joiner.stats().waiting, 0);
    }

    /// The same when hardly anything may wait: then flows are one-sided, but the sums stay.
    #[test]
    fn a_full_waiting_room_loses_nothing(
        talks in prop::collection::vec(talk(), 1..6),
        schedule in schedule(),
        waiting_max in 0_usize..3,
    ) {
        let steps = steps(&talks, schedule);
        let limits = JoinLimits { waiting_max, ..JoinLimits::default() };
        let mut joiner = Joiner::new(limits, ClusterName::default());
        let flows = run(&mut joiner, &steps);
        prop_assert_eq!(sums(&flows), expected(&talks));
    }

    /// A joiner restored from a checkpoint goes on as the one that made it.
    #[test]
    fn a_replay_from_a_checkpoint_gives_the_same_flows(
        talks in prop::collection::vec(talk(), 1..6),
        schedule in schedule(),
        cut in any::<prop::sample::Index>(),
    ) {
        let steps = steps(&talks, schedule);
        let (before, after) = steps.split_at(cut.index(steps.len()));
        let mut whole = Joiner::new(JoinLimits::default(), ClusterName::default());
        run(&mut whole, before);
        let checkpoint = whole.checkpoint();
        let bytes = postcard::to_stdvec(&checkpoint).unwrap();
        let mut restored = Joiner::new(JoinLimits::default(), ClusterName::default());
        restored.restore(postcard::from_bytes(&bytes).unwrap());
        prop_assert_eq!(restored.checkpoint(), checkpoint);
        prop_assert_eq!(run(&mut restored, after), run(&mut whole, after));
        prop_assert_eq!(restored.checkpoint(), whole.checkpoint());
    }
}
