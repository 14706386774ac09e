//! Claims of the joiner.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use sekisho_model::{
    DecidedBy, Direction, HookCounters, Labels, Party, Protocol, ServiceRef, SocketRole,
    WorkloadRef,
};

use super::*;
use crate::ServiceTarget;

/// 10.244.0.0/16 holds pods named by their address, 10.244.99.x ones that nobody knows, 172.18.x
/// nodes; 10.96.0.10 is a Service with 10.244.2.1 and 10.244.2.2 behind it.
struct Lab;

const VIP: &str = "10.96.0.10:80";

fn party(kind: PartyKind, name: &str, address: Option<IpAddr>) -> Arc<Party> {
    let pod = if kind == PartyKind::Pod { name.to_owned() } else { String::new() };
    let namespace = if kind == PartyKind::Pod { "shop" } else { "" };
    let workload = WorkloadRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: format!("{kind:?}"),
    };
    Arc::new(Party { kind, workload, pod, labels: Labels::new(), address, dns_name: None })
}

impl Directory for Lab {
    fn party_of_cgroup(&self, node: &str, cgroup: &str, _: Timestamp) -> Option<Arc<Party>> {
        match cgroup.strip_prefix("/pod/") {
            Some(ip) => Some(party(PartyKind::Pod, ip, ip.parse().ok())),
            None if cgroup == "/kubelet" => Some(party(PartyKind::Node, node, None)),
            None => None,
        }
    }

    fn party_of_address(&self, ip: IpAddr, name: Option<&str>, _: Timestamp) -> Arc<Party> {
        let text = ip.to_string();
        let kind = match () {
            () if text.starts_with("10.244.99.") => PartyKind::Unknown,
            () if text.starts_with("10.244.") => PartyKind::Pod,
            () if text.starts_with("172.18.") => PartyKind::Node,
            () => return Arc::new(Party::external(ip, name.map(str::to_owned))),
        };
        party(kind, &text, Some(ip))
    }

    fn service_at(&self, at: SocketAddr, _: Protocol, _: Timestamp) -> Option<ServiceTarget> {
        let backend = |ip: &str| format!("{ip}:8080").parse().unwrap();
        (at.to_string() == VIP).then(|| ServiceTarget {
            service: ServiceRef { namespace: "shop".to_owned(), name: "cart".to_owned(), port: 80 },
            backends: vec![backend("10.244.2.1"), backend("10.244.2.2")],
        })
    }
}

fn ms(ms: u64) -> Timestamp {
    Timestamp::from_nanos(1_000_000_000_000_000 + ms * 1_000_000)
}

fn half(id: u64, role: SocketRole, local: &str, remote: &str) -> HalfFlow {
    let local: SocketAddr = local.parse().unwrap();
    HalfFlow {
        id,
        role,
        role_inferred: false,
        protocol: Protocol::Tcp,
        local,
        remote: remote.parse().unwrap(),
        cgroup: format!("/pod/{}", local.ip().to_canonical()),
        process: Some(Process { exe: format!("/bin/{id}"), comm: "x".to_owned(), uid: 0 }),
        remote_name: None,
        opened: ms(0),
        seen: ms(100),
        first: true,
        last: true,
        outcome: Outcome::Established,
        reset: false,
        bytes_sent: if role == SocketRole::Source { 10 } else { 700 },
        bytes_received: if role == SocketRole::Source { 700 } else { 10 },
        packets_sent: 3,
        packets_received: 3,
    }
}

const A: &str = "10.244.1.1:40000";
const B: &str = "10.244.2.1:8080";

fn from_a() -> HalfFlow {
    half(1, SocketRole::Source, A, B)
}

fn at_b() -> HalfFlow {
    half(2, SocketRole::Destination, B, A)
}

fn denial(source: &str, destination: &str, audit: bool) -> DenyRecord {
    DenyRecord {
        time: ms(0),
        protocol: Protocol::Tcp,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        decided_by: DecidedBy {
            policy: "shop/deny".to_owned(),
            rule: None,
            direction: Direction::Ingress,
        },
        audit,
    }
}

/// A joiner with the lab and everything it gave.
struct Test {
    joiner: Joiner,
    sequences: BTreeMap<String, u64>,
    flows: Vec<Flow>,
}

impl Test {
    fn new(limits: JoinLimits) -> Self {
        Self { joiner: Joiner::new(limits), sequences: BTreeMap::new(), flows: Vec::new() }
    }

