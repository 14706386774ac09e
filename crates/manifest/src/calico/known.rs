//! Names of the fields of Calico's types.

pub(super) const NETWORK_POLICY_SPEC: &[&str] = &[
    "egress",
    "ingress",
    "order",
    "performanceHints",
    "selector",
    "serviceAccountSelector",
    "tier",
    "types",
];
pub(super) const GLOBAL_NETWORK_POLICY_SPEC: &[&str] = &[
    "applyOnForward",
    "doNotTrack",
    "egress",
    "ingress",
    "namespaceSelector",
    "order",
    "performanceHints",
    "preDNAT",
    "selector",
    "serviceAccountSelector",
    "tier",
    "types",
];
pub(super) const STAGED_ACTION: &str = "stagedAction";
pub(super) const RULE: &[&str] = &[
    "action",
    "destination",
    "http",
    "icmp",
    "ipVersion",
    "metadata",
    "notICMP",
    "notProtocol",
    "protocol",
    "source",
];
pub(super) const ENTITY: &[&str] = &[
    "domains",
    "namespaceSelector",
    "nets",
    "notNets",
    "notPorts",
    "notSelector",
    "ports",
    "selector",
    "serviceAccounts",
    "services",
];
pub(super) const ICMP: &[&str] = &["code", "type"];
pub(super) const SERVICE_ACCOUNTS: &[&str] = &["names", "selector"];
pub(super) const SERVICES: &[&str] = &["name", "namespace"];
pub(super) const HTTP: &[&str] = &["methods", "paths"];
pub(super) const HTTP_PATH: &[&str] = &["exact", "prefix"];
pub(super) const RULE_METADATA: &[&str] = &["annotations"];
pub(super) const NETWORK_SET_SPEC: &[&str] = &["allowedEgressDomains", "nets"];
pub(super) const TIER_SPEC: &[&str] = &["defaultAction", "order"];
