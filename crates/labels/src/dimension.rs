//! Dimensions, and the values that assets have in them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name of a dimension, bytes.
const NAME_MAX: usize = 32;
/// Longest value, characters.
const VALUE_CHARS_MAX: usize = 128;

/// The name of a dimension: lower-case letters, digits and `_`, a letter first, so that it can also
/// name a group of a pattern and stand in an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DimensionName(Arc<str>);

/// A text is no name of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no name of a dimension: a letter, then letters, digits and _, all lower-case, at most {NAME_MAX}",
    .0.escape_debug()
)]
pub struct NameError(String);

/// A text is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// There is none.
    #[error("the value is empty")]
    Empty,
    /// It is too long.
    #[error("the value has more than {VALUE_CHARS_MAX} characters")]
    Long,
    /// It has characters that are not text.
    #[error("the value has a control character, or one that turns the direction of text")]
    Control,
}

/// A dimension that assets are labelled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Its name.
    pub name: DimensionName,
    /// Keys of Kubernetes labels that tell its value; the first that is there.
    pub keys: Vec<String>,
}

impl DimensionName {
    /// The environment, which a map groups by.
    pub const ENVIRONMENT: &'static str = "environment";
    /// The application, which a map groups by.
    pub const APPLICATION: &'static str = "application";

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DimensionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = text.len() <= NAME_MAX
            && text.bytes().all(is_letter)
            && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        match is_name {
            true => Ok(Self(text.into())),
            false => Err(NameError(text.chars().take(NAME_MAX).collect())),
        }
    }
}

impl TryFrom<String> for DimensionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DimensionName> for String {
    fn from(name: DimensionName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for DimensionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Dimension {
    /// The four usual ones (Kubernetes documentation, "Recommended Labels", and what was usual
    /// before), with `environment` as the key that tells environments.
    pub(crate) fn usual(environment: &str) -> Vec<Self> {
        let usual: [(&str, &[&str]); 4] = [
            (DimensionName::APPLICATION, &["app.kubernetes.io/name", "app", "k8s-app"]),
            (DimensionName::ENVIRONMENT, &[environment]),
            ("role", &["app.kubernetes.io/component", "tier", "role"]),
            ("location", &["topology.kubernetes.io/region", "topology.kubernetes.io/zone"]),
        ];
        let dimension = |(name, keys): (&str, &[&str])| Self {
            name: DimensionName(name.into()),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        usual.into_iter().map(dimension).collect()
    }
}

/// Reads a value: 1 to 128 characters, without spaces around them.
///
/// # Errors
/// [`ValueError`] says what is wrong with it.
pub fn value(text: &str) -> Result<String, ValueError> {
    let text = text.trim();
    let turns = |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match () {
        () if text.is_empty() => Err(ValueError::Empty),
        () if text.chars().count() > VALUE_CHARS_MAX => Err(ValueError::Long),
        () if text.chars().any(|letter| letter.is_control() || turns(letter)) => {
            Err(ValueError::Control)
        }
        () => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_and_a_value_is_text() {
        for name in ["application", "a", "cost_centre2"] {
            assert_eq!(name.parse::<DimensionName>().unwrap().to_string(), name);
        }
        for wrong in ["", "App", "2nd", "a-b", "a.b", "_a", &"a".repeat(NAME_MAX + 1)] {
            assert!(wrong.parse::<DimensionName>().is_err(), "{wrong:?}");
        }
        assert_eq!(value(" 本番 "), Ok("本番".to_owned()));
        assert_eq!(value(" "), Err(ValueError::Empty));
        assert_eq!(value("a\u{202e}b"), Err(ValueError::Control));
        assert_eq!(value(&"a".repeat(VALUE_CHARS_MAX + 1)), Err(ValueError::Long));
    }
}
