//! The core loop on real pods of a real cluster, with the product installed as a user installs it:
//! see, recommend, verify, enforce, stop an attack, survive the agents' end, go back, leave nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sekisho_system::wait;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::console;
use crate::install::{Installed, NODES};
use crate::shop::Shop;

const WAIT: Duration = Duration::from_secs(150);

/// `source -> destination:port/protocol` of a map's edge.
fn name(edge: &Value) -> String {
    let text = |field: &str| edge[field].as_str().unwrap_or_default().to_owned();
    format!("{} -> {}:{}/{}", text("source"), text("destination"), edge["port"], text("protocol"))
}

/// Edges by name. No edge may be there twice.
fn edges(map: &Value) -> BTreeMap<String, Value> {
    let mut edges = BTreeMap::new();
    for edge in map["edges"].as_array().unwrap() {
        let twice = edges.insert(name(edge), edge.clone());
        assert!(twice.is_none(), "an edge has two verdicts: {edge:#} and {twice:#?}");
    }
    edges
}

/// The map of both namespaces of the shop.
fn map(product: &Installed<'_>, window: &[&str]) -> Value {
    let one =
        |space: &str| product.json(&[&["map", "--hide-probes", "-n", space], window].concat());
    let (mut all, second) = (one("story-shop"), one("story-data"));
    let known: BTreeSet<String> = edges(&all).into_keys().collect();
    let new = second["edges"].as_array().unwrap().iter();
    let new: Vec<Value> = new.filter(|edge| !known.contains(&name(edge))).cloned().collect();
    all["edges"].as_array_mut().unwrap().extend(new);
    all
}

fn now(product: &Installed<'_>) -> String {
    product.json(&["status"])["time"].as_str().unwrap().to_owned()
}

fn figure(what: &str, value: &str) {
    println!("figure: {what}: {value}");
}

/// New bad answers since `before`; each client must have got good ones since.
fn new_errors(shop: &Shop<'_>, before: &BTreeMap<String, (u64, u64)>) -> Vec<String> {
    let grown = || {
        let now = shop.counts();
        let more =
            |pod: &String, good: u64| now.get(pod).is_some_and(|(later, _)| *later > good + 5);
        before.iter().all(|(pod, (good, _))| more(pod, *good)).then_some(now)
    };
    let now = wait::until(WAIT, grown)
        .unwrap_or_else(|| panic!("traffic stopped: {before:?} then {:?}", shop.counts()));
    let worse = before.iter().filter_map(|(pod, (_, bad))| {
        let (_, later) = now.get(pod)?;
        (later > bad).then(|| format!("{pod}: {bad} then {later}"))
    });
    worse.collect()
}

#[test]
fn a_user_installs_it_sees_the_shop_protects_it_and_removes_it() {
    let cluster = Cluster::find();
    cluster.apply(COUNTED);
    let start = Instant::now();
    let product = Installed::new(&cluster);
    figure("from certificates to all ready", &format!("{:.1} s", start.elapsed().as_secs_f64()));
    product.await_orders(0);
    let shop = Shop::open(&cluster);
    figure("until the shop serves", &format!("{:.1} s", start.elapsed().as_secs_f64()));
    identified(&cluster, &product);

    let since = now(&product);
    let until = sees_the_call_graph(&product, &shop, &since);
    let seen = console::map(&cluster);
    assert!(!seen["edges"].as_array().unwrap().is_empty(), "a browser sees it, too: {seen}");
    let window = ["--since", since.as_str(), "--until", until.as_str()];
    let policies = product.path("policies").display().to_string();
    let spaces = ["-n", "story-shop", "-n", "story-data"];
    product.ask(0, &[&["recommend", "--write", &policies][..], &spaces, &window].concat());
    println!("{}", product.ask(0, &[&["verify", "-f", &policies][..], &window].concat()));

    assert!(shop.intrude(), "the twin: nothing is in force, the intruder gets through");
    let before = shop.counts();
    let applied = Instant::now();
    product.ask(0, &[&["apply", "-f", &policies][..], &window].concat());
    product.await_orders(1);
    figure(
        "from apply to in force on both nodes",
        &format!("{} ms", applied.elapsed().as_millis()),
    );
    assert!(!shop.intrude(), "the intruder is stopped");
    denied_by_a_policy(&product);
    assert_eq!(new_errors(&shop, &before), [""; 0], "{}", denials(&product));

    // A pod that comes in this moment brings rules with it, and rules are compared.
    suspend_jobs(&cluster, true);
    product.await_orders(1);
    agents_end(&cluster, &product, &shop);
    suspend_jobs(&cluster, false);
    costs(&cluster, &product);
    jobs_went_on(&cluster, &until);

    product.ask(0, &["rollback", "0"]);
    product.await_orders(0);
    assert!(shop.intrude(), "nothing is in force again");
    figure("all", &format!("{:.1} s", start.elapsed().as_secs_f64()));
    drop(shop);
    product.remove();
    cluster.kubectl(&["delete", "flowschema", "sekisho-story"]);
}

