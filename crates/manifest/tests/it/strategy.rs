//! Random objects, such as parsing can give.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sekisho_manifest::{
    Container, ContainerPort, Host, LabelSelector, Meta, Namespace, NetworkPolicy, Node, Object,
    Operator, OtherObject, OwnerRef, Pod, PodPhase, PodSpec, PodStatus, PodTemplate, PolicyPeer,
    PolicyPort, PolicyRule, PortRef, Position, Probe, ProbeAction, Requirement, RestartPolicy,
    Service, ServiceAccount, ServicePort, Workload, WorkloadKind,
};
use sekisho_model::{Labels, Protocol, Timestamp};

use crate::strategy_tier::{exposure, forget_exposure, forget_tier, tier_policy};

const TRICKY: [&str; 24] = [
    "",
    "a",
    "yes",
    "No",
    "null",
    "~",
    "1",
    "0x1f",
    "1e3",
    "1_000",
    "-",
    ".",
    "x: y",
    "# c",
    "a\nb",
    " a ",
    "'",
    "\"",
    "\\",
    "\t",
    "{a}",
    "<<",
    "\u{85}\u{2028}\u{feff}",
    "\u{1f600}\u{0}\u{7f}",
];

fn anything() -> impl Strategy<Value = String> {
    prop_oneof![select(TRICKY.to_vec()).prop_map(str::to_owned), "\\PC{0,12}", any::<String>()]
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?",
        select(vec!["yes", "no", "1", "1e3", "null", "0x1", "on"]).prop_map(str::to_owned)
    ]
}

fn label_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9]([A-Za-z0-9_.-]{0,5}[A-Za-z0-9])?",
        select(vec!["", "true", "1.5", "08", "1_0", "N", "Null", "1e5", "0b1"])
            .prop_map(str::to_owned)
    ]
}

fn label_key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9]{1,4}",
        "[a-z]{1,3}\\.[a-z]{1,3}/[A-Za-z0-9]{1,3}",
        Just("y".to_owned())
    ]
}

pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    btree_map(label_key(), label_value(), 0..3)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()))
    ]
    .prop_map(|address| address.to_canonical())
}

pub(crate) fn cidr() -> impl Strategy<Value = IpNet> {
    (address(), 0_u8..=128)
        .prop_map(|(address, bits)| {
            let width = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, bits % (width + 1)).unwrap().trunc()
        })
        .prop_filter("mapped ranges become IPv4", |net| match net {
            IpNet::V4(_) => true,
            IpNet::V6(net) => net.addr().to_ipv4_mapped().is_none(),
        })
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_nanos)
}

pub(crate) fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

fn port_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,10}",
        select(vec!["1e3", "n", "yes", "0x1"]).prop_map(str::to_owned)
    ]
}

pub(crate) fn port_ref() -> impl Strategy<Value = PortRef> {
    prop_oneof![(1_u16..).prop_map(PortRef::Number), port_name().prop_map(PortRef::Name)]
}

/// Metadata with all that JSON carries; cluster-wide if `cluster`.
pub(crate) fn meta(cluster: bool) -> impl Strategy<Value = Meta> {
    let owner = ("[A-Z][a-z]{1,4}", name()).prop_map(|(kind, name)| OwnerRef { kind, name });
    let annotations = btree_map(label_key(), anything(), 0..3);
    let times = (option::of(time()), option::of(time()));
    ((name(), name()), anything(), labels(), annotations, option::of(owner), times).prop_map(
        move |((name, namespace), uid, labels, annotations, owner, (created, deleted))| Meta {
            name,
            namespace: if cluster { String::new() } else { namespace },
            uid,
            labels,
            annotations,
            owner,
            created,
            deleted,
            position: Position::default(),
        },
    )
}

pub(crate) fn selector() -> impl Strategy<Value = LabelSelector> {
    let operators = vec![Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist];
    let requirement = (label_key(), select(operators), vec(label_value(), 1..3)).prop_map(
        |(key, operator, values)| Requirement {
            key,
            operator,
            values: match operator {
                Operator::In | Operator::NotIn => values,
                Operator::Exists | Operator::DoesNotExist => Vec::new(),
            },
        },
    );
    (labels(), vec(requirement, 0..2)).prop_map(|(match_labels, match_expressions)| LabelSelector {
        match_labels,
        match_expressions,
    })
}

