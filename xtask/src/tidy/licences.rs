//! Licences of all dependencies, checked offline against the list in deny.toml.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run;
use crate::tidy::Tree;
use crate::tidy::finding::Finding;

const LIST: &str = "deny.toml";

/// What deny.toml says.
#[derive(Debug, Default)]
struct Terms {
    /// SPDX identifiers that any dependency may carry.
    allowed: Vec<String>,
    /// Packages that must not appear at all.
    banned: Vec<String>,
}

/// Reads the licences from cargo's metadata and finds those that the list doesn't allow.
///
/// # Errors
/// If cargo's metadata or deny.toml can't be read.
pub(crate) fn dependencies_may_be_used(root: &Path, tree: &Tree) -> Result<Vec<Finding>> {
    let text = tree.file(LIST).context("deny.toml is missing")?.text.as_str();
    let terms = Terms::read(text).context("deny.toml: no `licenses.allow`")?;
    let mut cargo = run::cargo();
    cargo.current_dir(root).args(["metadata", "--format-version", "1", "--locked"]);
    // Crates that only other platforms use are never built here.
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata: Value = serde_json::from_str(&run::output(&mut cargo)?)?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let used = used_ids(&metadata);
    let packages = packages.context("cargo metadata names no packages")?;
    let ours = packages.iter().filter(|package| {
        package.get("id").and_then(Value::as_str).is_some_and(|id| used.contains(&id))
    });
    Ok(ours.filter_map(|package| judge(&terms, package)).collect())
}

impl Terms {
    fn read(text: &str) -> Option<Self> {
        let table: toml::Table = text.parse().ok()?;
        let words = |value: &toml::Value| Some(value.as_str()?.to_owned());
        let allowed = table.get("licenses")?.get("allow")?.as_array()?;
        let banned = table.get("bans").and_then(|bans| bans.get("deny"));
        let banned = banned.and_then(toml::Value::as_array).into_iter().flatten();
        Some(Self {
            allowed: allowed.iter().filter_map(words).collect(),
            banned: banned.filter_map(|entry| words(entry.get("name")?)).collect(),
        })
    }
}

fn used_ids(metadata: &Value) -> Vec<&str> {
    let nodes = metadata.get("resolve").and_then(|resolve| resolve.get("nodes"));
    let nodes = nodes.and_then(Value::as_array).into_iter().flatten();
    nodes.filter_map(|node| node.get("id")?.as_str()).collect()
}

fn judge(terms: &Terms, package: &Value) -> Option<Finding> {
    let name = package.get("name")?.as_str()?;
    let finding = |what: String, why, mend: &str| Some(Finding::new((LIST, 1), what, why, mend));
    if terms.banned.iter().any(|banned| banned == name) {
        return finding(
            format!("`{name}` is banned and in the tree"),
            "see the reason in deny.toml",
            "`cargo tree -i` shows who brings it",
        );
    }
    let why = "we give the binary away, with everything in it";
    let Some(expression) = package.get("license").and_then(Value::as_str) else {
        return finding(format!("`{name}` names no licence"), why, "choose another crate");
    };
    if is_allowed(expression, &terms.allowed) {
        return None;
    }
    let what = format!("`{name}` is under `{expression}`");
    finding(what, why, "choose another crate, or add the licence to deny.toml and say why")
}

/// Evaluates an SPDX expression: OR needs one side, AND both, `WITH` is part of the identifier.
/// What can't be read is not allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // Old manifests write `MIT/Apache-2.0` (The Cargo Book, "license": deprecated separator).
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words = spaced.split_whitespace().collect::<Vec<_>>();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed) == Some(true) && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut fine = all_of(words, allowed)?;
    while take(words, "OR") {
        fine |= all_of(words, allowed)?;
    }
    Some(fine)
}

fn all_of(words: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut fine = one(words, allowed)?;
    while take(words, "AND") {
        fine &= one(words, allowed)?;
    }
    Some(fine)
}

fn one(words: &mut &[&str], allowed: &[String]) -> Option<bool> {
    if take(words, "(") {
        let fine = any_of(words, allowed)?;
        return take(words, ")").then_some(fine);
    }
    let (first, rest) = words.split_first()?;
    *words = rest;
    let mut licence = (*first).to_owned();
    if take(words, "WITH") {
        let (exception, rest) = words.split_first()?;
        *words = rest;
        licence = format!("{licence} WITH {exception}");
    }
    Some(allowed.contains(&licence))
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms::read(
            "[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Apache-2.0 WITH LLVM-exception\", \"Unicode-3.0\"]\n\
             [bans]\ndeny = [{ name = \"openssl-sys\" }]\n",
        )
        .unwrap()
    }

    #[test]
    fn expressions_are_judged_as_spdx_says() {
        let allowed = terms().allowed;
        for fine in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-3.0-only OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0-only) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(is_allowed(fine, &allowed), "{fine}");
        }
        for refused in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "(MIT OR Apache-2.0) AND GPL-3.0-only",
            "Apache-2.0 WITH GCC-exception",
            "",
            "MIT OR",
            "(MIT",
            "MIT MIT",
        ] {
            assert!(!is_allowed(refused, &allowed), "{refused}");
        }
    }

    #[test]
    fn packages_without_licence_or_banned_are_found_and_good_ones_are_not() {
        let package = |name: &str, licence: Value| {
            judge(&terms(), &serde_json::json!({ "name": name, "license": licence }))
        };
        assert!(package("a", Value::Null).is_some());
        assert!(package("a", "GPL-3.0-only".into()).is_some());
        assert!(package("openssl-sys", "MIT".into()).is_some());
        assert!(package("a", "MIT".into()).is_none());
    }
}
