//! Ports that Services, probes and metrics promise and policies keep shut.

use std::collections::BTreeMap;

use sekisho_manifest::{Exposure, IngressBackend, Object, PodSpec, PortRef, ProbeAction, Service};
use sekisho_model::{Direction, Labels, Protocol};

use super::code::{EXPOSED_PORT_DENIED, ICMP_UNDEFINED, METRICS_DENIED, PROBE_PORT_DENIED};
use super::context::{Class, Context, Place, object_name, object_name_of, workload_name};
use super::finding::{Finding, Fix, evidence};
use super::reader::{serves, target_port};
use crate::ir::Ports;
use crate::{Endpoint, PolicyKind, PortSet};

const SCRAPE: &str = "prometheus.io/scrape";
const SCRAPE_PORT: &str = "prometheus.io/port";

/// What any end at all may open to a class; None if nothing isolates it.
fn ingress_of(cx: &Context<'_>, class: &Class, world: bool) -> Option<PortSet> {
    let mut policies = class.book.tiers.iter().flat_map(|tier| &tier.policies);
    let isolated = policies.any(|policy| policy.ingress.as_ref().is_some_and(|side| side.isolates));
    isolated.then(|| cx.anyone(class, Direction::Ingress, world))
}

/// Services whose port no rule allows.
pub(crate) fn services(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let routed = routed(cx);
    for service in &cx.cluster.services {
        let name = (service.meta.namespace.clone(), service.meta.name.clone());
        let to_world = matches!(service.service_type.as_str(), "LoadBalancer" | "NodePort");
        for (class, endpoint) in cx.ordinary().filter(|(_, endpoint)| serves(service, endpoint)) {
            let Some(open) = ingress_of(cx, class, to_world) else { continue };
            for port in &service.ports {
                let Some(target) = target_port(port, endpoint) else { continue };
                if open.contains(port.protocol, target) {
                    continue;
                }
                let who = match (to_world, routed.get(&name)) {
                    (true, _) => "but no rule lets any address outside reach".to_owned(),
                    (false, Some(by)) => {
                        format!("and {by} sends to it, but no rule lets anyone reach")
                    }
                    (false, None) => "but no rule lets anyone reach".to_owned(),
                };
                let kind = if to_world { service.service_type.as_str() } else { "Service" };
                let message = format!(
                    "{kind} `{}/{}` offers {} {}, {who} {} {target} of the pods behind it",
                    service.meta.namespace,
                    service.meta.name,
                    port.protocol,
                    port.port,
                    port.protocol
                );
                let fix = format!(
                    "add an ingress rule with `ports: [{{protocol: {}, port: {target}}}]` and the \
                     peers that use the Service, or take the port off it",
                    port.protocol
                );
                let mut finding = service_place(cx, service).finding(
                    &EXPOSED_PORT_DENIED,
                    message,
                    Fix::words(fix),
                );
                finding.evidence = isolated_by(class);
                out.push(finding);
            }
        }
    }
}

fn isolated_by(class: &Class) -> Vec<String> {
    let workloads = class.workloads.iter().map(workload_name);
    let policies = class.book.tiers.iter().flat_map(|tier| &tier.policies);
    let isolating = policies
        .filter(|policy| policy.ingress.as_ref().is_some_and(|side| side.isolates))
        .map(|policy| format!("isolated by `{}`", policy.name));
    evidence(workloads.chain(isolating))
}

fn service_place(cx: &Context<'_>, service: &Service) -> Place {
    let object = super::finding::ObjectName {
        kind: "Service".to_owned(),
        namespace: service.meta.namespace.clone(),
        name: service.meta.name.clone(),
    };
    cx.place(object, &service.meta.position, "spec.ports")
}

/// Services that an Ingress, Route or Gateway route sends to, with the first that does.
fn routed(cx: &Context<'_>) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for object in cx.objects {
        let Object::Exposure(exposure) = object else { continue };
        let by = object_name_of(object).to_string();
        for name in backends(exposure) {
            found.entry(name).or_insert_with(|| by.clone());
        }
    }
    found
}

