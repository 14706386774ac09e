//! Every answer of the API is as the OpenAPI document says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::http::Web;
use super::schema::check;

const POLICY: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db, \
                      namespace: shop}, spec: {podSelector: {matchLabels: {app: db}}, ingress: \
                      [{ports: [{port: 5432}]}]}}";

/// The document, and what of it was asked.
struct Document {
    openapi: Value,
    asked: BTreeSet<String>,
}

impl Document {
    /// Holds an answer to `method path` against its schema.
    #[track_caller]
    fn holds(&mut self, (method, path): (&str, &str), answer: &Value) {
        let all = &self.openapi["components"]["schemas"];
        let operation = &self.openapi["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not in the document");
        // 202 of what is done after the answer.
        let responses = &operation["responses"];
        let done = ["200", "202"].into_iter().find(|status| responses[status].is_object());
        let content = &responses[done.unwrap()]["content"];
        let schema = content.as_object().unwrap().values().next().unwrap();
        check(answer, &schema["schema"], all, path);
        self.asked.insert(format!("{method} {path}"));
    }

    /// All that has an answer in the document.
    fn all(&self) -> BTreeSet<String> {
        let paths = self.openapi["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
        });
        let answered = operations.filter(|(_, of)| of["responses"]["204"].is_null());
        answered.map(|(name, _)| name).collect()
    }
}

/// Asks what changes labels.
fn labels(web: &Web, document: &mut Document) {
    let rules = json!({ "rules": "rules:\n- match: {port: 5432}\n  set: {role: db}\n" });
    let hand = json!({ "id": "shop/db[Pod]", "dimension": "role", "value": "database" });
    let table = json!({ "name": "tags", "text": "asset,role,x\nshop/db,cache,\nnobody,a,b\n" });
    for (method, path, body) in [
        ("POST", "/labels/preview", &rules),
        ("PUT", "/labels/rules", &rules),
        ("PUT", "/labels/asset", &hand),
        ("POST", "/labels/import", &table),
    ] {
        let answer = web.by(&web.token, (method, path), &body.to_string()).with_status(200).json();
        document.holds((&method.to_lowercase(), path), &answer);
    }
    let dropped = web.by(&web.token, ("DELETE", "/labels/imports/tags"), "").with_status(200);
    document.holds(("delete", "/labels/imports/{name}"), &dropped.json());
}

/// What is looked at, with a query.
fn looks() -> Vec<(&'static str, String)> {
    let (client, db) = ("shop%2Fclient-0%5BPod%5D", "shop%2Fdb%5BPod%5D");
    vec![
        ("/session", String::new()),
        ("/session/ways", String::new()),
        ("/imports", String::new()),
        ("/clusters", String::new()),
        ("/status", String::new()),
        ("/summary", String::new()),
        ("/map", "?by=process&since=1h&hide_dns=true".to_owned()),
        ("/map/compare", "?since=1h".to_owned()),
        (
            "/scene",
            "?by=workload&hide_noise=true&hide_scrapes=true&within=shop%5BNamespace%5D".to_owned(),
        ),
        ("/timeline", "?since=1h&buckets=12".to_owned()),
        ("/edge", format!("?source={client}&destination={db}")),
        ("/workload", format!("?id={db}")),
        ("/flows", "?limit=3&to_port=5432".to_owned()),
        ("/history", "?since=all&limit=3&order=bytes&workload=shop/db".to_owned()),
        ("/recommendations", "?since=1h&namespace=shop".to_owned()),
        ("/templates", "?since=1h".to_owned()),
        ("/revisions", String::new()),
        ("/policies", String::new()),
        ("/policies/rules", "?since=1h".to_owned()),
        ("/reports/segmentation", "?since=1h".to_owned()),
        ("/reports/connectivity", "?since=1h&within=shop%5BNamespace%5D".to_owned()),
        ("/reports/changes", "?since=1h".to_owned()),
        ("/tokens", String::new()),
        ("/views", String::new()),
        ("/noise", String::new()),
        ("/inventory", "?since=1h&kind=Pod".to_owned()),
        ("/labels/rules", String::new()),
        ("/audit", String::new()),
    ]
}

