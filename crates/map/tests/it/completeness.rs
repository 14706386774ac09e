//! The figure is honest: loss, silence and ignorance all lower it and say why.

use sekisho_map::{ExpectedNode, completeness};
use sekisho_model::{ClusterName, Completeness, LossMinute, TimeRange};

use crate::samples::minute;

fn loss(node: &str, at: u64, hook: &str, produced: u64, dropped: u64) -> LossMinute {
    let (node, hook) = (node.to_owned(), hook.to_owned());
    let cluster = ClusterName::default();
    LossMinute { minute: minute(at), cluster, node, hook, produced, dropped }
}

fn window(from: u64, to: u64) -> TimeRange {
    TimeRange { from: minute(from), to: minute(to) }
}

fn nodes(names: &[&str]) -> Vec<ExpectedNode> {
    names.iter().map(|name| ExpectedNode::always(name)).collect()
}

fn check(
    losses: &[LossMinute],
    expected: &[ExpectedNode],
    window: TimeRange,
    (ratio, gaps): (f64, &[&str]),
) -> Completeness {
    let result = completeness(losses, expected, window);
    assert!((result.ratio - ratio).abs() < 1e-9, "{result:?}");
    assert_eq!(result.gaps, gaps);
    result
}

#[test]
fn all_nodes_reporting_and_nothing_lost_is_complete() {
    let losses: Vec<_> = (0..5).map(|at| loss("n1", at, "tcp", 100, 0)).collect();
    let result = check(&losses, &nodes(&["n1"]), window(0, 5), (1.0, &[]));
    assert_eq!((result.produced, result.dropped), (500, 0));
}

#[test]
fn a_quiet_node_that_reports_nothing_produced_is_complete() {
    check(&[loss("n1", 0, "tcp", 0, 0)], &nodes(&["n1"]), window(0, 1), (1.0, &[]));
}

#[test]
fn no_node_at_all_is_never_complete() {
    check(&[], &[], window(0, 5), (0.0, &["no agent reported"]));
    let silent = "n1: silent for 5 of 5 minutes";
    check(&[], &nodes(&["n1"]), window(0, 5), (0.0, &[silent]));
    let gone = ExpectedNode { name: "n1".to_owned(), active: window(9, 10) };
    let nobody = "no node was expected to report in this window";
    check(&[], &[gone], window(0, 5), (0.0, &[nobody]));
}

#[test]
fn a_lost_record_lowers_the_figure_and_names_node_and_hook() {
    let losses = [loss("n1", 0, "tcp", 90, 10), loss("n1", 0, "udp", 10, 0)];
    let gap = "n1: tcp lost 10 of 90 records";
    let result = check(&losses, &nodes(&["n1"]), window(0, 1), (0.9, &[gap]));
    assert_eq!((result.produced, result.dropped), (100, 10));
}

#[test]
fn losses_of_later_stages_multiply_and_are_not_diluted() {
    let losses = [loss("n1", 0, "tcp", 1000, 100), loss("n1", 0, "agent", 900, 90)];
    let gaps = ["n1: agent lost 90 of 900 records", "n1: tcp lost 100 of 1000 records"];
    check(&losses, &nodes(&["n1"]), window(0, 1), (0.81, &gaps));
    // An agent that counts only what it shed.
    let losses = [loss("n1", 0, "tcp", 1000, 0), loss("n1", 0, "agent", 0, 100)];
    let gap = "n1: agent lost 100 of 0 records";
    check(&losses, &nodes(&["n1"]), window(0, 1), (0.9, &[gap]));
}

#[test]
fn a_silent_node_lowers_the_figure_by_its_share_of_minutes() {
    let losses: Vec<_> = (0..4)
        .map(|at| loss("n1", at, "tcp", 10, 0))
        .chain([loss("n2", 0, "tcp", 10, 0)])
        .collect();
    let gap = "n2: silent for 3 of 4 minutes";
    check(&losses, &nodes(&["n1", "n2"]), window(0, 4), (5.0 / 8.0, &[gap]));
}

#[test]
fn a_node_owes_reports_only_while_it_is_there() {
    let joined = ExpectedNode { name: "n2".to_owned(), active: window(3, 100) };
    let losses: Vec<_> = (0..4)
        .map(|at| loss("n1", at, "tcp", 10, 0))
        .chain([loss("n2", 3, "tcp", 10, 0)])
        .collect();
    let expected = [ExpectedNode::always("n1"), joined];
    check(&losses, &expected, window(0, 4), (1.0, &[]));
}

#[test]
fn a_minute_that_has_only_begun_is_not_held_against_a_node() {
    let now = TimeRange { from: minute(0), to: minute(2).plus_seconds(10) };
    let losses = [loss("n1", 0, "tcp", 1, 0), loss("n1", 1, "tcp", 1, 0)];
    check(&losses, &nodes(&["n1"]), now, (1.0, &[]));
    // But within the first minute there is nothing else to go by.
    let first = TimeRange { from: minute(0).plus_seconds(5), to: minute(0).plus_seconds(40) };
    check(&losses[..1], &nodes(&["n1"]), first, (1.0, &[]));
    check(&[], &nodes(&["n1"]), first, (0.0, &["n1: silent for 1 of 1 minutes"]));
}

#[test]
fn without_a_list_of_nodes_holes_count_and_ignorance_is_said() {
    let losses = [loss("n1", 0, "tcp", 1, 0), loss("n1", 3, "tcp", 1, 0)];
    let gaps = [
        "list of nodes not known: a node that never reported is not missed",
        "n1: silent for 2 of 4 minutes",
    ];
    check(&losses, &[], TimeRange::ALL, (0.5, &gaps));
}

#[test]
fn the_servers_own_count_does_not_prove_that_an_agent_lives() {
    let losses = [loss("n1", 0, "server", 10, 0)];
    let gap = "n1: silent for 1 of 1 minutes";
    check(&losses, &nodes(&["n1"]), window(0, 1), (0.0, &[gap]));
}

#[test]
fn reports_outside_the_window_do_not_count() {
    let losses = [loss("n1", 0, "tcp", 10, 0), loss("n1", 7, "tcp", 10, 9)];
    check(&losses, &nodes(&["n1"]), window(0, 1), (1.0, &[]));
}
