//! Pods that may talk and can't ask for names.

use std::collections::BTreeMap;

use sekisho_manifest::ContainerPort;
use sekisho_model::{Direction, Labels, PartyKind, Protocol, WorkloadRef};

use super::code::DNS_CUT_OFF;
use super::context::{Class, Context, Far, object_name, workload_name};
use super::finding::{Edit, Finding, Fix, Severity, evidence};
use crate::ir::Policy;
use crate::{Endpoint, Pair, Peer, PolicyKind, PortSet};

const DNS_PORT: u16 = 53;
/// Namespace and labels of the cluster's DNS as kubeadm, EKS, GKE, AKS and k3s have it.
const NAMESPACE: &str = "kube-system";
const LABEL: (&str, &str) = ("k8s-app", "kube-dns");
/// OpenShift's DNS pods, behind port 53 of a Service.
const OPENSHIFT_NAMESPACE: &str = "openshift-dns";
const OPENSHIFT_PORT: u16 = 5353;
const OPENSHIFT_LABEL: &str = "dns.operator.openshift.io/daemonset-dns";
/// Where NodeLocal DNSCache listens.
const NODE_LOCAL: std::net::IpAddr =
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 20, 10));
const RULE: &str = "{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: \
                    kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: \
                    [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}";

/// What is missing, and for whom.
#[derive(Default)]
struct Missing {
    workloads: Vec<String>,
    udp: bool,
    /// Something else is allowed that is found by name.
    needs_names: bool,
}

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let stand_ins = stand_ins();
    let known: Vec<&Endpoint> =
        cx.cluster.endpoints.iter().filter(|endpoint| is_dns(endpoint)).collect();
    let servers = if known.is_empty() { stand_ins.iter().collect() } else { known };
    let mut missing: BTreeMap<usize, Missing> = BTreeMap::new();
    let policies: Vec<&Policy> = cx.policies().map(|(_, policy)| policy).collect();
    for (class, endpoint) in cx.ordinary().filter(|(_, endpoint)| !is_dns(endpoint)) {
        let isolating = class
            .book
            .tiers
            .iter()
            .flat_map(|tier| &tier.policies)
            .filter(|policy| policy.egress.as_ref().is_some_and(|side| side.isolates));
        let isolating: Vec<&Policy> = isolating.collect();
        // The policy that allows something is where the rule is missing.
        let has_rules =
            |policy: &&&Policy| policy.egress.as_ref().is_some_and(|side| !side.rules.is_empty());
        let Some(policy) = isolating.iter().find(has_rules) else { continue };
        let open = asked(cx, (class, endpoint), &servers);
        let (udp, tcp) =
            (open.contains(Protocol::Udp, DNS_PORT), open.contains(Protocol::Tcp, DNS_PORT));
        if udp && tcp {
            continue;
        }
        let Some(index) = policies.iter().position(|one| one.position == policy.position) else {
            continue;
        };
        let entry = missing.entry(index).or_default();
        entry.workloads.extend(class.workloads.iter().map(workload_name));
        entry.udp |= !udp;
        entry.needs_names |= reaches_pods(cx, (class, endpoint));
    }
    for (index, missing) in missing {
        if let Some(policy) = policies.get(index) {
            out.push(finding(cx, policy, missing));
        }
    }
}

fn is_dns(endpoint: &Endpoint) -> bool {
    let label = |key: &str, value: &str| endpoint.labels.get(key).is_some_and(|own| own == value);
    label(LABEL.0, LABEL.1) || label(OPENSHIFT_LABEL, "default")
}

/// The DNS pods that most clusters have, for files that do not tell of them.
fn stand_ins() -> [Endpoint; 2] {
    [
        stand_in(NAMESPACE, LABEL, DNS_PORT),
        stand_in(OPENSHIFT_NAMESPACE, (OPENSHIFT_LABEL, "default"), OPENSHIFT_PORT),
    ]
}

