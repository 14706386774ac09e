//! A place in a manifest: a node, its field path, and where to report mistakes.

use std::cell::RefCell;
use std::fmt::Write as _;

use crate::scalar::{Plain, plain};
use crate::tree::{Node, TreeError, Value};
use crate::{ManifestError, Position};

/// Errors of one text that are kept; more are only counted.
const ERRORS_MAX: usize = 1000;
/// Fields that are looked at to find a slip among them.
const SLIPS_MAX: usize = 16;
/// Lengths from which two letters, and three, may be wrong.
const SHORT_NAME_CHARS: usize = 5;
const LONG_NAME_CHARS: usize = 12;
/// Items for which a list gets its room at once.
const SHORT_LIST_ITEMS: usize = 16;
const MISSING: &str = "required field is missing";
/// Characters of a wrong value that are shown.
const SHOWN_CHARS_MAX: usize = 64;

/// What all places of a text share.
pub(crate) struct Context<'f> {
    file: &'f str,
    errors: RefCell<Vec<ManifestError>>,
    refusals: RefCell<Vec<ManifestError>>,
}

/// Kinds with so many fields that one unknown to us says little.
const WORKLOAD_KINDS: [&str; 8] = [
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Job",
    "Pod",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// How a place is reached from its parent.
#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A node with the path to it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    context: &'a Context<'a>,
    node: &'a Node<'a>,
    parent: Option<&'a Self>,
    step: Step<'a>,
}

/// What a mapping that may have just one field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This field.
    One(&'static str),
    /// None that is known, and none that is a slip of one.
    Unknown,
    /// A mistake that was reported.
    Wrong,
}

impl<'f> Context<'f> {
    pub(crate) fn new(file: &'f str) -> Self {
        Self { file, errors: RefCell::default(), refusals: RefCell::default() }
    }

    pub(crate) fn report(&self, error: TreeError) {
        self.push(
            &self.errors,
            ManifestError {
                file: self.file.to_owned(),
                line: error.line,
                column: error.column,
                field: String::new(),
                message: error.message,
                help: None,
            },
        );
    }

    fn push(&self, errors: &RefCell<Vec<ManifestError>>, error: ManifestError) {
        let mut errors = errors.borrow_mut();
        if errors.len() < ERRORS_MAX {
            errors.push(error);
        } else if errors.len() == ERRORS_MAX {
            errors.push(ManifestError {
                field: String::new(),
                message: format!("more than {ERRORS_MAX} mistakes; the rest is not shown"),
                help: None,
                ..error
            });
        }
    }

    /// The errors and refusals so far, each in the order of the text.
    pub(crate) fn finish(self) -> (Vec<ManifestError>, Vec<ManifestError>) {
        let sorted = |list: RefCell<Vec<ManifestError>>| {
            let mut list = list.into_inner();
            list.sort_by_key(|error| (error.line, error.column));
            list
        };
        (sorted(self.errors), sorted(self.refusals))
    }
}

