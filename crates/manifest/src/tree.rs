//! A YAML or JSON text as a tree whose nodes know their line and column.
//!
//! Hostile input is bounded: texts by [`TEXT_BYTES_MAX`], documents by [`NODES_MAX`], nesting by
//! [`DEPTH_MAX`], and what anchors and aliases may copy by [`NODES_COPIED_MAX`] and
//! [`BYTES_COPIED_MAX`] per text. Duplicate keys are errors, as for the API server (strict field
//! validation). Merge keys (`<<`) are resolved.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::RangeInclusive;
use std::rc::Rc;

use crate::at::shorten;
use crate::metered::{self, Meter, Metered, SPAN_CHARS_MAX};
use crate::scalar::{self, Plain};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

/// Bytes of a text that is read: above what `kubectl get -o yaml` gives for 10,000 pods.
pub const TEXT_BYTES_MAX: usize = 64 << 20;
/// Values of one document; a pod with its status has some 200.
pub(crate) const NODES_MAX: usize = 4_000_000;
/// Levels of nesting that are read.
pub(crate) const DEPTH_MAX: usize = 100;
/// Nodes that anchors and aliases of one text may copy.
pub(crate) const NODES_COPIED_MAX: usize = 200_000;
/// Bytes of strings that anchors and aliases of one text may copy.
pub(crate) const BYTES_COPIED_MAX: usize = 16 << 20;
/// Duplicate keys of one document that are reported.
const DUPLICATES_MAX: usize = 1000;
/// Values of a list or mapping that are copied when it is complete.
const FEW_VALUES: usize = 1000;
/// Keys of a mapping that are compared each with each; more are put in order.
const FEW_KEYS: usize = 12;

/// A value and where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Node<'t> {
    /// Line from 1.
    pub(crate) line: u32,
    /// Column from 1.
    pub(crate) column: u32,
    pub(crate) value: Value<'t>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value<'t> {
    /// `plain` = written without quotes, so that it may be a number, boolean or null.
    Scalar {
        text: Cow<'t, str>,
        plain: bool,
    },
    Seq(Vec<Node<'t>>),
    Map(Vec<Entry<'t>>),
}

/// A key of a mapping, where it stands, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'t> {
    pub(crate) key: Cow<'t, str>,
    /// The key is an unquoted `<<`.
    merge: bool,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) node: Node<'t>,
}

/// The text is no YAML or JSON, or goes over a bound.
#[derive(Clone, Debug)]
pub(crate) struct TreeError {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
}

/// Reads the documents of a text one by one. After an `Err` of [`Documents::next_document`] nothing
/// more is read; duplicate keys do not stop it and are left in `duplicates`.
pub(crate) struct Documents<'t> {
    parser: Parser<'t, Metered<'t>>,
    meter: Rc<Meter>,
    /// Columns by which the scanner sees the first line moved.
    shift: u32,
    anchors: BTreeMap<usize, Node<'t>>,
    copied: Copied,
    nodes: usize,
    stack: Vec<Frame<'t>>,
    /// What the open lists hold so far, the innermost last: so each gets its room once, when it is
    /// complete.
    open_nodes: Vec<Node<'t>>,
    /// The same of the open mappings.
    open_entries: Vec<Entry<'t>>,
    pub(crate) duplicates: Vec<TreeError>,
    /// Lines of each pair of brackets so far, first to last.
    pub(crate) brackets: Vec<RangeInclusive<u32>>,
}

/// What anchors and aliases have copied.
#[derive(Default)]
struct Copied {
    nodes: usize,
    bytes: usize,
}

impl Copied {
    /// Counts one more node; says which bound it goes over.
    fn charge(&mut self, node: &Node<'_>) -> Result<(), String> {
        self.nodes += 1;
        self.bytes += match &node.value {
            Value::Scalar { text, .. } => text.len(),
            Value::Map(entries) => entries.iter().map(|entry| entry.key.len()).sum(),
            Value::Seq(_) => 0,
        };
        if self.nodes > NODES_COPIED_MAX {
            return Err(format!("anchors and aliases copy more than {NODES_COPIED_MAX} values"));
        }
        if self.bytes > BYTES_COPIED_MAX {
            return Err(format!("anchors and aliases copy more than {BYTES_COPIED_MAX} bytes"));
        }
        Ok(())
    }
}

struct Frame<'t> {
    line: u32,
    column: u32,
    anchor: usize,
    kind: FrameKind<'t>,
}

enum FrameKind<'t> {
    /// `first` = where its nodes start in [`Documents::open_nodes`].
    Seq { first: usize },
    /// `first` = where its entries start in [`Documents::open_entries`].
    Map { first: usize, key: Option<Key<'t>> },
}

/// A key whose value is still to come; `plain` = written without quotes.
struct Key<'t> {
    text: Cow<'t, str>,
    line: u32,
    column: u32,
    plain: bool,
}

