//! Findings as SARIF 2.1.0 (OASIS), which code scanning of GitHub and others read.

use sekisho_policy::lint::{CODES, Code, Edit, Finding, Severity};
use serde_json::{Value, json};

use super::forms;
use super::run::Report;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn report(report: &Report<'_>) -> Value {
    let results: Vec<Value> =
        report.findings.iter().map(|finding| result(report, finding)).collect();
    let notifications: Vec<Value> = report
        .unchecked
        .iter()
        .map(|left| json!({"level": "warning", "message": {"text": forms::sentence(left)}}))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "sekisho",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": CODES.iter().map(|code| rule(code)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    // The words of SARIF happen to be ours (§3.27.10).
    severity.as_str()
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.id,
        "name": pascal(code.name),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.why},
        "help": {
            "text": format!("{} Run `sekisho policy lint --explain {}`.", code.why, code.id),
            "markdown": format!(
                "{}\n\nHas it:\n\n```yaml\n{}```\n\nHas it not:\n\n```yaml\n{}```\n",
                code.why, code.bad, code.good
            ),
        },
        "defaultConfiguration": {"level": level(code.severity)},
    })
}

/// `selects-nothing` as `SelectsNothing`, as rule names are written (§3.49.7).
fn pascal(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map(|c| c.to_ascii_uppercase())
                .into_iter()
                .chain(chars)
                .collect::<String>()
        })
        .collect()
}

fn result(report: &Report<'_>, finding: &Finding) -> Value {
    let index = CODES.iter().position(|code| *code == finding.code);
    let mut text = finding.message.clone();
    for line in &finding.evidence {
        text.push_str("\n- ");
        text.push_str(line);
    }
    text.push_str("\nFix: ");
    text.push_str(&finding.fix.text);
    let mut result = json!({
        "ruleId": finding.code.id,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [location(finding)],
        "partialFingerprints": {"sekishoFinding/v1": fingerprint(finding)},
    });
    if let (Some(fix), Some(object)) = (fix(report, finding), result.as_object_mut()) {
        object.insert("fixes".to_owned(), json!([fix]));
    }
    result
}

fn location(finding: &Finding) -> Value {
    let position = &finding.position;
    let mut physical = json!({"artifactLocation": {"uri": uri(&position.file)}});
    if let (true, Some(object)) = (position.line > 0, physical.as_object_mut()) {
        let region = json!({"startLine": position.line, "startColumn": position.column.max(1)});
        object.insert("region".to_owned(), region);
    }
    let mut name = finding.object.to_string().replace(' ', "/");
    if !finding.field.is_empty() {
        name = format!("{name}:{}", finding.field);
    }
    json!({
        "physicalLocation": physical,
        "logicalLocations": [{"fullyQualifiedName": name, "kind": "object"}],
    })
}

/// What stays the same when lines move.
fn fingerprint(finding: &Finding) -> String {
    format!("{}:{}:{}", finding.code.id, finding.object, finding.field)
}

/// A path as a relative reference, or a file URI if it is absolute (RFC 3986, RFC 8089).
fn uri(path: &str) -> String {
    let path = path.trim_start_matches("./");
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn fix(report: &Report<'_>, finding: &Finding) -> Option<Value> {
    let file = &finding.fix.edits.first()?.file;
    let text = report.text(file)?;
    let replacements: Vec<Value> =
        finding.fix.edits.iter().map(|edit| replacement(text, edit)).collect();
    Some(json!({
        "description": {"text": finding.fix.text},
        "artifactChanges": [{
            "artifactLocation": {"uri": uri(file)},
            "replacements": replacements,
        }],
    }))
}

fn replacement(text: &str, edit: &Edit) -> Value {
    let (start_line, start_column) = place(text, edit.bytes.start);
    let (end_line, end_column) = place(text, edit.bytes.end);
    json!({
        "deletedRegion": {
            "startLine": start_line,
            "startColumn": start_column,
            "endLine": end_line,
            "endColumn": end_column,
        },
        "insertedContent": {"text": edit.text},
    })
}

/// Line and column of an offset, both from 1, columns in characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./a b/c.yaml"), "a%20b/c.yaml");
        assert_eq!(uri("/x/ü.yaml"), "file:///x/%C3%BC.yaml");
    }

    #[test]
    fn offsets_become_lines_and_columns() {
        assert_eq!(place("ab\nüc", 0), (1, 1));
        assert_eq!(place("ab\nüc", 5), (2, 2));
        assert_eq!(place("ab\n", 3), (2, 1));
    }
}