/// How long after a pod was ready its first flow with process and container was known.
fn identified(cluster: &Cluster, product: &Installed<'_>) {
    let kubectl = |words: &[&str]| cluster.kubectl(&[&["-n", "story-shop"], words].concat());
    kubectl(&["rollout", "restart", "deployment/load"]);
    kubectl(&["rollout", "status", "deployment/load", "--timeout=60s"]);
    let running = "--field-selector=status.phase=Running";
    let path = "jsonpath={.items[*].metadata.name}";
    let find = || {
        let names = kubectl(&["get", "pods", "-l", "app=load", running, "-o", path]);
        let mut names = names.split_whitespace();
        let first = names.next()?.to_owned();
        names.next().is_none().then_some(first)
    };
    let pod = wait::until(WAIT, find).unwrap();
    let ready = Instant::now();
    let seen = || {
        let words = ["observe", "--from-pod", &pod, "--last", "1", "-o", "json"];
        let (_, out, _) = product.sekisho(&words);
        let flow: Value = serde_json::from_str(out.lines().next()?).ok()?;
        flow["key"]["source_process"]["container"]["name"].as_str().map(str::to_owned)
    };
    assert_eq!(wait::until(WAIT, seen).as_deref(), Some("ask"));
    let took = format!("{} ms at most", ready.elapsed().as_millis());
    figure("from pod ready to its flow with process and container", &took);
}

/// Waits until the map is the call graph, edge for edge, and a minute's job was part of it; returns
/// the time at which it was.
fn sees_the_call_graph(product: &Installed<'_>, shop: &Shop<'_>, since: &str) -> String {
    let wanted: BTreeSet<String> = shop.calls().into_iter().collect();
    let look = || map(product, &["--since", since]);
    let complete = || {
        let until = now(product);
        let found = edges(&look());
        wanted.iter().all(|edge| found.contains_key(edge)).then_some(until)
    };
    let until = wait::until(WAIT, complete);
    let map = look();
    let found = edges(&map);
    let names: BTreeSet<String> = found.keys().cloned().collect();
    assert_eq!(names, wanted);
    assert_eq!(map["completeness"], 1.0);
    for (name, edge) in &found {
        assert_eq!(edge["verdict"], "allowed", "{edge:#}");
        let pairs = edge["processes"].as_array().unwrap();
        let inside = |end: &str| edge[end].as_str().unwrap().starts_with("story-");
        for end in ["source", "destination"] {
            let known = pairs.iter().any(|pair| pair[end].as_str().is_some());
            assert!(known || !inside(end), "{name}: no process at its {end}: {edge:#}");
        }
    }
    no_service_begins(product);
    flows_have_containers(product);
    until.expect("the map was complete in time")
}

/// The whole map, the agents' own questions to the DNS among them: a Service is asked, never asks.
fn no_service_begins(product: &Installed<'_>) {
    let map = product.json(&["map"]);
    let edges = map["edges"].as_array().unwrap();
    let begins: Vec<String> = edges
        .iter()
        .filter(|edge| edge["source"].as_str().is_some_and(|source| source.ends_with("[Service]")))
        .map(name)
        .collect();
    assert_eq!(begins, [""; 0]);
}

/// Container and image stand at both ends of a call inside the shop.
fn flows_have_containers(product: &Installed<'_>) {
    let words = ["observe", "--from-workload", "story-shop/web", "--to-workload", "story-shop/api"];
    let (_, out, error) = product.sekisho(&[&words[..], &["--last", "20", "-o", "json"]].concat());
    let flows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |flow: &Value, end: &str, name: &str| {
        let container = &flow["key"][end]["container"];
        let image = container["image"].as_str().unwrap_or_default();
        container["name"] == name && !image.is_empty()
    };
    let both = flows.iter().any(|flow| {
        named(flow, "source_process", "ask") && named(flow, "destination_process", "httpd")
    });
    assert!(both, "{out}\n{error}");
}

fn denials(product: &Installed<'_>) -> String {
    product.sekisho(&["observe", "--verdict", "denied", "--last", "20"]).1
}

fn denied_by_a_policy(product: &Installed<'_>) {
    let who = ["observe", "--verdict", "denied", "--from-workload", "story-shop/intruder"];
    let words = [&who[..], &["--last", "1", "-o", "json"]].concat();
    let seen = || {
        let (_, out, _) = product.sekisho(&words);
        let flow: Value = serde_json::from_str(out.lines().next()?).ok()?;
        (!flow["key"]["decided_by"].is_null()).then_some(flow)
    };
    let flow = wait::until(WAIT, seen)
        .unwrap_or_else(|| panic!("the denial is not seen: {:?}", product.sekisho(&words)));
    println!("denied: {}", flow["key"]["decided_by"]);
}

