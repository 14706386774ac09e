//! The kinds of objects that hold policy, and where the API server serves them.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};
use sekisho_manifest::Object;
use serde::{Deserialize, Serialize};

/// A kind of policy, or of what policies refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NativeKind {
    /// Its name in [`ObjectKey`]: as [`Object::kind`] says it.
    pub name: &'static str,
    /// API group.
    pub group: &'static str,
    /// Version that we write.
    pub version: &'static str,
    /// Kind as the API spells it.
    pub kind: &'static str,
    /// Name in the address.
    pub plural: &'static str,
    /// Whether its objects are in a namespace.
    pub namespaced: bool,
    /// Whether it is only referred to, as tiers and sets of networks are.
    pub referred: bool,
}

const fn kind(
    name: &'static str,
    (group, version): (&'static str, &'static str),
    plural: &'static str,
    (namespaced, referred): (bool, bool),
) -> NativeKind {
    NativeKind { name, group, version, kind: name, plural, namespaced, referred }
}

const POLICY_API: &str = "policy.networking.k8s.io";
const CILIUM: (&str, &str) = ("cilium.io", "v2");
const CALICO: (&str, &str) = ("projectcalico.org", "v3");
const IN_NAMESPACE: (bool, bool) = (true, false);
const CLUSTER_WIDE: (bool, bool) = (false, false);

/// All kinds, by name.
pub(crate) const KINDS: [NativeKind; 12] = [
    kind("AdminNetworkPolicy", (POLICY_API, "v1alpha1"), "adminnetworkpolicies", CLUSTER_WIDE),
    kind(
        "BaselineAdminNetworkPolicy",
        (POLICY_API, "v1alpha1"),
        "baselineadminnetworkpolicies",
        CLUSTER_WIDE,
    ),
    NativeKind {
        kind: "NetworkPolicy",
        ..kind("CalicoNetworkPolicy", CALICO, "networkpolicies", IN_NAMESPACE)
    },
    kind("CiliumCIDRGroup", CILIUM, "ciliumcidrgroups", (false, true)),
    kind(
        "CiliumClusterwideNetworkPolicy",
        CILIUM,
        "ciliumclusterwidenetworkpolicies",
        CLUSTER_WIDE,
    ),
    kind("CiliumNetworkPolicy", CILIUM, "ciliumnetworkpolicies", IN_NAMESPACE),
    kind("ClusterNetworkPolicy", (POLICY_API, "v1alpha2"), "clusternetworkpolicies", CLUSTER_WIDE),
    kind("GlobalNetworkPolicy", CALICO, "globalnetworkpolicies", CLUSTER_WIDE),
    kind("GlobalNetworkSet", CALICO, "globalnetworksets", (false, true)),
    kind("NetworkPolicy", ("networking.k8s.io", "v1"), "networkpolicies", IN_NAMESPACE),
    kind("NetworkSet", CALICO, "networksets", (true, true)),
    kind("Tier", CALICO, "tiers", (false, true)),
];

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Its kind, as [`Object::kind`] says it.
    pub kind: String,
    /// Its namespace; empty if it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// The key of `object`.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let meta = object.meta();
        Self {
            kind: object.kind().to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
        }
    }

    /// The kind; None if it holds no policy.
    #[must_use]
    pub fn native(&self) -> Option<&'static NativeKind> {
        KINDS.iter().find(|kind| kind.name == self.kind)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl NativeKind {
    /// Its resource, as role-based access control names it.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// The same for the client.
    pub(crate) fn api(&self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }
}

/// Whether objects of this kind are put into the cluster.
#[must_use]
pub fn is_native(object: &Object) -> bool {
    KINDS.iter().any(|kind| kind.name == object.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_the_reader_knows_is_found_by_its_own_name() {
        for kind in KINDS {
            let key = ObjectKey {
                kind: kind.name.to_owned(),
                namespace: String::new(),
                name: String::new(),
            };
            assert_eq!(key.native(), Some(&kind));
        }
        let pod = ObjectKey { kind: "Pod".to_owned(), namespace: "a".into(), name: "b".into() };
        assert_eq!(pod.native(), None);
        assert_eq!(pod.to_string(), "Pod a/b");
    }
}
