//! The texts that objects were read from: where their fields stand, and how to change them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sekisho_manifest::{Outline, Position, outline};

use super::finding::Edit;

/// The texts, outlined when first asked.
pub(crate) struct Sources<'a> {
    texts: BTreeMap<&'a str, &'a str>,
    outlines: RefCell<BTreeMap<String, Rc<Vec<Outline>>>>,
}

/// A value and how it is reached.
pub(crate) struct Spot<'o> {
    pub(crate) node: &'o Outline,
    /// Path from the object.
    pub(crate) field: String,
}

/// An object in its text.
pub(crate) struct Document<'a> {
    file: String,
    text: &'a str,
    roots: Rc<Vec<Outline>>,
    line: u32,
    column: u32,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self { texts: files.into_iter().collect(), outlines: RefCell::default() }
    }

    pub(crate) fn text(&self, file: &str) -> Option<&'a str> {
        self.texts.get(file).copied()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts.iter().map(|(file, text)| (*file, *text))
    }

    pub(crate) fn outline(&self, file: &str) -> Option<Rc<Vec<Outline>>> {
        let text = self.text(file)?;
        let mut outlines = self.outlines.borrow_mut();
        let found = outlines.entry(file.to_owned()).or_insert_with(|| Rc::new(outline(text)));
        Some(Rc::clone(found))
    }

    /// The object at this position.
    pub(crate) fn document(&self, position: &Position) -> Option<Document<'a>> {
        Some(Document {
            file: position.file.clone(),
            text: self.text(&position.file)?,
            roots: self.outline(&position.file)?,
            line: position.line,
            column: position.column,
        })
    }
}

impl Document<'_> {
    /// The object as a value.
    pub(crate) fn root(&self) -> Option<&Outline> {
        find(&self.roots, (self.line, self.column)).map(|spot| spot.node)
    }

    /// The value that starts at this position of the same file.
    pub(crate) fn at(&self, position: &Position) -> Option<Spot<'_>> {
        let root = self.root()?;
        find(std::slice::from_ref(root), (position.line, position.column))
    }

    /// The value at a path such as `spec.ingress[0].from`.
    pub(crate) fn field(&self, path: &str) -> Option<&Outline> {
        let mut node = self.root()?;
        for part in path.split('.') {
            let (key, indices) = part.split_once('[').unwrap_or((part, ""));
            node = node.get(key)?;
            for index in indices.split('[').filter(|text| !text.is_empty()) {
                node = node.items().get(index.strip_suffix(']')?.parse::<usize>().ok()?)?;
            }
        }
        Some(node)
    }

    /// Where the value at a path stands; that of the nearest field above it if it is not there.
    pub(crate) fn position(&self, path: &str) -> Position {
        let mut path = path;
        let at = |line, column| Position { file: self.file.clone(), line, column };
        loop {
            if let Some(position) = self.exact(path) {
                return at(position.0, position.1);
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return at(self.line, self.column),
            }
        }
    }

    /// A field is shown at its key, an item at its value.
    fn exact(&self, path: &str) -> Option<(u32, u32)> {
        let (above, key) = match path.rsplit_once('.') {
            Some((above, key)) => (self.field(above)?, key),
            None => (self.root()?, path),
        };
        if key.contains('[') {
            let node = self.field(path)?;
            return Some((node.line, node.column));
        }
        above.entry(key).map(|entry| (entry.line, entry.column))
    }

    fn edit(&self, start: usize, end: usize, text: impl Into<String>) -> Edit {
        Edit { file: self.file.clone(), bytes: start..end, text: text.into() }
    }

    /// Puts `text` in the place of a value.
    pub(crate) fn replace(&self, node: &Outline, text: &str) -> Edit {
        self.edit(node.bytes.start, node.bytes.end, text)
    }

    /// Removes an item of a list that has others, with the comments right above it.
    pub(crate) fn remove_item(&self, list: &Outline, index: usize) -> Option<Edit> {
        let items = list.items();
        let item = items.get(index)?;
        if items.len() < 2 {
            return None;
        }
        if list.flow {
            return Some(match items.get(index + 1) {
                Some(next) => self.edit(item.bytes.start, next.bytes.start, ""),
                None => {
                    let before = items.get(index.checked_sub(1)?)?;
                    self.edit(before.bytes.end, item.bytes.end, "")
                }
            });
        }
        let start = self.line_start(item.bytes.start);
        let dash = self.text.get(start..item.bytes.start)?;
        if dash.trim() != "-" {
            return None;
        }
        Some(self.edit(self.above_comments(start), self.line_end(item.bytes.end), ""))
    }

    /// Adds an item to a list, written in one line of brackets.
    pub(crate) fn append_item(&self, list: &Outline, item: &str) -> Option<Edit> {
        let last = list.items().last();
        if list.flow {
            let at = last.map_or(list.bytes.start + 1, |last| last.bytes.end);
            let comma = if last.is_some() { ", " } else { "" };
            return Some(self.edit(at, at, format!("{comma}{item}")));
        }
        let last = last?;
        let start = self.line_start(last.bytes.start);
        let dash = self.text.get(start..last.bytes.start)?;
        (dash.trim() == "-").then(|| {
            let at = self.before_newline(last.bytes.end);
            self.edit(at, at, format!("\n{dash}{item}"))
        })
    }

    /// Adds a field behind the field `after` of a mapping, its value in one line.
    pub(crate) fn add_entry(&self, map: &Outline, after: &str, entry: &str) -> Option<Edit> {
        let before = map.entry(after)?;
        let at = before.value.bytes.end.max(before.bytes.end + ":".len());
        if map.flow {
            return Some(self.edit(at, at, format!(", {entry}")));
        }
        let indent = usize::try_from(before.column).ok()?.checked_sub(1)?;
        let at = self.before_newline(at);
        Some(self.edit(at, at, format!("\n{:indent$}{entry}", "")))
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|text| text.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// The line end behind `at`: behind a comment, too.
    fn before_newline(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.find('\n').map_or(rest, |end| rest.get(..end).unwrap_or_default());
        at + line.trim_end().len()
    }

    /// One past the line end behind `at`.
    fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// The start of the comment lines that stand right above the line that starts at `start`.
    fn above_comments(&self, start: usize) -> usize {
        let mut first = start;
        while let Some(end) = first.checked_sub(1) {
            let above = self.line_start(end);
            let line = self.text.get(above..end).unwrap_or_default().trim_start();
            if !line.starts_with('#') {
                break;
            }
            first = above;
        }
        first
    }
}

