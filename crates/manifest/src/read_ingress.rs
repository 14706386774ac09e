//! Reads Ingress and OpenShift Route (Kubernetes v1.34 pkg/apis/networking/validation; OpenShift
//! route/v1 types).

use crate::at::{At, shorten};
use crate::known_exposure as known;
use crate::read_meta::{Scope, read_meta, string};
use crate::read_policy::{read_port_number, read_port_ref};
use crate::{
    Ingress, IngressBackend, IngressPath, IngressRule, PathType, PortRef, Route, RouteBackend,
    RouteTls, ServiceAccount, check,
};

/// Highest weight of a backend, and the one it has if none is given.
const WEIGHT_MAX: u32 = 256;
const WEIGHT_DEFAULT: u32 = 100;
/// Backends of a Route besides the first.
const ALTERNATES_MAX: usize = 3;

/// Reads a ServiceAccount.
pub(crate) fn read_service_account(at: &At<'_>) -> ServiceAccount {
    at.check_fields(known::SERVICE_ACCOUNT);
    ServiceAccount { meta: read_meta(at, Scope::Namespaced(check::dns_subdomain)) }
}

/// Reads a name in the required field `field`.
pub(crate) fn read_name(
    at: &At<'_>,
    field: &str,
    check_name: fn(&str) -> Option<String>,
) -> Option<String> {
    let name_at = at.required(field)?;
    let name = name_at.string()?;
    if name.is_empty() {
        name_at.wrong("must not be empty");
        return None;
    }
    if let Some(message) = check_name(name) {
        name_at.refuse(format!("`{}`: {message}", shorten(name)));
    }
    Some(name.to_owned())
}

