//! The server with native enforcement, as an operator uses it: apply, drift, repair, rollback; and
//! the probe.

use std::time::Duration;

use sekisho_system::wait;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::server::{Server, WAIT, policies, sekisho};

/// A server that enforces natively and looks at the cluster each second.
fn start(cluster: &Cluster, repair: bool) -> Server {
    let more = format!("enforcement = 'native'\ndrift_check_s = 1\nrepair = {repair}");
    Server::start(&cluster.file("admin.kubeconfig"), &more)
}

/// Waits until the drift in `namespace` is as many objects; their kinds. Policies of namespaces
/// that other tests left are still being deleted.
fn drift(server: &Server, namespace: &str, count: usize) -> Vec<String> {
    let kinds = || {
        let status = server.status()?;
        status["native"]["checked"].as_str()?;
        let all = status["native"]["drift"].as_array()?.clone();
        let place = format!(" {namespace}/");
        let here = |one: &&Value| one["object"].as_str().is_some_and(|name| name.contains(&place));
        let kind = |one: &Value| one["kind"].as_str().unwrap_or_default().to_owned();
        let kinds: Vec<String> = all.iter().filter(here).map(kind).collect();
        (kinds.len() == count).then_some(kinds)
    };
    wait::until(WAIT, kinds).unwrap_or_else(|| panic!("{}", server.run(&["status"]).1))
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
    let server = start(&cluster, false);
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 80), &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("2 to create") && text.contains("Revision 1 enforced"), "{text}");
    assert_eq!(port(&cluster, ns, "a"), "80");
    assert!(drift(&server, ns, 0).is_empty());

    let (code, text) = server.apply(&policies(ns, &["a", "b"], 81), &[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(port(&cluster, ns, "a"), "81");

    let patch = r#"{"spec":{"ingress":[{}]}}"#;
    cluster.kubectl(&["patch", "netpol", "a", "-n", ns, "--type=merge", "-p", patch]);
    cluster.kubectl(&["delete", "netpol", "b", "-n", ns]);
    cluster.apply(&format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: foreign, namespace: \
         {ns}}}, spec: {{podSelector: {{}}}}}}"
    ));
    assert_eq!(drift(&server, ns, 3), ["edited", "deleted", "foreign_added"]);
    let (code, text) = server.run(&["status"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains(&format!("NetworkPolicy {ns}/a was edited by kubectl")), "{text}");

    // A new apply does not force what kubectl holds, and changes nothing at all.
    let (code, text) = server.apply(&policies(ns, &["a", "b"], 82), &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("kubectl-patch") && text.contains("nothing was changed"), "{text}");
    // A repair was asked for.
    let (code, text) = server.run(&["rollback", "--repair"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!((port(&cluster, ns, "a"), port(&cluster, ns, "b")), ("81".into(), "81".into()));
    assert_eq!(drift(&server, ns, 1), ["foreign_added"]);

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
    let server = start(&cluster, true);
    let file = server.path("policies.yaml");
    std::fs::write(&file, policies(ns, &["a", "b"], 80)).unwrap();
    let (code, text) = server.run(&["stage", "-f", &file]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(cluster.kubectl(&["get", "netpol", "-n", ns, "-o", "name"]), "");
    assert_eq!(server.apply(&policies(ns, &["a", "b"], 80), &[]).0, 0);
    cluster.kubectl(&["delete", "netpol", "b", "-n", ns]);
    let back = || cluster.try_kubectl(&["get", "netpol", "b", "-n", ns, "-o", "name"], "").ok();
    assert!(wait::until(WAIT, back).is_some(), "{}", server.run(&["status"]).1);
    drift(&server, ns, 0);
    assert_eq!(server.status().unwrap()["native"]["repaired"], 1);
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
