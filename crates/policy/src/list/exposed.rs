//! Workloads that traffic from outside reaches through Services, and what policies say of it.
//!
//! Ingress, Route and Gateway API routes are served by a proxy whose pods the objects do not tell:
//! policies are asked about a pod without labels in a namespace of its own. LoadBalancer and
//! NodePort Services, and external addresses of Services, bring traffic from outside itself:
//! policies are asked about external addresses, within the ranges that the Service lets in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_manifest::{
    BackendRef, Exposure, GatewayRoute, IngressBackend, Object, PortRef, ReferenceGrant, Service,
    ServicePort,
};

use super::gateway::controller;
use super::units::pod_end;
use super::{End, Listing};
use crate::{Cluster, Endpoint, Pair, Peer, PortSet, RuleSet};

const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// A workload (or pod) behind an object that exposes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposed {
    /// Kind of the object: `Ingress`, `Route`, `HTTPRoute`, ..., or `Service`.
    pub kind: String,
    /// `namespace/name` of the object.
    pub name: String,
    /// Host names, addresses or node ports under which it is reached, sorted; `*` = any host.
    pub entries: Vec<String>,
    /// What is reached.
    pub destination: End,
    /// Ports of it that are reached and that policies allow.
    pub allowed: PortSet,
    /// Ports of it that are meant to be reached and that policies deny.
    pub denied: PortSet,
}

/// An object that exposes a Service.
struct Opening<'a> {
    kind: &'a str,
    name: String,
    entries: BTreeSet<String>,
    service: (&'a str, &'a str),
    port: Wanted<'a>,
    /// Whether traffic comes with the address it has outside, and from where it may come.
    direct: Option<&'a [IpNet]>,
}

/// Ports of a Service.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    All,
    Port(u16),
    Name(&'a str),
    /// By the number that pods have.
    Target(u16),
}

impl Wanted<'_> {
    fn is(self, port: &ServicePort) -> bool {
        match self {
            Self::All => true,
            Self::Port(number) => port.port == number,
            Self::Name(name) => port.name == name,
            Self::Target(number) => port.target_port == PortRef::Number(number),
        }
    }
}

/// Follows all objects that expose Services to the pods behind them, sorted.
pub(crate) fn exposed(
    objects: &[Object],
    (rules, cluster): (&RuleSet, &Cluster),
    listing: &Listing,
    by_pod: bool,
) -> Vec<Exposed> {
    let proxy = controller();
    let mut found: BTreeMap<(String, String, End), Exposed> = BTreeMap::new();
    for opening in openings(objects) {
        let (namespace, name) = opening.service;
        let called = |one: &&Service| one.meta.namespace == namespace && one.meta.name == name;
        let Some(service) = cluster.services.iter().find(called) else { continue };
        for endpoint in cluster.endpoints.iter().filter(|one| is_selected(service, one)) {
            let meant = ports(service, opening.port, endpoint);
            let end = if by_pod { pod_end(endpoint) } else { End::workload(&endpoint.workload) };
            if meant.is_empty() || !listing.focus.includes(&End::IngressController, &end) {
                continue;
            }
            let open = match opening.direct {
                Some(ranges) => from_outside(listing, ranges, &end),
                None => {
                    let (source, destination) = (Peer::Endpoint(&proxy), Peer::Endpoint(endpoint));
                    let (source_address, destination_address) = (None, None);
                    let pair = Pair { source, destination, source_address, destination_address };
                    rules.decide_pair(cluster, &pair).ingress.allowed()
                }
            };
            let key = (opening.kind.to_owned(), opening.name.clone(), end.clone());
            let row = found.entry(key).or_insert_with(|| Exposed {
                kind: opening.kind.to_owned(),
                name: opening.name.clone(),
                entries: Vec::new(),
                destination: end,
                allowed: PortSet::none(),
                denied: PortSet::none(),
            });
            row.entries.extend(opening.entries.iter().cloned());
            row.entries.sort();
            row.entries.dedup();
            row.allowed = row.allowed.union(&meant.intersection(&open));
            row.denied = row.denied.union(&meant.minus(&open));
        }
    }
    found.into_values().collect()
}

/// What any external address within `ranges` (empty = all) may open to `end`.
fn from_outside(listing: &Listing, ranges: &[IpNet], end: &End) -> PortSet {
    let overlaps = |first: &IpAddr, last: &IpAddr| {
        let meets = |net: &IpNet| {
            net.network().is_ipv4() == first.is_ipv4()
                && net.network() <= *last
                && *first <= net.broadcast()
        };
        ranges.is_empty() || ranges.iter().any(meets)
    };
    let mut open = PortSet::none();
    for (from, to, set) in listing.rows() {
        if let End::Addresses(first, last) = from
            && overlaps(first, last)
            && (to == end || to.is_part_of(end))
        {
            open = open.union(set);
        }
    }
    open
}

fn is_selected(service: &Service, endpoint: &Endpoint) -> bool {
    let labels = &endpoint.labels;
    endpoint.namespace == service.meta.namespace
        && !service.selector.is_empty()
        && service.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Ports of the pod behind ports of the Service.
fn ports(service: &Service, wanted: Wanted<'_>, endpoint: &Endpoint) -> PortSet {
    let mut reached = PortSet::none();
    for port in service.ports.iter().filter(|port| wanted.is(port)) {
        let number = match &port.target_port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => {
                let is = |own: &&sekisho_manifest::ContainerPort| {
                    own.name == *name && own.protocol == port.protocol
                };
                endpoint.ports.iter().find(is).map(|own| own.port)
            }
        };
        if let Some(number) = number {
            reached = reached.union(&PortSet::range(port.protocol, number, number));
        }
    }
    reached
}

