//! Every code of lint, with a bad twin that has the mistake and a good one that has not.

use sekisho_manifest::Object;
use sekisho_policy::Dialect;
use sekisho_policy::lint::{self, CODES, Finding, LintInput, Severity};

fn objects(text: &str) -> Vec<Object> {
    let reading = sekisho_manifest::read("case.yaml", text);
    assert!(reading.errors.is_empty(), "{:?}\n{text}", reading.errors);
    reading.objects
}

fn findings(text: &str) -> Vec<Finding> {
    let objects = objects(text);
    lint::lint(LintInput {
        objects: &objects,
        files: &[("case.yaml", text)],
        dialect: Dialect::Spec,
    })
}

fn shown(findings: &[Finding]) -> String {
    let line = |one: &Finding| {
        format!(
            "{}:{} {} {} {} [{}] {} | {} {:?}\n",
            one.position.line,
            one.position.column,
            one.severity,
            one.code.id,
            one.object,
            one.field,
            one.message,
            one.fix.text,
            one.evidence
        )
    };
    findings.iter().map(line).collect()
}

fn has(findings: &[Finding], code: &str) -> bool {
    findings.iter().any(|finding| finding.code.id == code)
}

#[test]
fn every_code_is_found_in_its_bad_twin_and_not_in_its_good_twin() {
    let mut wrong = Vec::new();
    for code in CODES {
        let (bad, good) = (findings(code.bad), findings(code.good));
        if !has(&bad, code.id) {
            wrong.push(format!("{} not found in its bad twin:\n{}", code.id, shown(&bad)));
        }
        if has(&good, code.id) {
            wrong.push(format!("{} found in its good twin:\n{}", code.id, shown(&good)));
        }
        let loud: Vec<Finding> =
            good.into_iter().filter(|one| one.severity > Severity::Note).collect();
        if !loud.is_empty() {
            wrong.push(format!("{}: the good twin is not clean:\n{}", code.id, shown(&loud)));
        }
        let others: Vec<Finding> = bad
            .into_iter()
            .filter(|one| one.severity > Severity::Note && one.code.id != code.id)
            .collect();
        if !others.is_empty() {
            eprintln!("{}: the bad twin has also:\n{}", code.id, shown(&others));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_patch_takes_its_finding_away() {
    let mut patched = Vec::new();
    for code in CODES {
        for finding in findings(code.bad) {
            if finding.fix.edits.is_empty() || finding.code != *code {
                continue;
            }
            let after = lint::apply(code.bad, &finding.fix.edits);
            let left = findings(&after);
            let same =
                left.iter().any(|one| one.code == finding.code && one.field == finding.field);
            assert!(!same, "{}\n{after}\n{}", code.id, shown(&left));
            let diff = lint::unified_diff("case.yaml", code.bad, &finding.fix.edits);
            assert!(diff.starts_with("--- a/case.yaml\n+++ b/case.yaml\n@@ "), "{diff}");
            patched.push(code.id);
        }
    }
    patched.dedup();
    assert!(patched.len() >= 13, "{patched:?}");
}

#[test]
fn codes_are_unique_and_in_order() {
    let ids: Vec<&str> = CODES.iter().map(|code| code.id).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert_eq!(lint::find_code("dns-cut-off").map(|code| code.id), Some("SK503"));
    assert_eq!(lint::find_code("sk503").map(|code| code.id), Some("SK503"));
    assert!(lint::find_code("SK999").is_none());
}
