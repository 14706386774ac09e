//! `cargo xtask bench [NAME]`: runs the programs that measure, and repeats their figures as one
//! table.
//!
//! A program prints one figure per line on standard output, and what is no figure on standard
//! error. The bounds are in docs/promises.md. `bench peers` measures other analysers: see `peers`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::run::{self, Ended};
use crate::setup::{self, Scope};
use crate::{cluster, peers, python, test, workspace};

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Package and example of each program, in the order of the data's way.
const PROGRAMS: &[(&str, &str)] = &[
    ("sekisho-observe", "rate"),
    ("sekisho-store", "ingest"),
    ("sekisho-store", "day"),
    ("sekisho-policy", "engine_speed"),
    ("sekisho-verify", "replay_speed"),
    ("sekisho-enforce", "overhead"),
    ("sekisho", "visible"),
    ("sekisho", IMPORT),
    ("sekisho", QUESTIONS),
    (IN_CLUSTER, "inventory"),
];
/// The program that imports as a user does.
const IMPORT: &str = "import";
/// The program that has others answer the same.
const QUESTIONS: &str = "questions";
/// Package of the program that needs the control plane of a cluster.
const IN_CLUSTER: &str = "sekisho-inventory";

/// Runs the verb.
///
/// # Errors
/// Without root, if a name is unknown, or if a program fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    // It installs programs of others: never as a part of the rest.
    if let Some((first, rest)) = arguments.split_first()
        && first == "peers"
    {
        return peers::run(root, rest);
    }
    let wanted =
        |example: &str| arguments.is_empty() || arguments.iter().any(|name| name == example);
    if let Some(unknown) =
        arguments.iter().find(|name| PROGRAMS.iter().all(|(_, known)| known != name))
    {
        let names = PROGRAMS.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        bail!("`{unknown}` measures nothing; there are {names}, and peers alone");
    }
    if !workspace::is_root() {
        bail!("measuring the kernel needs root: `{}`", workspace::as_root("bench"));
    }
    setup::ensure(if wanted("inventory") { Scope::Cluster } else { Scope::Run })?;
    if [IMPORT, "visible", QUESTIONS, "inventory"].into_iter().any(wanted) {
        // They run the binary as a user does, and an example does not build the binary.
        let mut cargo = run::cargo();
        cargo.current_dir(root).args(["build", "--release", "--locked", "--package", "sekisho"]);
        match run::watch(&mut cargo, LIMIT, |line| println!("{line}"))? {
            Ended::Exited(status) if status.success() => {}
            Ended::Exited(_) | Ended::TimedOut | Ended::LeftChildren => {
                bail!("the binary could not be built")
            }
        }
    }
    let mut rows = Vec::new();
    for (package, example) in PROGRAMS.iter().filter(|(_, example)| wanted(example)) {
        let mut cargo = run::cargo();
        let figures = match *package {
            IN_CLUSTER => cluster::with_control_plane(root, |state| {
                measure(root, package, example, cargo.env(test::CLUSTER_VARIABLE, state))
            }),
            _other if *example == QUESTIONS => {
                measure(root, package, example, cargo.env(python::VARIABLE, python::ensure()?))
            }
            _other => measure(root, package, example, &mut cargo),
        }?;
        rows.extend(figures.into_iter().map(|figure| (*example, figure)));
    }
    println!("\n{}", table(&rows));
    Ok(())
}

fn measure(root: &Path, package: &str, example: &str, cargo: &mut Command) -> Result<Vec<String>> {
    println!("\n=== {package} {example}");
    cargo.current_dir(root).args(["run", "--release", "--locked", "--quiet"]);
    cargo.args(["--package", package, "--example", example]);
    let mut figures = Vec::new();
    let ended = run::watch(cargo, LIMIT, |line| {
        println!("{line}");
        figures.extend((!line.trim().is_empty()).then(|| line.trim().to_owned()));
    })?;
    match ended {
        Ended::Exited(status) if status.success() => Ok(figures),
        Ended::Exited(status) => bail!("{package} {example} ended with {status}"),
        Ended::TimedOut => bail!("{package} {example} took more than {} s", LIMIT.as_secs()),
        Ended::LeftChildren => bail!("{package} {example} left processes behind"),
    }
}

/// Which program said what.
fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(program, _)| program.len()).max().unwrap_or(0);
    let lines = rows.iter().map(|(program, figure)| format!("{program:<width$}  {figure}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_stands_beside_the_program_that_measured_it() {
        let rows = [("rate", "lost: 0".to_owned()), ("overhead", "ratio: 1".to_owned())];
        assert_eq!(table(&rows), "rate      lost: 0\noverhead  ratio: 1");
    }
}