    fn batch(&mut self, node: &str, at_ms: u64, halves: Vec<Half>) -> Batch {
        let sequence = self.sequences.entry(node.to_owned()).or_default();
        *sequence += 1;
        Batch {
            node: node.to_owned(),
            epoch: ms(0),
            sequence: *sequence,
            time: ms(at_ms),
            halves,
            counters: Vec::new(),
            shed: 0,
        }
    }

    fn push(&mut self, node: &str, at_ms: u64, halves: Vec<Half>) {
        let batch = self.batch(node, at_ms, halves);
        assert!(self.joiner.push(batch, &Lab, &mut self.flows));
    }

    fn advance(&mut self, at_ms: u64) {
        self.joiner.advance(ms(at_ms), &Lab, &mut self.flows);
    }

    /// What was given since the last look, as `source -> destination verdict connections bytes`.
    fn told(&mut self) -> Vec<String> {
        let flows = std::mem::take(&mut self.flows);
        flows.iter().map(tell).collect()
    }
}

fn tell(flow: &Flow) -> String {
    let key = &flow.key;
    let stats = &flow.stats;
    let mut text = format!(
        "{} -> {}:{} {} {}x {}/{}",
        key.source,
        key.destination,
        key.port,
        key.verdict,
        stats.connections,
        stats.bytes_sent,
        stats.bytes_received
    );
    if let Some(service) = &key.service {
        text += &format!(" via {}", service.name);
    }
    if key.direction_inferred {
        text += " inferred";
    }
    text
}

const A_TO_B: &str = "shop/10.244.1.1[Pod] -> shop/10.244.2.1[Pod]:8080 allowed 1x 10/700";

#[test]
fn both_ends_join_in_either_order_with_both_processes() {
    for swapped in [false, true] {
        let mut test = Test::new(JoinLimits::default());
        let mut batches = [("n1", from_a()), ("n2", at_b())];
        if swapped {
            batches.reverse();
        }
        for (node, half) in batches {
            test.push(node, 200, vec![Half::Flow(half)]);
        }
        let key = &test.flows[0].key;
        let exe = |process: &Option<Arc<Process>>| process.as_ref().unwrap().exe.clone();
        assert_eq!(exe(&key.source_process), "/bin/1");
        assert_eq!(exe(&key.destination_process), "/bin/2");
        assert_eq!(test.told(), [A_TO_B]);
        test.advance(100_000);
        assert!(test.told().is_empty());
        assert_eq!(test.joiner.stats().connections, 0, "nothing is kept of what is over");
    }
}

#[test]
fn a_service_is_joined_through_its_backends_and_only_those() {
    let mut test = Test::new(JoinLimits::default());
    let to_service = half(1, SocketRole::Source, A, VIP);
    let stranger = half(3, SocketRole::Destination, "10.244.3.3:8080", A);
    test.push("n3", 200, vec![Half::Flow(stranger)]);
    test.push("n1", 200, vec![Half::Flow(to_service)]);
    test.push("n2", 200, vec![Half::Flow(at_b())]);
    assert_eq!(test.told(), [format!("{A_TO_B} via cart")]);
    test.advance(10_000);
    assert_eq!(test.told().len(), 1, "the stranger is a connection of its own");
}

#[test]
fn a_service_whose_backend_nobody_saw_is_the_destination() {
    let mut test = Test::new(JoinLimits::default());
    test.push("n1", 200, vec![Half::Flow(half(1, SocketRole::Source, A, VIP))]);
    assert!(test.told().is_empty());
    test.advance(4_000);
    assert_eq!(
        test.told(),
        ["shop/10.244.1.1[Pod] -> shop/cart[Service]:80 allowed 1x 10/700 via cart"]
    );
}

#[test]
fn a_udp_port_used_again_is_a_new_connection_to_the_same_server() {
    a_udp_port_used_again(true);
    a_udp_port_used_again(false);
}

fn a_udp_port_used_again(told_early: bool) {
    let mut test = Test::new(JoinLimits::default());
    let client = |id, opened| HalfFlow {
        id,
        protocol: Protocol::Udp,
        opened: ms(opened),
        seen: ms(opened + 10),
        ..from_a()
    };
    let server = HalfFlow { protocol: Protocol::Udp, last: false, ..at_b() };
    test.push("n1", 100, vec![Half::Flow(client(1, 0))]);
    test.push("n2", 100, vec![Half::Flow(server.clone())]);
    test.push("n1", 5_100, vec![Half::Flow(client(3, 5_000))]);
    // The server's agent has no new half for the second exchange, only more bytes of the first.
    let more = HalfFlow { first: false, seen: ms(10_000), ..server };
    if told_early {
        test.push("n2", 5_200, vec![Half::Flow(more)]);
        test.push("n1", 9_000, Vec::new());
        test.push("n2", 9_000, Vec::new());
    } else {
        test.push("n1", 9_000, Vec::new());
        test.push("n2", 9_000, Vec::new());
        test.push("n2", 10_100, vec![Half::Flow(more)]);
    }
    assert_eq!(sums(&test.flows)[0], 2, "connections");
    assert_eq!(sums(&test.flows)[1], 20, "bytes sent are not counted twice");
    let joined = test.flows.iter().all(|flow| flow.key.destination_process.is_some());
    assert!(joined, "{:?}", test.flows);
}