fn peer() -> impl Strategy<Value = PolicyPeer> {
    let pods = (option::of(selector()), option::of(selector())).prop_map(|(namespaces, pods)| {
        // Neither is not a peer in Kubernetes; it prints as all pods of the namespace.
        let pods = if namespaces.is_none() { Some(pods.unwrap_or_default()) } else { pods };
        PolicyPeer::Pods { namespaces, pods }
    });
    let block = (cidr(), 1_u8..).prop_map(|(cidr, more)| {
        let width = if cidr.addr().is_ipv4() { 32 } else { 128 };
        let bits = cidr.prefix_len().saturating_add(more).min(width);
        let hole = IpNet::new(cidr.addr(), bits).unwrap();
        let except = if bits > cidr.prefix_len() { vec![hole] } else { Vec::new() };
        PolicyPeer::IpBlock { cidr, except }
    });
    prop_oneof![pods, block]
}

fn rule() -> impl Strategy<Value = PolicyRule> {
    let port = (protocol(), option::of(port_ref()), option::of(any::<u16>())).prop_map(
        |(protocol, port, more)| PolicyPort {
            protocol,
            end_port: match (&port, more) {
                (Some(PortRef::Number(start)), Some(more)) => Some(start.saturating_add(more)),
                _ => None,
            },
            port,
        },
    );
    let comment = vec(anything(), 0..2);
    (vec(peer(), 0..3), vec(port, 0..3), comment).prop_map(|(peers, ports, comment)| PolicyRule {
        peers,
        ports,
        position: Position::default(),
        comment,
    })
}

pub(crate) fn policy() -> impl Strategy<Value = NetworkPolicy> {
    let types = select(vec![(true, false), (false, true), (true, true)]);
    (meta(false), selector(), types, vec(rule(), 0..3), vec(rule(), 0..3)).prop_map(
        |(meta, pod_selector, (isolates_ingress, isolates_egress), ingress, egress)| {
            NetworkPolicy { meta, pod_selector, isolates_ingress, isolates_egress, ingress, egress }
        },
    )
}

fn container_port() -> impl Strategy<Value = ContainerPort> {
    let name = prop_oneof![Just(String::new()), port_name()];
    (name, 1_u16.., protocol(), option::of(1_u16..)).prop_map(
        |(name, port, protocol, host_port)| ContainerPort { name, port, protocol, host_port },
    )
}

fn probe() -> impl Strategy<Value = Probe> {
    let path = anything().prop_map(|path| format!("/{path}"));
    let action = prop_oneof![
        (path, port_ref()).prop_map(|(path, port)| ProbeAction::Http { path, port }),
        port_ref().prop_map(|port| ProbeAction::Tcp { port }),
        vec(anything(), 0..2).prop_map(|command| ProbeAction::Exec { command }),
        (1_u16..).prop_map(|port| ProbeAction::Grpc { port }),
    ];
    (action, 1_u32..100, 1_u32..100, 0_u32..100, 1_u32..100).prop_map(
        |(action, period_s, timeout_s, initial_delay_s, failure_threshold)| Probe {
            action,
            period_s,
            timeout_s,
            initial_delay_s,
            failure_threshold,
        },
    )
}

fn container(init: bool) -> impl Strategy<Value = Container> {
    let texts = (vec(anything(), 0..3), vec(anything(), 0..3), vec((anything(), anything()), 0..2));
    let probes = (option::of(probe()), option::of(probe()));
    (name(), anything(), texts, vec(container_port(), 0..3), probes, any::<bool>()).prop_map(
        move |(name, image, (command, args, env), ports, (readiness, liveness), sidecar)| {
            Container {
                name,
                image,
                command,
                args,
                env,
                ports,
                readiness,
                liveness,
                sidecar: init && sidecar,
            }
        },
    )
}

fn pod_spec() -> impl Strategy<Value = PodSpec> {
    let restart =
        select(vec![RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]);
    let place = (option::of(name()), labels(), any::<bool>(), option::of(name()));
    (place, restart, vec(container(false), 1..3), vec(container(true), 0..2)).prop_map(
        |(
            (node_name, node_selector, host_network, service_account),
            restart_policy,
            containers,
            init_containers,
        )| PodSpec {
            node_name,
            node_selector,
            host_network,
            service_account,
            restart_policy,
            containers,
            init_containers,
        },
    )
}

fn pod() -> impl Strategy<Value = Pod> {
    let phases = vec![
        PodPhase::Pending,
        PodPhase::Running,
        PodPhase::Succeeded,
        PodPhase::Failed,
        PodPhase::Unknown,
    ];
    let status = (
        select(phases),
        vec(address(), 0..3),
        option::of(address()),
        any::<bool>(),
        option::of(time()),
        0_u32..9,
        vec((name(), "sha256:[0-9a-f]{8}"), 0..3),
    );
    (meta(false), pod_spec(), status).prop_map(|(meta, spec, status)| {
        let (phase, pod_ips, host_ip, ready, started, restarts, image_ids) = status;
        let status = PodStatus { phase, pod_ips, host_ip, ready, started, restarts, image_ids };
        Pod { meta, spec, status }
    })
}

