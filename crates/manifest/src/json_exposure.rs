//! Writes objects that expose Services as Kubernetes JSON.

use serde_json::{Value, json};

use crate::json::{Fields, port_ref, selector};
use crate::{
    BackendRef, Exposure, Gateway, GatewayListener, GatewayRoute, GatewayRouteKind,
    GatewayRouteRule, GrantFrom, GrantTo, Ingress, IngressBackend, IngressPath, IngressRule,
    ParentRef, ReferenceGrant, Route, RouteBackend, RoutesFrom,
};

/// The apiVersion that an object is written in.
pub(crate) fn version(exposure: &Exposure) -> &'static str {
    match exposure {
        Exposure::Ingress(_) => "networking.k8s.io/v1",
        Exposure::Gateway(_) => "gateway.networking.k8s.io/v1",
        Exposure::GatewayRoute(route) => match route.kind {
            GatewayRouteKind::Http | GatewayRouteKind::Grpc => "gateway.networking.k8s.io/v1",
            GatewayRouteKind::Tls | GatewayRouteKind::Tcp | GatewayRouteKind::Udp => {
                "gateway.networking.k8s.io/v1alpha2"
            }
        },
        Exposure::ReferenceGrant(_) => "gateway.networking.k8s.io/v1beta1",
        Exposure::Route(_) => "route.openshift.io/v1",
    }
}

/// The spec of an object.
pub(crate) fn spec(exposure: &Exposure) -> Value {
    match exposure {
        Exposure::Ingress(ingress) => ingress_spec(ingress),
        Exposure::Gateway(gateway) => gateway_spec(gateway),
        Exposure::GatewayRoute(route) => gateway_route_spec(route),
        Exposure::ReferenceGrant(grant) => grant_spec(grant),
        Exposure::Route(route) => route_spec(route),
    }
}

fn list<T>(items: &[T], write: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(write).collect()
}

fn ingress_spec(ingress: &Ingress) -> Value {
    let mut out = Fields::default();
    out.put_some("ingressClassName", ingress.class.as_deref());
    out.put_some("defaultBackend", ingress.default_backend.as_ref().map(ingress_backend));
    out.put_list("rules", list(&ingress.rules, ingress_rule));
    out.done()
}

fn ingress_rule(rule: &IngressRule) -> Value {
    let mut out = Fields::default();
    out.put_text("host", &rule.host);
    if !rule.paths.is_empty() {
        out.put("http", json!({"paths": list(&rule.paths, ingress_path)}));
    }
    out.done()
}

fn ingress_path(path: &IngressPath) -> Value {
    let mut out = Fields::default();
    out.put_text("path", &path.path);
    out.put("pathType", path.path_type.as_str());
    out.put("backend", ingress_backend(&path.backend));
    out.done()
}

fn ingress_backend(backend: &IngressBackend) -> Value {
    match backend {
        IngressBackend::Service { name, port } => {
            let field = match port {
                crate::PortRef::Number(_) => "number",
                crate::PortRef::Name(_) => "name",
            };
            json!({"service": {"name": name, "port": {field: port_ref(port)}}})
        }
        IngressBackend::Resource { kind, name } => {
            json!({"resource": {"kind": kind, "name": name}})
        }
    }
}

fn gateway_spec(gateway: &Gateway) -> Value {
    let mut out = Fields::default();
    out.put("gatewayClassName", gateway.class.as_str());
    out.put_list("listeners", list(&gateway.listeners, listener));
    if !gateway.infrastructure_labels.is_empty() {
        out.put("infrastructure", json!({"labels": gateway.infrastructure_labels}));
    }
    out.done()
}

fn listener(listener: &GatewayListener) -> Value {
    let mut out = Fields::default();
    out.put("name", listener.name.as_str());
    out.put_some("hostname", listener.hostname.as_deref());
    out.put("port", listener.port);
    out.put("protocol", listener.protocol.as_str());
    let mut allowed = Fields::default();
    allowed.put(
        "namespaces",
        match &listener.routes_from {
            RoutesFrom::Same => json!({"from": "Same"}),
            RoutesFrom::All => json!({"from": "All"}),
            RoutesFrom::None => json!({"from": "None"}),
            RoutesFrom::Selector(namespaces) => {
                json!({"from": "Selector", "selector": selector(namespaces)})
            }
        },
    );
    allowed.put_list("kinds", list(&listener.route_kinds, |kind| json!({"kind": kind})));
    out.put("allowedRoutes", allowed.done());
    out.done()
}

fn gateway_route_spec(route: &GatewayRoute) -> Value {
    let mut out = Fields::default();
    out.put_list("parentRefs", list(&route.parents, parent));
    out.put_list("hostnames", list(&route.hostnames, |host| json!(host)));
    out.put_list("rules", list(&route.rules, route_rule));
    out.done()
}

fn parent(parent: &ParentRef) -> Value {
    let mut out = Fields::default();
    out.put("group", parent.group.as_str());
    out.put("kind", parent.kind.as_str());
    out.put_some("namespace", parent.namespace.as_deref());
    out.put("name", parent.name.as_str());
    out.put_some("sectionName", parent.section.as_deref());
    out.put_some("port", parent.port);
    out.done()
}

fn route_rule(rule: &GatewayRouteRule) -> Value {
    let mut out = Fields::default();
    out.put_list("backendRefs", list(&rule.backends, |backend| backend_ref(backend).done()));
    let mirrors = list(
        &rule.mirrors,
        |backend| json!({"type": "RequestMirror", "requestMirror": {"backendRef": reference(backend).done()}}),
    );
    out.put_list("filters", mirrors);
    out.done()
}

fn backend_ref(backend: &BackendRef) -> Fields {
    let mut out = reference(backend);
    out.put("weight", backend.weight);
    out
}

fn reference(backend: &BackendRef) -> Fields {
    let mut out = Fields::default();
    out.put("group", backend.group.as_str());
    out.put("kind", backend.kind.as_str());
    out.put_some("namespace", backend.namespace.as_deref());
    out.put("name", backend.name.as_str());
    out.put_some("port", backend.port);
    out
}

fn grant_spec(grant: &ReferenceGrant) -> Value {
    let from = |from: &GrantFrom| json!({"group": from.group, "kind": from.kind, "namespace": from.namespace});
    let to = |to: &GrantTo| {
        let mut out = Fields::default();
        out.put("group", to.group.as_str());
        out.put("kind", to.kind.as_str());
        out.put_some("name", to.name.as_deref());
        out.done()
    };
    json!({"from": list(&grant.from, from), "to": list(&grant.to, to)})
}

fn route_spec(route: &Route) -> Value {
    let mut out = Fields::default();
    out.put_text("host", &route.host);
    out.put_text("path", &route.path);
    let backend = |backend: &RouteBackend| json!({"kind": "Service", "name": backend.service, "weight": backend.weight});
    let mut backends = list(&route.backends, backend).into_iter();
    out.put_some("to", backends.next());
    out.put_list("alternateBackends", backends.collect());
    if let Some(port) = &route.target_port {
        out.put("port", json!({"targetPort": port_ref(port)}));
    }
    if let Some(tls) = route.tls {
        out.put("tls", json!({"termination": tls.as_str()}));
    }
    out.done()
}