#[test]
fn every_answer_is_as_the_document_says() {
    let web = Web::start();
    let openapi = web.get("/openapi.json").with_status(200).json();
    let mut document = Document { openapi, asked: BTreeSet::new() };
    let files = json!({ "files": [{ "name": "db.yaml", "text": POLICY }], "since": "1h" });
    for path in ["/what-if", "/stage", "/apply"] {
        for node in ["node-a", "node-b"] {
            web.served.obey(node);
        }
        document.holds(("post", path), &web.post(path, &files).with_status(200).json());
    }
    let made =
        web.post("/tokens", &json!({ "name": "x", "role": "author", "namespaces": ["shop"] }));
    document.holds(("post", "/tokens"), &made.with_status(200).json());
    let view = web.post("/views", &json!({ "name": "shop", "query": "by=pod&namespace=shop" }));
    document.holds(("post", "/views"), &view.with_status(200).json());
    let rule = json!({ "name": "db", "filter": { "to_port": "5432" }, "shared": true });
    document.holds(("post", "/noise"), &web.post("/noise", &rule).with_status(200).json());
    let handed = web.by(&web.token, ("POST", "/imports?name=a"), &crate::import::flows(1));
    document.holds(("post", "/imports"), &handed.with_status(202).json());
    labels(&web, &mut document);
    for (path, query) in looks() {
        let answer = web.get(&format!("{path}{query}")).with_status(200).json();
        document.holds(("get", path), &answer);
    }
    let signed =
        web.raw(("POST", "/api/v1/session"), &[], &json!({ "token": web.token }).to_string());
    document.holds(("post", "/session"), &signed.with_status(200).json());
    for node in ["node-a", "node-b"] {
        web.served.obey(node);
    }
    let back = web.post("/rollback", &json!({})).with_status(200).json();
    document.holds(("post", "/rollback"), &back);
    let event = web.stream("/flows/stream", &["Last-Event-ID: 0"]);
    let data = event.filter_map(|line| Some(line.strip_prefix("data: ")?.to_owned())).next();
    let event: Value = serde_json::from_str(&data.unwrap()).unwrap();
    document.holds(("get", "/flows/stream"), &event);
    let event = web.stream("/changes", &[]);
    let data = event.filter_map(|line| Some(line.strip_prefix("data: ")?.to_owned())).next();
    let event: Value = serde_json::from_str(&data.unwrap()).unwrap();
    document.holds(("get", "/changes"), &event);
    document.asked.insert("get /openapi.json".to_owned());
    assert_eq!(document.asked, document.all(), "each was asked");
}

#[test]
fn the_map_is_the_one_of_the_command_line() {
    let web = Web::start();
    let (mut asked, mut told) = (web.get("/map?since=all").json(), web.served.map("0s"));
    for map in [&mut asked, &mut told] {
        // Both end now, and that was at two moments.
        map["window"]["to"] = Value::Null;
        map["completeness"] = Value::Null;
        map["completeness_detail"] = Value::Null;
    }
    assert_eq!(asked, told);
    let workload = web.get("/workload?id=shop%2Fdb%5BPod%5D").json();
    assert_eq!(workload["inbound"].as_array().unwrap().len(), 8);
    assert_eq!(workload["state"], "no_policy");
    let timeline = web.get("/timeline?since=1h&buckets=6").json();
    let sum: u64 = timeline["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["allowed"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 80, "{timeline:#}");
}

#[test]
fn pages_of_flows_go_back_to_the_first_without_gap_or_repetition_while_more_come() {
    let mut web = Web::start();
    let mut numbers = Vec::new();
    let mut page = web.get("/flows?limit=30").json();
    for batch in web.pair.batches(8) {
        web.served.send(&batch).unwrap();
    }
    loop {
        let flows = page["flows"].as_array().unwrap();
        numbers.extend(flows.iter().map(|flow| flow["number"].as_u64().unwrap()));
        let Some(next) = page["next"].as_u64() else { break };
        page = web.get(&format!("/flows?limit=30&before={next}")).json();
    }
    let expected: Vec<u64> = (0..80).rev().collect();
    assert_eq!(numbers, expected);
}

#[test]
fn history_tells_each_edge_once_on_its_pages_while_more_comes() {
    let mut web = Web::start();
    let pages = |web: &mut Web, order: &str, more: bool| {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let query = format!("/history?since=all&limit=3&order={order}{after}");
            let page = web.get(&query).with_status(200).json();
            assert_eq!(page["completeness"], 1.0);
            for edge in page["edges"].as_array().unwrap() {
                let client = edge["key"]["source"]["workload"]["name"].as_str().unwrap();
                seen.push((client.to_owned(), edge["stats"]["connections"].as_u64().unwrap()));
            }
            let Some(next) = page["next"].as_str() else { return seen };
            after = format!("&after={next}");
            if more {
                for batch in web.pair.batches(8) {
                    web.served.send(&batch).unwrap();
                }
            }
        }
    };
    for order in ["last_seen", "first_seen", "connections", "bytes"] {
        let mut seen = pages(&mut web, order, false);
        assert_eq!(seen.len(), 8, "{order}");
        assert!(seen.iter().all(|(_, connections)| *connections == 10), "{seen:?}");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8, "{order}: {seen:?}");
    }
    let mut seen: Vec<String> =
        pages(&mut web, "first_seen", true).into_iter().map(|(client, _)| client).collect();
    let told = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((told, seen.len()), (8, 8), "{seen:?}");
}

