//! Claims of the assembler.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sekisho_model::{DnsAnswer, HalfFlow, Outcome, Process, ProcessExec, Protocol};

use super::*;

const T0: u64 = 1_000;
const CGROUP: &str = "/lab/node-1/pods/pod1/app";

fn at_ms(ms: u64) -> Timestamp {
    Timestamp::from_nanos(T0 * 1_000_000_000 + ms * 1_000_000)
}

fn socket(id: u64, ms: u64, phase: SocketPhase) -> SocketEvent {
    SocketEvent {
        time: at_ms(ms),
        id,
        protocol: Protocol::Tcp,
        role: SocketRole::Source,
        role_inferred: false,
        phase,
        local: "10.0.0.1:40000".parse().unwrap(),
        remote: "10.0.0.2:80".parse().unwrap(),
        pid: 7,
        cgroup: CGROUP.to_owned(),
        bytes_sent: 0,
        bytes_received: 0,
        packets_sent: 0,
        packets_received: 0,
        established: phase != SocketPhase::Connecting,
        reset: false,
    }
}

fn exec(ms: u64, pid: u32, exe: &str) -> Event {
    let process = Process { exe: exe.to_owned(), comm: "x".to_owned(), uid: 0, container: None };
    let cgroup = CGROUP.to_owned();
    Event::Exec(ProcessExec { time: at_ms(ms), pid, parent: 1, cgroup, process })
}

fn answer(ms: u64, name: &str, ttl_s: u32) -> Event {
    Event::Dns(DnsAnswer {
        time: at_ms(ms),
        cgroup: CGROUP.to_owned(),
        name: name.to_owned(),
        addresses: vec!["10.0.0.2".parse().unwrap()],
        ttl_s,
        truncated: false,
    })
}

/// Feeds `events`, then tells the time `end_ms`.
fn halves(events: Vec<Event>, end_ms: u64) -> Vec<HalfFlow> {
    let mut assembler = Assembler::new(AssemblerLimits::default());
    let mut out = Vec::new();
    for event in events {
        assembler.assemble(event, &mut out);
    }
    assembler.advance(at_ms(end_ms), &mut out);
    flows(out)
}

fn flows(out: Vec<Half>) -> Vec<HalfFlow> {
    out.into_iter()
        .filter_map(|half| match half {
            Half::Flow(flow) => Some(flow),
            Half::Denied(_) | Half::Dropped(_) => None,
        })
        .collect()
}

#[test]
fn a_short_connection_is_one_half_with_process_and_name() {
    let closed = SocketEvent { bytes_sent: 10, ..socket(1, 40, SocketPhase::Closed) };
    let got = halves(
        vec![
            exec(0, 7, "/bin/app"),
            answer(5, "db.shop.svc", 5),
            Event::Socket(socket(1, 10, SocketPhase::Connecting)),
            Event::Socket(socket(1, 20, SocketPhase::Open)),
            Event::Socket(closed),
        ],
        50,
    );
    let [half] = got.as_slice() else { panic!("{got:?}") };
    assert!(half.first && half.last);
    assert_eq!((half.bytes_sent, half.outcome), (10, Outcome::Established));
    assert_eq!((half.opened, half.seen), (at_ms(10), at_ms(40)));
    assert_eq!(half.process.as_ref().map(|process| process.exe.as_str()), Some("/bin/app"));
    assert_eq!(half.remote_name.as_deref(), Some("db.shop.svc"));
}

#[test]
fn a_long_connection_is_reported_after_a_second_and_then_by_deltas() {
    let sample =
        |ms, bytes| SocketEvent { bytes_sent: bytes, ..socket(1, ms, SocketPhase::Sample) };
    let mut assembler = Assembler::new(AssemblerLimits::default());
    let mut out = Vec::new();
    assembler.assemble(Event::Socket(socket(1, 0, SocketPhase::Open)), &mut out);
    assembler.advance(at_ms(999), &mut out);
    assert!(out.is_empty());
    assembler.advance(at_ms(1_000), &mut out);
    assembler.assemble(Event::Socket(sample(5_000, 70)), &mut out);
    assembler.assemble(Event::Socket(sample(9_000, 100)), &mut out);
    let got = flows(out);
    let seen: Vec<_> = got.iter().map(|half| (half.first, half.last, half.bytes_sent)).collect();
    assert_eq!(seen, [(true, false, 0), (false, false, 70), (false, false, 30)]);
}