#[test]
fn a_late_other_end_is_not_counted_again() {
    let mut test = Test::new(JoinLimits::default());
    test.push("n2", 200, vec![Half::Flow(at_b())]);
    test.advance(10_000);
    assert_eq!(test.told(), [A_TO_B]);
    let more = HalfFlow { bytes_sent: 15, ..from_a() };
    test.push("n1", 30_000, vec![Half::Flow(more)]);
    assert_eq!(test.told(), [A_TO_B.replace("1x 10/700", "0x 5/0")]);
}

#[test]
fn nobody_waits_for_the_internet_but_an_unanswered_attempt_waits_for_its_denial() {
    let mut test = Test::new(JoinLimits::default());
    let out = HalfFlow {
        remote_name: Some("pay.example".to_owned()),
        ..half(1, SocketRole::Source, A, "203.0.113.9:443")
    };
    test.push("n1", 200, vec![Half::Flow(out.clone())]);
    assert_eq!(
        test.told(),
        ["shop/10.244.1.1[Pod] -> pay.example[External]:443 allowed 1x 10/700"]
    );
    let attempt = HalfFlow { id: 5, outcome: Outcome::Attempted, bytes_sent: 0, ..out };
    test.push("n1", 5_000, vec![Half::Flow(attempt)]);
    assert!(test.told().is_empty());
    test.advance(9_000);
    assert!(test.told()[0].contains("unknown 1x"));
}

#[test]
fn a_denied_attempt_is_one_connection_with_its_policy_however_often_it_was_sent_again() {
    for (destination, asked) in [(B, B), (B, VIP)] {
        let mut test = Test::new(JoinLimits::default());
        let denied = || Half::Denied(denial(A, destination, false));
        let attempt = HalfFlow {
            outcome: Outcome::Attempted,
            last: false,
            bytes_sent: 0,
            bytes_received: 0,
            ..half(1, SocketRole::Source, A, asked)
        };
        test.push("n2", 500, vec![denied(), denied()]);
        test.advance(5_000);
        assert!(test.told().is_empty(), "it waits for the process");
        test.push("n1", 5_500, vec![Half::Flow(attempt.clone())]);
        let key = test.flows[0].key.clone();
        assert_eq!(key.decided_by.unwrap().policy, "shop/deny");
        assert!(key.source_process.is_some() && test.flows[0].stats.reporters.datapath);
        assert!(test.told()[0].contains("10.244.2.1[Pod]:8080 denied 1x"));
        test.push("n2", 7_000, vec![denied()]);
        let end = HalfFlow { first: false, last: true, seen: ms(60_000), reset: true, ..attempt };
        test.push("n1", 60_000, vec![Half::Flow(end)]);
        let connections: u64 = test.flows.iter().map(|flow| flow.stats.connections).sum();
        let resets: u64 = test.flows.iter().map(|flow| flow.stats.resets).sum();
        assert_eq!((connections, resets), (0, 0));
    }
}

#[test]
fn a_denial_without_halves_is_a_flow_of_its_own_once() {
    let mut test = Test::new(JoinLimits::default());
    for at in [0, 1_000, 3_000, 7_000, 15_000, 31_000, 63_000] {
        let record = DenyRecord { time: ms(at), ..denial(A, B, false) };
        test.push("n2", at + 100, vec![Half::Denied(record)]);
        test.advance(at + 200);
    }
    test.advance(200_000);
    let told = test.told();
    assert!(told[0].contains("denied 1x"), "{told:?}");
    assert!(told[1..].iter().all(|text| text.contains("denied 0x")), "{told:?}");
    assert_eq!(test.joiner.stats().denials_repeated, 6);
    assert_eq!(test.joiner.stats().connections, 0);
}

#[test]
fn a_staged_policy_marks_the_connection_that_it_would_deny() {
    let mut test = Test::new(JoinLimits::default());
    let record = Half::Denied(denial(A, B, true));
    test.push("n2", 200, vec![Half::Flow(at_b()), record]);
    test.push("n1", 200, vec![Half::Flow(from_a())]);
    assert_eq!(test.told(), [A_TO_B.replace("allowed", "would_deny")]);
}

