//! A Python with the libraries by which tests check that others read what we write.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{run, workspace};

/// Names the Python to test programs.
pub(crate) const VARIABLE: &str = "SEKISHO_TEST_PYTHON";
/// Exactly these, so that a test means the same next year.
const LIBRARIES: &[&str] = &["duckdb==2.0.0", "pytz==2025.2", "chdb==4.4.0", "chdb-core==26.9.0"];

/// Makes it once, from PyPI; a complete one needs no network.
///
/// # Errors
/// If Python can't make it, or the libraries can't be had.
pub(crate) fn ensure() -> Result<PathBuf> {
    with(LIBRARIES)
}

/// A Python with exactly `libraries`, made once.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn with(libraries: &[&str]) -> Result<PathBuf> {
    let folder = workspace::cache()?.join("python").join(libraries.join("_"));
    let python = folder.join("bin/python3");
    let whole = folder.join("whole");
    if whole.exists() {
        return Ok(python);
    }
    println!("missing: {}; from PyPI into {}", libraries.join(", "), folder.display());
    run::stream(run::command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run::stream(run::command(&python.to_string_lossy()).args(quiet).args(libraries))?;
    std::fs::write(&whole, "").with_context(|| format!("write `{}`", whole.display()))?;
    Ok(python)
}
