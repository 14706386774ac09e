//! Names of the fields of Cilium's types.

pub(super) const OBJECT: &[&str] = &["apiVersion", "kind", "metadata", "spec", "specs", "status"];
pub(super) const SPEC: &[&str] = &[
    "description",
    "egress",
    "egressDeny",
    "enableDefaultDeny",
    "endpointSelector",
    "ingress",
    "ingressDeny",
    "labels",
    "log",
    "nodeSelector",
];
pub(super) const DEFAULT_DENY: &[&str] = &["egress", "ingress"];
pub(super) const LABEL: &[&str] = &["key", "source", "value"];
pub(super) const LOG: &[&str] = &["value"];
pub(super) const INGRESS: &[&str] = &[
    "authentication",
    "fromCIDR",
    "fromCIDRSet",
    "fromEndpoints",
    "fromEntities",
    "fromGroups",
    "fromNodes",
    "fromRequires",
    "icmps",
    "toPorts",
];
pub(super) const INGRESS_DENY: &[&str] = &[
    "fromCIDR",
    "fromCIDRSet",
    "fromEndpoints",
    "fromEntities",
    "fromGroups",
    "fromNodes",
    "fromRequires",
    "icmps",
    "toPorts",
];
pub(super) const EGRESS: &[&str] = &[
    "authentication",
    "icmps",
    "toCIDR",
    "toCIDRSet",
    "toEndpoints",
    "toEntities",
    "toFQDNs",
    "toGroups",
    "toNodes",
    "toPorts",
    "toRequires",
    "toServices",
];
pub(super) const EGRESS_DENY: &[&str] = &[
    "icmps",
    "toCIDR",
    "toCIDRSet",
    "toEndpoints",
    "toEntities",
    "toGroups",
    "toNodes",
    "toPorts",
    "toRequires",
    "toServices",
];
pub(super) const AUTHENTICATION: &[&str] = &["mode"];
pub(super) const CIDR_RULE: &[&str] = &["cidr", "cidrGroupRef", "cidrGroupSelector", "except"];
pub(super) const DOMAIN: &[&str] = &["matchName", "matchPattern"];
pub(super) const SERVICE: &[&str] = &["k8sService", "k8sServiceSelector"];
pub(super) const K8S_SERVICE: &[&str] = &["namespace", "serviceName"];
pub(super) const K8S_SERVICE_SELECTOR: &[&str] = &["namespace", "selector"];
pub(super) const GROUP: &[&str] = &["aws"];
pub(super) const AWS_GROUP: &[&str] =
    &["labels", "region", "securityGroupsIds", "securityGroupsNames"];
pub(super) const PORT_RULE: &[&str] =
    &["listener", "originatingTLS", "ports", "rules", "serverNames", "terminatingTLS"];
pub(super) const PORT_DENY_RULE: &[&str] = &["ports"];
pub(super) const PORT: &[&str] = &["endPort", "port", "protocol"];
pub(super) const TLS: &[&str] = &["certificate", "privateKey", "secret", "trustedCA"];
pub(super) const SECRET: &[&str] = &["name", "namespace"];
pub(super) const LISTENER: &[&str] = &["envoyConfig", "name", "priority"];
pub(super) const ENVOY_CONFIG: &[&str] = &["kind", "name"];
pub(super) const L7: &[&str] = &["dns", "http", "kafka", "l7", "l7proto"];
pub(super) const HTTP: &[&str] = &["headerMatches", "headers", "host", "method", "path"];
pub(super) const HEADER_MATCH: &[&str] = &["mismatch", "name", "secret", "value"];
pub(super) const KAFKA: &[&str] = &["apiKey", "apiVersion", "clientID", "role", "topic"];
pub(super) const ICMP_RULE: &[&str] = &["fields"];
pub(super) const ICMP_FIELD: &[&str] = &["family", "type"];
pub(super) const CIDR_GROUP_SPEC: &[&str] = &["externalCIDRs"];
