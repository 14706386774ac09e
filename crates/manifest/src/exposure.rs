//! Objects that let traffic from outside reach Services: Ingress, Gateway API, OpenShift Route.
//!
//! Only what decides who is reached is kept: parents, host names, paths and backends. What a proxy
//! does to requests on the way (matches, headers, timeouts) is checked for known fields and dropped.

use sekisho_model::Labels;
use serde::{Deserialize, Serialize};

use crate::{LabelSelector, Meta, PortRef, Position};

/// An object that exposes Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exposure {
    /// networking.k8s.io/v1 Ingress.
    Ingress(Ingress),
    /// gateway.networking.k8s.io Gateway.
    Gateway(Gateway),
    /// gateway.networking.k8s.io HTTPRoute, GRPCRoute, TLSRoute, TCPRoute or UDPRoute.
    GatewayRoute(GatewayRoute),
    /// gateway.networking.k8s.io ReferenceGrant.
    ReferenceGrant(ReferenceGrant),
    /// route.openshift.io/v1 Route.
    Route(Route),
}

impl Exposure {
    /// The object's metadata.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Ingress(object) => &object.meta,
            Self::Gateway(object) => &object.meta,
            Self::GatewayRoute(object) => &object.meta,
            Self::ReferenceGrant(object) => &object.meta,
            Self::Route(object) => &object.meta,
        }
    }

    /// The object's metadata, to be changed.
    #[must_use]
    pub fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Ingress(object) => &mut object.meta,
            Self::Gateway(object) => &mut object.meta,
            Self::GatewayRoute(object) => &mut object.meta,
            Self::ReferenceGrant(object) => &mut object.meta,
            Self::Route(object) => &mut object.meta,
        }
    }

    /// The object's kind, as Kubernetes spells it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ingress(_) => "Ingress",
            Self::Gateway(_) => "Gateway",
            Self::GatewayRoute(object) => object.kind.as_str(),
            Self::ReferenceGrant(_) => "ReferenceGrant",
            Self::Route(_) => "Route",
        }
    }
}

/// v1 ServiceAccount: its labels are what Calico's serviceAccountSelector asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Metadata.
    pub meta: Meta,
}

/// networking.k8s.io/v1 Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// Metadata.
    pub meta: Meta,
    /// spec.ingressClassName.
    pub class: Option<String>,
    /// spec.defaultBackend: for what no rule matches.
    pub default_backend: Option<IngressBackend>,
    /// spec.rules.
    pub rules: Vec<IngressRule>,
}

/// spec.rules[] of an Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressRule {
    /// host, `*.` stands for one label; empty = any.
    pub host: String,
    /// http.paths; empty = all traffic of the host goes to the default backend.
    pub paths: Vec<IngressPath>,
    /// Where the rule stands.
    pub position: Position,
}

/// http.paths[] of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressPath {
    /// path; empty = any.
    pub path: String,
    /// pathType.
    pub path_type: PathType,
    /// backend.
    pub backend: IngressBackend,
    /// Where the path stands.
    pub position: Position,
}

/// pathType of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PathType {
    /// Exact.
    Exact,
    /// Prefix, by whole elements.
    Prefix,
    /// ImplementationSpecific.
    ImplementationSpecific,
}

impl PathType {
    /// The type as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
            Self::ImplementationSpecific => "ImplementationSpecific",
        }
    }
}

/// backend of a path, or the default one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IngressBackend {
    /// service, in the namespace of the Ingress.
    Service {
        /// name.
        name: String,
        /// port of the Service by number or name; not the port of the pod.
        port: PortRef,
    },
    /// resource: something else than a Service, in the namespace of the Ingress.
    Resource {
        /// kind.
        kind: String,
        /// name.
        name: String,
    },
}

/// gateway.networking.k8s.io Gateway (v1, v1beta1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Metadata.
    pub meta: Meta,
    /// spec.gatewayClassName.
    pub class: String,
    /// spec.listeners.
    pub listeners: Vec<GatewayListener>,
    /// spec.infrastructure.labels: what the pods of the gateway may carry.
    pub infrastructure_labels: Labels,
}

/// spec.listeners[] of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayListener {
    /// name, unique in its Gateway.
    pub name: String,
    /// hostname; None = any.
    pub hostname: Option<String>,
    /// port.
    pub port: u16,
    /// protocol: HTTP, HTTPS, TLS, TCP, UDP or another one with a domain prefix.
    pub protocol: String,
    /// allowedRoutes.namespaces.
    pub routes_from: RoutesFrom,
    /// allowedRoutes.kinds; empty = those that suit the protocol.
    pub route_kinds: Vec<String>,
    /// Where the listener stands.
    pub position: Position,
}