#[test]
fn an_attempt_without_answer_is_reported_after_three_seconds() {
    let attempt = || vec![Event::Socket(socket(1, 0, SocketPhase::Connecting))];
    assert!(halves(attempt(), 2_999).is_empty());
    let got = halves(attempt(), 3_000);
    assert_eq!(got.iter().map(|half| half.outcome).collect::<Vec<_>>(), [Outcome::Attempted]);
    assert!(got[0].first && !got[0].last);
}

/// An attempt that fails `after_ms`, with or without a segment from the peer.
fn failed(after_ms: u64, packets_received: u64) -> Outcome {
    let closed = SocketEvent {
        established: false,
        reset: true,
        packets_received,
        ..socket(1, after_ms, SocketPhase::Closed)
    };
    let connecting = Event::Socket(socket(1, 0, SocketPhase::Connecting));
    let got = halves(vec![connecting, Event::Socket(closed)], 200_000);
    got.last().unwrap().outcome
}

#[test]
fn a_refusal_is_told_from_a_timeout() {
    assert_eq!(failed(1, 0), Outcome::Refused);
    assert_eq!(failed(1_500, 1), Outcome::Refused);
    assert_eq!(failed(130_000, 0), Outcome::Attempted);
}

#[test]
fn a_connection_opened_before_the_answer_gets_no_name() {
    let open = |ms| Event::Socket(socket(1, ms, SocketPhase::Open));
    let before = halves(vec![open(0), answer(10, "late.example", 60)], 5_000);
    assert_eq!(before[0].remote_name, None);
    let after = halves(vec![answer(10, "a.example", 60), open(20)], 5_000);
    assert_eq!(after[0].remote_name.as_deref(), Some("a.example"));
}

#[test]
fn the_latest_answer_wins_and_an_answer_between_belongs_to_its_time() {
    let open = |ms| Event::Socket(socket(1, ms, SocketPhase::Open));
    let answers = || vec![answer(0, "a.example", 60), answer(100, "b.example", 60)];
    let with = |ms| answers().into_iter().chain([open(ms)]).collect();
    assert_eq!(halves(with(150), 5_000)[0].remote_name.as_deref(), Some("b.example"));
    assert_eq!(halves(with(50), 5_000)[0].remote_name.as_deref(), Some("a.example"));
}

#[test]
fn a_name_outlives_a_short_time_to_live_by_ten_minutes_but_not_for_ever() {
    let named = |ms| {
        let mut assembler = Assembler::new(AssemblerLimits::default());
        let mut out = Vec::new();
        assembler.assemble(answer(0, "a.example", 1), &mut out);
        assembler.advance(at_ms(ms), &mut out);
        assembler.assemble(Event::Socket(socket(1, ms, SocketPhase::Open)), &mut out);
        assembler.flush(&mut out);
        flows(out).remove(0).remote_name
    };
    assert_eq!(named(599_000).as_deref(), Some("a.example"));
    assert_eq!(named(601_000), None);
}

#[test]
fn a_process_that_ended_still_names_its_late_closes_for_a_minute() {
    let named = |advance_ms| {
        let mut assembler = Assembler::new(AssemblerLimits::default());
        let mut out = Vec::new();
        assembler.assemble(exec(0, 7, "/bin/cron"), &mut out);
        assembler.assemble(Event::Exit { time: at_ms(10), pid: 7 }, &mut out);
        assembler.advance(at_ms(advance_ms), &mut out);
        assembler.assemble(Event::Socket(socket(1, 11, SocketPhase::Closed)), &mut out);
        assembler.flush(&mut out);
        flows(out).remove(0).process.map(|process| process.exe)
    };
    assert_eq!(named(59_000).as_deref(), Some("/bin/cron"));
    assert_eq!(named(61_000), None);
}

#[test]
fn a_reused_pid_names_the_program_of_the_time() {
    let events = |ms| {
        vec![
            exec(0, 7, "/bin/sh"),
            exec(100, 7, "/bin/app"),
            Event::Socket(socket(1, ms, SocketPhase::Open)),
        ]
    };
    let exe = |ms| halves(events(ms), 5_000)[0].process.as_ref().unwrap().exe.clone();
    assert_eq!((exe(50).as_str(), exe(150).as_str()), ("/bin/sh", "/bin/app"));
}

