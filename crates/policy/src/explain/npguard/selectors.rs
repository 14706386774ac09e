//! Selectors as that tool compares and prints them.

use std::collections::BTreeSet;

use sekisho_manifest::{LabelSelector, Operator, Requirement};
use sekisho_model::Labels;

/// Label that every namespace carries.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Which pods a peer of a rule selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// Empty = all namespaces.
    pub(super) namespaces: LabelSelector,
    /// None = not given: all pods.
    pub(super) pods: Option<LabelSelector>,
}

impl Selected {
    /// Pods of the namespace of this name.
    pub(super) fn in_namespace(name: &str, pods: Option<LabelSelector>) -> Self {
        let labels = Labels::from([(NAME_LABEL.to_owned(), name.to_owned())]);
        Self { namespaces: LabelSelector::of(labels), pods }
    }

    /// Whether every pod is selected.
    pub(super) fn is_entire_cluster(&self) -> bool {
        self.namespaces.is_empty() && self.pods.as_ref().is_none_or(LabelSelector::is_empty)
    }

    /// What tells representative peers apart.
    pub(super) fn key(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let pods = self.pods.as_ref().map(requirements).unwrap_or_default();
        (requirements(&self.namespaces), pods)
    }

    /// Whether a rule with these selectors speaks about the peer that `of` stands for.
    pub(super) fn covers(&self, of: &Self) -> bool {
        let pods = match (&self.pods, &of.pods) {
            (None, _) => true,
            (Some(own), None) => own.is_empty(),
            (Some(own), Some(other)) => covers(own, other),
        };
        covers(&self.namespaces, &of.namespaces) && pods
    }

    /// Whether a pod that exists makes the representative peer superfluous: only where labels are
    /// asked for, of both pod and namespace, and by equality.
    pub(super) fn is_met_by(&self, namespace_labels: &Labels, labels: &Labels) -> bool {
        let Some(pods) = &self.pods else { return false };
        [(pods, labels), (&self.namespaces, namespace_labels)].into_iter().all(|(asked, of)| {
            asked.match_expressions.is_empty() && !asked.is_empty() && asked.matches(of)
        })
    }

    /// `[namespace with {team=a}]/[pod with {app=b}]`.
    pub(super) fn shown(&self) -> String {
        let namespaces = match named(&self.namespaces) {
            Some(name) => name.to_owned(),
            None if self.namespaces.is_empty() => "[all namespaces]".to_owned(),
            None => format!("[namespace with {{{}}}]", words(&self.namespaces)),
        };
        match self.pods.as_ref().filter(|pods| !pods.is_empty()) {
            None => format!("{namespaces}/[all pods]"),
            Some(pods) => format!("{namespaces}/[pod with {{{}}}]", words(pods)),
        }
    }
}

/// The one namespace that is asked for by its name.
fn named(selector: &LabelSelector) -> Option<&str> {
    let by_name = selector.match_labels.get(NAME_LABEL)?;
    let alone = selector.match_labels.len() == 1 && selector.match_expressions.is_empty();
    alone.then_some(by_name.as_str())
}

/// Whether `own` is empty or asks for the same as `other`.
fn covers(own: &LabelSelector, other: &LabelSelector) -> bool {
    own.is_empty() || requirements(own) == requirements(other)
}

/// What is asked for, whatever way it is written.
fn requirements(selector: &LabelSelector) -> BTreeSet<String> {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    labels.chain(selector.match_expressions.iter().map(requirement)).collect()
}

fn requirement(requirement: &Requirement) -> String {
    let Requirement { key, operator, values } = requirement;
    let values: BTreeSet<&str> = values.iter().map(String::as_str).collect();
    let values: Vec<&str> = values.into_iter().collect();
    match (operator, values.as_slice()) {
        (Operator::In, [value]) => format!("{key}={value}"),
        _several => format!("{key} {} ({})", spelled(*operator), values.join(",")),
    }
}

fn spelled(operator: Operator) -> &'static str {
    match operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
    }
}

fn words(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let mut expressions: Vec<String> = selector
        .match_expressions
        .iter()
        .map(|Requirement { key, operator, values }| {
            let (operator, values) = (spelled(*operator), values.join(" "));
            format!("{{Key:{key},Operator:{operator},Values:[{values}],}}")
        })
        .collect();
    expressions.sort();
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(operator: Operator, values: &[&str]) -> LabelSelector {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let match_expressions = vec![Requirement { key: "app".to_owned(), operator, values }];
        LabelSelector { match_expressions, ..LabelSelector::default() }
    }

    #[test]
    fn a_list_of_one_asks_for_equality() {
        let equal = LabelSelector::of(Labels::from([("app".to_owned(), "x".to_owned())]));
        assert!(covers(&asks(Operator::In, &["x"]), &equal));
        assert!(!covers(&asks(Operator::In, &["x", "y"]), &equal));
        assert!(covers(&asks(Operator::In, &["y", "x"]), &asks(Operator::In, &["x", "y"])));
        assert!(!covers(&asks(Operator::NotIn, &["x"]), &equal));
    }

    #[test]
    fn only_equality_of_both_labels_is_met_by_a_pod() {
        let labels = Labels::from([("app".to_owned(), "x".to_owned())]);
        let namespace = Labels::from([(NAME_LABEL.to_owned(), "web".to_owned())]);
        let met = |pods| Selected::in_namespace("web", pods).is_met_by(&namespace, &labels);
        assert!(met(Some(LabelSelector::of(labels.clone()))));
        assert!(!met(Some(asks(Operator::In, &["x"]))));
        assert!(!met(Some(LabelSelector::default())));
        assert!(!met(None));
    }
}
