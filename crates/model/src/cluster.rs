//! The name of a cluster: which Kubernetes cluster, or which estate of hosts, a record is about.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, bytes (RFC 1123 §2.1: a DNS label).
const NAME_BYTES_MAX: usize = 63;
const DEFAULT: &str = "default";

/// The name of a cluster: a DNS label (lower-case letters, digits and `-`, not at an end; at most
/// 63), as Kubernetes has it for namespaces (RFC 1123 §2.1), so that it can stand in a path, a
/// folder's name, a metric's label and a certificate's URI as it is.
///
/// Two clusters may use the same addresses and the same names of workloads: nothing is ever
/// compared or summed over two of them. Where nobody named a cluster it is `default`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Arc<str>);

/// A text is no name of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no name of a cluster: lower-case letters, digits and -, at most 63, with no - at an end",
    .0.escape_debug()
)]
pub struct ClusterNameError(String);

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name that a cluster has where nobody named one.
    #[must_use]
    pub fn is_default(&self) -> bool {
        &*self.0 == DEFAULT
    }
}

impl Default for ClusterName {
    fn default() -> Self {
        Self(Arc::from(DEFAULT))
    }
}

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let right = !text.is_empty()
            && text.len() <= NAME_BYTES_MAX
            && text.bytes().all(plain)
            && !text.starts_with('-')
            && !text.ends_with('-');
        // An error is for people: they need not read a megabyte.
        let shown = || text.chars().take(NAME_BYTES_MAX + 1).collect();
        if right { Ok(Self(Arc::from(text))) } else { Err(ClusterNameError(shown())) }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for ClusterName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClusterName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_dns_are_names_and_nothing_else_is() {
        let longest = "x".repeat(63);
        for text in ["a", "east", "eu-west-1", "0", longest.as_str()] {
            assert_eq!(text.parse::<ClusterName>().unwrap().as_str(), text);
        }
        let long = "x".repeat(64);
        for text in ["", "East", "a.b", "a/b", "-a", "a-", "a_b", "ä", "a b", "..", long.as_str()]
        {
            assert!(text.parse::<ClusterName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_travels_as_its_text_and_a_wrong_one_does_not_arrive() {
        let name: ClusterName = "east".parse().unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"east\"");
        let bytes = postcard::to_stdvec(&name).unwrap();
        assert_eq!(postcard::from_bytes::<ClusterName>(&bytes).unwrap(), name);
        let wrong = postcard::to_stdvec("../x").unwrap();
        assert!(postcard::from_bytes::<ClusterName>(&wrong).is_err());
        assert!(serde_json::from_str::<ClusterName>("\"A\"").is_err());
        assert!(ClusterName::default().is_default() && !name.is_default());
    }
}