#[test]
fn bounds_hold_and_what_is_let_go_is_counted() {
    let limits = AssemblerLimits { processes_max: 4, connections_max: 4, names_max: 4 };
    let mut assembler = Assembler::new(limits);
    let mut out = Vec::new();
    for n in 0..100_u32 {
        let ms = u64::from(n);
        assembler.assemble(exec(ms, n, "/bin/x"), &mut out);
        assembler.assemble(Event::Socket(socket(ms, ms, SocketPhase::Open)), &mut out);
        let Event::Dns(mut dns) = answer(ms, "a.example", 5) else { unreachable!() };
        dns.addresses = vec![std::net::Ipv4Addr::from(n).into()];
        assembler.assemble(Event::Dns(dns), &mut out);
    }
    let counters = assembler.counters();
    assert_eq!((counters.connections, counters.processes, counters.names), (4, 4, 4));
    assert_eq!((counters.connections_evicted, counters.names_evicted), (96, 96));
    assert_eq!(counters.processes_evicted, 96);
    assembler.flush(&mut out);
    assert_eq!(flows(out).len(), 100, "an evicted connection is still reported once");
}

/// One connection's life as the kernel could tell it.
#[derive(Clone, Debug)]
struct Life {
    totals: Vec<u64>,
    close: bool,
    open: bool,
}

fn life() -> impl Strategy<Value = Life> {
    (prop::collection::vec(0_u64..1_000, 1..6), any::<bool>(), any::<bool>()).prop_map(
        |(steps, close, open)| {
            let mut sum = 0;
            let totals = steps.into_iter().map(|step| {
                sum += step;
                sum
            });
            Life { totals: totals.collect(), close, open }
        },
    )
}

fn events_of(id: u64, life: &Life) -> Vec<SocketEvent> {
    let last = life.totals.len() - 1;
    let mut events = Vec::new();
    if life.open {
        events.push(socket(id, 0, SocketPhase::Open));
    }
    for (n, total) in life.totals.iter().enumerate() {
        let closes = life.close && n == last;
        let phase = if closes { SocketPhase::Closed } else { SocketPhase::Sample };
        let ms = 300 * (n as u64 + 1);
        events.push(SocketEvent { bytes_sent: *total, ..socket(id, ms, phase) });
    }
    events
}

proptest! {
    /// Duplicates, missing opens and disorder: the sum of deltas is the largest total told before
    /// the close, with one first and at most one last.
    #[test]
    fn sums_of_deltas_equal_totals(
        lives in prop::collection::vec(life(), 1..5),
        order in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0_u64..900), 0..60),
    ) {
        let mut queues: Vec<Vec<SocketEvent>> =
            lives.iter().enumerate().map(|(id, life)| events_of(id as u64, life)).collect();
        for queue in &mut queues {
            queue.reverse();
        }
        let mut assembler = Assembler::new(AssemblerLimits::default());
        let mut out = Vec::new();
        let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
        let mut closed: BTreeMap<u64, bool> = BTreeMap::new();
        let mut feed = |event: SocketEvent, out: &mut Vec<Half>, assembler: &mut Assembler| {
            let id = event.id;
            if !closed.get(&id).copied().unwrap_or_default() {
                let total = expected.entry(id).or_default();
                *total = (*total).max(event.bytes_sent);
            }
            closed.insert(id, event.phase == SocketPhase::Closed || closed.get(&id) == Some(&true));
            assembler.assemble(Event::Socket(event), out);
        };
        let mut now = 0;
        for (pick, twice, step) in order {
            now += step;
            let queue = pick.index(queues.len());
            let Some(event) = queues[queue].pop() else { continue };
            feed(event.clone(), &mut out, &mut assembler);
            if twice {
                feed(event, &mut out, &mut assembler);
            }
            assembler.advance(at_ms(now), &mut out);
        }
        for queue in queues {
            for event in queue.into_iter().rev() {
                feed(event, &mut out, &mut assembler);
            }
        }
        assembler.flush(&mut out);
        let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
        let mut firsts: BTreeMap<u64, u32> = BTreeMap::new();
        let mut lasts: BTreeMap<u64, u32> = BTreeMap::new();
        for half in flows(out) {
            *sums.entry(half.id).or_default() += half.bytes_sent;
            *firsts.entry(half.id).or_default() += u32::from(half.first);
            *lasts.entry(half.id).or_default() += u32::from(half.last);
        }
        prop_assert_eq!(sums, expected);
        prop_assert!(firsts.values().all(|count| *count == 1));
        for (id, count) in lasts {
            prop_assert_eq!(count, u32::from(closed[&id]));
        }
    }
}
