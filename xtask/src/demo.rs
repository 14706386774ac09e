//! `cargo xtask demo`: set up, build, and become `sekisho demo`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::setup::{self, Scope};
use crate::{artifact, console, run, workspace};

/// Runs the verb. We become the program, so Ctrl-C and the exit code are its own and its clean-up
/// is waited for by whoever called us.
///
/// # Errors
/// Without root, or if the set-up or the build fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    if !workspace::is_root() {
        bail!(
            "the demo makes network namespaces and loads eBPF, which needs root: `{}`",
            workspace::as_root("demo")
        );
    }
    setup::ensure(Scope::Run)?;
    console::ensure(root)?;
    let program = artifact::sekisho(root)?;
    let mut demo = run::command(&program.to_string_lossy());
    Err(run::replace(demo.arg("demo").args(arguments)))
}
