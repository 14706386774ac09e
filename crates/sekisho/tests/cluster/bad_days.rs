//! Bad days of a cluster, as a running server lives through them: the API server is killed, is
//! away while the world changes, refuses a kind, and tells more than a person reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sekisho_system::{command, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{API_SERVER, Cluster, Namespace};
use crate::server::{Server, WAIT, policies};

/// How long the API server is away in the long outage; `SEKISHO_TEST_OUTAGE_S` makes it longer. By
/// then the watches pause for longer than [`CATCH_UP`] between two tries.
const OUTAGE_S: usize = 25;
/// Patience of the watch with an API server that is back: it looks every 3 s.
const CATCH_UP: Duration = Duration::from_secs(20);
/// Namespaces of the many pods: each is filled and emptied by a hand of its own.
const HANDS: usize = 5;
/// Pods of the storm in all, a multiple of [`HANDS`]; `SEKISHO_TEST_PODS=10000` for the full size,
/// which takes minutes on two cores. `cargo xtask bench inventory` always has as many.
const PODS: usize = 2_000;
/// How long so many changes may take the API server and us.
const STORM_LIMIT: Duration = Duration::from_secs(180);
/// Lag in a storm, milliseconds: everything of the cluster and the test runs on the same machine.
const LAG_MS_MAX: u64 = 5_000;

impl Server {
    /// What was told of the pods of a namespace, by name: the changes in their order. Read from the
    /// server's copy of the journal.
    fn told(&self, namespace: &str) -> BTreeMap<String, Vec<String>> {
        let text = std::fs::read_to_string(self.path("data/inventory.jsonl")).unwrap();
        let mut pods = BTreeMap::<String, Vec<String>>::new();
        // The last line may be half written.
        for line in text.lines().filter(|line| line.contains(namespace)) {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let (change, object) = (&line["type"], &line["object"]);
            // Of one that is gone the line has only the name.
            let meta = if line["partial"] == true { object } else { &object["metadata"] };
            if object["kind"] == "Pod" && meta["namespace"] == namespace {
                let pod = pods.entry(meta["name"].as_str().unwrap().to_owned()).or_default();
                pod.push(change.as_str().unwrap().to_owned());
            }
        }
        pods
    }

    /// Names of the pods of a namespace that are there, as the server knows.
    fn pods(&self, namespace: &str) -> BTreeSet<String> {
        let there = |told: &Vec<String>| told.last().is_some_and(|last| last != "DELETED");
        let told = self.told(namespace).into_iter();
        told.filter(|(_, changes)| there(changes)).map(|(name, _)| name).collect()
    }

    /// Waits until the server knows the pods of the namespace that the API server has.
    fn agrees(&self, space: &Namespace<'_>) -> BTreeSet<String> {
        let words = ["get", "pods", "-n", &space.name, "-o", "name", "--chunk-size=0"];
        let text = space.cluster.kubectl(&words);
        let names: BTreeSet<String> =
            text.lines().map(|line| line.trim_start_matches("pod/").to_owned()).collect();
        let same = || (self.pods(&space.name) == names).then_some(());
        if wait::until(WAIT, same).is_none() {
            let (known, text) = (self.pods(&space.name), self.run(&["status"]).1);
            panic!("{} pods are known, {} there: {text}", known.len(), names.len());
        }
        names
    }
}

/// The named kind's part of the status.
fn kind<'a>(status: &'a Value, resource: &str) -> &'a Value {
    let kinds = status["cluster"]["kinds"].as_array().unwrap();
    kinds.iter().find(|kind| kind["resource"] == resource).unwrap()
}

/// Makes the numbered pods, which nobody schedules.
fn make_pods(space: &Namespace<'_>, numbers: std::ops::Range<usize>) {
    let pod = |number: usize| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: pod-{number}, namespace: {}}}, spec: \
             {{schedulerName: nobody, containers: [{{name: app, image: none}}]}}}}\n",
            space.name
        )
    };
    let text = numbers.map(pod).collect::<Vec<_>>().join("---\n");
    space.cluster.try_kubectl(&["create", "-f", "-"], &text).unwrap();
}

fn delete_pods(space: &Namespace<'_>, numbers: std::ops::Range<usize>) {
    let names: Vec<String> = numbers.map(|number| format!("pod-{number}")).collect();
    let mut words = vec!["delete", "pod", "-n", &space.name, "--wait=false", "--grace-period=0"];
    words.extend(names.iter().map(String::as_str));
    words.push("--force");
    space.cluster.kubectl(&words);
}

