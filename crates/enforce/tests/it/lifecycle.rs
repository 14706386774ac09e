//! Replacing, updating, refusing, rolling back and removing what is in force.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sekisho_enforce::{ApplyError, Change, Datapath, Executor, InNamespace, Mode, NftError};
use sekisho_model::Protocol;
use sekisho_policy::RuleSet;
use sekisho_verify::VerifiedPolicy;

use crate::poke::{self, Target};
use crate::policies::{self, app, pods, policy, rule, tcp};
use crate::topology::{self, Topology, address, node_scope};

const PATIENCE: Duration = Duration::from_millis(350);
const LONG: Duration = Duration::from_secs(4);

fn to_db(port: u16) -> Target {
    Target {
        source: address("web", false),
        destination: address("db", false),
        protocol: Protocol::Tcp,
        port,
    }
}

fn answers(topology: &Topology, port: u16, patience: Duration) -> bool {
    poke::all(&topology.netns("web"), &[to_db(port)], patience)[0]
}

/// The shop's policies and one more that changes chains, maps and elements, but neither 5432 nor 80.
fn more() -> RuleSet {
    let mut extra = policy("shop", "a-extra", app("db"));
    extra.isolates_ingress = true;
    extra.ingress = vec![rule(vec![pods(None, None)], vec![tcp(5433), tcp(6000)])];
    RuleSet::new(policies::shop().policies().iter().cloned().chain([extra]))
}

#[test]
fn no_connection_notices_fifty_replacements() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let sets = [policies::shop(), more()].map(|rules| policies::verified(&rules, &cluster));
    let mut kept = Datapath::new(topology.netns("node"));
    kept.apply(&sets[0], &cluster, &node_scope(0), Mode::Enforce).unwrap();
    let stop = AtomicBool::new(false);
    let web = topology.netns("web");
    std::thread::scope(|scope| {
        let allowed = scope.spawn(|| {
            let mut count = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(poke::all(&web, &[to_db(5432)], LONG), [true], "after {count}");
                count += 1;
            }
            count
        });
        let denied = scope.spawn(|| {
            let many: Vec<Target> = (100..164).map(to_db).collect();
            while !stop.load(Ordering::Relaxed) {
                let leaked = poke::all(&web, &many, Duration::from_millis(50));
                assert!(leaked.iter().all(|answer| !answer), "a denied connection got through");
            }
        });
        let applying = scope.spawn(|| {
            for revision in 1..=50_u64 {
                let verified = &sets[usize::from(revision % 2 == 1)];
                // Every second time as an agent that was just restarted: it makes the table anew.
                let change = if revision % 4 < 2 {
                    kept.apply(verified, &cluster, &node_scope(revision), Mode::Enforce)
                } else {
                    kept = Datapath::new(topology.netns("node"));
                    kept.apply(verified, &cluster, &node_scope(revision), Mode::Enforce)
                };
                change.unwrap();
            }
        });
        let applied = applying.join();
        stop.store(true, Ordering::Relaxed);
        applied.unwrap();
        assert!(allowed.join().unwrap() > 50);
        denied.join().unwrap();
    });
    assert_eq!(kept.in_force(Mode::Enforce).unwrap(), Some(50));
}

