//! Runs all checks and prints what they found.

use std::path::Path;

use anyhow::{Result, bail};

use crate::tidy::finding::Finding;
use crate::tidy::{Tree, bpf, licences, manifests, purity, records, sources};

/// The checks that need only the text of the files.
const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    manifests::declares_its_layer,
    manifests::depends_downwards,
    manifests::inherits_the_lints,
    manifests::leaves_versions_to_the_workspace,
    manifests::knows_only_what_it_may,
    sources::opens_with_its_purpose,
    sources::is_not_too_long,
    sources::leaves_nothing_unfinished,
    sources::expects_instead_of_allowing,
    sources::has_no_logic_in_the_root_module,
    bpf::names_its_licence,
    bpf::is_not_too_long,
    records::changes_are_well_formed,
    records::decisions_are_numbered,
    records::links_lead_somewhere,
];

/// Runs the verb.
///
/// # Errors
/// If anything was found, or the workspace can't be read.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut findings = CHECKS.iter().flat_map(|check| check(&tree)).collect::<Vec<_>>();
    findings.extend(bpf::is_formatted(root, &tree));
    findings.extend(purity::pure_crates_stay_pure(root, &tree)?);
    findings.extend(licences::dependencies_may_be_used(root, &tree)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        count => bail!("{count} findings"),
    }
}
