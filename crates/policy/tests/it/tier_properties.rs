//! Policies in tiers on random clusters: what is read, lowered and decided agrees with the naive
//! judge of `tier_oracle`, from the text of the objects on.

use std::net::IpAddr;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sekisho_manifest::read;
use sekisho_policy::{Cluster, Connection, Dialect, Pair, Peer, RuleSet};
use serde_json::{Value, json};

use crate::tier_oracle::{End, Oracle, Question, addresses};

pub(crate) const PODS: usize = 6;
pub(crate) const PORTS: [u16; 5] = [79, 80, 81, 443, 65535];

pub(crate) fn labels() -> impl Strategy<Value = Value> {
    btree_map(select(vec!["k", "l"]), select(vec!["x", "yes", ""]), 0..3).prop_map(|map| json!(map))
}

pub(crate) fn selector() -> impl Strategy<Value = Value> {
    let requirement =
        (select(vec!["k", "l"]), select(vec!["In", "NotIn", "Exists", "DoesNotExist"])).prop_map(
            |(key, operator)| match operator {
                "In" | "NotIn" => json!({"key": key, "operator": operator, "values": ["x", ""]}),
                _ => json!({"key": key, "operator": operator}),
            },
        );
    prop_oneof![
        3 => Just(json!({})),
        3 => labels().prop_map(|labels| json!({"matchLabels": labels})),
        2 => requirement.prop_map(|one| json!({"matchExpressions": [one]})),
        1 => Just(json!({"matchLabels": {"kubernetes.io/metadata.name": "c"}})),
    ]
}

pub(crate) fn pod(index: usize) -> impl Strategy<Value = Value> {
    let port = (select(vec!["p", "q"]), select(PORTS.to_vec()), select(vec!["TCP", "UDP", "SCTP"]))
        .prop_map(|(name, port, protocol)| {
            json!({"name": name, "containerPort": port, "protocol": protocol})
        });
    let place = (select(vec!["a", "b", "c"]), select(vec!["n1", "n2"]), 0..8_u8);
    let ports = (vec(port.clone(), 0..3), vec(port, 0..2), any::<bool>());
    (place, labels(), select(vec![(true, true), (true, false), (false, true)]), ports).prop_map(
        move |((namespace, node, on_host), labels, (v4, v6), (ports, init_ports, sidecar))| {
            let addresses = [(v4, format!("10.0.0.{index}")), (v6, format!("fd00::{index:x}"))];
            let ips: Vec<_> = addresses.iter().filter(|(has, _)| *has).collect();
            let ips: Vec<_> = ips.iter().map(|(_, ip)| json!({"ip": ip})).collect();
            let mut init = json!({"name": "i", "ports": init_ports});
            if sidecar {
                init["restartPolicy"] = "Always".into();
            }
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("pod-{index}"), "namespace": namespace, "labels": labels},
                "spec": {
                    "nodeName": node, "hostNetwork": on_host == 0,
                    "containers": [{"name": "m", "ports": ports}], "initContainers": [init],
                },
                "status": {"phase": "Running", "podIPs": ips},
            })
        },
    )
}

pub(crate) fn node(
    name: &'static str,
    ips: &'static [&'static str],
) -> impl Strategy<Value = Value> {
    labels().prop_map(move |labels| {
        let mut addresses: Vec<_> =
            ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
        addresses.push(json!({"type": "Hostname", "address": name}));
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"addresses": addresses},
        })
    })
}

pub(crate) fn namespace(name: &'static str) -> impl Strategy<Value = Value> {
    labels().prop_map(move |labels| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    })
}

fn inside_peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        selector().prop_map(|namespaces| json!({"namespaces": namespaces})),
        (selector(), selector()).prop_map(
            |(namespaces, pods)| json!({"pods": {"namespaceSelector": namespaces, "podSelector": pods}})
        ),
    ]
}

fn networks() -> impl Strategy<Value = Value> {
    let nets = vec![
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/30",
        "10.0.0.3/32",
        "fd00::/126",
        "192.0.2.0/24",
        "203.0.113.0/25",
        "10.0.0.7/29",
    ];
    proptest::sample::subsequence(nets, 1..4).prop_map(|nets| json!({"networks": nets}))
}

