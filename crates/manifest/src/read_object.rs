//! Reads texts into objects: documents, lists, kinds.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::at::{At, Context, nearest, shorten};
use crate::calico::{self, read_calico};
use crate::cilium::{self, read_cilium};
use crate::read_gateway::{read_gateway, read_gateway_route, read_reference_grant};
use crate::read_ingress::{read_ingress, read_route, read_service_account};
use crate::read_meta::{Scope, labels, read_lenient_meta, read_meta, string};
use crate::read_policy::{read_cidr, read_policy, read_port_number, read_port_ref, read_protocol};
use crate::read_tier::read_tier_policy;
use crate::read_workload::{read_container, read_pod, read_workload};
use crate::repair::{REPAIR_BYTES_MAX, REPAIRS_MAX, Repair};
use crate::tree::{self, Documents, TEXT_BYTES_MAX, TreeError};
use crate::{
    EndpointSlice, Exposure, GatewayRouteKind, Host, ManifestError, Meta, Namespace, Node, Object,
    OtherObject, PortRef, Service, ServicePort, SlicePort, TierPolicyKind, WorkloadKind, check,
    known,
};

/// Label that every namespace carries (Kubernetes v1.34, NamespaceDefaultLabelName).
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Objects of one text.
const OBJECTS_MAX: usize = 500_000;
/// A group, the versions that we read of it, newest first, and their kinds.
type Group = (&'static str, &'static [&'static str], &'static [&'static str]);
/// Groups we read; one whose kinds have different versions stands here more than once.
const GROUPS: &[Group] = &[
    ("", &["v1"], &["Namespace", "Node", "Pod", "Service", "ServiceAccount"]),
    ("", &["v1"], &["ReplicationController"]),
    ("apps", &["v1"], &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]),
    ("batch", &["v1"], &["Job", "CronJob"]),
    ("discovery.k8s.io", &["v1"], &["EndpointSlice"]),
    ("networking.k8s.io", &["v1"], &["NetworkPolicy", "Ingress"]),
    ("policy.networking.k8s.io", &["v1alpha2", "v1beta1"], &["ClusterNetworkPolicy"]),
    (
        "policy.networking.k8s.io",
        &["v1alpha1"],
        &["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"],
    ),
    ("gateway.networking.k8s.io", &["v1", "v1beta1"], &["Gateway", "HTTPRoute"]),
    ("gateway.networking.k8s.io", &["v1", "v1beta1", "v1alpha2"], &["ReferenceGrant"]),
    ("gateway.networking.k8s.io", &["v1", "v1alpha2"], &["GRPCRoute", "TCPRoute", "UDPRoute"]),
    ("gateway.networking.k8s.io", &["v1", "v1alpha3", "v1alpha2"], &["TLSRoute"]),
    ("route.openshift.io", &["v1"], &["Route"]),
    ("cilium.io", &["v2"], cilium::KINDS),
    ("cilium.io", &["v2", "v2alpha1"], &["CiliumCIDRGroup"]),
    ("projectcalico.org", &["v3"], calico::KINDS),
    ("crd.projectcalico.org", &["v1"], calico::KINDS),
    ("sekisho.dev", &["v1alpha1"], &["Host"]),
];
/// Kinds that were once served by the group `extensions`, and where they went.
const MOVED: &[(&str, &str)] = &[
    ("DaemonSet", "apps/v1"),
    ("Deployment", "apps/v1"),
    ("Ingress", "networking.k8s.io/v1"),
    ("NetworkPolicy", "networking.k8s.io/v1"),
    ("ReplicaSet", "apps/v1"),
];
/// Kinds of the groups above that we know and do not read.
const NOT_READ: &[&str] = &[
    "Binding",
    "ComponentStatus",
    "ConfigMap",
    "ControllerRevision",
    "Endpoints",
    "Event",
    "GatewayClass",
    "IPAddress",
    "IngressClass",
    "LimitRange",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodTemplate",
    "ResourceQuota",
    "Secret",
    "ServiceCIDR",
];

/// What was read of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The objects that could be read, in the order of the text.
    pub objects: Vec<Object>,
    /// What could not be understood, in the order of the text. If there is anything here,
    /// `objects` is incomplete.
    pub errors: Vec<ManifestError>,
    /// What an API server would refuse although its meaning is clear, e.g. a name or label value
    /// with characters it does not take. Analysis may go on; applying must not.
    pub refusals: Vec<ManifestError>,
}

/// Reads all objects of a YAML or JSON text: several documents, and `List` kinds flattened.
///
/// As strict as an API server with strict field validation, except inside `status` and
/// `metadata.managedFields`. Kinds we do not read become [`Object::Other`]. `file` is only for
/// positions and messages.
///
/// # Errors
/// All mistakes of the text, refusals included, in its order; never an empty list. After a syntax
/// error nothing more is read.
pub fn parse(file: &str, text: &str) -> Result<Vec<Object>, Vec<ManifestError>> {
    let Reading { objects, mut errors, refusals } = read(file, text);
    errors.extend(refusals);
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() { Ok(objects) } else { Err(errors) }
}

/// Reads all objects of a text as [`parse`] does, but tells what can't be understood from what is
/// merely refused by API servers.
///
/// Time is linear in the text. Bounds are [`TEXT_BYTES_MAX`] for the text, 4 million values for a
/// document, 500,000 objects, 3 MiB for a string or what stands in brackets; what goes over one is
/// an error that names it. With these, reading takes less than 1.5 GiB of memory whatever the text.
#[must_use]
pub fn read(file: &str, text: &str) -> Reading {
    if text.len() > TEXT_BYTES_MAX {
        return too_long(file, text.len());
    }
    let (first, outcome) = read_once(file, text);
    let Err(mut error) = outcome else { return first };
    let mut repair = Repair::new(text);
    let mut bytes = 0;
    for _ in 0..REPAIRS_MAX {
        if !repair.apply(&error) {
            break;
        }
        bytes += repair.text.len();
        if bytes > REPAIR_BYTES_MAX {
            break;
        }
        match read_once(file, &repair.text) {
            (reading, Ok(brackets)) if repair.is_sound(&brackets) => return reading,
            (_, Ok(_)) => break,
            (_, Err(next)) => error = next,
        }
    }
    first
}

/// Refuses a text for its length.
fn too_long(file: &str, bytes: usize) -> Reading {
    let context = Context::new(file);
    let message = format!("a text may not be longer than {TEXT_BYTES_MAX} bytes, found {bytes}");
    context.report(TreeError { line: 1, column: 1, message });
    let (errors, refusals) = context.finish();
    Reading { objects: Vec::new(), errors, refusals }
}

/// The lines of each pair of brackets of a text, or its syntax error.
type Outcome = Result<Vec<RangeInclusive<u32>>, TreeError>;

/// Reads a text as it stands.
fn read_once(file: &str, text: &str) -> (Reading, Outcome) {
    let context = Context::new(file);
    let mut objects = Vec::new();
    let mut documents = Documents::new(text);
    let outcome = loop {
        let document = documents.next_document();
        for duplicate in documents.duplicates.drain(..) {
            context.report(duplicate);
        }
        match document {
            Ok(Some(root)) => {
                let at = At::root(&context, &root);
                if !at.is_null() {
                    read_document(&at, None, &mut objects);
                }
                if objects.len() > OBJECTS_MAX {
                    let error = too_many(&root);
                    context.report(error.clone());
                    break Err(error);
                }
            }
            Ok(None) => break Ok(documents.brackets),
            Err(error) => {
                context.report(error.clone());
                break Err(error);
            }
        }
    };
    let (errors, refusals) = context.finish();
    (Reading { objects, errors, refusals }, outcome)
}

fn too_many(root: &tree::Node<'_>) -> TreeError {
    let message = format!("a text may not hold more than {OBJECTS_MAX} objects");
    TreeError { line: root.line, column: root.column, message }
}

/// apiVersion and kind.
#[derive(Clone, Copy)]
struct TypeName<'a> {
    version: &'a str,
    kind: &'a str,
}