fn workload() -> impl Strategy<Value = Workload> {
    let kinds = vec![
        WorkloadKind::Deployment,
        WorkloadKind::StatefulSet,
        WorkloadKind::DaemonSet,
        WorkloadKind::ReplicaSet,
        WorkloadKind::ReplicationController,
        WorkloadKind::Job,
        WorkloadKind::CronJob,
    ];
    (meta(false), select(kinds), 0_u32..9, labels(), pod_spec(), anything()).prop_map(
        |(meta, kind, replicas, labels, spec, schedule)| {
            let mut labels = labels;
            labels.insert("app".to_owned(), "a".to_owned());
            let is_job = matches!(kind, WorkloadKind::Job | WorkloadKind::CronJob);
            Workload {
                meta,
                kind,
                replicas: if kind == WorkloadKind::DaemonSet { 1 } else { replicas },
                selector: if is_job {
                    LabelSelector::default()
                } else {
                    LabelSelector::of(labels.clone())
                },
                template: PodTemplate { labels: labels.clone(), annotations: labels, spec },
                schedule: (kind == WorkloadKind::CronJob).then_some(schedule),
            }
        },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let port = (
        prop_oneof![Just(String::new()), name()],
        protocol(),
        1_u16..,
        port_ref(),
        option::of(1_u16..),
    )
        .prop_map(|(name, protocol, port, target_port, node_port)| ServicePort {
            name,
            protocol,
            port,
            target_port,
            node_port,
        });
    let external = option::of("[a-z]{1,5}");
    let outside = (vec(address(), 0..2), vec(address(), 0..2), vec(cidr(), 0..2), any::<bool>());
    (
        meta(false),
        select(vec!["ClusterIP", "ExternalName"]),
        vec(address(), 0..3),
        any::<bool>(),
        labels(),
        vec(port, 0..3),
        external,
        outside,
    )
        .prop_map(
            |(meta, kind, cluster_ips, headless, selector, ports, external_name, outside)| {
                let (external_ips, load_balancer_ips, source_ranges, external_local) = outside;
                Service {
                    meta,
                    service_type: kind.to_owned(),
                    cluster_ips,
                    headless,
                    selector,
                    ports,
                    external_name,
                    external_ips,
                    load_balancer_ips,
                    source_ranges,
                    external_local,
                }
            },
        )
}

pub(crate) fn object() -> impl Strategy<Value = Object> {
    let namespace = meta(true).prop_map(|mut meta| {
        meta.labels.insert("kubernetes.io/metadata.name".to_owned(), meta.name.clone());
        Object::Namespace(Namespace { meta })
    });
    let node = (meta(true), vec(address(), 0..3), vec(cidr(), 0..3))
        .prop_map(|(meta, addresses, pod_cidrs)| Object::Node(Node { meta, addresses, pod_cidrs }));
    let host = (meta(false), vec(address(), 0..3), vec(container(false), 0..2)).prop_map(
        |(meta, addresses, containers)| Object::Host(Host { meta, addresses, containers }),
    );
    let other = (name(), name()).prop_map(|(name, namespace)| {
        let meta = Meta { name, namespace, ..Meta::default() };
        Object::Other(OtherObject {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            meta,
        })
    });
    prop_oneof![
        1 => namespace,
        1 => node,
        3 => pod().prop_map(Object::Pod),
        3 => workload().prop_map(Object::Workload),
        2 => service().prop_map(Object::Service),
        3 => policy().prop_map(Object::NetworkPolicy),
        3 => tier_policy().prop_map(Object::TierPolicy),
        3 => exposure().prop_map(Object::Exposure),
        1 => meta(false).prop_map(|meta| Object::ServiceAccount(ServiceAccount { meta })),
        1 => host,
        1 => other,
    ]
}

fn forget_rules(policy: &mut NetworkPolicy) {
    policy.meta.position = Position::default();
    for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
        rule.position = Position::default();
        rule.comment.clear();
    }
}

/// Drops positions and comments.
pub(crate) fn forget(object: &mut Object) {
    let meta = match object {
        Object::Namespace(object) => &mut object.meta,
        Object::Node(object) => &mut object.meta,
        Object::Pod(object) => &mut object.meta,
        Object::Workload(object) => &mut object.meta,
        Object::Service(object) => &mut object.meta,
        Object::EndpointSlice(object) => &mut object.meta,
        Object::NetworkPolicy(policy) => return forget_rules(policy),
        Object::TierPolicy(policy) => return forget_tier(policy),
        Object::Exposure(exposure) => return forget_exposure(exposure),
        Object::ServiceAccount(object) => &mut object.meta,
        Object::Host(object) => &mut object.meta,
        Object::Other(object) => &mut object.meta,
        Object::Cilium(object) => object.meta_mut(),
        Object::Calico(object) => object.meta_mut(),
    };
    meta.position = Position::default();
}
