//! The program whose answers are scored.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run;

/// `sekisho`, as a user runs it.
pub(super) struct Program {
    path: PathBuf,
}

/// What it said.
pub(super) struct Answer {
    /// Exit code; -1 = killed.
    pub(super) code: i32,
    /// Standard output.
    pub(super) text: String,
    /// Standard error.
    pub(super) errors: String,
}

impl Program {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Runs it with arguments.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<Answer> {
        let mut command = run::command(&self.path.to_string_lossy());
        let output = command.args(arguments).output();
        let output = output.with_context(|| format!("start {}", self.path.display()))?;
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// A path as an argument.
pub(super) fn argument(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Answer {
    /// The first line of what went wrong, shortened.
    pub(super) fn complaint(&self) -> String {
        let lines = self.errors.lines().filter(|line| !line.starts_with("warning:"));
        let line: String = lines.take(1).flat_map(|line| line.chars().take(200)).collect();
        format!("exit code {}: {line}", self.code)
    }
}
