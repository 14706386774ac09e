//! The whole loop on real packets: lab up, traffic, map, recommend, verify, apply, attack, rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_base::Clock;
use sekisho_model::Timestamp;
use sekisho_system::{SystemClock, wait};
use serde_json::Value;

use crate::run::LabProcess;

/// How long the cron job may take to run, and everything else to be seen at least once.
const SEEN_WAIT: Duration = Duration::from_secs(240);
/// All of history.
const EVER: &str = "365d";
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

fn edge_names(map: &Value) -> BTreeSet<EdgeName> {
    map["edges"].as_array().unwrap().iter().map(edge_name).collect()
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
    // From here on history holds attacks, too: what is recommended must come from before.
    let peace_until = next_minute();
    wait_for(&peace_until);
    attacks(&lab, "before", true);
    let story = Story { lab, policies: folder.path().join("policies"), peace_until };
    story.recommended_policies_would_block_nothing_but_the_attacks();
    story.a_breaking_policy_is_refused(folder.path());
    story.staging_stops_nothing_and_marks();
    story.enforced_traffic_flows_without_new_errors();
    attacks(&story.lab, "enforced", false);
    story.denials_are_seen();
    story.lab.ask(&["rollback"]).with_code(0);
    attacks(&story.lab, "rolled back", true);
    story.lab.down();
}

struct Story {
    lab: LabProcess,
    policies: PathBuf,
    peace_until: String,
}

fn wait_for(time: &str) {
    let time: Timestamp = time.parse().unwrap();
    let passed = || (Timestamp::from_nanos(SystemClock.now()) >= time).then_some(());
    wait::until(Duration::from_secs(120), passed).unwrap();
}

/// Edge for edge: none missing, none invented, the right processes, nothing lost.
fn the_map_is_the_call_graph(lab: &LabProcess) {
    let expected = callgraph();
    let names: BTreeSet<EdgeName> = expected.keys().cloned().collect();
    let steady_since = next_minute();
    // A whole minute, and what it left behind in queues.
    wait_for(&steady_since);
    wait_for(&next_minute());
    let cron = "shop/invoice[CronJob] -> ";
    wait::until(SEEN_WAIT, || {
        let all_seen = names.is_subset(&edge_names(&map(lab, EVER)));
        let ran_again = edges(&map(lab, &steady_since)).keys().any(|name| name.starts_with(cron));
        (all_seen && ran_again).then_some(())
    });
    let seen = edge_names(&map(lab, EVER));
    let missing: Vec<_> = names.difference(&seen).collect();
    let invented: Vec<_> = seen.difference(&names).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing {missing:#?} invented {invented:#?}"
    );
    let steady = map(lab, &steady_since);
    let edges = edges(&steady);
    // Some ask for a name only once, at their start; all others are seen again.
    assert!(edges.len() > names.len() * 4 / 5, "{} of {}", edges.len(), names.len());
    for (name, edge) in &edges {
        let (from, to) = &expected[name];
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
    assert_eq!(steady["completeness"], 1.0, "{}", lab.ask(&["status"]).out);
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

impl Story {
    fn recommended_policies_would_block_nothing_but_the_attacks(&self) {
        let folder = self.policies.to_str().unwrap();
        let until = ["--until", &self.peace_until];
        self.lab.ask(&[&["recommend", "--write", folder][..], &until].concat()).with_code(0);
        let verify = ["verify", "-f", folder, "-o", "json"];
        let peace = self.lab.ask(&[&verify[..], &until].concat()).with_code(0).json();
        assert_eq!(peace["summary"]["would_block"], 0, "{peace:#}");
        assert_eq!(peace["summary"]["uncertain"], 0, "{peace:#}");
        // Over all of history the attacks, and only they, would be blocked.
        let blocked = blocked(&self.lab.ask(&verify).with_code(1).json());
        let from_elsewhere =
            blocked.iter().find(|name| !name.starts_with("shop/ad[Deployment] -> "));
        assert_eq!(from_elsewhere, None, "{blocked:#?}");
    }

    fn a_breaking_policy_is_refused(&self, folder: &Path) {
        let path = folder.join("breaking.yaml");
        let text = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: no-cache, namespace: data}
spec:
  podSelector: {matchLabels: {app: cache}}
  policyTypes: [Ingress]
";
        std::fs::write(&path, text).unwrap();
        let until = ["--until", &self.peace_until];
        let apply = ["apply", "-f", path.to_str().unwrap(), "-o", "json"];
        let response = self.lab.ask(&[&apply[..], &until].concat()).with_code(1).json();
        assert!(response["revision"].is_null());
        let expected = [
            "monitoring/prometheus[Deployment] -> data/cache[Deployment]:9121/TCP",
            "shop/cart[Deployment] -> data/cache[Deployment]:6379/TCP",
        ];
        assert_eq!(blocked(&response["report"]), expected.map(str::to_owned).into());
    }

    fn staging_stops_nothing_and_marks(&self) {
        self.put("stage");
        attacks(&self.lab, "staged", true);
        let marked = wait::until(Duration::from_secs(60), || {
            let asked = ["observe", "--verdict", "would_deny", "--from-workload", "shop/ad"];
            (!self.lab.ask(&asked).with_code(0).out.is_empty()).then_some(())
        });
        assert!(marked.is_some(), "no flow was marked as would_deny");
        let shop = self.lab.ask(&["observe", "--verdict", "would_deny", "-o", "json"]).out;
        let innocent = |line: &&str| !line.contains("\"name\":\"ad\"");
        assert_eq!(shop.lines().find(innocent), None, "staging marks the shop's own traffic");
    }

    fn enforced_traffic_flows_without_new_errors(&self) {
        self.put("apply");
        let before = counters(&self.lab);
        wait::pause_for(WATCH);
        let after = counters(&self.lab);
        for (pod, (calls, errors)) in &after {
            let Some((calls_before, errors_before)) = before.get(pod) else { continue };
            assert_eq!(errors, errors_before, "{pod} got errors under enforcement");
            assert!(calls > calls_before, "{pod} stands still: {calls} calls");
        }
        assert!(after.len() >= 10, "{after:?}");
    }

    fn put(&self, how: &str) {
        let folder = self.policies.to_str().unwrap();
        self.lab.ask(&[how, "-f", folder, "--until", &self.peace_until]).with_code(0);
    }

    /// Each attack shows as denied, with the policy that decided.
    fn denials_are_seen(&self) {
        let seen = wait::until(Duration::from_secs(60), || {
            let asked = ["observe", "--verdict", "denied", "-o", "json"];
            let answer = self.lab.ask(&asked).with_code(0);
            let flows: Vec<Value> =
                answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let named = flows.iter().all(|flow| !flow["key"]["decided_by"].is_null());
            let to: BTreeSet<&str> = flows
                .iter()
                .filter_map(|flow| flow["key"]["destination"]["workload"]["name"].as_str())
                .collect();
            let expected = [
                "169.254.169.254",
                "203.0.113.66",
                "203.0.113.53",
                "orders-db",
                "legacy-db",
                "cart",
            ];
            (named && expected.iter().all(|name| to.contains(name))).then_some(())
        });
        assert!(seen.is_some(), "{}", self.lab.ask(&["observe", "--verdict", "denied"]).out);
    }
}

/// Edges that a report would block.
fn blocked(report: &Value) -> BTreeSet<EdgeName> {
    let edges = report["edges"].as_array().unwrap().iter();
    edges.filter(|edge| edge["class"] == "would_block").map(edge_name).collect()
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
