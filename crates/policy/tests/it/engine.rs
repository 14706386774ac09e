//! The fast engine says of every pair what the plain evaluator says, whatever the policies.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sekisho_manifest::Position;
use sekisho_model::{Protocol, WorkloadRef};
use sekisho_policy::ir::{
    Action, Entity, Expr, Extent, PeerMatch, Peers, Policy, PortMatch, Ports, Rank, Rule, Rulebook,
    Scope, Side, Test, TextOperator, TextTest, Tier,
};
use sekisho_policy::{
    Cluster, Dialect, Edit, Endpoint, IcmpVersion, Pair, Party, Peer, PolicyKind, PolicyName,
    PortSet, Reach, Reason,
};

use crate::properties::{NAMESPACES, cluster, labels, protocol, requirement, selector};
use crate::reference::PORTS;

fn test() -> impl Strategy<Value = Test> {
    let scope = || select(vec![Scope::Pod, Scope::Pod, Scope::Namespace, Scope::ServiceAccount]);
    let operators = vec![TextOperator::Contains, TextOperator::StartsWith, TextOperator::EndsWith];
    let text = (select(vec!["k", "l"]), select(operators), select(vec!["x", "y", ""]));
    prop_oneof![
        2 => select(NAMESPACES.to_vec()).prop_map(|name| Test::Namespace(name.to_owned())),
        1 => select(vec!["s", "t"]).prop_map(|name| Test::ServiceAccount(name.to_owned())),
        5 => (scope(), requirement()).prop_map(|(scope, one)| Test::Label(scope, one)),
        1 => (scope(), text).prop_map(|(scope, (key, operator, text))| Test::Text(
            scope,
            TextTest { key: key.to_owned(), operator, text: text.to_owned() },
        )),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        1 => Just(Expr::All),
        1 => Just(Expr::None),
        3 => selector().prop_map(|selector| Expr::selector(Scope::Pod, &selector)),
        6 => test().prop_map(Expr::Test),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Expr::Not(Box::new(one))),
            vec(inner.clone(), 0..3).prop_map(Expr::And),
            vec(inner, 0..3).prop_map(Expr::Or),
        ]
    })
}

fn net() -> impl Strategy<Value = IpNet> {
    let nets = vec![
        "0.0.0.0/0",
        "10.0.0.0/29",
        "10.0.0.2/31",
        "10.0.0.3/32",
        "192.0.2.0/24",
        "192.0.2.2/31",
        "203.0.113.0/24",
        "203.0.113.128/25",
        "::/0",
        "fd00::/125",
        "fd00::4/126",
        "fd00::2:2/127",
    ];
    select(nets).prop_map(|net| net.parse().unwrap())
}

fn peer() -> impl Strategy<Value = PeerMatch> {
    let extents = vec![Extent::Anything, Extent::NotEndpoints, Extent::OutsideCluster];
    let domains = vec!["example.com", "*.example.com", "a.example.com", "*.a.example.com"];
    let patterns = vec!["*", "*.example.com", "**.example.com", "*a*.*.com", "example.com"];
    let leaf = prop_oneof![
        5 => expr().prop_map(PeerMatch::Endpoints),
        4 => (vec(net(), 1..3), vec(net(), 0..2), select(extents))
            .prop_map(|(nets, except, extent)| PeerMatch::Networks { nets, except, extent }),
        1 => selector().prop_map(PeerMatch::Nodes),
        1 => select(domains).prop_map(|name| PeerMatch::Domain(name.to_owned())),
        1 => select(patterns).prop_map(|name| PeerMatch::DomainPattern(name.to_owned())),
        1 => select(vec![Entity::World, Entity::Cluster]).prop_map(PeerMatch::Entity),
    ];
    leaf.prop_recursive(1, 4, 2, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(PeerMatch::All),
            inner.prop_map(|one| PeerMatch::Not(Box::new(one))),
        ]
    })
}

