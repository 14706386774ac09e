//! What is changed over HTTP is in force, and in the audit log.

use serde_json::{Value, json};

use super::http::Web;

fn policy(port: u16) -> Value {
    let text = format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: db, namespace: \
         shop}}, spec: {{podSelector: {{matchLabels: {{app: db}}}}, ingress: [{{ports: [{{port: \
         {port}}}]}}]}}}}"
    );
    json!({ "files": [{ "name": "db.yaml", "text": text }], "since": "1h" })
}

#[test]
fn policies_that_would_block_are_refused_and_those_that_would_not_come_into_force() {
    let web = Web::start();
    let obeyed = || ["node-a", "node-b"].iter().for_each(|node| web.served.obey(node));
    let wrong = web.post("/what-if", &policy(22)).with_status(200).json();
    assert_eq!((&wrong["verified"], &wrong["summary"]["would_block"]), (&json!(false), &json!(8)));
    let right = web.post("/what-if", &policy(5432)).with_status(200).json();
    assert_eq!((&right["verified"], &right["summary"]["would_block"]), (&json!(true), &json!(0)));
    assert_eq!(web.get("/policies").json(), json!([]), "what-if changes nothing");

    obeyed();
    let refused = web.post("/apply", &policy(22)).with_status(200).json();
    assert_eq!(refused["revision"], Value::Null);
    obeyed();
    let applied = web.post("/apply", &policy(5432)).with_status(200).json();
    assert_eq!(applied["revision"], 1);
    let in_force = web.get("/policies").json();
    assert_eq!((&in_force[0]["name"], &in_force[0]["state"]), (&json!("db"), &json!("enforced")));
    assert!(in_force[0]["yaml"].as_str().unwrap().contains("port: 5432"));
    let workload = web.get("/workload?id=shop%2Fdb%5BPod%5D&since=1h").json();
    assert_eq!(workload["state"], "enforced");
    assert_eq!(workload["policies"][0]["directions"], json!(["ingress"]));
    let summary = web.get("/summary?since=1h").json();
    assert_eq!(
        summary["workloads"],
        json!({"total": 9, "no_policy": 8, "staged": 0, "enforced": 1})
    );

    obeyed();
    assert_eq!(
        web.post("/rollback", &json!({ "revision": 0 })).with_status(200).json()["revision"],
        2
    );
    assert_eq!(web.get("/policies?cluster=default").json(), json!([]));
    let revisions = web.get("/revisions").json();
    assert_eq!((&revisions[0]["restores"], &revisions[1]["operator"]), (&json!(0), &json!("root")));
}

#[test]
fn a_policy_whose_window_is_over_is_told_and_one_whose_window_is_open_is_not() {
    let web = Web::start();
    for (ends, told) in [("2020-01-01T00:00:00Z", true), ("2200-01-01T00:00:00Z", false)] {
        let mut files = policy(5432);
        let text = files["files"][0]["text"].as_str().unwrap();
        let annotated =
            format!("namespace: shop, annotations: {{sekisho.dev/expires-at: '{ends}'}}}}");
        files["files"][0]["text"] = json!(text.replace("namespace: shop}", &annotated));
        ["node-a", "node-b"].iter().for_each(|node| web.served.obey(node));
        web.post("/apply", &files).with_status(200);
        let problems = web.get("/status").json()["problems"].to_string();
        let expected = "policy `shop/db` ended at 2020-01-01T00:00:00.000Z and is still in force";
        assert_eq!(problems.contains(expected), told, "{problems}");
    }
}

#[test]
fn each_change_and_each_denied_call_is_in_the_audit_log_also_after_a_restart() {
    let mut web = Web::start();
    let viewer = web.make_token(&["viewer"]);
    web.by(&viewer, ("POST", "/apply"), "{}").with_status(403);
    web.post("/apply", &policy(22)).with_status(200);
    web.served.ask(&["rollback", "0"]);
    let told = |web: &Web| -> Vec<(String, String, String)> {
        let text = web.served.ask(&["audit", "-o", "json"]).with_code(0).out;
        let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let word = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        entries
            .map(|one| (word(&one, "who"), word(&one, "action"), word(&one, "outcome")))
            .collect()
    };
    let has = |all: &[(String, String, String)], who: &str, action: &str, outcome: &str| {
        let wanted = (who.to_owned(), action.to_owned(), outcome.to_owned());
        assert!(all.contains(&wanted), "{wanted:?} in {all:#?}");
    };
    let before = told(&web);
    has(&before, "viewer", "POST /api/v1/apply", "denied");
    has(&before, "root", "apply", "begun");
    has(&before, "root", "apply", "refused");
    assert!(before.iter().any(|(_, action, outcome)| action == "rollback" && outcome == "done"));
    assert_eq!(before.iter().filter(|(_, action, _)| action == "create_token").count(), 4);
    assert!(web.served.stop().success());
    web.served.up();
    assert_eq!(told(&web), before);
}
