//! Laws that hold for every cluster and every set of policies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sekisho_manifest::{
    ContainerPort, LabelSelector, Meta, NetworkPolicy, Operator, PolicyPeer, PolicyPort,
    PolicyRule, PortRef, Position, Requirement,
};
use sekisho_model::{Labels, PartyKind, Protocol, WorkloadRef};
use sekisho_policy::{Cluster, Connection, Endpoint, Pair, Peer, RuleSet};

use crate::reference::{PORTS, PROTOCOLS, open_ports};

pub(crate) const NAMESPACES: [&str; 3] = ["a", "b", "c"];

pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    btree_map(select(vec!["k", "l"]), select(vec!["x", "y", ""]), 0..3).prop_map(|map| {
        map.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    })
}

pub(crate) fn requirement() -> impl Strategy<Value = Requirement> {
    let operators = vec![Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist];
    (select(vec!["k", "l"]), select(operators), vec(select(vec!["x", "y", ""]), 1..3)).prop_map(
        |(key, operator, values)| Requirement {
            key: key.to_owned(),
            operator,
            values: match operator {
                Operator::In | Operator::NotIn => values.into_iter().map(str::to_owned).collect(),
                Operator::Exists | Operator::DoesNotExist => Vec::new(),
            },
        },
    )
}

pub(crate) fn selector() -> impl Strategy<Value = LabelSelector> {
    prop_oneof![
        2 => Just(LabelSelector::default()),
        3 => labels().prop_map(LabelSelector::of),
        2 => vec(requirement(), 0..2)
            .prop_map(|match_expressions| LabelSelector { match_expressions, ..Default::default() }),
    ]
}

fn block() -> impl Strategy<Value = PolicyPeer> {
    let blocks = vec![
        ("0.0.0.0/0", vec![]),
        ("0.0.0.0/0", vec!["10.0.0.0/30"]),
        ("10.0.0.0/29", vec!["10.0.0.2/31", "10.0.0.5/32"]),
        ("10.0.0.3/32", vec![]),
        ("192.0.2.0/24", vec![]),
        ("::/0", vec!["fd00::4/126"]),
        ("fd00::/125", vec![]),
        ("203.0.113.0/24", vec!["203.0.113.128/25"]),
    ];
    select(blocks).prop_map(|(cidr, except)| PolicyPeer::IpBlock {
        cidr: cidr.parse().unwrap(),
        except: except.iter().map(|net| net.parse().unwrap()).collect(),
    })
}

fn peer() -> impl Strategy<Value = PolicyPeer> {
    let pods = (option::of(selector()), option::of(selector()))
        .prop_map(|(namespaces, pods)| PolicyPeer::Pods { namespaces, pods });
    prop_oneof![2 => pods, 1 => block()]
}

pub(crate) fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

fn port() -> impl Strategy<Value = PolicyPort> {
    let port = prop_oneof![
        1 => Just((None, None)),
        3 => PORTS.prop_map(|port| (Some(PortRef::Number(port)), None)),
        2 => (PORTS, 0_u16..4)
            .prop_map(|(port, more)| (Some(PortRef::Number(port)), Some(port + more))),
        2 => select(vec!["p", "q"]).prop_map(|name| (Some(PortRef::Name(name.to_owned())), None)),
    ];
    (protocol(), port).prop_map(|(protocol, (port, end_port))| PolicyPort {
        protocol,
        port,
        end_port,
    })
}

fn rule() -> impl Strategy<Value = PolicyRule> {
    (vec(peer(), 0..3), vec(port(), 0..3)).prop_map(|(peers, ports)| PolicyRule {
        peers,
        ports,
        position: Position::default(),
        comment: Vec::new(),
    })
}