fn port() -> impl Strategy<Value = PortMatch> {
    let version = || option::of(select(vec![IcmpVersion::V4, IcmpVersion::V6]));
    prop_oneof![
        1 => protocol()
            .prop_map(|protocol| PortMatch::Range { protocol, first: 0, last: u16::MAX }),
        4 => (protocol(), PORTS, 0_u16..4).prop_map(|(protocol, first, more)| PortMatch::Range {
            protocol,
            first,
            last: first + more,
        }),
        3 => (select(vec!["p", "q", "r"]), option::of(protocol()))
            .prop_map(|(name, protocol)| PortMatch::Named { name: name.to_owned(), protocol }),
        1 => (version(), option::of(0_u8..3))
            .prop_map(|(version, kind)| PortMatch::Icmp { version, kind }),
        1 => Just(PortMatch::OtherProtocols),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let peers = prop_oneof![
        1 => Just(Peers::Any),
        4 => vec(peer(), 0..3).prop_map(Peers::List),
    ];
    let ports = prop_oneof![
        2 => Just(Ports::ALL),
        4 => vec(port(), 0..3).prop_map(Ports::of),
        1 => (option::of(vec(port(), 0..3)), vec(port(), 0..2))
            .prop_map(|(include, exclude)| Ports { include, exclude }),
    ];
    (select(vec![Action::Accept, Action::Deny, Action::Pass]), peers, ports).prop_map(
        |(action, peers, ports)| Rule {
            action,
            peers,
            ports,
            index: 0,
            name: String::new(),
            condition: None,
            position: Position::default(),
        },
    )
}

fn side() -> impl Strategy<Value = Option<Side>> {
    option::weighted(
        0.8,
        (any::<bool>(), vec(rule(), 0..4)).prop_map(|(isolates, rules)| Side { isolates, rules }),
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    (expr(), side(), side()).prop_map(|(subject, ingress, egress)| Policy {
        name: PolicyName::new(PolicyKind::CalicoGlobalNetworkPolicy, "", "p"),
        rank: Some(Rank(1.0)),
        subject,
        ingress,
        egress,
        position: Position::default(),
    })
}

/// Policies as NetworkPolicies are: they isolate, their rules accept, order has no meaning.
fn unordered(mut policy: Policy) -> Policy {
    policy.rank = None;
    for side in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
        side.isolates = true;
        side.rules.iter_mut().for_each(|rule| rule.action = Action::Accept);
    }
    policy
}

fn book() -> impl Strategy<Value = Rulebook> {
    let tier = (vec(policy(), 0..4), any::<bool>()).prop_map(|(policies, plain)| {
        let policies = if plain { policies.into_iter().map(unordered).collect() } else { policies };
        Tier { name: "t".to_owned(), policies }
    });
    (vec(tier, 0..4), select(Dialect::ALL.to_vec()))
        .prop_map(|(tiers, dialect)| Rulebook { tiers, dialect })
}

/// A cluster where pods share workloads and run as service accounts.
fn shared() -> impl Strategy<Value = Cluster> {
    (cluster(), vec(option::of(select(vec!["s", "t"])), 6), labels(), labels()).prop_map(
        |(mut cluster, accounts, node, account)| {
            for (endpoint, account) in cluster.endpoints.iter_mut().zip(accounts) {
                endpoint.workload =
                    WorkloadRef { name: "w".to_owned(), ..endpoint.workload.clone() };
                endpoint.service_account = account.map(str::to_owned);
            }
            cluster.node_labels.insert("n1".to_owned(), node);
            let of_a = cluster.service_accounts.entry("a".to_owned()).or_default();
            of_a.insert("s".to_owned(), account);
            cluster
        },
    )
}

type End<'a> = (Peer<'a>, Option<IpAddr>);

/// The last pod of a party, or an external end, with each of its addresses.
fn ends<'a>(
    (cluster, dialect): (&'a Cluster, Dialect),
    party: &'a Party,
    twin: Option<&'a Endpoint>,
) -> Vec<End<'a>> {
    match party {
        Party::Endpoints(all) => {
            let endpoint = twin.unwrap_or(&cluster.endpoints[*all.last().unwrap()]);
            // A host-network pod is asked with the addresses of its node by the plain evaluator
            // itself, for each family that it has there.
            let of_node = endpoint.node.as_ref().map(|node| &cluster.nodes[node]);
            let addresses = match of_node {
                Some(own) if endpoint.host_network && !dialect.host_network_is_ordinary() => own,
                _ => &endpoint.addresses,
            };
            if addresses.is_empty() {
                return vec![(Peer::Endpoint(endpoint), None)];
            }
            addresses.iter().map(|address| (Peer::Endpoint(endpoint), Some(*address))).collect()
        }
        Party::Addresses(ranges) => {
            let (_, last) = ranges[ranges.len() - 1];
            vec![(Peer::Address(last), Some(last))]
        }
        Party::Domain(name) => vec![(Peer::Domain(name), None)],
    }
}

/// What the plain evaluator says of two parties; None where only a node's own pods are meant.
fn plainly(book: &Rulebook, cluster: &Cluster, source: &Party, other: &Party) -> Option<PortSet> {
    let pods = |party: &Party| matches!(party, Party::Endpoints(_));
    if !pods(source) && !pods(other) {
        return Some(PortSet::none());
    }
    let twin = match source {
        Party::Endpoints(all) if source == other => {
            let own = &cluster.endpoints[*all.last().unwrap()];
            Some(Endpoint { name: "twin".to_owned(), ..own.clone() })
        }
        _ => None,
    };
    let world = (cluster, book.dialect);
    let mut open = PortSet::none();
    for (source, source_address) in ends(world, source, None) {
        for (destination, destination_address) in ends(world, other, twin.as_ref()) {
            let families = [source_address, destination_address].map(|a| a.map(|a| a.is_ipv4()));
            if families[0].is_some() && families[1].is_some() && families[0] != families[1] {
                continue;
            }
            let pair = Pair { source, destination, source_address, destination_address };
            let answer = book.decide_pair(cluster, &pair);
            if answer.ingress.exemption == Some(Reason::OwnNode) {
                return None;
            }
            open = open.union(&answer.allowed());
        }
    }
    Some(open)
}

