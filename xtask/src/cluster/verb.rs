//! The verbs and their flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::control::Shape;
use super::plan::Plan;
use super::{binary, clean, hold, index, launch, operate, up};
use crate::setup::{self, Scope};
use crate::workspace;

const USAGE: &str = "\
usage: cargo xtask cluster up      [--control-plane] [--version 1.34]   start one, empty
       cargo xtask cluster status                                       what runs, and where
       cargo xtask cluster down    [--all]                              leave nothing
       cargo xtask cluster load    FILE...                              give the nodes images
       cargo xtask cluster enter   NODE [PROGRAM ARGUMENT...]           run something on a node
       cargo xtask cluster stop    COMPONENT                            kill it (SIGKILL)
       cargo xtask cluster start   COMPONENT                            start it again
       cargo xtask cluster build   [--version 1.34]                     only build the programs
each with [--state DIR], which tells clusters apart; --state comes before other words";

/// Where the cluster is unless `--state` says otherwise.
const STATE: &str = "/var/tmp/sekisho-cluster";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    state: PathBuf,
    shape: Shape,
    all: bool,
    release: Option<String>,
    /// What is no flag, and all that follows.
    words: Vec<String>,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            state: PathBuf::from(STATE),
            shape: Shape::Nodes,
            all: false,
            release: None,
            words: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--state" => options.state = std::path::absolute(value()?)?,
                "--version" => options.release = Some(value()?.clone()),
                "--control-plane" => options.shape = Shape::ControlPlane,
                "--all" => options.all = true,
                flag if flag.starts_with('-') => bail!("`{flag}` is not a flag of it\n{USAGE}"),
                word => {
                    options.words.push(word.to_owned());
                    options.words.extend(rest.by_ref().cloned());
                }
            }
        }
        Ok(options)
    }

    /// The cluster that is there.
    fn cluster(&self) -> Result<Plan> {
        index::find(&self.state).with_context(|| {
            format!("no cluster is in {}; `cargo xtask cluster up`", self.state.display())
        })
    }
}

/// `cargo xtask cluster VERB`.
///
/// # Errors
/// If the verb is unknown or fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let Some((verb, rest)) = arguments.split_first() else {
        println!("{USAGE}");
        return Ok(());
    };
    match verb.as_str() {
        "launch" => return launch::run(rest),
        "hold" => return hold::run(rest),
        _ => {}
    }
    let options = Options::read(rest)?;
    if verb != "build" && !workspace::is_root() {
        bail!(
            "a cluster is made of namespaces and cgroups, which needs root: `{}`",
            workspace::as_root(&format!("cluster {verb}"))
        );
    }
    match (verb.as_str(), options.words.as_slice()) {
        ("build", []) => build(root, &options),
        ("up", []) => {
            setup::ensure(Scope::Cluster)?;
            let programs = binary::programs(root, options.release.as_deref())?;
            up::up(root, &programs, &options.state, options.shape)
        }
        ("down", []) => down(&options),
        ("status", []) => operate::status(&options.cluster()?),
        ("load", tars @ [_, ..]) => operate::load(&options.cluster()?, tars),
        ("enter", [node, argv @ ..]) => operate::enter(&options.cluster()?, node, argv),
        ("stop", [component]) => operate::stop(&options.cluster()?, component),
        ("start", [component]) => operate::start(&options.cluster()?, component),
        _ => bail!("`{}` is not understood\n{USAGE}", arguments.join(" ")),
    }
}

fn build(root: &Path, options: &Options) -> Result<()> {
    let programs = binary::programs(root, options.release.as_deref())?;
    println!("Kubernetes {}: {}", programs.version, programs.kubernetes.display());
    println!("CoreDNS: {}", programs.coredns.display());
    Ok(())
}

fn down(options: &Options) -> Result<()> {
    let plans =
        if options.all { index::all() } else { index::find(&options.state).into_iter().collect() };
    if plans.is_empty() {
        println!("no cluster is in {}", options.state.display());
    }
    for plan in plans {
        clean::down(&plan)?;
        println!("{} is down", plan.state.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options> {
        Options::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_follows_the_first_word_is_no_flag_of_ours() {
        let options = read("--state /s node1 ps --all").unwrap();
        assert_eq!(options.state, Path::new("/s"));
        assert_eq!(options.words, ["node1", "ps", "--all"]);
        assert!(!options.all);
    }

    #[test]
    fn an_unknown_flag_and_a_missing_value_are_errors() {
        assert!(read("--frobnicate").is_err());
        assert!(read("--state").is_err());
    }
}
