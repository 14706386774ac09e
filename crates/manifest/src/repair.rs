//! Rewrites texts that kubectl reads and saphyr-parser refuses, though they mean one thing only.
//!
//! Inside `[...]`, `{...}` and quotes indentation means nothing, and kubectl's reader takes lines
//! there that start with a tab or at the margin. Such lines are indented, and the caller makes sure
//! ([`Repair::is_sound`]) that each of them lies in brackets; otherwise the text stays refused.
//! JSON escapes of characters beyond 16 bits (`\ud83d\ude00`) are joined (RFC 8259 §7).

use std::ops::RangeInclusive;

use crate::tree::TreeError;

/// Times that a text is rewritten before it is refused.
pub(crate) const REPAIRS_MAX: usize = 64;
/// Length of a text up to which it is rewritten.
const REPAIRED_BYTES_MAX: usize = 16 << 20;
/// Bytes that are read anew in all attempts together.
pub(crate) const REPAIR_BYTES_MAX: usize = 64 << 20;
/// Spaces that are put before a line; more than real manifests indent.
const PAD_SPACES_MAX: usize = 256;
/// Characters of `\uXXXX`, and of two of them.
const ESCAPE_CHARS: usize = 6;
const PAIR_CHARS: usize = 2 * ESCAPE_CHARS;

/// A rewritten text; line numbers stay the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repair {
    pub(crate) text: String,
    /// Lines (from 1) that must lie in brackets for the rewriting to be sound.
    lines: Vec<u32>,
}

impl Repair {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), lines: Vec::new() }
    }

    /// Rewrites the text so that `error` does not occur again; false if that can't be done.
    pub(crate) fn apply(&mut self, error: &TreeError) -> bool {
        let rewritten = if error.message.contains("invalid indentation in quoted scalar") {
            self.indent_quoted(error)
        } else if error.message.contains("tabs disallowed within this context")
            || error.message == "invalid indentation"
        {
            self.indent_lines(error.line)
        } else if error.message.contains("invalid Unicode character escape code") {
            self.join_surrogates(error)
        } else {
            None
        };
        match rewritten {
            Some(text) if text != self.text => {
                self.text = text;
                true
            }
            _ => false,
        }
    }

    /// Whether each rewritten line lies in one of the pairs of brackets, given by their lines.
    pub(crate) fn is_sound(&self, brackets: &[RangeInclusive<u32>]) -> bool {
        // On the line of the opening bracket the text before it is no part of the pair.
        let mut inside: Vec<(u32, u32)> = brackets
            .iter()
            .filter(|pair| pair.start() < pair.end())
            .map(|pair| (pair.start() + 1, *pair.end()))
            .collect();
        inside.sort_unstable();
        // From here on the second of each is the last line that it or one before it reaches.
        let mut reached = 0;
        for (_, last) in &mut inside {
            reached = reached.max(*last);
            *last = reached;
        }
        self.lines.iter().all(|line| {
            let after = inside.partition_point(|(first, _)| first <= line);
            let before = after.checked_sub(1).and_then(|index| inside.get(index));
            before.is_some_and(|(_, last)| line <= last)
        })
    }

    /// What lines are indented by; None if the text would get too long.
    fn pad(&self) -> Option<String> {
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
        let widest = self.text.lines().map(indent).max().unwrap_or_default();
        let spaces = (widest + 2).min(PAD_SPACES_MAX);
        let longest = self.text.len() + self.text.lines().count() * spaces;
        (longest <= REPAIRED_BYTES_MAX).then(|| " ".repeat(spaces))
    }

    /// Indents line `first` and the lines after it as long as they start with a tab.
    fn indent_lines(&mut self, first: u32) -> Option<String> {
        let pad = self.pad()?;
        let mut text = String::with_capacity(self.text.len() + pad.len());
        let mut more = true;
        for (line, number) in self.text.split_inclusive('\n').zip(1_u32..) {
            more &= number <= first || line.starts_with('\t');
            if number >= first && more {
                self.lines.push(number);
                text.push_str(&pad);
                text.push_str(line.trim_start_matches([' ', '\t']));
            } else {
                text.push_str(line);
            }
        }
        (!self.lines.is_empty()).then_some(text)
    }

    /// Indents the lines after the first of the quoted scalar that starts at `start`: leading
    /// white space of such lines is no part of its value.
    fn indent_quoted(&self, start: &TreeError) -> Option<String> {
        let (head, _, body, tail) = self.quoted_at(start)?;
        let indented = body.replace('\n', &format!("\n{}", self.pad()?));
        Some(format!("{head}{indented}{tail}"))
    }

    /// Writes the surrogate pairs of the double-quoted scalar that starts at `start` as one escape.
    fn join_surrogates(&self, start: &TreeError) -> Option<String> {
        let (head, quote, body, tail) = self.quoted_at(start)?;
        if quote != '"' {
            return None;
        }
        let mut joined = String::with_capacity(body.len());
        let mut rest = body;
        while let Some(escape) = rest.find('\\') {
            let (before, from) = rest.split_at(escape);
            joined.push_str(before);
            // The escape and, if it is a pair, its second half.
            let (text, used) = match surrogate_pair(from) {
                Some(code) => (format!("\\U{code:08x}"), PAIR_CHARS),
                None => {
                    let used = from.chars().take(2).map(char::len_utf8).sum();
                    (from.get(..used)?.to_owned(), used)
                }
            };
            joined.push_str(&text);
            rest = from.get(used..)?;
        }
        Some(format!("{head}{joined}{rest}{tail}"))
    }

    /// The quoted scalar that starts at `start`: the text up to and with its quote, the quote, what
    /// is in quotes, and the rest from the closing quote on.
    fn quoted_at(&self, start: &TreeError) -> Option<(&str, char, &str, &str)> {
        let line = usize::try_from(start.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(start.column).ok()?.checked_sub(1)?;
        let before: usize = self.text.split_inclusive('\n').take(line).map(str::len).sum();
        let (offset, quote) = self.text.get(before..)?.char_indices().nth(column)?;
        let (head, rest) = self.text.split_at_checked(before + offset + quote.len_utf8())?;
        let (body, tail) = rest.split_at_checked(closing_quote(rest, quote)?)?;
        Some((head, quote, body, tail))
    }
}

/// The character that `text` starts with as `\uXXXX\uXXXX`.
fn surrogate_pair(text: &str) -> Option<u32> {
    let half = |at: usize| {
        let digits = text.get(at..at + ESCAPE_CHARS)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let high = half(0).filter(|half| (0xd800..0xdc00).contains(half))?;
    let low = half(ESCAPE_CHARS).filter(|half| (0xdc00..0xe000).contains(half))?;
    Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

/// Offset of the quote that ends a scalar whose text starts at `body`.
fn closing_quote(body: &str, quote: char) -> Option<usize> {
    let mut chars = body.char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        match (quote, c) {
            ('"', '\\') => {
                chars.next();
            }
            ('\'', '\'') if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                chars.next();
            }
            (quote, c) if quote == c => return Some(offset),
            _ => {}
        }
    }
    None
}
