//! The verb: build, score, print, compare with the floor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::sekisho::Program;
use super::table::Scores;
use super::{cyclonus, npguard};
use crate::artifact;

/// Where the corpora are, from the project's root.
const CORPORA: &str = "../shared/corpora/policy";
const FLOOR: &str = "xtask/score.toml";

/// Runs the verb.
///
/// # Errors
/// If the program can't be built, or a score is below its floor.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let program = match arguments {
        [] => build(root)?,
        [program] => PathBuf::from(program),
        _ => bail!("usage: cargo xtask score [PROGRAM]"),
    };
    let Some(scores) = score(root, program)? else {
        println!("nothing scored: no corpora at {}", root.join(CORPORA).display());
        return Ok(());
    };
    println!("{}", scores.misses());
    println!("{}", scores.table());
    hold(root, &scores)
}

/// Scores as a step of `test`; says so where there are no corpora.
///
/// # Errors
/// As [`run`].
pub(crate) fn step(root: &Path) -> Result<()> {
    run(root, &[])
}

fn build(root: &Path) -> Result<PathBuf> {
    let arguments = ["build", "--locked", "--package", "sekisho", "--bin", "sekisho"];
    let built = artifact::build(root, &arguments)?;
    let program = built.into_iter().find(|artifact| artifact.target == "sekisho");
    Ok(program.context("cargo built no program `sekisho`")?.executable)
}

/// All scores; None where there are no corpora.
fn score(root: &Path, program: PathBuf) -> Result<Option<Scores>> {
    let corpora = root.join(CORPORA);
    let program = Program::new(program);
    let mut scores = Scores::default();
    let verdicts = corpora.join("cyclonus/cases.json.gz");
    let lists = corpora.join("netpol-analyzer");
    if !verdicts.is_file() && !lists.is_dir() {
        return Ok(None);
    }
    if verdicts.is_file() {
        cyclonus::score(&program, &verdicts, &mut scores)?;
    } else {
        println!("not scored: no {}", verdicts.display());
    }
    if lists.is_dir() {
        npguard::score(&program, &lists, &mut scores)?;
    } else {
        println!("not scored: no {}", lists.display());
    }
    Ok(Some(scores))
}

/// Compares scores with the floor.
fn hold(root: &Path, scores: &Scores) -> Result<()> {
    let path = root.join(FLOOR);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {FLOOR}"))?;
    let floor: BTreeMap<String, usize> =
        toml::from_str(&text).with_context(|| format!("read {FLOOR}"))?;
    let fallen = scores.below(&floor);
    if fallen.is_empty() {
        return Ok(());
    }
    bail!("below the floor of {FLOOR}:\n  {}", fallen.join("\n  "))
}
