//! The kernel's verdict, its counters and its log against `RuleSet::decide` and the policy engine,
//! point by point: every kind of end, IPv4 and IPv6, enforced and staged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sekisho_enforce::{Datapath, DenyLog, Mode};
use sekisho_model::{DecidedBy, DenyRecord, Protocol};
use sekisho_policy::{
    Cluster, Connection, Dialect, DirectionDecision, Party, Peer, Place, Reach, Reason, RuleSet,
};

use crate::poke::{self, Target};
use crate::topology::{self, PLACES, Topology, address, peer};
use crate::{policies, tiers};

const PROBES: [(Protocol, u16); 11] = [
    (Protocol::Tcp, 80),
    (Protocol::Tcp, 443),
    (Protocol::Tcp, 5432),
    (Protocol::Tcp, 8080),
    (Protocol::Tcp, 8085),
    (Protocol::Tcp, 9090),
    (Protocol::Udp, 53),
    (Protocol::Udp, 8080),
    (Protocol::Icmp, 0),
    (Protocol::Sctp, 80),
    (Protocol::Sctp, 8080),
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

    /// The sides that are asked: while enforcing, none after the first that denies. A place that
    /// talks to itself never leaves its namespace.
    fn asked(&self, mode: Mode) -> impl Iterator<Item = &DirectionDecision> {
        let itself = self.target.source == self.target.destination;
        let mut denied = false;
        self.sides.iter().take_while(move |side| {
            let over = denied && mode == Mode::Enforce;
            denied |= !side.allows();
            !(itself || over)
        })
    }
}

/// The place of an end for the engine; None for addresses in no party.
fn place(reach: &Reach, cluster: &Cluster, peer: Peer<'_>, address: IpAddr) -> Option<Place> {
    let wanted = |index: &usize| {
        let endpoint = &cluster.endpoints[*index];
        match peer {
            Peer::Endpoint(own) => endpoint.is(own),
            Peer::Node { name, .. } => {
                endpoint.host_network && endpoint.node.as_deref() == Some(name)
            }
            Peer::Address(_) | Peer::Domain(_) => false,
        }
    };
    reach.places().find_map(|place| match &reach.parties()[place.party] {
        Party::Endpoints(members) => {
            members.iter().any(wanted).then(|| reach.place_at(place.party, address)).flatten()
        }
        Party::Addresses(ranges) => {
            let holds = |(first, last): &(IpAddr, IpAddr)| *first <= address && address <= *last;
            (matches!(peer, Peer::Address(_)) && ranges.iter().any(holds)).then_some(place)
        }
        Party::Domain(_) => None,
    })
}

/// The engine says of the connection what the evaluator says.
fn check_engine(reach: &Reach, cluster: &Cluster, connection: &Connection<'_>, allowed: bool) {
    let source = place(reach, cluster, connection.source, connection.source_address.unwrap());
    let destination = connection.destination_address.unwrap();
    let destination = place(reach, cluster, connection.destination, destination);
    let engine = reach.allows_at(
        &source.unwrap(),
        &destination.unwrap(),
        connection.protocol,
        connection.port,
    );
    assert_eq!(engine, allowed, "engine: {connection:?}");
}

