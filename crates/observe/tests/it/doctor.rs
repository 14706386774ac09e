//! The doctor's word against what works.

use sekisho_observe::{Observer, TierStatus, doctor};

use crate::scene::Scene;

#[test]
fn the_doctor_finds_ok_what_the_observer_then_uses() {
    let tiers = doctor();
    let scene = Scene::new();
    let observer = Observer::start(scene.options()).unwrap();
    for area in ["tcp", "udp", "dns", "process", "drops"] {
        let said = tiers.iter().find(|tier| tier.area == area).unwrap();
        let used = observer.tiers().into_iter().find(|tier| tier.area == area).unwrap();
        assert_eq!(
            (said.status, used.status),
            (TierStatus::Ok, TierStatus::Ok),
            "{said:?} {used:?}"
        );
    }
    for tier in tiers.iter().filter(|tier| tier.status != TierStatus::Ok) {
        assert!(!tier.reason.is_empty() && !tier.remedy.is_empty(), "{tier:?}");
    }
}

#[test]
fn without_root_the_doctor_answers_and_the_observer_refuses_in_one_line() {
    let scene = Scene::new();
    let reply = scene
        .run(&format!(
            "export SEKISHO_ACT='doctor {}'; setpriv --bounding-set -all --inh-caps -all \
             $EXE --exact actor::act --nocapture -q",
            scene.cgroup.display()
        ))
        .end();
    assert!(reply.contains("privileges missing this process lacks CAP_BPF"), "{reply}");
    assert!(reply.contains("start: observing needs root, or CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"));
}
