//! Webhooks that have something to say about our policies: who refused and why is told, nothing is
//! half done without being named, and what is half done is put right.

use serde_json::{Value, json};

use crate::bad_applies::{ports, stored};
use crate::cluster::Cluster;
use crate::gate::{Gate, Verdict};
use crate::server::{Server, policies};

const NATIVE: &str = "enforcement = 'native'\ndrift_check_s = 1";

fn start(cluster: &Cluster) -> Server {
    Server::start(&cluster.file("admin.kubeconfig"), NATIVE)
}

/// Whether the API server only tries.
fn dry(request: &Value) -> bool {
    request["dryRun"] == true
}

fn name(request: &Value) -> &str {
    request["name"].as_str().unwrap_or_default()
}

#[test]
fn what_a_webhook_rejects_is_told_in_its_words_and_the_rest_is_not_applied_without_it() {
    let cluster = Cluster::find();
    let space = cluster.namespace("hook-rejects");
    let ns = space.name.as_str();
    let server = start(&cluster);
    let gate = Gate::new(&cluster, "validating", ns);
    gate.judge(|request| match &request["object"]["spec"]["ingress"][0]["ports"][0]["port"] {
        port if *port == 6_666 => Verdict::Deny("port 6666 is closed by the network team".into()),
        _ => Verdict::Allow,
    });
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 80), &[]);
    assert_eq!(code, 0, "what it allows is applied: {text}");
    let before = stored(&cluster, ns);
    let both = |port| format!("{}---\n{}", policies(ns, &["a"], 81), policies(ns, &["b"], port));
    let (code, text) = server.apply(&both(6_666), &[]);
    assert_eq!(code, 1, "{text}");
    let object = format!("NetworkPolicy {ns}/b");
    for words in [
        "gate.example.com",
        "port 6666 is closed by the network team",
        &object,
        "nothing was changed",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("HALF") && !text.contains(&format!("{ns}/a:")), "{text}");
    assert_eq!(stored(&cluster, ns), before);
    let (code, text) = server.apply(&both(82), &[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(ports(&cluster, ns), "a=81 b=82");
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}

#[test]
fn what_a_webhook_rejects_only_in_earnest_is_taken_back_as_a_whole() {
    let cluster = Cluster::find();
    let space = cluster.namespace("hook-earnest");
    let ns = space.name.as_str();
    let server = start(&cluster);
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 80), &[]);
    assert_eq!(code, 0, "{text}");
    let gate = Gate::new(&cluster, "validating", ns);
    gate.judge(|request| match (dry(request), name(request)) {
        (false, "b") => Verdict::Deny("not on a Friday".into()),
        _ => Verdict::Allow,
    });
    let next = policies(ns, &["a", "b", "c"], 81);
    let (code, text) = server.apply(&next, &[]);
    assert_eq!(code, 1, "{text}");
    for words in ["not on a Friday", "taken back", "what was in force still is"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("HALF"), "{text}");
    assert_eq!(ports(&cluster, ns), "a=80 b=80");
    server.well();
    gate.judge(|_request| Verdict::Allow);
    let (code, text) = server.apply(&next, &[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(ports(&cluster, ns), "a=81 b=81 c=81");
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}

#[test]
fn what_could_not_be_taken_back_is_named_and_put_right_by_a_repair() {
    let cluster = Cluster::find();
    let space = cluster.namespace("hook-half");
    let ns = space.name.as_str();
    let server = start(&cluster);
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 80), &[]);
    assert_eq!(code, 0, "{text}");
    let gate = Gate::new(&cluster, "validating", ns);
    // It rejects `b`, and from then on everything.
    let mut shut = false;
    gate.judge(move |request| {
        shut |= !dry(request) && name(request) == "b";
        match shut {
            true => Verdict::Deny("shut for today".into()),
            false => Verdict::Allow,
        }
    });
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 81), &[]);
    assert_eq!(code, 3, "{text}");
    let left = format!("NetworkPolicy {ns}/a");
    let half = "HALF APPLIED: these objects could not be taken back";
    for words in ["shut for today", half, &left, "rollback --repair"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(ports(&cluster, ns), "a=81 b=80", "as it says");
    let status = server.until("the drift is seen", |status| {
        status["native"]["drift"].as_array().is_some_and(|all| all.len() == 1)
    });
    assert!(status["native"]["drift"][0]["object"].as_str().unwrap().ends_with("/a"), "{status}");
    assert_eq!(status["revision"], 1, "what is in force is still the first one");
    assert_eq!(server.run(&["status"]).0, 3);

    // As long as it is shut a repair can't help, and says so.
    let (code, text) = server.run(&["rollback", "--repair"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("shut for today") && text.contains("nothing was changed"), "{text}");
    gate.judge(|_request| Verdict::Allow);
    let (code, text) = server.run(&["rollback", "--repair"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(ports(&cluster, ns), "a=80 b=80");
    server.well();
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
    assert_eq!(ports(&cluster, ns), "");
}

#[test]
fn a_policy_that_a_webhook_would_change_is_not_applied_and_one_that_it_only_marks_is() {
    let cluster = Cluster::find();
    let space = cluster.namespace("hook-changes");
    let ns = space.name.as_str();
    let server = start(&cluster);
    let gate = Gate::new(&cluster, "mutating", ns);
    let mark =
        json!({"op": "add", "path": "/metadata/labels/team.example.com~1seen", "value": "yes"});
    let marked = json!([mark]);
    gate.judge(move |_request| Verdict::Change(marked.clone()));
    let (code, text) = server.apply(&policies(ns, &["a"], 80), &[]);
    assert_eq!(code, 0, "{text}");
    let labels = cluster.get(&["netpol", "a", "-n", ns]);
    assert_eq!(labels["metadata"]["labels"]["team.example.com/seen"], "yes", "{labels}");
    server.well();
    let before = stored(&cluster, ns);
    let port = json!([{"op": "replace", "path": "/spec/ingress/0/ports/0/port", "value": 9_999}]);
    gate.judge(move |_request| Verdict::Change(port.clone()));
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 81), &[]);
    assert_eq!(code, 1, "{text}");
    for words in
        ["something else than was verified", "spec", "mutating webhook", "nothing was changed"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(stored(&cluster, ns), before);
    drop(gate);
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}
