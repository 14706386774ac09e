//! Names of policies: the workload's, unless that is taken.

use std::collections::BTreeSet;

use sekisho_manifest::Object;
use sekisho_policy::RuleSet;

use crate::groups::{Group, Groups};
use crate::propose::MANAGED_BY;

/// Names that are taken, by namespace and name.
#[derive(Debug)]
pub(crate) struct Names {
    taken: BTreeSet<(String, String)>,
}

impl Names {
    /// Policies of others keep their names; our own are replaced by new ones of the same name.
    pub(crate) fn new(existing: &RuleSet) -> Self {
        let (key, value) = MANAGED_BY;
        let foreign = existing
            .policies()
            .iter()
            .filter(|policy| policy.meta.labels.get(key).is_none_or(|found| found != value));
        let name = |policy: &sekisho_manifest::NetworkPolicy| {
            (policy.meta.namespace.clone(), policy.meta.name.clone())
        };
        let wide = existing.others().iter().filter(|object| match object {
            Object::TierPolicy(policy) => {
                policy.meta.labels.get(key).is_none_or(|found| found != value)
            }
            _other => false,
        });
        let wide = wide.map(|object| (String::new(), object.meta().name.clone()));
        Self { taken: foreign.map(name).chain(wide).collect() }
    }

    /// The name for a group's policy: the workload's, with its kind if another workload of the
    /// namespace has the same name.
    pub(crate) fn of(&mut self, groups: &Groups<'_>, group: &Group<'_>) -> String {
        let namesakes = groups
            .iter()
            .filter(|(_, other)| other.namespace == group.namespace && other.name() == group.name())
            .count();
        let with_kind = || format!("{}-{}", group.kind().to_ascii_lowercase(), group.name());
        let reserved = group.name() == "default-deny" || group.name().starts_with("ring-fence");
        let wanted = if namesakes > 1 || reserved { with_kind() } else { group.name().to_owned() };
        self.take(&group.namespace, &wanted)
    }

    /// Takes `wanted`, or the next free name after it.
    pub(crate) fn take(&mut self, namespace: &str, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2_u32;
        while !self.taken.insert((namespace.to_owned(), name.clone())) {
            name = if number == 2 {
                format!("{wanted}-sekisho")
            } else {
                format!("{wanted}-sekisho-{}", number - 1)
            };
            number = number.saturating_add(1);
        }
        name
    }
}
