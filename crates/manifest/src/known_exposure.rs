//! Names of the fields of objects that expose Services (Kubernetes v1.34, Gateway API v1.4 with its
//! experimental channel, OpenShift route.openshift.io/v1).

pub(crate) const SERVICE_ACCOUNT: &[&str] = &[
    "apiVersion",
    "automountServiceAccountToken",
    "imagePullSecrets",
    "kind",
    "metadata",
    "secrets",
];

pub(crate) const INGRESS_SPEC: &[&str] = &["defaultBackend", "ingressClassName", "rules", "tls"];
pub(crate) const INGRESS_RULE: &[&str] = &["host", "http"];
pub(crate) const INGRESS_HTTP: &[&str] = &["paths"];
pub(crate) const INGRESS_PATH: &[&str] = &["backend", "path", "pathType"];
pub(crate) const INGRESS_BACKEND: &[&str] = &["resource", "service"];
pub(crate) const INGRESS_SERVICE: &[&str] = &["name", "port"];
pub(crate) const INGRESS_PORT: &[&str] = &["name", "number"];
pub(crate) const INGRESS_RESOURCE: &[&str] = &["apiGroup", "kind", "name"];
pub(crate) const INGRESS_TLS: &[&str] = &["hosts", "secretName"];

pub(crate) const ROUTE_SPEC: &[&str] = &[
    "alternateBackends",
    "host",
    "httpHeaders",
    "path",
    "port",
    "subdomain",
    "tls",
    "to",
    "wildcardPolicy",
];
pub(crate) const ROUTE_TARGET: &[&str] = &["kind", "name", "weight"];
pub(crate) const ROUTE_PORT: &[&str] = &["targetPort"];
pub(crate) const ROUTE_TLS: &[&str] = &[
    "caCertificate",
    "certificate",
    "destinationCACertificate",
    "externalCertificate",
    "insecureEdgeTerminationPolicy",
    "key",
    "termination",
];

pub(crate) const GATEWAY_SPEC: &[&str] = &[
    "addresses",
    "allowedListeners",
    "backendTLS",
    "defaultScope",
    "gatewayClassName",
    "infrastructure",
    "listeners",
    "tls",
];
pub(crate) const GATEWAY_INFRASTRUCTURE: &[&str] = &["annotations", "labels", "parametersRef"];
pub(crate) const LISTENER: &[&str] =
    &["allowedRoutes", "hostname", "name", "port", "protocol", "tls"];
pub(crate) const ALLOWED_ROUTES: &[&str] = &["kinds", "namespaces"];
pub(crate) const ROUTE_NAMESPACES: &[&str] = &["from", "selector"];
pub(crate) const ROUTE_KIND: &[&str] = &["group", "kind"];

pub(crate) const NAMED_ROUTE_SPEC: &[&str] =
    &["hostnames", "parentRefs", "rules", "useDefaultGateways"];
pub(crate) const PLAIN_ROUTE_SPEC: &[&str] = &["parentRefs", "rules", "useDefaultGateways"];
pub(crate) const PARENT_REF: &[&str] =
    &["group", "kind", "name", "namespace", "port", "sectionName"];
pub(crate) const HTTP_ROUTE_RULE: &[&str] =
    &["backendRefs", "filters", "matches", "name", "retry", "sessionPersistence", "timeouts"];
pub(crate) const GRPC_ROUTE_RULE: &[&str] =
    &["backendRefs", "filters", "matches", "name", "sessionPersistence"];
pub(crate) const PLAIN_ROUTE_RULE: &[&str] = &["backendRefs", "name"];
pub(crate) const BACKEND_REF: &[&str] = &["group", "kind", "name", "namespace", "port", "weight"];
pub(crate) const FILTERED_BACKEND_REF: &[&str] =
    &["filters", "group", "kind", "name", "namespace", "port", "weight"];
pub(crate) const FILTER: &[&str] = &[
    "cors",
    "extensionRef",
    "externalAuth",
    "requestHeaderModifier",
    "requestMirror",
    "requestRedirect",
    "responseHeaderModifier",
    "type",
    "urlRewrite",
];
pub(crate) const MIRROR: &[&str] = &["backendRef", "fraction", "percent"];
pub(crate) const MIRROR_REF: &[&str] = &["group", "kind", "name", "namespace", "port"];

pub(crate) const GRANT_SPEC: &[&str] = &["from", "to"];
pub(crate) const GRANT_FROM: &[&str] = &["group", "kind", "namespace"];
pub(crate) const GRANT_TO: &[&str] = &["group", "kind", "name"];
