//! Calico's selectors as expressions (libcalico-go/lib/backend/syncersv1/updateprocessors).
//!
//! Calico gives endpoints the labels of their namespace and service account under the prefixes
//! `pcns.` and `pcsa.`, and some of its own under `projectcalico.org/`. Selectors of every kind are
//! first written over these labels, and then either become an [`Expr`] or are asked of the labels
//! of a network set.

use std::collections::BTreeMap;

use sekisho_manifest::calico::{Entity, NetworkSet, Selector};
use sekisho_manifest::{Operator, Requirement};
use sekisho_model::Labels;

use super::context::any;
use crate::ir::{Expr, Scope, Test, TextOperator, TextTest};

const NAMESPACE: &str = "projectcalico.org/namespace";
const SERVICE_ACCOUNT: &str = "projectcalico.org/serviceaccount";
const ORCHESTRATOR: &str = "projectcalico.org/orchestrator";
const KUBERNETES: &str = "k8s";
/// The name of a namespace or service account among its labels.
const NAME: &str = "projectcalico.org/name";
const NAMESPACE_PREFIX: &str = "pcns.";
const SERVICE_ACCOUNT_PREFIX: &str = "pcsa.";
/// Label that every namespace carries (Kubernetes v1.34, NamespaceDefaultLabelName).
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The selector of an end of a rule, over all labels; None = there is no selector of any kind, so
/// that ends that are neither endpoints nor network sets match too. `own` is the namespace of a
/// NetworkPolicy.
pub(super) fn of_entity(entity: &Entity, own: Option<&str>) -> Option<Selector> {
    let mut parts = Vec::new();
    if let Some(accounts) = &entity.service_accounts {
        let selector = accounts.selector.as_ref();
        parts.extend(selector.map(|selector| prefixed(selector, SERVICE_ACCOUNT_PREFIX)));
        if !accounts.names.is_empty() {
            parts.push(Selector::In(SERVICE_ACCOUNT.to_owned(), accounts.names.clone()));
        }
    }
    parts.extend(entity.selector.clone());
    let is_selected = !parts.is_empty() || entity.not_selector.is_some();
    match (&entity.namespace_selector, own) {
        (Some(namespaces), _) => parts.push(prefixed(namespaces, NAMESPACE_PREFIX)),
        // As soon as any of the selectors is used, a NetworkPolicy stays in its namespace.
        (None, Some(own)) if is_selected => parts.push(in_namespace(own)),
        (None, Some(_) | None) => {}
    }
    all(parts)
}

/// Which endpoints a policy is about.
pub(super) fn of_policy(
    selector: &Selector,
    namespaces: Option<&Selector>,
    service_accounts: Option<&Selector>,
    own: Option<&str>,
) -> Selector {
    let mut parts: Vec<Selector> = own.map(in_namespace).into_iter().collect();
    parts.extend(namespaces.map(|it| prefixed(it, NAMESPACE_PREFIX)));
    parts.extend(service_accounts.map(|it| prefixed(it, SERVICE_ACCOUNT_PREFIX)));
    parts.push(selector.clone());
    all(parts).unwrap_or(Selector::All)
}

fn in_namespace(name: &str) -> Selector {
    Selector::Equal(NAMESPACE.to_owned(), name.to_owned())
}

fn all(mut parts: Vec<Selector>) -> Option<Selector> {
    if parts.len() > 1 { Some(Selector::And(parts)) } else { parts.pop() }
}

/// The selector over labels of namespaces or service accounts, as one over those of endpoints.
fn prefixed(selector: &Selector, prefix: &str) -> Selector {
    let key = |key: &String| format!("{prefix}{key}");
    let parts = |parts: &[Selector]| parts.iter().map(|part| prefixed(part, prefix)).collect();
    let in_any_namespace = || Selector::Has(NAMESPACE.to_owned());
    match selector {
        Selector::All if prefix == NAMESPACE_PREFIX => in_any_namespace(),
        Selector::All => Selector::All,
        Selector::Global => Selector::Not(Box::new(in_any_namespace())),
        Selector::Has(name) => Selector::Has(key(name)),
        Selector::Equal(name, value) => Selector::Equal(key(name), value.clone()),
        Selector::NotEqual(name, value) => Selector::NotEqual(key(name), value.clone()),
        Selector::In(name, values) => Selector::In(key(name), values.clone()),
        Selector::NotIn(name, values) => Selector::NotIn(key(name), values.clone()),
        Selector::Contains(name, text) => Selector::Contains(key(name), text.clone()),
        Selector::StartsWith(name, text) => Selector::StartsWith(key(name), text.clone()),
        Selector::EndsWith(name, text) => Selector::EndsWith(key(name), text.clone()),
        Selector::Not(inner) => Selector::Not(Box::new(prefixed(inner, prefix))),
        Selector::And(all) => Selector::And(parts(all)),
        Selector::Or(any) => Selector::Or(parts(any)),
    }
}