/// Reads an Ingress.
pub(crate) fn read_ingress(at: &At<'_>) -> Option<Ingress> {
    at.check_fields(crate::known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let spec = at.required("spec")?;
    if !spec.check_fields(known::INGRESS_SPEC) {
        return None;
    }
    let default_at = spec.get("defaultBackend");
    let rules = spec.list("rules", read_ingress_rule);
    if default_at.is_none() && spec.get("rules").is_none_or(|at| at.lenient_items().is_empty()) {
        spec.wrong("must have rules or defaultBackend");
    }
    spec.list("tls", |item| item.check_fields(known::INGRESS_TLS).then_some(()));
    Some(Ingress {
        meta,
        class: string(&spec, "ingressClassName"),
        default_backend: default_at.and_then(|at| read_ingress_backend(&at)),
        rules,
    })
}

fn read_ingress_rule(at: &At<'_>) -> Option<IngressRule> {
    if !at.check_fields(known::INGRESS_RULE) {
        return None;
    }
    let host_at = at.get("host");
    let host = host_at.as_ref().and_then(At::string).unwrap_or_default();
    if let (Some(at), false) = (&host_at, host.is_empty()) {
        check_host(at, host);
    }
    let mut paths = Vec::new();
    if let Some(http) = at.get("http")
        && http.check_fields(known::INGRESS_HTTP)
        && let Some(list) = http.required("paths")
    {
        let items = list.items();
        if items.is_empty() {
            list.wrong("must hold at least one item");
        }
        paths = items.iter().filter_map(read_ingress_path).collect();
    }
    Some(IngressRule { host: host.to_owned(), paths, position: at.position() })
}

/// A host is a DNS name, perhaps with `*.` before it, and no address.
pub(crate) fn check_host(at: &At<'_>, host: &str) {
    if check::address(host).is_some() {
        at.refuse(format!("`{}` must be a DNS name, not an address", shorten(host)));
    } else if let Some(message) = check::dns_subdomain(host.strip_prefix("*.").unwrap_or(host)) {
        at.refuse(format!("`{}`: {message}", shorten(host)));
    }
}

fn read_ingress_path(at: &At<'_>) -> Option<IngressPath> {
    if !at.check_fields(known::INGRESS_PATH) {
        return None;
    }
    let types = [PathType::Exact, PathType::Prefix, PathType::ImplementationSpecific];
    let types = types.map(|path_type| (path_type.as_str(), path_type));
    let path_type = match at.expected("pathType") {
        Some(at) => at.word(&types),
        None => Some(PathType::ImplementationSpecific),
    };
    let path_at = at.get("path");
    let path = path_at.as_ref().and_then(At::string).unwrap_or_default();
    let may_be_relative = path_type == Some(PathType::ImplementationSpecific) && path.is_empty();
    if !path.starts_with('/') && !may_be_relative {
        path_at.as_ref().unwrap_or(at).refuse("path must start with `/`");
    }
    let backend = at.required("backend").and_then(|at| read_ingress_backend(&at));
    Some(IngressPath {
        path: path.to_owned(),
        path_type: path_type?,
        backend: backend?,
        position: at.position(),
    })
}

fn read_ingress_backend(at: &At<'_>) -> Option<IngressBackend> {
    if !at.check_fields(known::INGRESS_BACKEND) {
        return None;
    }
    match (at.get("service"), at.get("resource")) {
        (Some(service), None) => read_ingress_service(&service),
        (None, Some(resource)) => {
            if !resource.check_fields(known::INGRESS_RESOURCE) {
                return None;
            }
            let kind = read_name(&resource, "kind", |_| None);
            let name = read_name(&resource, "name", |_| None);
            Some(IngressBackend::Resource { kind: kind?, name: name? })
        }
        (Some(_), Some(_)) => {
            at.wrong("may not have both service and resource");
            None
        }
        (None, None) => {
            at.wrong("must have service or resource");
            None
        }
    }
}

fn read_ingress_service(at: &At<'_>) -> Option<IngressBackend> {
    if !at.check_fields(known::INGRESS_SERVICE) {
        return None;
    }
    let name = read_name(at, "name", check::dns_label);
    let port_at = at.required("port")?;
    if !port_at.check_fields(known::INGRESS_PORT) {
        return None;
    }
    // 0 and "" stand for absent.
    let number = port_at.get("number").filter(|at| at.lenient_int() != Some(0));
    let port_name = port_at.get("name").filter(|at| at.lenient_string() != Some(""));
    let port = match (number, port_name) {
        (Some(number), None) => read_port_number(&number).map(PortRef::Number),
        (None, Some(name)) => read_port_ref(&name),
        (Some(_), Some(_)) => {
            port_at.wrong("may not have both name and number");
            None
        }
        (None, None) => {
            port_at.wrong("must have name or number");
            None
        }
    };
    Some(IngressBackend::Service { name: name?, port: port? })
}

/// Reads an OpenShift Route.
pub(crate) fn read_route(at: &At<'_>) -> Option<Route> {
    at.check_fields(crate::known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let spec = at.required("spec")?;
    if !spec.check_fields(known::ROUTE_SPEC) {
        return None;
    }
    let first = spec.required("to").and_then(|at| read_route_backend(&at));
    let alternates_at = spec.get("alternateBackends");
    let alternates = alternates_at.as_ref().map(At::items).unwrap_or_default();
    if let Some(at) = &alternates_at {
        at.refuse_above(ALTERNATES_MAX, alternates.len(), "items");
    }
    let alternates: Vec<_> = alternates.iter().filter_map(read_route_backend).collect();
    let target_port = match spec.get("port") {
        Some(port) => read_route_port(&port).map(Some),
        None => Some(None),
    };
    let tls = spec.get("tls").and_then(|tls| {
        let types = [RouteTls::Edge, RouteTls::Passthrough, RouteTls::Reencrypt];
        let types = types.map(|tls| (tls.as_str(), tls));
        tls.check_fields(known::ROUTE_TLS);
        tls.required("termination")?.word(&types)
    });
    if let Some(policy) = spec.get("wildcardPolicy") {
        policy.word(&[("None", ()), ("Subdomain", ()), ("", ())]);
    }
    let mut backends = vec![first?];
    backends.extend(alternates);
    Some(Route {
        meta,
        host: string(&spec, "host").unwrap_or_default(),
        path: string(&spec, "path").unwrap_or_default(),
        backends,
        target_port: target_port?,
        tls,
    })
}

fn read_route_backend(at: &At<'_>) -> Option<RouteBackend> {
    if !at.check_fields(known::ROUTE_TARGET) {
        return None;
    }
    if let Some(kind) = at.get("kind") {
        kind.word(&[("Service", ()), ("", ())]);
    }
    let service = read_name(at, "name", |_| None);
    let weight = at.get("weight").map_or(Some(WEIGHT_DEFAULT), |at| at.int(0, WEIGHT_MAX));
    Some(RouteBackend { service: service?, weight: u16::try_from(weight?).ok()? })
}

fn read_route_port(at: &At<'_>) -> Option<PortRef> {
    if !at.check_fields(known::ROUTE_PORT) {
        return None;
    }
    let target = at.required("targetPort")?;
    if !target.is_string() {
        return read_port_number(&target).map(PortRef::Number);
    }
    let name = target.string()?;
    if name.is_empty() {
        target.wrong("must not be empty");
        return None;
    }
    Some(PortRef::Name(name.to_owned()))
}
