//! Kubernetes objects as text: parse with exact positions, print.
//!
//! Every type holds the fields Sekisho needs, named as in the Kubernetes API; the rest of an object
//! is checked for known field names and then dropped. Both YAML and JSON, several documents in one
//! text, and `List` kinds are read. [`parse`] is pure: reading files is the caller's work.

mod at;
pub mod calico;
mod check;
pub mod cilium;
mod error;
mod exposure;
mod json;
mod json_exposure;
mod json_tier;
mod known;
mod known_exposure;
mod known_tier;
mod metered;
mod object;
mod outline;
mod policy;
mod print;
mod print_tier;
mod read_gateway;
mod read_ingress;
mod read_meta;
mod read_object;
mod read_policy;
mod read_tier;
mod read_workload;
mod repair;
mod scalar;
mod selector;
mod slice;
mod tier;
mod tree;
mod workload;

pub use error::ManifestError;

pub use exposure::{
    BackendRef, Exposure, Gateway, GatewayListener, GatewayRoute, GatewayRouteKind,
    GatewayRouteRule, GrantFrom, GrantTo, Ingress, IngressBackend, IngressPath, IngressRule,
    ParentRef, PathType, ReferenceGrant, Route, RouteBackend, RouteTls, RoutesFrom, ServiceAccount,
};
pub use json::to_json;
pub use object::{
    Host, Meta, Namespace, Node, Object, OtherObject, OwnerRef, Position, Service, ServicePort,
};
pub use outline::{
    OUTLINE_BYTES_MAX, Outline, OutlineEntry, OutlineError, OutlineValue, outline, outline_whole,
};
pub use policy::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule};
pub use print::print_policy;
pub use print_tier::print_tier_policy;
pub use read_object::{Reading, parse, read};
pub use selector::{LabelSelector, Operator, Requirement};
pub use slice::{EndpointSlice, SlicePort};
pub use tier::{
    Tier, TierAction, TierPeer, TierPolicy, TierPolicyKind, TierPort, TierRule, TierSubject,
};
pub use tree::TEXT_BYTES_MAX;
pub use workload::{
    Container, ContainerPort, Pod, PodPhase, PodSpec, PodStatus, PodTemplate, PortRef, Probe,
    ProbeAction, RestartPolicy, Workload, WorkloadKind,
};
