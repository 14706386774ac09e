//! The whole loop on real packets: lab up, traffic, map, recommend, verify, apply, attack, rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use sekisho_base::Clock;
use sekisho_model::Timestamp;
use sekisho_system::{SystemClock, wait};
use serde_json::Value;

use crate::run::{Answer, LabProcess};

/// How long the cron job may take to run, and everything else to be seen at least once.
const SEEN_WAIT: Duration = Duration::from_secs(240);
/// How long enforcement is watched for errors.
const WATCH: Duration = Duration::from_secs(60);

/// `source -> destination:port/protocol`.
type EdgeName = String;
/// Executables that may stand at the two ends; None: no agent can see it.
type Ends = (Option<BTreeSet<String>>, Option<BTreeSet<String>>);

fn callgraph() -> BTreeMap<EdgeName, Ends> {
    let graph = sekisho_lab::callgraph().unwrap();
    let edges = graph.calls.into_iter().chain(graph.dns).chain(graph.scrapes);
    edges
        .map(|edge| {
            // A DNS name has no kind: it is on the internet.
            let destination = if edge.destination.contains('[') {
                edge.destination
            } else {
                format!("{}[External]", edge.destination)
            };
            let name = format!("{} -> {destination}:{}/{}", edge.source, edge.port, edge.protocol);
            (name, (executables(&edge.source_process), executables(&edge.destination_process)))
        })
        .collect()
}

/// Executables that may stand for `process`: the scenario's real servers are replaced by stand-ins
/// where they are not installed, and Debian's redis-server is a link to redis-check-rdb.
fn executables(process: &str) -> Option<BTreeSet<String>> {
    let others: &[&str] = match process {
        "redis-server" => &["redis-check-rdb", "sekisho"],
        "postgres" => &["sekisho"],
        _ => &[],
    };
    let names = std::iter::once(process).chain(others.iter().copied());
    (!process.is_empty()).then(|| names.map(str::to_owned).collect())
}

fn edge_name(edge: &Value) -> EdgeName {
    let text = |field: &str| edge[field].as_str().unwrap().to_owned();
    format!("{} -> {}:{}/{}", text("source"), text("destination"), edge["port"], text("protocol"))
}

fn base(process: &Value) -> Option<String> {
    let exe = process.as_str()?;
    Some(exe.rsplit('/').next().unwrap_or(exe).to_owned())
}

fn map(lab: &LabProcess, since: &str) -> Value {
    lab.ask(&["map", "-o", "json", "--hide-probes", "--since", since]).with_code(0).json()
}

/// The next full minute: what starts before its peers are ready asks in vain at first, and that is
/// on the map, too, but no part of the call graph.
fn next_minute() -> String {
    Timestamp::from_nanos(SystemClock.now()).plus_seconds(60).minute().to_string()
}

fn edges(map: &Value) -> BTreeMap<EdgeName, Value> {
    let list = map["edges"].as_array().unwrap();
    let mut edges = BTreeMap::new();
    for edge in list {
        let twice = edges.insert(edge_name(edge), edge.clone());
        assert!(twice.is_none(), "an edge has two verdicts: {edge:#} and {twice:#?}");
    }
    edges
}

#[test]
fn the_core_loop_from_real_packets_to_an_enforced_policy() {
    let folder = tempfile::tempdir().unwrap();
    let lab = LabProcess::up(folder.path());
    the_map_is_the_call_graph(&lab);
    attacks(&lab, "before", true);
    // The attacks are history now, too; what they did must not be recommended away from the rest.
    let policies = folder.path().join("policies");
    recommend_and_verify(&lab, &policies);
    a_breaking_policy_is_refused(&lab, folder.path());
    staging_stops_nothing(&lab, &policies);
    enforced_traffic_flows_without_new_errors(&lab, &policies);
    attacks(&lab, "enforced", false);
    denials_are_seen(&lab);
    lab.ask(&["rollback"]).with_code(0);
    attacks(&lab, "rolled back", true);
    lab.down();
}

/// Edge for edge: none missing, none invented, the right processes, nothing lost.
fn the_map_is_the_call_graph(lab: &LabProcess) {
    let expected = callgraph();
    let names: BTreeSet<EdgeName> = expected.keys().cloned().collect();
    let since = next_minute();
    wait::until(SEEN_WAIT, || {
        let seen: BTreeSet<EdgeName> = edges(&map(lab, &since)).into_keys().collect();
        names.is_subset(&seen).then_some(())
    });
    let map = map(lab, &since);
    let edges = edges(&map);
    let seen: BTreeSet<EdgeName> = edges.keys().cloned().collect();
    let missing: Vec<_> = names.difference(&seen).collect();
    let invented: Vec<_> = seen.difference(&names).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing {missing:#?} invented {invented:#?}"
    );
    for (name, (from, to)) in &expected {
        let edge = &edges[name];
        assert_eq!(edge["verdict"], "allowed", "{name}");
        for pair in edge["processes"].as_array().unwrap() {
            let fits = |end: &Option<BTreeSet<String>>, seen: Option<String>| match (end, seen) {
                (Some(allowed), Some(seen)) => allowed.contains(&seen),
                (None, seen) => seen.is_none(),
                (Some(_), None) => false,
            };
            assert!(fits(from, base(&pair["source"])), "{name}: {pair}");
            assert!(fits(to, base(&pair["destination"])), "{name}: {pair}");
        }
    }
    assert_eq!(map["completeness"], 1.0, "{}", lab.ask(&["status"]).out);
}