impl<'t> Documents<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let meter = Rc::new(Meter::new());
        Self {
            parser: Parser::new(Metered::new(text, Rc::clone(&meter))),
            meter,
            shift: metered::shift(text),
            anchors: BTreeMap::new(),
            copied: Copied::default(),
            nodes: 0,
            stack: Vec::new(),
            open_nodes: Vec::new(),
            open_entries: Vec::new(),
            duplicates: Vec::new(),
            brackets: Vec::new(),
        }
    }

    /// Returns the root of the next document, None at the end of the text.
    pub(crate) fn next_document(&mut self) -> Result<Option<Node<'t>>, TreeError> {
        self.nodes = 0;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| self.failure(&error))?;
            if self.meter.is_over() {
                return Err(self.at(&span.start, too_long()));
            }
            self.meter.reset();
            let node = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let (line, column) = self.place(&span.start);
                    let plain = is_plain(style, tag.as_deref());
                    let node = Node { line, column, value: Value::Scalar { text, plain } };
                    self.complete(node, anchor)?
                }
                Event::Alias(id) => {
                    let node = self.alias(id, &span.start)?;
                    self.complete(node, 0)?
                }
                Event::SequenceStart(anchor, _) => {
                    let first = self.open_nodes.len();
                    self.open(&span.start, anchor, FrameKind::Seq { first })?
                }
                Event::MappingStart(anchor, _) => {
                    let first = self.open_entries.len();
                    let kind = FrameKind::Map { first, key: None };
                    self.open(&span.start, anchor, kind)?
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(&span)?,
                Event::DocumentStart(_) => {
                    self.anchors.clear();
                    None
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => None,
            };
            if node.is_some() {
                return Ok(node);
            }
        }
        Ok(None)
    }

    fn place(&self, marker: &Marker) -> (u32, u32) {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let line = small(marker.line());
        let shift = if line == 1 { self.shift } else { 0 };
        (line, small(marker.col()).saturating_sub(shift).saturating_add(1))
    }

    fn at(&self, marker: &Marker, message: String) -> TreeError {
        let (line, column) = self.place(marker);
        TreeError { line, column, message }
    }

    /// What the parser says, but for bounds.
    fn failure(&self, error: &ScanError) -> TreeError {
        let message = match error.info() {
            _ if self.meter.is_over() => too_long(),
            // A bound of its own that is wider than ours.
            "recursion limit exceeded" => format!("nested deeper than {DEPTH_MAX} levels"),
            message => message.to_owned(),
        };
        self.at(error.marker(), message)
    }

    fn open(
        &mut self,
        start: &Marker,
        anchor: usize,
        kind: FrameKind<'t>,
    ) -> Result<Option<Node<'t>>, TreeError> {
        let (line, column) = self.place(start);
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.at(start, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.stack.push(Frame { line, column, anchor, kind });
        Ok(None)
    }

    fn close(&mut self, end: &Span) -> Result<Option<Node<'t>>, TreeError> {
        let Some(frame) = self.stack.pop() else { return Ok(None) };
        // The end of a block has no text of its own.
        if !end.is_empty() {
            self.brackets.push(frame.line..=self.place(&end.start).0);
        }
        let value = match frame.kind {
            FrameKind::Seq { first } => Value::Seq(last_from(&mut self.open_nodes, first)),
            FrameKind::Map { first, .. } => {
                let entries = last_from(&mut self.open_entries, first);
                self.report_duplicates(&entries);
                Value::Map(merge(entries)?)
            }
        };
        self.complete(Node { line: frame.line, column: frame.column, value }, frame.anchor)
    }

    /// Puts a finished node where it belongs; returns it if it is the root of its document.
    fn complete(&mut self, node: Node<'t>, anchor: usize) -> Result<Option<Node<'t>>, TreeError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("a document may not hold more than {NODES_MAX} values");
            return Err(TreeError { line: node.line, column: node.column, message });
        }
        if anchor != 0 {
            let copy = copy(&node, 0, &mut self.copied)?;
            self.anchors.insert(anchor, copy);
        }
        match self.stack.last_mut() {
            None => return Ok(Some(node)),
            Some(Frame { kind: FrameKind::Seq { .. }, .. }) => self.open_nodes.push(node),
            Some(Frame { kind: FrameKind::Map { key, .. }, .. }) => match key.take() {
                None => *key = Some(key_of(node)?),
                Some(key) => self.open_entries.push(Entry {
                    merge: key.plain && key.text == "<<",
                    key: key.text,
                    line: key.line,
                    column: key.column,
                    node,
                }),
            },
        }
        Ok(None)
    }

    fn alias(&mut self, id: usize, start: &Marker) -> Result<Node<'t>, TreeError> {
        let Some(target) = self.anchors.get(&id) else {
            return Err(self.at(start, "the alias stands inside the value it refers to".to_owned()));
        };
        let (line, column) = self.place(start);
        copy(target, self.stack.len(), &mut self.copied).map_err(|error| TreeError {
            line,
            column,
            ..error
        })
    }

    fn report_duplicates(&mut self, entries: &[Entry<'t>]) {
        if entries.len() <= FEW_KEYS && !has_equal_keys(entries) {
            return;
        }
        let mut seen = BTreeSet::new();
        for entry in entries {
            if self.duplicates.len() >= DUPLICATES_MAX {
                return;
            }
            if !entry.merge && !seen.insert(entry.key.as_ref()) {
                self.duplicates.push(TreeError {
                    line: entry.line,
                    column: entry.column,
                    message: format!("the key `{}` was already given", shorten(&entry.key)),
                });
            }
        }
    }
}

