//! Bad days of an apply: the API server dies in the middle of it, etcd is full, a webhook is in the
//! way, another controller wants it otherwise. Nothing stays half done, and it is said what is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sekisho_system::{command, wait};
use serde_json::Value;

use crate::cluster::{API_SERVER, Cluster};
use crate::gate::{Gate, Verdict};
use crate::server::{Server, WAIT, policies};

/// Policies of the apply in whose middle the API server dies.
const MANY: usize = 60;
/// How long a webhook thinks: less than the API server waits for one (10 s).
const THOUGHT: Duration = Duration::from_secs(8);

/// Uid and version of each policy of a namespace: what would be half applied shows here.
pub(crate) fn stored(cluster: &Cluster, namespace: &str) -> String {
    let path = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}\n{end}";
    cluster.kubectl(&["get", "netpol", "-n", namespace, "-o", path])
}

/// The ports that the policies of a namespace open, by name.
pub(crate) fn ports(cluster: &Cluster, namespace: &str) -> String {
    let path = "jsonpath={range .items[*]}{.metadata.name}={.spec.ingress[0].ports[0].port} {end}";
    cluster.kubectl(&["get", "netpol", "-n", namespace, "-o", path]).trim().to_owned()
}

/// Asks etcd itself (etcd v3.7, the JSON gateway of its Maintenance service).
fn alarm(cluster: &Cluster, action: &str) -> String {
    let data = format!("--data-dir={}", cluster.file("etcd"));
    let lines = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|process| std::fs::read_to_string(process.ok()?.path().join("cmdline")).ok());
    let etcd = lines.into_iter().find(|line| line.split('\0').any(|word| word == data)).unwrap();
    let url = etcd.split('\0').find_map(|word| word.strip_prefix("--listen-client-urls=")).unwrap();
    let pki = |name: &str| cluster.file(&format!("pki/{name}"));
    let (ca, cert) = (pki("ca.crt"), pki("apiserver-etcd-client.crt"));
    let key = pki("apiserver-etcd-client.key");
    let body = format!(r#"{{"action":"{action}","alarm":"NOSPACE"}}"#);
    let url = format!("{url}/v3/maintenance/alarm");
    let argv = ["curl", "-sS", "--cacert", &ca, "--cert", &cert, "--key", &key, "-d", &body, &url];
    command::run(&argv, "", WAIT).unwrap().stdout
}

/// Takes the alarm back, also when a test fails: the cluster is everybody's.
struct Full<'a>(&'a Cluster);

impl Drop for Full<'_> {
    fn drop(&mut self) {
        alarm(self.0, "DEACTIVATE");
    }
}

#[test]
fn an_etcd_that_is_full_refuses_an_apply_as_a_whole_and_takes_it_when_there_is_room() {
    let cluster = Cluster::find();
    let space = cluster.namespace("bad-full");
    let ns = space.name.as_str();
    let server = Server::start(&cluster.file("admin.kubeconfig"), "enforcement = 'native'");
    let stored = || stored(&cluster, ns);
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 80), &[]);
    assert_eq!(code, 0, "{text}");
    let before = stored();
    assert_eq!(before.lines().count(), 2, "{before}");

    assert!(alarm(&cluster, "ACTIVATE").contains("NOSPACE"));
    let full = Full(&cluster);
    // `a` changes, `b` goes and `c` comes: etcd would still delete.
    let next = policies(ns, &["a", "c"], 81);
    let (code, text) = server.apply(&next, &["--prune"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("database space exceeded"), "{text}");
    assert!(text.contains("compact and defragment it, disarm its alarm"), "{text}");
    assert!(text.contains("what was in force still is") && !text.contains("HALF"), "{text}");
    assert_eq!(stored(), before);
    drop(full);

    let (code, text) = server.apply(&next, &["--prune"]);
    assert_eq!(code, 0, "{text}");
    let after = stored();
    let names: Vec<&str> = after.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["a", "c"], "{after}");
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}

/// A webhook for NetworkPolicies of one namespace, at an address of the API server's machine where
/// nobody listens.
const WEBHOOK: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NAMESPACE}
webhooks:
  - name: gate.example.com
    clientConfig: {url: 'https://127.0.0.1:1/'}
    rules: [{apiGroups: [networking.k8s.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [networkpolicies]}]
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
";

/// Takes the webhook away also when the test fails.
struct Hook<'a>(&'a Cluster, &'a str);

impl<'a> Hook<'a> {
    fn make(cluster: &'a Cluster, namespace: &'a str) -> Self {
        cluster.apply(&WEBHOOK.replace("NAMESPACE", namespace));
        Self(cluster, namespace)
    }
}

impl Drop for Hook<'_> {
    fn drop(&mut self) {
        // A test that failed may have left no API server: its own words count, and the others go on.
        if let Err(error) =
            self.0.try_kubectl(&["delete", "validatingwebhookconfiguration", self.1], "")
        {
            println!("webhook {} stays: {error}", self.1);
        }
    }
}