/// Reads an object or list. Items of a typed list may leave out the type: `default`.
fn read_document(at: &At<'_>, default: Option<TypeName<'_>>, objects: &mut Vec<Object>) {
    if !at.looks_like_object() {
        // Other people's JSON and YAML lies in the same folders: counted, not an error.
        let meta = Meta { position: at.position(), ..Meta::default() };
        objects.push(Object::Other(OtherObject { meta, ..OtherObject::default() }));
        return;
    }
    if !at.check_mapping() {
        return;
    }
    let version_at = at.get("apiVersion");
    let kind_at = at.get("kind");
    let version = version_at.as_ref().map_or(default.map(|name| name.version), At::string);
    let kind = kind_at.as_ref().map_or(default.map(|name| name.kind), At::string);
    for (value, given, name) in [(version, &version_at, "apiVersion"), (kind, &kind_at, "kind")] {
        if value.is_none() && given.is_none() {
            at.missing(name);
        }
    }
    let (Some(version), Some(kind)) = (version, kind) else { return };
    if let Some(item_kind) = kind.strip_suffix("List")
        && (at.has("items") || item_kind.is_empty())
    {
        let default = (!item_kind.is_empty()).then_some(TypeName { version, kind: item_kind });
        let items = at.get("items");
        for item in items.iter().flat_map(At::items) {
            if objects.len() > OBJECTS_MAX {
                return;
            }
            read_document(&item, default, objects);
        }
        return;
    }
    if check_type(at, version, kind) {
        objects.extend(read_object(at, version, kind));
    }
}

