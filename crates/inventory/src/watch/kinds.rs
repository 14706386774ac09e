//! The kinds that are watched, and what is kept of each.
//!
//! The table follows what `sekisho-manifest` reads; which of them a cluster has, and how their
//! resources are called, is asked of the API server (`discovery`).

use kube::core::ApiResource;

/// What is kept of an object: the rest never leaves the follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Name, labels, annotations. Only metadata is asked of the API server.
    Bare,
    /// Name and owner, to lead from a pod to its workload. Only metadata is asked.
    Link,
    /// Addresses, node, ports, images. No commands and no environment: these hold secrets.
    Pod,
    /// What makes pods: the labels, ports and images of its template.
    Template,
    /// Addresses, ports and selector.
    Service,
    /// Addresses and ports; only of slices that no controller makes from a selector, as those say
    /// nothing that pods and Services do not.
    Slice,
    /// Addresses and pod ranges.
    Node,
    /// The whole `spec`: a field that we don't know may change what a policy means.
    Spec,
}

impl Form {
    /// Whether the API server is asked for metadata only (Kubernetes PartialObjectMetadata).
    pub(crate) fn is_metadata(self) -> bool {
        match self {
            Self::Bare | Self::Link => true,
            Self::Pod | Self::Template | Self::Service | Self::Slice | Self::Node | Self::Spec => {
                false
            }
        }
    }
}

/// Slices of the controller that follows selectors (k8s.io/endpointslice controller name).
const NOT_FROM_SELECTORS: &str =
    "endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io";

impl Form {
    /// Labels that an object must have, for the API server to leave out all others.
    pub(crate) fn labels(self) -> Option<&'static str> {
        match self {
            Self::Slice => Some(NOT_FROM_SELECTORS),
            Self::Bare
            | Self::Link
            | Self::Pod
            | Self::Template
            | Self::Service
            | Self::Node
            | Self::Spec => None,
        }
    }
}

/// Kinds of one group that share versions.
pub(crate) struct Family {
    /// API group; empty for the core group.
    pub(crate) group: &'static str,
    /// Versions that we read, the one to prefer first.
    pub(crate) versions: &'static [&'static str],
    /// Kinds, each with what is kept of it.
    pub(crate) kinds: &'static [(&'static str, Form)],
}

/// Groups of which one alone is watched, as both serve the same objects: the first that is there.
pub(crate) const SAME_OBJECTS: &[&str] = &["projectcalico.org", "crd.projectcalico.org"];

/// Groups that are part of every API server.
pub(crate) const BUILT_IN: &[&str] =
    &["", "apps", "batch", "discovery.k8s.io", "networking.k8s.io"];

const CALICO: &[(&str, Form)] = &[
    ("NetworkPolicy", Form::Spec),
    ("GlobalNetworkPolicy", Form::Spec),
    ("NetworkSet", Form::Spec),
    ("GlobalNetworkSet", Form::Spec),
    ("Tier", Form::Spec),
];

/// All kinds that are watched where the cluster has them.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        group: "",
        versions: &["v1"],
        kinds: &[
            ("Namespace", Form::Bare),
            ("Node", Form::Node),
            ("Pod", Form::Pod),
            ("Service", Form::Service),
            ("ServiceAccount", Form::Bare),
            ("ReplicationController", Form::Template),
        ],
    },
    Family {
        group: "apps",
        versions: &["v1"],
        kinds: &[
            ("Deployment", Form::Template),
            ("StatefulSet", Form::Template),
            ("DaemonSet", Form::Template),
            ("ReplicaSet", Form::Link),
        ],
    },
    Family {
        group: "batch",
        versions: &["v1"],
        kinds: &[("CronJob", Form::Template), ("Job", Form::Link)],
    },
    Family {
        group: "discovery.k8s.io",
        versions: &["v1"],
        kinds: &[("EndpointSlice", Form::Slice)],
    },
    Family {
        group: "networking.k8s.io",
        versions: &["v1"],
        kinds: &[("NetworkPolicy", Form::Spec), ("Ingress", Form::Spec)],
    },
    Family {
        group: "policy.networking.k8s.io",
        versions: &["v1beta1", "v1alpha2"],
        kinds: &[("ClusterNetworkPolicy", Form::Spec)],
    },
    Family {
        group: "policy.networking.k8s.io",
        versions: &["v1alpha1"],
        kinds: &[("AdminNetworkPolicy", Form::Spec), ("BaselineAdminNetworkPolicy", Form::Spec)],
    },
    Family {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1beta1"],
        kinds: &[("Gateway", Form::Spec), ("HTTPRoute", Form::Spec)],
    },
    Family {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1beta1", "v1alpha2"],
        kinds: &[("ReferenceGrant", Form::Spec)],
    },
    Family {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1alpha2"],
        kinds: &[("GRPCRoute", Form::Spec), ("TCPRoute", Form::Spec), ("UDPRoute", Form::Spec)],
    },
    Family {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1alpha3", "v1alpha2"],
        kinds: &[("TLSRoute", Form::Spec)],
    },
    Family { group: "route.openshift.io", versions: &["v1"], kinds: &[("Route", Form::Spec)] },
    Family {
        group: "cilium.io",
        versions: &["v2"],
        kinds: &[
            ("CiliumNetworkPolicy", Form::Spec),
            ("CiliumClusterwideNetworkPolicy", Form::Spec),
        ],
    },
    Family {
        group: "cilium.io",
        versions: &["v2", "v2alpha1"],
        kinds: &[("CiliumCIDRGroup", Form::Spec)],
    },
    Family { group: "projectcalico.org", versions: &["v3"], kinds: CALICO },
    Family { group: "crd.projectcalico.org", versions: &["v1"], kinds: CALICO },
    Family { group: "sekisho.dev", versions: &["v1alpha1"], kinds: &[("Host", Form::Spec)] },
];

/// A kind as this cluster serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Group, version, kind and plural.
    pub(crate) resource: ApiResource,
    /// What is kept.
    pub(crate) form: Form,
}

impl Served {
    /// The kind as [`sekisho_manifest::Object::kind`] spells it.
    pub(crate) fn kind(&self) -> String {
        let calico = SAME_OBJECTS.contains(&self.resource.group.as_str());
        match self.resource.kind.as_str() {
            "NetworkPolicy" if calico => "CalicoNetworkPolicy".to_owned(),
            kind => kind.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_knows_every_kind_that_is_watched() {
        for family in FAMILIES {
            for (version, (kind, form)) in family
                .versions
                .iter()
                .flat_map(|version| family.kinds.iter().map(move |k| (version, k)))
            {
                if *form == Form::Link {
                    continue;
                }
                let slash = if family.group.is_empty() { "" } else { "/" };
                let text = format!(
                    r#"{{"apiVersion":"{}{slash}{version}","kind":"{kind}","metadata":{{"name":"a"}}}}"#,
                    family.group
                );
                let reading = sekisho_manifest::read("test", &text);
                let other = reading
                    .objects
                    .iter()
                    .any(|object| matches!(object, sekisho_manifest::Object::Other(_)));
                assert!(!other, "{text}");
            }
        }
    }
}
