//! Who may say what an asset is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A source of values. Which one wins is an order of layers; the usual one is [`Layer::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A person said it of this asset.
    Manual,
    /// A table that was imported (tags, a CMDB).
    Import,
    /// A derivation rule.
    Rule,
    /// A label of the workload's pods, or of the host.
    Workload,
    /// A label of its namespace.
    Namespace,
    /// A label that all nodes have which its pods are on.
    Node,
}

/// A text names no layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not one of manual, import, rule, workload, namespace, node", .0.escape_debug())]
pub struct LayerError(String);

impl Layer {
    /// All of them, in the usual order: the first wins.
    pub const ALL: [Self; 6] =
        [Self::Manual, Self::Import, Self::Rule, Self::Workload, Self::Namespace, Self::Node];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Import => "import",
            Self::Rule => "rule",
            Self::Workload => "workload",
            Self::Namespace => "namespace",
            Self::Node => "node",
        }
    }
}

impl FromStr for Layer {
    type Err = LayerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || LayerError(text.chars().take(40).collect());
        Self::ALL.into_iter().find(|layer| layer.as_str() == text).ok_or_else(wrong)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