#[test]
fn a_webhook_that_is_down_is_named_and_nothing_is_applied() {
    let cluster = Cluster::find();
    let space = cluster.namespace("bad-webhook");
    let ns = space.name.as_str();
    let server = Server::start(&cluster.file("admin.kubeconfig"), "enforcement = 'native'");
    let (code, text) = server.apply(&policies(ns, &["a"], 80), &[]);
    assert_eq!(code, 0, "{text}");
    let before = stored(&cluster, ns);
    let next = policies(ns, &["a", "b"], 81);
    let hook = Hook::make(&cluster, ns);
    // The API server uses a new webhook a moment later.
    let used = || {
        let words = ["create", "--dry-run=server", "-f", "-"];
        let refused = cluster.try_kubectl(&words, &policies(ns, &["probe"], 1)).err()?;
        refused.contains("failed calling webhook").then_some(())
    };
    assert!(wait::until(WAIT, used).is_some());
    let (code, text) = server.apply(&next, &[]);
    assert_eq!(code, 1, "{text}");
    let advice = "a webhook of this cluster does not answer";
    for words in ["gate.example.com", advice, "nothing was changed"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(stored(&cluster, ns), before);
    drop(hook);
    let applied = || (server.apply(&next, &[]).0 == 0).then_some(());
    assert!(wait::until(WAIT, applied).is_some(), "the twin: without the webhook it does");
    assert_eq!(ports(&cluster, ns), "a=81 b=81");
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}

#[test]
fn an_object_that_another_controller_changes_back_each_time_is_left_to_people_and_others_are_not() {
    let cluster = Cluster::find();
    let space = cluster.namespace("bad-fight");
    let ns = space.name.as_str();
    let more = "enforcement = 'native'\ndrift_check_s = 1\nrepair = true";
    let server = Server::start(&cluster.file("admin.kubeconfig"), more);
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 80), &[]);
    assert_eq!(code, 0, "{text}");
    let over = AtomicBool::new(false);
    let patch = |port: u16| {
        let patch = format!(r#"{{"spec":{{"ingress":[{{"ports":[{{"port":{port}}}]}}]}}}}"#);
        let words = ["patch", "netpol", "a", "-n", ns, "--type=merge", "-p", &patch];
        cluster.kubectl(&[&words[..], &["--field-manager=other-controller"]].concat());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                patch(9999);
                wait::until(Duration::from_secs(1), || None::<()>);
            }
        });
        let ended = Ended(&over);
        let fought = |status: &Value| {
            status["native"]["contested"].as_array().is_some_and(|all| !all.is_empty())
        };
        let status = server.until("the fight is noticed", fought);
        assert_eq!(status["native"]["repaired"], 5);
        let (code, text) = server.run(&["status"]);
        assert_eq!(code, 3, "{text}");
        let words =
            format!("FOUGHT OVER: NetworkPolicy {ns}/a: put right 5 times within 10 minutes");
        for words in [words.as_str(), "by other-controller", "agree with whoever"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        // The twin: what nobody fights over is still put right.
        cluster.kubectl(&["delete", "netpol", "b", "-n", ns]);
        let back = || ports(&cluster, ns).contains("b=80").then_some(());
        assert!(wait::until(WAIT, back).is_some(), "{}", server.run(&["status"]).1);
        assert_eq!(ports(&cluster, ns), "a=9999 b=80", "the other one is left as it is");
        assert_eq!(server.status().unwrap()["native"]["repaired"], 6);
        drop(ended);
    });
    // People settled it.
    let (code, text) = server.run(&["rollback", "--repair"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(ports(&cluster, ns), "a=80 b=80");
    server.until("peace", |status| {
        status["native"]["contested"].as_array().is_some_and(Vec::is_empty)
            && status["native"]["drift"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}

/// Ends the other controller also when the test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_api_server_that_dies_in_the_middle_of_an_apply_leaves_all_of_it_or_nothing() {
    let cluster = Cluster::find();
    let space = cluster.namespace("bad-middle");
    let ns = space.name.as_str();
    let server = Server::start(&cluster.file("admin.kubeconfig"), "enforcement = 'native'");
    let names: Vec<String> = (100..100 + MANY).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (code, text) = server.apply(&policies(ns, &names[..MANY / 2], 80), &[]);
    assert_eq!(code, 0, "{text}");
    let before = ports(&cluster, ns);
    let next = policies(ns, &names, 81);
    // A webhook that thinks about the first new policy for so long that the API server dies meanwhile.
    let gate = Gate::new(&cluster, "validating", ns);
    let (middle, asked) = (names[MANY / 2].to_owned(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&asked);
    gate.judge(move |request| {
        let earnest = request["name"] == middle.as_str() && request["dryRun"] != true;
        if earnest && !seen.swap(true, Ordering::Relaxed) {
            wait::until(THOUGHT, || None::<()>);
        }
        Verdict::Allow
    });
    let (code, text) = std::thread::scope(|scope| {
        let apply = scope.spawn(|| server.apply(&next, &[]));
        let begun = || asked.load(Ordering::Relaxed).then_some(());
        assert!(wait::until(WAIT, begun).is_some(), "it never came to the middle");
        assert_eq!(ports(&cluster, ns).matches("=81").count(), MANY / 2);
        cluster.stop(API_SERVER);
        cluster.start(API_SERVER);
        apply.join().unwrap()
    });
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("what was in force still is"), "{text}");
    assert!(!text.contains("HALF"), "{text}");
    assert_eq!(ports(&cluster, ns), before, "all was taken back");
    // The twin: run again, it works.
    let (code, text) = server.apply(&next, &[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(ports(&cluster, ns).matches("=81").count(), MANY);
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}
