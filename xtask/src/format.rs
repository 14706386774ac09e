//! `cargo xtask fmt`: rustfmt, and clang-format over bpf/ where it is installed.

use std::path::Path;

use anyhow::Result;

use crate::run;
use crate::tidy::Tree;

/// Runs the verb.
///
/// # Errors
/// If a formatter fails.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<()> {
    run::stream(run::cargo().current_dir(root).args(["fmt", "--all"]))?;
    let programs = ["clang-format", "clang-format-19"];
    let Some(program) =
        programs.iter().find(|name| run::works(run::command(name).arg("--version")))
    else {
        println!("clang-format is not here: bpf/ was not formatted");
        return Ok(());
    };
    let tree = Tree::read(root)?;
    let sources = tree.c_sources().map(|file| root.join(&file.path)).collect::<Vec<_>>();
    if sources.is_empty() {
        return Ok(());
    }
    run::stream(run::command(program).arg("-i").args(sources))
}