/// Long runs: `PROPTEST_CASES=100000 cargo test -p sekisho-policy --release engine`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: cases().max(1_024), ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn the_engine_agrees_with_the_plain_evaluator_on_every_pair(
        cluster in shared(),
        book in book(),
    ) {
        let reach = Reach::of_book(&book, &cluster);
        for (from, source) in reach.parties().iter().enumerate() {
            for (to, other) in reach.parties().iter().enumerate() {
                let Some(expected) = plainly(&book, &cluster, source, other) else { continue };
                let found = reach.ports(from, to);
                prop_assert_eq!(
                    &found, &expected,
                    "{:?} -> {:?}: engine {}, plainly {}", source, other, found, expected
                );
                for port in [0, 80, 82] {
                    let allows = reach.allows(from, to, Protocol::Tcp, port);
                    prop_assert_eq!(allows, found.contains(Protocol::Tcp, port));
                }
            }
        }
    }

    #[test]
    fn rectangles_hold_every_pair_once(cluster in shared(), book in book()) {
        let reach = Reach::of_book(&book, &cluster);
        let mut found = std::collections::BTreeMap::new();
        for rectangle in reach.rectangles() {
            for source in &rectangle.sources {
                for destination in &rectangle.destinations {
                    let before = found.insert((*source, *destination), rectangle.ports.clone());
                    prop_assert_eq!(before, None);
                }
            }
        }
        prop_assert_eq!(found.len() as u64, reach.connected_pairs());
        for from in 0..reach.parties().len() {
            for to in 0..reach.parties().len() {
                let one = found.remove(&(from, to)).unwrap_or_default();
                prop_assert_eq!(one, reach.ports(from, to));
            }
        }
    }

    #[test]
    fn an_edit_changes_what_computing_anew_changes(
        cluster in shared(),
        book in book(),
        which in any::<proptest::sample::Index>(),
        put in vec(policy(), 0..3),
        is_new in any::<bool>(),
    ) {
        let mut book = book;
        for policies in book.tiers.iter_mut().map(|tier| &mut tier.policies) {
            for (index, policy) in policies.iter_mut().enumerate() {
                policy.name.name = format!("p{index}");
            }
        }
        prop_assume!(!book.tiers.is_empty());
        let tier = which.index(book.tiers.len());
        let plain = book.tiers[tier].policies.iter().all(|policy| policy.rank.is_none());
        let name = PolicyName {
            name: if is_new { "o".to_owned() } else { "p0".to_owned() },
            ..PolicyName::new(PolicyKind::CalicoGlobalNetworkPolicy, "", "")
        };
        let policies: Vec<Policy> = put
            .into_iter()
            .map(|policy| Policy { name: name.clone(), ..policy })
            .map(|policy| if plain { unordered(policy) } else { policy })
            .collect();
        let reach = Reach::of_book(&book, &cluster);
        let edit = Edit { tier, name: &name, policies: &policies };
        let Some(changes) = reach.what_if(&cluster, &edit) else { return Ok(()) };
        let mut after = book.clone();
        // All ranks are equal, so that names tell the place: the first.
        let list = &mut after.tiers[tier].policies;
        list.retain(|policy| policy.name != name);
        list.splice(0..0, policies.iter().cloned());
        let mut found = std::collections::BTreeMap::new();
        for change in changes {
            for source in &change.sources {
                for destination in &change.destinations {
                    let both = (change.before.clone(), change.after.clone());
                    prop_assert_eq!(found.insert((*source, *destination), both), None);
                }
            }
        }
        for (from, source) in reach.parties().iter().enumerate() {
            for (to, other) in reach.parties().iter().enumerate() {
                let Some(expected) = plainly(&after, &cluster, source, other) else { continue };
                let before = reach.ports(from, to);
                let changed = found.get(&(from, to)).cloned();
                let expected = (before != expected).then_some((before, expected));
                prop_assert_eq!(changed, expected, "{:?} -> {:?}", source, other);
            }
        }
    }

    #[test]
    fn a_pod_joins_pods_just_like_it_and_no_others(
        cluster in shared(),
        book in book(),
        like in any::<proptest::sample::Index>(),
        port in PORTS,
    ) {
        let mut cluster = cluster;
        let mut reach = Reach::of_book(&book, &cluster);
        let origin = like.get(&cluster.endpoints).clone();
        let twin = Endpoint { name: "twin".to_owned(), ..origin.clone() };
        let mut other = Endpoint { name: "other".to_owned(), ..origin };
        other.labels.insert("new".to_owned(), port.to_string());
        cluster.endpoints.extend([twin, other]);
        let count = cluster.endpoints.len();
        prop_assert!(reach.join(&cluster, count - 2));
        prop_assert!(!reach.join(&cluster, count - 1));
        let holds = |reach: &Reach| reach.parties().iter().any(|party| {
            matches!(party, Party::Endpoints(all) if all.contains(&(count - 2)) && all.len() > 1)
        });
        prop_assert!(holds(&reach));
        reach.leave(&cluster, count - 2);
        prop_assert!(!holds(&reach));
    }
}
