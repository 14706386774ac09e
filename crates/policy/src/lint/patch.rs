//! Applies edits to a text, and shows them as a unified diff.

use std::fmt::Write as _;

use super::finding::Edit;

/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

/// The text after the edits. Of edits that overlap only the first counts; equal ones count once.
#[must_use]
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let mut changed = String::with_capacity(text.len());
    let mut done = 0;
    for edit in sound(text, edits) {
        changed.push_str(text.get(done..edit.bytes.start).unwrap_or_default());
        changed.push_str(&edit.text);
        done = edit.bytes.end;
    }
    changed.push_str(text.get(done..).unwrap_or_default());
    changed
}

/// The YAML documents that the edits are in, and the edits as they are in this part of the text.
pub(crate) fn documents<'t>(text: &'t str, edits: &[Edit]) -> (&'t str, Vec<Edit>) {
    // A marker at the start of a line always starts a document (YAML 1.2, 9.1.2).
    const MARKER: &str = "\n---";
    let first = edits.iter().map(|edit| edit.bytes.start).min().unwrap_or(0);
    let last = edits.iter().map(|edit| edit.bytes.end).max().unwrap_or(text.len());
    let start = text.get(..first).and_then(|before| before.rfind(MARKER)).map_or(0, |at| at + 1);
    let end = text.get(last..).and_then(|after| after.find(MARKER));
    let end = end.map_or(text.len(), |at| last + at + 1);
    let moved = edits.iter().map(|edit| Edit {
        bytes: edit.bytes.start.saturating_sub(start)..edit.bytes.end.saturating_sub(start),
        ..edit.clone()
    });
    (text.get(start..end).unwrap_or(text), moved.collect())
}

/// The edits that can be applied together, in the order of the text.
fn sound<'e>(text: &str, edits: &'e [Edit]) -> Vec<&'e Edit> {
    let mut sorted: Vec<&Edit> =
        edits.iter().filter(|edit| text.get(edit.bytes.clone()).is_some()).collect();
    sorted.sort_by_key(|edit| (edit.bytes.start, edit.bytes.end));
    sorted.dedup();
    let mut kept: Vec<&Edit> = Vec::new();
    for edit in sorted {
        if kept.last().is_none_or(|last| {
            last.bytes.end < edit.bytes.start
                || (last.bytes.end == edit.bytes.start && !last.bytes.is_empty())
        }) {
            kept.push(edit);
        }
    }
    kept
}

/// The edits of `file`, whose text is `text`, as a unified diff; empty if nothing changes.
#[must_use]
pub fn unified_diff(file: &str, text: &str, edits: &[Edit]) -> String {
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let mut blocks = blocks(text, edits, &old);
    blocks.retain(|block| old.get(block.first..block.end).unwrap_or_default() != block.new);
    if blocks.is_empty() {
        return String::new();
    }
    let mut diff = format!("--- a/{file}\n+++ b/{file}\n");
    let mut shift = 0_isize;
    let mut rest = blocks.as_slice();
    while let Some(first) = rest.first() {
        // Changes whose context touches are one hunk.
        let near = rest.windows(2).take_while(|pair| match pair {
            [one, next] => next.first <= one.end + 2 * CONTEXT_LINES,
            _ => false,
        });
        let (hunk, after) = rest.split_at(near.count() + 1);
        let end = hunk.last().map_or(first.end, |last| last.end);
        shift = write_hunk(&mut diff, &old, hunk, (first.first, end, shift));
        rest = after;
    }
    diff
}

/// Whole lines that are replaced.
struct Block {
    first: usize,
    /// One past the last.
    end: usize,
    new: Vec<String>,
}

