//! All automation of the project, behind one door: `cargo xtask VERB`. One file per verb; without
//! a verb it lists them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod artifact;
mod bench;
mod bless;
mod chart;
mod ci;
mod cluster;
mod console;
mod demo;
mod format;
mod generate;
mod image;
mod lab;
mod libtest;
mod peers;
mod python;
mod release;
mod run;
mod score;
mod setup;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

/// One verb of the door.
struct Verb {
    name: &'static str,
    /// What it does, in a line.
    does: &'static str,
    run: fn(&Path, &[String]) -> Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        does: "install what is missing, build, run the shop (root)",
        run: demo::run,
    },
    Verb { name: "test", does: "every check and test; --quick leaves out root's", run: test::run },
    Verb {
        name: "ci",
        does: "test, and documentation, generated files and chart as well",
        run: ci::run,
    },
    Verb { name: "score", does: "answers that others wrote, compared with ours", run: score::run },
    Verb { name: "setup", does: "say what this machine lacks, and install it", run: setup::run },
    Verb { name: "tidy", does: "the style rules that no other tool checks", run: tidy::run },
    Verb { name: "fmt", does: "format Rust, and C if clang-format is here", run: format::run },
    Verb { name: "gen", does: "write docs/cli.md from the program; --check", run: generate::run },
    Verb { name: "bless", does: "accept changed snapshots; then review the diff", run: bless::run },
    Verb { name: "bench", does: "measure, and print the figures as one table", run: bench::run },
    Verb { name: "lab", does: "build, then `sekisho lab ...` (root)", run: lab::run },
    Verb {
        name: "cluster",
        does: "a real Kubernetes on this machine: up, down, status (root)",
        run: cluster::run,
    },
    Verb {
        name: "chart",
        does: "lint the Helm chart, write deploy/manifests from it; --check",
        run: chart::run,
    },
    Verb {
        name: "console",
        does: "build the web console, which the binary then holds; --check",
        run: console::run,
    },
    Verb { name: "image", does: "the product as a container image: a tar", run: image::run },
    Verb {
        name: "release",
        does: "fold changes/ into CHANGELOG.md: release VERSION",
        run: release::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        teach();
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        teach();
        return ExitCode::SUCCESS;
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprintln!("error: `{name}` is not a verb; `cargo xtask` lists them");
        return ExitCode::from(2);
    };
    match (verb.run)(&workspace::root(), rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn teach() {
    println!("cargo xtask VERB\n");
    for Verb { name, does, .. } in VERBS {
        println!("  {name:<9}{does}");
    }
    println!("\nNew here? `cargo xtask demo` shows it working; `cargo xtask test` checks it.");
}