/// The same in all namespaces at a time.
fn everywhere(spaces: &[Namespace<'_>], work: impl Fn(&Namespace<'_>) + Sync) {
    let work = &work;
    std::thread::scope(|scope| {
        for space in spaces {
            scope.spawn(move || work(space));
        }
    });
}

/// Kills the API server for `length`; returns what the status says in the end of it.
fn outage(server: &Server, cluster: &Cluster, length: Duration) -> Value {
    cluster.stop(API_SERVER);
    let away = server.until("away", |status| !status["cluster"]["away_since"].is_null());
    let (code, text) = server.run(&["status"]);
    assert_eq!(code, 3, "{text}");
    let since = away["cluster"]["away_since"].as_str().unwrap();
    for words in ["does not answer since", since, "stays and goes on naming flows"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(wait::until(length, || None::<()>).is_none());
    let status = server.status().unwrap();
    assert_eq!(status["cluster"]["away_since"], since, "since when does not move");
    assert_eq!(kind(&status, "pods")["objects"], kind(&away, "pods")["objects"], "all stays");
    status
}

/// The API server is back, and pods came and went before the server saw any of it: it has to find
/// that by a list.
fn come_back(server: &Server, spaces: &[Namespace<'_>], size: usize) {
    let cluster = spaces[0].cluster;
    server.signal("-STOP");
    cluster.start(API_SERVER);
    delete_pods(&spaces[0], 0..2);
    make_pods(&spaces[0], size..size + 3);
    let started = Instant::now();
    server.signal("-CONT");
    let status = server.until("answers", |status| status["cluster"]["away_since"].is_null());
    assert!(kind(&status, "pods")["lists"].as_u64().unwrap() >= 1, "{status}");
    for space in spaces {
        let names = server.agrees(space);
        for (pod, changes) in server.told(&space.name) {
            let added = changes.iter().filter(|change| *change == "ADDED").count();
            assert_eq!(added, 1, "{pod} was told twice: {changes:?}");
        }
        if space.name == spaces[0].name {
            assert_eq!(names.len(), size + 1);
            assert!(!names.contains("pod-0") && names.contains(&format!("pod-{size}")));
        }
    }
    let took = started.elapsed();
    println!("{} pods: caught up {took:?} after it could", size * spaces.len());
    assert!(took < CATCH_UP, "{took:?}");
    server.well();
    let lists = |status: &Value| kind(status, "pods")["lists"].as_u64().unwrap();
    let before = lists(&server.status().unwrap());
    // And it follows again, not only lists.
    make_pods(&spaces[0], size + 3..size + 4);
    server.agrees(&spaces[0]);
    assert_eq!(lists(&server.status().unwrap()), before);
}

#[test]
fn an_api_server_that_is_killed_is_named_and_what_changed_meanwhile_is_known_once() {
    let cluster = Cluster::find();
    let spaces = [cluster.namespace("bad-killed")];
    let server = Server::start(&cluster.file("admin.kubeconfig"), "enforcement = 'native'");
    make_pods(&spaces[0], 0..4);
    server.agrees(&spaces[0]);
    server.well();
    outage(&server, &cluster, Duration::from_secs(1));
    let policy = policies(&spaces[0].name, &["a"], 80);
    let (code, text) = server.apply(&policy, &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no answer") && text.contains("is the API server up"), "{text}");
    come_back(&server, &spaces, 4);
    let (code, text) = server.apply(&policy, &[]);
    assert_eq!(code, 0, "the twin: {text}");
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}

/// The storm of thousands of pods that come, an outage after which all are listed at once, and the
/// storm of those that go.
#[test]
fn thousands_of_pods_are_followed_as_they_come_and_go_and_listed_again_after_an_outage() {
    let number =
        |name: &str, usual: usize| std::env::var(name).map_or(usual, |it| it.parse().unwrap());
    let each = number("SEKISHO_TEST_PODS", PODS) / HANDS;
    let length = Duration::from_secs(number("SEKISHO_TEST_OUTAGE_S", OUTAGE_S) as u64);
    let cluster = Cluster::find();
    let spaces: Vec<Namespace<'_>> =
        (0..HANDS).map(|hand| cluster.namespace(&format!("bad-many-{hand}-x"))).collect();
    let server = Server::start(&cluster.file("admin.kubeconfig"), "");
    let total = each * HANDS;
    storm(&server, "came", total, || everywhere(&spaces, |space| make_pods(space, 0..each)));
    assert_eq!(spaces.iter().map(|space| server.agrees(space).len()).sum::<usize>(), total);
    server.well();

    outage(&server, &cluster, length);
    come_back(&server, &spaces, each);

    storm(&server, "went", total, || {
        everywhere(&spaces, |space| {
            let path = format!("/api/v1/namespaces/{}/pods?gracePeriodSeconds=0", space.name);
            // A slow machine may not answer in time and go on all the same: what counts is told.
            cluster.try_kubectl(&["delete", "--raw", &path], "").ok();
        });
    });
    assert!(spaces.iter().all(|space| server.agrees(space).is_empty()));
    server.well();
}

/// `changes` changes made by `work`: each is told, none by another list, and the lag stays small.
fn storm(server: &Server, name: &str, changes: usize, work: impl FnOnce() + Send) {
    let before = server.status().unwrap();
    let figure = |status: &Value, name: &str| kind(status, "pods")[name].as_u64().unwrap();
    let wanted = figure(&before, "events") + changes as u64;
    let (started, mut lag_ms) = (Instant::now(), 0);
    std::thread::scope(|scope| {
        scope.spawn(work);
        let told = || {
            // Asking is work for the machine, too; the lag told is that of the last second.
            wait::until(Duration::from_millis(500), || None::<()>);
            let status = server.status()?;
            lag_ms = status["cluster"]["lag_ms"].as_u64()?.max(lag_ms);
            (figure(&status, "events") >= wanted).then_some(status)
        };
        let status = wait::until(STORM_LIMIT, told).unwrap_or_else(|| {
            panic!("not {wanted} changes are told: {}", server.run(&["status"]).1)
        });
        let rate = changes as f64 / started.elapsed().as_secs_f64();
        let resident = status["memory_bytes"].as_u64().unwrap_or_default() >> 20;
        println!(
            "{changes} pods {name}: {rate:.0} a second, lag at most {lag_ms} ms, {resident} MiB"
        );
        assert_eq!(figure(&status, "lists"), figure(&before, "lists"), "it followed: {status}");
    });
    assert!(lag_ms < LAG_MS_MAX, "{lag_ms} ms");
}

/// A kubeconfig of a service account that may list and watch all but Services.
fn limited(space: &Namespace<'_>, folder: &TempDir) -> String {
    let (cluster, name) = (space.cluster, &space.name);
    cluster.apply(&format!(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{ name: {name} }}
rules:
  - {{ apiGroups: [apps, batch, networking.k8s.io, discovery.k8s.io, apiextensions.k8s.io], resources: ["*"], verbs: [list, watch] }}
  - {{ apiGroups: [""], resources: [namespaces, nodes, pods, serviceaccounts, replicationcontrollers], verbs: [list, watch] }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{ name: {name} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name} }}
subjects: [{{ kind: ServiceAccount, name: default, namespace: {name} }}]
"#
    ));
    let token = cluster.kubectl(&["create", "token", "default", "-n", name]);
    let path = folder.path().join("kubeconfig").display().to_string();
    std::fs::copy(cluster.file("admin.kubeconfig"), &path).unwrap();
    let kubectl = |words: &[&str]| {
        let program = cluster.file("bin/kubectl");
        let mut argv = vec![program.as_str(), "--kubeconfig", &path, "config"];
        argv.extend(words);
        command::run(&argv, "", WAIT).unwrap();
    };
    kubectl(&["set-credentials", "limited", &format!("--token={}", token.trim())]);
    kubectl(&["set-context", "--current", "--user=limited"]);
    path
}

#[test]
fn a_kind_that_may_not_be_listed_is_named_with_the_right_it_lacks_until_that_is_granted() {
    let cluster = Cluster::find();
    let space = cluster.namespace("bad-rights");
    let folder = TempDir::new().unwrap();
    let server = Server::start(&limited(&space, &folder), "");
    let status = server.until("denied", |it| kind(it, "services")["state"] == "denied");
    assert_eq!(kind(&status, "pods")["state"], "following");
    let (code, text) = server.run(&["status"]);
    assert_eq!(code, 3, "{text}");
    let advice = "grant verb `list` on resource `services` of apiGroup \"\"";
    assert!(text.contains(advice), "{text}");
    make_pods(&space, 0..1);
    server.agrees(&space);

    let more = r#"[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["services"],"verbs":["list","watch"]}}]"#;
    cluster.kubectl(&["patch", "clusterrole", &space.name, "--type=json", "-p", more]);
    server.until("granted", |it| kind(it, "services")["state"] == "following");
    server.well();
    cluster.kubectl(&["delete", "clusterrole,clusterrolebinding", &space.name]);
}
