//! Findings as people and scripts read them.

use std::fmt::Write as _;

use sekisho_policy::lint::{CODES, Code, Finding, Severity, Unchecked};
use serde_json::{Value, json};

use super::run::{LintOutput, Report};
use crate::commands::output;

/// Findings that a comment on a pull request shows; hosts refuse longer ones.
const COMMENT_FINDINGS_MAX: usize = 50;

pub(super) fn table(report: &Report<'_>, color: bool) -> String {
    let mut text = String::new();
    for finding in report.findings {
        let paint = |word: &str| match (color, finding.severity) {
            (false, _) => word.to_owned(),
            (true, Severity::Error) => format!("\x1b[31m{word}\x1b[0m"),
            (true, Severity::Warning) => format!("\x1b[33m{word}\x1b[0m"),
            (true, Severity::Note) => format!("\x1b[36m{word}\x1b[0m"),
        };
        let field = match finding.field.as_str() {
            "" => String::new(),
            field => format!(", {field}"),
        };
        put(
            &mut text,
            &format!(
                "{}: {} {} {}: {}{field}",
                place(finding),
                paint(finding.severity.as_str()),
                finding.code.id,
                finding.code.name,
                finding.object
            ),
        );
        put(&mut text, &format!("  {}", finding.message));
        for line in &finding.evidence {
            put(&mut text, &format!("    {line}"));
        }
        put(&mut text, &format!("  fix: {}", finding.fix.text));
        if let Some(patch) = report.patch(finding) {
            patch.lines().skip(2).for_each(|line| put(&mut text, &format!("    {line}")));
        }
        text.push('\n');
    }
    text.push_str(&summary(report));
    text.push('\n');
    report.unchecked.iter().for_each(|left| put(&mut text, &sentence(left)));
    text
}

/// What was not looked at, in one line.
pub(super) fn sentence(left: &Unchecked) -> String {
    let codes: Vec<&str> = left.codes.iter().map(|code| code.id).collect();
    match codes.as_slice() {
        [] => left.why.clone(),
        codes => format!("not looked for everywhere: {} ({})", codes.join(", "), left.why),
    }
}

fn put(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{line}").ok();
}

/// `file:line:column`.
pub(super) fn place(finding: &Finding) -> String {
    let position = &finding.position;
    match (position.file.as_str(), position.line) {
        ("", _) => "(no file)".to_owned(),
        (file, 0) => file.to_owned(),
        (file, line) => format!("{file}:{line}:{}", position.column),
    }
}

pub(super) fn summary(report: &Report<'_>) -> String {
    let parts: Vec<String> = [
        (Severity::Error, "error", "errors"),
        (Severity::Warning, "warning", "warnings"),
        (Severity::Note, "note", "notes"),
    ]
    .into_iter()
    .filter(|(severity, ..)| report.count(*severity) > 0)
    .map(|(severity, one, many)| output::count(report.count(severity), one, many))
    .collect();
    let mut text = if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") };
    if report.fixed > 0 {
        text.push_str(&format!("; {} mended", output::count(report.fixed, "finding", "findings")));
    }
    let mechanical = report.findings.iter().filter(|finding| !finding.fix.edits.is_empty()).count();
    if mechanical > 0 {
        text.push_str(&format!("; --fix mends {mechanical}"));
    }
    text
}

pub(super) fn json(report: &Report<'_>) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code.id,
                "name": finding.code.name,
                "severity": finding.severity,
                "object": {
                    "kind": finding.object.kind,
                    "namespace": finding.object.namespace,
                    "name": finding.object.name,
                },
                "file": finding.position.file,
                "line": finding.position.line,
                "column": finding.position.column,
                "field": finding.field,
                "message": finding.message,
                "evidence": finding.evidence,
                "fix": {"text": finding.fix.text, "patch": report.patch(finding)},
            })
        })
        .collect();
    let unchecked: Vec<Value> = report
        .unchecked
        .iter()
        .map(|left| {
            let codes: Vec<&str> = left.codes.iter().map(|code| code.id).collect();
            json!({"codes": codes, "why": left.why})
        })
        .collect();
    json!({
        "findings": findings,
        "unchecked": unchecked,
        "summary": {
            "errors": report.count(Severity::Error),
            "warnings": report.count(Severity::Warning),
            "notes": report.count(Severity::Note),
            "fixed": report.fixed,
            "fail_on": report.fail_on,
        },
    })
}