/// Agents come and go while policies are in force: a pod deleted, then an upgrade of all.
fn agents_end(cluster: &Cluster, product: &Installed<'_>, shop: &Shop<'_>) {
    let agents = "app.kubernetes.io/component=agent";
    let ways: [&[&str]; 2] = [
        &["delete", "pod", "-l", agents, "--field-selector=spec.nodeName=node1"],
        &["rollout", "restart", "daemonset/sekisho-agent"],
    ];
    for way in ways {
        let before = shop.counts();
        let rules = NODES.map(|node| product.rules(node));
        assert!(rules.iter().all(|rules| !rules.is_empty()));
        cluster.kubectl(&[&["-n", "sekisho"], way].concat());
        assert_eq!(NODES.map(|node| product.rules(node)), rules, "{way:?}: the rules stay");
        assert!(!shop.intrude(), "{way:?}: the intruder is stopped meanwhile");
        product.await_ready();
        product.await_orders(1);
        assert_eq!(NODES.map(|node| product.rules(node)), rules, "{way:?}: the rules were adopted");
        assert!(!shop.intrude());
        assert_eq!(new_errors(shop, &before), [""; 0], "{way:?}: {}", denials(product));
        let status = product.json(&["status"]);
        println!("after {way:?}: completeness {}, gaps {}", status["completeness"], status["gaps"]);
    }
}

/// Keeps the minute's jobs from starting, and waits until none runs; or lets them start again.
fn suspend_jobs(cluster: &Cluster, suspended: bool) {
    let patch = format!("{{\"spec\":{{\"suspend\":{suspended}}}}}");
    cluster.kubectl(&["-n", "story-data", "patch", "cronjob", "report", "-p", &patch]);
    let ended = || {
        let jobs = cluster.get(&["jobs", "-n", "story-data"]);
        let mut all = jobs["items"].as_array()?.iter();
        all.all(|job| job["status"]["completionTime"].is_string()).then_some(())
    };
    if suspended {
        wait::until(WAIT, ended).expect("the job of this minute ends");
    }
}

/// The jobs that began after `since`, while policies were in force, did their work.
fn jobs_went_on(cluster: &Cluster, since: &str) {
    let ended = || {
        let jobs = cluster.get(&["jobs", "-n", "story-data"]);
        let later = |job: &&Value| job["metadata"]["creationTimestamp"].as_str() > Some(since);
        let all = jobs["items"].as_array()?.iter();
        let ended: Vec<&Value> = all.filter(later).map(|job| &job["status"]).collect();
        let failed = ended.iter().find(|status| !status["failed"].is_null());
        assert!(failed.is_none(), "a job failed: {failed:#?}");
        ended.iter().any(|status| status["succeeded"] == 1).then_some(())
    };
    wait::until(WAIT, ended).expect("a job ran while policies were in force");
}

/// What the product costs the cluster, as the API server counts it, and its memory.
fn costs(cluster: &Cluster, product: &Installed<'_>) {
    let status = product.json(&["status"]);
    let mib = |bytes: &Value| bytes.as_u64().unwrap_or(0) >> 20;
    figure("memory of the server", &format!("{} MiB", mib(&status["memory_bytes"])));
    for agent in status["agents"].as_array().unwrap() {
        let memory = mib(&agent["report"]["memory_bytes"]);
        figure(&format!("memory of the agent on {}", agent["node"]), &format!("{memory} MiB"));
    }
    let kinds = status["cluster"]["kinds"].as_array().unwrap();
    figure("watches", &kinds.len().to_string());
    let denied: Vec<&Value> = kinds.iter().filter(|kind| kind["state"] != "following").collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let before = requests(cluster);
    let lists: u64 = kinds.iter().filter_map(|kind| kind["lists"].as_u64()).sum();
    figure("requests to the API server, lists among them", &format!("{before}, {lists}"));
    let minute = Instant::now();
    wait::until(Duration::from_secs(61), || {
        (minute.elapsed() > Duration::from_secs(60)).then_some(())
    });
    figure("requests to the API server in a minute", &(requests(cluster) - before).to_string());
}

/// Makes the API server count our requests by themselves.
const COUNTED: &str = r#"
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: sekisho-story}
spec:
  matchingPrecedence: 500
  priorityLevelConfiguration: {name: workload-low}
  rules:
    - subjects: [{kind: ServiceAccount, serviceAccount: {name: sekisho-server, namespace: sekisho}}]
      resourceRules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"]}]
      nonResourceRules: [{verbs: ["*"], nonResourceURLs: ["*"]}]
"#;

fn requests(cluster: &Cluster) -> u64 {
    let metrics = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let ours = metrics.lines().filter(|line| {
        line.starts_with("apiserver_flowcontrol_dispatched_requests_total")
            && line.contains("flow_schema=\"sekisho-story\"")
    });
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
