//! Reports and hits of rules, as auditors and operators ask for them.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Reply, Web};
use crate::run::run;

/// Lets the clients 0 and 1 into the database, one of them twice, and a client that there is not.
const POLICY: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db, \
    namespace: shop, annotations: {sekisho.dev/expires-at: '2100-01-01T00:00:00Z'}}, spec: \
    {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: \
    client-0}}}], ports: [{port: 5432}]}, {from: [{podSelector: {matchExpressions: [{key: app, \
    operator: In, values: [client-0, client-1]}]}}]}, {from: [{podSelector: {matchLabels: {app: \
    nobody}}}]}, {from: [{podSelector: {matchLabels: {app: client-2}}}], ports: [{port: 80}]}]}}";

/// A server that enforces the policy, although six clients are denied by it.
fn enforced() -> Web {
    let web = Web::start();
    ["node-a", "node-b"].iter().for_each(|node| web.served.obey(node));
    let files = json!({
        "files": [{ "name": "db.yaml", "text": POLICY }], "since": "all", "max_would_block": 6
    });
    let applied = web.post("/apply", &files).with_status(200).json();
    assert_eq!(applied["revision"], 1, "{applied:#}");
    web
}

/// The part of a report that the digest is of, as it was sent.
fn data(reply: &Reply) -> &str {
    let (_, rest) = reply.body.split_once("\"data\":").expect("a report has data");
    rest.strip_suffix('}').expect("nothing comes after it")
}

#[test]
fn each_rule_tells_what_it_let_through_and_what_would_be_without_it() {
    let web = enforced();
    let hits = web.get("/policies/rules?since=all").with_status(200).json();
    assert_eq!((&hits["connections"], &hits["completeness"]), (&json!(80), &json!(1.0)));
    let [policy] = hits["policies"].as_array().unwrap().as_slice() else { panic!("{hits:#}") };
    assert_eq!((&policy["name"], &policy["workloads"]), (&json!("db"), &json!(1)));
    let of = |index: usize| {
        let rule = &policy["rules"][index];
        let number = |name: &str| rule[name].as_u64().unwrap();
        (number("connections"), number("alone"), rule["effect"].as_str().unwrap())
    };
    assert_eq!(of(0), (10, 0, "shadowed"));
    assert_eq!(of(1), (20, 10, "needed"));
    assert_eq!(of(2), (0, 0, "matches_nothing"));
    assert_eq!(of(3), (0, 0, "needed"), "unused, and it would let somebody in");
    assert_eq!(policy["rules"][3]["unused"], true);
    let by = &policy["rules"][0]["shadowed_by"];
    assert_eq!((&by[0]["name"], &by[0]["index"]), (&json!("db"), &json!(1)), "{by}");
    assert_eq!(policy["isolates"][0]["connections"], 60, "six clients are let in by no rule");
    assert_eq!(policy["rules"][1]["most"][0]["destination"], "shop/db[Pod]");
    // What the command line says of the same folder and of the server.
    let told = web.served.ask(&["policy", "hits"]).with_code(0).out;
    assert!(told.contains("nothing: db ingress[1]"), "{told}");
    let folder = web.served.data.to_str().unwrap().to_owned();
    let offline = run(&["policy", "hits", "-o", "json", "--store", &folder]).json();
    assert_eq!(offline["policies"][0]["rules"][1]["connections"], 20, "{offline:#}");
    let unused = web.served.ask(&["policy", "hits", "--unused"]).with_code(1).out;
    let told = |rule: &str| unused.contains(&format!("enforced  {rule} "));
    assert_eq!(
        ["ingress[1]", "ingress[2]", "ingress -"].map(told),
        [false, true, false],
        "{unused}"
    );
}