/// allowedRoutes.namespaces: whose routes may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoutesFrom {
    /// Those of the Gateway's namespace.
    #[default]
    Same,
    /// All.
    All,
    /// None.
    None,
    /// Those of the selected namespaces.
    Selector(LabelSelector),
}

/// A route of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRoute {
    /// Metadata.
    pub meta: Meta,
    /// Which of the five kinds.
    pub kind: GatewayRouteKind,
    /// spec.parentRefs; empty = attached to nothing.
    pub parents: Vec<ParentRef>,
    /// spec.hostnames; empty = those of the listener. Always empty in TCPRoute and UDPRoute.
    pub hostnames: Vec<String>,
    /// spec.rules.
    pub rules: Vec<GatewayRouteRule>,
}

/// The kinds of routes (gateway.networking.k8s.io).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GatewayRouteKind {
    /// HTTPRoute (v1, v1beta1).
    Http,
    /// GRPCRoute (v1, v1alpha2).
    Grpc,
    /// TLSRoute (v1, v1alpha3, v1alpha2).
    Tls,
    /// TCPRoute (v1, v1alpha2).
    Tcp,
    /// UDPRoute (v1alpha2).
    Udp,
}

impl GatewayRouteKind {
    /// The kind as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
            Self::Tcp => "TCPRoute",
            Self::Udp => "UDPRoute",
        }
    }
}

/// spec.parentRefs[] of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRef {
    /// group; `gateway.networking.k8s.io` if absent, empty = the core group.
    pub group: String,
    /// kind; `Gateway` if absent.
    pub kind: String,
    /// namespace; None = that of the route.
    pub namespace: Option<String>,
    /// name.
    pub name: String,
    /// sectionName: a listener (or Service port) by name; None = any.
    pub section: Option<String>,
    /// port: listeners (or Service ports) with this number; None = any.
    pub port: Option<u16>,
}

/// spec.rules[] of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRouteRule {
    /// backendRefs; empty = nothing is reached through this rule.
    pub backends: Vec<BackendRef>,
    /// backendRef of each RequestMirror filter, of the rule or of a backend: reached too.
    pub mirrors: Vec<BackendRef>,
    /// Where the rule stands.
    pub position: Position,
}

/// backendRefs[] of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRef {
    /// group; empty = the core group.
    pub group: String,
    /// kind; `Service` if absent.
    pub kind: String,
    /// namespace; None = that of the route. Another one needs a [`ReferenceGrant`] there.
    pub namespace: Option<String>,
    /// name.
    pub name: String,
    /// port of the Service (not of the pod); None only if the backend is none.
    pub port: Option<u16>,
    /// weight, 0 to 1,000,000; 0 = nothing is sent there. 1 if absent.
    pub weight: u32,
}

/// gateway.networking.k8s.io ReferenceGrant (v1, v1beta1): lets objects of other namespaces refer
/// to objects of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceGrant {
    /// Metadata.
    pub meta: Meta,
    /// spec.from: who may refer.
    pub from: Vec<GrantFrom>,
    /// spec.to: to what.
    pub to: Vec<GrantTo>,
}

/// spec.from[] of a ReferenceGrant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantFrom {
    /// group; empty = the core group.
    pub group: String,
    /// kind.
    pub kind: String,
    /// namespace.
    pub namespace: String,
}

/// spec.to[] of a ReferenceGrant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTo {
    /// group; empty = the core group.
    pub group: String,
    /// kind.
    pub kind: String,
    /// name; None = all of the kind.
    pub name: Option<String>,
}

/// route.openshift.io/v1 Route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Metadata.
    pub meta: Meta,
    /// spec.host; empty = the router makes one.
    pub host: String,
    /// spec.path; empty = any.
    pub path: String,
    /// spec.to, then spec.alternateBackends.
    pub backends: Vec<RouteBackend>,
    /// spec.port.targetPort: a port of the *pods* by number, or a port of the Service by name;
    /// None = all ports of the Service.
    pub target_port: Option<PortRef>,
    /// spec.tls.termination; None = not encrypted.
    pub tls: Option<RouteTls>,
}

/// spec.to or spec.alternateBackends[] of a Route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteBackend {
    /// name of the Service.
    pub service: String,
    /// weight, 0 to 256; 0 = nothing is sent there. 100 if absent.
    pub weight: u16,
}

/// spec.tls.termination of a Route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteTls {
    /// edge: up to the router.
    Edge,
    /// passthrough: up to the pod.
    Passthrough,
    /// reencrypt: up to the router, and anew up to the pod.
    Reencrypt,
}

impl RouteTls {
    /// The termination as OpenShift spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Passthrough => "passthrough",
            Self::Reencrypt => "reencrypt",
        }
    }
}
