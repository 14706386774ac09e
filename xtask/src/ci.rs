//! `cargo xtask ci`: what `test` does, and that documentation, generated files and the chart hold as
//! well.

use std::path::Path;

use anyhow::Result;

use crate::steps::Steps;
use crate::test::{self, Options};
use crate::{chart, generate, run};

/// Runs the verb.
///
/// # Errors
/// If any step fails; all were tried.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let quick = options.quick;
    let mut steps = Steps::default();
    test::run_all(root, options, &mut steps);
    steps.check("documentation", || {
        let mut cargo = run::cargo();
        cargo.current_dir(root).env("RUSTDOCFLAGS", "-D warnings");
        cargo.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]);
        run::stream(cargo.arg("--quiet"))
    });
    steps.check("generated files", || generate::run(root, &["--check".to_owned()]));
    if quick {
        steps.leave_out("chart", "needs Helm, which is built with Go, and --quick was given");
    } else {
        steps.check("chart", || chart::run(root, &["--check".to_owned()]));
    }
    steps.finish()
}
