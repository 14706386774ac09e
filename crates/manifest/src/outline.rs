//! Where every value of a YAML or JSON text stands, byte for byte: for tools that point into a text
//! or change it.
//!
//! Reads the form only, not the meaning: anchors and merge keys stay as they are written.

use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::tree::DEPTH_MAX;

/// Longest text that is outlined, bytes; texts that people edit are far below.
pub const OUTLINE_BYTES_MAX: usize = 16 << 20;

/// A value of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Line of its start, from 1.
    pub line: u32,
    /// Column of its start, from 1, in characters.
    pub column: u32,
    /// What it takes of the text, to the end of its last value; no comments behind it. A block of
    /// text (`|`, `>`) starts behind its sign.
    pub bytes: Range<usize>,
    /// Whether it is written in brackets or quotes, or as a block of text, not as a plain word or
    /// by indentation.
    pub flow: bool,
    /// What it is.
    pub value: OutlineValue,
}

/// What stands at a place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutlineValue {
    /// A string, number, boolean or nothing, without its quotes.
    Scalar(String),
    /// A list.
    List(Vec<Outline>),
    /// A mapping, in the order of the text.
    Map(Vec<OutlineEntry>),
    /// A reference to an anchor (`*name`).
    Alias,
}

/// An entry of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineEntry {
    /// The key, without its quotes.
    pub key: String,
    /// Line of the key, from 1.
    pub line: u32,
    /// Column of the key, from 1.
    pub column: u32,
    /// What the key takes of the text.
    pub bytes: Range<usize>,
    /// The value.
    pub value: Outline,
}

impl Outline {
    /// The entry `key` of a mapping.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&OutlineEntry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value below `key` of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entries of a mapping; none if it is none.
    #[must_use]
    pub fn entries(&self) -> &[OutlineEntry] {
        match &self.value {
            OutlineValue::Map(entries) => entries,
            OutlineValue::Scalar(_) | OutlineValue::List(_) | OutlineValue::Alias => &[],
        }
    }

    /// The items of a list; none if it is none.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            OutlineValue::List(items) => items,
            OutlineValue::Scalar(_) | OutlineValue::Map(_) | OutlineValue::Alias => &[],
        }
    }

    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            OutlineValue::Scalar(text) => Some(text),
            OutlineValue::List(_) | OutlineValue::Map(_) | OutlineValue::Alias => None,
        }
    }
}

/// Where a text stops being YAML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct OutlineError {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// Outlines the documents of a text, as far as it can be read. Empty for texts longer than
/// [`OUTLINE_BYTES_MAX`].
#[must_use]
pub fn outline(text: &str) -> Vec<Outline> {
    read(text).0
}

/// Outlines the documents of a text that must be whole.
///
/// # Errors
/// [`OutlineError`] where it stops being YAML, nests too deep, or at its start if it is longer than
/// [`OUTLINE_BYTES_MAX`].
pub fn outline_whole(text: &str) -> Result<Vec<Outline>, OutlineError> {
    match read(text) {
        (roots, None) => Ok(roots),
        (_, Some(error)) => Err(error),
    }
}

fn read(text: &str) -> (Vec<Outline>, Option<OutlineError>) {
    let wrong = |(line, column): (usize, usize), message: String| OutlineError {
        line: small(line),
        column: small(column).saturating_add(1),
        message,
    };
    if text.len() > OUTLINE_BYTES_MAX {
        let message = format!("the text is longer than {OUTLINE_BYTES_MAX} bytes");
        return (Vec::new(), Some(wrong((1, 0), message)));
    }
    let mut builder =
        Builder { offsets: offsets(text), text, stack: Vec::new(), roots: Vec::new() };
    let mut parser = Parser::new_from_str(text);
    let mut error = None;
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                if builder.take(event, span).is_none() {
                    let place = (span.start.line(), span.start.col());
                    error = Some(wrong(place, format!("more than {DEPTH_MAX} levels")));
                    break;
                }
            }
            Err(cause) => {
                let place = (cause.marker().line(), cause.marker().col());
                error = Some(wrong(place, cause.info().to_owned()));
                break;
            }
        }
    }
    (builder.roots, error)
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Byte offset of each character; empty if all characters take one byte.
fn offsets(text: &str) -> Vec<usize> {
    if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() }
}

struct Builder<'t> {
    offsets: Vec<usize>,
    text: &'t str,
    stack: Vec<Frame>,
    roots: Vec<Outline>,
}

/// A list or mapping that is not closed yet.
struct Frame {
    start: Marker,
    value: OutlineValue,
    key: Option<Outline>,
}

