//! `cargo xtask fmt`: rustfmt, and clang-format over bpf/ where it is installed.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::run;
use crate::tidy::Tree;

/// Other versions break lines in other places.
pub(crate) const CLANG_FORMAT_MAJOR: u32 = 19;

/// Runs the verb.
///
/// # Errors
/// If a formatter fails.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<()> {
    run::stream(run::cargo().current_dir(root).args(["fmt", "--all"]))?;
    let Some(mut program) = clang_format() else {
        println!("clang-format {CLANG_FORMAT_MAJOR} is not here: bpf/ was not formatted");
        return Ok(());
    };
    let tree = Tree::read(root)?;
    let sources = tree.c_sources().map(|file| root.join(&file.path)).collect::<Vec<_>>();
    if sources.is_empty() {
        return Ok(());
    }
    run::stream(program.arg("-i").args(sources))
}

/// The one clang-format whose opinion counts, if it is installed.
pub(crate) fn clang_format() -> Option<Command> {
    let names = [format!("clang-format-{CLANG_FORMAT_MAJOR}"), "clang-format".to_owned()];
    let found = names.iter().find(|name| {
        run::works(run::command(name).arg("--version"))
            && run::output(run::command(name).arg("--version")).is_ok_and(|text| is_ours(&text))
    });
    found.map(|name| run::command(name))
}

fn is_ours(version: &str) -> bool {
    let number = version.split_once("clang-format version ").map(|(_, number)| number);
    number.and_then(|number| number.split('.').next()?.parse().ok()) == Some(CLANG_FORMAT_MAJOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_version_counts() {
        assert!(is_ours("Debian clang-format version 19.1.7 (3~deb12u1)\n"));
        assert!(is_ours("clang-format version 19.1.0\n"));
        for other in ["Debian clang-format version 14.0.6", "clang-format version 190.1", ""] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