#[test]
fn a_refusal_is_allowed_and_a_reset() {
    let mut test = Test::new(JoinLimits::default());
    let refused = HalfFlow { outcome: Outcome::Refused, reset: true, ..from_a() };
    test.push("n1", 200, vec![Half::Flow(refused)]);
    assert_eq!(test.flows[0].stats.resets, 1);
    assert!(test.told()[0].contains("allowed 1x"));
}

#[test]
fn a_guessed_role_yields_to_the_end_that_knows() {
    let flipped = SocketRole::Destination;
    let wrong = || HalfFlow { role: flipped, role_inferred: true, ..half(1, flipped, A, B) };
    // The guess is by port, so give the source the lower one.
    let low = |text: &str| text.replace("40000", "53").parse().unwrap();
    let wrong = || HalfFlow { local: low(A), bytes_sent: 10, bytes_received: 700, ..wrong() };
    let sure = || HalfFlow { remote: low(A), ..at_b() };
    for swapped in [false, true] {
        let mut test = Test::new(JoinLimits::default());
        let mut batches = [("n1", wrong()), ("n2", sure())];
        if swapped {
            batches.reverse();
        }
        for (node, half) in batches {
            test.push(node, 200, vec![Half::Flow(half)]);
        }
        assert_eq!(test.told(), [A_TO_B], "swapped: {swapped}");
    }
    let mut test = Test::new(JoinLimits::default());
    test.push("n1", 200, vec![Half::Flow(HalfFlow { role_inferred: true, ..from_a() })]);
    test.push("n2", 200, vec![Half::Flow(HalfFlow { role_inferred: true, ..at_b() })]);
    assert_eq!(test.told(), [format!("{A_TO_B} inferred")]);
}

#[test]
fn a_pod_that_reaches_itself_through_its_service_is_one_connection() {
    for swapped in [false, true] {
        let mut test = Test::new(JoinLimits::default());
        let mut halves = [
            half(1, SocketRole::Source, "10.244.2.1:40000", VIP),
            half(2, SocketRole::Destination, B, "172.18.0.12:40000"),
        ];
        if swapped {
            halves.reverse();
        }
        test.push("n2", 200, halves.into_iter().map(Half::Flow).collect());
        test.advance(10_000);
        let expected = A_TO_B.replace("10.244.1.1", "10.244.2.1") + " via cart";
        assert_eq!(test.told(), [expected], "swapped: {swapped}");
    }
}

#[test]
fn a_probe_comes_from_the_node() {
    let mut test = Test::new(JoinLimits::default());
    let probe = half(1, SocketRole::Source, "172.18.0.12:40000", B);
    let probe = HalfFlow { cgroup: "/kubelet".to_owned(), ..probe };
    let answer = half(2, SocketRole::Destination, B, "172.18.0.12:40000");
    test.push("n2", 200, vec![Half::Flow(answer), Half::Flow(probe)]);
    assert_eq!(test.told(), ["n2[Node] -> shop/10.244.2.1[Pod]:8080 allowed 1x 10/700"]);
}

#[test]
fn mapped_addresses_join_and_loopback_is_dropped() {
    let mut test = Test::new(JoinLimits::default());
    let mapped =
        half(2, SocketRole::Destination, "[::ffff:10.244.2.1]:8080", "[::ffff:10.244.1.1]:40000");
    let inside = half(3, SocketRole::Source, "127.0.0.1:5", "127.0.0.1:6");
    test.push("n2", 200, vec![Half::Flow(inside), Half::Flow(mapped)]);
    test.push("n1", 200, vec![Half::Flow(from_a())]);
    test.advance(10_000);
    assert_eq!(test.told(), [A_TO_B]);
    assert_eq!(test.joiner.stats().loopback, 1);
}

#[test]
fn an_unknown_party_waits_for_the_inventory_until_the_window_ends() {
    let mut test = Test::new(JoinLimits::default());
    let unknown = "10.244.99.1:8080";
    let mut source = half(1, SocketRole::Source, A, unknown);
    source.outcome = Outcome::Refused;
    test.push("n1", 200, vec![Half::Flow(source)]);
    assert!(test.told().is_empty());
    test.advance(4_000);
    assert!(test.told()[0].contains("10.244.99.1[Unknown]"));
}