fn blocks(text: &str, edits: &[Edit], old: &[&str]) -> Vec<Block> {
    let starts: Vec<usize> = old
        .iter()
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some(start)
        })
        .collect();
    let line_of = |at: usize| starts.partition_point(|start| *start <= at).saturating_sub(1);
    let mut spans: Vec<(usize, usize, Vec<&Edit>)> = Vec::new();
    for edit in sound(text, edits) {
        let first = line_of(edit.bytes.start);
        let last = line_of(edit.bytes.end.saturating_sub(1).max(edit.bytes.start));
        match spans.last_mut() {
            Some((_, end, edits)) if first < *end => {
                *end = (*end).max(last + 1);
                edits.push(edit);
            }
            _ => spans.push((first, last + 1, vec![edit])),
        }
    }
    spans
        .into_iter()
        .map(|(first, end, edits)| {
            let from = starts.get(first).copied().unwrap_or(text.len());
            let to = starts.get(end).copied().unwrap_or(text.len());
            let part = text.get(from..to).unwrap_or_default();
            let moved: Vec<Edit> = edits
                .into_iter()
                .map(|edit| Edit {
                    bytes: edit.bytes.start - from..edit.bytes.end - from,
                    ..edit.clone()
                })
                .collect();
            let mut new: Vec<String> =
                apply(part, &moved).split_inclusive('\n').map(ToOwned::to_owned).collect();
            let gone = old.get(first..end.min(old.len())).unwrap_or_default();
            // Lines that stay the same at both ends are no change.
            let same = |(a, b): &(&&str, &String)| **a == b.as_str();
            let head = gone.iter().zip(&new).take_while(same).count();
            let gone = gone.get(head..).unwrap_or_default();
            new.drain(..head);
            let tail = gone.iter().rev().zip(new.iter().rev()).take_while(same).count();
            new.truncate(new.len() - tail);
            Block { first: first + head, end: first + head + gone.len() - tail, new }
        })
        .collect()
}

/// Writes a hunk; returns by how many lines what follows has moved.
fn write_hunk(
    diff: &mut String,
    old: &[&str],
    blocks: &[Block],
    (first, end, shift): (usize, usize, isize),
) -> isize {
    let from = first.saturating_sub(CONTEXT_LINES);
    let to = (end + CONTEXT_LINES).min(old.len());
    let mut body = String::new();
    let (mut at, mut added, mut removed) = (from, 0_usize, 0_usize);
    let keep = |body: &mut String, from: usize, to: usize| {
        old.get(from..to).unwrap_or_default().iter().for_each(|line| put(body, ' ', line));
    };
    for block in blocks {
        keep(&mut body, at, block.first);
        let gone = old.get(block.first..block.end).unwrap_or_default();
        gone.iter().for_each(|line| put(&mut body, '-', line));
        block.new.iter().for_each(|line| put(&mut body, '+', line));
        added += block.new.len();
        removed += gone.len();
        at = block.end;
    }
    keep(&mut body, at, to);
    let count = to - from;
    let moved = shift.saturating_add_unsigned(added).saturating_sub_unsigned(removed);
    // An empty range names the line before it (POSIX diff).
    let start = |first: usize, lines: usize| if lines == 0 { first } else { first + 1 };
    let new_count = count + added - removed;
    let new_first = from.saturating_add_signed(shift);
    let _ignored = writeln!(
        diff,
        "@@ -{},{count} +{},{new_count} @@",
        start(from, count),
        start(new_first, new_count)
    );
    diff.push_str(&body);
    moved
}

fn put(body: &mut String, sign: char, line: &str) {
    body.push(sign);
    body.push_str(line);
    if !line.ends_with('\n') {
        body.push_str("\n\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: usize, end: usize, text: &str) -> Edit {
        Edit { file: "f".to_owned(), bytes: start..end, text: text.to_owned() }
    }

    #[test]
    fn a_diff_names_lines_and_context() {
        let text = "a\nb\nc\nd\ne\nf\n";
        let edits = [edit(6, 8, ""), edit(10, 11, "F")];
        assert_eq!(apply(text, &edits), "a\nb\nc\ne\nF\n");
        let expected = "--- a/f\n+++ b/f\n@@ -1,6 +1,5 @@\n a\n b\n c\n-d\n e\n-f\n+F\n";
        assert_eq!(unified_diff("f", text, &edits), expected);
    }

    #[test]
    fn distant_changes_are_hunks_of_their_own() {
        let text: String = (0..20).map(|n| format!("line {n:02}\n")).collect();
        let edits = [edit(8, 8, "new\n"), edit(8 * 18, 8 * 19, "")];
        let diff = unified_diff("f", &text, &edits);
        assert!(diff.contains("@@ -1,4 +1,5 @@\n line 00\n+new\n line 01\n"), "{diff}");
        assert!(diff.contains("@@ -16,5 +17,4 @@\n"), "{diff}");
    }

    #[test]
    fn an_insertion_at_the_end_keeps_the_last_line() {
        let diff = unified_diff("f", "a\nb", &[edit(3, 3, "\nc")]);
        assert_eq!(
            diff,
            "--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n-b\n\\ No newline at end of file\n+b\n+c\n\
             \\ No newline at end of file\n"
        );
        assert_eq!(unified_diff("f", "a\n", &[]), "");
    }
}
