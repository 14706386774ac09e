//! `cargo xtask lab ...`: build, and become `sekisho lab ...`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::setup::{self, Scope};
use crate::{artifact, run, workspace};

/// Runs the verb.
///
/// # Errors
/// Without root, or if the set-up or the build fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    if !workspace::is_root() {
        bail!(
            "the lab makes network namespaces, which needs root: `{}`",
            workspace::as_root("lab")
        );
    }
    setup::ensure(Scope::Run)?;
    let program = artifact::sekisho(root)?;
    let mut lab = run::command(&program.to_string_lossy());
    Err(run::replace(lab.arg("lab").args(arguments)))
}
