//! Runs all lints.

use sekisho_manifest::Object;

use super::context::Context;
use super::finding::{Finding, Linted};
use super::source::Sources;
use super::{
    blocks, dns, exposed, objects, overlap, patch, plugins, ports, priority, selection, suppress,
    types, vendor, world,
};
use crate::Dialect;

/// Bytes that may be read again to make sure of fixes; beyond, fixes are words only.
const PROOF_BYTES_MAX: usize = 64 << 20;

/// What lint reads.
#[derive(Clone, Copy, Debug)]
pub struct LintInput<'a> {
    /// Objects of the files, in their order, duplicates included.
    pub objects: &'a [Object],
    /// Name and text of each file, named as in the positions of the objects. Findings in files that
    /// are missing have no field below their rule, no patch, and can't be silenced.
    pub files: &'a [(&'a str, &'a str)],
    /// How policies are read.
    pub dialect: Dialect,
}

/// Every lint, in the order of codes.
const LINTS: &[fn(&Context<'_>, &mut Vec<Finding>)] = &[
    selection::subjects,
    selection::peers,
    objects::duplicates,
    objects::host_network,
    objects::unprotected,
    overlap::check,
    ports::check,
    blocks::inside,
    blocks::exceptions,
    blocks::families,
    blocks::host_bits,
    world::check,
    dns::check,
    exposed::services,
    exposed::probes,
    exposed::icmp,
    types::check,
    priority::check,
    plugins::check,
    vendor::check,
];

/// Finds mistakes, sorted by file and line, and tells what it did not look at.
///
/// Every patch of a finding leaves a text that can be read.
#[must_use]
pub fn lint(input: LintInput<'_>) -> Linted {
    let sources = Sources::new(input.files.iter().copied());
    let cx = Context::new(input.objects, sources, input.dialect);
    let mut findings = Vec::new();
    for lint in LINTS {
        lint(&cx, &mut findings);
    }
    let mut findings = suppress::apply(&cx, findings);
    prove(&cx, &mut findings);
    let key = |finding: &Finding| {
        (finding.position.clone(), finding.code.id, finding.object.clone(), finding.field.clone())
    };
    findings.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message)));
    findings.dedup();
    Linted { findings, unchecked: cx.unchecked() }
}

/// Drops edits that would leave a text that can't be read as before.
fn prove(cx: &Context<'_>, findings: &mut [Finding]) {
    let mut left = PROOF_BYTES_MAX;
    let mut untried = 0_usize;
    for finding in findings {
        let Some(file) = finding.fix.edits.first().map(|edit| edit.file.clone()) else { continue };
        let text = cx.sources.text(&file).unwrap_or_default();
        let (text, edits) = patch::documents(text, &finding.fix.edits);
        let sound = match left.checked_sub(text.len()) {
            Some(rest) => {
                left = rest;
                let changed = patch::apply(text, &edits);
                let errors = |text: &str| sekisho_manifest::read(&file, text).errors.len();
                errors(&changed) <= errors(text)
            }
            None => {
                untried += 1;
                false
            }
        };
        if !sound {
            finding.fix.edits.clear();
        }
    }
    if untried > 0 {
        let mib = PROOF_BYTES_MAX >> 20;
        let why =
            format!("{untried} fixes come without a patch: {mib} MiB are read again to try them");
        cx.leave_out(&[], why);
    }
}
