//! Builds once with cargo and tells where the programs are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;

/// A program that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// Package, e.g. `sekisho-flow`.
    pub(crate) package: String,
    /// Folder of the package.
    pub(crate) folder: PathBuf,
    /// Target, e.g. `it`.
    pub(crate) target: String,
    /// Kind of the target: `lib`, `bin`, `test`, `example`.
    pub(crate) kind: String,
    /// True if it is a test harness.
    pub(crate) test: bool,
    /// The program.
    pub(crate) executable: PathBuf,
}

/// Runs cargo with `arguments` (a build of some kind) and returns the programs it made, sorted.
///
/// # Errors
/// If cargo fails; it has printed why.
pub(crate) fn build(root: &Path, arguments: &[&str]) -> Result<Vec<Artifact>> {
    let mut cargo = run::cargo();
    cargo.current_dir(root).args(arguments).arg("--message-format=json-render-diagnostics");
    let text = capture(&mut cargo, arguments)?;
    let mut artifacts = text.lines().filter_map(read).collect::<Vec<_>>();
    artifacts.sort_by(|a, b| (&a.folder, &a.kind, &a.target).cmp(&(&b.folder, &b.kind, &b.target)));
    Ok(artifacts)
}

/// Builds `sekisho` in the release profile and returns its path.
///
/// # Errors
/// If cargo fails.
pub(crate) fn sekisho(root: &Path) -> Result<PathBuf> {
    sekisho_in(root, "release")
}

/// Builds `sekisho` in a profile of ours and returns its path.
///
/// # Errors
/// If cargo fails.
pub(crate) fn sekisho_in(root: &Path, profile: &str) -> Result<PathBuf> {
    let profile = format!("--profile={profile}");
    let built = build(root, &["build", &profile, "--package", "sekisho", "--bin", "sekisho"])?;
    let program = built.into_iter().find(|artifact| artifact.target == "sekisho");
    Ok(program.context("cargo built no program `sekisho`")?.executable)
}

fn capture(cargo: &mut Command, arguments: &[&str]) -> Result<String> {
    let output = cargo.stderr(Stdio::inherit()).output().context("start cargo")?;
    if !output.status.success() {
        bail!("`cargo {}` ended with {}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads one line of cargo's JSON (The Cargo Book, "External tools", artifact messages).
fn read(line: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message.get("reason")?.as_str()? != "compiler-artifact" {
        return None;
    }
    let target = message.get("target")?;
    let folder = Path::new(message.get("manifest_path")?.as_str()?).parent()?.to_path_buf();
    Some(Artifact {
        package: package_name(message.get("package_id")?.as_str()?, &folder),
        folder,
        target: target.get("name")?.as_str()?.to_owned(),
        kind: target.get("kind")?.get(0)?.as_str()?.to_owned(),
        test: message.get("profile")?.get("test")?.as_bool()?,
        executable: PathBuf::from(message.get("executable")?.as_str()?),
    })
}

/// `path+file:///x/crates/flow#sekisho-flow@0.1.0`, or `path+file:///x/xtask#0.1.0` when the
/// folder is named like the package.
fn package_name(id: &str, folder: &Path) -> String {
    let fragment = id.rsplit_once('#').map_or("", |(_, fragment)| fragment);
    match fragment.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_found_in_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/crates/flow#sekisho-flow@0.1.0","manifest_path":"/w/crates/flow/Cargo.toml","target":{"kind":["test"],"name":"it"},"profile":{"test":true},"executable":"/t/it-1"}"#;
        let artifact = read(line).unwrap();
        assert_eq!((artifact.package.as_str(), artifact.kind.as_str()), ("sekisho-flow", "test"));
        assert!(artifact.test);
    }

    #[test]
    fn a_library_is_no_program() {
        let line = r#"{"reason":"compiler-artifact","package_id":"x#1","manifest_path":"/w/x/Cargo.toml","target":{"kind":["lib"],"name":"x"},"profile":{"test":false},"executable":null}"#;
        assert_eq!(read(line), None);
        assert_eq!(read("not json"), None);
    }

    #[test]
    fn a_package_named_like_its_folder_has_a_short_id() {
        assert_eq!(package_name("path+file:///w/xtask#0.1.0", Path::new("/w/xtask")), "xtask");
    }
}
