//! Files of flows that are handed in over HTTP: each counts once, whatever happens.

use std::time::Duration;

use sekisho_system::wait;
use serde_json::Value;

use super::http::{Reply, Web};
use crate::import::flows;

/// Connections of the four calls of the file, where `flows` is asked for `N` of each.
const CALLS: u64 = 4;
const READ_WAIT: Duration = Duration::from_secs(120);

/// Hands a file in as an operator.
fn hand(web: &Web, name: &str, text: &str) -> Reply {
    web.by(&web.token, ("POST", &format!("/imports?name={name}")), text)
}

/// What became of the file handed in last, once it is over.
#[track_caller]
fn over(web: &Web) -> Value {
    let told = wait::until(READ_WAIT, || {
        let all = web.get("/imports").with_status(200).json();
        let is_over = ["done", "failed"].contains(&all[0]["state"].as_str()?);
        is_over.then(|| all[0].clone())
    });
    told.unwrap_or_else(|| panic!("{:?}", web.get("/imports")))
}

/// Connections of the file's workloads in history.
fn connections(web: &Web) -> u64 {
    let map = web.get("/map?from=2025-11-23T12:00:00Z&to=2025-11-23T14:00:00Z").with_status(200);
    let map = map.json();
    let edges = map["edges"].as_array().unwrap().iter();
    edges.filter_map(|edge| edge["connections"].as_u64()).sum()
}

/// Waits until the map has so many: it may be that of a moment ago.
#[track_caller]
fn counts(web: &Web, wanted: u64) {
    let found = wait::until(READ_WAIT, || (connections(web) == wanted).then_some(()));
    assert!(found.is_some(), "{} of {wanted}", connections(web));
}

#[test]
fn a_file_is_read_into_history_once_and_says_what_it_held() {
    let web = Web::start();
    let text = flows(50) + "this is no flow\n";
    let taken = hand(&web, "monday.json", &text).with_status(202).json();
    assert_eq!((&taken["name"], &taken["format"]), (&"monday.json".into(), &"hubble".into()));
    let told = over(&web);
    assert_eq!((&told["state"], &told["connections"]), (&"done".into(), &(50 * CALLS).into()));
    assert_eq!((&told["rejected"], &told["by"]), (&1.into(), &"root".into()));
    assert!(told["reasons"][0]["sample"].as_str().unwrap().contains("this is no flow"), "{told}");
    assert_eq!(told["from"], "2025-11-23T12:00:00.000Z");
    counts(&web, 50 * CALLS);
    // The same bytes under another name are the same file.
    let again = hand(&web, "tuesday.json", &text).with_status(202).json();
    assert_eq!((&again["name"], &again["state"]), (&"monday.json".into(), &"done".into()));
    counts(&web, 50 * CALLS);
    // Others are not.
    hand(&web, "more.json", &flows(7)).with_status(202);
    assert_eq!(over(&web)["state"], "done");
    counts(&web, 57 * CALLS);
    let audit = web.get("/audit").json();
    let entries = audit["entries"].as_array().unwrap();
    let handed = entries.iter().filter(|one| one["action"] == "import");
    assert_eq!(handed.map(|one| &one["detail"]).collect::<Vec<_>>().len(), 3, "{audit}");
}

#[test]
fn what_is_no_file_of_flows_is_refused_and_not_kept() {
    let web = Web::start();
    for text in ["", "hello\n", "\u{0}\u{1}\u{2}\u{3}"] {
        let refused = hand(&web, "a", text).with_status(400).json();
        assert_eq!(refused["code"], "invalid");
    }
    let wrong = web.by(&web.token, ("POST", "/imports?name=a&format=nothing"), &flows(1));
    assert!(wrong.with_status(400).json()["detail"].as_str().unwrap().contains("format"));
    web.by(&web.token, ("POST", "/imports"), &flows(1)).with_status(400);
    assert_eq!(web.get("/imports").json(), Value::Array(Vec::new()));
    let part = web.served.folder.path().join("data/uploads");
    assert_eq!(std::fs::read_dir(part).unwrap().count(), 0, "nothing is left");
}

#[test]
fn only_operators_of_all_namespaces_change_history() {
    let web = Web::start();
    let author = web.make_token(&["author", "--role", "author"]);
    let of_shop = web.make_token(&["of-shop", "--role", "operator", "--namespace", "shop"]);
    for token in [&author, &of_shop] {
        web.by(token, ("POST", "/imports?name=a"), &flows(1)).with_status(403);
        web.by(token, ("GET", "/imports"), "").with_status(403);
    }
    web.by("skt_wrong", ("POST", "/imports?name=a"), &flows(1)).with_status(401);
    counts(&web, 0);
    hand(&web, "a", &flows(1)).with_status(202);
    assert_eq!(over(&web)["state"], "done");
    counts(&web, CALLS);
}

#[test]
fn a_file_counts_once_although_the_server_is_killed_while_it_reads() {
    const EACH: usize = 30_000;
    let mut web = Web::start();
    let text = flows(EACH);
    hand(&web, "large.json", &text).with_status(202);
    let mut kills = 0;
    for share in 1..=4_u64 {
        // In the middle: some of it is in history, and some is not.
        let wanted = share * EACH as u64 * CALLS / 6;
        let is_there = wait::until(READ_WAIT, || {
            let one = web.get("/imports").json()[0].clone();
            let read = one["records"].as_u64().unwrap_or(0);
            (read >= wanted || one["state"] == "done").then_some(one["state"] != "done")
        });
        kills += u64::from(is_there.unwrap());
        web.kill_and_restart();
    }
    assert!(kills > 0, "it was always read before it was killed: nothing was tested");
    let told = over(&web);
    assert_eq!((&told["state"], &told["problem"]), (&"done".into(), &"".into()));
    assert_eq!(told["connections"], EACH as u64 * CALLS);
    counts(&web, EACH as u64 * CALLS);
    let again = hand(&web, "large.json", &text).with_status(202).json();
    assert_eq!(again["state"], "done");
}
