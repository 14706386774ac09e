//! The text as the YAML scanner takes it: with a bound on what it may hold back.
//!
//! `[a, b]` may turn out to be a key, so the scanner keeps everything in such brackets before it
//! says what they are, at some 200 bytes of memory per byte of text. So only [`SPAN_CHARS_MAX`]
//! characters may pass without a word from it; then the text ends for it. What starts with a
//! bracket, as JSON does, is put behind a document marker: there it can be no key.

use std::cell::Cell;
use std::rc::Rc;

use saphyr_parser::input::SkipTabs;
use saphyr_parser::{Input, StrInput};

/// Characters of one scalar, or of brackets that may be a key; objects of Kubernetes are smaller.
pub(crate) const SPAN_CHARS_MAX: usize = 3 << 20;
/// What is put before a text that starts with a bracket.
const MARKER: &str = "--- ";

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

    fn charge(&mut self, count: usize) {
        let Meter(left) = self.meter.as_ref();
        left.set(left.get().saturating_sub(count));
        let next = if left.get() == 0 {
            Some("")
        } else if self.text.is_some() && self.inner.peek_opt().is_none() {
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

/// Passes all on; what is consumed is charged.
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
        self.inner.bufmaxlen()
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

    #[inline]
    fn next_can_be_plain_scalar(&self, in_flow: bool) -> bool {
        self.inner.next_can_be_plain_scalar(in_flow)
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
