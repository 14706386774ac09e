//! The same questions to DuckDB and SQLite.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use sekisho_system::process;

/// Names a Python with the module `duckdb`.
const PYTHON: &str = "SEKISHO_TEST_PYTHON";
const SCRIPT: &str = include_str!("others.py");

/// Tells what they took, each as soon as it is known; says so where there is no such Python.
pub(crate) fn ask(
    (segments, start_s): (&Path, u64),
    scratch: &Path,
    tell: fn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(python) = std::env::var_os(PYTHON) else {
        return tell(&format!("DuckDB and SQLite were not asked: {PYTHON} names no Python"));
    };
    let mut run = process::prepare(python)
        .args(["-c", SCRIPT])
        .arg(segments)
        .arg(scratch)
        .arg(start_s.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    for line in BufReader::new(run.stdout.take().context("its standard output")?).lines() {
        tell(&line?)?;
    }
    let status = run.wait()?;
    if !status.success() {
        bail!("DuckDB and SQLite ended with {status}");
    }
    Ok(())
}
