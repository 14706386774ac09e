//! Rules on the packages' manifests: layers, lints, versions, and who may know what.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::tidy::Tree;
use crate::tidy::finding::Finding;
use crate::tidy::tree::File;

/// Who may depend on what: dependency (`*` at the end: any that begins so), packages.
const OWNERS: &[(&str, &[&str])] = &[
    ("aya", &["sekisho-observe", "sekisho-enforce"]),
    ("axum", &["sekisho-api"]),
    ("hyper*", &["sekisho-api", "sekisho-store"]),
    ("kube*", &["sekisho-inventory", "sekisho-enforce"]),
    ("k8s-openapi", &["sekisho-inventory", "sekisho-enforce"]),
    ("tonic*", &["sekisho-inventory", "sekisho-api"]),
    ("prost*", &["sekisho-inventory", "sekisho-exchange", "sekisho-api"]),
    ("parquet", &["sekisho-store"]),
    ("arrow*", &["sekisho-store"]),
    ("rusqlite", &["sekisho-store"]),
    ("clickhouse", &["sekisho-store"]),
    ("clap*", &["sekisho"]),
    ("rustls*", &["sekisho-api", "sekisho-store"]),
    ("tokio-rustls", &["sekisho-api", "sekisho-store"]),
    ("rcgen", &["sekisho-api"]),
    ("x509-parser", &["sekisho-api"]),
    ("time", &["sekisho-api"]),
    (
        "tokio*",
        &["sekisho", "sekisho-api", "sekisho-inventory", "sekisho-enforce", "sekisho-store"],
    ),
    ("regex", &["sekisho-labels"]),
    // What people call things is never in a policy: who makes or judges one does not know of it.
    ("sekisho-labels", &["sekisho-map", "sekisho-api", "sekisho"]),
    ("anyhow", &["sekisho", "xtask"]),
    ("tracing-subscriber", &["sekisho"]),
];

/// A package's manifest, as far as the rules go.
#[derive(Debug)]
pub(crate) struct Package<'a> {
    file: &'a File,
    table: Table,
    /// Package name.
    pub(crate) name: String,
    /// True if it declares itself pure.
    pub(crate) pure: bool,
    layer: Option<i64>,
}

impl<'a> Package<'a> {
    fn read(file: &'a File) -> Option<Self> {
        // Cargo itself reports what is no TOML.
        let table: Table = file.text.parse().ok()?;
        let package = table.get("package")?;
        let own = package.get("metadata").and_then(|metadata| metadata.get("sekisho"));
        let name = package.get("name")?.as_str()?.to_owned();
        let layer = own.and_then(|own| own.get("layer")).and_then(Value::as_integer);
        let pure = own.and_then(|own| own.get("pure")).and_then(Value::as_bool);
        Some(Self { name, layer, pure: pure?, file, table })
    }

    /// Each dependency: section, name, what it is set to.
    fn dependencies(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
        sections.into_iter().flat_map(|section| {
            let entries = self.table.get(section).and_then(Value::as_table);
            entries.into_iter().flatten().map(move |(name, value)| (section, name.as_str(), value))
        })
    }

    fn place_of(&self, dependency: &str) -> (&str, usize) {
        let begins = |(_, line): &(usize, &str)| {
            let rest = line.strip_prefix(dependency);
            rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        (&self.file.path, self.file.lines().find(begins).map_or(1, |(number, _)| number))
    }
}

/// The packages that declare themselves properly, by name.
pub(crate) fn packages(tree: &Tree) -> BTreeMap<String, Package<'_>> {
    let read = tree.manifests().filter_map(Package::read);
    read.map(|package| (package.name.clone(), package)).collect()
}

/// Each package says its layer and whether it is pure.
pub(crate) fn declares_its_layer(tree: &Tree) -> Vec<Finding> {
    let silent = tree
        .manifests()
        .filter(|file| Package::read(file).is_none_or(|package| package.layer.is_none()));
    let finding = |file: &File| {
        Finding::new(
            (&file.path, 1),
            "does not say its layer",
            "layers keep the crates understandable one by one",
            "add `[package.metadata.sekisho]` with `layer = N` and `pure = true|false`",
        )
    };
    silent.map(finding).collect()
}

/// A crate depends on lower layers only; its tests may use peers. Pure crates depend on pure ones.
pub(crate) fn depends_downwards(tree: &Tree) -> Vec<Finding> {
    let packages = packages(tree);
    let mut findings = Vec::new();
    for package in packages.values() {
        for (section, name, _) in package.dependencies() {
            let Some(target) = packages.get(name) else { continue };
            let (Some(own), Some(other)) = (package.layer, target.layer) else { continue };
            let tests = section == "dev-dependencies";
            if other > own || (other == own && !tests) {
                findings.push(Finding::new(
                    package.place_of(name),
                    format!("`{}` (layer {own}) depends on `{name}` (layer {other})", package.name),
                    "a crate depends only on lower layers; peers do not know each other",
                    "let `sekisho-model` types carry the data and `sekisho` wire the two",
                ));
            }
            if package.pure && !target.pure && !tests {
                findings.push(Finding::new(
                    package.place_of(name),
                    format!("pure `{}` depends on `{name}`, which is not pure", package.name),
                    "correctness lives where there is no I/O, clock or thread",
                    "pass in what it needs as a value",
                ));
            }
        }
    }
    findings
}