#[test]
fn a_policy_says_who_put_it_in_force_as_it_is_and_when_it_ends() {
    let web = enforced();
    let policy = |web: &Web| web.get("/policies").with_status(200).json()[0].clone();
    let first = policy(&web);
    assert_eq!(first["approved"]["revision"], 1);
    assert_eq!(first["approved"]["operator"], "root");
    assert_eq!(first["expires"], "2100-01-01T00:00:00.000Z");
    assert_eq!(first["drift"], Value::Null);
    let bob = web.make_token(&["bob", "--role", "operator"]);
    let again = |text: String| {
        ["node-a", "node-b"].iter().for_each(|node| web.served.obey(node));
        let files = json!({
            "files": [{ "name": "db.yaml", "text": text }], "since": "1h", "max_would_block": 8
        });
        web.by(&bob, ("POST", "/apply"), &files.to_string()).with_status(200);
    };
    again(format!("\n\n{POLICY}"));
    assert_eq!(policy(&web)["approved"]["operator"], "root", "bob changed nothing of it");
    again(POLICY.replace("port: 80}", "port: 81}"));
    assert_eq!(policy(&web)["approved"]["operator"], "bob");
}

#[test]
fn segmentation_counts_workloads_and_connections_by_what_policies_say() {
    let web = enforced();
    let reply = web.get("/reports/segmentation?since=all").with_status(200);
    let report = reply.json();
    let totals = &report["data"]["totals"];
    assert_eq!(totals["workloads"], 9);
    assert_eq!(totals["ingress"], json!({ "no_policy": 8, "staged": 0, "enforced": 1 }));
    assert_eq!(totals["egress"], json!({ "no_policy": 9, "staged": 0, "enforced": 0 }));
    assert_eq!(
        (&totals["connections"]["total"], &totals["connections"]["covered"]),
        (&json!(80), &json!(80))
    );
    assert_eq!(report["data"]["namespaces"][0]["namespace"], "shop");
    assert_eq!(report["data"]["namespaces"][0]["connections"], 80, "both ends are in it: once");
    let head = &report["head"];
    assert_eq!((&head["by"], &head["revision"]), (&json!("root"), &json!(1)));
    let before = Web::start().get("/reports/segmentation").with_status(200).json();
    assert_eq!(before["data"]["totals"]["connections"]["covered"], 0);
}

#[test]
fn evidence_names_the_rule_that_decides_each_edge_and_its_digest_is_that_of_the_data() {
    let web = enforced();
    let ask = |query: &str| web.get(&format!("/reports/connectivity?since=all{query}"));
    let reply = ask("").with_status(200);
    let report = reply.json();
    let edges = report["data"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 8);
    let of = |client: &str| {
        let own = format!("shop/{client}[Pod]");
        edges.iter().find(|edge| edge["source"] == own.as_str()).unwrap()
    };
    let rules = |client: &str| -> Vec<Value> {
        let all = of(client)["decided_by"].as_array().unwrap().iter();
        all.map(|one| one["rule"].clone()).collect()
    };
    assert_eq!(rules("client-0"), [0, 1]);
    assert_eq!(rules("client-1"), [1]);
    assert_eq!(rules("client-7"), [Value::Null], "the policy as a whole");
    assert_eq!(
        (&of("client-1")["allowed_now"], &of("client-7")["denied_now"]),
        (&json!(10), &json!(10))
    );
    assert_eq!(of("client-0")["processes"], json!([["/usr/bin/client", "/usr/bin/db"]]));
    let digest: String =
        Sha256::digest(data(&reply)).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(report["head"]["sha256"], digest.as_str());
    assert_eq!(
        ask("").json()["head"]["sha256"],
        digest.as_str(),
        "the same question, the same data"
    );
    let within = ask("&within=shop%2Fclient-1%5BPod%5D").with_status(200).json();
    assert_eq!(within["data"]["edges_total"], 1);
    assert_ne!(within["head"]["sha256"], digest.as_str());
    assert_eq!(ask("&namespace=bank").json()["data"]["edges_total"], 0);
}