fn openings(objects: &[Object]) -> Vec<Opening<'_>> {
    let grants: Vec<&ReferenceGrant> = objects
        .iter()
        .filter_map(|object| match object {
            Object::Exposure(Exposure::ReferenceGrant(grant)) => Some(grant),
            _other => None,
        })
        .collect();
    let mut found = Vec::new();
    for object in objects {
        let meta = object.meta();
        let name = format!("{}/{}", meta.namespace, meta.name);
        let opening = |service, port, entries| Opening {
            kind: object.kind(),
            name: name.clone(),
            entries,
            service,
            port,
            direct: None,
        };
        match object {
            Object::Exposure(Exposure::Ingress(ingress)) => {
                let default = ingress.default_backend.iter().map(|backend| ("", backend));
                let paths = ingress.rules.iter().flat_map(|rule| {
                    rule.paths.iter().map(move |path| (rule.host.as_str(), &path.backend))
                });
                for (host, backend) in default.chain(paths) {
                    if let IngressBackend::Service { name, port } = backend {
                        let service = (meta.namespace.as_str(), name.as_str());
                        let port = match port {
                            PortRef::Number(number) => Wanted::Port(*number),
                            PortRef::Name(name) => Wanted::Name(name),
                        };
                        found.push(opening(service, port, entries([host])));
                    }
                }
            }
            Object::Exposure(Exposure::Route(route)) => {
                let port = match &route.target_port {
                    Some(PortRef::Number(number)) => Wanted::Target(*number),
                    Some(PortRef::Name(name)) => Wanted::Name(name),
                    None => Wanted::All,
                };
                for backend in route.backends.iter().filter(|backend| backend.weight > 0) {
                    let service = (meta.namespace.as_str(), backend.service.as_str());
                    found.push(opening(service, port, entries([route.host.as_str()])));
                }
            }
            Object::Exposure(Exposure::GatewayRoute(route)) if !route.parents.is_empty() => {
                for backend in route_backends(route, &grants) {
                    let namespace = backend.namespace.as_deref().unwrap_or(&meta.namespace);
                    let port = backend.port.map_or(Wanted::All, Wanted::Port);
                    let hosts = route.hostnames.iter().map(String::as_str);
                    found.push(opening((namespace, &backend.name), port, entries(hosts)));
                }
            }
            Object::Service(service) => found.extend(service_opening(service, name)),
            _other => {}
        }
    }
    found
}

fn entries<'h>(hosts: impl IntoIterator<Item = &'h str>) -> BTreeSet<String> {
    let named = hosts.into_iter().filter(|host| !host.is_empty());
    let entries: BTreeSet<String> = named.map(str::to_owned).collect();
    if entries.is_empty() { BTreeSet::from(["*".to_owned()]) } else { entries }
}

/// Services that a route sends traffic to; those of other namespaces only if these let it.
fn route_backends<'r>(
    route: &'r GatewayRoute,
    grants: &[&ReferenceGrant],
) -> impl Iterator<Item = &'r BackendRef> {
    let may = |backend: &BackendRef| {
        let own = &route.meta.namespace;
        let Some(other) = backend.namespace.as_ref().filter(|namespace| *namespace != own) else {
            return true;
        };
        grants.iter().any(|grant| {
            grant.meta.namespace == *other
                && grant.from.iter().any(|from| {
                    from.group == GATEWAY_GROUP
                        && from.kind == route.kind.as_str()
                        && from.namespace == *own
                })
                && grant.to.iter().any(|to| {
                    let is_named = to.name.as_ref().is_none_or(|name| *name == backend.name);
                    to.group.is_empty() && to.kind == "Service" && is_named
                })
        })
    };
    let all = route.rules.iter().flat_map(|rule| rule.backends.iter().chain(&rule.mirrors));
    let services =
        all.filter(|one| one.group.is_empty() && one.kind == "Service" && one.weight > 0);
    services.filter(|backend| may(backend)).collect::<Vec<_>>().into_iter()
}

/// A Service that takes traffic from outside itself.
fn service_opening(service: &Service, name: String) -> Option<Opening<'_>> {
    let is_balanced = service.service_type == "LoadBalancer";
    let mut entries: BTreeSet<String> = BTreeSet::new();
    if is_balanced {
        entries.extend(service.load_balancer_ips.iter().map(ToString::to_string));
        if entries.is_empty() {
            entries.insert("load balancer".to_owned());
        }
    }
    if is_balanced || service.service_type == "NodePort" {
        let ports = service.ports.iter().filter_map(|port| port.node_port);
        entries.extend(ports.map(|port| format!("node port {port}")));
        if service.service_type == "NodePort" && entries.is_empty() {
            entries.insert("node port".to_owned());
        }
    }
    entries.extend(service.external_ips.iter().map(ToString::to_string));
    (!entries.is_empty()).then(|| Opening {
        kind: "Service",
        name,
        entries,
        service: (&service.meta.namespace, &service.meta.name),
        port: Wanted::All,
        direct: Some(if is_balanced { &service.source_ranges } else { &[] }),
    })
}
