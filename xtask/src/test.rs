//! `cargo xtask test`: set up, check the style, build once, run every test, print the table.
//!
//! The tests are built by one cargo call and run from here, so that each program has a time limit
//! and a time of its own, and the ones that change the kernel's state run one test at a time.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::artifact::{self, Artifact};
use crate::libtest::Tally;
use crate::run::{self, Ended};
use crate::setup::Scope;
use crate::steps::Steps;
use crate::{cluster, console, python, score, setup, tidy, workspace};

/// Packages whose `tests/it` loads eBPF, mounts, or makes namespaces and tables.
pub(crate) const ROOT_PACKAGES: &[&str] =
    &["sekisho-observe", "sekisho-enforce", "sekisho-lab", "sekisho-store", "sekisho"];

/// The test programs that need a cluster, in any package.
const CLUSTER: &str = "cluster";
/// The test program that needs the `hubble` command, and what tells it where that is.
const HUBBLE: &str = "hubble";
const HUBBLE_VARIABLE: &str = "SEKISHO_TEST_HUBBLE";
/// What tells those programs where the cluster's state is.
pub(crate) const CLUSTER_VARIABLE: &str = "SEKISHO_TEST_CLUSTER";
/// What tells them who can stop and start parts of it: this program.
const XTASK_VARIABLE: &str = "SEKISHO_TEST_XTASK";

const UNIT_LIMIT: Duration = Duration::from_secs(10 * 60);
const ROOT_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Leave out the tests that need root, and with them those that need a cluster.
    pub(crate) quick: bool,
    /// Kubernetes of the cluster, such as `1.34`; None: the main version (testing/cluster).
    pub(crate) release: Option<String>,
}

impl Options {
    /// Reads the verb's flags.
    ///
    /// # Errors
    /// If there is one we do not know, or the tests need root and we are not.
    pub(crate) fn read(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--quick" | "--no-root" => options.quick = true,
                "--cluster-version" => {
                    let release = rest.next().context("--cluster-version needs one, as 1.34")?;
                    options.release = Some(release.clone());
                }
                _ => bail!(
                    "`{argument}` is not a flag of test; it knows --quick (or --no-root) and \
                     --cluster-version"
                ),
            }
        }
        if !options.quick && !workspace::is_root() {
            let line = workspace::as_root("test");
            bail!("the lab's tests need root: `{line}`, or leave them out with --quick");
        }
        Ok(options)
    }
}

/// Runs the verb.
///
/// # Errors
/// If any step fails; all were tried.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let mut steps = Steps::default();
    run_all(root, options, &mut steps);
    steps.finish()
}

/// Runs every step of the verb, so that `ci` can add its own.
pub(crate) fn run_all(root: &Path, options: Options, steps: &mut Steps) {
    let scope = if options.quick { Scope::Build } else { Scope::Cluster };
    if !steps.check("set up", || setup::ensure(scope).and_then(|()| components())) {
        return;
    }
    steps.check("tidy", || tidy::run(root, &[]));
    steps.check("format", || {
        // Only the names: `cargo xtask fmt` is the cure, whatever the difference.
        run::stream(run::cargo().current_dir(root).args(["fmt", "--all", "--", "--check", "-l"]))
    });
    steps.check("clippy", || clippy(root));
    // Before the build, so that what is tested holds it.
    if steps.check("console", || console::ensure(root)) {
        steps.run("console tests", || console::tests(root));
    }
    let mut programs = Vec::new();
    let built = steps.check("build", || {
        let words = ["test", "--workspace", "--locked", "--no-run"];
        programs = artifact::build(root, &words)?;
        // Those that a plain `cargo test` leaves out have to be asked for by name.
        programs.retain(|artifact| !needs_cluster(artifact));
        for target in [CLUSTER, HUBBLE] {
            programs.extend(artifact::build(root, &[&words[..], &["--test", target]].concat())?);
        }
        Ok(())
    });
    if built {
        run_programs(root, options, programs, steps);
    }
}

