//! The text as the YAML scanner takes it: with a bound on what it may hold back.
//!
//! `[a, b]` may turn out to be a key, so the scanner keeps everything in such brackets before it
//! says what they are, at some 200 bytes of memory per byte of text. So only [`SPAN_CHARS_MAX`]
//! characters may pass without a word from it; then the text ends for it. What starts with a
//! bracket, as JSON does, is put behind a document marker: there it can be no key.

use std::cell::Cell;
use std::rc::Rc;

use saphyr_parser::input::{SkipTabs, is_flow};
use saphyr_parser::{Input, StrInput};

/// Characters of one scalar, or of brackets that may be a key; objects of Kubernetes are smaller.
pub(crate) const SPAN_CHARS_MAX: usize = 3 << 20;
/// What is put before a text that starts with a bracket.
const MARKER: &str = "--- ";
/// Characters that the scanner may ask to see at once. It also sets aside so many bytes for each
/// plain scalar, so that with [`StrInput`]'s 128 a tree would be mostly air; with one below 32 the
/// 32 bytes that it starts with are enough.
const LOOKAHEAD_CHARS: usize = 31;

/// What reader and scanner both know.
#[derive(Debug)]
pub(crate) struct Meter(Cell<usize>);

impl Meter {
    pub(crate) fn new() -> Self {
        Self(Cell::new(SPAN_CHARS_MAX))
    }

    /// To be called when the scanner has said something.
    pub(crate) fn reset(&self) {
        self.0.set(SPAN_CHARS_MAX);
    }

    /// Whether the text was cut because the scanner held back too much.
    pub(crate) fn is_over(&self) -> bool {
        self.0.get() == 0
    }
}

/// A text behind a meter.
pub(crate) struct Metered<'t> {
    inner: StrInput<'t>,
    /// What comes when `inner` is read.
    text: Option<&'t str>,
    meter: Rc<Meter>,
}

impl<'t> Metered<'t> {
    pub(crate) fn new(text: &'t str, meter: Rc<Meter>) -> Self {
        if shift(text) > 0 {
            return Self { inner: StrInput::new(MARKER), text: Some(text), meter };
        }
        Self { inner: StrInput::new(text), text: None, meter }
    }

    #[inline]
    fn charge(&mut self, count: usize) {
        let left = self.meter.0.get().saturating_sub(count);
        self.meter.0.set(left);
        if left == 0 || self.text.is_some() {
            self.change(left);
        }
    }

    /// Goes on with another text, if it is time.
    #[cold]
    fn change(&mut self, left: usize) {
        let next = if left == 0 {
            Some("")
        } else if self.inner.peek_opt().is_none() {
            self.text.take()
        } else {
            None
        };
        if let Some(text) = next {
            let wanted = self.inner.buflen();
            self.inner = StrInput::new(text);
            self.inner.lookahead(wanted);
        }
    }
}

/// Columns by which the first line of a text is moved.
pub(crate) fn shift(text: &str) -> u32 {
    if text.starts_with(['{', '[']) { 4 } else { 0 }
}

