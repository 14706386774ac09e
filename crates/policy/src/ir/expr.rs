//! Boolean expressions over the labels of pods, namespaces and service accounts.

use sekisho_manifest::{LabelSelector, Requirement};
use sekisho_model::Labels;

/// What selectors of every kind become. Selects pods and hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expr {
    /// Everything.
    All,
    /// Nothing.
    None,
    /// What the inner expression does not select.
    Not(Box<Self>),
    /// What all select; empty = everything.
    And(Vec<Self>),
    /// What any selects; empty = nothing.
    Or(Vec<Self>),
    /// What passes the test.
    Test(Test),
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// Is in the namespace of this name.
    Namespace(String),
    /// Runs as the service account of this name (of its own namespace).
    ServiceAccount(String),
    /// A label, compared as Kubernetes does.
    Label(Scope, Requirement),
    /// A label, compared as text (Calico).
    Text(Scope, TextTest),
}

/// Whose labels are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Those of the pod or host.
    Pod,
    /// Those of its namespace.
    Namespace,
    /// Those of its service account.
    ServiceAccount,
}

/// A comparison of a label's text; a missing label never passes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextTest {
    /// Key of the label.
    pub key: String,
    /// How the value is compared.
    pub operator: TextOperator,
    /// With what.
    pub text: String,
}

/// How texts are compared (Calico selectors: `contains`, `starts with`, `ends with`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextOperator {
    /// The text is somewhere in the value.
    Contains,
    /// The value starts with the text.
    StartsWith,
    /// The value ends with the text.
    EndsWith,
}

/// What an expression is asked about: a pod or host, or one that might come to be.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Labels of the namespace.
    pub namespace_labels: &'a Labels,
    /// Own labels.
    pub labels: &'a Labels,
    /// Name of the service account.
    pub service_account: Option<&'a str>,
    /// Labels of the service account.
    pub service_account_labels: &'a Labels,
}

impl Expr {
    /// Both; simplifies where one side is trivial.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, one) | (one, Self::All) => one,
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::And(mut all), Self::And(more)) => {
                all.extend(more);
                Self::And(all)
            }
            (Self::And(mut all), one) | (one, Self::And(mut all)) => {
                all.push(one);
                Self::And(all)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }

    /// The opposite.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::All => Self::None,
            Self::None => Self::All,
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// In the namespace `name`.
    #[must_use]
    pub fn namespace(name: &str) -> Self {
        Self::Test(Test::Namespace(name.to_owned()))
    }

    /// A Kubernetes label selector over the labels of `scope`.
    #[must_use]
    pub fn selector(scope: Scope, selector: &LabelSelector) -> Self {
        let equal = selector.match_labels.iter().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: sekisho_manifest::Operator::In,
            values: vec![value.clone()],
        });
        let all = equal.chain(selector.match_expressions.iter().cloned());
        all.map(|requirement| Self::Test(Test::Label(scope, requirement)))
            .fold(Self::All, Self::and)
    }

    /// Whether the subject is selected.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Not(inner) => !inner.matches(subject),
            Self::And(all) => all.iter().all(|one| one.matches(subject)),
            Self::Or(any) => any.iter().any(|one| one.matches(subject)),
            Self::Test(test) => test.passes(subject),
        }
    }
}

impl Test {
    fn passes(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Namespace(name) => subject.namespace == name,
            Self::ServiceAccount(name) => subject.service_account == Some(name),
            Self::Label(scope, requirement) => requirement.matches(scope.labels(subject)),
            Self::Text(scope, test) => {
                scope.labels(subject).get(&test.key).is_some_and(|value| match test.operator {
                    TextOperator::Contains => value.contains(&test.text),
                    TextOperator::StartsWith => value.starts_with(&test.text),
                    TextOperator::EndsWith => value.ends_with(&test.text),
                })
            }
        }
    }
}

impl Scope {
    /// The labels of the subject in this scope.
    #[must_use]
    pub fn labels<'a>(self, subject: &Subject<'a>) -> &'a Labels {
        match self {
            Self::Pod => subject.labels,
            Self::Namespace => subject.namespace_labels,
            Self::ServiceAccount => subject.service_account_labels,
        }
    }
}