impl<'a> At<'a> {
    pub(crate) fn root(context: &'a Context<'a>, node: &'a Node<'a>) -> Self {
        Self { context, node, parent: None, step: Step::Root }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            file: self.context.file.to_owned(),
            line: self.node.line,
            column: self.node.column,
        }
    }

    fn path(&self) -> String {
        let mut steps = vec![self.step];
        let mut next = self.parent;
        while let Some(at) = next {
            steps.push(at.step);
            next = at.parent;
        }
        let mut path = String::new();
        for step in steps.iter().rev() {
            add_step(&mut path, *step);
        }
        path
    }

    /// Reports a mistake here.
    pub(crate) fn wrong(&self, message: impl Into<String>) {
        self.wrong_with(message, None);
    }

    /// Reports a mistake here, with advice.
    pub(crate) fn wrong_with(&self, message: impl Into<String>, help: Option<String>) {
        self.context.push(&self.context.errors, self.error(message.into(), help));
    }

    /// Reports what an API server would refuse here, though its meaning is clear.
    pub(crate) fn refuse(&self, message: impl Into<String>) {
        self.context.push(&self.context.refusals, self.error(message.into(), None));
    }

    fn error(&self, message: String, help: Option<String>) -> ManifestError {
        ManifestError {
            file: self.context.file.to_owned(),
            line: self.node.line,
            column: self.node.column,
            field: self.path(),
            message,
            help,
        }
    }

    /// Reports a wrong type here.
    fn wrong_type(&self, expected: &str) {
        let help = match self.node.value {
            Value::Scalar { plain: true, .. } if expected == "a string" => {
                Some("put it in quotes".to_owned())
            }
            Value::Scalar { plain: false, .. } if expected != "a string" => {
                Some("write it without quotes".to_owned())
            }
            _ => None,
        };
        self.wrong_with(format!("expected {expected}, found {}", self.describe()), help);
    }

    fn describe(&self) -> String {
        let Value::Scalar { text, plain: is_plain } = &self.node.value else {
            return match self.node.value {
                Value::Seq(_) => "a list".to_owned(),
                Value::Map(_) | Value::Scalar { .. } => "a mapping".to_owned(),
            };
        };
        let shown = shorten(text);
        let kind = if *is_plain { plain(text) } else { Plain::Text };
        match kind {
            Plain::Null => "nothing".to_owned(),
            Plain::Bool(_) => format!("the boolean `{shown}`"),
            Plain::Int(_) | Plain::Float => format!("the number `{shown}`"),
            Plain::Text => format!("the string `{shown}`"),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.node.value, Value::Scalar { text, plain: true } if plain(text) == Plain::Null)
    }

    /// Whether this may be meant as an object: no list, and no mapping without any field that
    /// objects have.
    pub(crate) fn looks_like_object(&self) -> bool {
        match &self.node.value {
            Value::Seq(_) => false,
            Value::Map(entries) => entries.iter().any(|entry| {
                ["apiversion", "kind", "metadata", "spec"]
                    .contains(&entry.key.to_ascii_lowercase().as_str())
            }),
            Value::Scalar { .. } => true,
        }
    }

    /// Whether the field `name` is there, null or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.node.value {
            Value::Map(entries) => entries.iter().any(|entry| entry.key == name),
            Value::Seq(_) | Value::Scalar { .. } => false,
        }
    }

    /// The field `name`; None if absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<At<'_>> {
        let Value::Map(entries) = &self.node.value else { return None };
        let entry = entries.iter().find(|entry| entry.key == name)?;
        let at = At {
            context: self.context,
            node: &entry.node,
            parent: Some(self),
            step: Step::Key(&entry.key),
        };
        (!at.is_null()).then_some(at)
    }

    /// The field `name`; reports it if absent or null.
    pub(crate) fn required(&self, name: &str) -> Option<At<'_>> {
        let found = self.get(name);
        if found.is_none() {
            self.missing(name);
        }
        found
    }

    /// Reports that the field `name` is missing.
    pub(crate) fn missing(&self, name: &str) {
        self.absent(name).wrong(MISSING);
    }

    /// The field `name`; says that an API server refuses its absence.
    pub(crate) fn expected(&self, name: &str) -> Option<At<'_>> {
        let found = self.get(name);
        if found.is_none() {
            self.absent(name).refuse(MISSING);
        }
        found
    }

    fn absent<'n>(&'n self, name: &'n str) -> At<'n> {
        At { parent: Some(self), step: Step::Key(name), ..*self }
    }

    /// Whether this is a mapping; reports it if not.
    pub(crate) fn check_mapping(&self) -> bool {
        let fits = matches!(self.node.value, Value::Map(_));
        if !fits {
            self.wrong_type("an object with apiVersion and kind");
        }
        fits
    }

    /// Whether this is part of a workload. What an unknown field of a policy or of what exposes a
    /// Service was meant to say nobody can guess; in a workload it is dropped with a warning, as an
    /// API server does unless told to be strict (Kubernetes v1.34, fieldValidation).
    fn is_of_workload(&self) -> bool {
        let mut at = Some(self);
        while let Some(here) = at {
            if let Value::Map(entries) = &here.node.value
                && entries.iter().any(|entry| entry.key == "apiVersion")
                && let Some(kind) = entries.iter().find(|entry| entry.key == "kind")
                && let Value::Scalar { text, .. } = &kind.node.value
            {
                return WORKLOAD_KINDS.contains(&text.as_ref());
            }
            at = here.parent;
        }
        false
    }

    /// Checks that this is a mapping (nothing counts as an empty one) with fields of `known` only.
    pub(crate) fn check_fields(&self, known: &[&str]) -> bool {
        if self.is_null() {
            return true;
        }
        let Value::Map(entries) = &self.node.value else {
            self.wrong_type("a mapping");
            return false;
        };
        for entry in entries {
            if known.contains(&entry.key.as_ref()) {
                continue;
            }
            let found = self.context.errors.borrow().len() + self.context.refusals.borrow().len();
            if found > ERRORS_MAX {
                break;
            }
            let mut field = self.path();
            add_step(&mut field, Step::Key(&shorten(&entry.key)));
            let list =
                if self.is_of_workload() { &self.context.refusals } else { &self.context.errors };
            self.context.push(
                list,
                ManifestError {
                    file: self.context.file.to_owned(),
                    line: entry.line,
                    column: entry.column,
                    field,
                    message: "unknown field".to_owned(),
                    help: nearest(&entry.key, known).map(|name| format!("did you mean `{name}`?")),
                },
            );
        }
        true
    }

    /// Says that an API server refuses more than `most` items here, or characters of this string.
    pub(crate) fn refuse_above(&self, most: usize, found: usize, what: &str) {
        if found > most {
            self.refuse(format!("may not hold more than {most} {what}, found {found}"));
        }
    }

    /// This scalar as one of `words`; an empty word is not shown to people.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> =
            words.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
        // What lets traffic in has another name in each of two APIs.
        let synonym = match text {
            "Accept" => "Allow",
            "Allow" => "Accept",
            _ => "",
        };
        let meant = if names.contains(&synonym) { Some(synonym) } else { nearest(text, &names) };
        self.wrong_with(
            format!("must be {}, found `{}`", join(&names, "or"), shorten(text)),
            meant.map(|word| format!("did you mean `{word}`?")),
        );
        None
    }

    /// The one field of a mapping that may have just one, which is one of `known`.
    ///
    /// [`Choice::Unknown`] is for the caller to report: it is a field of a newer API or none at all.
    /// A field of `elsewhere` is known and does not belong here.
    pub(crate) fn choice(&self, known: &[&'static str], elsewhere: &[&str]) -> Choice {
        let Value::Map(entries) = &self.node.value else {
            if self.is_null() {
                return Choice::Unknown;
            }
            self.wrong_type("a mapping");
            return Choice::Wrong;
        };
        let is_given = |name: &&'static str| self.get(name).is_some();
        let found: Vec<&'static str> = known.iter().copied().filter(is_given).collect();
        if let [one] = found.as_slice() {
            self.check_fields(known);
            return Choice::One(one);
        }
        if !found.is_empty() {
            let is_item = matches!(self.step, Step::Index(_));
            self.wrong_with(
                format!("may have only one of {}", join(&found, "and")),
                is_item.then(|| "write them as items of their own".to_owned()),
            );
            return Choice::Wrong;
        }
        // A known field is here at most with nothing in it, which counts as absent.
        let is_slip = |key: &str| {
            !known.contains(&key) && (elsewhere.contains(&key) || nearest(key, known).is_some())
        };
        if entries.iter().take(SLIPS_MAX).any(|entry| is_slip(&entry.key)) {
            self.check_fields(known);
            return Choice::Wrong;
        }
        Choice::Unknown
    }

    /// The entries of a mapping: key and place of the value.
    pub(crate) fn entries(&self) -> Vec<(&str, At<'_>)> {
        match &self.node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|entry| {
                    let step = Step::Key(&entry.key);
                    let parent = Some(self);
                    let at = At { context: self.context, node: &entry.node, parent, step };
                    (entry.key.as_ref(), at)
                })
                .collect(),
            Value::Seq(_) | Value::Scalar { .. } => {
                if !self.is_null() {
                    self.wrong_type("a mapping");
                }
                Vec::new()
            }
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Vec<At<'_>> {
        match &self.node.value {
            Value::Seq(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| At {
                    context: self.context,
                    node,
                    parent: Some(self),
                    step: Step::Index(index),
                })
                .collect(),
            Value::Map(_) | Value::Scalar { .. } => {
                if !self.is_null() {
                    self.wrong_type("a list");
                }
                Vec::new()
            }
        }
    }

    /// The items of a list, none if it is no list.
    pub(crate) fn lenient_items(&self) -> Vec<At<'_>> {
        match &self.node.value {
            Value::Seq(_) => self.items(),
            Value::Map(_) | Value::Scalar { .. } => Vec::new(),
        }
    }

    /// The items of the list in field `name`, each read by `read`; empty if absent.
    pub(crate) fn list<T>(&self, name: &str, read: impl Fn(&At<'_>) -> Option<T>) -> Vec<T> {
        let Some(list) = self.get(name) else { return Vec::new() };
        let items = list.items();
        // Most lists are short, and a vector that grows starts with room for four.
        let mut found = Vec::with_capacity(items.len().min(SHORT_LIST_ITEMS));
        found.extend(items.iter().filter_map(read));
        found
    }

    /// This scalar as a string; a number or boolean is none.
    pub(crate) fn string(&self) -> Option<&str> {
        match &self.node.value {
            Value::Scalar { text, plain: is_plain } if !is_plain || plain(text) == Plain::Text => {
                Some(text)
            }
            Value::Scalar { .. } | Value::Seq(_) | Value::Map(_) => {
                self.wrong_type("a string");
                None
            }
        }
    }

    /// This scalar as a string, without any report if it is none.
    pub(crate) fn lenient_string(&self) -> Option<&str> {
        match &self.node.value {
            Value::Scalar { text, .. } => Some(text),
            Value::Seq(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        if let Value::Scalar { text, plain: true } = &self.node.value
            && let Plain::Bool(value) = plain(text)
        {
            return Some(value);
        }
        self.wrong_type("true or false");
        None
    }

    /// This scalar as an integer, None without report if it is none.
    pub(crate) fn lenient_int(&self) -> Option<i64> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => match plain(text) {
                Plain::Int(value) => Some(value),
                Plain::Null | Plain::Bool(_) | Plain::Float | Plain::Text => None,
            },
            Value::Scalar { .. } | Value::Seq(_) | Value::Map(_) => None,
        }
    }

    /// This scalar as an integer from `low` to `high`.
    pub(crate) fn int(&self, low: u32, high: u32) -> Option<u32> {
        let Some(value) = self.lenient_int() else {
            self.wrong_type("an integer");
            return None;
        };
        let fits = u32::try_from(value).ok().filter(|value| (low..=high).contains(value));
        if fits.is_none() {
            self.wrong(format!("must be from {low} to {high}, found {value}"));
        }
        fits
    }

    /// Whether this is a string rather than a number or boolean.
    pub(crate) fn is_string(&self) -> bool {
        match &self.node.value {
            Value::Scalar { text, plain: is_plain } => !is_plain || plain(text) == Plain::Text,
            Value::Seq(_) | Value::Map(_) => false,
        }
    }
}