fn egress_peer(accepts: bool) -> BoxedStrategy<Value> {
    let nodes = selector().prop_map(|nodes| json!({"nodes": nodes}));
    let names = select(vec!["example.com", "*.example.com", "WWW.Example.com.", "*.com.org"])
        .prop_map(|name| json!({"domainNames": [name]}));
    if accepts {
        prop_oneof![5 => inside_peer(), 3 => networks(), 2 => nodes, 2 => names].boxed()
    } else {
        prop_oneof![5 => inside_peer(), 3 => networks(), 2 => nodes].boxed()
    }
}

fn range() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        select(PORTS.to_vec()).prop_map(|port| (port, port)),
        (78_u16..82, 1_u16..3).prop_map(|(first, more)| (first, first + more)),
        Just((1, 65535)),
        Just((443, 65535)),
    ]
}

fn protocol() -> impl Strategy<Value = Value> {
    let numbers = (select(vec!["tcp", "tcp", "udp", "sctp"]), range()).prop_map(
        |(protocol, (first, last))| {
            let destination = if first == last {
                json!({"number": first})
            } else {
                json!({"range": {"start": first, "end": last}})
            };
            json!({protocol: {"destinationPort": destination}})
        },
    );
    let named = select(vec!["p", "q"]).prop_map(|name| json!({"destinationNamedPort": name}));
    prop_oneof![3 => numbers, 1 => named]
}

fn admin_port() -> impl Strategy<Value = Value> {
    let numbers = (option::of(select(vec!["TCP", "UDP", "SCTP"])), range()).prop_map(
        |(protocol, (first, last))| {
            let (name, mut port) = if first == last {
                ("portNumber", json!({"port": first}))
            } else {
                ("portRange", json!({"start": first, "end": last}))
            };
            if let Some(protocol) = protocol {
                port["protocol"] = protocol.into();
            }
            json!({name: port})
        },
    );
    let named = select(vec!["p", "q"]).prop_map(|name| json!({"namedPort": name}));
    prop_oneof![3 => numbers, 1 => named]
}

/// The word for Accept, the field for ports, and whether peers and ports of a newer API may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cluster,
    Admin,
    Baseline,
}

fn rule(kind: Kind, is_egress: bool) -> BoxedStrategy<Value> {
    let actions = match kind {
        Kind::Cluster => vec!["Accept", "Deny", "Pass"],
        Kind::Admin => vec!["Allow", "Deny", "Pass"],
        Kind::Baseline => vec!["Allow", "Deny"],
    };
    let unknown = if kind == Kind::Cluster { 0..24_u8 } else { 2..3 };
    (select(actions), unknown)
        .prop_flat_map(move |(action, unknown)| {
            let names = action != "Deny" && action != "Pass" && kind != Kind::Baseline;
            let peer = if is_egress { egress_peer(names) } else { inside_peer().boxed() };
            let ports =
                if kind == Kind::Cluster { protocol().boxed() } else { admin_port().boxed() };
            (vec(peer, 1..3), option::of(vec(ports, 1..3))).prop_map(
                move |(mut peers, mut ports)| {
                    if unknown == 0 {
                        peers.push(json!({"clusterSets": {}}));
                    }
                    if unknown == 1
                        && let Some(ports) = &mut ports
                    {
                        ports.push(json!({"icmp": {"type": 8}}));
                    }
                    let mut rule = json!({"action": action});
                    rule[if is_egress { "to" } else { "from" }] = peers.into();
                    if let Some(ports) = ports {
                        rule[if kind == Kind::Cluster { "protocols" } else { "ports" }] =
                            ports.into();
                    }
                    rule
                },
            )
        })
        .boxed()
}

