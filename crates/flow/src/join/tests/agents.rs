//! Agents that send again, start again, lose records or have a wrong clock.

use super::*;

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

#[test]
fn a_checkpoint_does_not_say_its_cluster_and_goes_on_in_that_of_who_restores_it() {
    let mut test = Test::new(JoinLimits::default());
    let open = HalfFlow { last: false, ..from_a() };
    test.push("n1", 200, vec![Half::Flow(open.clone())]);
    test.push("n2", 200, vec![Half::Flow(HalfFlow { last: false, ..at_b() })]);
    assert_eq!(test.told(), [A_TO_B]);
    let bytes = postcard::to_stdvec(&test.joiner.checkpoint()).unwrap();
    // As it was written before clusters had names, that of `default` is one of any.
    let mut east = Joiner::new(JoinLimits::default(), "east".parse().unwrap());
    east.restore(postcard::from_bytes(&bytes).unwrap());
    assert_eq!(postcard::to_stdvec(&east.checkpoint()).unwrap(), bytes);
    test.joiner = east;
    // Nothing new: the connection is known, and its edge did not change by being restored.
    let quiet = HalfFlow {
        bytes_sent: 0,
        bytes_received: 0,
        packets_sent: 0,
        packets_received: 0,
        first: false,
        ..open
    };
    test.push("n1", 300, vec![Half::Flow(HalfFlow { seen: ms(300), ..quiet.clone() })]);
    assert!(test.told().is_empty());
    let more = HalfFlow { bytes_sent: 15, seen: ms(400), ..quiet };
    test.push("n1", 400, vec![Half::Flow(more)]);
    assert!(test.flows.iter().all(|flow| flow.key.cluster.as_str() == "east"));
    assert_eq!(test.told(), [A_TO_B.replace("1x 10/700", "0x 15/0")]);
}