fn attacks(lab: &LabProcess, when: &str, succeed: bool) {
    let listed = lab.lab(&["attack"]).with_code(0);
    let names: Vec<&str> =
        listed.out.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 5, "{}", listed.out);
    for name in names {
        let answer = lab.lab(&["attack", name]);
        let expected = i32::from(succeed);
        assert_eq!(answer.code, expected, "{name} {when}:\n{}\n{}", answer.out, answer.err);
    }
}

fn recommend_and_verify(lab: &LabProcess, policies: &Path) {
    let folder = policies.to_str().unwrap();
    lab.ask(&["recommend", "--until", "1s", "--write", folder]).with_code(0);
    let report = lab.ask(&["verify", "-f", folder, "-o", "json"]);
    // The attacks succeeded in recorded history: they, and only they, would be blocked.
    let report = report.json();
    let blocked: Vec<EdgeName> = report["edges"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|edge| edge["class"] == "would_block")
        .map(edge_name)
        .collect();
    let shop = callgraph();
    let broken: Vec<_> = blocked.iter().filter(|name| shop.contains_key(*name)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

fn a_breaking_policy_is_refused(lab: &LabProcess, folder: &Path) {
    let path = folder.join("breaking.yaml");
    let text = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: no-cache, namespace: data}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: cache}}
  policyTypes: [Ingress]
";
    std::fs::write(&path, text).unwrap();
    let answer = lab.ask(&["apply", "-f", path.to_str().unwrap(), "-o", "json"]).with_code(1);
    let response = answer.json();
    assert!(response["revision"].is_null());
    let blocked: BTreeSet<EdgeName> = response["report"]["edges"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|edge| edge["class"] == "would_block")
        .map(edge_name)
        .collect();
    let to_cache = "shop/cart[Deployment] -> data/cache[StatefulSet]:6379/TCP".to_owned();
    assert!(blocked.contains(&to_cache), "{blocked:#?}");
    assert!(
        blocked.iter().all(|name| name.contains("-> data/cache[StatefulSet]:")),
        "{blocked:#?}"
    );
}

fn staging_stops_nothing(lab: &LabProcess, policies: &Path) {
    let folder = policies.to_str().unwrap();
    applied(&lab.ask(&["stage", "-f", folder, "--max-would-block", "1000"]));
    attacks(lab, "staged", true);
    let marked = wait::until(Duration::from_secs(60), || {
        let flows = lab.ask(&["observe", "--verdict", "would_deny", "-o", "json"]).with_code(0);
        (!flows.out.is_empty()).then_some(())
    });
    assert!(marked.is_some(), "no flow was marked as would_deny");
}

fn enforced_traffic_flows_without_new_errors(lab: &LabProcess, policies: &Path) {
    let folder = policies.to_str().unwrap();
    applied(&lab.ask(&["apply", "-f", folder, "--max-would-block", "1000"]));
    let before = counters(lab);
    wait::pause_for(WATCH);
    let after = counters(lab);
    for (pod, (calls, errors)) in &after {
        let Some((calls_before, errors_before)) = before.get(pod) else { continue };
        assert_eq!(errors, errors_before, "{pod} got errors under enforcement");
        assert!(calls > calls_before, "{pod} stands still: {calls} calls");
    }
    assert!(after.len() >= 10, "{after:?}");
}

#[track_caller]
fn applied(answer: &Answer) {
    assert_eq!(answer.code, 0, "stdout:\n{}\nstderr:\n{}", answer.out, answer.err);
}

/// Calls and errors of every pod that calls somebody, by its own count.
fn counters(lab: &LabProcess) -> BTreeMap<String, (u64, u64)> {
    let status = lab.lab(&["status", "-o", "json"]).json();
    let mut counters = BTreeMap::new();
    for pod in status["pods"].as_array().unwrap() {
        let text = |field: &str| pod[field].as_str().unwrap();
        let name = format!("{}/{}", text("namespace"), text("name"));
        let metrics = "http://127.0.0.1:9102/metrics";
        let answer = lab.lab(&["exec", &name, "--", "sekisho", "workload", "get", metrics]);
        let sum = |result: &str| -> u64 {
            let lines = answer.out.lines().filter(|line| {
                line.starts_with("sekisho_workload_calls_total{") && line.contains(result)
            });
            lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
        };
        let (ok, errors) = (sum("result=\"ok\""), sum("result=\"error\""));
        if ok > 0 {
            counters.insert(name, (ok, errors));
        }
    }
    counters
}

/// Each attack shows as denied, with the policy that decided.
fn denials_are_seen(lab: &LabProcess) {
    let seen = wait::until(Duration::from_secs(60), || {
        let answer = lab.ask(&["observe", "--verdict", "denied", "-o", "json"]).with_code(0);
        let flows: Vec<Value> =
            answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let to = |flow: &Value| flow["key"]["destination"]["address"].as_str().map(str::to_owned);
        let addresses: BTreeSet<String> = flows.iter().filter_map(to).collect();
        let named = flows.iter().all(|flow| !flow["key"]["decided_by"].is_null());
        let expected = ["169.254.169.254", "203.0.113.66", "203.0.113.53"];
        (named && expected.iter().all(|address| addresses.contains(*address))).then_some(())
    });
    assert!(seen.is_some(), "{}", lab.ask(&["observe", "--verdict", "denied"]).out);
}
