//! A set of policies, ready to be asked.

use std::collections::BTreeMap;

use sekisho_manifest::{NetworkPolicy, Object};
use sekisho_model::Direction;
use serde::{Deserialize, Serialize};

use crate::ir::{Policy, Rulebook};
use crate::matching::{Facts, is_ordinary};
use crate::{Cluster, Dialect, Endpoint, PolicyName, lower};

/// Policies by kind, namespace and name; a later one of the same name replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Source", into = "Source")]
pub struct RuleSet {
    source: Source,
    book: Rulebook,
}

/// What a set is made of; the rest follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    policies: Vec<NetworkPolicy>,
    #[serde(default)]
    others: Vec<Object>,
    #[serde(default)]
    dialect: Dialect,
}

impl From<Source> for RuleSet {
    fn from(source: Source) -> Self {
        let book = lower::lower(&source.policies, &source.others, source.dialect);
        Self { source, book }
    }
}

impl From<RuleSet> for Source {
    fn from(set: RuleSet) -> Self {
        set.source
    }
}

impl RuleSet {
    /// Makes a set of NetworkPolicies, sorted by namespace and name.
    #[must_use]
    pub fn new(policies: impl IntoIterator<Item = NetworkPolicy>) -> Self {
        Self::of(policies, Vec::new(), Dialect::default())
    }

    /// Makes a set of the policies of every kind among `objects`, with what they refer to.
    #[must_use]
    pub fn from_objects(objects: &[Object], dialect: Dialect) -> Self {
        let policies = objects.iter().filter_map(|object| match object {
            Object::NetworkPolicy(policy) => Some(policy.clone()),
            _other => None,
        });
        let mut others = BTreeMap::new();
        let vendors = objects.iter().any(lower::is_of_vendor);
        for object in objects.iter().filter(|object| lower::is_used(object, vendors)) {
            let meta = object.meta();
            let key = (object.kind().to_owned(), meta.namespace.clone(), meta.name.clone());
            others.insert(key, object.clone());
        }
        Self::of(policies, others.into_values().collect(), dialect)
    }

    fn of(
        policies: impl IntoIterator<Item = NetworkPolicy>,
        others: Vec<Object>,
        dialect: Dialect,
    ) -> Self {
        let mut by_name = BTreeMap::new();
        for policy in policies {
            by_name.insert((policy.meta.namespace.clone(), policy.meta.name.clone()), policy);
        }
        Self::from(Source { policies: by_name.into_values().collect(), others, dialect })
    }

    /// The same with those of `objects` added or, where kind, namespace and name are the same,
    /// replaced.
    #[must_use]
    pub fn with(&self, objects: impl IntoIterator<Item = Object>) -> Self {
        let policies = self.source.policies.iter().cloned().map(Object::NetworkPolicy);
        let kept = policies.chain(self.source.others.iter().cloned());
        Self::from_objects(&kept.chain(objects).collect::<Vec<_>>(), self.source.dialect)
    }

    /// The same policies, read in another dialect.
    #[must_use]
    pub fn in_dialect(&self, dialect: Dialect) -> Self {
        Self::from(Source { dialect, ..self.source.clone() })
    }

    /// The NetworkPolicies, sorted by namespace and name.
    #[must_use]
    pub fn policies(&self) -> &[NetworkPolicy] {
        &self.source.policies
    }

    /// Policies of other kinds and what they refer to (tiers, network sets), sorted by kind,
    /// namespace and name.
    #[must_use]
    pub fn others(&self) -> &[Object] {
        &self.source.others
    }

    /// Whether there is no policy of any kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.book.tiers.iter().all(|tier| tier.policies.is_empty())
    }

    /// Whether a policy of any kind speaks about this pod or host as its subject.
    #[must_use]
    pub fn selects(&self, cluster: &Cluster, endpoint: &Endpoint) -> bool {
        let facts = Facts::of(cluster, endpoint);
        let subject = facts.subject();
        let mut policies = self.book.tiers.iter().flat_map(|tier| &tier.policies);
        is_ordinary(self.source.dialect, endpoint)
            && policies.any(|policy| policy.subject.matches(&subject))
    }

    /// The policies that speak about this pod or host as their subject, each with its directions; in
    /// the order of tiers.
    #[must_use]
    pub fn selecting(
        &self,
        cluster: &Cluster,
        endpoint: &Endpoint,
    ) -> Vec<(&PolicyName, Vec<Direction>)> {
        if !is_ordinary(self.source.dialect, endpoint) {
            return Vec::new();
        }
        let facts = Facts::of(cluster, endpoint);
        let subject = facts.subject();
        let policies = self.book.tiers.iter().flat_map(|tier| &tier.policies);
        let selecting = policies.filter(|policy| policy.subject.matches(&subject));
        let directions = |policy: &Policy| {
            let sides = [
                (Direction::Ingress, policy.ingress.is_some()),
                (Direction::Egress, policy.egress.is_some()),
            ];
            sides.into_iter().filter(|(_, speaks)| *speaks).map(|(way, _)| way).collect()
        };
        selecting.map(|policy| (&policy.name, directions(policy))).collect()
    }

    /// How the policies are read.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.source.dialect
    }

    /// All policies in one shape.
    #[must_use]
    pub fn rulebook(&self) -> &Rulebook {
        &self.book
    }
}
