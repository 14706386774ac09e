//! A server of the product as the tests run it: the binary, a folder of its own, one cluster.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sekisho_system::{command, terminate, wait};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than the longest pause between two tries of the watch (30 s, `fault.rs`).
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// A server that follows a cluster, and its folder.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
}

/// The binary under test.
#[expect(clippy::disallowed_methods, reason = "the binary under test is run as a user runs it")]
pub(crate) fn sekisho(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

impl Server {
    /// Starts one with `more` lines of configuration; returns when the cluster was listed.
    pub(crate) fn start(kubeconfig: &str, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "[server]\nsocket = '{}'\ndata_dir = '{}'\nkubernetes = '{kubeconfig}'\n{more}\n",
            path("socket"),
            path("data"),
        );
        std::fs::write(path("config.toml"), config).unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let words = ["--config", &path("config.toml"), "server", "--die-with-parent"];
        let mut command = sekisho(&words);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Self { child, folder };
        server.until("the first list", |status| status["cluster"]["synced"] == true);
        server
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Exit code and output of a command that asks this server.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let done = sekisho(arguments).env("SEKISHO_SERVER", self.path("socket")).output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Applies policies, with `more` flags.
    pub(crate) fn apply(&self, policies: &str, more: &[&str]) -> (i32, String) {
        let file = self.path("policies.yaml");
        std::fs::write(&file, policies).unwrap();
        self.run(&[&["apply", "-f", &file], more].concat())
    }

    /// What it says of itself; None while it does not answer.
    pub(crate) fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.run(&["status", "-o", "json"]).1).ok()
    }

    /// Waits until the status is as it should be.
    pub(crate) fn until(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let found = wait::until(WAIT, || self.status().filter(&done));
        found.unwrap_or_else(|| panic!("{what}: {}\n{}", self.run(&["status"]).1, self.log()))
    }

    /// Waits until nothing is wrong any more.
    pub(crate) fn well(&self) {
        let code = || (self.run(&["status"]).0 == 0).then_some(());
        assert!(wait::until(WAIT, code).is_some(), "{}", self.run(&["status"]).1);
    }

    /// Sends the process a signal, as kill(1) names it.
    pub(crate) fn signal(&self, signal: &str) {
        command::run(&["kill", signal, &self.child.id().to_string()], "", WAIT).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped process takes no other signal.
        self.signal("-CONT");
        terminate(&mut self.child, Duration::from_secs(10));
    }
}

/// One policy per name, which opens `port` of the pods with that name as their label `app`.
pub(crate) fn policies(namespace: &str, names: &[&str], port: u16) -> String {
    let policy = |name: &&str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, \
             namespace: {namespace}}}, spec: {{podSelector: {{matchLabels: {{app: {name}}}}}, \
             ingress: [{{ports: [{{port: {port}}}]}}]}}}}\n"
        )
    };
    names.iter().map(policy).collect::<Vec<_>>().join("---\n")
}