pub(crate) fn policy() -> impl Strategy<Value = NetworkPolicy> {
    let types = select(vec![(true, false), (false, true), (true, true)]);
    let name = (select(NAMESPACES.to_vec()), select(vec!["p", "q", "r", "s"]));
    (name, selector(), types, vec(rule(), 0..3), vec(rule(), 0..3)).prop_map(
        |(
            (namespace, name),
            pod_selector,
            (isolates_ingress, isolates_egress),
            ingress,
            egress,
        )| {
            let meta =
                Meta { name: name.to_owned(), namespace: namespace.to_owned(), ..Meta::default() };
            NetworkPolicy { meta, pod_selector, isolates_ingress, isolates_egress, ingress, egress }
        },
    )
}

fn endpoint(index: u8) -> impl Strategy<Value = Endpoint> {
    let container_port =
        (select(vec!["p", "q", ""]), PORTS, protocol()).prop_map(|(name, port, protocol)| {
            ContainerPort { name: name.to_owned(), port, protocol, host_port: None }
        });
    let families = select(vec![(true, true), (true, false), (false, true), (false, false)]);
    let node = option::of(select(vec!["n1", "n2"]));
    let place = (select(NAMESPACES.to_vec()), node, proptest::bool::weighted(0.15));
    (place, labels(), families, vec(container_port, 0..4)).prop_map(
        move |((namespace, node, host_network), labels, (v4, v6), ports)| {
            let name = format!("pod-{index}");
            let mut addresses: Vec<IpAddr> = Vec::new();
            if v4 {
                addresses.push(IpAddr::from([10, 0, 0, index]));
            }
            if v6 {
                addresses.push(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(index)]));
            }
            Endpoint {
                namespace: namespace.to_owned(),
                workload: WorkloadRef {
                    namespace: namespace.to_owned(),
                    name: name.clone(),
                    kind: "Pod".to_owned(),
                },
                name,
                kind: PartyKind::Pod,
                labels,
                addresses,
                ports,
                host_network: host_network && node.is_some(),
                node: node.map(str::to_owned),
                service_account: None,
            }
        },
    )
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let endpoints = (0_u8..6).map(|index| endpoint(index).boxed()).collect::<Vec<_>>();
    (endpoints, labels(), labels()).prop_map(|(mut endpoints, a, b)| {
        endpoints.sort_by(|x, y| (&x.namespace, &x.name).cmp(&(&y.namespace, &y.name)));
        // Namespace c has no object.
        let namespaces = BTreeMap::from([
            ("a".to_owned(), with_name(a, "a")),
            ("b".to_owned(), with_name(b, "b")),
        ]);
        let nodes = BTreeMap::from([
            ("n1".to_owned(), vec!["192.0.2.1".parse().unwrap()]),
            ("n2".to_owned(), vec!["192.0.2.2".parse().unwrap(), "fd00::2:2".parse().unwrap()]),
        ]);
        Cluster { namespaces, endpoints, nodes, ..Cluster::default() }
    })
}

fn with_name(mut labels: Labels, name: &str) -> Labels {
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    labels
}

/// All ends of a cluster, each with each of the addresses it may use, and some from outside.
pub(crate) fn ends(cluster: &Cluster) -> Vec<(Peer<'_>, Option<IpAddr>)> {
    let mut ends = Vec::new();
    for endpoint in &cluster.endpoints {
        let node = endpoint.node.as_ref().filter(|_| endpoint.host_network);
        let addresses = node.map_or(&endpoint.addresses, |node| &cluster.nodes[node]);
        ends.extend(addresses.iter().map(|address| (Peer::Endpoint(endpoint), Some(*address))));
        if addresses.is_empty() {
            ends.push((Peer::Endpoint(endpoint), None));
        }
    }
    for (name, addresses) in &cluster.nodes {
        for address in addresses {
            ends.push((Peer::Node { name, address: Some(*address) }, Some(*address)));
        }
    }
    for outside in ["203.0.113.1", "203.0.113.200", "2001:db8::1", "192.0.2.1"] {
        let address = outside.parse().unwrap();
        ends.push((Peer::Address(address), Some(address)));
    }
    ends
}