/// Whether objects of the type may be read; reports types that look like a mistake.
fn check_type(at: &At<'_>, version: &str, kind: &str) -> bool {
    let (group, group_version) = version.split_once('/').unwrap_or(("", version));
    if group == "extensions"
        && let Some((_, now)) = MOVED.iter().find(|(moved, _)| *moved == kind)
    {
        wrong_version(at, version, now);
        return false;
    }
    let rows = || GROUPS.iter().filter(|(name, ..)| *name == group);
    if let Some((_, versions, _)) = rows().find(|(.., kinds)| kinds.contains(&kind)) {
        if versions.contains(&group_version) {
            return true;
        }
        let newest = versions.first().copied().unwrap_or_default();
        let now = if group.is_empty() { newest.to_owned() } else { format!("{group}/{newest}") };
        wrong_version(at, version, &now);
        return false;
    }
    let kinds: Vec<&str> = rows().flat_map(|(.., kinds)| kinds.iter().copied()).collect();
    match nearest(kind, &kinds) {
        Some(name) if !NOT_READ.contains(&kind) => {
            let message = format!("`{version}` has no kind `{}`", shorten(kind));
            if let Some(at) = at.get("kind") {
                at.wrong_with(message, Some(format!("did you mean `{name}`?")));
            }
            false
        }
        _ => true,
    }
}

fn wrong_version(at: &At<'_>, version: &str, now: &str) {
    let message = format!("`{}` is not a version of this kind that we read", shorten(version));
    let help = Some(format!("write `{now}`"));
    match at.get("apiVersion") {
        Some(at) => at.wrong_with(message, help),
        None => at.wrong_with(message, help),
    }
}

fn read_object(at: &At<'_>, version: &str, kind: &str) -> Option<Object> {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let workload = |kind| read_workload(at, kind).map(Object::Workload);
    let exposure = |exposure: Option<Exposure>| exposure.map(Object::Exposure);
    let other = || {
        Some(Object::Other(OtherObject {
            api_version: version.to_owned(),
            kind: kind.to_owned(),
            meta: read_lenient_meta(at),
        }))
    };
    match (group, kind) {
        ("", "Namespace") => Some(Object::Namespace(read_namespace(at))),
        ("", "Node") => Some(Object::Node(read_node(at))),
        ("", "Pod") => read_pod(at).map(Object::Pod),
        ("", "Service") => read_service(at).map(Object::Service),
        ("discovery.k8s.io", "EndpointSlice") => Some(Object::EndpointSlice(read_slice(at))),
        ("", "ReplicationController") => workload(WorkloadKind::ReplicationController),
        ("apps", "Deployment") => workload(WorkloadKind::Deployment),
        ("apps", "StatefulSet") => workload(WorkloadKind::StatefulSet),
        ("apps", "DaemonSet") => workload(WorkloadKind::DaemonSet),
        ("apps", "ReplicaSet") => workload(WorkloadKind::ReplicaSet),
        ("batch", "Job") => workload(WorkloadKind::Job),
        ("batch", "CronJob") => workload(WorkloadKind::CronJob),
        ("", "ServiceAccount") => Some(Object::ServiceAccount(read_service_account(at))),
        ("networking.k8s.io", "NetworkPolicy") => read_policy(at).map(Object::NetworkPolicy),
        ("policy.networking.k8s.io", _) if let Some(kind) = tier_kind(kind) => {
            read_tier_policy(at, version, kind).map(Object::TierPolicy)
        }
        ("networking.k8s.io", "Ingress") => exposure(read_ingress(at).map(Exposure::Ingress)),
        ("route.openshift.io", "Route") => exposure(read_route(at).map(Exposure::Route)),
        ("gateway.networking.k8s.io", "Gateway") => {
            exposure(read_gateway(at).map(Exposure::Gateway))
        }
        ("gateway.networking.k8s.io", "ReferenceGrant") => {
            exposure(read_reference_grant(at).map(Exposure::ReferenceGrant))
        }
        ("gateway.networking.k8s.io", _) if let Some(kind) = route_kind(kind) => {
            exposure(read_gateway_route(at, kind).map(Exposure::GatewayRoute))
        }
        ("cilium.io", "CiliumCIDRGroup") => read_cilium(at, kind).map(Object::Cilium),
        ("cilium.io", _) if cilium::KINDS.contains(&kind) => {
            read_cilium(at, kind).map(Object::Cilium)
        }
        ("projectcalico.org" | "crd.projectcalico.org", _) if calico::KINDS.contains(&kind) => {
            let object = read_calico(at, kind).map(Object::Calico);
            if calico::is_staged(kind) { other() } else { object }
        }
        ("sekisho.dev", "Host") => read_host(at).map(Object::Host),
        _ => other(),
    }
}

