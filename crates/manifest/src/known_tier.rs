//! Names of the fields of policies in tiers (network-policy-api v1alpha1, v1alpha2, v1beta1).

pub(crate) const CLUSTER_SPEC: &[&str] = &["egress", "ingress", "priority", "subject", "tier"];
pub(crate) const ADMIN_SPEC: &[&str] = &["egress", "ingress", "priority", "subject"];
pub(crate) const BASELINE_SPEC: &[&str] = &["egress", "ingress", "subject"];
pub(crate) const SUBJECT: &[&str] = &["namespaces", "pods"];
pub(crate) const NAMESPACED_POD: &[&str] = &["namespaceSelector", "podSelector"];
pub(crate) const INGRESS_PEER: &[&str] = &["namespaces", "pods"];
pub(crate) const EGRESS_PEER: &[&str] = &["namespaces", "pods", "nodes", "networks", "domainNames"];
pub(crate) const BASELINE_EGRESS_PEER: &[&str] = &["namespaces", "pods", "nodes", "networks"];

pub(crate) const MATCH: &[&str] = &["tcp", "udp", "sctp", "destinationNamedPort"];
pub(crate) const MATCH_PROTOCOL: &[&str] = &["destinationPort"];
pub(crate) const MATCH_PORT: &[&str] = &["number", "range"];
pub(crate) const MATCH_RANGE: &[&str] = &["end", "start"];

pub(crate) const ADMIN_PORT: &[&str] = &["portNumber", "portRange", "namedPort"];
pub(crate) const PORT_NUMBER: &[&str] = &["port", "protocol"];
pub(crate) const PORT_RANGE: &[&str] = &["end", "protocol", "start"];
