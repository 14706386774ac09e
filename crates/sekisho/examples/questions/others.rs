//! The same questions to DuckDB and SQLite.

use std::path::Path;

use anyhow::bail;
use sekisho_system::process;

/// Names a Python with the module `duckdb`.
const PYTHON: &str = "SEKISHO_TEST_PYTHON";
const SCRIPT: &str = include_str!("others.py");

/// What they took; says so where there is no such Python.
pub(crate) fn asked(segments: &Path, scratch: &Path) -> anyhow::Result<Vec<String>> {
    let Some(python) = std::env::var_os(PYTHON) else {
        return Ok(vec![format!("DuckDB and SQLite were not asked: {PYTHON} names no Python")]);
    };
    let run = process::prepare(python).args(["-c", SCRIPT]).arg(segments).arg(scratch).output()?;
    if !run.status.success() {
        bail!("DuckDB and SQLite: {}", String::from_utf8_lossy(&run.stderr));
    }
    Ok(String::from_utf8(run.stdout)?.lines().map(str::to_owned).collect())
}
