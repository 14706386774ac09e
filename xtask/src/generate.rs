//! `cargo xtask gen [--check] [PROGRAM]`: docs/cli.md, written from the program's own help.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{artifact, run};

const PAGE: &str = "docs/cli.md";
const HEAD: &str =
    "# Commands\n\nWritten by `cargo xtask gen` from the program's own help; do not edit.\n";
/// Deeper than any command we have; a program that lists itself must not hang us.
const DEPTH_MAX: usize = 4;

/// Runs the verb; with `--check` it writes nothing. A PROGRAM that is named is asked as it is, and
/// nothing is built.
///
/// # Errors
/// If the page differs (with `--check`), or the program can't be built or asked.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (check, named) = match words.as_slice() {
        [] => (false, None),
        ["--check"] => (true, None),
        ["--check", program] => (true, Some(*program)),
        [program] if !program.starts_with('-') => (false, Some(*program)),
        _ => bail!("usage: cargo xtask gen [--check] [PROGRAM]"),
    };
    let program = match named {
        Some(program) => program.into(),
        None => built(root)?,
    };
    let mut page = HEAD.to_owned();
    describe(&program, &[], &mut page)?;
    let path = root.join(PAGE);
    let old = fs::read_to_string(&path).unwrap_or_default();
    match (old == page, check) {
        (true, _) => println!("{PAGE} is up to date"),
        (false, true) => bail!("{PAGE} differs from the program's help: run `cargo xtask gen`"),
        (false, false) => {
            fs::write(&path, page).with_context(|| format!("write {PAGE}"))?;
            println!("wrote {PAGE}");
        }
    }
    Ok(())
}

/// The program, built by the same call that the tests use, so that it costs nothing after them.
fn built(root: &Path) -> Result<PathBuf> {
    let built = artifact::build(root, &["test", "--workspace", "--locked", "--no-run"])?;
    let program = built
        .into_iter()
        .find(|built| built.kind == "bin" && built.target == "sekisho" && !built.test);
    Ok(program.context("cargo built no program `sekisho`")?.executable)
}

/// Appends the help of `words` and of all commands below it.
fn describe(program: &Path, words: &[String], page: &mut String) -> Result<()> {
    let help = help(program, words)?;
    let title = std::iter::once("sekisho").chain(words.iter().map(String::as_str));
    let title = title.collect::<Vec<_>>().join(" ");
    page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", help.trim_end()));
    if words.len() >= DEPTH_MAX {
        return Ok(());
    }
    for name in commands(&help) {
        let below = words.iter().cloned().chain([name]).collect::<Vec<_>>();
        describe(program, &below, page)?;
    }
    Ok(())
}

/// The help must not depend on who asks: no terminal, no colour, a fixed width.
fn help(program: &Path, words: &[String]) -> Result<String> {
    let mut command = run::command(&program.to_string_lossy());
    command.args(words).arg("--help").stdin(Stdio::null());
    command.env("NO_COLOR", "1").env("COLUMNS", "100").env_remove("SEKISHO_SERVER");
    let output = command.output().with_context(|| format!("start {}", program.display()))?;
    if !output.status.success() {
        bail!("`sekisho {} --help` ended with {}", words.join(" "), output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// Names below `Commands:`, as clap prints them: indented by two, `help` left out.
fn commands(help: &str) -> Vec<String> {
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = section.take_while(|line| !line.is_empty());
    let entries =
        lines.filter_map(|line| line.strip_prefix("  ")).filter(|rest| !rest.starts_with(' '));
    let names = entries.filter_map(|rest| rest.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_clap_help_and_wrapped_lines_are_not_names() {
        let help = "A tool\n\nUsage: x\n\nCommands:\n  map     Draws\n          the map\n  verify  Asks\n  help    Helps\n\nOptions:\n  -h\n";
        assert_eq!(commands(help), ["map", "verify"]);
        assert!(commands("Usage: x\n\nOptions:\n  -h\n").is_empty());
    }
}