/// All connections between all ends of one family, on some ports.
fn connections(cluster: &Cluster) -> Vec<Connection<'_>> {
    let ends = ends(cluster);
    let mut all = Vec::new();
    for (source, source_address) in &ends {
        for (destination, destination_address) in &ends {
            let families = [source_address, destination_address].map(|a| a.map(|a| a.is_ipv4()));
            if families[0].is_some() && families[1].is_some() && families[0] != families[1] {
                continue;
            }
            for (protocol, port) in
                PROTOCOLS.iter().flat_map(|protocol| [80, 82].map(|port| (*protocol, port)))
            {
                all.push(Connection {
                    source: *source,
                    destination: *destination,
                    source_address: *source_address,
                    destination_address: *destination_address,
                    protocol,
                    port,
                });
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn the_evaluator_agrees_with_one_built_the_other_way_round(
        cluster in cluster(),
        policies in vec(policy(), 0..6),
    ) {
        let rules = RuleSet::new(policies);
        for connection in connections(&cluster) {
            let Connection { source, destination, source_address, destination_address, protocol, port } = connection;
            let open = open_ports(&rules, &cluster, (source, source_address), (destination, destination_address));
            let decision = rules.decide(&cluster, &connection);
            prop_assert_eq!(
                decision.allows(),
                open.contains(&(protocol, port)),
                "{:?} {:?}", connection, decision
            );
            let pair = Pair { source, destination, source_address, destination_address };
            let answer = rules.decide_pair(&cluster, &pair);
            for (one, all) in [(&decision.egress, &answer.egress), (&decision.ingress, &answer.ingress)] {
                prop_assert_eq!(one.allows(), all.allowed().contains(protocol, port), "{:?}", all);
            }
        }
    }

    #[test]
    fn adding_a_rule_never_denies_what_was_allowed(
        cluster in cluster(),
        policies in vec(policy(), 1..5),
        more in rule(),
        ingress in any::<bool>(),
        which in any::<proptest::sample::Index>(),
    ) {
        let before = RuleSet::new(policies.clone());
        let mut policies = policies;
        let policy = which.get(&policies).meta.clone();
        for changed in policies.iter_mut().filter(|changed| changed.meta == policy) {
            if ingress { changed.ingress.push(more.clone()) } else { changed.egress.push(more.clone()) }
        }
        let after = RuleSet::new(policies);
        for connection in connections(&cluster) {
            let was = before.decide(&cluster, &connection).allows();
            let is = after.decide(&cluster, &connection).allows();
            prop_assert!(!was || is, "{:?}", connection);
        }
    }

    #[test]
    fn the_order_of_policies_and_rules_does_not_change_the_verdict(
        cluster in cluster(),
        policies in vec(policy(), 1..5),
    ) {
        // Of policies of one name the later wins, so names are made unique first.
        let mut policies = policies;
        for (index, policy) in policies.iter_mut().enumerate() {
            policy.meta.name = format!("p{index}");
        }
        let forward = RuleSet::new(policies.clone());
        for (index, policy) in policies.iter_mut().enumerate() {
            policy.meta.name = format!("p{}", 9 - index);
            policy.ingress.reverse();
            policy.egress.reverse();
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                rule.peers.reverse();
                rule.ports.reverse();
            }
        }
        policies.reverse();
        let backward = RuleSet::new(policies);
        for connection in connections(&cluster) {
            prop_assert_eq!(
                forward.decide(&cluster, &connection).allows(),
                backward.decide(&cluster, &connection).allows()
            );
        }
    }

    #[test]
    fn a_policy_that_selects_no_endpoint_changes_no_decision(
        cluster in cluster(),
        policies in vec(policy(), 0..4),
        idle in policy(),
    ) {
        let before = RuleSet::new(policies.clone());
        let mut idle = idle;
        idle.meta.name = "idle".to_owned();
        idle.pod_selector.match_labels.insert("nobody".to_owned(), "has-this".to_owned());
        let after = RuleSet::new(policies.into_iter().chain([idle]));
        for connection in connections(&cluster) {
            prop_assert_eq!(
                before.decide(&cluster, &connection),
                after.decide(&cluster, &connection)
            );
        }
    }
}
