//! Calico's selector expressions (libcalico-go/lib/selector).

use std::fmt;

use sekisho_model::Labels;
use serde::{Deserialize, Serialize};

use crate::calico::parse_selector;

/// A selector expression, e.g. `role == 'db' && !has(test)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Selector {
    /// `all()`, or the empty text.
    All,
    /// `global()`: what is in no namespace. Only in namespaceSelector of a rule.
    Global,
    /// `has(key)`.
    Has(String),
    /// `key == 'value'`.
    Equal(String, String),
    /// `key != 'value'`; holds without the label too.
    NotEqual(String, String),
    /// `key in {'a', 'b'}`; never holds if there is no value.
    In(String, Vec<String>),
    /// `key not in {'a', 'b'}`; holds without the label too.
    NotIn(String, Vec<String>),
    /// `key contains 'text'`.
    Contains(String, String),
    /// `key starts with 'text'`.
    StartsWith(String, String),
    /// `key ends with 'text'`.
    EndsWith(String, String),
    /// `!selector`.
    Not(Box<Self>),
    /// `a && b`; two or more.
    And(Vec<Self>),
    /// `a || b`; two or more. Binds looser than `&&`.
    Or(Vec<Self>),
}

/// A text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {}: {message}", .offset + 1)]
pub struct SelectorError {
    /// Where the mistake is: characters before it.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

impl Selector {
    /// Reads a selector; the empty text is [`Selector::All`].
    ///
    /// # Errors
    /// [`SelectorError`] with the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parse_selector::parse(text)
    }

    /// Whether an object with `labels` is selected. [`Selector::Global`] counts as everything.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let test = |key: &String, test: &dyn Fn(&str) -> bool| {
            labels.get(key).is_some_and(|value| test(value))
        };
        match self {
            Self::All | Self::Global => true,
            Self::Has(key) => labels.contains_key(key),
            Self::Equal(key, value) => labels.get(key) == Some(value),
            Self::NotEqual(key, value) => labels.get(key) != Some(value),
            Self::In(key, values) => test(key, &|found| values.iter().any(|one| one == found)),
            Self::NotIn(key, values) => !test(key, &|found| values.iter().any(|one| one == found)),
            Self::Contains(key, text) => test(key, &|found| found.contains(text)),
            Self::StartsWith(key, text) => test(key, &|found| found.starts_with(text)),
            Self::EndsWith(key, text) => test(key, &|found| found.ends_with(text)),
            Self::Not(inner) => !inner.matches(labels),
            Self::And(all) => all.iter().all(|one| one.matches(labels)),
            Self::Or(any) => any.iter().any(|one| one.matches(labels)),
        }
    }

    /// Whether `global()` is in it.
    #[must_use]
    pub fn has_global(&self) -> bool {
        match self {
            Self::Global => true,
            Self::Not(inner) => inner.has_global(),
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::has_global),
            Self::All
            | Self::Has(_)
            | Self::Equal(..)
            | Self::NotEqual(..)
            | Self::In(..)
            | Self::NotIn(..)
            | Self::Contains(..)
            | Self::StartsWith(..)
            | Self::EndsWith(..) => false,
        }
    }
}

/// A text that reads back as the same selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |key: &str, operator: &str, values: &[String]| {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{key} {operator} {{{}}}", values.join(", "))
        };
        match self {
            Self::All => f.write_str("all()"),
            Self::Global => f.write_str("global()"),
            Self::Has(key) => write!(f, "has({key})"),
            Self::Equal(key, value) => write!(f, "{key} == {}", quoted(value)),
            Self::NotEqual(key, value) => write!(f, "{key} != {}", quoted(value)),
            Self::In(key, values) => f.write_str(&set(key, "in", values)),
            Self::NotIn(key, values) => f.write_str(&set(key, "not in", values)),
            Self::Contains(key, text) => write!(f, "{key} contains {}", quoted(text)),
            Self::StartsWith(key, text) => write!(f, "{key} starts with {}", quoted(text)),
            Self::EndsWith(key, text) => write!(f, "{key} ends with {}", quoted(text)),
            Self::Not(inner) => write!(f, "!{}", Grouped(inner)),
            Self::And(all) => join(f, all, " && "),
            Self::Or(any) => join(f, any, " || "),
        }
    }
}

