//! Reads rules from YAML or JSON, with the line and field of every mistake.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_manifest::{Outline, OutlineEntry, OutlineValue, outline_whole};
use serde::{Deserialize, Serialize};

use crate::rules::{Match, Part, parts};
use crate::{Dimension, DimensionName, Layer, Pattern, Rule, Rules};

/// Longest text of rules, bytes.
pub const RULES_BYTES_MAX: usize = 256 << 10;
/// Dimensions, keys of one, rules, and items of a list in a rule at most.
const DIMENSIONS_MAX: usize = 16;
const KEYS_MAX: usize = 16;
const RULES_MAX: usize = 256;
const ITEMS_MAX: usize = 256;
/// Longest name of a rule, characters; longest key of a label, bytes (Kubernetes v1.34,
/// `IsQualifiedName`).
const NAME_CHARS_MAX: usize = 80;
const KEY_BYTES_MAX: usize = 317;
/// Mistakes that are told.
const ERRORS_MAX: usize = 50;

/// A mistake in rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesError {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// Path of the field, `rules[2].match.port`; empty for the text as a whole.
    pub field: String,
    /// What is wrong, and what is expected.
    pub message: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RulesError {}

/// Reads rules; what the text does not say is as usual, with `environment` as the key of the label
/// that tells environments. An empty text is no rules.
///
/// # Errors
/// All mistakes, the first 50, in the order of the text.
pub fn read_rules(text: &str, environment: &str) -> Result<Rules, Vec<RulesError>> {
    let mut reader = Reader { rules: Rules::usual(environment), errors: Vec::new() };
    let whole = |(line, column): (u32, u32), message: String| {
        vec![RulesError { line, column, field: String::new(), message }]
    };
    if text.len() > RULES_BYTES_MAX {
        return Err(whole((1, 1), format!("rules have {RULES_BYTES_MAX} bytes at most")));
    }
    let documents =
        outline_whole(text).map_err(|error| whole((error.line, error.column), error.message))?;
    match documents.as_slice() {
        [] => {}
        [only] if only.text().is_some_and(str::is_empty) => {}
        [only] => reader.document(only),
        [_, second, ..] => {
            let place = (second.line, second.column);
            return Err(whole(place, "a second document: rules are one".to_owned()));
        }
    }
    let Reader { rules, mut errors } = reader;
    if errors.is_empty() {
        return Ok(rules);
    }
    errors.sort_by_key(|error| (error.line, error.column));
    errors.truncate(ERRORS_MAX);
    Err(errors)
}

struct Reader {
    rules: Rules,
    errors: Vec<RulesError>,
}

impl Reader {
    fn wrong(&mut self, at: (u32, u32), field: &str, message: impl Into<String>) {
        let (field, message) = (field.to_owned(), message.into());
        self.errors.push(RulesError { line: at.0, column: at.1, field, message });
    }

