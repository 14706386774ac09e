//! `cargo xtask bless [CARGO-TEST-ARGUMENTS]`: accept changed snapshots.

use std::path::Path;

use anyhow::Result;

use crate::run;
use crate::test::ROOT_PACKAGES;

/// Snapshots in integration tests that otherwise need root: package and module.
const WITHOUT_ROOT: &[(&str, &str)] = &[("sekisho-enforce", "compile::")];

/// Runs the tests without root (or those that the arguments name) and overwrites their snapshots.
///
/// # Errors
/// If a test fails for another reason than its snapshot; the others were run.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut failed = None;
    for words in calls(arguments) {
        let mut cargo = run::cargo();
        cargo.current_dir(root).env("INSTA_UPDATE", "always").env("INSTA_FORCE_PASS", "1");
        if let Err(error) = run::stream(cargo.arg("test").args(words)) {
            failed = failed.or(Some(error));
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    println!(
        "a changed snapshot is a changed promise: review it (`git diff`) and say why in the commit"
    );
    Ok(())
}

/// The arguments of each call of `cargo test`.
fn calls(arguments: &[String]) -> Vec<Vec<String>> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    if !arguments.is_empty() {
        return vec![arguments.to_vec()];
    }
    let mut all = words("--workspace --lib --bins --test it --no-fail-fast");
    let mut units = words("--lib --bins --no-fail-fast");
    for package in ROOT_PACKAGES {
        all.extend(["--exclude", package].map(str::to_owned));
        units.extend(["--package", package].map(str::to_owned));
    }
    let named = WITHOUT_ROOT.iter();
    let named =
        named.map(|(package, module)| words(&format!("--package {package} --test it {module}")));
    [all, units].into_iter().chain(named).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace;

    /// The packages and modules that have snapshots in `tests/it`.
    fn with_snapshots() -> Vec<(String, String)> {
        let mut found = Vec::new();
        for package in fs::read_dir(workspace::root().join("crates")).unwrap().flatten() {
            let folder = package.path().join("tests/it/snapshots");
            let package = format!("sekisho-{}", package.file_name().to_string_lossy());
            for snapshot in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = snapshot.file_name().to_string_lossy().into_owned();
                // insta names them `it__module__test.snap`.
                let module = name.split("__").nth(1).unwrap().to_owned();
                found.push((package.clone(), format!("{module}::")));
            }
        }
        found
    }

    #[test]
    fn every_snapshot_is_reached() {
        let found = with_snapshots();
        assert!(found.len() > 20, "{found:?}");
        for (package, module) in found {
            let needs_root = ROOT_PACKAGES.contains(&package.as_str());
            let named = WITHOUT_ROOT.contains(&(package.as_str(), module.as_str()));
            assert_eq!(needs_root, named, "{package} {module}");
        }
    }

    #[test]
    fn what_needs_root_is_left_out_and_arguments_are_taken_as_they_are() {
        let calls = calls(&[]);
        assert!(calls[0].contains(&"sekisho-observe".to_owned()), "excluded: {calls:?}");
        assert!(!calls[1].contains(&"it".to_owned()), "{calls:?}");
        let own = ["-p".to_owned(), "sekisho-map".to_owned()];
        assert_eq!(super::calls(&own), [own.to_vec()]);
    }
}
