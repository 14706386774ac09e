//! Derivation rules: from what is known of an asset to what it is called.

use std::collections::BTreeMap;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use crate::{Asset, Dimension, DimensionName, Layer, value};

/// Longest pattern, bytes.
const PATTERN_BYTES_MAX: usize = 512;
/// Memory of a compiled pattern, bytes: `\w{1000}` would take megabytes.
const PATTERN_MEMORY_MAX: usize = 256 << 10;

/// A pattern that names are searched for, with named groups (`(?<environment>prod|dev)-`).
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// A text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It is too long.
    #[error("a pattern has {PATTERN_BYTES_MAX} bytes at most")]
    Long,
    /// It can't be read, or takes too much memory.
    #[error("{0}")]
    Broken(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] if it is none, or too large.
    pub fn read(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Long);
        }
        let built = RegexBuilder::new(text).size_limit(PATTERN_MEMORY_MAX).build();
        // The crate draws the pattern over several lines, with the mistake below it: its last line
        // says what it is.
        let cause = |error: regex::Error| {
            let text = error.to_string();
            let last = text.lines().next_back().unwrap_or_default().trim();
            PatternError::Broken(last.trim_start_matches("error: ").to_owned())
        };
        built.map(Self).map_err(cause)
    }

    /// Names of its groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }

    /// Whether `text` has it; what its groups took is added to `found`.
    fn takes(&self, text: &str, found: &mut BTreeMap<String, String>) -> bool {
        let Some(captures) = self.0.captures(text) else { return false };
        let groups = self.groups().filter_map(|name| Some((name, captures.name(name)?.as_str())));
        found.extend(groups.map(|(name, text)| (name.to_owned(), text.to_owned())));
        true
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A text in which `$name` stands for what a group took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Group(String),
}

/// Reads a text with `$name` and `${name}` in it; `$$` is a dollar.
pub(crate) fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut pieces = text.split('$');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    while let Some(piece) = pieces.next() {
        if piece.is_empty() {
            plain.push('$');
            plain.push_str(pieces.next().unwrap_or_default());
            continue;
        }
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let (name, rest) = match piece.strip_prefix('{').and_then(|piece| piece.split_once('}')) {
            Some(found) => found,
            None => piece.split_at(piece.find(|letter| !is_word(letter)).unwrap_or(piece.len())),
        };
        parts.push(Part::Text(std::mem::take(&mut plain)));
        parts.push(Part::Group(name.to_owned()));
        plain.push_str(rest);
    }
    parts.push(Part::Text(plain));
    parts.retain(|part| *part != Part::Text(String::new()));
    parts
}

/// What an asset must be for a rule. What is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Match {
    pub(crate) namespace: Option<Pattern>,
    pub(crate) name: Option<Pattern>,
    pub(crate) kind: Option<Pattern>,
    /// Key of a label of the asset, else of its namespace, and what the value has.
    pub(crate) labels: Vec<(String, Pattern)>,
    /// It has an address in one of these.
    pub(crate) networks: Vec<IpNet>,
    /// It listens on one of these.
    pub(crate) ports: Vec<u16>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// Line that it begins on.
    pub line: u32,
    pub(crate) matches: Match,
    pub(crate) set: Vec<(DimensionName, Vec<Part>)>,
}

/// Dimensions, the order of layers, and rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The dimensions, in order.
    pub dimensions: Vec<Dimension>,
    /// The layers, the first wins. What is not among them says nothing.
    pub layers: Vec<Layer>,
    /// The rules; of two that say something in one dimension the first does.
    pub rules: Vec<Rule>,
}

impl Rules {
    /// The usual dimensions and layers, and no rule; `environment` is the key of the label that tells
    /// environments.
    #[must_use]
    pub fn usual(environment: &str) -> Self {
        let dimensions = Dimension::usual(environment);
        Self { dimensions, layers: Layer::ALL.to_vec(), rules: Vec::new() }
    }

    /// Names of the dimensions, in order.
    #[must_use]
    pub fn names(&self) -> Vec<DimensionName> {
        self.dimensions.iter().map(|dimension| dimension.name.clone()).collect()
    }

    /// Value by dimension, and the rule that says it.
    pub(crate) fn derive(&self, asset: &Asset) -> BTreeMap<DimensionName, (String, &Rule)> {
        let mut found = BTreeMap::new();
        for rule in &self.rules {
            for (dimension, value) in rule.derive(asset) {
                found.entry(dimension).or_insert((value, rule));
            }
        }
        found
    }
}

impl Rule {
    fn derive(&self, asset: &Asset) -> Vec<(DimensionName, String)> {
        let Some(groups) = self.matches.takes(asset) else { return Vec::new() };
        let filled = |parts: &[Part]| -> String {
            let part = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Group(name) => groups.get(name).cloned().unwrap_or_default(),
            };
            parts.iter().map(part).collect()
        };
        // A group that took nothing says nothing.
        let set = self.set.iter();
        set.filter_map(|(name, parts)| Some((name.clone(), value(&filled(parts)).ok()?))).collect()
    }
}

impl Match {
    /// What its groups took, if the asset is so.
    fn takes(&self, asset: &Asset) -> Option<BTreeMap<String, String>> {
        let mut groups = BTreeMap::new();
        let workload = &asset.workload;
        let words = [
            (&self.namespace, &workload.namespace),
            (&self.name, &workload.name),
            (&self.kind, &workload.kind),
        ];
        for (pattern, text) in words {
            if pattern.as_ref().is_some_and(|pattern| !pattern.takes(text, &mut groups)) {
                return None;
            }
        }
        for (key, pattern) in &self.labels {
            let own = asset.labels.get(key).or_else(|| asset.namespace_labels.get(key));
            if !own.is_some_and(|text| pattern.takes(text, &mut groups)) {
                return None;
            }
        }
        let in_networks = |networks: &[IpNet]| {
            asset.addresses.iter().any(|address| networks.iter().any(|it| it.contains(address)))
        };
        let is_right = (self.networks.is_empty() || in_networks(&self.networks))
            && (self.ports.is_empty() || self.ports.iter().any(|it| asset.ports.contains(it)));
        is_right.then_some(groups)
    }
}
