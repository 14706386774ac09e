//! Selectors over labels that say where they come from.

use serde::{Deserialize, Serialize};

use crate::{Operator, Requirement};

/// Where a label comes from: what stands before the colon of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LabelSource {
    /// `any`, or no source given: wherever it comes from.
    Any,
    /// `k8s`: from Kubernetes.
    K8s,
    /// `reserved`: a class of ends that Cilium itself names, e.g. `reserved:host`.
    Reserved,
    /// Another source, e.g. `container`. Pods of Kubernetes have no such labels.
    Other(String),
}

impl LabelSource {
    /// Splits a key as written into source and key.
    #[must_use]
    pub fn split(text: &str) -> (Self, &str) {
        match text.split_once(':') {
            None | Some(("any", _)) => (Self::Any, text.strip_prefix("any:").unwrap_or(text)),
            Some(("k8s", key)) => (Self::K8s, key),
            Some(("reserved", key)) => (Self::Reserved, key),
            Some((other, key)) => (Self::Other(other.to_owned()), key),
        }
    }

    /// The source as written before the colon.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "any",
            Self::K8s => "k8s",
            Self::Reserved => "reserved",
            Self::Other(source) => source,
        }
    }
}

/// One test of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelTest {
    /// Where the label must come from.
    pub source: LabelSource,
    /// The test, with the key without its source.
    pub requirement: Requirement,
}

/// An EndpointSelector: all tests must pass; empty selects everything in its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EndpointSelector {
    /// matchLabels, in the order of keys and as [`Operator::In`] with one value, then
    /// matchExpressions.
    pub tests: Vec<LabelTest>,
}

impl EndpointSelector {
    /// Whether a test looks at `key` of Kubernetes or of any source.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        self.tests.iter().any(|test| {
            matches!(test.source, LabelSource::Any | LabelSource::K8s)
                && test.requirement.key == key
        })
    }

    /// Whether a test looks at a class of ends that Cilium itself names.
    #[must_use]
    pub fn has_reserved(&self) -> bool {
        self.tests.iter().any(|test| test.source == LabelSource::Reserved)
    }

    /// Makes a selector of one label with one value.
    #[must_use]
    pub fn of(source: LabelSource, key: &str, value: &str) -> Self {
        let requirement = Requirement {
            key: key.to_owned(),
            operator: Operator::In,
            values: vec![value.to_owned()],
        };
        Self { tests: vec![LabelTest { source, requirement }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_source_is_of_any() {
        assert_eq!(LabelSource::split("app"), (LabelSource::Any, "app"));
        assert_eq!(LabelSource::split("any:app"), (LabelSource::Any, "app"));
        assert_eq!(LabelSource::split("k8s:a.b/c"), (LabelSource::K8s, "a.b/c"));
        assert_eq!(LabelSource::split("reserved:host"), (LabelSource::Reserved, "host"));
        let container = LabelSource::Other("container".to_owned());
        assert_eq!(LabelSource::split("container:x"), (container, "x"));
    }
}