fn tier_policy(kind: Kind) -> impl Strategy<Value = Value> {
    let subject = inside_peer();
    // Few numbers, so that some are equal.
    let place = (select(vec![0, 1, 2, 500, 1000]), select(vec!["Admin", "Admin", "Baseline"]));
    let rules = (vec(rule(kind, false), 0..3), vec(rule(kind, true), 0..3));
    (place, subject, rules).prop_map(move |((priority, tier), subject, (ingress, egress))| {
        let (version, name) = match kind {
            Kind::Cluster => ("v1alpha2", "ClusterNetworkPolicy"),
            Kind::Admin => ("v1alpha1", "AdminNetworkPolicy"),
            Kind::Baseline => ("v1alpha1", "BaselineAdminNetworkPolicy"),
        };
        let mut spec = json!({"subject": subject, "ingress": ingress, "egress": egress});
        if kind != Kind::Baseline {
            spec["priority"] = priority.into();
        }
        if kind == Kind::Cluster {
            spec["tier"] = tier.into();
        }
        json!({
            "apiVersion": format!("policy.networking.k8s.io/{version}"), "kind": name,
            "metadata": {"name": "default"}, "spec": spec,
        })
    })
}

pub(crate) fn network_policy() -> impl Strategy<Value = Value> {
    let block = select(vec!["0.0.0.0/0", "10.0.0.0/30", "fd00::/125"])
        .prop_map(|cidr| json!({"ipBlock": {"cidr": cidr}}));
    let peer = prop_oneof![
        2 => selector().prop_map(|pods| json!({"podSelector": pods})),
        2 => (selector(), selector()).prop_map(|(namespaces, pods)| {
            json!({"namespaceSelector": namespaces, "podSelector": pods})
        }),
        1 => block,
    ];
    let port = prop_oneof![
        select(PORTS.to_vec()).prop_map(|port| json!({"port": port})),
        Just(json!({"port": "p"})),
        Just(json!({"protocol": "UDP", "port": 79, "endPort": 81})),
        Just(json!({"protocol": "SCTP"})),
    ];
    let rule = move |peers: &'static str| {
        (vec(peer.clone(), 0..3), vec(port.clone(), 0..2))
            .prop_map(move |(list, ports)| json!({peers: list, "ports": ports}))
    };
    let types = select(vec![vec!["Ingress"], vec!["Egress"], vec!["Ingress", "Egress"]]);
    let rules = (vec(rule("from"), 0..3), vec(rule("to"), 0..3));
    (select(vec!["a", "b", "c"]), selector(), types, rules).prop_map(
        |(namespace, pods, types, (ingress, egress))| {
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "p", "namespace": namespace},
                "spec": {
                    "podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress,
                },
            })
        },
    )
}

/// The objects of a cluster; namespace `c` has none.
pub(crate) fn objects() -> impl Strategy<Value = Vec<Value>> {
    let pods = (1..=PODS).map(|index| pod(index).boxed()).collect::<Vec<_>>();
    let nodes = (
        node("n1", &["192.0.2.1"]),
        node("n2", &["192.0.2.2", "fd00:2::2"]),
        namespace("a"),
        namespace("b"),
    );
    let tiers = (
        vec(tier_policy(Kind::Cluster), 0..4),
        vec(tier_policy(Kind::Admin), 0..3),
        option::of(tier_policy(Kind::Baseline)),
    );
    (pods, nodes, tiers, vec(network_policy(), 0..3)).prop_map(
        |(pods, (n1, n2, a, b), (cluster, admin, baseline), network)| {
            let mut objects = vec![n1, n2, a, b];
            objects.extend(pods);
            let named = |(index, mut policy): (usize, Value)| {
                policy["metadata"]["name"] = format!("p{index}").into();
                policy
            };
            objects.extend(cluster.into_iter().enumerate().map(named));
            objects.extend(admin.into_iter().enumerate().map(named));
            objects.extend(network.into_iter().enumerate().map(named));
            objects.extend(baseline);
            objects
        },
    )
}

/// All ends, each with each address it may use.
fn ends(objects: &[Value]) -> Vec<End> {
    let node_named = |name: &Value| {
        let is_meant = |node: &&Value| node["kind"] == "Node" && node["metadata"]["name"] == *name;
        objects.iter().find(is_meant).unwrap()
    };
    let mut ends = Vec::new();
    let pods = objects.iter().filter(|object| object["kind"] == "Pod");
    for (index, pod) in pods.enumerate() {
        let own: Vec<IpAddr> = if pod["spec"]["hostNetwork"] == true {
            addresses(node_named(&pod["spec"]["nodeName"]))
        } else {
            let ips = pod["status"]["podIPs"].as_array().unwrap().iter();
            ips.map(|ip| ip["ip"].as_str().unwrap().parse().unwrap()).collect()
        };
        ends.extend(own.into_iter().map(|address| End::Pod(index, address)));
    }
    for node in objects.iter().filter(|object| object["kind"] == "Node") {
        let name = node["metadata"]["name"].as_str().unwrap();
        ends.extend(addresses(node).into_iter().map(|ip| End::Node(name.to_owned(), ip)));
    }
    for address in ["203.0.113.1", "203.0.113.200", "2001:db8::1", "192.0.2.2"] {
        ends.push(End::Address(address.parse().unwrap()));
    }
    for name in ["example.com", "www.example.com", "a.b.example.com", "com.org"] {
        ends.push(End::Domain(name.to_owned()));
    }
    ends
}

