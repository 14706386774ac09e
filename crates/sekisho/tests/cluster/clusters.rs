//! One server and two control planes, in which everything has the same names and addresses. Pods
//! and nodes are objects only, and agents are played: what is tested is who keeps what apart.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sekisho_api::Client;
use sekisho_system::{command, terminate, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::halves::{Pair, journal};

const WAIT: Duration = Duration::from_secs(60);
/// For xtask, which brings up a control plane.
const LIMIT: Duration = Duration::from_secs(240);
const API_SERVER: &str = "kube-apiserver";

/// A control plane of this test's own; down again at the end.
struct Plane {
    name: &'static str,
    state: String,
}

fn xtask(words: &[&str]) {
    let program = std::env::var("SEKISHO_TEST_XTASK").expect(
        "this test brings up control planes, and SEKISHO_TEST_XTASK does not name the program \
         `xtask`: run `cargo xtask test`, or set it to target/debug/xtask",
    );
    // It takes the package of that variable for its own, and this one is the test's.
    let argv = [&["env", "--unset=CARGO_MANIFEST_DIR", &program, "cluster"], words].concat();
    command::run(&argv, "", LIMIT).unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

impl Plane {
    fn up(name: &'static str) -> Self {
        // Beside the one of the other tests, and always there: an `up` clears what a killed test left.
        let beside = std::env::var("SEKISHO_TEST_CLUSTER").expect("SEKISHO_TEST_CLUSTER");
        let plane = Self { name, state: format!("{beside}-{name}") };
        xtask(&["up", "--control-plane", "--state", &plane.state]);
        plane
    }

    fn kubeconfig(&self) -> String {
        format!("{}/admin.kubeconfig", self.state)
    }

    fn try_kubectl(&self, words: &[&str], input: &str) -> Result<String, String> {
        let (program, kubeconfig) = (format!("{}/bin/kubectl", self.state), self.kubeconfig());
        let argv = [&[program.as_str(), "--kubeconfig", &kubeconfig], words].concat();
        let done = command::run(&argv, input, WAIT).map_err(|error| error.to_string())?;
        Ok(done.stdout)
    }

    fn kubectl(&self, words: &[&str], input: &str) -> String {
        self.try_kubectl(words, input).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Makes an object with its status, which no kubelet makes here.
    fn make(&self, mut object: Value) {
        let status = object.as_object_mut().unwrap().remove("status").unwrap();
        object["metadata"].as_object_mut().unwrap().remove("uid");
        let (kind, meta) = (object["kind"].as_str().unwrap(), &object["metadata"]);
        let mut what = vec![kind, meta["name"].as_str().unwrap(), "--subresource=status"];
        if let Some(namespace) = meta["namespace"].as_str() {
            what.extend(["--namespace", namespace]);
        }
        self.kubectl(&["create", "--filename", "-"], &object.to_string());
        let patch = json!({ "status": status }).to_string();
        self.kubectl(&[&["patch"], &what[..], &["--type=merge", "--patch", &patch]].concat(), "");
    }

    /// Fills it with a shop, whose database is called `database`: two nodes, eight clients, and it.
    fn fill(&self, database: &str) {
        self.kubectl(&["create", "namespace", "shop"], "");
        // Pods are refused until the controllers have made this, a moment later.
        let account = ["get", "serviceaccount", "default", "--namespace", "shop"];
        wait::until(WAIT, || self.try_kubectl(&account, "").ok()).expect("a service account");
        for line in journal().replace("\"db\"", &format!("{database:?}")).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            self.make(line["object"].clone());
        }
    }

    /// The database that the policy of the shop is for; None without a policy.
    fn guarded(&self) -> Option<String> {
        let path = "jsonpath={.spec.podSelector.matchLabels.app}";
        let words = ["get", "networkpolicy", "guard", "--namespace", "shop", "--output", path];
        self.try_kubectl(&words, "").ok()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        xtask(&["down", "--state", &self.state]);
    }
}

/// A server that watches and changes both.
struct Server {
    child: Child,
    folder: TempDir,
}

#[expect(clippy::disallowed_methods, reason = "the binary under test is run as a user runs it")]
fn sekisho(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(words).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

impl Server {
    fn start(planes: &[Plane]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = "[server]\nenforcement = 'native'\ndrift_check_s = 1\n";
        std::fs::write(path("config.toml"), config).unwrap();
        let (config, socket, data) = (path("config.toml"), path("socket"), path("data"));
        let flag = |plane: &Plane| format!("--kubernetes={}={}", plane.name, plane.kubeconfig());
        let flags: Vec<String> = planes.iter().map(flag).collect();
        let mut words = vec!["--config", &config, "server", "--die-with-parent"];
        words.extend(["--socket", &socket, "--data-dir", &data]);
        words.extend(flags.iter().map(String::as_str));
        let log = std::fs::File::create(path("log")).unwrap();
        let mut command = sekisho(&words);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Self { child, folder };
        server.until("both are listed", |status| {
            all(status).iter().all(|of| of["cluster"]["synced"] == true)
        });
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code and output of a command that asks it.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let done = sekisho(words).env("SEKISHO_SERVER", self.path("socket")).output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }

    fn status(&self) -> Option<Value> {
        let words = ["status", "-o", "json"];
        let done = sekisho(&words).env("SEKISHO_SERVER", self.path("socket")).output().unwrap();
        serde_json::from_slice(&done.stdout).ok()
    }

    #[track_caller]
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let status = wait::until(WAIT, || self.status().filter(|status| wanted(status)));
        status.unwrap_or_else(|| {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            panic!("not {what}: {}\n{log}", self.run(&["status"]).1)
        })
    }

    /// Sends both ends of `count` connections as the agents of `cluster` would.
    fn talk(&self, cluster: &str, pair: &mut Pair, count: u64) {
        let client = Client::new(&self.path("socket")).in_cluster(cluster.parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for batch in pair.batches(count) {
            runtime.block_on(client.send_batch(&batch)).unwrap();
        }
    }

    fn apply(&self, text: &str, more: &[&str]) -> (i32, String) {
        let file = self.path("p.yaml");
        std::fs::write(&file, text).unwrap();
        self.run(&[&["apply", "-f", file.to_str().unwrap()], more].concat())
    }

    /// Connections to the database of `cluster`, and its name.
    fn database(&self, cluster: &str) -> (String, u64) {
        let words = ["map", "-o", "json", "--until", "0s", "--cluster", cluster];
        let text = self.run(&words).1;
        let map: Value = serde_json::Deserializer::from_str(&text)
            .into_iter()
            .next()
            .unwrap()
            .unwrap_or_else(|error| panic!("{error}: {text}"));
        let edges = map["edges"].as_array().unwrap();
        let first = edges.first().map(|edge| edge["destination"].as_str().unwrap().to_owned());
        let name = first.unwrap_or_default();
        assert!(edges.iter().all(|edge| edge["destination"] == name.as_str()), "{map:#}");
        (name, edges.iter().map(|edge| edge["connections"].as_u64().unwrap()).sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        terminate(&mut self.child, Duration::from_secs(10));
    }
}

/// The status of each cluster.
fn all(status: &Value) -> Vec<&Value> {
    let others = status["others"].as_array().into_iter().flatten();
    std::iter::once(status).chain(others).collect()
}

fn policy(database: &str, from: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{name: guard, namespace: shop}}\n\
         spec: {{podSelector: {{matchLabels: {{app: {database}}}}}, ingress: [{from}]}}\n"
    )
}

#[test]
fn one_server_keeps_two_control_planes_apart_and_goes_on_with_one_while_the_other_is_away() {
    let planes = [Plane::up("east"), Plane::up("west")];
    let [east, west] = &planes;
    east.fill("db");
    west.fill("vault");
    let server = Server::start(&planes);
    server.until("the shops are known", |status| {
        all(status).iter().all(|of| of["objects"].as_u64().is_some_and(|count| count >= 11))
    });
    let (mut in_east, mut in_west) = (Pair::new(), Pair::new());
    server.talk("east", &mut in_east, 4);
    server.talk("west", &mut in_west, 6);
    server.until("flows", |status| {
        all(status).iter().map(|of| of["flows"].as_u64().unwrap()).sum::<u64>() >= 10
    });
    // The same addresses, named by each cluster's own objects.
    assert_eq!(server.database("east"), ("shop/db[Pod]".to_owned(), 4));
    assert_eq!(server.database("west"), ("shop/vault[Pod]".to_owned(), 6));
    let text = server.run(&["map"]).1;
    assert!(text.contains("east/shop/client-0[Pod]") && text.contains("west/shop/vault[Pod]"));
    assert!(!text.contains("east/shop/vault") && !text.contains("west/shop/db["), "{text}");
    let text = server.run(&["status"]).1;
    let (first, second) = text.split_once("\ncluster west\n").expect("a part for each");
    assert!(first.contains("\ncluster east\n"), "{text}");
    assert!(first.contains("known in full") && second.contains("known in full"), "{text}");

    // A policy of one name: allows what was seen in one, denies it in the other.
    let allow = policy("db", "{}");
    let deny = policy("vault", "{from: [{podSelector: {matchLabels: {app: x}}}]}");
    let (code, text) = server.apply(&allow, &[]);
    assert!(code == 2 && text.contains("`east`, `west`: name one with --cluster"), "{text}");
    let (code, text) = server.apply(&allow, &["--cluster", "east"]);
    assert!(code == 0 && text.contains("1 to create"), "{text}");
    assert_eq!((east.guarded(), west.guarded()), (Some("db".to_owned()), None));
    let (code, text) = server.apply(&deny, &["--cluster", "west"]);
    assert!(code == 1 && text.contains("nothing was changed"), "{text}");
    assert_eq!(west.guarded(), None);
    let (code, text) = server.apply(&deny, &["--cluster", "west", "--max-would-block", "99"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!((east.guarded(), west.guarded()), (Some("db".to_owned()), Some("vault".to_owned())));

    // One API server dies: the other cluster is watched, judged and changed as before.
    xtask(&["stop", "--state", &east.state, API_SERVER]);
    server.until("told that east is away", |status| {
        let (east, west) = (all(status)[0], all(status)[1]);
        east["cluster"]["away_since"].is_string() && west["cluster"]["away_since"].is_null()
    });
    let problems = server.status().unwrap();
    let of = |status: &Value| status["problems"].to_string();
    assert!(of(all(&problems)[0]).contains("cluster east: "), "{problems:#}");
    assert!(!of(all(&problems)[1]).contains("API server"), "{problems:#}");
    west.make(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "late", "namespace": "shop", "labels": {"app": "late"}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": "10.0.3.1", "podIPs": [{"ip": "10.0.3.1"}]},
    }));
    server.until("the late pod is known", |status| all(status)[1]["objects"].as_u64() >= Some(12));
    server.talk("west", &mut in_west, 2);
    server.talk("east", &mut in_east, 1);
    server.until("flows of both", |status| {
        all(status).iter().map(|of| of["flows"].as_u64().unwrap()).sum::<u64>() >= 13
    });
    assert_eq!(server.database("west"), ("shop/vault[Pod]".to_owned(), 8));
    // Named by what is known of it.
    assert_eq!(server.database("east"), ("shop/db[Pod]".to_owned(), 5));
    let (code, text) = server.run(&["rollback", "--cluster", "west", "0"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(west.guarded(), None);
    let (code, text) = server.run(&["rollback", "--cluster", "east", "0"]);
    assert!(code == 2, "{text}");

    xtask(&["start", "--state", &east.state, API_SERVER]);
    server.until("east is back", |status| all(status)[0]["cluster"]["away_since"].is_null());
    assert_eq!(east.guarded(), Some("db".to_owned()));
    let (code, text) = server.run(&["rollback", "--cluster", "east", "0"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(east.guarded(), None);
}