/// Takes what stands in `all` from `first` on.
fn last_from<T>(all: &mut Vec<T>, first: usize) -> Vec<T> {
    // Not twice in memory if it is much.
    if first == 0 && all.len() > FEW_VALUES {
        return mem::take(all);
    }
    all.drain(first.min(all.len())..).collect()
}

/// Whether two of a few keys are equal; merge keys count as well.
fn has_equal_keys(entries: &[Entry<'_>]) -> bool {
    let mut rest = entries;
    while let [entry, tail @ ..] = rest {
        if tail.iter().any(|other| other.key == entry.key) {
            return true;
        }
        rest = tail;
    }
    false
}

fn too_long() -> String {
    format!(
        "a string, a comment or what stands in brackets may not be longer than {SPAN_CHARS_MAX} \
         characters"
    )
}

/// `!!str 5` is a string and `!!int "5"` a number; other tags say nothing.
fn is_plain(style: ScalarStyle, tag: Option<&Tag>) -> bool {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => tag.suffix != "str",
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => false,
        _ => style == ScalarStyle::Plain,
    }
}

fn key_of(node: Node<'_>) -> Result<Key<'_>, TreeError> {
    let Node { line, column, value } = node;
    let wrong = |message: &str| TreeError { line, column, message: message.to_owned() };
    let Value::Scalar { text, plain } = value else {
        return Err(wrong("a key must be a string, not a list or mapping"));
    };
    // As kubectl reads them: the unquoted key `y` is `true`.
    let meaning = if plain { scalar::plain(&text) } else { Plain::Text };
    let text = match meaning {
        Plain::Text | Plain::Float => text,
        Plain::Bool(value) => value.to_string().into(),
        Plain::Int(value) => value.to_string().into(),
        Plain::Null => return Err(wrong("a key must not be empty")),
    };
    Ok(Key { text, line, column, plain })
}

/// Copies `node` below `depth` levels, charging `copied`.
fn copy<'t>(node: &Node<'t>, depth: usize, copied: &mut Copied) -> Result<Node<'t>, TreeError> {
    let wrong = |message: String| TreeError { line: node.line, column: node.column, message };
    copied.charge(node).map_err(wrong)?;
    if depth > DEPTH_MAX {
        return Err(wrong(format!("nested deeper than {DEPTH_MAX} levels")));
    }
    let value = match &node.value {
        Value::Scalar { text, plain } => Value::Scalar { text: text.clone(), plain: *plain },
        Value::Seq(nodes) => Value::Seq(
            nodes.iter().map(|node| copy(node, depth + 1, copied)).collect::<Result<_, _>>()?,
        ),
        Value::Map(entries) => {
            let copy_entry = |entry: &Entry<'t>| {
                let node = copy(&entry.node, depth + 1, copied)?;
                Ok(Entry {
                    key: entry.key.clone(),
                    merge: entry.merge,
                    line: entry.line,
                    column: entry.column,
                    node,
                })
            };
            Value::Map(entries.iter().map(copy_entry).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node { line: node.line, column: node.column, value })
}

/// Resolves merge keys (YAML 1.1 `<<`): keys written out win over merged ones, earlier merged
/// mappings over later ones.
fn merge(entries: Vec<Entry<'_>>) -> Result<Vec<Entry<'_>>, TreeError> {
    if entries.iter().all(|entry| !entry.merge) {
        return Ok(entries);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.merge);
    let mut known: BTreeSet<String> = own.iter().map(|entry| entry.key.to_string()).collect();
    for Entry { line, column, node, .. } in merges {
        let wrong = || TreeError {
            line,
            column,
            message: "the merge key `<<` needs a mapping or a list of mappings".to_owned(),
        };
        let nodes = match node.value {
            Value::Seq(nodes) => nodes,
            Value::Map(_) | Value::Scalar { .. } => vec![node],
        };
        for node in nodes {
            let Value::Map(entries) = node.value else { return Err(wrong()) };
            own.extend(entries.into_iter().filter(|entry| known.insert(entry.key.to_string())));
        }
    }
    Ok(own)
}
