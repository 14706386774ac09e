//! What `sekisho apply` does with connections that were there before the policy.

use std::time::Duration;

use sekisho_system::wait;
use serde_json::Value;

use crate::run::{Answer, LabProcess};

const PATIENCE: Duration = Duration::from_secs(60);
/// Calls that show that a connection goes on.
const CALLS: u64 = 10;

const KUBE_DNS: &str = include_str!("../../../lab/scenarios/shop/kube-system.yaml");
const MANIFEST: &str = include_str!("established/manifest.yaml");
const POLICY: &str = include_str!("established/policy.yaml");
const TIER: &str = include_str!("established/tier.yaml");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calls {
    ok: u64,
    errors: u64,
}

/// How often `pod` called the server, by its own count.
fn calls(lab: &LabProcess, pod: &str) -> Calls {
    let target = format!("kept/{pod}");
    let metrics = "http://127.0.0.1:9102/metrics";
    let answer = lab.lab(&["exec", &target, "--", "sekisho", "workload", "get", metrics]);
    let count = |result: &str| -> u64 {
        let lines = answer.out.lines().filter(|line| {
            line.starts_with("sekisho_workload_calls_total{") && line.contains(result)
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    Calls { ok: count("result=\"ok\""), errors: count("result=\"error\"") }
}

/// Waits until `pod` called the server [`CALLS`] times more; no call may fail.
#[track_caller]
fn goes_on(lab: &LabProcess, pod: &str) {
    let before = calls(lab, pod);
    let now = wait::until(PATIENCE, || {
        let now = calls(lab, pod);
        (now.ok >= before.ok + CALLS || now.errors != before.errors).then_some(now)
    });
    let now = now.unwrap_or_else(|| panic!("{pod} stands still: {before:?}"));
    assert_eq!(now.errors, before.errors, "{pod}: {before:?}, now {now:?}");
}

/// Sums a figure over all nodes of an answer to apply.
fn sum(answer: &Value, figure: &str) -> u64 {
    let by_node = answer["established"].as_object().unwrap();
    assert!(by_node.len() >= 2, "each agent answers: {answer:#}");
    by_node.values().map(|found| found[figure].as_u64().unwrap()).sum()
}

#[test]
fn a_denied_connection_goes_on_until_apply_cuts_it_and_an_allowed_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let manifests = [file("kube-system.yaml", KUBE_DNS), file("kept.yaml", MANIFEST)];
    let policy = file("policy.yaml", POLICY);
    let lab = LabProcess::up_with(folder.path(), &manifests);
    let called = |pod: &str| (calls(&lab, pod).ok >= CALLS).then_some(());
    for pod in ["friend", "stranger"] {
        assert!(wait::until(PATIENCE, || called(pod)).is_some(), "{:?}", calls(&lab, pod));
    }
    // History knows that the stranger's connection works: one edge may be blocked.
    let apply = |more: &[&str]| -> Answer {
        let all = ["apply", "-f", &policy, "--max-would-block", "1"];
        lab.ask(&[&all[..], more].concat()).with_code(0)
    };

    let answer = apply(&["-o", "json"]).json();
    assert_eq!((sum(&answer, "denied"), sum(&answer, "cut")), (1, 0), "{answer:#}");
    goes_on(&lab, "stranger");
    goes_on(&lab, "friend");
    let text = apply(&[]).out;
    assert!(
        text.contains("1 established connection that it denies goes on until it ends"),
        "{text}"
    );
    assert!(text.contains("--cut"), "{text}");
    goes_on(&lab, "stranger");

    let friend = calls(&lab, "friend");
    let answer = apply(&["--cut", "-o", "json"]).json();
    assert_eq!((sum(&answer, "denied"), sum(&answer, "cut")), (1, 1), "{answer:#}");
    let before = calls(&lab, "stranger");
    let after = wait::until(PATIENCE, || {
        let now = calls(&lab, "stranger");
        (now.errors >= before.errors + 2).then_some(now)
    });
    assert_eq!(after.map(|now| now.ok), Some(before.ok), "{:?}", calls(&lab, "stranger"));
    goes_on(&lab, "friend");
    assert_eq!(calls(&lab, "friend").errors, friend.errors, "the allowed connection was hurt");

    let text = apply(&["--cut"]).out;
    assert!(text.contains("No established connection is denied: none was ended."), "{text}");
    goes_on(&lab, "friend");
    lab.ask(&["rollback", "0"]).with_code(0);
    let back = calls(&lab, "stranger").ok + CALLS;
    let works = wait::until(PATIENCE, || (calls(&lab, "stranger").ok >= back).then_some(()));
    assert!(works.is_some(), "{:?}", calls(&lab, "stranger"));

    a_tier_decides_before_what_a_team_allows(&lab, &file("tier.yaml", TIER));
    lab.down();
}

/// The deny of an Admin tier comes into force on the nodes, against a NetworkPolicy that allows;
/// and what a datapath can't enforce is refused as a whole unless part of it is asked for.
fn a_tier_decides_before_what_a_team_allows(lab: &LabProcess, policies: &str) {
    let all = ["apply", "-f", policies, "--max-would-block", "1", "--cut"];
    let refused = lab.ask(&all);
    assert_ne!(refused.code, 0, "{}", refused.out);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(said.contains("updates.example.com") && said.contains("--allow-partial"), "{said}");
    for pod in ["friend", "stranger"] {
        goes_on(lab, pod);
    }
    let friend = calls(lab, "friend");
    lab.ask(&[&all[..], &["--allow-partial"]].concat()).with_code(0);
    let before = calls(lab, "stranger");
    let after = wait::until(PATIENCE, || {
        let now = calls(lab, "stranger");
        (now.errors >= before.errors + 2).then_some(now)
    });
    assert_eq!(after.map(|now| now.ok), Some(before.ok), "{:?}", calls(lab, "stranger"));
    goes_on(lab, "friend");
    assert_eq!(calls(lab, "friend").errors, friend.errors, "the tier leaves others alone");
    let denied = lab.ask(&["observe", "--verdict", "denied", "--last", "5", "-o", "json"]);
    let line = denied.out.lines().find(|line| line.contains("no-strangers"));
    assert!(line.is_some(), "the tier's policy is named:\n{}{}", denied.out, denied.err);
}
