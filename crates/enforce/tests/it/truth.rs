//! The kernel's verdict, its counters and its log against `RuleSet::decide`, point by point.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sekisho_enforce::{Datapath, DenyLog, Mode};
use sekisho_model::{DecidedBy, DenyRecord, Protocol};
use sekisho_policy::{Cluster, Connection, DirectionDecision, RuleSet};

use crate::poke::{self, Target};
use crate::policies;
use crate::topology::{self, PLACES, Topology, address, peer};

const PROBES: [(Protocol, u16); 9] = [
    (Protocol::Tcp, 80),
    (Protocol::Tcp, 443),
    (Protocol::Tcp, 5432),
    (Protocol::Tcp, 8080),
    (Protocol::Tcp, 8085),
    (Protocol::Tcp, 9090),
    (Protocol::Udp, 53),
    (Protocol::Udp, 8080),
    (Protocol::Icmp, 0),
];
/// Answers arrive within a millisecond; what is still silent then was dropped, or is asked again.
const PATIENCE: Duration = Duration::from_millis(350);
const SECOND_CHANCE: Duration = Duration::from_secs(4);

struct Point {
    from: &'static str,
    target: Target,
    /// What each side that enforces should say: egress, ingress.
    sides: Vec<DirectionDecision>,
}

impl Point {
    fn allowed(&self) -> bool {
        self.sides.iter().all(DirectionDecision::allows)
    }
}

fn points(rules: &RuleSet, cluster: &Cluster) -> Vec<Point> {
    let enforced = |place: &str| matches!(place, "web" | "db" | "prom" | "legacy");
    let mut points = Vec::new();
    for (from, ..) in PLACES {
        for (to, ..) in PLACES {
            // Two ends without enforcement tell nothing.
            if !enforced(from) && !enforced(to) {
                continue;
            }
            for v6 in [false, true] {
                for (protocol, port) in PROBES {
                    let (source, destination) = (address(from, v6), address(to, v6));
                    let connection = Connection {
                        source: peer(cluster, from, v6),
                        destination: peer(cluster, to, v6),
                        source_address: Some(source),
                        destination_address: Some(destination),
                        protocol,
                        port,
                    };
                    let decision = rules.decide(cluster, &connection);
                    let mut sides = Vec::new();
                    if enforced(from) {
                        sides.push(decision.egress);
                    }
                    if enforced(to) {
                        sides.push(decision.ingress);
                    }
                    let target = Target { source, destination, protocol, port };
                    points.push(Point { from, target, sides });
                }
            }
        }
    }
    points
}

/// Pokes every point, all places at once. Silent points that should answer get a second chance:
/// the machine may be busy. Returns the answers, and whether it took so long that some first
/// packets were sent twice (TCP repeats a SYN after a second).
fn poke_all(topology: &Topology, points: &[Point]) -> (Vec<bool>, bool) {
    let round = |chosen: &[usize], patience| {
        let mut answers = BTreeMap::new();
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for (place, ..) in PLACES {
                let own: Vec<usize> =
                    chosen.iter().copied().filter(|i| points[*i].from == place).collect();
                let targets: Vec<Target> = own.iter().map(|i| points[*i].target).collect();
                let netns = topology.netns(place);
                workers.push(scope.spawn(move || (own, poke::all(&netns, &targets, patience))));
            }
            for worker in workers {
                let (own, said) = worker.join().unwrap();
                answers.extend(own.into_iter().zip(said));
            }
        });
        answers
    };
    let started = Instant::now();
    let everything: Vec<usize> = (0..points.len()).collect();
    let mut answers = round(&everything, PATIENCE);
    let silent: Vec<usize> =
        everything.into_iter().filter(|i| points[*i].allowed() && !answers[i]).collect();
    answers.extend(round(&silent, SECOND_CHANCE));
    (answers.into_values().collect(), started.elapsed() > Duration::from_millis(900))
}

