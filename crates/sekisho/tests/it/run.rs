//! Runs the binary and reads its answers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sekisho_system::{terminate, wait};
use serde_json::Value;

/// The binary under test.
#[expect(clippy::disallowed_methods, reason = "the binary under test is run as a user runs it")]
pub(crate) fn sekisho(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Answer {
    Answer::of(sekisho(arguments).output().unwrap())
}

/// What it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The answer, which must have this exit code.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in:\n{}", self.out))
    }
}

/// A running lab with agents and server, in a state folder of its own.
pub(crate) struct LabProcess {
    child: Child,
    pub(crate) state: PathBuf,
    pub(crate) socket: PathBuf,
}

impl LabProcess {
    /// Starts it with the shop and waits until all pods are ready and all agents are heard.
    pub(crate) fn up(folder: &Path) -> Self {
        Self::up_with(folder, &[])
    }

    /// As [`Self::up`], with these manifests instead of the shop.
    pub(crate) fn up_with(folder: &Path, manifests: &[String]) -> Self {
        let (state, socket) = (folder.join("lab"), folder.join("server.sock"));
        let log = std::fs::File::create(folder.join("up.log")).unwrap();
        let arguments =
            ["lab", "up", "--state", state.to_str().unwrap(), "--server", socket.to_str().unwrap()];
        let errors = log.try_clone().unwrap();
        let mut command = sekisho(&arguments);
        for manifest in manifests {
            command.args(["-f", manifest]);
        }
        let mut child = command.stdout(log).stderr(errors).spawn().unwrap();
        let ready = wait::until(Duration::from_secs(180), || {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(Err(status));
            }
            let log = std::fs::read_to_string(folder.join("up.log")).unwrap();
            log.contains("ready").then_some(Ok(()))
        });
        let log = std::fs::read_to_string(folder.join("up.log")).unwrap();
        assert!(matches!(ready, Some(Ok(()))), "lab did not come up: {ready:?}\n{log}");
        Self { child, state, socket }
    }

    /// Runs a command that asks the server.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Answer {
        let mut all = arguments.to_vec();
        all.extend(["--server", self.socket.to_str().unwrap()]);
        run(&all)
    }

    /// Runs a `lab` command.
    pub(crate) fn lab(&self, arguments: &[&str]) -> Answer {
        let mut all = vec!["lab"];
        let (options, command) = match arguments.iter().position(|word| *word == "--") {
            Some(position) => arguments.split_at(position),
            None => (arguments, [].as_slice()),
        };
        all.extend(options);
        all.extend(["--state", self.state.to_str().unwrap()]);
        all.extend(command);
        run(&all)
    }

    /// Ends it as Ctrl-C or a service manager would.
    pub(crate) fn down(mut self) -> Duration {
        let began = std::time::Instant::now();
        terminate(&mut self.child, Duration::from_secs(60)).unwrap();
        began.elapsed()
    }

    /// Kills it without a chance to clean up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        // A failed test must leave the machine clean, too.
        terminate(&mut self.child, Duration::from_secs(30));
    }
}