#[test]
fn an_update_keeps_counters_and_equals_a_replacement() {
    let topology = Topology::new();
    let mut cluster = topology::cluster();
    let [shop, more] = [policies::shop(), more()].map(|rules| policies::verified(&rules, &cluster));
    let mut node = Datapath::new(topology.netns("node"));
    let first = node.apply(&shop, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    assert_eq!(first.change, Change::Replaced);
    assert!(answers(&topology, 5432, LONG));
    let again = node.apply(&shop, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    assert_eq!(again.change, Change::Unchanged);
    // A new pod, then a policy more, then back.
    let mut pod = cluster.endpoints.iter().find(|one| one.name == "web").unwrap().clone();
    pod.name = "web-2".to_owned();
    pod.addresses = vec!["10.77.0.99".parse().unwrap(), "fd77::99".parse().unwrap()];
    cluster.endpoints.push(pod);
    for (revision, verified) in [(2, &shop), (3, &more), (4, &shop), (5, &more)] {
        let applied = node.apply(verified, &cluster, &node_scope(revision), Mode::Enforce).unwrap();
        assert_eq!(applied.change, Change::Updated, "revision {revision}");
        let updated = listing(&topology);
        let mut fresh = Datapath::new(topology.netns("far"));
        fresh.apply(verified, &cluster, &node_scope(revision), Mode::Enforce).unwrap();
        let replaced = listing_of(topology.netns("far"));
        assert_eq!(updated, replaced, "revision {revision}");
        let counters = node.counters(Mode::Enforce, &applied.decisions).unwrap();
        let counted: u64 = counters.rules.values().map(|(packets, _)| packets).sum();
        assert_eq!(counted, 2, "egress and ingress rule of the one connection");
    }
}

/// The table as nft lists it, without counts, lines sorted: objects are listed by age.
fn listing_of(netns: PathBuf) -> Vec<String> {
    let text = InNamespace { netns }.nft(&["-s", "list", "table", "inet", "sekisho"], "").unwrap();
    let mut words: Vec<String> = text
        .lines()
        .flat_map(|line| line.split("elements = "))
        .flat_map(|line| line.split(','))
        .map(|line| line.trim_matches([' ', '\t', '{', '}']).to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    words.sort();
    words
}

fn listing(topology: &Topology) -> Vec<String> {
    listing_of(topology.netns("node"))
}

/// Breaks every script at its last line.
#[derive(Debug)]
struct Breaking(InNamespace);

impl Executor for Breaking {
    fn nft(&self, arguments: &[&str], script: &str) -> Result<String, NftError> {
        if script.is_empty() {
            return self.0.nft(arguments, script);
        }
        self.0.nft(arguments, &format!("{script}add rule inet sekisho no-such-chain accept\n"))
    }
}

#[test]
fn a_refused_script_changes_nothing_and_the_error_names_its_line() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let shop = policies::verified(&policies::shop(), &cluster);
    let open = policies::verified(&RuleSet::default(), &cluster);
    let netns = topology.netns("node");
    Datapath::new(&netns).apply(&shop, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    let before = listing(&topology);
    let executor = Box::new(Breaking(InNamespace { netns: netns.clone() }));
    let mut broken = Datapath::with_executor(netns, executor);
    let error = broken.apply(&open, &cluster, &node_scope(2), Mode::Enforce).unwrap_err();
    let ApplyError::ReplaceTable { cause: NftError::Line { text, .. }, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(text, "add rule inet sekisho no-such-chain accept");
    assert_eq!(listing(&topology), before);
    assert!(!answers(&topology, 80, PATIENCE), "still denied");
    assert!(answers(&topology, 5432, LONG), "still allowed");
}

#[test]
fn a_revision_outlives_its_agent_and_can_be_rolled_back_to() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let shop = policies::verified(&policies::shop(), &cluster);
    let open = policies::verified(&RuleSet::default(), &cluster);
    let mut node = Datapath::new(topology.netns("node"));
    assert_eq!(node.in_force(Mode::Enforce).unwrap(), None);
    node.apply(&shop, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    node.apply(&open, &cluster, &node_scope(2), Mode::Enforce).unwrap();
    assert!(answers(&topology, 80, LONG));
    drop(node);
    let mut next = Datapath::new(topology.netns("node"));
    assert_eq!(next.in_force(Mode::Enforce).unwrap(), Some(2));
    let stored = VerifiedPolicy::restore(shop.record().clone()).unwrap();
    next.apply(&stored, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    assert_eq!(next.in_force(Mode::Enforce).unwrap(), Some(1));
    assert!(!answers(&topology, 80, PATIENCE));
    next.remove(Mode::Enforce).unwrap();
    assert_eq!(next.in_force(Mode::Enforce).unwrap(), None);
    assert!(answers(&topology, 80, LONG), "nothing is denied any more");
    next.remove(Mode::Enforce).unwrap();
}

#[test]
fn a_table_that_somebody_removed_or_edited_is_made_anew() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let shop = policies::verified(&policies::shop(), &cluster);
    let more = policies::verified(&more(), &cluster);
    let mut node = Datapath::new(topology.netns("node"));
    let by_hand = InNamespace { netns: topology.netns("node") };
    node.apply(&shop, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    by_hand.nft(&["delete", "table", "inet", "sekisho"], "").unwrap();
    let applied = node.apply(&shop, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    assert_eq!(applied.change, Change::Replaced);
    by_hand.nft(&["flush", "map", "inet", "sekisho", "ingress4"], "").unwrap();
    let applied = node.apply(&more, &cluster, &node_scope(2), Mode::Enforce).unwrap();
    assert!(!answers(&topology, 80, PATIENCE), "{applied:?}");
}