/// A part of a selector, in parentheses where `&&`, `||` or `!` stand around it.
struct Grouped<'a>(&'a Selector);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Selector::And(_) | Selector::Or(_) | Selector::Not(_) => write!(f, "({})", self.0),
            Selector::All
            | Selector::Global
            | Selector::Has(_)
            | Selector::Equal(..)
            | Selector::NotEqual(..)
            | Selector::In(..)
            | Selector::NotIn(..)
            | Selector::Contains(..)
            | Selector::StartsWith(..)
            | Selector::EndsWith(..) => write!(f, "{}", self.0),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Selector], between: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{}", Grouped(part))?;
    }
    Ok(())
}

/// A text in the kind of quotes that it does not hold; there is no escape.
fn quoted(text: &str) -> String {
    if text.contains('"') { format!("'{text}'") } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn operators_look_at_labels_as_calico_does() {
        let web = labels(&[("app", "web"), ("empty", "")]);
        for (text, selected) in [
            ("", true),
            ("all()", true),
            ("all( )", true),
            ("app == 'web'", true),
            ("app=='db'", false),
            ("app != \"db\"", true),
            ("app != 'web'", false),
            ("role != 'x'", true),
            ("role == ''", false),
            ("empty == ''", true),
            ("app in {'db', 'web'}", true),
            ("app in{'db'}", false),
            ("app in {}", false),
            ("app not in {}", true),
            ("app not in {'db','web',}", false),
            ("role not in {'x'}", true),
            ("role in {'x'}", false),
            ("has(app)", true),
            ("has( role )", false),
            ("!has(role)", true),
            ("!!has(role)", false),
            ("app contains 'e'", true),
            ("app contains ''", true),
            ("role contains ''", false),
            ("app starts with 'we'", true),
            ("app starts with 'eb'", false),
            ("app ends  with 'eb'", true),
            ("app ends with 'we'", false),
            ("app == 'db' || app == 'web' && has(role)", false),
            ("(app == 'web' || app == 'db') && has(empty)", true),
            ("app == 'web' || app == 'db' && has(role)", true),
            ("! (app == 'web')", false),
            ("!app == 'db'", true),
        ] {
            assert_eq!(Selector::parse(text).map(|it| it.matches(&web)), Ok(selected), "{text}");
        }
    }

    #[test]
    fn a_mistake_has_a_place() {
        for (text, offset) in [
            ("app = 'web'", 4),
            ("app == web", 7),
            ("app ==", 6),
            ("app", 3),
            ("app == 'web", 7),
            ("app in 'web'", 7),
            ("app in {'web' 'db'}", 14),
            ("app in {'web'", 13),
            ("(app == 'web'", 13),
            ("app == 'web')", 12),
            ("has(app", 7),
            ("has()", 4),
            ("all(x)", 4),
            ("a == 'b' & c == 'd'", 9),
            ("a == 'b' &&", 11),
            ("a == 'ä' | b", 9),
            ("a ~ 'b'", 2),
            ("a starts 'b'", 9),
            ("a not 'b'", 6),
            ("a == 'b' c == 'd'", 9),
            ("{", 0),
            ("ä == 'b'", 0),
        ] {
            let error = Selector::parse(text).expect_err(text);
            assert_eq!(error.offset, offset, "{text}: {error}");
        }
        let error = Selector::parse("app = 'web'").expect_err("one `=`");
        assert_eq!(error.to_string(), "character 5: expected an operator such as ==, found `=`");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |levels: usize| format!("{}all(){}", "(".repeat(levels), ")".repeat(levels));
        assert!(Selector::parse(&deep(50)).is_ok());
        assert!(Selector::parse(&deep(10_000)).is_err());
        assert!(Selector::parse(&format!("{}all()", "!".repeat(100_000))).is_ok());
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "all()",
            "global()",
            "a == \"it's\" && b != '\"' || !(c in {'x', 'y'} && has(d/e.f-g_h))",
            "!(!has(a) || has(b)) && (c contains 'x' || c starts with 'y' || c ends with 'z')",
            "a not in {}",
        ] {
            let selector = Selector::parse(text).expect(text);
            assert_eq!(Selector::parse(&selector.to_string()), Ok(selector), "{text}");
        }
    }
}