/// Each package inherits the workspace's lints.
pub(crate) fn inherits_the_lints(tree: &Tree) -> Vec<Finding> {
    let inherits = |file: &File| {
        let table: Option<Table> = file.text.parse().ok();
        let lints = table.as_ref().and_then(|table| table.get("lints"));
        lints.and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) == Some(true)
    };
    let finding = |file: &File| {
        Finding::new(
            (&file.path, 1),
            "does not inherit the workspace's lints",
            "a lint that half the crates skip is no rule",
            "add `[lints]` with `workspace = true`",
        )
    };
    tree.manifests().filter(|file| !inherits(file)).map(finding).collect()
}

/// Versions stand in the root manifest and nowhere else.
pub(crate) fn leaves_versions_to_the_workspace(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages(tree).values() {
        for (_, name, value) in package.dependencies() {
            let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
            if !inherited {
                findings.push(Finding::new(
                    package.place_of(name),
                    format!("`{name}` is not inherited from the workspace"),
                    "two places for a version become two versions",
                    format!(
                        "write `{name}.workspace = true` and the version in the root Cargo.toml"
                    ),
                ));
            }
        }
    }
    findings
}

/// The heavy dependencies have owners; everyone else stays free of them, but for tests that play
/// somebody who has them.
pub(crate) fn knows_only_what_it_may(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages(tree).values() {
        for (section, name, _) in package.dependencies() {
            if section == "dev-dependencies" {
                continue;
            }
            let Some((_, owners)) = OWNERS.iter().find(|(pattern, _)| matches(pattern, name))
            else {
                continue;
            };
            if !owners.contains(&package.name.as_str()) {
                findings.push(Finding::new(
                    package.place_of(name),
                    format!(
                        "`{}` depends on `{name}`, which only {} may know",
                        package.name,
                        owners.join(" and ")
                    ),
                    "one owner per heavy dependency keeps it replaceable",
                    "ask the owner for what you need through its public verb",
                ));
            }
        }
    }
    findings
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

    fn manifest(name: &str, layer: i64, pure: bool, rest: &str) -> String {
        format!(
            "[package]\nname = \"{name}\"\n[package.metadata.sekisho]\nlayer = {layer}\npure = {pure}\n\
             [lints]\nworkspace = true\n{rest}"
        )
    }

    fn found(check: fn(&Tree) -> Vec<Finding>, manifests: &[String]) -> Vec<String> {
        let paths = ["crates/a/Cargo.toml", "crates/b/Cargo.toml", "crates/c/Cargo.toml"];
        let files = paths.into_iter().zip(manifests.iter().map(String::as_str)).collect::<Vec<_>>();
        check(&Tree::of(&files))
            .into_iter()
            .map(|f| format!("{}:{} {}", f.path, f.line, f.what))
            .collect()
    }

    #[test]
    fn a_package_without_a_layer_is_found() {
        let bare = "[package]\nname = \"a\"\n".to_owned();
        assert_eq!(found(declares_its_layer, &[bare]).len(), 1);
        assert!(found(declares_its_layer, &[manifest("a", 1, true, "")]).is_empty());
    }

    #[test]
    fn upwards_and_sideways_are_found_and_downwards_is_not() {
        let base = manifest("base", 0, true, "");
        let on = |name: &str, layer, section: &str| {
            manifest("a", layer, true, &format!("[{section}]\n{name}.workspace = true\n"))
        };
        let found = |own| found(depends_downwards, &[own, base.clone()]);
        assert_eq!(
            found(on("base", 0, "dependencies")),
            ["crates/a/Cargo.toml:9 `a` (layer 0) depends on `base` (layer 0)"]
        );
        assert!(found(on("base", 1, "dependencies")).is_empty());
        assert!(found(on("base", 0, "dev-dependencies")).is_empty(), "tests may use peers");
    }

    #[test]
    fn a_pure_crate_on_an_impure_one_is_found() {
        let machine = manifest("machine", 1, false, "");
        let on_it = "[dependencies]\nmachine.workspace = true\n";
        let pure = manifest("a", 2, true, on_it);
        let impure = manifest("a", 2, false, on_it);
        assert_eq!(found(depends_downwards, &[pure, machine.clone()]).len(), 1);
        assert!(found(depends_downwards, &[impure, machine]).is_empty());
    }

    #[test]
    fn lints_that_are_not_inherited_are_found() {
        let bare = manifest("a", 1, true, "").replace("workspace = true", "workspace = false");
        assert_eq!(found(inherits_the_lints, &[bare]).len(), 1);
        assert!(found(inherits_the_lints, &[manifest("a", 1, true, "")]).is_empty());
    }

    #[test]
    fn a_version_outside_the_workspace_is_found() {
        let check = leaves_versions_to_the_workspace;
        let own = |line: &str| manifest("a", 1, true, &format!("[dependencies]\n{line}\n"));
        assert_eq!(found(check, &[own("serde = \"1\"")]).len(), 1);
        assert_eq!(found(check, &[own("serde = { version = \"1\" }")]).len(), 1);
        assert!(found(check, &[own("serde = { workspace = true }")]).is_empty());
        assert!(found(check, &[own("serde.workspace = true")]).is_empty());
    }

    #[test]
    fn an_owned_dependency_elsewhere_is_found_and_at_its_owner_is_not() {
        let check = knows_only_what_it_may;
        let with =
            |name: &str, line: &str| manifest(name, 4, false, &format!("[dependencies]\n{line}\n"));
        assert_eq!(found(check, &[with("sekisho-flow", "aya.workspace = true")]).len(), 1);
        assert!(found(check, &[with("sekisho-observe", "aya.workspace = true")]).is_empty());
        assert_eq!(found(check, &[with("sekisho-lab", "hyper-util.workspace = true")]).len(), 1);
        assert!(found(check, &[with("sekisho-lab", "serde.workspace = true")]).is_empty());
    }
}
