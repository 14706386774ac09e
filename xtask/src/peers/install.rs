//! The peers: where each comes from, how it is asked, how its answer reads.
//!
//! Each step says what it installs and why, and has a time limit. A peer that can't be had is said
//! so and left out: the others are measured all the same.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::clusters::Forms;
use super::lists;
use crate::run::{self, Ended};

/// Wall-clock time for one step; a compiled peer brings hundreds of packages.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// Module of np-guard/netpol-analyzer; its program is named after its folder.
const GO_PACKAGE: &str = "github.com/np-guard/netpol-analyzer/cmd/netpolicy@latest";
/// The last release, so that figures of two machines are of one program.
const PYTHON_PACKAGE: &str = "network-config-analyzer==2.1.0";
/// Where Go is when it is not on the PATH: its own archive, Debian.
const GO_PLACES: [&str; 3] = ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"];

/// Another analyser.
pub(super) struct Peer {
    pub(super) name: &'static str,
    program: PathBuf,
    arguments: fn(&str) -> Vec<String>,
    /// Its answer in the words of np-guard.
    pub(super) read: fn(&str) -> String,
    /// What its answers are compared on.
    pub(super) forms: Forms,
}

impl Peer {
    /// The command that lists what `folder` allows.
    pub(super) fn listing(&self, folder: &Path) -> Command {
        let mut command = run::command(&self.program.to_string_lossy());
        command.args((self.arguments)(&folder.to_string_lossy()));
        command
    }
}

/// The peers that this machine has or that can be installed below `folder`.
pub(super) fn all(folder: &Path) -> Vec<Peer> {
    let tries = [
        ("netpol-analyzer", netpol_analyzer(folder)),
        ("network-config-analyzer", network_config_analyzer(folder)),
    ];
    let mut peers = Vec::new();
    for (name, peer) in tries {
        match peer {
            Ok(peer) => peers.push(peer),
            Err(error) => println!("not measured: {name}: {error:#}"),
        }
    }
    peers
}

fn netpol_analyzer(folder: &Path) -> Result<Peer> {
    Ok(Peer {
        name: "netpol-analyzer",
        program: netpol_program(folder)?,
        arguments: |folder| vec!["list".into(), "-q".into(), "--dirpath".into(), folder.into()],
        read: str::to_owned,
        forms: Forms::Tiers,
    })
}

fn netpol_program(folder: &Path) -> Result<PathBuf> {
    if let Some(name) =
        ["netpol-analyzer", "netpolicy"].into_iter().find(|name| answers(Path::new(name)))
    {
        return Ok(name.into());
    }
    let folder = folder.join("go");
    let program = folder.join("bin/netpolicy");
    if !answers(&program) {
        let Some(go) = GO_PLACES.iter().find(|go| run::works(run::command(go).arg("version")))
        else {
            bail!("it is a Go program and there is no Go here: `apt-get install golang-go`");
        };
        println!("go install {GO_PACKAGE} into {}: the peer to measure", folder.display());
        let mut install = run::command(go);
        install.args(["install", GO_PACKAGE]).env("GOBIN", folder.join("bin"));
        step(install.env("GOPATH", folder.join("path")), "go install")?;
    }
    Ok(program)
}

fn network_config_analyzer(folder: &Path) -> Result<Peer> {
    let folder = folder.join("network-config-analyzer");
    let program = folder.join("bin/nca");
    if !answers(&program) {
        let python = folder.join("bin/python");
        println!("python3 -m venv {}: a place for the peer alone", folder.display());
        step(run::command("python3").args(["-m", "venv"]).arg(&folder), "python3 -m venv")?;
        println!("pip install {PYTHON_PACKAGE}: the peer to measure");
        let mut pip = run::command(&python.to_string_lossy());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        step(pip.arg(PYTHON_PACKAGE), "pip install")?;
    }
    Ok(Peer {
        name: "network-config-analyzer",
        program,
        arguments: |folder| {
            let words = ["-r", folder, "--connectivity", "--output_endpoints", "deployments"];
            words.into_iter().chain(["-o", "txt_no_fw_rules"]).map(str::to_owned).collect()
        },
        read: lists::from_network_config_analyzer,
        forms: Forms::Plain,
    })
}

fn answers(program: &Path) -> bool {
    run::works(run::command(&program.to_string_lossy()).arg("--help"))
}

fn step(command: &mut Command, name: &str) -> Result<()> {
    match run::watch(command, LIMIT, |line| println!("{line}"))? {
        Ended::Exited(status) if status.success() => Ok(()),
        Ended::Exited(status) => bail!("`{name}` ended with {status}; its reason stands above"),
        Ended::TimedOut => bail!("`{name}` took more than {} s", LIMIT.as_secs()),
        Ended::LeftChildren => bail!("`{name}` left processes behind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_is_named() {
        let error = step(run::command("sh").args(["-c", "exit 4"]), "the step").unwrap_err();
        assert!(error.to_string().contains("`the step` ended with"), "{error}");
    }

    #[test]
    fn what_is_not_there_does_not_answer_and_what_is_does() {
        assert!(!answers(Path::new("/no/such/program")));
        assert!(answers(Path::new("cargo")));
    }
}
