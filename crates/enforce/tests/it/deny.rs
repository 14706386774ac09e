//! The deny log: audit mode, late lines, overruns.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use sekisho_enforce::{Datapath, DenyLog, Mode};
use sekisho_model::{DenyRecord, Direction, Protocol};
use sekisho_policy::RuleSet;
use sekisho_system::netns;

use crate::poke::{self, Target};
use crate::policies;
use crate::topology::{self, Topology, address};

const PATIENCE: Duration = Duration::from_millis(350);

fn target(from: &str, to: &str, port: u16) -> Target {
    Target {
        source: address(from, false),
        destination: address(to, false),
        protocol: Protocol::Tcp,
        port,
    }
}

fn wait_for_records(
    log: &mut DenyLog,
    decisions: &std::collections::BTreeMap<u32, sekisho_model::DecidedBy>,
) -> Vec<DenyRecord> {
    let mut records = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while records.is_empty() && Instant::now() < end {
        log.poll(Duration::from_millis(100), decisions, &mut records).unwrap();
    }
    records
}

#[test]
fn a_staged_policy_forwards_and_logs_what_it_would_drop() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let verified = policies::verified(&policies::shop(), &cluster);
    let mut node = Datapath::new(topology.netns("node"));
    let mut log = DenyLog::open(&topology.netns("node"), 17).unwrap();
    let applied = node.apply(&verified, &cluster, &topology::node_scope(1), Mode::Audit).unwrap();
    let targets = [target("prom", "web", 80), target("prom", "db", 80)];
    let answers = poke::all(&topology.netns("prom"), &targets, Duration::from_secs(4));
    assert_eq!(answers, [true, true], "staged policies stop nothing");
    let records = wait_for_records(&mut log, &applied.decisions);
    assert_eq!(records.len(), 1, "only the first is denied: {records:?}");
    assert!(records[0].audit);
    assert_eq!(records[0].decided_by.to_string(), "shop/default-deny ingress (no rule allows)");
    assert_eq!(records[0].destination, SocketAddr::new(address("web", false), 80));
}

#[test]
fn a_policy_is_staged_beside_the_one_in_force_and_judges_what_that_forwards() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let mut node = Datapath::new(topology.netns("node"));
    let mut log = DenyLog::open(&topology.netns("node"), 17).unwrap();
    let shop = policies::verified(&policies::shop(), &cluster);
    let mut strict = policies::policy("shop", "strict", Default::default());
    strict.isolates_ingress = true;
    let strict = policies::verified(&RuleSet::new([strict]), &cluster);
    let (enforced, staged) = (topology::node_scope(1), topology::node_scope(2));
    let mut known = node.apply(&shop, &cluster, &enforced, Mode::Enforce).unwrap().decisions;
    known.extend(node.apply(&strict, &cluster, &staged, Mode::Audit).unwrap().decisions);
    let revisions = [Mode::Enforce, Mode::Audit].map(|mode| node.in_force(mode).unwrap());
    assert_eq!(revisions, [Some(1), Some(2)]);
    let targets = [target("prom", "web", 80), target("prom", "db", 80)];
    assert_eq!(poke::all(&topology.netns("prom"), &targets, PATIENCE), [false, true]);
    let mut records = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while records.len() < 2 && Instant::now() < end {
        log.poll(Duration::from_millis(100), &known, &mut records).unwrap();
    }
    let mut said: Vec<_> = records
        .iter()
        .map(|record| (record.destination.ip(), record.decided_by.policy.as_str(), record.audit))
        .collect();
    said.sort();
    let (web, db) = (address("web", false), address("db", false));
    assert_eq!(said, [(web, "shop/default-deny", false), (db, "shop/strict", true)]);
    node.remove(Mode::Audit).unwrap();
    let revisions = [Mode::Enforce, Mode::Audit].map(|mode| node.in_force(mode).unwrap());
    assert_eq!(revisions, [Some(1), None]);
}

#[test]
fn a_line_that_comes_late_names_the_policy_that_was_in_force_then() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let mut node = Datapath::new(topology.netns("node"));
    let mut log = DenyLog::open(&topology.netns("node"), 17).unwrap();
    let scope = topology::node_scope;
    let verified = policies::verified(&policies::shop(), &cluster);
    let mut known = node.apply(&verified, &cluster, &scope(1), Mode::Enforce).unwrap().decisions;
    poke::all(&topology.netns("prom"), &[target("prom", "web", 80)], PATIENCE);
    let mut other = policies::policy("mon", "other", Default::default());
    other.isolates_ingress = true;
    let verified = policies::verified(&RuleSet::new([other]), &cluster);
    known.extend(node.apply(&verified, &cluster, &scope(2), Mode::Enforce).unwrap().decisions);
    let records = wait_for_records(&mut log, &known);
    assert_eq!(records[0].decided_by.policy, "shop/default-deny");
    assert_eq!(records[0].decided_by.direction, Direction::Ingress);
}

#[test]
fn a_flood_that_overruns_the_log_is_counted_to_the_last_packet() {
    const FLOOD: u64 = 20_000;
    let topology = Topology::new();
    let cluster = topology::cluster();
    let verified = policies::verified(&policies::shop(), &cluster);
    let mut node = Datapath::new(topology.netns("node"));
    let applied = node.apply(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap();
    let mut log = DenyLog::open_with_buffer(&topology.netns("node"), 17, 64 * 1024).unwrap();
    let send = |count: u64| {
        let (from, to) = (address("prom", false), address("web", false));
        netns::within(&topology.netns("prom"), move || {
            let socket = UdpSocket::bind((from, 0)).unwrap();
            for _ in 0..count {
                socket.send_to(b"x", (to, 9)).unwrap();
            }
        })
        .unwrap();
    };
    send(FLOOD);
    let mut records = Vec::new();
    log.poll(Duration::from_millis(500), &applied.decisions, &mut records).unwrap();
    // The next line tells by its number how many are missing.
    send(1);
    let end = Instant::now() + Duration::from_secs(5);
    while log.counters().produced < FLOOD + 1 && Instant::now() < end {
        log.poll(Duration::from_millis(100), &applied.decisions, &mut records).unwrap();
    }
    let counters = log.counters();
    assert_eq!(counters.produced, FLOOD + 1);
    assert_eq!(counters.produced, counters.delivered + counters.dropped);
    assert_eq!(counters.delivered, u64::try_from(records.len()).unwrap());
    assert!(counters.dropped > 0, "the buffer was too large for this test");
    let counted = node.counters(Mode::Enforce, &applied.decisions).unwrap();
    let denied = counted
        .rules
        .iter()
        .find(|(decided, _)| decided.rule.is_none() && decided.policy == "shop/default-deny");
    assert_eq!(denied.unwrap().1.0, FLOOD + 1, "the rule's own counter agrees");
}

#[test]
fn a_second_reader_of_a_group_is_told_that_it_is_taken() {
    let topology = Topology::new();
    let first = DenyLog::open(&topology.netns("node"), 17).unwrap();
    assert!(DenyLog::open(&topology.netns("node"), 17).is_err());
    drop(first);
    DenyLog::open(&topology.netns("node"), 17).unwrap();
}
