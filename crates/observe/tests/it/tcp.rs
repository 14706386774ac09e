//! TCP: both sides, failures, what was there before, and what is not ours.

use std::time::Duration;

use sekisho_model::{Event, Protocol, SocketEvent, SocketPhase, SocketRole};
use sekisho_observe::Observer;

use crate::scene::{Scene, account, pid_of, sockets, watch, watch_out};

fn phases(events: &[&SocketEvent], role: SocketRole) -> Vec<SocketPhase> {
    events.iter().filter(|event| event.role == role).map(|event| event.phase).collect()
}

#[test]
fn a_connection_is_seen_from_both_ends_with_its_processes() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let running = scene
        .run("act serve 127.0.0.1:7001 1 & ready ready; act connect 127.0.0.1:7001 1000 1; wait");
    let (events, stdout) = watch_out(&mut observer, running);
    let seen = sockets(&events);
    use SocketPhase::{Closed, Connecting, Open};
    assert_eq!(phases(&seen, SocketRole::Source), [Connecting, Open, Closed], "{seen:#?}");
    assert_eq!(phases(&seen, SocketRole::Destination), [Open, Closed]);
    for event in &seen {
        let (verb, local) = match event.role {
            SocketRole::Source => ("connect", event.remote.port()),
            SocketRole::Destination => ("serve", event.local.port()),
        };
        assert_eq!((event.protocol, local), (Protocol::Tcp, 7001));
        assert_eq!(event.pid, pid_of(&stdout, verb));
        assert_eq!(event.cgroup, scene.path());
        assert!(!event.role_inferred && !event.reset);
        if event.phase == Closed {
            // Exact: the FIN, which the kernel counts, is not a byte.
            assert_eq!((event.bytes_sent, event.bytes_received), (1000, 1000), "{event:#?}");
            assert!(event.established && event.packets_sent >= 3 && event.packets_received >= 3);
        }
    }
    let ports: Vec<u16> = seen
        .iter()
        .map(|event| match event.role {
            SocketRole::Source => event.local.port(),
            SocketRole::Destination => event.remote.port(),
        })
        .collect();
    assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    assert_eq!(account(&observer, "tcp_state").dropped, 0);
}

#[test]
fn the_programs_of_both_ends_are_named() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let running = scene
        .run("act serve 127.0.0.1:7001 1 & ready ready; act connect 127.0.0.1:7001 10 1; wait");
    let (events, stdout) = watch_out(&mut observer, running);
    let exe = std::env::current_exe().unwrap();
    for verb in ["serve", "connect"] {
        let pid = pid_of(&stdout, verb);
        let named = events.iter().any(|event| {
            matches!(event, Event::Exec(exec) if exec.pid == pid
                && exec.process.exe == exe.to_string_lossy()
                && exec.cgroup == scene.path())
        });
        assert!(named, "{verb} {pid} {events:#?}");
    }
}

#[test]
fn a_refused_connection_is_reset_and_never_established() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let (events, _) = watch_out(&mut observer, scene.run("act refused 127.0.0.1:7009"));
    let seen = sockets(&events);
    assert_eq!(phases(&seen, SocketRole::Source), [SocketPhase::Connecting, SocketPhase::Closed]);
    assert!(seen[1].reset && !seen[1].established);
    assert_ne!(seen[1].local.port(), 0);
}

#[test]
fn an_aborted_connection_is_reset_at_both_ends() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let running =
        scene.run("act abort 127.0.0.1:7002 & ready ready; act connect 127.0.0.1:7002 10 1; wait");
    let (events, _) = watch_out(&mut observer, running);
    let closed: Vec<_> = sockets(&events)
        .into_iter()
        .filter(|event| event.phase == SocketPhase::Closed)
        .map(|event| (event.role, event.established, event.reset))
        .collect();
    assert_eq!(closed.len(), 2);
    assert!(closed.iter().all(|(_, established, reset)| *established && *reset), "{closed:?}");
}

#[test]
fn an_ipv4_peer_of_a_dual_stack_listener_has_an_ipv4_address() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let running = scene.run("act serve [::]:7003 2 & ready ready; act connect 127.0.0.1:7003 1 1; act connect [::1]:7003 1 1; wait");
    let (events, _) = watch_out(&mut observer, running);
    let opened: Vec<String> = sockets(&events)
        .into_iter()
        .filter(|e| e.phase == SocketPhase::Open && e.role == SocketRole::Destination)
        .map(|e| e.local.to_string())
        .collect();
    assert_eq!(opened, ["127.0.0.1:7003", "[::1]:7003"]);
}

#[test]
fn a_connection_outside_the_cgroup_is_not_seen_and_its_twin_inside_is() {
    let scene = Scene::new();
    let other = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let script = "act serve 127.0.0.1:7004 1 & ready ready; act connect 127.0.0.1:7004 1 1; wait";
    other.run(script).end();
    let (events, _) = watch_out(&mut observer, scene.run(script));
    let seen = sockets(&events);
    assert_eq!(seen.len(), 5, "{seen:#?}");
    assert!(seen.iter().all(|event| event.cgroup == scene.path()));
}

#[test]
fn a_connection_older_than_the_observer_is_found_with_its_sides() {
    let scene = Scene::new();
    let running =
        scene.run("act serve 127.0.0.1:7005 1 & ready ready; act hold 127.0.0.1:7005 go; wait");
    scene.await_file("held");
    let mut observer = Observer::start(scene.options()).unwrap();
    let events = watch(&mut observer, |events| sockets(events).len() >= 2);
    scene.touch("go");
    let (later, stdout) = watch_out(&mut observer, running);
    let by_role = |events: &[Event], role| {
        sockets(events).into_iter().find(|event| event.role == role).cloned().unwrap()
    };
    let source = by_role(&events, SocketRole::Source);
    let destination = by_role(&events, SocketRole::Destination);
    assert_eq!((source.phase, destination.phase), (SocketPhase::Sample, SocketPhase::Sample));
    assert_eq!(source.pid, pid_of(&stdout, "hold"));
    assert_eq!(destination.pid, pid_of(&stdout, "serve"));
    assert_eq!((source.role_inferred, destination.role_inferred), (true, false));
    assert_eq!((source.bytes_sent, destination.bytes_received), (5, 5));
    let closed = by_role(&later, SocketRole::Destination);
    assert_eq!((closed.id, closed.phase), (destination.id, SocketPhase::Closed));
    assert_eq!((closed.bytes_sent, closed.bytes_received), (5, 5));
}

#[test]
fn a_long_connection_is_sampled_and_closed_with_one_id() {
    let scene = Scene::new();
    let mut options = scene.options();
    options.sample_period = Duration::from_millis(200);
    let mut observer = Observer::start(options).unwrap();
    let running =
        scene.run("act serve 127.0.0.1:7006 1 & ready ready; act hold 127.0.0.1:7006 go; wait");
    let samples = |events: &[Event]| {
        sockets(events)
            .into_iter()
            .filter(|event| event.phase == SocketPhase::Sample && event.bytes_sent == 5)
            .count()
    };
    let events = watch(&mut observer, |events| samples(events) >= 3);
    scene.touch("go");
    let (later, _) = watch_out(&mut observer, running);
    let all: Vec<_> = sockets(&events).into_iter().chain(sockets(&later)).collect();
    let ids: std::collections::BTreeSet<u64> =
        all.iter().filter(|event| event.role == SocketRole::Source).map(|event| event.id).collect();
    assert_eq!(ids.len(), 1, "{all:#?}");
    let account = account(&observer, "tcp_sample");
    assert!(account.produced >= 6 && account.dropped == 0);
}
