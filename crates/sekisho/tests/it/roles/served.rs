//! A `sekisho server` on a data folder of its own, which may be killed and started again.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use sekisho_api::{AgentReport, CallError, Client, Status};
use sekisho_system::{terminate, wait};
use serde_json::Value;

use crate::run::{Answer, run, sekisho};

pub(crate) const START_WAIT: Duration = Duration::from_secs(20);

/// Folder, configuration and, while it runs, the process.
pub(crate) struct Served {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) data: PathBuf,
    pub(crate) socket: PathBuf,
    child: Option<Child>,
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

impl Served {
    /// Prepares a server with these lines under `[server]`; starts nothing.
    pub(crate) fn prepared(server_keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, socket) = (folder.path().join("data"), folder.path().join("server.sock"));
        let journal = folder.path().join("journal.jsonl");
        std::fs::write(&journal, super::halves::journal()).unwrap();
        let text = format!(
            "[server]\nsocket = {socket:?}\ndata_dir = {data:?}\njournal = {journal:?}\n\
             {server_keys}\n[log]\nformat = \"json\"\n"
        );
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        Self { folder, data, socket, child: None }
    }

    /// Starts a server with these lines under `[server]` and waits until it answers.
    pub(crate) fn start(server_keys: &str) -> Self {
        let mut served = Self::prepared(server_keys);
        served.up();
        served
    }

    pub(crate) fn config(&self) -> String {
        self.folder.path().join("config.toml").to_str().unwrap().to_owned()
    }

    /// What it logged, over all its lives.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none());
        let path = self.folder.path().join("server.log");
        let log = File::options().create(true).append(true).open(path).unwrap();
        let mut command = sekisho(&["--config", &self.config(), "server"]);
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// Starts it and waits until it answers.
    pub(crate) fn up(&mut self) {
        self.spawn();
        let child = self.child.as_mut().unwrap();
        let client = Client::new(&self.socket);
        let up = wait::until(START_WAIT, || {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(Err(status));
            }
            block_on(client.status()).ok().map(|_status| Ok(()))
        });
        assert!(matches!(up, Some(Ok(()))), "{up:?}\n{}", self.log());
    }

    /// Starts it where it must refuse to start; gives its exit code and log.
    pub(crate) fn refused(&mut self) -> (i32, String) {
        self.spawn();
        let mut child = self.child.take().unwrap();
        let ended = wait::until(START_WAIT, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
        }
        let status = ended.expect("it starts although it should not");
        (status.code().unwrap_or(-1), self.log())
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it ended before: {}", self.log());
    }

    /// Ends it with SIGTERM.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        terminate(&mut child, Duration::from_secs(20)).expect("it should end")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.socket)
    }

    pub(crate) fn status(&self) -> Status {
        block_on(self.client().status()).unwrap()
    }

    /// Waits until its status is as `wanted`.
    #[track_caller]
    pub(crate) fn await_status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let status = wait::until(Duration::from_secs(30), || Some(self.status()).filter(&wanted));
        status.unwrap_or_else(|| panic!("{:#?}\n{}", self.status(), self.log()))
    }

    /// Sends a batch once.
    pub(crate) fn send(&self, batch: &sekisho_model::Batch) -> Result<u64, CallError> {
        block_on(self.client().send_batch(batch)).map(|ack| ack.sequence)
    }

    /// Says for `node`, which only sent batches by hand, that every order is in force there.
    pub(crate) fn obey(&self, node: &str) {
        let report = AgentReport { generation: u64::MAX, ..AgentReport::default() };
        block_on(self.client().report(node, &report)).unwrap();
    }

    /// Runs a command that asks this server.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Answer {
        run(&[arguments, &["--server", self.socket.to_str().unwrap()]].concat())
    }

    /// The map as the server tells it, up to `until`.
    pub(crate) fn map(&self, until: &str) -> Value {
        answered(self.ask(&["map", "-o", "json", "--until", until]))
    }

    /// The map as the folder tells it, up to `until`.
    pub(crate) fn map_of_folder(&self, until: &str) -> Value {
        map_of(&self.data, until)
    }
}

/// The map as a folder of history tells it.
pub(crate) fn map_of(folder: &Path, until: &str) -> Value {
    let folder = folder.to_str().unwrap();
    answered(run(&["map", "-o", "json", "--store", folder, "--until", until]))
}

/// A map, be it complete or not: that is a claim of its own.
fn answered(answer: Answer) -> Value {
    let code = if answer.code == 3 { 3 } else { 0 };
    answer.with_code(code).json()
}

/// Connections on all edges of a map.
pub(crate) fn connections(map: &Value) -> u64 {
    let edges = map["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["connections"].as_u64().unwrap()).sum()
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            terminate(child, Duration::from_secs(5));
        }
    }
}