fn family(end: &End) -> Option<bool> {
    match end {
        End::Pod(_, address) | End::Node(_, address) | End::Address(address) => {
            Some(address.is_ipv4())
        }
        End::Domain(_) => None,
    }
}

/// All questions between ends of one family.
pub(crate) fn questions(objects: &[Value]) -> Vec<Question> {
    let ends = ends(objects);
    let mut all = Vec::new();
    for source in ends.iter().filter(|end| family(end).is_some()) {
        for destination in &ends {
            if family(destination).is_some_and(|v4| family(source) != Some(v4)) {
                continue;
            }
            let ask = |protocol, port| {
                let (source, destination) = (source.clone(), destination.clone());
                Question { source, destination, protocol, port }
            };
            all.push(ask("ICMP", 0));
            for protocol in ["TCP", "UDP", "SCTP"] {
                all.extend(PORTS.map(|port| ask(protocol, port)));
            }
        }
    }
    all
}

/// The end as the crate has it, and the address it uses.
pub(crate) fn peer<'a>(
    cluster: &'a Cluster,
    oracle: &Oracle<'_>,
    end: &'a End,
) -> (Peer<'a>, Option<IpAddr>) {
    match end {
        End::Pod(index, address) => {
            let meta = &oracle.pods[*index]["metadata"];
            let text = |field: &str| meta[field].as_str().unwrap();
            let endpoint = cluster.endpoint_of_pod(text("namespace"), text("name")).unwrap();
            (Peer::Endpoint(endpoint), Some(*address))
        }
        End::Node(name, address) => (Peer::Node { name, address: Some(*address) }, Some(*address)),
        End::Address(address) => (Peer::Address(*address), Some(*address)),
        End::Domain(name) => (Peer::Domain(name), None),
    }
}

/// Compares every `step`th question, from the `start`th on.
fn compare(objects: &[Value], start: usize, step: usize) -> Result<(), TestCaseError> {
    let text: Vec<_> = objects.iter().map(ToString::to_string).collect();
    let reading = read("random.yaml", &text.join("\n---\n"));
    prop_assert_eq!(&reading.errors, &vec![]);
    let rules = RuleSet::from_objects(&reading.objects, Dialect::Spec);
    let cluster = Cluster::from_objects(&reading.objects);
    let oracle = Oracle::new(objects);
    for question in questions(objects).iter().skip(start).step_by(step) {
        let (source, source_address) = peer(&cluster, &oracle, &question.source);
        let (destination, destination_address) = peer(&cluster, &oracle, &question.destination);
        let protocol = question.protocol.parse().unwrap();
        let port = question.port;
        let connection =
            Connection { source, destination, source_address, destination_address, protocol, port };
        let decision = rules.decide(&cluster, &connection);
        let (may_allow, may_deny) = oracle.verdicts(question);
        let pair = Pair { source, destination, source_address, destination_address };
        let open = rules.decide_pair(&cluster, &pair).allowed();
        prop_assert_eq!(
            open.contains(protocol, port),
            decision.allows(),
            "{:?}: {}",
            question,
            open
        );
        let fits = if decision.allows() { may_allow } else { may_deny };
        prop_assert!(fits, "{question:?}: {decision:?}, not as in:\n{}", text.join("\n---\n"));
    }
    Ok(())
}

/// Long runs: `PROPTEST_CASES=10000 cargo test -p sekisho-policy tiers_are`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: cases().max(1_024), ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn tiers_are_decided_as_the_naive_judge_does(objects in objects(), start in 0_usize..23) {
        compare(&objects, start, 23)?;
    }
}