#[test]
fn history_is_filtered_by_the_words_of_observe() {
    let web = Web::start();
    let total = |query: &str| {
        let page = web.get(&format!("/history?since=all&{query}")).with_status(200).json();
        page["total"].as_u64().unwrap()
    };
    for (query, edges) in [
        ("workload=shop%2Fdb", 8),
        ("from_workload=shop%2Fdb", 0),
        ("from_workload=shop%2Fclient-3", 1),
        ("workload=client-3&to_port=5432", 1),
        ("workload=client-3&to_port=5433", 0),
        ("verdict=allowed", 8),
        ("verdict=denied", 0),
        ("to_namespace=shop&protocol=tcp", 8),
        ("namespace=bank", 0),
    ] {
        assert_eq!(total(query), edges, "{query}");
    }
    let line = |words: &[&str]| web.served.ask(&[&["observe"], words].concat()).with_code(0).out;
    let edges = line(&["--edges", "--workload", "shop/client-3"]);
    assert_eq!(edges.lines().count(), 1, "{edges}");
    assert!(edges.contains(" 10 conn ") && edges.contains(" first seen 20"), "{edges}");
    assert_eq!(line(&["--edges", "--verdict", "denied"]), "");
    let whole = line(&["--since", "1h"]).lines().count();
    assert!(whole >= 8, "an edge and minute each");
    assert_eq!(line(&["--since", "1h", "--last", "1"]).lines().count(), 1);
    assert_eq!(line(&["--at", "0s"]).lines().count(), whole);
    // Nobody reported then: that is said, and is no answer that nothing happened.
    assert_eq!(web.served.ask(&["observe", "--at", "2h"]).with_code(3).out, "");
}

#[test]
fn who_is_told_of_a_change_sees_it_in_what_they_ask_for_then() {
    let mut web = Web::start();
    let connections = |web: &Web| -> u64 {
        let map = web.get("/map?since=all").json();
        let edges = map["edges"].as_array().unwrap();
        edges.iter().map(|one| one["connections"].as_u64().unwrap()).sum()
    };
    let more = web.pair.batches(8);
    let mut events = web.stream("/changes", &[]).filter(|line| line.starts_with("data: "));
    let first = events.next();
    assert_eq!(connections(&web), 80);
    let began = std::time::Instant::now();
    for batch in more {
        web.served.send(&batch).unwrap();
    }
    assert_ne!(events.next(), first);
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    // Halves wait for each other: the last of them may come with the next event.
    assert!(connections(&web) > 80);
}

#[test]
fn a_stream_goes_on_where_it_ended() {
    let mut web = Web::start();
    let seen = |web: &Web, last: &str| {
        let after = format!("Last-Event-ID: {last}");
        let lines: Vec<String> = web
            .stream("/flows/stream?from_workload=shop%2Fclient-0", &[&after])
            .take_while(|line| !line.starts_with("id: "))
            .collect();
        lines.iter().filter(|line| line.starts_with("event: flow")).count()
    };
    assert_eq!(seen(&web, "0"), 10, "one in eight of eighty");
    for batch in web.pair.batches(16) {
        web.served.send(&batch).unwrap();
    }
    assert_eq!(seen(&web, "80"), 2);
}

#[test]
fn what_is_wrong_is_a_problem_that_names_it() {
    let web = Web::start();
    for (path, status, code, words) in [
        ("/map?buy=1", 400, "invalid", "parameter `buy`"),
        ("/map?by=planet", 400, "invalid", "`planet` is not one of"),
        ("/history?after=yesterday", 400, "invalid", "parameter `after`"),
        ("/history?order=beauty", 400, "invalid", "`beauty` is not one of"),
        ("/map?by=label:a%20b", 400, "invalid", "is no key of a label"),
        ("/scene?within=shop", 400, "invalid", "`shop` is no id of a node"),
        ("/map?cluster=west", 404, "unknown", "there is no cluster `west`"),
        ("/edge?source=a&destination=b", 404, "unknown", "from `a` to `b`"),
        ("/workload?id=db", 400, "invalid", "no id of a workload"),
        ("/workload?id=shop%2Fx%5BPod%5D", 404, "unknown", "no workload `shop/x[Pod]`"),
        ("/planets", 404, "unknown_path", "openapi.json"),
    ] {
        let reply = web.get(path).with_status(status);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
        let problem = reply.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into()),
            "{path}"
        );
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    web.by(&web.token, ("PUT", "/map"), "").with_status(405);
    let problem =
        web.post("/what-if", &json!({ "files": [{ "name": "a.yaml", "text": "kind: [" }] }));
    assert!(problem.with_status(400).body.contains("a.yaml:"));
    let large = format!("{{\"files\":[{{\"name\":\"a\",\"text\":\"{}\"}}]}}", "x".repeat(9 << 20));
    web.by(&web.token, ("POST", "/what-if"), &large).with_status(413);
}
