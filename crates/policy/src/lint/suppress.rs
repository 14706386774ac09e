//! Comments that silence a finding: `# sekisho:ignore CODE reason`.

use std::collections::BTreeMap;

use sekisho_manifest::{Outline, OutlineValue, Position};

use super::code::{self, Code, NO_REASON, UNUSED_SUPPRESSION};
use super::context::{Context, Place};
use super::finding::{Finding, Fix, ObjectName};

const MARK: &str = "sekisho:ignore";

/// A comment that silences.
struct Suppression {
    file: String,
    /// Line of the comment.
    line: u32,
    codes: Vec<&'static Code>,
    has_reason: bool,
    unknown: Vec<String>,
    /// Lines it speaks about.
    first: u32,
    last: u32,
    used: bool,
}

/// Takes silenced findings out, and tells of comments that silence nothing or say no reason.
pub(crate) fn apply(cx: &Context<'_>, findings: Vec<Finding>) -> Vec<Finding> {
    let mut all: BTreeMap<String, Vec<Suppression>> = BTreeMap::new();
    for (file, text) in cx.sources.files() {
        if text.contains(MARK) {
            all.insert(file.to_owned(), read(cx, file, text));
        }
    }
    let mut kept = Vec::new();
    for finding in findings {
        let silenced = all.get_mut(&finding.position.file).into_iter().flatten().find(|one| {
            one.codes.iter().any(|code| code.id == finding.code.id)
                && (one.first..=one.last).contains(&finding.position.line)
        });
        match silenced {
            Some(one) => one.used = true,
            None => kept.push(finding),
        }
    }
    for one in all.into_values().flatten() {
        kept.extend(complaints(&one));
    }
    kept
}

fn complaints(one: &Suppression) -> Vec<Finding> {
    let place = || Place {
        object: ObjectName { kind: "comment".to_owned(), ..ObjectName::default() },
        position: Position { file: one.file.clone(), line: one.line, column: 1 },
        field: String::new(),
    };
    let mut found = Vec::new();
    for unknown in &one.unknown {
        let message = format!("`{unknown}` is no code of a finding");
        let fix = Fix::words("write the code as `policy lint` prints it, e.g. SK501");
        found.push(place().finding(&UNUSED_SUPPRESSION, message, fix));
    }
    if !one.used && !one.codes.is_empty() {
        let message = "silences nothing: there is no such finding here".to_owned();
        found.push(place().finding(&UNUSED_SUPPRESSION, message, Fix::words("delete the comment")));
    }
    if one.used && !one.has_reason {
        let message = "silences a finding and does not say why".to_owned();
        let fix = Fix::words("write the reason behind the code");
        found.push(place().finding(&NO_REASON, message, fix));
    }
    found
}

fn read(cx: &Context<'_>, file: &str, text: &str) -> Vec<Suppression> {
    let roots = cx.sources.outline(file).unwrap_or_default();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut found = Vec::new();
    let mut start = 0;
    for (number, line) in (1_u32..).zip(text.split_inclusive('\n')) {
        if let Some((at, comment)) = comment_of(line)
            && !in_scalar(&roots, start + at)
            && let Some(words) = comment.trim_start_matches('#').trim().strip_prefix(MARK)
        {
            let alone = line.get(..at).unwrap_or_default().trim().is_empty();
            let (first, last) = scope(&roots, &lines, (number, alone));
            found.push(suppression(file, number, words, (first, last)));
        }
        start += line.len();
    }
    found
}

fn suppression(file: &str, line: u32, words: &str, (first, last): (u32, u32)) -> Suppression {
    let mut codes = Vec::new();
    let mut unknown = Vec::new();
    let mut words = words.trim_start_matches(':').split_whitespace().peekable();
    while let Some(word) = words.peek() {
        let name = word.trim_end_matches([',', ':']);
        match code::find(name) {
            Some(code) => codes.push(code),
            None if codes.is_empty() => {
                unknown.push(name.to_owned());
            }
            None => break,
        }
        words.next();
        if !unknown.is_empty() {
            break;
        }
    }
    let has_reason = words.next().is_some();
    Suppression {
        file: file.to_owned(),
        line,
        codes,
        has_reason,
        unknown,
        first,
        last,
        used: false,
    }
}

/// The comment of a line, with its offset.
fn comment_of(line: &str) -> Option<(usize, &str)> {
    let mark = line.find(MARK)?;
    let at = line.get(..mark)?.rfind('#')?;
    let before = line.get(..at)?;
    (before.is_empty() || before.ends_with([' ', '\t'])).then(|| line.get(at..).map(|c| (at, c)))?
}

/// Whether an offset lies in a text value: then the `#` is no comment.
fn in_scalar(nodes: &[Outline], at: usize) -> bool {
    nodes.iter().any(|node| {
        if !node.bytes.contains(&at) {
            return false;
        }
        match &node.value {
            OutlineValue::Scalar(_) => true,
            OutlineValue::List(items) => in_scalar(items, at),
            OutlineValue::Map(entries) => {
                entries.iter().any(|entry| in_scalar(std::slice::from_ref(&entry.value), at))
            }
            OutlineValue::Alias => false,
        }
    })
}

/// A comment behind a line speaks about that line. One on a line of its own speaks about what
/// follows: the whole object if it stands above one, else the value of the next line.
fn scope(roots: &[Outline], lines: &[&str], (number, alone): (u32, bool)) -> (u32, u32) {
    if !alone {
        return (number, number);
    }
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    let is_blank = |line: &&str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line.starts_with("---")
    };
    let skipped = lines.iter().skip(index).take_while(|line| is_blank(line)).count();
    let next = number.saturating_add(u32::try_from(skipped).unwrap_or(u32::MAX)).saturating_add(1);
    let end = roots.iter().find_map(|root| end_of(root, next, lines)).unwrap_or(next);
    (next, end)
}

/// The last line of the outermost value that starts on a line.
fn end_of(node: &Outline, line: u32, lines: &[&str]) -> Option<u32> {
    // A list without brackets starts where its first item does: the item is meant.
    if node.line == line && (node.flow || node.items().is_empty()) {
        return Some(last_line(node, lines));
    }
    let inner = node.entries().iter().find_map(|entry| {
        if entry.line == line {
            return Some(last_line(&entry.value, lines).max(line));
        }
        end_of(&entry.value, line, lines)
    });
    inner.or_else(|| node.items().iter().find_map(|item| end_of(item, line, lines)))
}

fn last_line(node: &Outline, lines: &[&str]) -> u32 {
    // Offsets to lines: the text has the same lines, so count them up to the end of the value.
    let mut left = node.bytes.end;
    for (number, line) in (1_u32..).zip(lines) {
        if left <= line.len() {
            return number;
        }
        left -= line.len();
    }
    u32::try_from(lines.len()).unwrap_or(u32::MAX)
}
