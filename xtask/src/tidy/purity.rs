//! Pure crates stay pure through everything they depend on.

use std::path::Path;

use anyhow::Result;

use crate::run;
use crate::tidy::Tree;
use crate::tidy::finding::Finding;
use crate::tidy::manifests::packages;

/// Packages that do I/O, threads, randomness or clocks (`*` at the end: any that begins so).
const IMPURE: &[&str] = &[
    "tokio*",
    "async-*",
    "mio",
    "kube*",
    "hyper*",
    "axum*",
    "reqwest",
    "tonic*",
    "aya*",
    "rusqlite",
    "parquet",
    "arrow*",
    "nix",
    "rustix",
    "socket2",
    "rand*",
    "getrandom",
    "rayon*",
    "crossbeam*",
    "tempfile",
    "clickhouse",
    "sekisho-system",
];

/// Asks cargo for the normal dependencies of each pure crate, all the way down.
///
/// # Errors
/// If `cargo tree` fails.
pub(crate) fn pure_crates_stay_pure(root: &Path, tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in packages(tree).values().filter(|package| package.pure) {
        let mut cargo = run::cargo();
        cargo.current_dir(root).args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
        cargo.args(["--format", "{p}", "--package", &package.name]);
        findings.extend(impure(&package.name, &run::output(&mut cargo)?));
    }
    Ok(findings)
}

/// `listing` has one `name version ...` per line, the package itself first.
fn impure(package: &str, listing: &str) -> Vec<Finding> {
    let mut names =
        listing.lines().skip(1).filter_map(|line| line.split(' ').next()).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    let guilty =
        names.into_iter().filter(|name| IMPURE.iter().any(|pattern| matches(pattern, name)));
    let finding = |name: &str| {
        let folder = package.strip_prefix("sekisho-").unwrap_or(package);
        Finding::new(
            (&format!("crates/{folder}/Cargo.toml"), 1),
            format!("pure `{package}` reaches `{name}`"),
            "correctness lives where there is no I/O, clock, thread or randomness",
            format!("`cargo tree -e normal -p {package} -i {name}` shows by which way; cut it"),
        )
    };
    guilty.map(finding).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impure_package_far_down_is_found_once() {
        let listing = "sekisho-flow v0.1.0 (/w)\nserde v1.0.0\ntokio v1.0.0\ntokio v1.0.0 (*)\n";
        let found = impure("sekisho-flow", listing);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "crates/flow/Cargo.toml");
    }

    #[test]
    fn words_and_codecs_are_pure() {
        let listing = "sekisho-flow v0.1.0 (/w)\nserde v1.0.0\nserde_json v1.0.0\nipnet v2.0.0\n";
        assert_eq!(impure("sekisho-flow", listing), []);
    }
}
