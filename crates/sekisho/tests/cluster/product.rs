//! The product as it enforces by itself: a server that watches the cluster, and an agent for each
//! node. Ends with the value, and leaves no rule behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use sekisho_enforce::{Datapath, Mode};
use sekisho_system::{cgroup, terminate, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::server::sekisho;

const WAIT: Duration = Duration::from_secs(60);
pub(crate) const NODES: [&str; 2] = ["node1", "node2"];
/// Where xtask notes which cluster has which index (testing/cluster/README.md).
const INDICES: &str = "/run/sekisho-cluster";

/// A server and its agents.
pub(crate) struct Product {
    /// Agents first, the server last: so they end.
    children: Vec<Child>,
    folder: TempDir,
    index: u32,
}

impl Product {
    /// Starts it; returns when the cluster is known and both agents have their first order.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let index = index(cluster);
        let mut product = Self { children: Vec::new(), folder: TempDir::new().unwrap(), index };
        let (socket, data) = (product.path("socket"), product.path("data"));
        let kubernetes = format!("--kubernetes={}", cluster.file("admin.kubeconfig"));
        let words =
            ["server", "--die-with-parent", "--socket", &socket, "--data-dir", &data, &kubernetes];
        product.spawn("server", &words);
        wait::until(WAIT, || (product.run(&["status"]).0 != 2).then_some(())).expect("it serves");
        for node in NODES {
            let group = product.cgroup(node).display().to_string();
            let netns = product.netns(node).display().to_string();
            let words = ["agent", "--die-with-parent", "--node", node, "--server", &socket];
            let place = ["--cgroup", &group, "--netns", &netns];
            product.spawn(node, &[&words[..], &place].concat());
        }
        // The server ends last.
        product.children.rotate_left(1);
        product.carried_out_after(0);
        product
    }

    fn spawn(&mut self, name: &str, words: &[&str]) {
        let log = File::create(self.path(&format!("{name}.log"))).unwrap();
        let mut command = sekisho(words);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.children.push(child);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The cgroup of a node.
    pub(crate) fn cgroup(&self, node: &str) -> PathBuf {
        cgroup::mount_point().unwrap().join(format!("skc{}/{node}", self.index))
    }

    /// The network namespace of a node.
    fn netns(&self, node: &str) -> PathBuf {
        sekisho_system::netns::path(&format!("skc{}-{node}", self.index))
    }

    /// Exit code and output of a command that asks this server.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let done = sekisho(arguments).env("SEKISHO_SERVER", self.path("socket")).output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        (done.status.code().unwrap(), text)
    }

    fn status(&self) -> Option<Value> {
        let done = sekisho(&["status", "-o", "json"])
            .env("SEKISHO_SERVER", self.path("socket"))
            .output()
            .unwrap();
        serde_json::from_slice(&done.stdout).ok()
    }

    /// What the server gives its nodes now: each policy and each change of the cluster that policy
    /// can see makes another.
    pub(crate) fn generation(&self) -> u64 {
        self.status().and_then(|status| status["generation"].as_u64()).unwrap()
    }

    /// Waits until the server has a generation later than `before`, and each agent has the last
    /// one in force.
    pub(crate) fn carried_out_after(&self, before: u64) {
        let done = || {
            let status = self.status()?;
            let wanted = status["generation"].as_u64().filter(|wanted| *wanted > before)?;
            let synced = status["cluster"]["synced"] == true;
            let carried = status["agents"].as_array()?.iter().filter(|agent| {
                agent["report"]["generation"] == wanted && agent["report"]["error"] == ""
            });
            (synced && carried.count() == NODES.len()).then_some(())
        };
        if wait::until(WAIT, done).is_none() {
            panic!("not carried out: {:#}\n{}", self.status().unwrap_or_default(), self.logs());
        }
    }

    /// Puts `policies`, and no others, in force on both nodes.
    pub(crate) fn enforce(&self, policies: &str) {
        let file = self.path("policies.yaml");
        std::fs::write(&file, policies).unwrap();
        let before = self.generation();
        // What the probes of the case before reached is history now; it may be blocked.
        let words = ["apply", "-f", &file, "--prune", "--max-would-block", "1000000"];
        let (code, text) = self.run(&words);
        assert_eq!(code, 0, "{text}\n{policies}\n{}", self.logs());
        self.carried_out_after(before);
    }

    /// Ends all enforcement.
    pub(crate) fn release(&self) {
        let before = self.generation();
        let (code, text) = self.run(&["rollback", "0"]);
        assert_eq!(code, 0, "{text}");
        self.carried_out_after(before);
    }

    fn logs(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.path(&format!("{name}.log")));
        ["server", "node1", "node2"].map(|name| read(name).unwrap_or_default()).join("\n")
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        for child in &mut self.children {
            terminate(child, Duration::from_secs(10));
        }
        // An agent that ends leaves its rules in force, on purpose.
        for node in NODES {
            for mode in [Mode::Enforce, Mode::Audit] {
                if let Err(error) = Datapath::new(self.netns(node)).remove(mode) {
                    println!("rules of {node} stay: {error}");
                }
            }
        }
    }
}

/// The index of the cluster, which is in the names of its cgroup and its namespaces.
fn index(cluster: &Cluster) -> u32 {
    let own = std::fs::canonicalize(cluster.file("")).unwrap();
    let is_own = |path: &Path| {
        let state = std::fs::read_to_string(path).unwrap_or_default();
        std::fs::canonicalize(state.trim()).is_ok_and(|state| state == own)
    };
    let mut entries = std::fs::read_dir(INDICES).unwrap().flatten().map(|entry| entry.path());
    let found = entries.find(|path| is_own(path)).expect("the cluster has an index");
    found.file_name().unwrap().to_str().unwrap().parse().unwrap()
}