fn tier_kind(kind: &str) -> Option<TierPolicyKind> {
    let kinds = [
        TierPolicyKind::ClusterNetworkPolicy,
        TierPolicyKind::AdminNetworkPolicy,
        TierPolicyKind::BaselineAdminNetworkPolicy,
    ];
    kinds.into_iter().find(|known| known.as_str() == kind)
}

fn route_kind(kind: &str) -> Option<GatewayRouteKind> {
    let kinds = [
        GatewayRouteKind::Http,
        GatewayRouteKind::Grpc,
        GatewayRouteKind::Tls,
        GatewayRouteKind::Tcp,
        GatewayRouteKind::Udp,
    ];
    kinds.into_iter().find(|known| known.as_str() == kind)
}

fn read_namespace(at: &At<'_>) -> Namespace {
    at.check_fields(known::OBJECT);
    let mut meta = read_meta(at, Scope::Cluster(check::dns_label));
    if let Some(spec) = at.get("spec") {
        spec.check_fields(known::NAMESPACE_SPEC);
    }
    meta.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), meta.name.clone());
    Namespace { meta }
}

fn read_node(at: &At<'_>) -> Node {
    at.check_fields(known::OBJECT);
    let meta = read_meta(at, Scope::Cluster(check::dns_subdomain));
    let mut pod_cidrs = Vec::new();
    if let Some(spec) = at.get("spec")
        && spec.check_fields(known::NODE_SPEC)
    {
        pod_cidrs = spec.list("podCIDRs", read_cidr);
        if let (true, Some(cidr)) = (pod_cidrs.is_empty(), spec.get("podCIDR")) {
            pod_cidrs.extend(read_cidr(&cidr));
        }
    }
    let mut addresses = Vec::new();
    if let Some(list) = at.get("status").as_ref().and_then(|status| status.get("addresses")) {
        for item in list.lenient_items() {
            let field = |name| item.get(name).and_then(|at| at.lenient_string().map(str::to_owned));
            if matches!(field("type").as_deref(), Some("InternalIP" | "ExternalIP")) {
                addresses.extend(field("address").and_then(|text| check::address(&text)));
            }
        }
    }
    Node { meta, addresses, pod_cidrs }
}

fn read_host(at: &At<'_>) -> Option<Host> {
    at.check_fields(known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let mut host = Host { meta, ..Host::default() };
    let Some(spec) = at.get("spec") else { return Some(host) };
    if !spec.check_fields(known::HOST_SPEC) {
        return None;
    }
    host.addresses = spec.list("addresses", read_address);
    host.containers = spec.list("containers", |item| read_container(item, false));
    Some(host)
}

fn read_address(at: &At<'_>) -> Option<IpAddr> {
    let text = at.string()?;
    let address = check::address(text);
    if address.is_none() {
        at.wrong(format!("`{}` is no IP address", shorten(text)));
    }
    address
}

fn read_service(at: &At<'_>) -> Option<Service> {
    at.check_fields(known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_label));
    let spec = at.required("spec")?;
    if !spec.check_fields(known::SERVICE_SPEC) {
        return None;
    }
    let service_type = string(&spec, "type").unwrap_or_else(|| "ClusterIP".to_owned());
    let types = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
    if let (false, Some(at)) = (types.contains(&service_type.as_str()), spec.get("type")) {
        let help = nearest(&service_type, &types).map(|name| format!("did you mean `{name}`?"));
        at.wrong_with(format!("must be one of {}", types.join(", ")), help);
    }
    let mut service = Service { meta, service_type, ..Service::default() };
    read_cluster_ips(&spec, &mut service);
    service.selector = spec.get("selector").map(|at| labels(&at)).unwrap_or_default();
    service.ports = spec.list("ports", read_service_port);
    service.external_name = string(&spec, "externalName").filter(|name| !name.is_empty());
    read_outside(at, &spec, &mut service);
    Some(service)
}