#[test]
fn resent_and_outdated_batches_are_ignored() {
    let mut test = Test::new(JoinLimits::default());
    let batch = test.batch("n1", 200, vec![Half::Flow(from_a())]);
    let old = Batch { epoch: Timestamp::EPOCH, sequence: 99, ..batch.clone() };
    let Test { joiner, flows, .. } = &mut test;
    assert!(joiner.push(batch.clone(), &Lab, flows));
    assert!(!joiner.push(batch, &Lab, flows));
    assert!(!joiner.push(old, &Lab, flows));
    assert_eq!((joiner.stats().duplicates, joiner.stats().halves), (2, 1));
}

#[test]
fn a_restarted_agent_that_finds_a_connection_again_counts_it_once() {
    let mut test = Test::new(JoinLimits::default());
    let open = HalfFlow { last: false, ..from_a() };
    test.push("n1", 200, vec![Half::Flow(open.clone())]);
    test.push("n2", 200, vec![Half::Flow(HalfFlow { last: false, ..at_b() })]);
    assert_eq!(test.told(), [A_TO_B]);
    let again = HalfFlow { bytes_sent: 25, seen: ms(9_000), ..open };
    let mut batch = test.batch("n1", 9_000, vec![Half::Flow(again)]);
    (batch.epoch, batch.sequence) = (ms(8_000), 1);
    assert!(test.joiner.push(batch, &Lab, &mut test.flows));
    assert_eq!(test.told(), [A_TO_B.replace("1x 10/700", "0x 15/0")]);
}

#[test]
fn loss_marks_the_flows_of_the_batch_that_tells_of_it() {
    let mut test = Test::new(JoinLimits::default());
    let mut batch = test.batch("n1", 200, vec![Half::Flow(from_a())]);
    let hook = "tcp_state".to_owned();
    batch.counters = vec![HookCounters { hook, produced: 9, delivered: 8, dropped: 1 }];
    let counters = batch.counters.clone();
    test.joiner.push(batch, &Lab, &mut test.flows);
    let mut quiet = test.batch(
        "n1",
        300,
        vec![Half::Flow(HalfFlow {
            local: "10.244.1.1:40001".parse().unwrap(),
            id: 9,
            ..from_a()
        })],
    );
    quiet.counters = counters;
    test.joiner.push(quiet, &Lab, &mut test.flows);
    test.advance(10_000);
    assert_eq!(test.flows.iter().map(|flow| flow.stats.loss).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_node_whose_clock_is_far_ahead_stops_nobody() {
    let mut test = Test::new(JoinLimits::default());
    test.advance(0);
    test.push("n9", 3_600_000, Vec::new());
    test.push("n1", 200, vec![Half::Flow(from_a())]);
    test.push("n2", 200, vec![Half::Flow(at_b())]);
    assert_eq!(test.told(), [A_TO_B]);
    assert_eq!(test.joiner.stats().skewed, 1);
}

#[test]
fn without_a_servers_time_a_leader_that_dies_does_not_stop_the_clock() {
    let mut test = Test::new(JoinLimits::default());
    test.push("n1", 100, Vec::new());
    test.push("n9", 3_600_000, Vec::new());
    test.push("n2", 200, vec![Half::Flow(at_b())]);
    for n in 0..2_000_u64 {
        let at = 1_000 + n * 100;
        test.push("n1", at, Vec::new());
        // The caller that knows no time but that of batches tells nothing new.
        test.advance(at);
    }
    assert_eq!(test.told(), [A_TO_B]);
    test.push("n2", 300_000, vec![Half::Flow(HalfFlow { id: 77, ..at_b() })]);
    test.push("n1", 302_000, vec![Half::Flow(HalfFlow { id: 76, ..from_a() })]);
    assert_eq!(test.told(), [A_TO_B], "and joins go on");
}

/// Sums of flows: connections, the four counters, resets.
fn sums(flows: &[Flow]) -> [u64; 6] {
    let mut sums = [0; 6];
    for flow in flows {
        let it = &flow.stats;
        let counts = [
            it.connections,
            it.bytes_sent,
            it.bytes_received,
            it.packets_sent,
            it.packets_received,
            it.resets,
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sums
}

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
        let mut joiner = Joiner::new(JoinLimits::default());
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
        let mut joiner = Joiner::new(JoinLimits { waiting_max, ..JoinLimits::default() });
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
        let mut whole = Joiner::new(JoinLimits::default());
        run(&mut whole, before);
        let checkpoint = whole.checkpoint();
        let bytes = postcard::to_stdvec(&checkpoint).unwrap();
        let mut restored = Joiner::new(JoinLimits::default());
        restored.restore(postcard::from_bytes(&bytes).unwrap());
        prop_assert_eq!(restored.checkpoint(), checkpoint);
        prop_assert_eq!(run(&mut restored, after), run(&mut whole, after));
        prop_assert_eq!(restored.checkpoint(), whole.checkpoint());
    }
}
