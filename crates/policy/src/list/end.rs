//! The ends of listed connections, and their names.

use std::fmt;
use std::net::IpAddr;

use sekisho_model::WorkloadRef;

/// One end of listed connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// External addresses, from the first to the last.
    Addresses(IpAddr, IpAddr),
    /// An external end that is known by DNS name only.
    Domain(String),
    /// A workload, or those of its pods that policies tell from the others.
    Workload {
        /// Which.
        workload: WorkloadRef,
        /// Which of its pods, in words (`app=web,!canary`); empty = all.
        identity: String,
    },
    /// A single pod or host.
    Pod {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// What stands before Services that Ingress or Route objects expose: some pod of the cluster,
    /// of unknown labels.
    IngressController,
}

/// Name of the pod that stands for all ingress controllers, as np-guard/netpol-analyzer has it.
pub(crate) const CONTROLLER_NAME: &str = "ingress-controller";
/// Its namespace.
pub(crate) const CONTROLLER_NAMESPACE: &str = "ingress-controller-ns";

impl End {
    /// A whole workload.
    pub(crate) fn workload(workload: &WorkloadRef) -> Self {
        Self::Workload { workload: workload.clone(), identity: String::new() }
    }

    /// Whether the end is outside the cluster.
    #[must_use]
    pub fn is_external(&self) -> bool {
        match self {
            Self::Addresses(..) | Self::Domain(_) => true,
            Self::Workload { .. } | Self::Pod { .. } | Self::IngressController => false,
        }
    }

    /// Whether this is some of the pods of the workload `whole`.
    #[must_use]
    pub fn is_part_of(&self, whole: &Self) -> bool {
        match (self, whole) {
            (Self::Workload { workload, .. }, Self::Workload { workload: of, identity }) => {
                identity.is_empty() && workload == of
            }
            (
                Self::Addresses(..)
                | Self::Domain(_)
                | Self::Workload { .. }
                | Self::Pod { .. }
                | Self::IngressController,
                _,
            ) => false,
        }
    }

    /// Whether `name` (`name` or `namespace/name`) means this end.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let is = |namespace: &str, own: &str| match name.split_once('/') {
            Some((wanted, rest)) => wanted == namespace && rest == own,
            None => name == own,
        };
        match self {
            Self::Addresses(..) => false,
            Self::Domain(own) => name == own,
            Self::Workload { workload, .. } => is(&workload.namespace, &workload.name),
            Self::Pod { namespace, name: own } => is(namespace, own),
            Self::IngressController => is(CONTROLLER_NAMESPACE, CONTROLLER_NAME),
        }
    }
}

/// `namespace/name[Kind]`, with `{app=web}` behind it for some of its pods; `namespace/name` for a
/// pod; `low-high` for addresses; the name for a domain.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(first, last) => write!(f, "{first}-{last}"),
            Self::Domain(name) => f.write_str(name),
            Self::Workload { workload, identity } if identity.is_empty() => workload.fmt(f),
            Self::Workload { workload, identity } => write!(f, "{workload}{{{identity}}}"),
            Self::Pod { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::IngressController => write!(f, "{{{CONTROLLER_NAME}}}"),
        }
    }
}
