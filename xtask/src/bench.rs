//! `cargo xtask bench [NAME]`: runs the programs that measure, and prints their figures as one
//! table.
//!
//! A figure is a line `figure NAME = VALUE UNIT` on the program's standard output; what else it
//! prints is shown as it comes. Names and promises are in docs/promises.md.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::run::{self, Ended};
use crate::setup::{self, Scope};
use crate::workspace;

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Package and example of each program, in the order of the data's way.
const PROGRAMS: &[(&str, &str)] =
    &[("sekisho-observe", "rate"), ("sekisho-store", "ingest"), ("sekisho-enforce", "overhead")];

/// One measured value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Figure {
    name: String,
    value: String,
}

/// Runs the verb.
///
/// # Errors
/// Without root, if a name is unknown, or if a program fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let wanted =
        |example: &str| arguments.is_empty() || arguments.iter().any(|name| name == example);
    if let Some(unknown) =
        arguments.iter().find(|name| PROGRAMS.iter().all(|(_, known)| known != name))
    {
        let names = PROGRAMS.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        bail!("`{unknown}` measures nothing; there are {names}");
    }
    if !workspace::is_root() {
        bail!("measuring the kernel needs root: `{}`", workspace::as_root("bench"));
    }
    setup::ensure(Scope::Run)?;
    let mut figures = Vec::new();
    for (package, example) in PROGRAMS.iter().filter(|(_, example)| wanted(example)) {
        figures.extend(measure(root, package, example)?);
    }
    println!("\n{}", table(&figures));
    Ok(())
}

fn measure(root: &Path, package: &str, example: &str) -> Result<Vec<Figure>> {
    println!("\n=== {package} {example}");
    let mut cargo = run::cargo();
    cargo.current_dir(root).args(["run", "--release", "--locked", "--quiet"]);
    cargo.args(["--package", package, "--example", example]);
    let mut figures = Vec::new();
    let ended = run::watch(&mut cargo, LIMIT, |line| {
        println!("{line}");
        figures.extend(figure(line));
    })?;
    match ended {
        Ended::Exited(status) if status.success() => Ok(figures),
        Ended::Exited(status) => bail!("{package} {example} ended with {status}"),
        Ended::TimedOut => bail!("{package} {example} took more than {} s", LIMIT.as_secs()),
        Ended::LeftChildren => bail!("{package} {example} left processes behind"),
    }
}

fn figure(line: &str) -> Option<Figure> {
    let (name, value) = line.strip_prefix("figure ")?.split_once('=')?;
    Some(Figure { name: name.trim().to_owned(), value: value.trim().to_owned() })
}

fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
    let lines = figures.iter().map(|Figure { name, value }| format!("{name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_and_other_lines_are_not() {
        let read = figure("figure observe.lost = 0 of 162282").unwrap();
        assert_eq!((read.name.as_str(), read.value.as_str()), ("observe.lost", "0 of 162282"));
        assert_eq!(figure("warming up"), None);
        assert_eq!(figure("figure without value"), None);
    }
}