fn backends(exposure: &Exposure) -> Vec<(String, String)> {
    let own = &exposure.meta().namespace;
    match exposure {
        Exposure::Ingress(ingress) => {
            let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
            paths
                .chain(&ingress.default_backend)
                .filter_map(|backend| match backend {
                    IngressBackend::Service { name, .. } => Some((own.clone(), name.clone())),
                    IngressBackend::Resource { .. } => None,
                })
                .collect()
        }
        Exposure::GatewayRoute(route) => route
            .rules
            .iter()
            .flat_map(|rule| &rule.backends)
            .filter(|backend| backend.kind == "Service")
            .map(|backend| {
                (backend.namespace.clone().unwrap_or_else(|| own.clone()), backend.name.clone())
            })
            .collect(),
        Exposure::Route(route) => {
            route.backends.iter().map(|backend| (own.clone(), backend.service.clone())).collect()
        }
        Exposure::Gateway(_) | Exposure::ReferenceGrant(_) => Vec::new(),
    }
}

/// Probes and metrics of pods that are isolated.
pub(crate) fn probes(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for object in cx.objects {
        let (labels, annotations, spec): (&Labels, &Labels, &PodSpec) = match object {
            Object::Pod(pod) => (&pod.meta.labels, &pod.meta.annotations, &pod.spec),
            Object::Workload(workload) => {
                (&workload.template.labels, &workload.template.annotations, &workload.template.spec)
            }
            _not_a_pod => continue,
        };
        let namespace = &object.meta().namespace;
        let Some((class, endpoint)) = cx
            .ordinary()
            .find(|(_, endpoint)| endpoint.namespace == *namespace && endpoint.labels == *labels)
        else {
            continue;
        };
        let Some(open) = ingress_of(cx, class, false) else { continue };
        let shut = |port: &u16| !open.contains(Protocol::Tcp, *port);
        let place = || Place {
            object: object_name_of(object),
            position: object.meta().position.clone(),
            field: String::new(),
        };
        if let Some(port) = probe_ports(spec, endpoint).into_iter().find(shut) {
            let message = format!(
                "is probed on TCP {port}, which no rule allows: the pod's own node always may, but \
                 proxies and load balancers that check from elsewhere may not"
            );
            let fix = Fix::words("nothing, if only the kubelet probes; else allow the port");
            out.push(place().finding(&PROBE_PORT_DENIED, message, fix));
        }
        if let Some(port) = scrape_port(annotations).filter(shut) {
            let message = format!(
                "asks to be scraped on TCP {port} ({SCRAPE}), and no rule lets anyone reach it"
            );
            let fix = Fix::words("allow the port for the pods of Prometheus");
            let mut finding = place().finding(&METRICS_DENIED, message, fix);
            finding.evidence = isolated_by(class);
            out.push(finding);
        }
    }
}

fn probe_ports(spec: &PodSpec, endpoint: &Endpoint) -> Vec<u16> {
    let probes = spec.containers.iter().flat_map(|one| [&one.readiness, &one.liveness]);
    probes
        .flatten()
        .filter_map(|probe| match &probe.action {
            ProbeAction::Http { port, .. } | ProbeAction::Tcp { port } => match port {
                PortRef::Number(number) => Some(*number),
                PortRef::Name(name) => {
                    endpoint.ports.iter().find(|port| port.name == *name).map(|port| port.port)
                }
            },
            ProbeAction::Grpc { port } => Some(*port),
            ProbeAction::Exec { .. } => None,
        })
        .collect()
}

fn scrape_port(annotations: &Labels) -> Option<u16> {
    (annotations.get(SCRAPE).map(String::as_str) == Some("true"))
        .then(|| annotations.get(SCRAPE_PORT)?.parse().ok())
        .flatten()
}

/// One word about ICMP for all NetworkPolicies that open all ports of somebody.
pub(crate) fn icmp(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let mut found = cx.rules().filter(|(policy, _, rule)| {
        policy.name.kind == PolicyKind::NetworkPolicy
            && rule.ports == Ports::ALL
            && policy.side(Direction::Ingress).is_some_and(|side| side.isolates)
    });
    let Some((policy, _, rule)) = found.next() else { return };
    let more = found.count();
    let names = match more {
        0 => String::new(),
        more => format!(" (and {more} more rules)"),
    };
    let message = format!(
        "a rule without ports{names}: whether it allows ICMP (ping, path MTU) is left to the \
         plugin, NetworkPolicy speaks of TCP, UDP and SCTP only"
    );
    let mut place = cx.rule_place(policy, rule);
    place.object = object_name(&policy.name);
    let fix = Fix::words(
        "nothing, unless pods must be pinged or must not be: then use a \
                          ClusterNetworkPolicy or a policy of the plugin",
    );
    out.push(place.finding(&ICMP_UNDEFINED, message, fix));
}