fn add_step(path: &mut String, step: Step<'_>) {
    match step {
        Step::Root => {}
        Step::Index(index) => {
            // Writing to a String cannot fail.
            let _ignored = write!(path, "[{index}]");
        }
        Step::Key(key) if key.contains(['.', '/', ' ', '[']) => {
            let _ignored = write!(path, "[\"{key}\"]");
        }
        Step::Key(key) => {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        }
    }
}

/// `a, b or c`.
fn join(words: &[&str], last: &str) -> String {
    match words {
        [head @ .., tail] if !head.is_empty() => format!("{} {last} {tail}", head.join(", ")),
        _ => words.concat(),
    }
}

/// The first characters of a text, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The known name that `wrong` most likely means: at most two letters changed, three in long names,
/// one in short ones (`icmp` is not `sctp`).
pub(crate) fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    if wrong.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let folded = wrong.to_ascii_lowercase();
    known
        .iter()
        .map(|name| (distance(&folded, &name.to_ascii_lowercase()), *name))
        .filter(|(distance, name)| {
            let longer = [SHORT_NAME_CHARS, LONG_NAME_CHARS];
            let most = 1 + longer.iter().filter(|least| name.len() >= **least).count();
            *distance <= most && *distance < name.len().min(wrong.len())
        })
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.bytes().zip(row.iter().skip(1)) {
            let cell = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = *above;
            left = cell;
            next.push(cell);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
