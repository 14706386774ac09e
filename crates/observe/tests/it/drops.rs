//! Packets that the kernel drops, and why.

use std::collections::BTreeMap;

use sekisho_model::{Direction, DropRecord, Event, Protocol};
use sekisho_observe::Observer;

use crate::scene::{Scene, account, watch, watch_out};

/// Two namespaces with a link between: the script's own, 10.9.0.1, and `peer`, 10.9.0.2.
const LINK: &str = "\
unshare -n sleep 1000 & PEER=$!
trap 'kill $PEER' EXIT
until [ \"$(readlink /proc/$PEER/ns/net)\" != \"$(readlink /proc/$$/ns/net)\" ]; do sleep 0.02; done
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
peer() { nsenter -t $PEER -n \"$@\"; }
peer sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 netns $PEER
ip addr add 10.9.0.1/24 dev v0; ip link set v0 up
peer ip addr add 10.9.0.2/24 dev v1; peer ip link set v1 up; peer ip link set lo up
";

fn dropped(events: &[Event]) -> Vec<&DropRecord> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Dropped(record) => Some(record),
            _ => None,
        })
        .collect()
}

/// Packets by reason, as the records tell.
fn by_reason(events: &[Event]) -> BTreeMap<&str, u64> {
    let mut sums = BTreeMap::new();
    for record in dropped(events) {
        *sums.entry(record.reason.as_str()).or_default() += record.packets;
    }
    sums
}

/// Runs `script`, waits until the sweep told, and checks that both ways of counting agree.
fn run(scene: &Scene, script: &str) -> Vec<Event> {
    let mut observer = Observer::start(scene.options()).unwrap();
    let (mut events, _) = watch_out(&mut observer, scene.run(script));
    // Two sweeps: one may be under way.
    let until = std::time::Instant::now() + std::time::Duration::from_millis(2200);
    events.extend(watch(&mut observer, |_| std::time::Instant::now() > until));
    let exact = observer.drops();
    let told: Vec<_> = by_reason(&events).into_iter().map(|(n, c)| (n.to_owned(), c)).collect();
    assert_eq!(told, exact, "{:#?}", dropped(&events));
    assert_eq!(account(&observer, "drop").dropped, 0);
    events
}

#[test]
fn datagrams_to_a_closed_port_are_dropped_for_want_of_a_socket() {
    let scene = Scene::new();
    let events = run(&scene, "act udp-throw 127.0.0.1:7601 5");
    assert_eq!(by_reason(&events), BTreeMap::from([("NO_SOCKET", 5)]));
    let record = dropped(&events)[0];
    assert_eq!(record.protocol, Some(Protocol::Udp));
    assert_eq!(record.destination.to_string(), "127.0.0.1:7601");
    assert!(record.source.port() != 0 && record.cgroup == scene.path(), "{record:?}");
    assert!(record.first <= record.time);
}

#[test]
fn a_refused_connection_is_one_dropped_syn_and_its_reset_is_none() {
    let scene = Scene::new();
    let events = run(&scene, "act refused 127.0.0.1:7602; act refused [::1]:7602");
    assert_eq!(by_reason(&events), BTreeMap::from([("NO_SOCKET", 2)]));
    let six = dropped(&events).into_iter().find(|record| record.source.is_ipv6()).unwrap();
    assert_eq!(six.destination.to_string(), "[::1]:7602");
    assert_eq!(six.protocol, Some(Protocol::Tcp));
}

#[test]
fn what_works_drops_nothing() {
    let scene = Scene::new();
    let events = run(
        &scene,
        "act serve 127.0.0.1:7603 20 & ready ready; act connect 127.0.0.1:7603 100 20; wait; \
         rm ready; act udp-serve 127.0.0.1:7604 5 & ready ready; \
         act udp-send 127.0.0.1:7604 9 5; wait",
    );
    assert_eq!(dropped(&events), Vec::<&DropRecord>::new());
}

