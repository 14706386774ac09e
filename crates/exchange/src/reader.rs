//! What reads bytes of one format: lines, elements of JSON documents, or frames of its own.

use std::net::SocketAddr;

use crate::elements::{Element, Elements};
use crate::lines::{Line, Lines};
use crate::record::{Item, Reject};

/// What a reader tells while it reads. Each unit of the input (a line, a packet, a record) is told
/// exactly once, as [`Told::Unit`] or [`Told::Part`].
pub(crate) enum Told<'a> {
    /// A unit, and what it says; None = nothing by itself: a head, a template, an empty line.
    Unit(&'a [u8], Result<Option<Item>, Reject>),
    /// A unit of a connection that is told later, as [`Told::Gathered`].
    Part,
    /// A connection, made of units that were told before.
    Gathered(Item),
    /// Connections that were told early for want of memory, and may count twice.
    Forgotten(u64),
    /// Counts are estimates: of so many packets, about one was looked at.
    Sampled(u64),
}

/// Reads pieces of any length.
pub(crate) trait Reader: Send {
    /// Reads a piece.
    fn feed(&mut self, piece: &[u8], tell: &mut dyn FnMut(Told<'_>));
    /// Reads a datagram, which is whole; a format that does not care who sent it reads a piece.
    fn datagram(&mut self, _sender: SocketAddr, payload: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        self.feed(payload, tell);
    }
    /// Reads what is held back, at the end of the input.
    fn end(&mut self, tell: &mut dyn FnMut(Told<'_>));
}

/// What reads lines of one format.
pub(crate) trait LineFormat: Send {
    /// Reads one line; None = it says nothing by itself.
    ///
    /// # Errors
    /// [`Reject`] if it can't be understood.
    fn line(&mut self, line: &[u8]) -> Result<Option<Item>, Reject>;
}

/// What reads elements of one JSON format: objects that stand in lines, in an array, or in an answer
/// around them.
pub(crate) trait ElementFormat: Send {
    /// Reads one element, and tells its units: one at least.
    fn element(&mut self, element: &[u8], tell: &mut dyn FnMut(Told<'_>));
}

/// Lines of a format.
pub(crate) struct LineReader<F> {
    lines: Lines,
    format: F,
}

impl<F: LineFormat> LineReader<F> {
    pub(crate) fn new(format: F) -> Self {
        Self { lines: Lines::default(), format }
    }
}

impl<F: LineFormat> Reader for LineReader<F> {
    fn feed(&mut self, piece: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        let Self { lines, format } = self;
        lines.feed(piece, |line| one_line(format, line, tell));
    }

    fn end(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        let Self { lines, format } = self;
        lines.end(|line| one_line(format, line, tell));
    }
}

fn one_line(format: &mut impl LineFormat, line: Line<'_>, tell: &mut dyn FnMut(Told<'_>)) {
    match line {
        Line::TooLong(bytes) => {
            tell(Told::Unit(bytes, Err(Reject::new("a line of more than 1 MiB"))));
        }
        Line::Whole(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
            tell(Told::Unit(bytes, Ok(None)));
        }
        Line::Whole(bytes) => tell(Told::Unit(bytes, format.line(bytes))),
    }
}

/// Elements of a format.
pub(crate) struct ElementReader<F> {
    elements: Elements,
    format: F,
}

impl<F: ElementFormat> ElementReader<F> {
    pub(crate) fn new(format: F) -> Self {
        Self { elements: Elements::default(), format }
    }
}

impl<F: ElementFormat> Reader for ElementReader<F> {
    fn feed(&mut self, piece: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        let Self { elements, format } = self;
        elements.feed(piece, |element| one_element(format, element, tell));
    }

    fn end(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        let Self { elements, format } = self;
        elements.end(|element| one_element(format, element, tell));
    }
}

fn one_element(
    format: &mut impl ElementFormat,
    element: Element<'_>,
    tell: &mut dyn FnMut(Told<'_>),
) {
    match element {
        Element::Object(bytes) => format.element(bytes, tell),
        Element::Broken(bytes, reason) => tell(Told::Unit(bytes, Err(Reject::new(reason)))),
    }
}