pub(super) fn markdown(report: &Report<'_>) -> String {
    let mut text = format!("### Policy lint: {}\n", summary(report));
    for left in report.unchecked {
        put(&mut text, &format!("\n{}", escape(&sentence(left))));
    }
    // The worst first: a comment may be cut.
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let (loud, notes): (Vec<&Finding>, Vec<&Finding>) =
        findings.into_iter().partition(|finding| finding.severity > Severity::Note);
    for finding in loud.iter().take(COMMENT_FINDINGS_MAX) {
        put(
            &mut text,
            &format!(
                "\n**{}** `{}` {} in `{}` ({})\n\n{}",
                finding.severity,
                finding.code.id,
                escape(&finding.object.to_string()),
                escape_code(&place(finding)),
                escape_code(&finding.field),
                escape(&finding.message)
            ),
        );
        if !finding.evidence.is_empty() {
            text.push('\n');
        }
        for line in &finding.evidence {
            put(&mut text, &format!("- {}", escape(line)));
        }
        put(&mut text, &format!("\nFix: {}", escape(&finding.fix.text)));
        if let Some(patch) = report.patch(finding) {
            put(&mut text, &format!("\n````diff\n{}````", patch));
        }
    }
    if loud.len() > COMMENT_FINDINGS_MAX {
        put(&mut text, &format!("\nand {} more", loud.len() - COMMENT_FINDINGS_MAX));
    }
    if !notes.is_empty() {
        let count = output::count(notes.len(), "note", "notes");
        put(&mut text, &format!("\n<details><summary>{count}</summary>\n"));
        for finding in notes.iter().take(COMMENT_FINDINGS_MAX) {
            put(
                &mut text,
                &format!(
                    "- `{}` {} in `{}`: {}",
                    finding.code.id,
                    escape(&finding.object.to_string()),
                    escape_code(&place(finding)),
                    escape(&finding.message)
                ),
            );
        }
        put(&mut text, "\n</details>");
    }
    text
}

/// Text whose signs mean nothing in Markdown, or HTML within it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        match c {
            '\n' | '\r' => out.push(' '),
            '<' if !in_code => out.push_str("&lt;"),
            '|' | '*' | '_' | '[' | ']' if !in_code => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn escape_code(text: &str) -> String {
    text.replace(['`', '\n', '\r'], " ")
}

pub(super) fn list(form: LintOutput) -> String {
    if form == LintOutput::Md {
        return page();
    }
    if form == LintOutput::Json {
        let codes: Vec<Value> = CODES
            .iter()
            .map(|code| {
                json!({"code": code.id, "name": code.name, "severity": code.severity,
                       "title": code.title, "why": code.why})
            })
            .collect();
        return format!("{:#}\n", json!({"codes": codes}));
    }
    let mut rows = vec![["code", "name", "severity", "what"].map(str::to_owned).to_vec()];
    rows.extend(CODES.iter().map(|code| {
        [code.id, code.name, code.severity.as_str(), code.title].map(str::to_owned).to_vec()
    }));
    output::columns(&rows, &[])
}

/// docs/lint.md.
fn page() -> String {
    let mut text = "\
# Findings of `sekisho policy lint`

Written by `sekisho policy lint --list -o md`; do not edit.

Codes are stable. Severities: an *error* does nothing or the opposite of what it says, a *warning* does most likely not
do what was meant, a *note* need not be wrong. Findings about policies that were made from recorded traffic
(annotation `sekisho.dev/evidence-from`) are notes where the traffic itself is the evidence.

A comment `# sekisho:ignore CODE reason` silences a finding: behind a line for that line, above a field or item for
all of it, above an object for the whole object.

| code | name | severity | what |
|---|---|---|---|
"
    .to_owned();
    for code in CODES {
        put(
            &mut text,
            &format!(
                "| [{0}](#{1}) | {2} | {3} | {4} |",
                code.id,
                anchor(code),
                code.name,
                code.severity,
                code.title
            ),
        );
    }
    for code in CODES {
        text.push('\n');
        text.push_str(&section(code, "##"));
    }
    text
}

fn anchor(code: &Code) -> String {
    format!("{}-{}", code.id.to_ascii_lowercase(), code.name)
}

fn section(code: &Code, level: &str) -> String {
    format!(
        "{level} {} {}\n\n{}, {}: {}\n\nHas it:\n\n```yaml\n{}```\n\nHas it not:\n\n```yaml\n{}```\n",
        code.id, code.name, code.severity, code.title, code.why, code.bad, code.good
    )
}

pub(super) fn explain(code: &Code) -> String {
    section(code, "#")
}
