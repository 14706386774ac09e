//! What a record of the datapath does to a connection.

use super::*;

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