/// Passes all on, lest the slower ways that [`Input`] has of its own be taken; what is consumed is
/// charged.
impl Input for Metered<'_> {
    #[inline]
    fn lookahead(&mut self, count: usize) {
        self.inner.lookahead(count);
    }

    #[inline]
    fn buflen(&self) -> usize {
        self.inner.buflen()
    }

    #[inline]
    fn bufmaxlen(&self) -> usize {
        LOOKAHEAD_CHARS
    }

    #[inline]
    fn raw_read_ch(&mut self) -> char {
        let c = self.inner.raw_read_ch();
        self.charge(1);
        c
    }

    #[inline]
    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        let c = self.inner.raw_read_non_breakz_ch();
        self.charge(usize::from(c.is_some()));
        c
    }

    #[inline]
    fn skip(&mut self) {
        self.inner.skip();
        self.charge(1);
    }

    #[inline]
    fn skip_n(&mut self, count: usize) {
        self.inner.skip_n(count);
        self.charge(count);
    }

    #[inline]
    fn peek(&self) -> char {
        self.inner.peek()
    }

    #[inline]
    fn peek_nth(&self, n: usize) -> char {
        self.inner.peek_nth(n)
    }

    #[inline]
    fn peek_opt(&self) -> Option<char> {
        self.inner.peek_opt()
    }

    #[inline]
    fn next_char_is(&self, c: char) -> bool {
        self.inner.next_char_is(c)
    }

    #[inline]
    fn nth_char_is(&self, n: usize, c: char) -> bool {
        self.inner.nth_char_is(n, c)
    }

    #[inline]
    fn next_2_are(&self, c1: char, c2: char) -> bool {
        self.inner.next_2_are(c1, c2)
    }

    #[inline]
    fn next_3_are(&self, c1: char, c2: char, c3: char) -> bool {
        self.inner.next_3_are(c1, c2, c3)
    }

    #[inline]
    fn next_is_blank_or_break(&self) -> bool {
        self.inner.next_is_blank_or_break()
    }

    #[inline]
    fn next_is_blank_or_breakz(&self) -> bool {
        self.inner.next_is_blank_or_breakz()
    }

    #[inline]
    fn next_is_blank(&self) -> bool {
        self.inner.next_is_blank()
    }

    #[inline]
    fn next_is_break(&self) -> bool {
        self.inner.next_is_break()
    }

    #[inline]
    fn next_is_breakz(&self) -> bool {
        self.inner.next_is_breakz()
    }

    #[inline]
    fn next_is_z(&self) -> bool {
        self.inner.next_is_z()
    }

    #[inline]
    fn next_is_flow(&self) -> bool {
        self.inner.next_is_flow()
    }

    #[inline]
    fn next_is_digit(&self) -> bool {
        self.inner.next_is_digit()
    }

    #[inline]
    fn next_is_alpha(&self) -> bool {
        self.inner.next_is_alpha()
    }

    #[inline]
    fn next_is_document_indicator(&self) -> bool {
        self.inner.next_is_document_indicator()
    }

    #[inline]
    fn next_is_document_start(&self) -> bool {
        self.inner.next_is_document_start()
    }

    #[inline]
    fn next_is_document_end(&self) -> bool {
        self.inner.next_is_document_end()
    }

    #[inline]
    fn skip_ws_to_eol(&mut self, skip_tabs: SkipTabs) -> (usize, Result<SkipTabs, &'static str>) {
        let (count, found) = self.inner.skip_ws_to_eol(skip_tabs);
        self.charge(count);
        (count, found)
    }

    #[expect(clippy::inline_always, reason = "asked for each character of a plain scalar")]
    #[inline(always)]
    fn next_can_be_plain_scalar(&self, in_flow: bool) -> bool {
        match self.inner.peek() {
            // What `inner` says, but it looks at the character after it in any case.
            ':' | '\u{FEFF}' => self.inner.next_can_be_plain_scalar(in_flow),
            c => !(in_flow && is_flow(c)),
        }
    }

    #[inline]
    fn skip_while_non_breakz(&mut self) -> usize {
        let count = self.inner.skip_while_non_breakz();
        self.charge(count);
        count
    }

    #[inline]
    fn skip_while_blank(&mut self) -> usize {
        let count = self.inner.skip_while_blank();
        self.charge(count);
        count
    }

    #[inline]
    fn fetch_while_is_alpha(&mut self, out: &mut String) -> usize {
        let count = self.inner.fetch_while_is_alpha(out);
        self.charge(count);
        count
    }

    #[inline]
    fn fetch_while_is_yaml_non_space(&mut self, out: &mut String) -> usize {
        let count = self.inner.fetch_while_is_yaml_non_space(out);
        self.charge(count);
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use saphyr_parser::{Event, Parser, ScanError, Span};

    use super::*;

    type Said<'t> = Vec<Result<(Event<'t>, Span), ScanError>>;

    /// What a parser says of a text, up to its first error.
    fn said<'t, T: Input>(mut parser: Parser<'t, T>) -> Said<'t> {
        let mut said = Vec::new();
        while let Some(event) = parser.next_event() {
            let is_last = event.is_err();
            said.push(event);
            if is_last {
                break;
            }
        }
        said
    }

    /// Pieces of texts that matter to the scanner.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-z0-9]{1,40}",
            2 => Just(": ".to_owned()),
            2 => "\n {0,6}",
            1 => Just("- ".to_owned()),
            2 => r#"[\[\]{},:#&*!|>'"%@`?~. \t\-]{1,4}"#,
            1 => "---\n|\\.\\.\\.\n|\r\n|\u{feff}|\u{85}|\0|é|\u{2028}|𝄞",
            1 => "\\|[-+]?\n {1,40}[a-z]{1,50}\n",
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        /// Behind the meter the scanner takes other ways, and must come to the same end.
        #[test]
        fn a_metered_text_reads_as_any_other(text in texts()) {
            // A text that starts with a bracket is moved, and has other columns.
            let text = format!(" {text}");
            let metered = Metered::new(&text, Rc::new(Meter::new()));
            prop_assert_eq!(said(Parser::new(metered)), said(Parser::new_from_str(&text)));
        }
    }
}