/// The labels of a network set, those of its namespace included.
pub(super) fn labels_of_set(set: &NetworkSet, namespaces: &BTreeMap<&str, &Labels>) -> Labels {
    let mut labels = set.meta.labels.clone();
    if set.is_global() {
        return labels;
    }
    let namespace = &set.meta.namespace;
    let mut add = |key: &str, value: &str| {
        labels.insert(format!("{NAMESPACE_PREFIX}{key}"), value.to_owned());
    };
    for (key, value) in namespaces.get(namespace.as_str()).into_iter().copied().flatten() {
        add(key, value);
    }
    add(NAMESPACE_NAME_LABEL, namespace);
    add(NAME, namespace);
    labels.insert(NAMESPACE.to_owned(), namespace.clone());
    labels
}

/// What a selector selects of pods and hosts.
pub(super) fn expression(selector: &Selector) -> Expr {
    let one = |key: &String, operator, values: &[String]| one_of(key, operator, values);
    let text = |key: &String, operator, text: &String| contains(key, operator, text);
    match selector {
        Selector::All => Expr::All,
        // Every endpoint is in a namespace.
        Selector::Global => Expr::None,
        Selector::Has(key) => one(key, Operator::Exists, &[]),
        Selector::Equal(key, value) => one(key, Operator::In, std::slice::from_ref(value)),
        Selector::NotEqual(key, value) => {
            one(key, Operator::In, std::slice::from_ref(value)).negated()
        }
        Selector::In(key, values) => one(key, Operator::In, values),
        Selector::NotIn(key, values) => one(key, Operator::In, values).negated(),
        Selector::Contains(key, part) => text(key, TextOperator::Contains, part),
        Selector::StartsWith(key, part) => text(key, TextOperator::StartsWith, part),
        Selector::EndsWith(key, part) => text(key, TextOperator::EndsWith, part),
        Selector::Not(inner) => expression(inner).negated(),
        Selector::And(all) => all.iter().map(expression).fold(Expr::All, Expr::and),
        Selector::Or(parts) => any(parts.iter().map(expression)),
    }
}

/// What a label of Calico is here.
enum Key<'k> {
    /// The name of the namespace.
    Namespace,
    /// The name of the service account.
    ServiceAccount,
    /// Always `k8s`.
    Orchestrator,
    /// A label of the pod, its namespace or its service account.
    Label(Scope, &'k str),
}

fn key(text: &str) -> Key<'_> {
    if let Some(name) = text.strip_prefix(NAMESPACE_PREFIX) {
        return if name == NAME { Key::Namespace } else { Key::Label(Scope::Namespace, name) };
    }
    if let Some(name) = text.strip_prefix(SERVICE_ACCOUNT_PREFIX) {
        let scope = Scope::ServiceAccount;
        return if name == NAME { Key::ServiceAccount } else { Key::Label(scope, name) };
    }
    match text {
        NAMESPACE => Key::Namespace,
        SERVICE_ACCOUNT => Key::ServiceAccount,
        ORCHESTRATOR => Key::Orchestrator,
        name => Key::Label(Scope::Pod, name),
    }
}

/// Exists, or In with any number of values.
fn one_of(text: &str, operator: Operator, values: &[String]) -> Expr {
    let named = |make: &dyn Fn(&str) -> Expr| match operator {
        Operator::In | Operator::NotIn => any(values.iter().map(|value| make(value))),
        // Every pod has these.
        Operator::Exists | Operator::DoesNotExist => Expr::All,
    };
    match key(text) {
        Key::Namespace => named(&Expr::namespace),
        Key::ServiceAccount => named(&|name| Expr::Test(Test::ServiceAccount(name.to_owned()))),
        Key::Orchestrator => named(&|name| if name == KUBERNETES { Expr::All } else { Expr::None }),
        Key::Label(..) if operator == Operator::In && values.is_empty() => Expr::None,
        Key::Label(scope, key) => Expr::Test(Test::Label(
            scope,
            Requirement { key: key.to_owned(), operator, values: values.to_vec() },
        )),
    }
}

fn contains(text: &str, operator: TextOperator, part: &str) -> Expr {
    let test = |scope, key: &str| {
        let test = TextTest { key: key.to_owned(), operator, text: part.to_owned() };
        Expr::Test(Test::Text(scope, test))
    };
    match key(text) {
        Key::Namespace => test(Scope::Namespace, NAMESPACE_NAME_LABEL),
        // Nothing asks for a part of the name of a service account.
        Key::ServiceAccount => Expr::None,
        Key::Orchestrator => {
            let holds = match operator {
                TextOperator::Contains => KUBERNETES.contains(part),
                TextOperator::StartsWith => KUBERNETES.starts_with(part),
                TextOperator::EndsWith => KUBERNETES.ends_with(part),
            };
            if holds { Expr::All } else { Expr::None }
        }
        Key::Label(scope, key) => test(scope, key),
    }
}