#[test]
fn a_document_is_one_file_that_runs_nothing_and_a_table_is_taken_along() {
    let web = enforced();
    for (lang, word) in [("en", "Connectivity evidence"), ("ja", "通信の証跡")] {
        let path = format!("/reports/connectivity?since=all&format=html&lang={lang}");
        let reply = web.get(&path).with_status(200);
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let text = &reply.body;
        assert!(text.contains(&format!("<html lang=\"{lang}\">")) && text.contains(word));
        assert!(text.contains("shop/client-7[Pod]") && text.contains("shop/db ingress[1]"));
        for never in ["<script", " src=", " href=", "onload", "style=\""] {
            assert!(!text.contains(never), "{never}");
        }
    }
    let reply = web.get("/reports/connectivity?since=all&format=csv").with_status(200);
    let disposition = reply.header("content-disposition").unwrap();
    assert_eq!(disposition, "attachment; filename=\"sekisho-connectivity.csv\"");
    let lines: Vec<&str> = reply.body.split("\r\n").collect();
    let head = lines.iter().position(|line| line.starts_with("From,To,Port")).expect("a head");
    assert_eq!(lines.len() - head, 10, "eight edges, and the end of the last line");
    let text = web.get("/reports/segmentation?format=pdf").with_status(400).body;
    assert!(text.contains("json, csv, html"), "{text}");
    web.get("/reports/segmentation?within=shop%5BNamespace%5D").with_status(400);
}

#[test]
fn changes_tell_what_is_new_and_revisions_and_calls_to_who_may_see_them() {
    let web = enforced();
    let viewer = web.make_token(&["viewer"]);
    let own = web.make_token(&["own", "--role", "operator", "-n", "shop"]);
    let other = web.make_token(&["other", "--role", "operator", "-n", "bank"]);
    let by = |token: &str| {
        web.by(token, ("GET", "/reports/changes?since=1h"), "").with_status(200).json()["data"]
            .clone()
    };
    let all = by(&web.token);
    assert_eq!((&all["new_total"], &all["gone_total"]), (&json!(8), &json!(0)), "{all:#}");
    let head = web.get("/reports/changes?since=1h").json()["head"].clone();
    let complete = (&head["completeness"], &head["earlier_completeness"]);
    assert_eq!(complete, (&json!(1.0), &json!(0.0)), "nobody watched in the hour before");
    assert_eq!(all["revisions"][0]["operator"], "root");
    assert_eq!(all["images_total"], 0, "the pods were there before");
    let calls = all["calls"].as_array().unwrap();
    assert!(calls.iter().any(|call| call["action"] == "apply" && call["outcome"] == "done"));
    let viewer = by(&viewer);
    assert_eq!((&viewer["revisions"][0]["revision"], &viewer["calls"]), (&json!(1), &Value::Null));
    let own = by(&own);
    assert_eq!(
        (&own["new_total"], &own["revisions"], &own["calls"]),
        (&json!(8), &Value::Null, &Value::Null)
    );
    assert_eq!(by(&other)["new_total"], 0);
    for kind in ["segmentation", "connectivity", "changes"] {
        for format in ["json", "csv", "html"] {
            let path = format!("/reports/{kind}?since=1h&format={format}");
            let text = web.by(&other, ("GET", &path), "").with_status(200).body;
            assert!(!text.contains("client-0"), "{path} tells what is not theirs");
            web.raw(("GET", &format!("/api/v1{path}")), &[], "").with_status(401);
        }
    }
    let rules = web.by(&other, ("GET", "/policies/rules"), "").with_status(200).json();
    assert_eq!((&rules["policies"], &rules["connections"]), (&json!([]), &json!(0)));
}

#[test]
fn the_command_line_tells_the_same_reports() {
    let web = enforced();
    let ask = |words: &[&str]| web.served.ask(&[&["report"], words].concat()).with_code(0).out;
    let json: Value =
        serde_json::from_str(&ask(&["connectivity", "--since", "all", "-o", "json"])).unwrap();
    let asked = web.get("/reports/connectivity?since=all").json();
    assert_eq!(json["data"], asked["data"]);
    assert_eq!(json["head"]["sha256"], asked["head"]["sha256"]);
    let table = ask(&["segmentation", "--since", "all"]);
    assert!(table.contains("Ingress enforced") && table.contains("shop/db[Pod]"), "{table}");
    // Nobody watched in the hour before: what is new may be old.
    let changes =
        web.served.ask(&["report", "changes", "--since", "1h", "-n", "shop"]).with_code(3);
    assert!(
        changes.out.contains("New edges") && changes.out.contains("client-7"),
        "{}",
        changes.out
    );
    assert!(ask(&["changes", "--since", "1h", "--lang", "ja", "-o", "html"]).contains("監査ログ"));
    let wrong = web.served.ask(&["report", "segmentation", "--within", "shop[Namespace]"]);
    assert!(wrong.with_code(2).err.contains("parameter `within`"));
}
