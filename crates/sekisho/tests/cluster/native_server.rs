//! The server with native enforcement, as an operator uses it: apply, drift, repair, rollback; and
//! the probe.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sekisho_system::{terminate, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;

const WAIT: Duration = Duration::from_secs(30);

/// A server that enforces natively, and its folder.
struct Server {
    child: Option<Child>,
    folder: TempDir,
}

#[expect(clippy::disallowed_methods, reason = "the binary under test is run as a user runs it")]
pub(crate) fn sekisho(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

impl Server {
    fn start(cluster: &Cluster, repair: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "[server]\nsocket = '{}'\ndata_dir = '{}'\nenforcement = 'native'\nkubernetes = '{}'\n\
             drift_check_s = 1\nrepair = {repair}\n",
            path("socket"),
            path("data"),
            cluster.file("admin.kubeconfig"),
        );
        std::fs::write(path("config.toml"), config).unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let mut command =
            sekisho(&["--config", &path("config.toml"), "server", "--die-with-parent"]);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Self { child: Some(child), folder };
        wait::until(WAIT, || (server.run(&["status"]).0 != 2).then_some(())).expect("it serves");
        server
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Exit code and output of a command that asks this server.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let done = sekisho(arguments).env("SEKISHO_SERVER", self.path("socket")).output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        (done.status.code().unwrap(), text)
    }

    fn apply(&self, policies: &str, more: &[&str]) -> (i32, String) {
        let file = self.path("policies.yaml");
        std::fs::write(&file, policies).unwrap();
        let mut words = vec!["apply", "-f", &file];
        words.extend(more);
        self.run(&words)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "-o", "json"]).1).unwrap()
    }

    /// Waits until the drift in `namespace` is as many objects; their kinds. Policies of namespaces
    /// that other tests left are still being deleted.
    fn drift(&self, namespace: &str, count: usize) -> Vec<String> {
        let kinds = || {
            let status = self.status();
            status["native"]["checked"].as_str()?;
            let all = status["native"]["drift"].as_array()?.clone();
            let place = format!(" {namespace}/");
            let here =
                |one: &&Value| one["object"].as_str().is_some_and(|name| name.contains(&place));
            let kind = |one: &Value| one["kind"].as_str().unwrap_or_default().to_owned();
            let kinds: Vec<String> = all.iter().filter(here).map(kind).collect();
            (kinds.len() == count).then_some(kinds)
        };
        wait::until(WAIT, kinds).unwrap_or_else(|| panic!("{:#}", self.status()["native"]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            terminate(&mut child, Duration::from_secs(10));
        }
    }
}

fn policies(namespace: &str, port: u16) -> String {
    ["a", "b"]
        .map(|name| {
            format!(
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, \
                 namespace: {namespace}}}\nspec: {{podSelector: {{matchLabels: {{app: {name}}}}}, \
                 ingress: [{{ports: [{{port: {port}}}]}}]}}\n"
            )
        })
        .join("---\n")
}

fn port(cluster: &Cluster, namespace: &str, name: &str) -> String {
    let path = "jsonpath={.spec.ingress[0].ports[0].port}";
    cluster.kubectl(&["get", "netpol", name, "-n", namespace, "-o", path])
}

#[test]
fn an_operator_applies_sees_drift_repairs_and_goes_back() {
    let cluster = Cluster::find();
    let space = cluster.namespace("native-server");
    let ns = space.name.as_str();
    let server = Server::start(&cluster, false);
    let (code, text) = server.apply(&policies(ns, 80), &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("2 to create") && text.contains("Revision 1 enforced"), "{text}");
    assert_eq!(port(&cluster, ns, "a"), "80");
    assert!(server.drift(ns, 0).is_empty());

    let (code, text) = server.apply(&policies(ns, 81), &[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(port(&cluster, ns, "a"), "81");

    let patch = r#"{"spec":{"ingress":[{}]}}"#;
    cluster.kubectl(&["patch", "netpol", "a", "-n", ns, "--type=merge", "-p", patch]);
    cluster.kubectl(&["delete", "netpol", "b", "-n", ns]);
    cluster.apply(&format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: foreign, namespace: \
         {ns}}}, spec: {{podSelector: {{}}}}}}"
    ));
    assert_eq!(server.drift(ns, 3), ["edited", "deleted", "foreign_added"]);
    let (code, text) = server.run(&["status"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains(&format!("NetworkPolicy {ns}/a was edited by kubectl")), "{text}");

    // A new apply does not force what kubectl holds, and changes nothing at all.
    let (code, text) = server.apply(&policies(ns, 82), &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("kubectl-patch") && text.contains("nothing was changed"), "{text}");
    // A repair was asked for.
    let (code, text) = server.run(&["rollback", "--repair"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!((port(&cluster, ns, "a"), port(&cluster, ns, "b")), ("81".into(), "81".into()));
    assert_eq!(server.drift(ns, 1), ["foreign_added"]);

    let (code, text) = server.run(&["rollback", "1"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(port(&cluster, ns, "a"), "80");
    let (code, text) = server.run(&["rollback", "0"]);
    assert_eq!(code, 0, "{text}");
    let names = cluster.kubectl(&["get", "netpol", "-n", ns, "-o", "name"]);
    assert_eq!(names.trim(), "networkpolicy.networking.k8s.io/foreign");
}

#[test]
fn a_server_that_may_repairs_unasked_and_staging_touches_nothing() {
    let cluster = Cluster::find();
    let space = cluster.namespace("native-repair");
    let ns = space.name.as_str();
    let server = Server::start(&cluster, true);
    let file = server.path("policies.yaml");
    std::fs::write(&file, policies(ns, 80)).unwrap();
    let (code, text) = server.run(&["stage", "-f", &file]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(cluster.kubectl(&["get", "netpol", "-n", ns, "-o", "name"]), "");
    assert_eq!(server.apply(&policies(ns, 80), &[]).0, 0);
    cluster.kubectl(&["delete", "netpol", "b", "-n", ns]);
    let back = || cluster.try_kubectl(&["get", "netpol", "b", "-n", ns, "-o", "name"], "").ok();
    assert!(wait::until(WAIT, back).is_some(), "{}", server.run(&["status"]).1);
    server.drift(ns, 0);
    assert_eq!(server.status()["native"]["repaired"], 1);
    assert_eq!(server.run(&["rollback", "0"]).0, 0);
}

#[test]
fn the_probe_finds_that_a_cni_without_policies_enforces_none_and_leaves_nothing() {
    let cluster = Cluster::find();
    let kubeconfig = cluster.file("admin.kubeconfig");
    let words = ["cluster", "probe", "--image", "docker.io/library/busybox:local"];
    let mut all = words.to_vec();
    all.extend(["--kubeconfig", &kubeconfig, "--enforce-wait", "5", "-o", "json"]);
    let done = sekisho(&all).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{error}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let verdicts: Vec<&Value> =
        report["findings"].as_array().unwrap().iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts, ["not_enforced", "not_enforced"], "{report:#}");
    let none = || {
        let left = cluster.kubectl(&["get", "ns", "-l", "sekisho.dev/probe=true", "-o", "name"]);
        left.is_empty().then_some(())
    };
    assert!(wait::until(Duration::from_secs(60), none).is_some());
}