fn stand_in(namespace: &str, (key, value): (&str, &str), number: u16) -> Endpoint {
    let port = |name: &str, protocol| ContainerPort {
        name: name.to_owned(),
        port: number,
        protocol,
        host_port: None,
    };
    Endpoint {
        namespace: namespace.to_owned(),
        name: "dns".to_owned(),
        workload: WorkloadRef {
            namespace: namespace.to_owned(),
            name: "dns".to_owned(),
            kind: "DaemonSet".to_owned(),
        },
        kind: PartyKind::Pod,
        labels: Labels::from([(key.to_owned(), value.to_owned())]),
        addresses: Vec::new(),
        ports: vec![port("dns", Protocol::Udp), port("dns-tcp", Protocol::Tcp)],
        host_network: false,
        node: None,
        service_account: None,
    }
}

/// The ports that the pod may use towards DNS: the cluster's, that of its node, or one outside.
fn asked(
    cx: &Context<'_>,
    (class, endpoint): (&Class, &Endpoint),
    servers: &[&Endpoint],
) -> PortSet {
    let inside = servers.iter().map(|server| Peer::Endpoint(server));
    let outside = cx.externals().iter().copied().chain([NODE_LOCAL]).map(Peer::Address);
    let ends = inside.chain(outside);
    ends.fold(PortSet::none(), |set, peer| set.union(&egress(cx, (class, endpoint), peer)))
}

fn egress(cx: &Context<'_>, (class, endpoint): (&Class, &Endpoint), peer: Peer<'_>) -> PortSet {
    let pair = Pair {
        source: Peer::Endpoint(endpoint),
        destination: peer,
        source_address: None,
        destination_address: None,
    };
    // CoreDNS may listen elsewhere than on 53 (OpenShift: 5353); then its port counts as 53.
    let own = class.book.pair_direction(&cx.cluster, &pair, Direction::Egress).allowed();
    let Peer::Endpoint(server) = peer else { return own };
    server.ports.iter().filter(|port| port.name.starts_with("dns")).fold(own, |set, port| {
        if set.contains(port.protocol, port.port) {
            set.union(&PortSet::range(port.protocol, DNS_PORT, DNS_PORT))
        } else {
            set
        }
    })
}

/// Whether the pod may talk to any pod: those are found by the names of their Services.
fn reaches_pods(cx: &Context<'_>, (class, endpoint): (&Class, &Endpoint)) -> bool {
    cx.far_ends().into_iter().any(|far| {
        let Far::Class(index) = far else { return false };
        cx.classes
            .get(index)
            .and_then(|other| cx.endpoint(other))
            .filter(|other| !other.is(endpoint))
            .is_some_and(|other| !egress(cx, (class, endpoint), Peer::Endpoint(other)).is_empty())
    })
}

fn finding(cx: &Context<'_>, policy: &Policy, missing: Missing) -> Finding {
    let place = cx.place(object_name(&policy.name), &policy.position, "spec.egress");
    let message = if missing.udp {
        "isolates egress and does not allow DNS (UDP and TCP 53): names no longer resolve"
    } else {
        "allows DNS over UDP only: answers that do not fit are asked for again over TCP 53"
    };
    let edit = edit(cx, policy);
    let fix = Fix::with("allow UDP and TCP 53 to the cluster's DNS", edit);
    let mut finding = place.finding(&DNS_CUT_OFF, message.to_owned(), fix);
    if cx.is_recommended(&policy.name) || (missing.udp && !missing.needs_names) {
        // What is reached by address alone needs no names.
        finding.severity = Severity::Note;
    }
    finding.evidence = evidence(missing.workloads);
    finding
}

fn edit(cx: &Context<'_>, policy: &Policy) -> Option<Edit> {
    if policy.name.kind != PolicyKind::NetworkPolicy {
        return None;
    }
    let document = cx.document(&policy.position)?;
    document.append_item(document.field("spec.egress")?, RULE)
}