impl Builder<'_> {
    /// None = too deep.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, ..) => {
                let flow = style != ScalarStyle::Plain;
                let end = match style {
                    ScalarStyle::SingleQuoted => self.quote_after(self.offset(&span.start), '\''),
                    ScalarStyle::DoubleQuoted => self.quote_after(self.offset(&span.start), '"'),
                    ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => {
                        self.offset(&span.end)
                    }
                };
                let value = OutlineValue::Scalar(text.into_owned());
                self.complete(&span.start, end, (flow, value));
            }
            Event::Alias(_) => {
                self.complete(&span.start, self.offset(&span.end), (false, OutlineValue::Alias));
            }
            Event::SequenceStart(..) => self.open(&span, OutlineValue::List(Vec::new()))?,
            Event::MappingStart(..) => self.open(&span, OutlineValue::Map(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn open(&mut self, span: &Span, value: OutlineValue) -> Option<()> {
        if self.stack.len() >= DEPTH_MAX {
            return None;
        }
        self.stack.push(Frame { start: span.start, value, key: None });
        Some(())
    }

    fn close(&mut self, span: &Span) {
        let Some(frame) = self.stack.pop() else { return };
        let start = self.offset(&frame.start);
        // The end of a block has no text of its own: it ends with its last value.
        let flow = !span.is_empty();
        let end = match &frame.value {
            OutlineValue::List(items) => items.last().map_or(start, |item| item.bytes.end),
            OutlineValue::Map(entries) => entries
                .last()
                .map_or(start, |entry| entry.value.bytes.end.max(entry.bytes.end + ":".len())),
            OutlineValue::Scalar(_) | OutlineValue::Alias => start,
        };
        let end = if flow { self.bracket_after(end.max(start + 1)) } else { end.max(start) };
        self.complete(&frame.start, end, (flow, frame.value));
    }

    /// The end of the quoted text that starts at `from`.
    fn quote_after(&self, from: usize, quote: char) -> usize {
        let mut chars = self.text.get(from..).unwrap_or_default().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            let doubled = c == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'');
            if (quote == '"' && c == '\\') || (quote == '\'' && doubled) {
                chars.next();
            } else if c == quote {
                return from + at + c.len_utf8();
            }
        }
        from
    }

    /// The end of the closing bracket at or after `from`; comments may stand before it.
    fn bracket_after(&self, from: usize) -> usize {
        let mut comment = false;
        for (at, c) in self.text.get(from..).unwrap_or_default().char_indices() {
            match c {
                '#' => comment = true,
                '\n' => comment = false,
                ']' | '}' if !comment => return from + at + c.len_utf8(),
                _ => {}
            }
        }
        from
    }

    fn complete(&mut self, start: &Marker, end: usize, (flow, value): (bool, OutlineValue)) {
        let node = Outline {
            line: small(start.line()),
            column: small(start.col()).saturating_add(1),
            bytes: self.trimmed(self.offset(start), end),
            flow,
            value,
        };
        match self.stack.last_mut() {
            None => self.roots.push(node),
            Some(Frame { value: OutlineValue::List(items), .. }) => items.push(node),
            Some(Frame { value: OutlineValue::Map(entries), key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push(OutlineEntry {
                    line: key.line,
                    column: key.column,
                    bytes: key.bytes.clone(),
                    key: match key.value {
                        OutlineValue::Scalar(text) => text,
                        OutlineValue::List(_) | OutlineValue::Map(_) | OutlineValue::Alias => {
                            String::new()
                        }
                    },
                    value: node,
                }),
            },
            Some(Frame { value: OutlineValue::Scalar(_) | OutlineValue::Alias, .. }) => {}
        }
    }

    fn offset(&self, marker: &Marker) -> usize {
        if self.offsets.is_empty() {
            marker.index().min(self.text.len())
        } else {
            self.offsets.get(marker.index()).copied().unwrap_or(self.text.len())
        }
    }

    /// Without the line ends behind a block of text.
    fn trimmed(&self, start: usize, end: usize) -> Range<usize> {
        let inside = self.text.get(start..end).unwrap_or_default();
        start..start + inside.trim_end().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice<'t>(text: &'t str, node: &Outline) -> &'t str {
        text.get(node.bytes.clone()).unwrap()
    }

    #[test]
    fn every_value_knows_its_text() {
        // What stands behind a value is no part of it, nor are the comments inside brackets.
        let text = "# ä comment\nd: &x 1\na:\n  - b: [1, \"ü\"]  # tail\n    c: d\n  - *x\n---\nz: |\n  one\n  two\n";
        let roots = outline(text);
        assert_eq!(roots.len(), 2);
        let a = roots[0].get("a").unwrap();
        let first = &a.items()[0];
        assert_eq!((first.line, first.column), (4, 5));
        assert_eq!(slice(text, first.get("b").unwrap()), "[1, \"ü\"]");
        assert_eq!(slice(text, &first.get("b").unwrap().items()[1]), "\"ü\"");
        assert_eq!(first.get("c").unwrap().text(), Some("d"));
        assert!(slice(text, first).ends_with("c: d"), "{}", slice(text, first));
        assert_eq!(slice(text, roots[1].get("z").unwrap()), "one\n  two");
    }

    #[test]
    fn comments_behind_values_are_no_part_of_them() {
        let text = "a: \"x\"  # one ]\nb: [1,  # two ]\n  ]  # three\nc: y # four\n";
        let root = &outline(text)[0];
        assert_eq!(slice(text, root.get("a").unwrap()), "\"x\"");
        assert_eq!(slice(text, root.get("b").unwrap()), "[1,  # two ]\n  ]");
        assert_eq!(slice(text, root.get("c").unwrap()), "y");
    }

    #[test]
    fn what_follows_a_broken_line_is_left_out() {
        assert_eq!(outline("a: 1\n---\nb: [\n").len(), 1);
    }

    #[test]
    fn json_is_outlined_too() {
        let text = r#"{"a": {"b": [1, 2]}, "c": ""}"#;
        let root = &outline(text)[0];
        assert_eq!(slice(text, root), text);
        assert_eq!(slice(text, root.get("a").unwrap()), r#"{"b": [1, 2]}"#);
        assert!(root.get("c").unwrap().flow);
    }

    #[test]
    fn an_empty_value_takes_no_text() {
        let text = "a:\nb: 1\n";
        let root = &outline(text)[0];
        assert!(root.get("a").unwrap().bytes.is_empty());
        assert_eq!(root.entry("b").unwrap().line, 2);
    }
}
