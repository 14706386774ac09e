//! Findings as JUnit XML, which GitLab, Jenkins and others show as a test report.
//!
//! A finding at or above the threshold is a failed test; a milder one passed, with its text as
//! output. GitLab compares reports by suite, class and name, so names hold no lines.

use std::fmt::Write as _;

use sekisho_policy::lint::Finding;

use super::forms;
use super::run::Report;

pub(super) fn report(report: &Report<'_>) -> String {
    let failed = report.findings.iter().filter(|one| one.severity >= report.fail_on).count();
    let mut cases: Vec<String> =
        report.findings.iter().map(|finding| case(report, finding)).collect();
    cases.extend(report.unchecked.iter().map(|left| {
        let (name, message) = ("not looked for everywhere", attribute(&forms::sentence(left)));
        format!(
            "    <testcase classname=\"sekisho\" name=\"{name}\">\n      <skipped \
             message=\"{message}\"/>\n    </testcase>\n"
        )
    }));
    if cases.is_empty() {
        // A report without a test counts as missing.
        cases.push("    <testcase classname=\"sekisho\" name=\"policy lint\"/>\n".to_owned());
    }
    let tests = cases.len();
    let counts = format!("tests=\"{tests}\" failures=\"{failed}\" errors=\"0\"");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite \
         name=\"sekisho policy lint\" {counts}>\n{}  </testsuite>\n</testsuites>\n",
        cases.concat()
    )
}

fn case(report: &Report<'_>, finding: &Finding) -> String {
    let field = match finding.field.as_str() {
        "" => String::new(),
        field => format!(" {field}"),
    };
    let name = format!("{} {}{field}", finding.code.id, finding.object);
    let mut text = format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\">\n",
        attribute(finding.code.name),
        attribute(&name),
        attribute(&finding.position.file)
    );
    let mut body = format!("{}\n{}\n", forms::place(finding), finding.message);
    finding.evidence.iter().for_each(|line| {
        writeln!(body, "- {line}").ok();
    });
    writeln!(body, "fix: {}", finding.fix.text).ok();
    body.push_str(&report.patch(finding).unwrap_or_default());
    let body = content(&body);
    if finding.severity >= report.fail_on {
        let (message, severity) = (attribute(&finding.message), finding.severity);
        writeln!(text, "      <failure message=\"{message}\" type=\"{severity}\">{body}</failure>")
            .ok();
    } else {
        writeln!(text, "      <system-out>{body}</system-out>").ok();
    }
    text.push_str("    </testcase>\n");
    text
}

fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\t' => out.push(c),
            // XML 1.0 has no place for other control characters.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

fn attribute(text: &str) -> String {
    content(text).replace('"', "&quot;").replace(['\n', '\t'], " ")
}
