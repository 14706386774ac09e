//! What one node of a map stands for.

use std::fmt;
use std::str::FromStr;

use sekisho_labels::{DimensionName, NameError};
use serde::{Deserialize, Serialize};

/// Longest key of a label, bytes: a prefix that is a DNS name, `/`, and a name of 63 (Kubernetes v1.34,
/// `IsQualifiedName`).
const KEY_MAX: usize = 317;
/// Word before the key of a grouping by label.
const LABEL: &str = "label:";
/// Word before the name of a grouping by dimension.
const DIMENSION: &str = "dimension:";

/// The key of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelKey(String);

impl LabelKey {
    /// The label that tells environments where nothing else is said.
    #[must_use]
    pub fn environment() -> Self {
        Self(DimensionName::ENVIRONMENT.to_owned())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text is no key of a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no key of a label: letters, digits, - _ . and one /", .0.escape_debug())]
pub struct LabelKeyError(String);

impl FromStr for LabelKey {
    type Err = LabelKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        let is_key = !text.is_empty() && text.len() <= KEY_MAX && text.chars().all(is_letter);
        match is_key && text.matches('/').count() <= 1 {
            true => Ok(Self(text.to_owned())),
            false => Err(LabelKeyError(text.chars().take(KEY_MAX).collect())),
        }
    }
}

impl TryFrom<String> for LabelKey {
    type Error = LabelKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LabelKey> for String {
    fn from(key: LabelKey) -> Self {
        key.0
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What one node of a map stands for. As text and as JSON it is one word, `label:KEY`, or
/// `dimension:NAME` (`environment` for that one).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grouping {
    /// A cluster; all externals and unknown addresses are one node each.
    Cluster,
    /// A namespace; all externals, nodes and unknown addresses are one node each.
    Namespace,
    /// What of a namespace is called the same in the dimension `application`; a workload without a
    /// value is its own.
    Application,
    /// All pods and hosts with one value of this label, their own or their namespace's.
    Label(LabelKey),
    /// All that is called the same in this dimension, as [`crate::MapOptions::labels`] has it.
    Dimension(DimensionName),
    /// A machine of the cluster with all pods on it, as far as the inventory knows where they are.
    Node,
    /// The topmost owner of a pod (Deployment, CronJob, ...), a host, an external name.
    #[default]
    Workload,
    /// A pod, a host, an external name.
    Pod,
    /// One executable of a workload.
    Process,
}

/// A text names no grouping.
#[derive(Debug, thiserror::Error)]
pub enum GroupingError {
    /// It is no word for one.
    #[error(
        "`{0}` is not one of cluster, namespace, application, environment, node, workload, pod, \
         process, label:KEY, dimension:NAME"
    )]
    Word(String),
    /// It names a label that can't be.
    #[error(transparent)]
    Key(#[from] LabelKeyError),
    /// It names a dimension that can't be.
    #[error(transparent)]
    Dimension(#[from] NameError),
}

impl Grouping {
    /// Whether it asks what things are called in a dimension.
    #[must_use]
    pub fn asks_for_values(&self) -> bool {
        match self {
            Self::Application | Self::Dimension(_) => true,
            Self::Cluster
            | Self::Namespace
            | Self::Label(_)
            | Self::Node
            | Self::Workload
            | Self::Pod
            | Self::Process => false,
        }
    }
}

impl FromStr for Grouping {
    type Err = GroupingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(key) = text.strip_prefix(LABEL) {
            return Ok(Self::Label(key.parse()?));
        }
        if let Some(name) = text.strip_prefix(DIMENSION) {
            return Ok(Self::Dimension(name.parse()?));
        }
        match text {
            "cluster" => Ok(Self::Cluster),
            "namespace" => Ok(Self::Namespace),
            "application" => Ok(Self::Application),
            DimensionName::ENVIRONMENT => Ok(Self::Dimension(text.parse()?)),
            "node" => Ok(Self::Node),
            "workload" => Ok(Self::Workload),
            "pod" => Ok(Self::Pod),
            "process" => Ok(Self::Process),
            _ => Err(GroupingError::Word(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Grouping {
    type Error = GroupingError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Grouping> for String {
    fn from(grouping: Grouping) -> Self {
        grouping.to_string()
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Label(key) => return write!(f, "{LABEL}{key}"),
            Self::Dimension(name) if name.as_str() == DimensionName::ENVIRONMENT => name.as_str(),
            Self::Dimension(name) => return write!(f, "{DIMENSION}{name}"),
            Self::Cluster => "cluster",
            Self::Namespace => "namespace",
            Self::Application => "application",
            Self::Node => "node",
            Self::Workload => "workload",
            Self::Pod => "pod",
            Self::Process => "process",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grouping_is_read_back_from_its_word() {
        for word in [
            "cluster",
            "namespace",
            "application",
            "environment",
            "node",
            "workload",
            "pod",
            "process",
            "label:tier",
            "label:app.kubernetes.io/part-of",
            "dimension:role",
        ] {
            assert_eq!(word.parse::<Grouping>().unwrap().to_string(), word);
        }
        for wrong in [
            "",
            "planet",
            "label:",
            "label:a b",
            "label:a/b/c",
            "label:\u{202e}",
            "Pod",
            "dimension:A",
        ] {
            assert!(wrong.parse::<Grouping>().is_err(), "{wrong:?}");
        }
        assert!(format!("label:{}", "a".repeat(KEY_MAX + 1)).parse::<Grouping>().is_err());
    }
}
