//! Cilium's selectors over labels with sources (pkg/k8s/apis/cilium.io/utils, pkg/policy/api).

use sekisho_manifest::cilium::{EndpointSelector, Entity, LabelSource, LabelTest};
use sekisho_manifest::{LabelSelector, Operator, Requirement};

use super::cilium::entity;
use super::context::any;
use crate::ir::{Expr, PeerMatch, Scope as LabelScope, Test};

/// Label that says in which namespace a pod is.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Prefix of the labels that pods have of their namespace.
const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
const CLUSTER: &str = "io.cilium.k8s.policy.cluster";
/// Name of a cluster that was given none.
const CLUSTER_NAME: &str = "default";

/// Where a selector stands.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Namespace of the policy; None = clusterwide.
    pub(super) namespace: Option<&'a str>,
    /// Whether a class of ends (`reserved:`) lifts the limit to the namespace.
    pub(super) peer: bool,
}

/// What endpointSelector selects. It always stays in the namespace of the policy: a namespace that
/// is asked for by the label's full name is overwritten.
pub(super) fn subject(selector: &EndpointSelector, namespace: Option<&str>) -> Expr {
    let tests = selector.tests.iter().filter(|test| {
        namespace.is_none()
            || test.source != LabelSource::K8s
            || test.requirement.key != NAMESPACE
            || test.requirement.operator != Operator::In
    });
    let own = namespace.map_or(Expr::All, Expr::namespace);
    tests.map(endpoint_test).fold(own, Expr::and)
}

/// What fromEndpoints or toEndpoints selects: pods of the policy's namespace, or of all if the
/// policy is clusterwide, unless the selector names a namespace or a class of ends.
pub(super) fn peer(selector: &EndpointSelector, scope: Scope<'_>) -> PeerMatch {
    if selector.has_reserved() && scope.peer {
        return PeerMatch::All(selector.tests.iter().map(reserved_test).collect());
    }
    let own = match scope.namespace {
        Some(namespace) if !selector.has_key(NAMESPACE) => Expr::namespace(namespace),
        Some(_) | None => Expr::All,
    };
    PeerMatch::Endpoints(selector.tests.iter().map(endpoint_test).fold(own, Expr::and))
}

/// What a selector over labels of nodes selects.
pub(super) fn nodes(selector: &EndpointSelector) -> LabelSelector {
    plain(selector)
}

/// The selector without sources. A label of a foreign source is one that nothing has.
pub(super) fn plain(selector: &EndpointSelector) -> LabelSelector {
    let expressions = selector.tests.iter().map(|test| match &test.source {
        LabelSource::Any | LabelSource::K8s => test.requirement.clone(),
        LabelSource::Reserved | LabelSource::Other(_) => Requirement {
            key: format!("{}:{}", test.source.as_str(), test.requirement.key),
            ..test.requirement.clone()
        },
    });
    LabelSelector { match_expressions: expressions.collect(), ..LabelSelector::default() }
}

/// A test in a selector that speaks about classes of ends, nodes and external ones included.
fn reserved_test(test: &LabelTest) -> PeerMatch {
    let (positive, negated) = positive(test);
    let ends = if positive.source == LabelSource::Reserved {
        let all = Entity::ALL.into_iter();
        let mut found = all.filter(|one| one.as_str() == positive.requirement.key);
        // `reserved:all` is no label; a value other than the empty one is none either.
        let fits = positive.requirement.operator == Operator::Exists
            || positive.requirement.values.iter().any(String::is_empty);
        let ends = found.next().filter(|one| fits && *one != Entity::All);
        ends.map(entity).unwrap_or_default()
    } else {
        vec![PeerMatch::Endpoints(endpoint_test(&positive))]
    };
    // One of several ends, with what there is: not (not a and not b).
    let none = ends.into_iter().map(|one| PeerMatch::Not(Box::new(one))).collect();
    let none = PeerMatch::All(none);
    if negated { none } else { PeerMatch::Not(Box::new(none)) }
}

/// The test without negation, and whether it was negated.
fn positive(test: &LabelTest) -> (LabelTest, bool) {
    let (operator, negated) = match test.requirement.operator {
        Operator::In => (Operator::In, false),
        Operator::NotIn => (Operator::In, true),
        Operator::Exists => (Operator::Exists, false),
        Operator::DoesNotExist => (Operator::Exists, true),
    };
    let requirement = Requirement { operator, ..test.requirement.clone() };
    (LabelTest { source: test.source.clone(), requirement }, negated)
}

/// A test of a pod.
fn endpoint_test(test: &LabelTest) -> Expr {
    let (test, negated) = positive(test);
    let found = match test.source {
        LabelSource::Any | LabelSource::K8s => pod_test(test.requirement),
        // Pods have no such labels.
        LabelSource::Reserved | LabelSource::Other(_) => Expr::None,
    };
    if negated { found.negated() } else { found }
}

fn pod_test(requirement: Requirement) -> Expr {
    let one_of = |make: &dyn Fn(&str) -> Expr| match requirement.operator {
        Operator::In | Operator::NotIn => any(requirement.values.iter().map(|it| make(it))),
        // Every pod has it.
        Operator::Exists | Operator::DoesNotExist => Expr::All,
    };
    match requirement.key.as_str() {
        NAMESPACE => one_of(&Expr::namespace),
        SERVICE_ACCOUNT => one_of(&|name| Expr::Test(Test::ServiceAccount(name.to_owned()))),
        CLUSTER => one_of(&|name| if name == CLUSTER_NAME { Expr::All } else { Expr::None }),
        key => match key.strip_prefix(NAMESPACE_LABELS) {
            Some(key) => Expr::Test(Test::Label(
                LabelScope::Namespace,
                Requirement { key: key.to_owned(), ..requirement },
            )),
            None => Expr::Test(Test::Label(LabelScope::Pod, requirement)),
        },
    }
}
