//! What becomes of established connections when policies change.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use sekisho_enforce::{Datapath, Mode};
use sekisho_policy::RuleSet;
use sekisho_system::netns;

use crate::policies::{self, app, pods, policy, rule, tcp};
use crate::topology::{self, Topology, address, node_scope};

const LONG: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_millis(400);

struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn connect(topology: &Topology, from: &str, v6: bool, port: u16) -> Self {
        let at = SocketAddr::new(address("db", v6), port);
        let listener = listener(&topology.netns("db"), at);
        let client = stream(&topology.netns(from), at, LONG).unwrap();
        let (server, _) = listener.accept().unwrap();
        Self { client, server }
    }

    /// Whether a byte gets through within `patience`, first forth, then back.
    fn talks(&mut self, patience: Duration) -> [bool; 2] {
        let forth = passes(&mut self.client, &mut self.server, patience);
        [forth, passes(&mut self.server, &mut self.client, patience)]
    }
}

fn passes(from: &mut TcpStream, to: &mut TcpStream, patience: Duration) -> bool {
    from.write_all(b"x").unwrap();
    to.set_read_timeout(Some(patience)).unwrap();
    match to.read(&mut [0; 16]) {
        Ok(count) => count > 0,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// A stream connected from inside `path`.
fn stream(path: &Path, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    netns::within(path, move || TcpStream::connect_timeout(&to, timeout)).unwrap()
}

/// A listener inside `path`.
fn listener(path: &Path, at: SocketAddr) -> TcpListener {
    netns::within(path, move || TcpListener::bind(at)).unwrap().unwrap()
}

/// db takes 5432 from prom only.
fn only_prom() -> RuleSet {
    let mut db = policy("shop", "db", app("db"));
    db.isolates_ingress = true;
    let prom = pods(Some(policies::team("b")), Some(app("prom")));
    db.ingress = vec![rule(vec![prom], vec![tcp(5432)])];
    RuleSet::new([db])
}

/// web may send nothing; nobody isolates db.
fn mute_web() -> RuleSet {
    let mut web = policy("shop", "web", app("web"));
    web.isolates_egress = true;
    RuleSet::new([web])
}

#[test]
fn established_connections_outlive_a_change_until_they_are_cut() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let open = policies::verified(&RuleSet::default(), &cluster);
    let mut node = Datapath::new(topology.netns("node"));
    node.apply(&open, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    for (revision, rules) in [(2, only_prom()), (4, mute_web())] {
        let mut denied = Pair::connect(&topology, "web", false, 5432);
        let mut denied6 = Pair::connect(&topology, "web", true, 5432);
        let mut allowed = Pair::connect(&topology, "prom", false, 5432);
        let verified = policies::verified(&rules, &cluster);
        node.apply(&verified, &cluster, &node_scope(revision), Mode::Enforce).unwrap();
        assert_eq!(denied.talks(LONG), [true, true], "established before the change");
        let again =
            stream(&topology.netns("web"), SocketAddr::new(address("db", false), 5432), PATIENCE);
        assert!(again.is_err(), "a new connection is denied");
        let counted = node.count_denied(&verified, &cluster, &node_scope(revision)).unwrap();
        assert_eq!((counted.denied, counted.cut), (2, 0), "{counted:?}");
        assert_eq!(denied.talks(LONG), [true, true], "counting ends nothing");
        let report = node.cut(&verified, &cluster, &node_scope(revision)).unwrap();
        assert_eq!((report.denied, report.cut), (2, 2), "{report:?}");
        let after = node.count_denied(&verified, &cluster, &node_scope(revision)).unwrap();
        assert_eq!(after.denied, 0, "{after:?}");
        assert_eq!(denied.talks(PATIENCE), [false, false], "cut, both ways");
        assert_eq!(denied6.talks(PATIENCE), [false, false], "cut, both ways");
        assert_eq!(allowed.talks(LONG), [true, true], "what is allowed is not cut");
        let stray = node.counters(Mode::Enforce, &Default::default()).unwrap().stray;
        assert!(stray.0 > 0, "what they still sent was dropped and counted");
        node.apply(&open, &cluster, &node_scope(revision + 1), Mode::Enforce).unwrap();
    }
}

#[test]
fn connections_older_than_the_agent_outlive_the_first_policy_if_it_prepared() {
    let topology = Topology::new();
    let cluster = topology::cluster();
    let mut pair = Pair::connect(&topology, "web", false, 5432);
    let mut node = Datapath::new(topology.netns("node"));
    node.prepare().unwrap();
    node.prepare().unwrap();
    assert_eq!(node.in_force(Mode::Enforce).unwrap(), None, "nothing is enforced yet");
    assert_eq!(pair.talks(LONG), [true, true]);
    let verified = policies::verified(&only_prom(), &cluster);
    node.apply(&verified, &cluster, &node_scope(1), Mode::Enforce).unwrap();
    assert_eq!(pair.talks(LONG), [true, true]);
    node.prepare().unwrap();
    assert!(node.in_force(Mode::Enforce).unwrap().is_some(), "preparing takes nothing away");
}
