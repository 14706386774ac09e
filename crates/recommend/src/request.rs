//! What to propose policies for, and from what.

use std::collections::BTreeSet;

use sekisho_model::{Completeness, EdgeDay, TimeRange, WorkloadRef};
use sekisho_policy::{Cluster, RuleSet};
use serde::{Deserialize, Serialize};

use crate::Template;

/// Namespaces that keep a cluster alive: no policy for them unless asked by name.
pub(crate) const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// What to propose for, and from what.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Recorded history; may hold several rows per edge, in any order.
    pub history: &'a [EdgeDay],
    /// The cluster as it is now: labels, port names, nodes, Services.
    pub cluster: &'a Cluster,
    /// Which workloads get a policy.
    pub scope: Scope,
    /// The window that `history` covers.
    pub window: TimeRange,
    /// Completeness of that history.
    pub completeness: &'a Completeness,
    /// What kind of policies to propose.
    pub template: Template,
    /// Policies in force.
    pub existing: &'a RuleSet,
}

/// Which workloads get a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Only these namespaces; None = all but the system ones (`kube-system` and its kin).
    pub namespaces: Option<BTreeSet<String>>,
    /// Only this workload: `name`, `namespace/name` or `namespace/name[Kind]`. No default deny is
    /// proposed then.
    pub workload: Option<String>,
}

impl Scope {
    /// Whether `namespace` is in scope.
    #[must_use]
    pub fn has_namespace(&self, namespace: &str) -> bool {
        match &self.namespaces {
            Some(asked) => asked.contains(namespace),
            None => !SYSTEM_NAMESPACES.contains(&namespace),
        }
    }

    /// Whether `workload` is in scope.
    #[must_use]
    pub fn has_workload(&self, workload: &WorkloadRef) -> bool {
        let named = |asked: &String| {
            *asked == workload.name
                || *asked == format!("{}/{}", workload.namespace, workload.name)
                || *asked == workload.to_string()
        };
        self.has_namespace(&workload.namespace) && self.workload.as_ref().is_none_or(named)
    }
}
