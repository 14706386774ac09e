//! Which two halves are one connection, and who its ends are.

use super::*;

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

/// A pod in its node's network asks over UDP: its questions leave for the pod behind the Service, and
/// the answers come from the Service.
#[test]
fn the_answer_of_a_service_is_no_connection_and_its_question_is_one() {
    let udp = |half: HalfFlow| HalfFlow { protocol: Protocol::Udp, ..half };
    let question = udp(half(1, SocketRole::Source, A, B));
    let answer = udp(half(3, SocketRole::Destination, A, VIP));
    let stranger = udp(half(4, SocketRole::Destination, A, "10.244.3.3:80"));
    for order in [[0, 1], [1, 0]] {
        let mut test = Test::new(JoinLimits::default());
        let own = [&question, &answer];
        let halves = order.map(|at: usize| Half::Flow(own[at].clone()));
        test.push("n1", 200, halves.to_vec());
        test.push("n2", 200, vec![Half::Flow(udp(at_b()))]);
        test.advance(100_000);
        assert_eq!(test.told(), [A_TO_B]);
        assert_eq!(test.joiner.stats().answers, 1);
    }
    let mut test = Test::new(JoinLimits::default());
    test.push("n1", 200, vec![Half::Flow(stranger)]);
    test.advance(100_000);
    assert_eq!(test.told().len(), 1, "whoever is no Service may begin");
    assert_eq!(test.joiner.stats().answers, 0);
}