#[test]
fn a_full_receive_buffer_names_its_socket() {
    let scene = Scene::new();
    let events = run(
        &scene,
        "act udp-deaf 127.0.0.1:7605 stop & ready ready; act udp-throw 127.0.0.1:7605 2000; \
         touch stop; wait",
    );
    let sums = by_reason(&events);
    assert!(sums.len() == 1 && sums["SOCKET_RCVBUFF"] > 100, "{sums:?}");
    let record = dropped(&events)[0];
    assert_eq!(record.direction, Some(Direction::Ingress));
    assert_eq!(record.destination.to_string(), "127.0.0.1:7605");
}

#[test]
fn what_a_foreign_nftables_rule_drops_counts_and_what_our_policies_drop_does_not() {
    let scene = Scene::new();
    let mark = sekisho_model::POLICY_DROP_MARK;
    let events = run(
        &scene,
        &format!(
            "nft 'table inet t {{ chain c {{ type filter hook input priority 0; \
             udp dport 7606 drop; udp dport 7607 meta mark set {mark} drop; }}; }}'\n\
             act udp-throw 127.0.0.1:7606 3; act udp-throw 127.0.0.1:7607 4"
        ),
    );
    assert_eq!(by_reason(&events), BTreeMap::from([("NETFILTER_DROP", 3)]));
    assert_eq!(dropped(&events)[0].destination.port(), 7606);
}

#[test]
fn packets_from_elsewhere_belong_to_the_namespace_that_drops_them() {
    let scene = Scene::new();
    // 10.66.0.1 is no address that 10.9.0.0/24's link leads back to.
    let events = run(
        &scene,
        &format!(
            "{LINK}sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.v0.rp_filter=1\n\
             peer ip addr add 10.66.0.1/32 dev lo\n\
             # Or the question for our link address would be ignored for the same reason.\n\
             peer ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 dev v1\n\
             from() {{ peer env SEKISHO_ACT=\"udp-throw 10.9.0.1:7611 $2 $1\" \
             $EXE --exact actor::act --nocapture -q; }}\n\
             act udp-deaf 10.9.0.1:7611 stop & DEAF=$!; ready ready\n\
             from 10.66.0.1 2; from 10.9.0.2 1; touch stop; wait $DEAF"
        ),
    );
    assert_eq!(by_reason(&events), BTreeMap::from([("IP_RPFILTER", 2)]));
    let record = dropped(&events)[0];
    assert_eq!(record.source.ip().to_string(), "10.66.0.1");
    assert_eq!((record.protocol, record.direction), (Some(Protocol::Udp), None));
}

#[test]
fn a_datagram_with_a_wrong_checksum_says_so() {
    let scene = Scene::new();
    // Checksums are verified where the packet came over a link.
    let events = run(
        &scene,
        &format!("{LINK}act udp-deaf 10.9.0.1:7608 stop & DEAF=$!; ready ready; peer $SHELL_ACT; touch stop; wait $DEAF")
            .replace(
                "$SHELL_ACT",
                "env SEKISHO_ACT='udp-spoil 10.9.0.2 10.9.0.1:7608 3' $EXE --exact actor::act \
                 --nocapture -q",
            ),
    );
    assert_eq!(by_reason(&events), BTreeMap::from([("UDP_CSUM", 3)]));
}

#[test]
fn the_drops_of_others_are_not_ours() {
    let (ours, others) = (Scene::new(), Scene::new());
    let mut observer = Observer::start(ours.options()).unwrap();
    others.run("act udp-throw 127.0.0.1:7609 5").end();
    let (events, _) = watch_out(&mut observer, ours.run("sleep 1.5"));
    assert!(dropped(&events).is_empty() && observer.drops().is_empty(), "{events:?}");
}

#[test]
fn a_namespace_that_is_older_than_the_observer_is_known() {
    let scene = Scene::new();
    let running = scene.run("touch up; ready go; act udp-throw 127.0.0.1:7610 2");
    scene.await_file("up");
    let mut observer = Observer::start(scene.options()).unwrap();
    scene.touch("go");
    watch_out(&mut observer, running);
    let until = std::time::Instant::now() + std::time::Duration::from_millis(1500);
    watch(&mut observer, |_| std::time::Instant::now() > until);
    assert_eq!(observer.drops(), [("NO_SOCKET".to_owned(), 2)]);
}
