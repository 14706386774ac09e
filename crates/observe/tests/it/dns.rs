//! DNS answers, read from packets.

use std::net::IpAddr;

use sekisho_model::{DnsAnswer, Event};
use sekisho_observe::Observer;

use crate::scene::{Scene, account, watch_out};

#[test]
fn a_dns_answer_is_read_and_its_asker_known() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let running = scene.run("act dns-serve 1 & ready ready; act dns-ask Pay.Example.test; wait");
    let (events, _) = watch_out(&mut observer, running);
    let answers: Vec<&DnsAnswer> = events
        .iter()
        .filter_map(|event| match event {
            Event::Dns(answer) => Some(answer),
            _ => None,
        })
        .collect();
    let [answer] = answers[..] else { panic!("{answers:#?}") };
    assert_eq!(answer.name, "pay.example.test");
    assert_eq!(answer.addresses, ["192.0.2.55".parse::<IpAddr>().unwrap()]);
    assert_eq!((answer.ttl_s, answer.truncated), (77, false));
    assert_eq!(answer.cgroup, scene.path());
    assert_eq!(account(&observer, "dns").produced, 1);
}
