//! Each question of `hubble`, asked of a server that two agents told of connections and of a denial.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use sekisho_model::{DecidedBy, DenyRecord, Direction, Half, Protocol};
use sekisho_system::{terminate, wait};
use serde_json::Value;

use crate::halves::{Pair, now};
use crate::run::{Answer, run};
use crate::served::Served;

const CONNECTIONS: u64 = 40;

struct Site {
    served: Served,
    address: SocketAddr,
    pair: Pair,
}

impl Site {
    /// A server with 40 connections of eight clients with `db`, and one that was denied.
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let served = Served::start(&format!("hubble_listen = \"{address}\""));
        let mut site = Self { served, address, pair: Pair::new() };
        site.report(CONNECTIONS);
        let denied = Half::Denied(DenyRecord {
            time: now(),
            protocol: Protocol::Tcp,
            source: "10.0.1.3:40000".parse().unwrap(),
            destination: "10.0.2.1:6379".parse().unwrap(),
            decided_by: DecidedBy {
                policy: "shop/db".to_owned(),
                rule: None,
                direction: Direction::Ingress,
            },
            audit: false,
        });
        site.served.send(&site.pair.b.batch(vec![denied])).unwrap();
        site.served.await_status(|status| status.flows > CONNECTIONS);
        site
    }

    fn report(&mut self, count: u64) {
        for batch in self.pair.batches(count) {
            self.served.send(&batch).unwrap();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the other program is run as its users run it")]
    fn command(&self, arguments: &[&str]) -> Command {
        let program = std::env::var("SEKISHO_TEST_HUBBLE")
            .expect("SEKISHO_TEST_HUBBLE is the path of `hubble`: see tests/hubble/main.rs");
        let mut command = Command::new(program);
        // Of its own settings it must find none.
        command.env("HOME", self.served.folder.path()).env("NO_COLOR", "1");
        command.args(["--server", &self.address.to_string()]).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    fn ask(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().unwrap())
    }

    /// The flows that `observe -o jsonpb` gives.
    #[track_caller]
    fn flows(&self, arguments: &[&str]) -> Vec<Value> {
        let answer = self.ask(&[&["observe", "-o", "jsonpb"], arguments].concat()).with_code(0);
        let flow = |line: &str| serde_json::from_str::<Value>(line).unwrap()["flow"].clone();
        answer.out.lines().map(flow).collect()
    }
}

#[test]
fn status_and_lists_tell_of_our_agents_and_namespaces() {
    let site = Site::new();
    let status = site.ask(&["status"]).with_code(0).out;
    assert!(status.contains("Ok") && status.contains("41/65,536"), "{status}");
    assert!(status.contains("Connected Nodes: 2/2"), "{status}");
    let nodes = site.ask(&["list", "nodes"]).with_code(0).out;
    assert!(nodes.contains("default/node-a") && nodes.contains("default/node-b"), "{nodes}");
    assert!(nodes.contains("Connected"), "{nodes}");
    let namespaces = site.ask(&["list", "namespaces"]).with_code(0).out;
    assert!(namespaces.contains("shop"), "{namespaces}");
    let events = site.ask(&["observe", "agent-events"]);
    assert!(events.code != 0 && events.err.contains("no Cilium agent"), "{}", events.err);
}

#[test]
fn observe_shows_what_is_asked_for_and_nothing_else() {
    let site = Site::new();
    for (arguments, expected) in [
        (&["--last", "20"][..], 20),
        (&["--first", "7"], 7),
        (&["--all"], 41),
        (&["--since", "10m"], 41),
        (&["--until", "10m"], 0),
        (&["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"], 0),
        (&["--all", "--from-pod", "shop/client-1"], 5),
        (&["--all", "--from-pod", "shop/client"], 41),
        (&["--all", "--from-pod", "shop/db"], 0),
        (&["--all", "--to-pod", "shop/db"], 41),
        (&["--all", "--pod", "client-1"], 0),
        (&["--all", "--namespace", "shop"], 41),
        (&["--all", "--namespace", "bank"], 0),
        (&["--all", "--verdict", "DROPPED"], 1),
        (&["--all", "--verdict", "FORWARDED"], 40),
        (&["--all", "--not", "--verdict", "DROPPED"], 40),
        (&["--all", "--protocol", "tcp"], 41),
        (&["--all", "--protocol", "udp"], 0),
        (&["--all", "--port", "5432"], 40),
        (&["--all", "--to-port", "6379"], 1),
        (&["--all", "--from-port", "40000"], 1),
        (&["--all", "--to-ip", "10.0.2.0/24"], 41),
        (&["--all", "--from-ip", "10.0.1.3"], 6),
        (&["--all", "--from-label", "app=client-2"], 6),
        (&["--all", "--to-label", "app notin (db)"], 0),
        (&["--all", "--to-label", "k8s:app=db,!tier"], 41),
        (&["--all", "--node-name", "node-a"], 40),
        (&["--all", "--node-name", "default/node-b"], 1),
        (&["--all", "--node-name", "west/"], 0),
        (&["--all", "--type", "drop"], 1),
        (&["--all", "--type", "trace"], 40),
        (&["--all", "--traffic-direction", "ingress"], 1),
        (&["--all", "--traffic-direction", "egress"], 40),
        (&["--all", "--drop-reason-desc", "POLICY_DENIED"], 1),
        (&["--all", "-4"], 41),
        (&["--all", "-6"], 0),
        (&["--all", "--to-service", "shop/db"], 0),
        (&["--all", "--to-fqdn", "*.example"], 0),
        (&["--all", "--from-cluster", "default"], 41),
    ] {
        assert_eq!(site.flows(arguments).len(), expected, "{arguments:?}");
    }
}

#[test]
fn a_filter_that_our_records_cannot_answer_is_refused_by_name() {
    let site = Site::new();
    for (arguments, field) in [
        (&["--http-status", "500"][..], "http_status_code"),
        (&["--protocol", "http"], "protocol"),
        (&["--tcp-flags", "SYN"], "tcp_flags"),
        (&["--trace-id", "a"], "trace_id"),
        (&["--uuid", "b9fab269-04ae-495c-9d12-b6c36d41de0d"], "uuid"),
        (&["--cel-expression", "true"], "experimental"),
    ] {
        let answer = site.ask(&[&["observe", "--all"], arguments].concat());
        assert_ne!(answer.code, 0, "{arguments:?}: {}", answer.out);
        assert!(answer.err.contains("InvalidArgument"), "{arguments:?}: {}", answer.err);
        assert!(answer.err.contains(field), "{arguments:?}: {}", answer.err);
    }
    assert_eq!(site.flows(&["--all", "--protocol", "TCP"]).len(), 41);
}

#[test]
fn a_flow_says_who_whom_and_why() {
    let site = Site::new();
    let denied = site.flows(&["--verdict", "DROPPED"]).remove(0);
    let text = |path: &str| denied.pointer(path).and_then(Value::as_str).unwrap_or_default();
    for (path, expected) in [
        ("/verdict", "DROPPED"),
        ("/IP/source", "10.0.1.3"),
        ("/source/namespace", "shop"),
        ("/source/pod_name", "client-2"),
        ("/destination/pod_name", "db"),
        ("/destination/cluster_name", "default"),
        ("/node_name", "default/node-b"),
        ("/drop_reason_desc", "POLICY_DENIED"),
        ("/traffic_direction", "INGRESS"),
        ("/ingress_denied_by/0/name", "db"),
        ("/ingress_denied_by/0/namespace", "shop"),
    ] {
        assert_eq!(text(path), expected, "{path} in {denied:#}");
    }
    assert_eq!(denied["l4"]["TCP"]["destination_port"], 6379);
    let labels: Vec<&str> =
        denied["source"]["labels"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(labels, ["k8s:app=client-2", "k8s:io.kubernetes.pod.namespace=shop"]);
    let line = site.ask(&["observe", "--verdict", "DROPPED"]).with_code(0).out;
    assert!(line.contains("shop/client-2:40000"), "{line}");
    assert!(line.contains("Policy denied DROPPED"), "{line}");
    let line = site.ask(&["observe", "--last", "1", "--port", "5432"]).with_code(0).out;
    assert!(line.contains("FORWARDED") && line.contains("client -> db"), "{line}");
    for form in ["json", "jsonpb", "dict", "table", "compact"] {
        let shown = site.ask(&["observe", "--last", "3", "-o", form]).with_code(0).out;
        assert!(shown.contains("client-"), "{form}: {shown}");
    }
    let masked = site.flows(&["--last", "1", "--field-mask", "verdict,source.pod_name"]).remove(0);
    assert!(masked["verdict"].is_string() && masked["IP"].is_null(), "{masked}");
}

#[test]
fn who_follows_sees_what_comes_and_ends_with_the_server() {
    let mut site = Site::new();
    let mut following = site.command(&["observe", "--follow", "-o", "jsonpb", "--port", "5432"]);
    let mut child = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    // It tells nobody when it began; until then what comes is not for it.
    wait::pause_for(Duration::from_secs(2));
    site.report(16);
    site.served.await_status(|status| status.flows >= CONNECTIONS + 1 + 16);
    wait::pause_for(Duration::from_secs(1));
    assert!(site.served.stop().success(), "{}", site.served.log());
    let ended = wait::until(Duration::from_secs(10), || child.try_wait().unwrap());
    terminate(&mut child, Duration::from_secs(5));
    assert!(ended.is_some(), "it goes on although the server ended");
    assert_eq!(reading.join().unwrap().lines().count(), 16);
}

#[test]
fn over_tls_a_viewer_looks_and_an_agent_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ca = path("ca");
    run(&["certificates", "make", &ca, "--cluster", "test", "--server-name", "localhost"])
        .with_code(0);
    run(&["certificates", "add", &ca, "viewer/ui"]).with_code(0);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keys = format!(
        "hubble_listen = \"0.0.0.0:{}\"\ntls = {{ca = \"{ca}/ca.crt\", \
         cert = \"{ca}/server/tls.crt\", key = \"{ca}/server/tls.key\"}}",
        free.port()
    );
    let site = Site { served: Served::start(&keys), address: free, pair: Pair::new() };
    let ask = |who: &str| {
        let (certificate, key) =
            (path(&format!("ca/{who}/tls.crt")), path(&format!("ca/{who}/tls.key")));
        let authority = format!("{ca}/ca.crt");
        site.ask(&[
            "status",
            "--tls",
            "--tls-ca-cert-files",
            &authority,
            "--tls-client-cert-file",
            &certificate,
            "--tls-client-key-file",
            &key,
            "--tls-server-name",
            "localhost",
        ])
    };
    let status = ask("viewer-ui").with_code(0).out;
    assert!(status.contains("Ok"), "{status}");
    ask("operator").with_code(0);
    let refused = ask("agent");
    assert!(refused.code != 0 && refused.err.contains("PermissionDenied"), "{}", refused.err);
    let bare = site.ask(&["status", "--timeout", "2s"]);
    assert_ne!(bare.code, 0, "{}", bare.out);
}
