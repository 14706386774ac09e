//! Nothing is lost, or it is counted.

use std::collections::BTreeSet;

use sekisho_model::{Event, SocketPhase, SocketRole};
use sekisho_observe::{Observer, StartError};

use crate::scene::{Scene, account, sockets, watch, watch_out};

const STORM: usize = 12_500;

fn storm(parallel: usize) -> String {
    let mut script = String::new();
    for index in 0..parallel {
        let port = 7301 + index;
        script.push_str(&format!(
            "act serve 127.0.0.1:{port} {STORM} & ready ready; rm ready; \
             act connect 127.0.0.1:{port} 1 {STORM} &\n"
        ));
    }
    script.push_str("wait\n");
    script
}

#[test]
fn fifty_thousand_short_connections_are_all_seen() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let (mut events, _) = watch_out(&mut observer, scene.run(&storm(4)));
    // A segment that was dropped is sent again after 200 ms, which is longer than a script's end is
    // waited for: then its connection is closed later than the others.
    let closed = |events: &[Event]| {
        let sockets = sockets(events);
        sockets.iter().filter(|event| event.phase == SocketPhase::Closed).count()
    };
    let missing = (2 * 4 * STORM).saturating_sub(closed(&events));
    events.extend(watch(&mut observer, |more| closed(more) >= missing));
    let seen = sockets(&events);
    for role in [SocketRole::Source, SocketRole::Destination] {
        for phase in [SocketPhase::Open, SocketPhase::Closed] {
            let ids: BTreeSet<u64> = seen
                .iter()
                .filter(|event| event.role == role && event.phase == phase)
                .map(|event| event.id)
                .collect();
            assert_eq!(ids.len(), 4 * STORM, "{role:?} {phase:?}");
        }
    }
    let account = account(&observer, "tcp_state");
    assert_eq!((account.dropped, account.produced), (0, 20 * u64::try_from(STORM).unwrap()));
}

#[test]
fn a_ring_that_is_too_small_loses_and_says_how_much() {
    let scene = Scene::new();
    let mut options = scene.options();
    options.ring_bytes = 4096;
    let mut observer = Observer::start(options).unwrap();
    // Nobody polls while it runs.
    scene
        .run("act serve 127.0.0.1:7401 200 & ready ready; act connect 127.0.0.1:7401 1 200; wait")
        .end();
    let (events, _) = watch_out(&mut observer, scene.run("true"));
    let account = account(&observer, "tcp_state");
    assert!(account.dropped > 900 && account.delivered > 0, "{account:?}");
    assert_eq!(account.produced, 1000);
    assert!(events.iter().any(|event| matches!(event, Event::Socket(_))));
}

#[test]
fn a_folder_that_is_no_cgroup_is_refused_by_name() {
    let options = sekisho_observe::ObserverOptions::new("/tmp".into());
    let error = Observer::start(options).unwrap_err();
    assert!(matches!(error, StartError::Cgroup { .. }));
    assert!(error.to_string().contains("`/tmp` is not a folder of a cgroup v2"), "{error}");
}