fn run_programs(root: &Path, options: Options, mut programs: Vec<Artifact>, steps: &mut Steps) {
    let product =
        programs.iter().find(|artifact| artifact.kind == "bin" && !artifact.test).cloned();
    programs.retain(|artifact| artifact.test);
    let (in_cluster, programs): (Vec<_>, Vec<_>) = programs.into_iter().partition(needs_cluster);
    let (root_tests, others): (Vec<_>, Vec<_>) = programs.into_iter().partition(needs_root);
    let mut python = None;
    // The tests that need it say so if it is missing, and the step has failed.
    steps.check("python", || {
        python = Some(python::ensure()?);
        Ok(())
    });
    let mut hubble = None;
    if !options.quick {
        steps.check("hubble command", || {
            hubble = Some(cluster::hubble(root)?);
            Ok(())
        });
    }
    for artifact in &others {
        steps.run(&name(artifact), || run_program(artifact, UNIT_LIMIT, false));
    }
    steps.run("doc tests", || doc_tests(root));
    steps.check("score", || score::step(root));
    for artifact in &root_tests {
        if options.quick {
            steps.leave_out(&name(artifact), "needs root, and --quick was given");
        } else {
            steps.run(&name(artifact), || {
                let mut program = program(artifact, true);
                program.envs(python.iter().map(|path| (python::VARIABLE, path)));
                if artifact.target == HUBBLE {
                    program.envs(hubble.iter().map(|path| (HUBBLE_VARIABLE, path)));
                }
                watch_program(artifact, &mut program, ROOT_LIMIT)
            });
        }
    }
    match &product {
        Some(product) if !options.quick => {
            steps.run("console in a browser", || console::story(root, &product.executable));
        }
        Some(_) | None => {
            steps.leave_out(
                "console in a browser",
                "needs root for the demo, and --quick was given",
            );
        }
    }
    run_in_clusters(root, &options, (&in_cluster, product), steps);
}

fn run_in_clusters(
    root: &Path,
    options: &Options,
    (programs, product): (&[Artifact], Option<Artifact>),
    steps: &mut Steps,
) {
    if options.quick {
        for artifact in programs {
            steps.leave_out(&name(artifact), "needs root and a cluster, and --quick was given");
        }
        return;
    }
    let Some(product) = product else {
        steps.check("cluster up", || bail!("cargo built no program `sekisho`"));
        return;
    };
    let what = (product.executable.as_path(), options.release.as_deref());
    cluster::suite(root, what, steps, |state, steps| {
        for artifact in programs {
            steps.run(&name(artifact), || run_in_cluster(artifact, state));
        }
    });
}

/// Debian's rustup users may have the minimal profile, without rustfmt and clippy.
fn components() -> Result<()> {
    for (verb, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if run::works(run::cargo().args([verb, "--version"])) {
            continue;
        }
        println!("missing: {component}; `rustup component add {component}`");
        let mut rustup = run::command("rustup");
        if run::stream(rustup.args(["component", "add", component])).is_err() {
            bail!("the Rust toolchain lacks {component}");
        }
    }
    Ok(())
}

/// Warnings are errors with the compiler that we pin; a newer one may know new lints, which are
/// shown and no more.
fn clippy(root: &Path) -> Result<()> {
    let pinned = format!("rustc {}.", env!("CARGO_PKG_RUST_VERSION"));
    let ours = run::output(run::command("rustc").current_dir(root).arg("--version"))?;
    let mut cargo = run::cargo();
    cargo.current_dir(root).args(["clippy", "--workspace", "--all-targets", "--locked", "--quiet"]);
    if ours.starts_with(&pinned) {
        cargo.args(["--", "-D", "warnings"]);
    } else {
        println!("{}: not the {pinned}x we pin, so warnings do not fail", ours.trim());
    }
    run::stream(&mut cargo)
}

fn needs_cluster(artifact: &Artifact) -> bool {
    artifact.kind == "test" && artifact.target == CLUSTER
}

fn needs_root(artifact: &Artifact) -> bool {
    artifact.kind == "test" && ROOT_PACKAGES.contains(&artifact.package.as_str())
}

fn name(artifact: &Artifact) -> String {
    match artifact.kind.as_str() {
        "test" => format!("{} tests/{}", artifact.package, artifact.target),
        "lib" => artifact.package.clone(),
        kind => format!("{} ({kind} {})", artifact.package, artifact.target),
    }
}

fn run_in_cluster(artifact: &Artifact, state: &Path) -> Result<Tally> {
    let mut program = program(artifact, true);
    program.env(CLUSTER_VARIABLE, state).env(XTASK_VARIABLE, std::env::current_exe()?);
    watch_program(artifact, &mut program, ROOT_LIMIT)
}

fn run_program(artifact: &Artifact, limit: Duration, serial: bool) -> Result<Tally> {
    watch_program(artifact, &mut program(artifact, serial), limit)
}

/// One test program where cargo would run it, and with the variables cargo would set.
fn program(artifact: &Artifact, serial: bool) -> Command {
    let mut program = run::command(&artifact.executable.to_string_lossy());
    program
        .current_dir(&artifact.folder)
        .env("CARGO_MANIFEST_DIR", &artifact.folder)
        .env("CARGO_PKG_NAME", &artifact.package);
    if serial {
        program.arg("--test-threads=1");
    }
    program
}