fn points(rules: &RuleSet, cluster: &Cluster) -> Vec<Point> {
    let reach = Reach::new(rules, cluster);
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
                    // Of these the engine knows nothing, as it says.
                    let exempt = |side: &DirectionDecision| {
                        matches!(side.reason, Reason::Itself | Reason::OwnNode)
                    };
                    if !exempt(&decision.egress) && !exempt(&decision.ingress) {
                        check_engine(&reach, cluster, &connection, decision.allows());
                    }
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
fn poke_all(topology: &Topology, points: &[Point], mode: Mode) -> (Vec<bool>, bool) {
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
    let silent: Vec<usize> = everything
        .into_iter()
        .filter(|i| (points[*i].allowed() || mode == Mode::Audit) && !answers[i])
        .collect();
    let asked_again = !silent.is_empty();
    answers.extend(round(&silent, SECOND_CHANCE));
    let slow = started.elapsed() > Duration::from_millis(900);
    (answers.into_values().collect(), asked_again || slow)
}

fn check(topology: &Topology, rules: &RuleSet, mode: Mode, title: &str) -> usize {
    let cluster = topology::cluster();
    let verified = policies::verified(rules, &cluster);
    let mut node = Datapath::new(topology.netns("node"));
    let mut host = Datapath::new(topology.netns("legacy"));
    let on_node = node.apply(&verified, &cluster, &topology::node_scope(1), mode).unwrap();
    let on_host = host.apply(&verified, &cluster, &topology::host_scope(1), mode).unwrap();
    let mut decisions = on_node.decisions.clone();
    decisions.extend(on_host.decisions.clone());
    let mut logs =
        ["node", "legacy"].map(|place| DenyLog::open(&topology.netns(place), 17).unwrap());
    let points = points(rules, &cluster);
    let (answers, repeated) = poke_all(topology, &points, mode);
    for (point, answer) in points.iter().zip(&answers) {
        assert_eq!(
            *answer,
            point.allowed() || mode == Mode::Audit,
            "{title}: from {}: {:?}: {:?}\n{rules:#?}",
            point.from,
            point.target,
            point.sides
        );
    }
    check_log(&mut logs, &decisions, (&points, mode), title);
    if !repeated {
        let mut counted = BTreeMap::new();
        for counters in [&node, &host].map(|path| path.counters(mode, &decisions)) {
            for (decided, (packets, _)) in counters.unwrap().rules {
                *counted.entry(decided).or_insert(0) += packets;
            }
        }
        counted.retain(|_, packets| *packets > 0);
        assert_eq!(counted, expected_counts(&points, mode), "{title}: counters\n{rules:#?}");
    }
    node.remove(mode).unwrap();
    host.remove(mode).unwrap();
    points.len()
}

/// Which decisions the kernel should have counted.
fn expected_counts(points: &[Point], mode: Mode) -> BTreeMap<DecidedBy, u64> {
    let mut counts = BTreeMap::new();
    for decided in points.iter().flat_map(|point| point.asked(mode)) {
        if let Some(decided) = decided.decided_by() {
            *counts.entry(decided).or_insert(0) += 1;
        }
    }
    counts
}

/// Every denied point, and no other, is in a log, and names the policy that the evaluator names.
fn check_log(
    logs: &mut [DenyLog],
    decisions: &BTreeMap<u32, DecidedBy>,
    (points, mode): (&[Point], Mode),
    title: &str,
) {
    let mut expected: BTreeSet<(Target, DecidedBy)> = BTreeSet::new();
    for point in points {
        let denying = point.asked(mode).filter(|side| !side.allows());
        expected.extend(denying.map(|side| (point.target, side.decided_by().unwrap())));
    }
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
            assert_eq!(record.audit, mode == Mode::Audit);
            let found = (target, record.decided_by.clone());
            assert!(denied.contains(&found), "{title}: {record:?}");
            expected.remove(&found);
        }
    }
    assert!(expected.is_empty(), "{title}: denied but not logged: {expected:#?}");
    for log in logs {
        let counters = log.counters();
        assert_eq!(counters.produced, counters.delivered + counters.dropped);
        assert_eq!(counters.dropped, 0);
    }
}

const MODES: [Mode; 2] = [Mode::Enforce, Mode::Audit];

#[expect(clippy::print_stdout, reason = "how much was compared is worth knowing")]
fn report(name: &str, points: usize) {
    println!("{name}: {points} points poked, kernel, engine and evaluator agree on all");
    assert!(points >= 2_000, "{points}");
}

#[test]
fn the_kernel_agrees_with_the_evaluator_on_hand_made_policies() {
    let topology = Topology::new();
    let mut points = 0;
    for mode in MODES {
        points += check(&topology, &policies::shop(), mode, "shop");
        points += check(&topology, &tiers::shop(), mode, "shop in tiers");
        points += check(&topology, &RuleSet::default(), mode, "no policy");
    }
    report("hand-made policies", points);
}

#[test]
fn the_kernel_agrees_with_the_evaluator_on_random_policies() {
    let topology = Topology::new();
    let mut points = 0;
    for seed in 1..=24 {
        let mode = MODES[usize::from(seed % 4 == 0)];
        points += check(&topology, &policies::random(seed), mode, &format!("seed {seed}"));
    }
    report("random NetworkPolicies", points);
}

#[test]
fn the_kernel_agrees_with_the_evaluator_on_random_policies_in_tiers() {
    let topology = Topology::new();
    let mut points = 0;
    for seed in 1..=24 {
        let mode = MODES[usize::from(seed % 4 == 0)];
        points += check(&topology, &tiers::random(seed), mode, &format!("seed {seed}"));
    }
    report("random policies in tiers", points);
}

/// db in `shop` lets in ICMP messages of this type only.
fn only_icmp(kind: u8) -> RuleSet {
    let text = format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: db, namespace: \
         shop}}, spec: {{endpointSelector: {{matchLabels: {{app: db}}}}, ingress: [{{icmps: \
         [{{fields: [{{type: {kind}, family: IPv4}}]}}]}}]}}}}"
    );
    let objects = sekisho_manifest::parse("icmp.yaml", &text).unwrap();
    RuleSet::from_objects(&objects, Dialect::default())
}

#[test]
fn the_kernel_tells_types_of_icmp_apart() {
    const ECHO: u8 = 8;
    const TIMESTAMP: u8 = 13;
    let topology = Topology::new();
    let cluster = topology::cluster();
    let ping = |v6| Target {
        source: address("web", v6),
        destination: address("db", v6),
        protocol: Protocol::Icmp,
        port: 0,
    };
    let mut node = Datapath::new(topology.netns("node"));
    for (kind, answers) in [(ECHO, [true, false]), (TIMESTAMP, [false, false])] {
        let verified = policies::verified(&only_icmp(kind), &cluster);
        node.apply(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap();
        let found = poke::all(&topology.netns("web"), &[ping(false), ping(true)], PATIENCE);
        assert_eq!(found, answers, "type {kind}");
    }
}