/// How a Service is reached from outside.
fn read_outside(at: &At<'_>, spec: &At<'_>, service: &mut Service) {
    service.external_ips = spec.list("externalIPs", read_address);
    service.source_ranges = spec.list("loadBalancerSourceRanges", read_cidr);
    service.external_local = spec.get("externalTrafficPolicy").is_some_and(|at| {
        at.word(&[("Cluster", false), ("Local", true), ("", false)]).unwrap_or_default()
    });
    // Nobody writes a status by hand, so what is not as expected there is left out.
    if let Some(status) = at.get("status")
        && let Some(balancer) = status.get("loadBalancer")
        && let Some(list) = balancer.get("ingress")
    {
        let address = |item: &At<'_>| check::address(item.get("ip")?.lenient_string()?);
        service.load_balancer_ips = list.lenient_items().iter().filter_map(address).collect();
    }
    if let Some(at) = spec.get("loadBalancerIP")
        && service.load_balancer_ips.is_empty()
        && at.lenient_string() != Some("")
    {
        service.load_balancer_ips.extend(read_address(&at));
    }
}

fn read_cluster_ips(spec: &At<'_>, service: &mut Service) {
    let mut read = |at: &At<'_>| {
        match at.string() {
            Some("None") => service.headless = true,
            Some("") | None => {}
            Some(_) => service.cluster_ips.extend(read_address(at)),
        }
        Some(())
    };
    let many = spec.get("clusterIPs");
    let items = many.as_ref().map(At::items).unwrap_or_default();
    items.iter().for_each(|at| {
        read(at);
    });
    if items.is_empty()
        && let Some(one) = spec.get("clusterIP")
    {
        read(&one);
    }
}

fn read_slice(at: &At<'_>) -> EndpointSlice {
    at.check_fields(known::SLICE);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let kinds = [("IPv4", true), ("IPv6", true), ("FQDN", false)];
    let is_address = at.required("addressType").and_then(|at| at.word(&kinds)).unwrap_or_default();
    let endpoints = at.list("endpoints", |at| {
        at.check_fields(known::SLICE_ENDPOINT);
        Some(if is_address { at.list("addresses", read_address) } else { Vec::new() })
    });
    let ports = at.list("ports", |at| {
        at.check_fields(known::SLICE_PORT);
        // Without a number it stands for all ports, which no Service has.
        let port = at.get("port").and_then(|at| read_port_number(&at))?;
        let name = string(at, "name").unwrap_or_default();
        Some(SlicePort { name, protocol: read_protocol(at)?, port })
    });
    EndpointSlice { meta, addresses: endpoints.into_iter().flatten().collect(), ports }
}

fn read_service_port(at: &At<'_>) -> Option<ServicePort> {
    if !at.check_fields(known::SERVICE_PORT) {
        return None;
    }
    let name_at = at.get("name");
    let name = name_at.as_ref().and_then(At::string).unwrap_or_default();
    if let (Some(at), false, Some(message)) = (&name_at, name.is_empty(), check::dns_label(name)) {
        at.wrong(format!("`{}`: {message}", shorten(name)));
    }
    let protocol = read_protocol(at);
    let port = at.required("port").and_then(|at| read_port_number(&at));
    // 0 and "" stand for "the same as port".
    let target = at
        .get("targetPort")
        .filter(|at| at.lenient_int() != Some(0) && at.lenient_string() != Some(""))
        .map(|at| read_port_ref(&at));
    let node_port = at.get("nodePort").filter(|at| at.lenient_int() != Some(0));
    let node_port = node_port.and_then(|at| read_port_number(&at));
    let port = port?;
    Some(ServicePort {
        name: name.to_owned(),
        protocol: protocol?,
        port,
        target_port: target.unwrap_or(Some(PortRef::Number(port)))?,
        node_port,
    })
}
