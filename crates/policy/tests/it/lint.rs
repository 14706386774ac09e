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
    .findings
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

const WEB: &str = "
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: example/web:1, ports: [{name: http, containerPort: 8080}]}]}
";

fn egress(rules: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: web, namespace: \
         shop}}\nspec:\n  podSelector: {{matchLabels: {{app: web}}}}\n  policyTypes: [Egress]\n  \
         egress:\n{rules}{WEB}"
    )
}

#[test]
fn the_dns_of_openshift_counts_by_the_port_of_its_pods() {
    let all = "  - to: [{namespaceSelector: {}}]\n    ports: [{protocol: UDP, port: 5353}, \
               {protocol: TCP, port: 5353}]\n";
    assert!(!has(&findings(&egress(all)), "SK503"));
    let other = all.replace("5353", "5354");
    assert!(has(&findings(&egress(&other)), "SK503"));
}

#[test]
fn a_pod_that_may_talk_to_nobody_needs_no_dns() {
    let text = egress("").replace("  egress:\n", "  egress: []\n");
    assert!(!has(&findings(&text), "SK503"));
}

#[test]
fn a_comment_silences_what_follows_it_and_no_more() {
    let rules = "  # sekisho:ignore SK501 prices are public\n  - to: [{ipBlock: {cidr: 0.0.0.0/0}}]\n  \
                 - to: [{ipBlock: {cidr: \"::/0\"}}]\n";
    let found = findings(&egress(rules));
    let lines: Vec<u32> =
        found.iter().filter(|one| one.code.id == "SK501").map(|one| one.position.line).collect();
    assert_eq!(lines, [10], "{}", shown(&found));
    let whole = format!("# sekisho:ignore SK501 prices are public\n{}", egress(rules));
    assert!(!has(
        &findings(&whole.replace("  # sekisho:ignore SK501 prices are public\n", "")),
        "SK501"
    ));
}

#[test]
fn a_hash_in_a_value_is_no_comment() {
    let text = egress("  - to: [{ipBlock: {cidr: 0.0.0.0/0}}]\n").replace(
        "namespace: shop}\nspec:\n  podSelector",
        "namespace: shop, annotations: {note: \"a # sekisho:ignore SK501 x\"}}\nspec:\n  podSelector",
    );
    let found = findings(&text);
    assert!(has(&found, "SK501") && !has(&found, "SK001"), "{}", shown(&found));
}

#[test]
fn hostile_texts_do_not_stop_lint() {
    for text in
        ["", "---\n", "a: &a [*a]\n", "# sekisho:ignore\n", "# sekisho:ignore SK\u{e4}\n{}\n"]
    {
        let reading = sekisho_manifest::read("case.yaml", text);
        let found = lint::lint(LintInput {
            objects: &reading.objects,
            files: &[("case.yaml", text)],
            dialect: Dialect::Cilium,
        })
        .findings;
        assert!(found.len() < 3, "{}", shown(&found));
    }
}

/// So many workloads with a policy each that overlaps can't be looked for.
fn many(count: usize) -> String {
    let one = |n: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, namespace: ns, labels: {{app: a{n}}}}}\n\
             spec: {{containers: [{{name: c, image: i}}]}}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{n}, namespace: ns}}\n\
             spec: {{podSelector: {{matchLabels: {{app: a{n}}}}}, \
             ingress: [{{from: [{{podSelector: {{matchLabels: {{app: a0}}}}}}]}}]}}\n---\n"
        )
    };
    (0..count).map(one).collect()
}

#[test]
fn what_is_not_looked_for_is_told_and_small_inputs_are_looked_at_whole() {
    for (count, whole) in [(20, true), (1_700, false)] {
        let text = many(count);
        let objects = objects(&text);
        let input =
            LintInput { objects: &objects, files: &[("case.yaml", &text)], dialect: Dialect::Spec };
        let unchecked = lint::lint(input).unchecked;
        assert_eq!(unchecked.is_empty(), whole, "{unchecked:?}");
        let codes: Vec<&str> =
            unchecked.iter().flat_map(|left| &left.codes).map(|code| code.id).collect();
        assert_eq!(codes.contains(&"SK202"), !whole, "{codes:?}");
    }
}
