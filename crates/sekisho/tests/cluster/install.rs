//! The product installed into the cluster as a user does it (docs/install.md), and taken away again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sekisho_system::{cgroup, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;

const WAIT: Duration = Duration::from_secs(120);
pub(crate) const NODES: [&str; 2] = ["node1", "node2"];
const NAMESPACE: &str = "sekisho";

/// What a user changes in the manifests, the way that docs/install.md shows: the image of this
/// build; the nodes' cgroup folders, as both are containers of this machine; and no volume, as nobody
/// makes any here.
const OVERLAY: &str = r#"
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [sekisho.yaml]
images: [{name: docker.io/sekisho/sekisho, newTag: dev}]
patches:
  - target: {kind: DaemonSet, name: sekisho-agent}
    patch: |
      - {op: replace, path: /spec/template/spec/containers/0/args/3, value: --cgroup=/hostCGROUP/$(NODE)}
  - target: {kind: PersistentVolumeClaim, name: sekisho-history}
    patch: |
      $patch: delete
      apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: {name: sekisho-history}
  - target: {kind: Deployment, name: sekisho-server}
    patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: sekisho-server}
      spec:
        template:
          spec:
            volumes: [{name: history, emptyDir: {}, persistentVolumeClaim: null}]
"#;

/// The product in the cluster; gone with the value, and its rules.
pub(crate) struct Installed<'cluster> {
    cluster: &'cluster Cluster,
    folder: TempDir,
}

impl<'cluster> Installed<'cluster> {
    /// Installs it; returns when the server and both agents are ready.
    pub(crate) fn new(cluster: &'cluster Cluster) -> Self {
        let installed = Self { cluster, folder: TempDir::new().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let manifests = root.join("deploy/manifests/sekisho.yaml");
        std::fs::copy(manifests, installed.path("sekisho.yaml")).unwrap();
        let tree = cgroup::mount_point().unwrap().join(group(cluster));
        let overlay = OVERLAY.replace("CGROUP", &tree.display().to_string());
        std::fs::write(installed.path("kustomization.yaml"), overlay).unwrap();
        let plugin = installed.path("kubectl-sekisho");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sekisho"), plugin).unwrap();

        let folder = installed.folder.path().display().to_string();
        let authority = installed.path("ca").display().to_string();
        installed.ask(0, &["certificates", "make", &authority]);
        cluster.kubectl(&["apply", "-k", &folder]);
        cluster.apply(&installed.ask(0, &["certificates", "secrets", &authority]));
        installed.await_ready();
        installed
    }

    /// Waits until all pods of the product are ready and are those of the last change.
    pub(crate) fn await_ready(&self) {
        for one in ["deployment/sekisho-server", "daemonset/sekisho-agent"] {
            let words = ["-n", NAMESPACE, "rollout", "status", one, "--timeout=110s"];
            if let Err(error) = self.cluster.try_kubectl(&words, "") {
                panic!("{error}\n{}", self.troubles());
            }
        }
    }

    /// What the cluster and the pods say, for a test that failed.
    fn troubles(&self) -> String {
        let ask = |words: &[&str]| {
            let all = [&["-n", NAMESPACE], words].concat();
            self.cluster.try_kubectl(&all, "").unwrap_or_else(|error| error)
        };
        let agents = "app.kubernetes.io/name=sekisho";
        let logs = ask(&["logs", "-l", agents, "--tail=20", "--prefix"]);
        [ask(&["get", "pods", "-o", "wide"]), ask(&["get", "events"]), logs].join("\n")
    }

    /// A file of this installation.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `kubectl sekisho ...` as a user types it: exit code, output, errors.
    pub(crate) fn sekisho(&self, words: &[&str]) -> (i32, String, String) {
        let kubectl = self.cluster.file("bin");
        let path = std::env::var("PATH").unwrap_or_default();
        let done = command(&self.path("kubectl-sekisho"))
            .args(words)
            .env("KUBECONFIG", self.cluster.file("admin.kubeconfig"))
            .env("PATH", format!("{kubectl}:{path}"))
            .env("NO_COLOR", "1")
            .env_remove("SEKISHO_SERVER")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
    }

    /// The same, which must end with `code`.
    pub(crate) fn ask(&self, code: i32, words: &[&str]) -> String {
        let (found, out, error) = self.sekisho(words);
        assert_eq!(found, code, "kubectl sekisho {words:?}:\n{out}\n{error}");
        out
    }

    /// The same in JSON, whatever the exit code.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let (_, out, error) = self.sekisho(&[words, &["-o", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{words:?}: {out}\n{error}"))
    }

    /// Waits until both agents have carried out the last order of `revision` without an error.
    pub(crate) fn await_orders(&self, revision: u64) {
        let done = || {
            let status = self.json(&["status"]);
            let wanted = &status["generation"];
            let agents = status["agents"].as_array()?;
            let done = agents.iter().filter(|agent| {
                agent["report"]["generation"] == *wanted && agent["report"]["error"] == ""
            });
            let same = status["revision"].as_u64() == Some(revision);
            (same && done.count() == NODES.len()).then_some(())
        };
        wait::until(WAIT, done).unwrap_or_else(|| {
            panic!("not carried out: {:#}\n{}", self.json(&["status"]), self.troubles())
        });
    }

    /// The rules of ours on a node; empty if there are none.
    pub(crate) fn rules(&self, node: &str) -> String {
        let net = format!("--net=/run/netns/{}-{node}", group(self.cluster));
        let words = ["nsenter", &net, "nft", "-s", "-t", "list", "table", "inet", "sekisho"];
        sekisho_system::command::run(&words, "", WAIT)
            .map_or_else(|_| String::new(), |out| out.stdout)
    }

    /// Takes it away as docs/install.md says, and checks that nothing is left.
    pub(crate) fn remove(self) {
        self.ask(0, &["rollback", "0"]);
        self.await_orders(0);
        let folder = self.folder.path().display().to_string();
        self.cluster.kubectl(&["delete", "-k", &folder, "--timeout=110s"]);
        let kinds = "namespaces,clusterroles,clusterrolebindings,persistentvolumes";
        let left = self.cluster.kubectl(&["get", kinds, "-o", "name"]);
        let ours: Vec<&str> = left.lines().filter(|name| name.contains("sekisho")).collect();
        assert_eq!(ours, [""; 0]);
        assert_eq!(NODES.map(|node| self.rules(node)), ["", ""], "no table of ours on a node");
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        let folder = self.folder.path().display().to_string();
        let words = ["delete", "--ignore-not-found", "--wait=false", "-k", &folder];
        if let Err(error) = self.cluster.try_kubectl(&words, "") {
            println!("the product stays: {error}");
        }
        for node in NODES {
            let netns = format!("--net=/run/netns/{}-{node}", group(self.cluster));
            let words = ["nsenter", &netns, "nft", "delete", "table", "inet", "sekisho"];
            sekisho_system::command::run(&words, "", WAIT).ok();
        }
    }
}

/// Name of the cluster's cgroup and first part of its namespaces' names: `skcN`. N is the last part
/// of the address outside, less one (testing/cluster/README.md).
fn group(cluster: &Cluster) -> String {
    let text = std::fs::read_to_string(cluster.file("outside")).unwrap();
    let end = text.lines().next().and_then(|address| address.rsplit('.').next());
    let number: u32 = end.and_then(|end| end.parse().ok()).unwrap();
    format!("skc{}", number - 1)
}

#[expect(clippy::disallowed_methods, reason = "the binary under test is run as a user runs it")]
pub(crate) fn command(program: &Path) -> Command {
    Command::new(program)
}