    /// The entries of a mapping, each of them `known` and there once; empty = any key is.
    fn entries<'t>(
        &mut self,
        node: &'t Outline,
        field: &str,
        known: &[&str],
    ) -> Vec<&'t OutlineEntry> {
        let OutlineValue::Map(entries) = &node.value else {
            self.wrong(place(node), field, "expected a mapping");
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let mut right = Vec::new();
        for entry in entries {
            let at = (entry.line, entry.column);
            if !known.is_empty() && !known.contains(&entry.key.as_str()) {
                let message = format!("there is no such field; there are {}", known.join(", "));
                self.wrong(at, &joined(field, &entry.key), message);
            } else if !seen.insert(entry.key.as_str()) {
                self.wrong(at, &joined(field, &entry.key), "is there twice");
            } else {
                right.push(entry);
            }
        }
        right
    }

    /// The items of a list, or a single one, each a word.
    fn words<'t>(
        &mut self,
        node: &'t Outline,
        field: &str,
        most: usize,
    ) -> Vec<(&'t Outline, &'t str)> {
        let items = match &node.value {
            OutlineValue::List(items) => items.as_slice(),
            OutlineValue::Scalar(_) => std::slice::from_ref(node),
            OutlineValue::Map(_) | OutlineValue::Alias => {
                self.wrong(place(node), field, "expected a word, or a list of words");
                return Vec::new();
            }
        };
        if items.len() > most {
            self.wrong(place(node), field, format!("more than {most} of them"));
            return Vec::new();
        }
        if items.is_empty() {
            self.wrong(place(node), field, "an empty list");
        }
        let mut words = Vec::new();
        for (number, item) in items.iter().enumerate() {
            match item.text() {
                Some(text) if !text.is_empty() => words.push((item, text)),
                Some(_) | None => {
                    self.wrong(place(item), &format!("{field}[{number}]"), "expected a word");
                }
            }
        }
        words
    }

    /// A single word.
    fn word<'t>(&mut self, node: &'t Outline, field: &str) -> Option<&'t str> {
        let text = node.text().filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong(place(node), field, "expected a word");
        }
        text
    }

    fn document(&mut self, node: &Outline) {
        let mut rules = None;
        for entry in self.entries(node, "", &["dimensions", "layers", "rules"]) {
            match entry.key.as_str() {
                "dimensions" => self.dimensions(&entry.value),
                "layers" => self.layers(&entry.value),
                _ => rules = Some(&entry.value),
            }
        }
        // They name dimensions, wherever these stand.
        if let Some(rules) = rules {
            self.all_rules(rules);
        }
    }

    fn dimensions(&mut self, node: &Outline) {
        let mut dimensions = Vec::new();
        for entry in self.entries(node, "dimensions", &[]) {
            let field = joined("dimensions", &entry.key);
            match entry.key.parse::<DimensionName>() {
                Ok(name) => {
                    // No keys at all: people, imports and rules tell it.
                    let has_none =
                        matches!(&entry.value.value, OutlineValue::List(items) if items.is_empty());
                    let words = match has_none {
                        true => Vec::new(),
                        false => self.words(&entry.value, &field, KEYS_MAX),
                    };
                    let keys = words.into_iter().map(|(_, key)| key.to_owned()).collect();
                    dimensions.push(Dimension { name, keys });
                }
                Err(cause) => self.wrong((entry.line, entry.column), &field, cause.to_string()),
            }
        }
        if dimensions.len() > DIMENSIONS_MAX {
            let message = format!("more than {DIMENSIONS_MAX} dimensions");
            self.wrong(place(node), "dimensions", message);
        } else if dimensions.is_empty() {
            self.wrong(place(node), "dimensions", "names none");
        }
        self.rules.dimensions = dimensions;
    }

    fn layers(&mut self, node: &Outline) {
        let mut layers = Vec::new();
        for (item, word) in self.words(node, "layers", Layer::ALL.len()) {
            match word.parse::<Layer>() {
                Ok(layer) if layers.contains(&layer) => {
                    self.wrong(place(item), "layers", format!("`{layer}` is there twice"));
                }
                Ok(layer) => layers.push(layer),
                Err(cause) => self.wrong(place(item), "layers", cause.to_string()),
            }
        }
        self.rules.layers = layers;
    }

    fn all_rules(&mut self, node: &Outline) {
        let OutlineValue::List(items) = &node.value else {
            if node.text() != Some("") {
                self.wrong(place(node), "rules", "expected a list");
            }
            return;
        };
        if items.len() > RULES_MAX {
            self.wrong(place(node), "rules", format!("more than {RULES_MAX} rules"));
            return;
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        for (number, item) in items.iter().enumerate() {
            let Some(rule) = self.rule(item, number) else { continue };
            if !names.insert(rule.name.clone()) {
                let field = format!("rules[{number}].name");
                self.wrong(place(item), &field, "another rule has this name");
            }
            self.rules.rules.push(rule);
        }
    }

    fn rule(&mut self, node: &Outline, number: usize) -> Option<Rule> {
        let field = format!("rules[{number}]");
        let known_errors = self.errors.len();
        let (mut name, mut matches, mut set) = (format!("rule {}", number + 1), None, None);
        for entry in self.entries(node, &field, &["name", "match", "set"]) {
            let own = joined(&field, &entry.key);
            match entry.key.as_str() {
                "name" => match self.word(&entry.value, &own) {
                    Some(text) if text.chars().count() > NAME_CHARS_MAX => {
                        let message = format!("more than {NAME_CHARS_MAX} characters");
                        self.wrong(place(&entry.value), &own, message);
                    }
                    Some(text) => name = text.to_owned(),
                    None => {}
                },
                "match" => matches = Some(self.matching(&entry.value, &own)),
                _ => set = Some((&entry.value, own)),
            }
        }
        let Some((matches, groups)) = matches else {
            self.wrong(place(node), &field, "needs `match`: what an asset must be for it");
            return None;
        };
        let mut sets: Vec<(DimensionName, Vec<Part>)> = Vec::new();
        if let Some((value, own)) = set {
            sets = self.settings(value, &own, &groups);
        }
        for dimension in self.rules.names() {
            let is_said = sets.iter().any(|(name, _)| *name == dimension);
            if groups.contains(dimension.as_str()) && !is_said {
                let group = Part::Group(dimension.to_string());
                sets.push((dimension, vec![group]));
            }
        }
        // What is wrong with its parts says enough.
        if self.errors.len() > known_errors {
            return None;
        }
        if sets.is_empty() {
            let all: Vec<String> = self.rules.names().iter().map(ToString::to_string).collect();
            let message = format!(
                "says nothing: give `set`, or a group with the name of a dimension ({})",
                all.join(", ")
            );
            self.wrong(place(node), &field, message);
            return None;
        }
        Some(Rule { name, line: node.line, matches, set: sets })
    }

    fn settings(
        &mut self,
        node: &Outline,
        field: &str,
        groups: &BTreeSet<String>,
    ) -> Vec<(DimensionName, Vec<Part>)> {
        let mut sets = Vec::new();
        let names = self.rules.names();
        let known: Vec<&str> = names.iter().map(DimensionName::as_str).collect();
        for entry in self.entries(node, field, &known) {
            let own = joined(field, &entry.key);
            let Some(text) = self.word(&entry.value, &own) else { continue };
            let parts = parts(text);
            let strange = parts.iter().find_map(|part| match part {
                Part::Group(name) if !groups.contains(name) => Some(name.clone()),
                Part::Group(_) | Part::Text(_) => None,
            });
            if let Some(name) = strange {
                let message =
                    format!("no pattern of this rule has a group `{name}`; $$ is a dollar");
                self.wrong(place(&entry.value), &own, message);
            } else if let [Part::Text(plain)] = parts.as_slice()
                && let Err(cause) = crate::value(plain)
            {
                self.wrong(place(&entry.value), &own, cause.to_string());
            } else if let Ok(name) = entry.key.parse() {
                sets.push((name, parts));
            }
        }
        sets
    }

    /// What must match, and names of all groups in it.
    fn matching(&mut self, node: &Outline, field: &str) -> (Match, BTreeSet<String>) {
        let known = ["namespace", "name", "kind", "labels", "address", "port"];
        let (mut found, mut groups) = (Match::default(), BTreeSet::new());
        let known_errors = self.errors.len();
        let entries = self.entries(node, field, &known);
        if entries.is_empty() && self.errors.len() == known_errors {
            let message = format!("would take every asset: say one of {}", known.join(", "));
            self.wrong(place(node), field, message);
        }
        for entry in entries {
            let own = joined(field, &entry.key);
            match entry.key.as_str() {
                "namespace" => found.namespace = self.pattern(&entry.value, &own, &mut groups),
                "name" => found.name = self.pattern(&entry.value, &own, &mut groups),
                "kind" => found.kind = self.pattern(&entry.value, &own, &mut groups),
                "labels" => found.labels = self.labels(&entry.value, &own, &mut groups),
                "address" => {
                    for (item, word) in self.words(&entry.value, &own, ITEMS_MAX) {
                        let address = || word.parse::<IpAddr>().ok().map(IpNet::from);
                        match word.parse::<IpNet>().ok().or_else(address) {
                            Some(network) => found.networks.push(network),
                            None => self.wrong(
                                place(item),
                                &own,
                                "expected a network (10.0.0.0/8) or an address",
                            ),
                        }
                    }
                }
                _ => {
                    for (item, word) in self.words(&entry.value, &own, ITEMS_MAX) {
                        match word.parse::<u16>() {
                            Ok(port) if port > 0 => found.ports.push(port),
                            Ok(_) | Err(_) => {
                                self.wrong(place(item), &own, "expected a port, 1 to 65535");
                            }
                        }
                    }
                }
            }
        }
        (found, groups)
    }

    fn labels(
        &mut self,
        node: &Outline,
        field: &str,
        groups: &mut BTreeSet<String>,
    ) -> Vec<(String, Pattern)> {
        let mut labels = Vec::new();
        for entry in self.entries(node, field, &[]) {
            let own = joined(field, &entry.key);
            if entry.key.is_empty() || entry.key.len() > KEY_BYTES_MAX {
                self.wrong((entry.line, entry.column), &own, "is no key of a label");
                continue;
            }
            let pattern = self.pattern(&entry.value, &own, groups);
            labels.extend(pattern.map(|pattern| (entry.key.clone(), pattern)));
        }
        labels
    }

    fn pattern(
        &mut self,
        node: &Outline,
        field: &str,
        groups: &mut BTreeSet<String>,
    ) -> Option<Pattern> {
        let text = self.word(node, field)?;
        let pattern = match Pattern::read(text) {
            Ok(pattern) => pattern,
            Err(cause) => {
                self.wrong(place(node), field, cause.to_string());
                return None;
            }
        };
        for group in pattern.groups() {
            if !groups.insert(group.to_owned()) {
                let message = format!("another pattern of this rule has a group `{group}`");
                self.wrong(place(node), field, message);
            }
        }
        Some(pattern)
    }
}

fn place(node: &Outline) -> (u32, u32) {
    (node.line, node.column)
}

fn joined(field: &str, key: &str) -> String {
    let key: String = key.chars().take(60).flat_map(char::escape_debug).collect();
    if field.is_empty() { key } else { format!("{field}.{key}") }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
