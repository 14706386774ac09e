//! Each node's agent speaks for that node and for no other, as the API server tells which it is on.
//! Whoever takes over a node has what its agent has: the shared certificate, and a token of its pod.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use sekisho_api::{CallError, Client, Order, TlsFiles};
use sekisho_model::{Batch, Timestamp};
use sekisho_system::{terminate, wait};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::install::{Installed, NODES};

const WAIT: Duration = Duration::from_secs(120);
const ACCOUNT: &str = "sekisho-agent";

/// A way to the server's port, for as long as its pod lives.
struct Tunnel {
    child: Child,
    port: u16,
    /// It ends when nobody can read what it says.
    _said: BufReader<ChildStdout>,
}

impl Tunnel {
    #[expect(clippy::disallowed_methods, reason = "it runs beside the test and is read meanwhile")]
    fn open(cluster: &Cluster) -> Self {
        let mut command = Command::new(cluster.file("bin/kubectl"));
        command.args(["--kubeconfig", &cluster.file("admin.kubeconfig"), "-n", "sekisho"]);
        command.args(["port-forward", "service/sekisho-server", ":7443"]);
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        // Forwarding from 127.0.0.1:40123 -> 7443
        let port = line.split(&[':', ' '][..]).find_map(|word| word.parse().ok());
        Self { child, port: port.unwrap_or_else(|| panic!("no port in `{line}`")), _said: said }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        terminate(&mut self.child, Duration::from_secs(5));
    }
}

/// Somebody with the certificate that all agents share.
struct Thief<'a> {
    cluster: &'a Cluster,
    product: &'a Installed<'a>,
    tunnel: Tunnel,
    runtime: tokio::runtime::Runtime,
}

impl Thief<'_> {
    fn shared(&self) -> Client {
        let file = |name: &str| self.product.path("ca/agent").join(name);
        let files =
            TlsFiles { ca: file("ca.crt"), certificate: file("tls.crt"), key: file("tls.key") };
        let server = format!("https://127.0.0.1:{}", self.tunnel.port).parse().unwrap();
        Client::at(server, Some(files), Some("sekisho-server.sekisho.svc")).unwrap()
    }

    /// A token that the API server makes of `account` in the namespace of the product.
    fn token(&self, name: &str, account: &str, more: &[&str]) -> PathBuf {
        let words = ["create", "token", account, "--namespace", "sekisho"];
        let file = self.product.path(name);
        std::fs::write(&file, self.cluster.kubectl(&[&words[..], more].concat())).unwrap();
        file
    }

    /// The order for `node` that the server gives somebody with `token`, who claims to be on `claimed`.
    fn order(&self, claimed: &str, token: &Path, node: &str) -> Result<Option<Order>, CallError> {
        let client = self.shared().proving_node(claimed, token);
        self.runtime.block_on(client.order(node, 0))
    }
}

/// Name and identity of the agent's pod on `node`, and how often it was started again.
fn agent(cluster: &Cluster, node: &str) -> (String, String, u64) {
    let field = format!("--field-selector=spec.nodeName={node}");
    let label = "--selector=app.kubernetes.io/component=agent";
    let pods = cluster.get(&["pods", "--namespace", "sekisho", &field, label]);
    let pod = &pods["items"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap();
    (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]), restarts)
}

/// When each agent was heard last, once both use a certificate of their own and were heard after
/// `before`.
fn heard(product: &Installed<'_>, before: &str) -> Vec<String> {
    let both = || {
        let status = product.json(&["status"]);
        let own = |agent: &&Value| {
            let tiers = agent["report"]["tiers"].as_array().unwrap();
            tiers.iter().any(|tier| tier == "certificate: this node's own")
                && agent["last_heard"].as_str().unwrap() > before
        };
        let agents = status["agents"].as_array()?;
        let times = agents.iter().filter(own).map(|agent| agent["last_heard"].as_str());
        let times: Vec<String> = times.flatten().map(str::to_owned).collect();
        (times.len() == NODES.len()).then_some(times)
    };
    wait::until(WAIT, both).unwrap_or_else(|| panic!("{:#}", product.json(&["status"])))
}

fn batch(node: &str) -> Batch {
    Batch {
        node: node.to_owned(),
        epoch: Timestamp::from_seconds(1),
        sequence: 1,
        time: Timestamp::from_seconds(2),
        halves: Vec::new(),
        counters: Vec::new(),
        shed: 0,
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, CallError>, words: &[&str]) {
    let text = answer.expect_err("it should be refused").to_string();
    for word in words {
        assert!(text.contains(word), "`{word}`: {text}");
    }
}

#[test]
fn an_agent_speaks_for_its_own_node_only_and_a_new_server_gives_it_a_new_certificate() {
    let cluster = Cluster::find();
    let product = Installed::new(&cluster);
    product.await_orders(0);
    let first = heard(&product, "");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tunnel = Tunnel::open(&cluster);
    let thief = Thief { cluster: &cluster, product: &product, tunnel, runtime };
    let (pod, uid, _) = agent(&cluster, "node1");
    let bound =
        ["--bound-object-kind=Pod", "--bound-object-name", &pod, "--bound-object-uid", &uid];
    let audience = ["--audience=sekisho"];
    let own = thief.token("own", ACCOUNT, &[&bound[..], &audience].concat());

    // What node1 has opens what is of node1.
    assert!(thief.order("node1", &own, "node1").unwrap().is_some());
    refused(thief.order("node1", &own, "node2"), &["`node1`", "can't speak for `node2`"]);
    refused(thief.order("node2", &own, "node2"), &[&pod, "on `node1`", "can't speak for `node2`"]);
    let client = thief.shared().proving_node("node1", &own);
    refused(
        thief.runtime.block_on(client.send_batch(&batch("node2"))),
        &["can't speak for `node2`"],
    );
    for node in NODES {
        let shared = thief.runtime.block_on(thief.shared().order(node, 0));
        refused(shared, &["all agents share"]);
    }
    // Tokens that prove nothing: for the API server, of nobody's pod, of another account.
    let other = thief.token("other", ACCOUNT, &bound);
    refused(thief.order("node1", &other, "node1"), &["does not take the token"]);
    let unbound = thief.token("unbound", ACCOUNT, &audience);
    refused(thief.order("node1", &unbound, "node1"), &["names no pod and node"]);
    let stranger = thief.token("stranger", "default", &audience);
    refused(
        thief.order("node1", &stranger, "node1"),
        &["sekisho:default", "sekisho/sekisho-agent"],
    );
    let forged = product.path("forged");
    std::fs::write(&forged, "eyJhbGciOiJub25lIn0.e30.").unwrap();
    refused(thief.order("node1", &forged, "node1"), &["does not take the token"]);
    drop(thief);
    // Whoever looks after the cluster sees that somebody tried.
    let (code, told, _) = product.sekisho(&["status"]);
    assert!(code == 3 && told.contains("the agent on node1 gets no certificate"), "{told}");

    // The agents went on meanwhile, and go on with a server that knows none of their certificates.
    let before = heard(&product, first.iter().max().unwrap());
    cluster.kubectl(&[
        "delete",
        "pod",
        "--namespace=sekisho",
        "--selector=app.kubernetes.io/component=server",
    ]);
    product.await_ready();
    heard(&product, before.iter().max().unwrap());
    product.await_orders(0);
    assert_eq!(agent(&cluster, "node1"), (pod, uid, 0), "it is the same process");
    product.remove();
}
