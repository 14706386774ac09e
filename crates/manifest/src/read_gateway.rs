//! Reads the Gateway API: Gateway, its five kinds of routes, and ReferenceGrant (kubernetes-sigs/
//! gateway-api, apis/v1 and older; limits of its custom resource definitions).

use sekisho_model::Labels;

use crate::at::{At, shorten};
use crate::known_exposure as known;
use crate::read_ingress::{check_host, read_name};
use crate::read_meta::{Scope, labels, read_meta, string};
use crate::read_policy::{read_port_number, read_selector};
use crate::{
    BackendRef, Gateway, GatewayListener, GatewayRoute, GatewayRouteKind, GatewayRouteRule,
    GrantFrom, GrantTo, ParentRef, ReferenceGrant, RoutesFrom, check,
};

const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// Highest weight of a backend.
const WEIGHT_MAX: u32 = 1_000_000;
const LISTENERS_MAX: usize = 64;
const PARENTS_MAX: usize = 32;
const HOSTNAMES_MAX: usize = 16;
const RULES_MAX: usize = 16;
const BACKENDS_MAX: usize = 16;
const GRANTS_MAX: usize = 16;

/// Reads a Gateway.
pub(crate) fn read_gateway(at: &At<'_>) -> Option<Gateway> {
    at.check_fields(crate::known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let spec = at.required("spec")?;
    if !spec.check_fields(known::GATEWAY_SPEC) {
        return None;
    }
    let class = read_name(&spec, "gatewayClassName", check::dns_subdomain);
    let listeners = spec.required("listeners").map(|list| {
        let items = list.items();
        list.refuse_above(LISTENERS_MAX, items.len(), "items");
        if items.is_empty() {
            list.wrong("must hold at least one item");
        }
        items.iter().filter_map(read_listener).collect()
    });
    let mut infrastructure_labels = Labels::new();
    if let Some(infrastructure) = spec.get("infrastructure")
        && infrastructure.check_fields(known::GATEWAY_INFRASTRUCTURE)
        && let Some(at) = infrastructure.get("labels")
    {
        infrastructure_labels = labels(&at);
    }
    Some(Gateway {
        meta,
        class: class?,
        listeners: listeners.unwrap_or_default(),
        infrastructure_labels,
    })
}

fn read_listener(at: &At<'_>) -> Option<GatewayListener> {
    if !at.check_fields(known::LISTENER) {
        return None;
    }
    let name = read_name(at, "name", check::dns_subdomain);
    let port = at.required("port").and_then(|at| read_port_number(&at));
    let protocol = read_name(at, "protocol", |_| None);
    let mut routes_from = Some(RoutesFrom::Same);
    let mut route_kinds = Vec::new();
    if let Some(allowed) = at.get("allowedRoutes")
        && allowed.check_fields(known::ALLOWED_ROUTES)
    {
        routes_from = allowed.get("namespaces").map_or(routes_from, |at| read_routes_from(&at));
        route_kinds = allowed.list("kinds", |item| {
            item.check_fields(known::ROUTE_KIND);
            read_name(item, "kind", |_| None)
        });
    }
    Some(GatewayListener {
        name: name?,
        hostname: read_hostname(at.get("hostname")),
        port: port?,
        protocol: protocol?,
        routes_from: routes_from?,
        route_kinds,
        position: at.position(),
    })
}

fn read_hostname(at: Option<At<'_>>) -> Option<String> {
    let at = at?;
    let host = at.string()?;
    if host.is_empty() {
        return None;
    }
    check_host(&at, host);
    Some(host.to_owned())
}

fn read_routes_from(at: &At<'_>) -> Option<RoutesFrom> {
    if !at.check_fields(known::ROUTE_NAMESPACES) {
        return None;
    }
    let Some(from) = at.get("from") else { return Some(RoutesFrom::Same) };
    match from.word(&[("Same", 0), ("All", 1), ("None", 2), ("Selector", 3)])? {
        0 => Some(RoutesFrom::Same),
        1 => Some(RoutesFrom::All),
        2 => Some(RoutesFrom::None),
        _ => Some(RoutesFrom::Selector(read_selector(&at.required("selector")?)?)),
    }
}

/// Reads a route.
pub(crate) fn read_gateway_route(at: &At<'_>, kind: GatewayRouteKind) -> Option<GatewayRoute> {
    at.check_fields(crate::known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let spec = at.required("spec")?;
    let fields = match kind {
        GatewayRouteKind::Http | GatewayRouteKind::Grpc | GatewayRouteKind::Tls => {
            known::NAMED_ROUTE_SPEC
        }
        GatewayRouteKind::Tcp | GatewayRouteKind::Udp => known::PLAIN_ROUTE_SPEC,
    };
    if !spec.check_fields(fields) {
        return None;
    }
    let route = GatewayRoute {
        meta,
        kind,
        parents: bounded(&spec, "parentRefs", PARENTS_MAX, read_parent),
        hostnames: bounded(&spec, "hostnames", HOSTNAMES_MAX, |item| {
            let host = item.string()?;
            check_host(item, host);
            Some(host.to_owned())
        }),
        rules: bounded(&spec, "rules", RULES_MAX, |item| read_route_rule(item, kind)),
    };
    // An HTTPRoute or GRPCRoute without rules has one that matches everything.
    let needs_rules =
        matches!(kind, GatewayRouteKind::Tls | GatewayRouteKind::Tcp | GatewayRouteKind::Udp);
    if needs_rules && spec.get("rules").is_none_or(|at| at.lenient_items().is_empty()) {
        spec.wrong("rules must hold at least one item");
    }
    Some(route)
}

/// Reads the list in field `name`, of at most `most` items.
fn bounded<T>(at: &At<'_>, name: &str, most: usize, read: impl Fn(&At<'_>) -> Option<T>) -> Vec<T> {
    let Some(list) = at.get(name) else { return Vec::new() };
    let items = list.items();
    list.refuse_above(most, items.len(), "items");
    items.iter().filter_map(read).collect()
}

fn read_parent(at: &At<'_>) -> Option<ParentRef> {
    if !at.check_fields(known::PARENT_REF) {
        return None;
    }
    let name = read_name(at, "name", |_| None);
    let port = optional(at.get("port"), read_port_number);
    Some(ParentRef {
        group: string(at, "group").unwrap_or_else(|| GATEWAY_GROUP.to_owned()),
        kind: string(at, "kind").unwrap_or_else(|| "Gateway".to_owned()),
        namespace: read_reference_namespace(at),
        name: name?,
        section: string(at, "sectionName").filter(|name| !name.is_empty()),
        port: port?,
    })
}

/// Some(None) if absent, None if wrong.
#[expect(clippy::option_option, reason = "wrong, absent and there are three things")]
fn optional<T>(at: Option<At<'_>>, read: impl Fn(&At<'_>) -> Option<T>) -> Option<Option<T>> {
    at.map_or(Some(None), |at| read(&at).map(Some))
}

