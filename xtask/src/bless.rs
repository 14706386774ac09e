//! `cargo xtask bless [CARGO-TEST-ARGUMENTS]`: accept changed snapshots.

use std::path::Path;

use anyhow::Result;

use crate::run;

/// Runs the tests without root (or those that the arguments name) and overwrites their snapshots.
///
/// # Errors
/// If a test fails for another reason than its snapshot.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut cargo = run::cargo();
    cargo.current_dir(root).env("INSTA_UPDATE", "always").env("INSTA_FORCE_PASS", "1");
    cargo.arg("test");
    if arguments.is_empty() {
        cargo.args(["--workspace", "--lib", "--bins", "--no-fail-fast"]);
    } else {
        cargo.args(arguments);
    }
    run::stream(&mut cargo)?;
    println!(
        "a changed snapshot is a changed promise: review it (`git diff`) and say why in the commit"
    );
    Ok(())
}