fn watch_program(artifact: &Artifact, program: &mut Command, limit: Duration) -> Result<Tally> {
    let mut tally = Tally::default();
    let ended = run::watch(program, limit, |line| {
        println!("{line}");
        tally.read(line);
    })?;
    let trouble = match ended {
        Ended::Exited(status) if tally.results == 0 => format!("died with {status}"),
        Ended::Exited(status) if !status.success() && tally.failed == 0 => {
            format!("ended with {status} although no test failed")
        }
        Ended::Exited(_) => return Ok(tally),
        Ended::TimedOut => format!("did not end within {} s and was killed", limit.as_secs()),
        Ended::LeftChildren => "left processes behind that hold its output".to_owned(),
    };
    eprintln!("{}: {trouble}", name(artifact));
    tally.failed += 1;
    tally.results += 1;
    tally.failures.push(format!("{} ({trouble})", name(artifact)));
    Ok(tally)
}

fn doc_tests(root: &Path) -> Result<Tally> {
    let mut cargo = run::cargo();
    cargo.current_dir(root).args(["test", "--workspace", "--locked", "--doc", "--quiet"]);
    cargo.arg("--no-fail-fast");
    let mut tally = Tally::default();
    let ended = run::watch(&mut cargo, UNIT_LIMIT, |line| {
        // Most crates have none: their empty reports are noise.
        let empty =
            line.is_empty() || line == "running 0 tests" || line.contains(" 0 passed; 0 failed;");
        if !empty {
            println!("{line}");
        }
        tally.read(line);
    })?;
    match ended {
        Ended::Exited(status) if status.success() || tally.failed > 0 => Ok(tally),
        Ended::Exited(status) => bail!("cargo test --doc ended with {status}"),
        Ended::TimedOut => bail!("cargo test --doc took more than {} s", UNIT_LIMIT.as_secs()),
        Ended::LeftChildren => bail!("cargo test --doc left processes behind"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn artifact(package: &str, kind: &str) -> Artifact {
        Artifact {
            package: package.to_owned(),
            folder: PathBuf::from("/"),
            target: "it".to_owned(),
            kind: kind.to_owned(),
            test: true,
            executable: PathBuf::new(),
        }
    }

    fn ran(file: &str, script: &str) -> Tally {
        let path =
            std::env::temp_dir().join(format!("sekisho-xtask-{file}-{}", std::process::id()));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let program = Artifact { executable: path.clone(), ..artifact("sekisho-flow", "test") };
        let tally = run_program(&program, Duration::from_secs(20), false).unwrap();
        fs::remove_file(path).unwrap();
        tally
    }

    #[test]
    fn the_cluster_is_of_the_version_asked_for_and_a_version_is_needed() {
        let read = |line: &str| {
            Options::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        let options = read("--quick --cluster-version 1.34").unwrap();
        assert_eq!(options, Options { quick: true, release: Some("1.34".to_owned()) });
        assert_eq!(read("--quick").unwrap().release, None);
        assert!(read("--quick --cluster-version").is_err());
    }

    #[test]
    fn only_integration_tests_of_the_impure_crates_need_root() {
        assert!(needs_root(&artifact("sekisho-observe", "test")));
        assert!(!needs_root(&artifact("sekisho-observe", "lib")));
        assert!(!needs_root(&artifact("sekisho-flow", "test")));
    }

    #[test]
    fn the_tests_in_a_cluster_are_those_of_the_programs_of_that_name() {
        let program = |package: &str, target: &str| Artifact {
            target: target.to_owned(),
            ..artifact(package, "test")
        };
        assert!(needs_cluster(&program("sekisho", "cluster")));
        assert!(needs_cluster(&program("sekisho-inventory", "cluster")));
        assert!(!needs_cluster(&program("sekisho", "it")));
    }

    #[test]
    fn a_program_that_dies_before_its_result_is_a_failed_test() {
        let tally = ran("dies", "echo 'test a ... ok'; kill -9 $$");
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }

    #[test]
    fn a_program_that_passes_is_counted_as_it_says() {
        let tally = ran("passes", "echo 'test result: ok. 2 passed; 0 failed; 0 ignored;'");
        assert_eq!((tally.passed, tally.failed), (2, 0));
    }

    #[test]
    fn a_failing_exit_code_without_a_failed_test_is_not_a_pass() {
        let tally = ran("lies", "echo 'test result: ok. 2 passed; 0 failed;'; exit 1");
        assert_eq!((tally.passed, tally.failed), (2, 1));
    }
}