fn read_reference_namespace(at: &At<'_>) -> Option<String> {
    let at = at.get("namespace")?;
    let name = at.string()?;
    if let Some(message) = check::dns_label(name) {
        at.refuse(format!("`{}`: {message}", shorten(name)));
    }
    (!name.is_empty()).then(|| name.to_owned())
}

fn read_route_rule(at: &At<'_>, kind: GatewayRouteKind) -> Option<GatewayRouteRule> {
    let (fields, backend_fields) = match kind {
        GatewayRouteKind::Http => (known::HTTP_ROUTE_RULE, known::FILTERED_BACKEND_REF),
        GatewayRouteKind::Grpc => (known::GRPC_ROUTE_RULE, known::FILTERED_BACKEND_REF),
        GatewayRouteKind::Tls | GatewayRouteKind::Tcp | GatewayRouteKind::Udp => {
            (known::PLAIN_ROUTE_RULE, known::BACKEND_REF)
        }
    };
    if !at.check_fields(fields) {
        return None;
    }
    let mut mirrors = at.list("filters", read_mirror);
    if let Some(list) = at.get("backendRefs") {
        mirrors
            .extend(list.lenient_items().iter().flat_map(|item| item.list("filters", read_mirror)));
    }
    let backends =
        bounded(at, "backendRefs", BACKENDS_MAX, |item| read_backend(item, backend_fields));
    Some(GatewayRouteRule {
        backends,
        mirrors: mirrors.into_iter().flatten().collect(),
        position: at.position(),
    })
}

/// Reads a filter; Some(None) if it mirrors nothing.
#[expect(clippy::option_option, reason = "wrong, no mirror and a mirror are three things")]
fn read_mirror(at: &At<'_>) -> Option<Option<BackendRef>> {
    if !at.check_fields(known::FILTER) {
        return None;
    }
    at.required("type");
    let Some(mirror) = at.get("requestMirror") else { return Some(None) };
    if !mirror.check_fields(known::MIRROR) {
        return None;
    }
    read_backend(&mirror.required("backendRef")?, known::MIRROR_REF).map(Some)
}

fn read_backend(at: &At<'_>, fields: &[&str]) -> Option<BackendRef> {
    if !at.check_fields(fields) {
        return None;
    }
    let group = string(at, "group").unwrap_or_default();
    let kind = string(at, "kind").unwrap_or_else(|| "Service".to_owned());
    let name = read_name(at, "name", |_| None);
    let port = optional(at.get("port"), read_port_number);
    if group.is_empty() && kind == "Service" && at.get("port").is_none() {
        at.missing("port");
        return None;
    }
    let weight = at.get("weight").map_or(Some(1), |at| at.int(0, WEIGHT_MAX));
    Some(BackendRef {
        group,
        kind,
        namespace: read_reference_namespace(at),
        name: name?,
        port: port?,
        weight: weight?,
    })
}

/// Reads a ReferenceGrant.
pub(crate) fn read_reference_grant(at: &At<'_>) -> Option<ReferenceGrant> {
    at.check_fields(crate::known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let spec = at.required("spec")?;
    if !spec.check_fields(known::GRANT_SPEC) {
        return None;
    }
    // The empty group is the core group, and must be written.
    let group = |item: &At<'_>| item.required("group")?.string().map(str::to_owned);
    let from = bounded(&spec, "from", GRANTS_MAX, |item| {
        item.check_fields(known::GRANT_FROM);
        let (group, kind) = (group(item), read_name(item, "kind", |_| None));
        let namespace = read_name(item, "namespace", check::dns_label);
        Some(GrantFrom { group: group?, kind: kind?, namespace: namespace? })
    });
    let to = bounded(&spec, "to", GRANTS_MAX, |item| {
        item.check_fields(known::GRANT_TO);
        let (group, kind) = (group(item), read_name(item, "kind", |_| None));
        let name = string(item, "name").filter(|name| !name.is_empty());
        Some(GrantTo { group: group?, kind: kind?, name })
    });
    for name in known::GRANT_SPEC {
        if spec.get(name).is_none_or(|at| at.lenient_items().is_empty()) {
            spec.wrong(format!("{name} must hold at least one item"));
        }
    }
    Some(ReferenceGrant { meta, from, to })
}
