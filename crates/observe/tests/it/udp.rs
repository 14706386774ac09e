//! UDP flows.

use std::time::Duration;

use sekisho_model::{Event, Protocol, SocketEvent, SocketPhase, SocketRole};
use sekisho_observe::Observer;

use crate::scene::{Scene, account, pid_of, sockets, watch, watch_out};

fn udp(events: &[Event], role: SocketRole) -> Vec<&SocketEvent> {
    sockets(events).into_iter().filter(|e| e.protocol == Protocol::Udp && e.role == role).collect()
}

#[test]
fn both_ends_of_a_udp_exchange_are_seen_until_the_socket_closes_or_is_idle() {
    let scene = Scene::new();
    let mut options = scene.options();
    options.udp_idle = Duration::from_millis(600);
    let mut observer = Observer::start(options).unwrap();
    let running = scene.run(
        "act udp-serve 127.0.0.1:7101 3 & ready ready; act udp-send 127.0.0.1:7101 100 3; wait",
    );
    let (events, stdout) = watch_out(&mut observer, running);
    for (role, verb) in [(SocketRole::Source, "udp-send"), (SocketRole::Destination, "udp-serve")] {
        let seen = udp(&events, role);
        let phases: Vec<_> = seen.iter().map(|event| event.phase).collect();
        assert_eq!(phases, [SocketPhase::Open, SocketPhase::Closed], "{seen:#?}");
        assert!(seen.iter().all(|event| event.pid == pid_of(&stdout, verb)));
        assert!(seen.iter().all(|event| event.id == seen[0].id && !event.role_inferred));
        let closed = seen[1];
        assert_eq!((closed.bytes_sent, closed.bytes_received), (300, 300));
        assert_eq!((closed.packets_sent, closed.packets_received), (3, 3));
        assert!(closed.established && closed.cgroup == scene.path());
    }
    assert_eq!(account(&observer, "udp").dropped, 0);
}

#[test]
fn a_server_sockets_flow_ends_by_idleness_and_samples_come_before() {
    let scene = Scene::new();
    let mut options = scene.options();
    options.udp_idle = Duration::from_millis(1500);
    options.sample_period = Duration::from_millis(300);
    let mut observer = Observer::start(options).unwrap();
    // The server waits for a fourth datagram, so that its socket stays open.
    let running = scene.run(
        "act udp-serve 127.0.0.1:7102 4 & ready ready; act udp-send 127.0.0.1:7102 10 3; \
         ready go; act udp-send 127.0.0.1:7102 10 1; wait",
    );
    let closed = |events: &[Event]| {
        udp(events, SocketRole::Destination).iter().any(|e| e.phase == SocketPhase::Closed)
    };
    let events = watch(&mut observer, closed);
    scene.touch("go");
    let seen = udp(&events, SocketRole::Destination);
    assert!(seen.iter().any(|event| event.phase == SocketPhase::Sample), "{seen:#?}");
    assert_eq!(seen.last().unwrap().packets_received, 3);
    watch_out(&mut observer, running);
    account(&observer, "udp");
}
