//! `cargo xtask release VERSION`: fold changes/ into CHANGELOG.md. Tags and publishes nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run;
use crate::tidy::Tree;

const CHANGELOG: &str = "CHANGELOG.md";
/// New releases are written below this line.
const MARK: &str = "<!-- releases -->";

/// What kind of change, in the order of the changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Security,
    Added,
    Changed,
    Fixed,
    Removed,
}

impl Kind {
    const ALL: [(&'static str, Self); 5] = [
        ("security", Self::Security),
        ("added", Self::Added),
        ("changed", Self::Changed),
        ("fixed", Self::Fixed),
        ("removed", Self::Removed),
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Security => "Security",
            Self::Added => "Added",
            Self::Changed => "Changed",
            Self::Fixed => "Fixed",
            Self::Removed => "Removed",
        }
    }
}

/// One user-visible change, as written in `changes/<slug>.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    kind: Kind,
    text: String,
}

impl Fragment {
    /// Reads `kind: added`, an empty line, and one paragraph.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (head, body) = text.split_once("\n\n").ok_or("has no empty line after its kind")?;
        let word = head.strip_prefix("kind: ").ok_or("line 1 is not `kind: ...`")?;
        let known = Kind::ALL.iter().find(|(name, _)| *name == word.trim());
        let Some((_, kind)) = known else {
            let kinds = Kind::ALL.map(|(name, _)| name).join(", ");
            return Err(format!("kind `{word}` is not one of {kinds}"));
        };
        let body = body.trim();
        if body.is_empty() {
            return Err("says nothing to users".to_owned());
        }
        if body.contains("\n\n") {
            return Err("has more than one paragraph".to_owned());
        }
        let text = body.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Ok(Self { kind: *kind, text })
    }
}

/// True for `changes/<slug>.md`, except the folder's README.
pub(crate) fn is_fragment(path: &str) -> bool {
    let name = path.strip_prefix("changes/");
    name.is_some_and(|name| name.ends_with(".md") && !name.contains('/') && name != "README.md")
}

/// Runs the verb.
///
/// # Errors
/// If the version is no version, a fragment is malformed (nothing is changed then), or a file
/// can't be written.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let [version] = arguments else { bail!("usage: cargo xtask release VERSION") };
    if !is_version(version) {
        bail!("`{version}` is not MAJOR.MINOR.PATCH");
    }
    let tree = Tree::read(root)?;
    let files = tree.files().filter(|file| is_fragment(&file.path)).collect::<Vec<_>>();
    let mut fragments = Vec::new();
    for file in &files {
        fragments.push(
            Fragment::parse(&file.text).map_err(|why| anyhow::anyhow!("{} {why}", file.path))?,
        );
    }
    if fragments.is_empty() {
        bail!("changes/ holds nothing to release");
    }
    let date = run::output(run::command("date").args(["--utc", "+%F"]))?;
    let section = section(version, date.trim(), fragments);
    let changelog = &tree.file(CHANGELOG).context("CHANGELOG.md is missing")?.text;
    if changelog.contains(&format!("## {version} ")) {
        bail!("CHANGELOG.md already has {version}");
    }
    let folded = fold(changelog, &section).context("CHANGELOG.md has no `<!-- releases -->`")?;
    fs::write(root.join(CHANGELOG), folded).context("write CHANGELOG.md")?;
    for file in files {
        fs::remove_file(root.join(&file.path)).with_context(|| format!("remove {}", file.path))?;
    }
    println!("CHANGELOG.md has {version}; set the version in Cargo.toml, read the diff, commit");
    Ok(())
}

fn is_version(text: &str) -> bool {
    let parts = text.split('.').collect::<Vec<_>>();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
}

fn section(version: &str, date: &str, fragments: Vec<Fragment>) -> String {
    let mut by_kind: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for Fragment { kind, text } in fragments {
        by_kind.entry(kind).or_default().push(text);
    }
    let mut section = format!("## {version} ({date})\n");
    for (kind, texts) in by_kind {
        // Writing to a String cannot fail.
        writeln!(section, "\n### {}\n", kind.title()).ok();
        for text in texts {
            writeln!(section, "- {text}").ok();
        }
    }
    section
}

fn fold(changelog: &str, section: &str) -> Option<String> {
    let (before, after) = changelog.split_once(MARK)?;
    let older = after.trim_matches('\n');
    let older = if older.is_empty() { String::new() } else { format!("\n{older}\n") };
    Some(format!("{before}{MARK}\n\n{section}{older}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_a_kind_and_one_paragraph() {
        let good = Fragment::parse("kind: fixed\n\nThe map\nis round.\n").unwrap();
        assert_eq!((good.kind, good.text.as_str()), (Kind::Fixed, "The map is round."));
        for bad in
            ["", "The map.", "kind: new\n\nX.\n", "kind: fixed\n\n", "kind: fixed\n\nA.\n\nB.\n"]
        {
            assert!(Fragment::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_release_stands_above_the_older_ones_and_security_comes_first() {
        let fragments = ["kind: added\n\nA map.\n", "kind: security\n\nA lock.\n"];
        let fragments = fragments.map(|text| Fragment::parse(text).unwrap()).to_vec();
        let section = section("0.2.0", "2026-01-02", fragments);
        let folded = fold("# Changelog\n\n<!-- releases -->\n\n## 0.1.0\n", &section).unwrap();
        assert_eq!(
            folded,
            "# Changelog\n\n<!-- releases -->\n\n## 0.2.0 (2026-01-02)\n\n### Security\n\n- A lock.\n\n\
             ### Added\n\n- A map.\n\n## 0.1.0\n"
        );
        let first = fold("# Changelog\n\n<!-- releases -->\n", "## 0.1.0\n");
        assert_eq!(first.as_deref(), Some("# Changelog\n\n<!-- releases -->\n\n## 0.1.0\n"));
        assert_eq!(fold("# Changelog\n", &section), None);
    }

    #[test]
    fn versions_have_three_numbers() {
        assert!(is_version("0.10.2"));
        for bad in ["1", "1.2", "v1.2.3", "1.2.x", "1.2.3.4", ""] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
