//! Kubernetes objects as text: parse with exact positions, print.
//!
//! Every type holds the fields Sekisho needs, named as in the Kubernetes API; the rest of an object
//! is checked for known field names and then dropped. Both YAML and JSON, several documents in one
//! text, and `List` kinds are read. [`parse`] is pure: reading files is the caller's work.

mod object;
mod policy;
mod selector;
mod workload;

pub use object::{
    Host, Meta, Namespace, Node, Object, OtherObject, OwnerRef, Position, Service, ServicePort,
};
pub use policy::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule};
pub use selector::{LabelSelector, Operator, Requirement};
pub use workload::{
    Container, ContainerPort, Pod, PodPhase, PodSpec, PodStatus, PodTemplate, PortRef, Probe,
    ProbeAction, RestartPolicy, Workload, WorkloadKind,
};