fn check(topology: &Topology, rules: &RuleSet, title: &str) -> usize {
    let cluster = topology::cluster();
    let verified = policies::verified(rules, &cluster);
    let mut node = Datapath::new(topology.netns("node"));
    let mut host = Datapath::new(topology.netns("legacy"));
    let on_node = node.apply(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap();
    let on_host = host.apply(&verified, &cluster, &topology::host_scope(1), Mode::Enforce).unwrap();
    let mut decisions = on_node.decisions.clone();
    decisions.extend(on_host.decisions.clone());
    let mut logs =
        ["node", "legacy"].map(|place| DenyLog::open(&topology.netns(place), 17).unwrap());
    let points = points(rules, &cluster);
    let (answers, repeated) = poke_all(topology, &points);
    for (point, answer) in points.iter().zip(&answers) {
        assert_eq!(
            *answer,
            point.allowed(),
            "{title}: from {}: {:?}: {:?}\n{rules:#?}",
            point.from,
            point.target,
            point.sides
        );
    }
    check_log(&mut logs, &decisions, &points, title);
    if !repeated {
        let mut counted = BTreeMap::new();
        for counters in [&node, &host].map(|path| path.counters(Mode::Enforce, &decisions)) {
            for (decided, (packets, _)) in counters.unwrap().rules {
                *counted.entry(decided).or_insert(0) += packets;
            }
        }
        counted.retain(|_, packets| *packets > 0);
        assert_eq!(counted, expected_counts(&points), "{title}: counters\n{rules:#?}");
    }
    points.len()
}

/// Which decisions the kernel should have counted: each side in turn, until one denies. A place
/// that talks to itself never leaves its namespace.
fn expected_counts(points: &[Point]) -> BTreeMap<DecidedBy, u64> {
    let mut counts = BTreeMap::new();
    for point in points.iter().filter(|point| point.target.source != point.target.destination) {
        for side in &point.sides {
            if let Some(decided) = side.decided_by() {
                *counts.entry(decided).or_insert(0) += 1;
            }
            if !side.allows() {
                break;
            }
        }
    }
    counts
}

/// Every denied point, and no other, is in a log, and names the policy that the evaluator names.
fn check_log(
    logs: &mut [DenyLog],
    decisions: &BTreeMap<u32, DecidedBy>,
    points: &[Point],
    title: &str,
) {
    let mut expected: BTreeMap<Target, DecidedBy> = points
        .iter()
        .filter_map(|point| {
            let denying = point.sides.iter().find(|side| !side.allows())?;
            Some((point.target, denying.decided_by()?))
        })
        .collect();
    let denied = expected.clone();
    let mut records: Vec<DenyRecord> = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while !expected.is_empty() && Instant::now() < end {
        for log in logs.iter_mut() {
            log.poll(Duration::from_millis(50), decisions, &mut records).unwrap();
        }
        for record in records.drain(..) {
            let target = Target {
                source: record.source.ip(),
                destination: record.destination.ip(),
                protocol: record.protocol,
                port: record.destination.port(),
            };
            assert_eq!(denied.get(&target), Some(&record.decided_by), "{title}: {record:?}");
            assert!(!record.audit);
            expected.remove(&target);
        }
    }
    assert!(expected.is_empty(), "{title}: denied but not logged: {expected:#?}");
    for log in logs {
        let counters = log.counters();
        assert_eq!(counters.produced, counters.delivered + counters.dropped);
        assert_eq!(counters.dropped, 0);
    }
}

#[test]
fn the_kernel_agrees_with_the_evaluator_on_hand_made_policies() {
    let topology = Topology::new();
    assert!(check(&topology, &policies::shop(), "shop") >= 500);
    assert!(check(&topology, &RuleSet::default(), "no policy") >= 500);
}

#[test]
fn the_kernel_agrees_with_the_evaluator_on_random_policies() {
    let topology = Topology::new();
    for seed in 1..=24 {
        check(&topology, &policies::random(seed), &format!("seed {seed}"));
    }
}