/// The value that starts at a line and column, and the path to it.
fn find(roots: &[Outline], target: (u32, u32)) -> Option<Spot<'_>> {
    let index = last_before(roots, target, |node| (node.line, node.column))?;
    let mut node = roots.get(index)?;
    let mut field = String::new();
    // A list without brackets starts where its first item does: the item is meant.
    while (node.line, node.column) != target || (!node.flow && !node.items().is_empty()) {
        let items = node.items();
        if items.is_empty() {
            let entries = node.entries();
            let index = last_before(entries, target, |entry| (entry.line, entry.column))?;
            let entry = entries.get(index)?;
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(&entry.key);
            node = &entry.value;
        } else {
            let index = last_before(items, target, |node| (node.line, node.column))?;
            field.push_str(&format!("[{index}]"));
            node = items.get(index)?;
        }
        if (node.line, node.column) > target {
            return None;
        }
    }
    Some(Spot { node, field })
}

/// The last of the nodes, which stand in order, that starts at or before the target.
fn last_before<T>(
    all: &[T],
    target: (u32, u32),
    start: impl Fn(&T) -> (u32, u32),
) -> Option<usize> {
    all.partition_point(|one| start(one) <= target).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::patch;

    const TEXT: &str = "kind: X\nspec:\n  list:\n  # the first\n  - a: 1\n    b: [1, 2, 3]\n  - c\n  end: {x: 1, y: 2}\n";

    fn changed(edit: impl Fn(&Document<'_>) -> Option<Edit>) -> String {
        let sources = Sources::new([("f", TEXT)]);
        let position = Position { file: "f".to_owned(), line: 1, column: 1 };
        let document = sources.document(&position).unwrap();
        patch::apply(TEXT, &[edit(&document).unwrap()])
    }

    #[test]
    fn a_position_leads_to_its_path() {
        let sources = Sources::new([("f", TEXT)]);
        let position = |line, column| Position { file: "f".to_owned(), line, column };
        let document = sources.document(&position(1, 1)).unwrap();
        assert_eq!(document.at(&position(5, 5)).unwrap().field, "spec.list[0]");
        assert_eq!(document.at(&position(7, 5)).unwrap().field, "spec.list[1]");
        assert!(document.at(&position(6, 1)).is_none());
        assert_eq!(document.position("spec.list[0].b"), position(6, 5));
        assert_eq!(document.position("spec.list[0].b[1]"), position(6, 12));
        assert_eq!(document.position("spec.none[3].z"), position(2, 1));
    }

    #[test]
    fn an_item_goes_with_its_comment() {
        let text = changed(|document| document.remove_item(document.field("spec.list")?, 0));
        assert_eq!(text, "kind: X\nspec:\n  list:\n  - c\n  end: {x: 1, y: 2}\n");
        let text = changed(|document| document.remove_item(document.field("spec.list[0].b")?, 2));
        assert!(text.contains("b: [1, 2]\n"), "{text}");
        let text = changed(|document| document.remove_item(document.field("spec.list[0].b")?, 0));
        assert!(text.contains("b: [2, 3]\n"), "{text}");
    }

    #[test]
    fn entries_and_items_are_added_in_the_style_of_the_text() {
        let text = changed(|document| document.append_item(document.field("spec.list")?, "{d: 1}"));
        assert!(text.contains("  - c\n  - {d: 1}\n  end"), "{text}");
        let text = changed(|document| document.append_item(document.field("spec.list[0].b")?, "4"));
        assert!(text.contains("[1, 2, 3, 4]"), "{text}");
        let text = changed(|document| document.add_entry(document.field("spec.end")?, "x", "z: 3"));
        assert!(text.contains("{x: 1, z: 3, y: 2}"), "{text}");
        let text = changed(|document| document.add_entry(document.field("spec")?, "list", "z: 3"));
        assert!(text.contains("  - c\n  z: 3\n  end"), "{text}");
    }
}
