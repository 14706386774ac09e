//! Rules on the written record: change fragments, decisions, links between documents.

use std::collections::BTreeMap;

use crate::release;
use crate::tidy::Tree;
use crate::tidy::finding::Finding;
use crate::tidy::tree::File;

/// Each fragment in changes/ says its kind and one thing for users.
pub(crate) fn changes_are_well_formed(tree: &Tree) -> Vec<Finding> {
    let fragments = tree.files().filter(|file| release::is_fragment(&file.path));
    let finding = |file: &File| {
        let cause = release::Fragment::parse(&file.text).err()?;
        Some(Finding::new(
            (&file.path, 1),
            cause,
            "the release folds it into CHANGELOG.md unread",
            "see changes/README.md",
        ))
    };
    fragments.filter_map(finding).collect()
}

/// Decision records are numbered 0001, 0002, ... without gap or repetition.
pub(crate) fn decisions_are_numbered(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbered: BTreeMap<usize, &File> = BTreeMap::new();
    let folder = "docs/decisions/";
    let records = tree.files().filter(|f| f.path.starts_with(folder) && f.name() != "README.md");
    for file in records {
        let finding = |what: String, mend: &str| {
            Finding::new((&file.path, 1), what, "records are cited by number", mend)
        };
        let Some(number) = decision_number(file.name()) else {
            findings.push(finding("is not named NNNN-slug.md".to_owned(), "rename it"));
            continue;
        };
        if let Some(first) = numbered.insert(number, file) {
            let what = format!("has the number of {}", first.path);
            findings.push(finding(what, "give the younger one the next number"));
        }
    }
    for (expected, (number, file)) in (1..).zip(&numbered) {
        if *number != expected {
            findings.push(Finding::new(
                (&file.path, 1),
                format!("number {expected:04} is missing before it"),
                "records are cited by number",
                "close the gap",
            ));
            break;
        }
    }
    findings
}

/// Relative links in Markdown lead to a file or folder of the tree.
pub(crate) fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in file.lines() {
            let dead = targets(line).filter(|target| !leads_somewhere(tree, &file.path, target));
            findings.extend(dead.map(|target| {
                Finding::new(
                    (&file.path, number),
                    format!("the link to `{target}` leads nowhere"),
                    "a reader follows links",
                    "correct it, or write what it promises",
                )
            }));
        }
    }
    findings
}

fn decision_number(name: &str) -> Option<usize> {
    let (number, slug) = name.strip_suffix(".md")?.split_once('-')?;
    let well_formed = number.len() == 4 && !slug.is_empty();
    number.parse().ok().filter(|_| well_formed)
}

/// What `](...)` names in a line, without the part after `#`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    ends.map(|target| target.split('#').next().unwrap_or_default())
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let mut parts = from.split('/').collect::<Vec<_>>();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            name => parts.push(name),
        }
    }
    tree.has(&parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_fragment_without_a_kind_is_found_and_a_good_one_is_not() {
        let check = changes_are_well_formed;
        assert_eq!(found(check, &[("changes/a.md", "The map is round.\n")]).len(), 1);
        assert!(found(check, &[("changes/a.md", "kind: added\n\nThe map is round.\n")]).is_empty());
        assert!(found(check, &[("changes/README.md", "How to.\n")]).is_empty());
    }

    #[test]
    fn gaps_repetitions_and_odd_names_of_decisions_are_found() {
        let check = decisions_are_numbered;
        let at = |names: &[&'static str]| {
            let paths =
                names.iter().map(|name| format!("docs/decisions/{name}")).collect::<Vec<_>>();
            let files = paths.iter().map(|path| (path.as_str(), "x")).collect::<Vec<_>>();
            found(check, &files)
        };
        assert!(at(&["0001-a.md", "0002-b.md"]).is_empty());
        assert_eq!(at(&["0001-a.md", "0003-b.md"]), ["number 0002 is missing before it"]);
        assert_eq!(at(&["0001-a.md", "0001-b.md"]).len(), 1);
        assert_eq!(at(&["first.md"]), ["is not named NNNN-slug.md"]);
    }

    #[test]
    fn a_dead_link_is_found_and_living_ones_are_not() {
        let check = links_lead_somewhere;
        let other = ("docs/b.md", "");
        assert_eq!(found(check, &[("docs/a.md", "[x](c.md)"), other]).len(), 1);
        assert_eq!(found(check, &[("docs/a.md", "[x](../../b.md)"), other]).len(), 1);
        for link in
            ["[x](b.md)", "[x](../docs/b.md#y)", "![x](.)", "[x](https://e.example/)", "[x](#y)"]
        {
            assert!(found(check, &[("docs/a.md", link), other]).is_empty(), "{link}");
        }
    }
}
